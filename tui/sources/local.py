"""This host, or a captured tree, sampled in this process by the agent's own monitor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from agent.sampler import Sampler
from diagnostics.errors import Unreachable, UserError
from diagnostics.model import Benchmark, BenchmarkRequest, Event, NodeSnapshot, Series
from tui.options import Options
from tui.sources.base import Outage
from tui.sources.once_local import _need_tree

if TYPE_CHECKING:
    from agent.monitor import Monitor
    from agent.verbs.client import VerbsClient


class Local:
    """Raises Unreachable for a root that is no tree."""

    def __init__(self, options: Options) -> None:
        self._live = options.root == "/"
        if not self._live:
            _need_tree(options.root)
        self._sampler = Sampler(options.root, options.node_name)
        self.label = "this host" if self._live else f"capture {options.root}"
        self._interval_s = options.interval_s
        self._monitor: Monitor | None = None
        self._verbs: VerbsClient | None = None

    def first(self) -> NodeSnapshot:
        """One reading at once, without a loop: state and identity, no rates yet."""
        self._sampler.refresh(deep=False)
        self._sampler.tick()
        return self._sampler.snapshot("none")

    async def snapshots(self) -> AsyncIterator[NodeSnapshot | Outage]:
        from agent.monitor import Monitor
        from diagnostics.checks.engine import Judge

        judge = Judge()
        self._monitor = Monitor(
            self._sampler,
            interval_s=self._interval_s,
            verbs_state="off until a benchmark is started",
            judge=judge,
            acknowledge=lambda finding, _by: judge.acknowledge(finding),
        )
        subscription = self._monitor.subscribe()
        await self._monitor.start()
        async for snapshot in subscription:
            yield snapshot

    def focus(self, _device: str | None, _port: int | None) -> None:
        """Every snapshot holds all counters: a flap, or a counter at its end, is judged on every port."""

    async def history(self, device: str, port: int | None, names: tuple[str, ...], seconds: int) -> list[Series]:
        found = [self._sampler.history.series(device, port, name, seconds) for name in names]
        return [series for series in found if series is not None]

    async def benchmarks(self) -> tuple[Benchmark, ...]:
        manager = self._monitor.benchmarks if self._monitor else None
        return manager.all() if manager is not None else ()

    async def start_benchmark(self, request: BenchmarkRequest) -> tuple[Benchmark, ...]:
        if not self._live:
            raise Unreachable(f"a benchmark needs real devices, and this is a {self.label}", "leave --root out")
        monitor = self._monitor
        if monitor is None:
            raise Unreachable("the first reading is not there yet", "ask again in a second")
        if monitor.benchmarks is None:
            self._verbs = await _start_verbs()
            from agent.benchmarks.manager import Benchmarks

            monitor.benchmarks = Benchmarks(self._verbs, monitor.read)
        return await monitor.benchmarks.start(request)

    async def cancel_benchmark(self, benchmark: str) -> None:
        if self._monitor is not None and self._monitor.benchmarks is not None:
            await self._monitor.benchmarks.cancel(benchmark)

    async def events(self) -> tuple[Event, ...]:
        return tuple(self._monitor.events) if self._monitor else ()

    async def check(self) -> None:
        """Reads and judges now, out of turn."""
        if self._monitor is not None:
            await self._monitor.read()

    async def acknowledge(self, finding: str) -> None:
        try:
            if self._monitor is not None:
                await self._monitor.acknowledge(finding, "this terminal")
        except KeyError:
            raise UserError(f"{finding} does not stand any more") from None

    def set_interval(self, seconds: float) -> None:
        self._interval_s = seconds
        if self._monitor is not None:
            self._monitor.set_interval(seconds)

    async def close(self) -> None:
        if self._monitor is not None:
            await self._monitor.close()
        else:
            self._sampler.close()
        if self._verbs is not None:
            await self._verbs.close()


async def _start_verbs() -> VerbsClient:
    """The verbs worker, started for the first benchmark and not before. Raises Unreachable where there are no verbs."""
    from agent.verbs.client import VerbsClient

    verbs = await VerbsClient.start_child()
    if verbs.state != "ok":
        await verbs.close()
        raise Unreachable(f"no benchmark on this host: {verbs.state}", verbs.hint)
    return verbs
