"""This host, or a captured tree, sampled in this process by the agent's own monitor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from agent.sampler import Choice, Sampler
from diagnostics.errors import Unreachable
from diagnostics.model import Benchmark, BenchmarkRequest, Event, NodeSnapshot, Series
from tui.options import Options
from tui.sources.base import Outage

if TYPE_CHECKING:
    from agent.monitor import Judge, Monitor


class Focused(Sampler):
    """A sampler whose snapshots hold only the counters that somebody looks at: making them is most of the cost."""

    focus: Choice = "none"
    everything = False
    """While a benchmark runs: it compares all counters before and after."""

    def snapshot(self, counters: Choice = "all") -> NodeSnapshot:
        return super().snapshot(counters if self.everything or counters == "none" else self.focus)


class Local:
    """Raises UserError for a root that is no tree."""

    def __init__(self, options: Options) -> None:
        self._sampler = Focused(options.root, options.node_name)
        self._live = options.root == "/"
        self.label = "this host" if self._live else f"capture {options.root}"
        self._interval_s = options.interval_s
        self._monitor: Monitor | None = None

    def first(self) -> NodeSnapshot:
        """One reading at once, without a loop: state and identity, no rates yet."""
        self._sampler.refresh(deep=False)
        self._sampler.tick()
        return self._sampler.snapshot("none")

    async def snapshots(self) -> AsyncIterator[NodeSnapshot | Outage]:
        from agent.monitor import Monitor

        self._monitor = Monitor(
            self._sampler,
            interval_s=self._interval_s,
            verbs_state="off until a benchmark is started",
            judge=_judge(),
        )
        subscription = self._monitor.subscribe()
        await self._monitor.start()
        async for snapshot in subscription:
            yield snapshot

    def focus(self, device: str | None, port: int | None) -> None:
        self._sampler.focus = "none" if device is None else frozenset(((device, port), (device, None)))

    async def history(self, device: str, port: int | None, names: tuple[str, ...], seconds: int) -> list[Series]:
        found = [self._sampler.history.series(device, port, name, seconds) for name in names]
        return [series for series in found if series is not None]

    async def benchmarks(self) -> tuple[Benchmark, ...]:
        manager = self._monitor.benchmarks if self._monitor else None
        rows = manager.all() if manager is not None else ()
        self._sampler.everything = any(row.state in ("queued", "running") for row in rows)
        return rows

    async def start_benchmark(self, request: BenchmarkRequest) -> tuple[Benchmark, ...]:
        if not self._live:
            raise Unreachable(f"a benchmark needs real devices, and this is a {self.label}", "leave --root out")
        monitor = self._monitor
        if monitor is None:
            raise Unreachable("the first reading is not there yet", "ask again in a second")
        if monitor.benchmarks is None:
            monitor.benchmarks = await _manager(monitor)
        self._sampler.everything = True
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

    def set_interval(self, seconds: float) -> None:
        self._interval_s = seconds
        if self._monitor is not None:
            self._monitor.set_interval(seconds)

    async def close(self) -> None:
        if self._monitor is not None:
            await self._monitor.close()
        else:
            self._sampler.close()


async def _manager(monitor: Monitor) -> Any:
    """The benchmarks of this host; their verbs worker is started for the first one, not before."""
    from agent.benchmarks.manager import Benchmarks

    from agent.verbs.client import VerbsClient

    verbs = await VerbsClient.start_child()
    if verbs.state != "ok":
        await verbs.close()
        raise Unreachable(f"no benchmark on this host: {verbs.state}", verbs.hint)
    return Benchmarks(verbs, monitor.read)


def _judge() -> Judge | None:
    return None
