"""Where snapshots come from: one protocol for this host, an agent and whatever comes later."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol

from diagnostics.errors import Unreachable
from diagnostics.model import Benchmark, BenchmarkRequest, NodeSnapshot, Series


class Outage(NamedTuple):
    """Nothing came from the source: why, since when and what to do. The last picture stays on the screen."""

    reason: str
    since: str
    """RFC 3339."""
    hint: str = ""


class NotYet:
    """Stands in for a source until there is one: the first frame needs its name only."""

    def __init__(self, label: str) -> None:
        self.label = label

    async def snapshots(self) -> AsyncIterator[NodeSnapshot | Outage]:
        return
        yield

    def focus(self, _device: str | None, _port: int | None) -> None: ...

    async def history(self, _device: str, _port: int | None, _names: tuple[str, ...], _seconds: int) -> list[Series]:
        return []

    async def benchmarks(self) -> tuple[Benchmark, ...]:
        return ()

    async def start_benchmark(self, _request: BenchmarkRequest) -> tuple[Benchmark, ...]:
        raise Unreachable("the first reading is not there yet", "ask again in a second")

    async def cancel_benchmark(self, _benchmark: str) -> None: ...

    def set_interval(self, _seconds: float) -> None: ...

    async def close(self) -> None: ...


class NoFleetYet(NotYet):
    """Stands in for a cluster until there is one."""

    interval_s = 1.0

    async def fleet(self) -> AsyncIterator[Outage]:
        return
        yield

    def watch_rows(self, _names: set[str]) -> None: ...


class Source(Protocol):
    """A stream of snapshots and the things one may ask beside it.

    `check()`, `events()`, `acknowledge(id)` are asked for with getattr: a source that cannot does not have them.
    Requests raise diagnostics.errors.UserError with what, where and what to do.
    """

    label: str
    """What the header says: `this host`, `agent /run/rdmatop/agent.sock`."""

    def snapshots(self) -> AsyncIterator[NodeSnapshot | Outage]:
        """The newest snapshot each time there is one; a slow reader misses those between."""
        ...

    def focus(self, device: str | None, port: int | None, /) -> None:
        """Whose counters the snapshots should hold; None: nobody's."""
        ...

    async def history(self, device: str, port: int | None, names: tuple[str, ...], seconds: int, /) -> list[Series]: ...

    async def benchmarks(self) -> tuple[Benchmark, ...]:
        """Newest first."""
        ...

    async def start_benchmark(self, request: BenchmarkRequest, /) -> tuple[Benchmark, ...]: ...

    async def cancel_benchmark(self, benchmark: str, /) -> None: ...

    def set_interval(self, seconds: float, /) -> None: ...

    async def close(self) -> None: ...
