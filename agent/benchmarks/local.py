"""Benchmarks without an agent: a verbs worker and a reader for as long as they run."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping
from typing import NamedTuple

from agent.benchmarks.manager import Benchmarks
from agent.sampler import Sampler
from agent.verbs.client import VerbsClient
from diagnostics.errors import Unreachable, UserError
from diagnostics.model import Benchmark, BenchmarkRequest, NodeSnapshot

Told = Callable[[Benchmark], None]


class Outcome(NamedTuple):
    """What came of several requests."""

    items: tuple[Benchmark, ...]
    refused: tuple[tuple[BenchmarkRequest, UserError], ...]
    """Requests that were not started, and why."""
    interrupted: bool


def run_all(
    requests: tuple[BenchmarkRequest, ...], on_update: Told | None = None, *, env: Mapping[str, str] | None = None
) -> Outcome:
    """Runs requests one after the other, without an event loop of the caller's. An interrupt cancels, and what was
    measured until then is returned. Raises UserError, Unreachable when not a single one could be started."""
    return asyncio.run(_run_all(requests, on_update, env))


async def run_local(
    request: BenchmarkRequest,
    root: str = "/",
    on_update: Told | None = None,
    *,
    env: Mapping[str, str] | None = None,
) -> tuple[Benchmark, ...]:
    """Runs one request on this host and returns its items, ended. Raises UserError, Unreachable.

    Cancelled from outside it cancels the run that is under way, and returns what was measured in state `cancelled`.
    `env` is added to the worker's.
    """
    if root != "/":
        raise Unreachable("a captured tree has no device to run on", "leave --root out")
    async with _Local(on_update, env) as local:
        items, _ = await local.run(request)
    return items


async def _run_all(
    requests: tuple[BenchmarkRequest, ...], on_update: Told | None, env: Mapping[str, str] | None
) -> Outcome:
    main = asyncio.current_task()
    assert main is not None
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        loop.add_signal_handler(
            signal.SIGINT, lambda: None
        )  # a second one would lose what was measured until the first
        main.cancel()

    loop.add_signal_handler(signal.SIGINT, interrupt)
    items: list[Benchmark] = []
    refused: list[tuple[BenchmarkRequest, UserError]] = []
    interrupted = False
    async with _Local(on_update, env) as local:
        for request in requests:
            try:
                done, interrupted = await local.run(request)
            except UserError as wrong:
                refused.append((request, wrong))
                continue
            items += done
            if interrupted:
                break
    if refused and not items:
        raise refused[0][1]
    return Outcome(tuple(items), tuple(refused), interrupted)


class _Local:
    """A sampler, a worker and their benchmarks, as a context."""

    def __init__(self, on_update: Told | None, env: Mapping[str, str] | None) -> None:
        self._on_update = on_update
        self._env = env

    async def __aenter__(self) -> _Local:  # noqa: PYI034 - Self is of Python 3.11
        self._sampler = Sampler("/")
        self._verbs = await VerbsClient.start_child(self._env)
        await asyncio.to_thread(self._sampler.refresh)
        self._benchmarks = Benchmarks(self._verbs, lambda: asyncio.to_thread(self._take))
        self._teller = asyncio.create_task(self._tell())
        await asyncio.sleep(0)  # the teller listens before the first change
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._benchmarks.close()
        await asyncio.sleep(0)  # the last change is told
        self._teller.cancel()
        await self._verbs.close()
        await asyncio.to_thread(self._sampler.close)

    async def run(self, request: BenchmarkRequest) -> tuple[tuple[Benchmark, ...], bool]:
        """The items, and whether we were cancelled meanwhile."""
        try:
            numbers = [item.id for item in await self._benchmarks.start(request)]
        except asyncio.CancelledError:
            return (), True
        try:
            for number in numbers:
                await self._benchmarks.ended(number)
        except asyncio.CancelledError:
            # the last ones first: nothing new begins while the running one stops
            for number in reversed(numbers):
                await self._benchmarks.cancel(number)
            return tuple(self._benchmarks.get(number) for number in numbers), True
        return tuple(self._benchmarks.get(number) for number in numbers), False

    def _take(self) -> NodeSnapshot:
        self._sampler.tick()
        return self._sampler.snapshot("all")

    async def _tell(self) -> None:
        async for item in self._benchmarks.watch():
            if self._on_update is not None:
                self._on_update(item)
