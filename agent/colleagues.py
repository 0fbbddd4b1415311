"""What a monitor needs of those it works with: somebody who reads, who judges and who runs benchmarks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from diagnostics.model import Benchmark, BenchmarkRequest, Event, NodeSnapshot, Series

if TYPE_CHECKING:
    from agent.readers.uevents import Uevents


class Judge(Protocol):
    """Says what is wrong; `diagnostics.checks.engine.Judge` is one."""

    def step(self, snapshot: NodeSnapshot, windows: Any) -> tuple[NodeSnapshot, Iterable[Event]]:
        """The snapshot with health, expectations and findings; and what began, changed or ended with it."""
        ...


class Readings(Protocol):
    """The history of the counters, as the monitor's users need it."""

    interval_s: float

    def series(self, device: str, port: int | None, name: str, seconds: float) -> Series | None: ...


class Reader(Protocol):
    """What a monitor runs; `agent.sampler.Sampler` is one."""

    interval_s: float | None

    @property
    def history(self) -> Readings: ...
    @property
    def verbs(self) -> Any: ...
    @verbs.setter
    def verbs(self, facts: Any) -> None: ...
    def open_uevents(self) -> Uevents | None: ...
    def refresh(self) -> None: ...
    def tick(self, counters: bool = True) -> None: ...
    def snapshot(self, counters: Any = "all") -> NodeSnapshot: ...
    def close(self) -> None: ...


class Loopbacks(Protocol):
    """The benchmarks of this node; `agent.benchmarks.manager.Benchmarks` is one."""

    async def start(self, request: BenchmarkRequest) -> tuple[Benchmark, ...]: ...
    def all(self) -> tuple[Benchmark, ...]: ...
    def get(self, id: str) -> Benchmark: ...  # noqa: A002 - the wire's own name
    async def cancel(self, id: str) -> Benchmark: ...  # noqa: A002
    async def close(self) -> None: ...
