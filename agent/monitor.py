"""Runs a sampler in time and hands the latest snapshot to whoever listens: HTTP, the publisher, the local TUI."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from agent.colleagues import Judge, Loopbacks, Reader, Readings
from agent.config import MAX_INTERVAL_S, MIN_INTERVAL_S
from agent.encoding import Encodings
from agent.lane import Lane
from agent.readers.uevents import concerns
from agent.schedule import Alarm, next_due
from agent.subscriptions import Subscription, Subscriptions
from agent.usage import Usage
from diagnostics.errors import Unreachable, UserError
from diagnostics.model import AgentInfo, Benchmark, BenchmarkRequest, Event, Finding, NodeSnapshot
from diagnostics.timing import now as time_now
from diagnostics.version import VERSION

if TYPE_CHECKING:
    from agent.readers.uevents import Uevents
    from agent.verbs.client import VerbsClient

log = logging.getLogger(__name__)

SLOW_S = 30.0
UEVENT_SETTLE_S = 0.3
"""A driver that loads sends dozens of uevents; one reading after the last of them is enough."""
UEVENT_MIN_S = 2.0
"""At most one inventory in this time, however many uevents come."""
VERBS_ANSWER_S = 5.0
CLOSE_S = 0.5
"""How long closing waits for a reading that hangs."""
EVENTS_KEPT = 1000


class Monitor:
    """One node, sampled; everything but the readings themselves happens in the event loop that started it."""

    def __init__(
        self,
        sampler: Reader,
        *,
        interval_s: float = 1.0,
        slow_s: float = SLOW_S,
        verbs: VerbsClient | None = None,
        verbs_state: str = "off",
        benchmarks: Callable[[Callable[[], Awaitable[NodeSnapshot]]], Loopbacks] | None = None,
        judge: Judge | None = None,
        on_events: Callable[[Sequence[Event]], None] | None = None,
        acknowledge: Callable[[str, str], Event | None] | None = None,
        events: Iterable[Event] = (),
        earlier: Sequence[Benchmark] = (),
        on_result: Callable[[Benchmark], object] | None = None,
    ) -> None:
        """`verbs_state` says why there is no verbs client; `benchmarks` makes them from a way to read afresh, where
        they are not those of the verbs client; `on_events` is told what the judge saw begin, change or end;
        `acknowledge` takes a finding's id and who has seen it; `events` and the
        benchmarks `earlier` (newest first) are those of before the start; `on_result` is told of each that ends."""
        self.interval_s = _checked(interval_s)
        self.latest: NodeSnapshot | None = None
        self.events: deque[Event] = deque(events, maxlen=EVENTS_KEPT)
        self.missed = 0
        self.sampled_at = time.monotonic()
        """Monotonic seconds of the latest sample, or of the start."""
        self.broken: str | None = None
        """Why nothing new will ever come; only a new process helps then."""
        self.benchmarks: Loopbacks | None = (
            benchmarks(self.read) if benchmarks else self._benchmarks_of(verbs, earlier, on_result)
        )
        self._sampler, self._slow_s = sampler, slow_s
        self._verbs, self._verbs_state = verbs, verbs_state
        self._judge, self._on_events, self._acknowledge = judge, on_events, acknowledge
        self._uevents: Uevents | None = None
        self._complaint = ""
        self._sequence = 0
        self._read_at = -MAX_INTERVAL_S
        self._started = time_now()
        self._usage = Usage()
        self._lane = Lane("sampler")
        self._due, self._stale = Alarm(), Alarm()
        self._subscriptions, self._encodings = Subscriptions(), Encodings()
        self._tasks: list[asyncio.Task[None]] = []

    # ---- what users ask

    @property
    def history(self) -> Readings:
        return self._sampler.history

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self.latest.findings if self.latest else ()

    @property
    def verbs_state(self) -> str:
        """`ok`, or why there is no benchmark."""
        if self._verbs is None:
            return self._verbs_state
        return self._complaint or self._verbs.state

    def subscribe(self) -> Subscription:
        """An async iterator of snapshots, the latest first; a slow reader skips what it missed."""
        return self._subscriptions.add(self.latest)

    def encoded(self, selection: str = "all") -> bytes:
        """The latest snapshot as JSON; raises Unreachable before the first one, UnknownSelection (encoding.py)."""
        if self.latest is None:
            raise Unreachable("the first sample is not taken yet", "ask again in a second")
        return self._encodings.of(self.latest, selection)

    def set_interval(self, interval_s: float) -> None:
        """Seconds between samples from now on; raises UserError outside 0.2 to 60."""
        self.interval_s = _checked(interval_s)
        self._apply_interval()
        self._due.ring()

    async def read(self) -> NodeSnapshot:
        """A sample taken now, out of turn, that everyone else gets too; one that is due right after it is left out."""
        snapshot = await self._sample()
        self._read_at = self.sampled_at
        return snapshot

    async def acknowledge(self, finding: str, by: str) -> Finding:
        """A person has seen a finding, which is the answer; raises KeyError for one that does not stand."""
        known = next((each for each in self.findings if each.id == finding), None)
        acknowledge = self._acknowledge
        if known is None or acknowledge is None:
            raise KeyError(finding)
        event = await self._lane.run(lambda: acknowledge(finding, by))
        if event is None:
            raise KeyError(finding)
        self._tell((event,))
        await self.read()
        return msgspec.structs.replace(known, acknowledged=True)

    async def start_benchmark(self, request: BenchmarkRequest) -> tuple[Benchmark, ...]:
        """Raises Unreachable where this node runs none, and whatever `Benchmarks.start` raises."""
        if self.benchmarks is None:
            raise Unreachable(f"this agent runs no benchmark: verbs {self.verbs_state}", "start it with --verbs child")
        return await self.benchmarks.start(request)

    # ---- its life

    async def start(self) -> None:
        """Returns at once; the first snapshot follows within one reading."""
        self._apply_interval()
        self._uevents = self._sampler.open_uevents()
        if self._uevents is not None:
            asyncio.get_running_loop().add_reader(self._uevents, self._notice_uevent)
        self._begin(self._run(), "monitor")

    async def close(self) -> None:
        """Ends every subscription, benchmark and reading; waits only `CLOSE_S` for a reading that hangs."""
        if self._uevents is not None:
            asyncio.get_running_loop().remove_reader(self._uevents)
            self._uevents.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._subscriptions.close()
        if self.benchmarks is not None:
            await _at_most(CLOSE_S, self.benchmarks.close())
        if self._verbs is not None:
            await _at_most(CLOSE_S, self._verbs.close())
        await _at_most(CLOSE_S, self._lane.run(self._sampler.close))
        self._lane.close()

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._note_end)
        self._tasks.append(task)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        """Neither task ends by itself: one that did is told, and /healthz has the agent started anew."""
        if task.cancelled():
            return
        self.broken = f"the agent's {task.get_name()} task ended"
        log.error("%s: no sample or inventory follows", self.broken, exc_info=task.exception())

    def _apply_interval(self) -> None:
        self._sampler.interval_s = self.interval_s
        self._sampler.history.interval_s = max(1.0, self.interval_s)  # it keeps a point a second at most

    def _benchmarks_of(
        self,
        verbs: VerbsClient | None,
        earlier: Sequence[Benchmark],
        on_result: Callable[[Benchmark], object] | None,
    ) -> Loopbacks | None:
        if verbs is None:
            return None
        from agent.benchmarks.manager import Benchmarks

        return Benchmarks(verbs, self.read, on_result, earlier=earlier)

    async def _run(self) -> None:
        # the verbs worker may take a second to start: it comes later
        await self._try_refresh(self._lane.run(self._sampler.refresh))
        self._begin(self._refresh_when_stale(), "inventory")
        await self._sample_when_due()

    # ---- fast loop

    async def _sample_when_due(self) -> None:
        due = time.monotonic()
        while True:
            if time.monotonic() - self._read_at > self.interval_s / 2:
                await self._try_sample()
            due, missed = next_due(due, time.monotonic(), self.interval_s)
            self._count_missed(missed)
            while await self._due.sleep_until(due):  # the interval changed: a new grid begins at the last sample
                due = self.sampled_at + self.interval_s

    async def _try_sample(self) -> None:
        try:
            await self._sample()
        except Exception:  # a bug in a reader must not end the sampling
            log.exception("a sample failed")
            self._count_missed(1)

    def _count_missed(self, missed: int) -> None:
        self.missed += missed
        self._sequence += missed

    async def _sample(self) -> NodeSnapshot:
        benchmarks = shown(self.benchmarks.all()) if self.benchmarks else ()
        about = self._about()
        snapshot, events = await self._lane.run(lambda: self._read_and_judge(benchmarks, about))
        self._sequence += 1
        self.sampled_at = time.monotonic()
        self._tell(events)
        self.latest = msgspec.structs.replace(snapshot, sequence=self._sequence)
        self._subscriptions.put(self.latest)
        return self.latest

    def _tell(self, events: Sequence[Event]) -> None:
        self.events.extend(events)
        if events and self._on_events is not None:
            self._on_events(events)

    def _read_and_judge(
        self, benchmarks: tuple[Benchmark, ...], about: AgentInfo
    ) -> tuple[NodeSnapshot, tuple[Event, ...]]:
        """In the lane: everything that may take long."""
        self._sampler.tick()
        snapshot = self._sampler.snapshot()
        node = msgspec.structs.replace(
            snapshot.node, benchmark=percent_of_expected(benchmarks), agent_version=VERSION, age_s=0.0
        )
        snapshot = msgspec.structs.replace(
            snapshot, node=node, interval_s=about.interval_s, benchmarks=benchmarks, agent=about
        )
        if self._judge is None:
            return snapshot, ()
        judged, events = self._judge.step(snapshot, self._sampler.history)
        return judged, tuple(events)

    def _about(self) -> AgentInfo:
        self._usage.renew()
        return AgentInfo(
            version=VERSION,
            pid=os.getpid(),
            started=self._started,
            interval_s=self.interval_s,
            verbs=self.verbs_state,
            missed=self.missed,
            cpu_percent=self._usage.cpu_percent,
            memory_bytes=self._usage.memory_bytes,
        )

    # ---- slow loop

    async def _refresh_when_stale(self) -> None:
        loop = asyncio.get_running_loop()
        if self._verbs is not None:
            await self._try_refresh(self._refresh())
        while True:
            refreshed = loop.time()
            if await self._stale.sleep_until(refreshed + self._slow_s):
                await asyncio.sleep(max(UEVENT_SETTLE_S, refreshed + UEVENT_MIN_S - loop.time()))
            await self._try_refresh(self._refresh())

    async def _try_refresh(self, refresh: Coroutine[Any, Any, None]) -> None:
        try:
            await refresh
        except Exception:  # a bug in a reader must not end the inventories, nor the sampling that follows the first
            log.exception("an inventory failed")

    async def _refresh(self) -> None:
        facts = await self._ask_verbs()
        await self._lane.run(lambda: self._read_inventory(facts))

    def _read_inventory(self, facts: Mapping[str, Any] | None) -> None:
        if facts is not None:
            self._sampler.verbs = facts
        self._sampler.refresh()

    async def _ask_verbs(self) -> Mapping[str, Any] | None:
        """What the verbs worker knows of each device; None where it cannot be asked."""
        if self._verbs is None:
            return None
        try:
            facts = await asyncio.wait_for(self._verbs.devices(), VERBS_ANSWER_S)
        except (UserError, OSError, asyncio.TimeoutError) as error:
            complaint = str(error) or type(error).__name__
            if complaint != self._complaint:
                log.warning("nothing is known by verbs: %s", complaint)
            self._complaint = complaint
            return None
        self._complaint = ""
        return {device.name: device for device in facts}

    def _notice_uevent(self) -> None:
        assert self._uevents is not None
        netdevs = {port.netdev for port in self.latest.ports if port.netdev} if self.latest else set()
        if any(concerns(event, netdevs) for event in self._uevents.drain()):
            self._stale.ring()


def shown(benchmarks: tuple[Benchmark, ...]) -> tuple[Benchmark, ...]:
    """Of all, newest first: those that run or wait, and the last one of each port."""
    ports: set[tuple[str | None, int | None]] = set()
    rows = []
    for row in benchmarks:
        alive, port = row.state in ("queued", "running"), (row.device, row.port)
        if alive or port not in ports:
            rows.append(row)
        if not alive:
            ports.add(port)
    return tuple(rows)


def percent_of_expected(benchmarks: tuple[Benchmark, ...]) -> float | None:
    """What the newest loopback that gave a bandwidth reached, in percent of what it should."""
    for row in benchmarks:
        if row.kind == "loopback" and row.bandwidth_gbps is not None and row.expected_gbps:
            return round(row.bandwidth_gbps / row.expected_gbps * 100, 1)
    return None


def _checked(interval_s: float) -> float:
    if not MIN_INTERVAL_S <= interval_s <= MAX_INTERVAL_S:
        raise UserError(f"an interval of {interval_s:g} s is out of reach", "0.2 to 60 seconds")
    return interval_s


async def _at_most(seconds: float, ending: Any) -> None:
    try:
        await asyncio.wait_for(ending, seconds)
    except asyncio.TimeoutError:
        log.warning("gave up waiting for %s", getattr(ending, "__qualname__", "an end"))
    except Exception:
        log.exception("closing failed")
