"""Live rates of the rows that are on the screen: their agents are asked, nobody else's."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

import msgspec

from diagnostics.cluster.agents import Agents, AgentUnanswered
from diagnostics.cluster.fleet import Live, LiveState
from diagnostics.cluster.fleet_store import FleetStore

TIMEOUT_S = 5.0
FIRST_PAUSE_S, LAST_PAUSE_S = 2.0, 30.0
"""After an agent that did not answer; doubles."""
NO_POD_S = 2.0


class LiveRates:
    """One task a watched row; what they learn goes into the store."""

    def __init__(
        self, store: FleetStore, agents: Agents, interval_s: float = 1.0, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._agents = agents
        self._clock = clock
        self.interval_s = interval_s
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._decode = msgspec.json.Decoder(Live).decode
        self.asked = 0
        """Requests so far."""

    def watch(self, names: set[str]) -> None:
        """The rows on the screen; those before it are asked no more."""
        for name in self._tasks.keys() - names:
            self._tasks.pop(name).cancel()
            self._store.forget_problem(name)
        for name in names - self._tasks.keys():
            self._tasks[name] = asyncio.create_task(self._follow(name), name=f"live {name}")

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        self.watch(set())
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, name: str) -> None:
        pause = FIRST_PAUSE_S
        uid = None
        while True:
            pod = self._store.pod(name)
            if pod is None or not pod.status.pod_ip or pod.status.phase != "Running":
                await asyncio.sleep(NO_POD_S)
                continue
            if pod.metadata.uid != uid:
                uid, pause = pod.metadata.uid, FIRST_PAUSE_S
            try:
                self.asked += 1
                answer = await self._agents.call(pod, "GET", "/v1/summary", timeout_s=TIMEOUT_S)
                live = self._decode(answer)
            except AgentUnanswered as error:
                self._failed(name, error.message)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                self._failed(name, f"its agent answers in another language: {error}")
            else:
                pause = FIRST_PAUSE_S
                self._store.set_live(name, LiveState(live, self._clock(), None))
                await asyncio.sleep(self.interval_s * random.uniform(0.9, 1.1))  # noqa: S311 - not all at once
                continue
            await asyncio.sleep(pause * random.uniform(0.7, 1.0))  # noqa: S311
            pause = min(2 * pause, LAST_PAUSE_S)

    def _failed(self, name: str, why: str) -> None:
        state = self._store.live(name)
        if state.problem != why:
            self._store.set_live(name, state._replace(problem=why))
