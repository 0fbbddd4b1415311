"""A sampler and benchmarks that do as they are told, for what runs around them."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from diagnostics.errors import UserError
from diagnostics.model import (
    Benchmark,
    BenchmarkRequest,
    Counter,
    Device,
    Event,
    Finding,
    FindingCounts,
    Host,
    Node,
    NodeSnapshot,
    Port,
    Series,
)
from diagnostics.timing import now


def struct(kind: type, /, **given: Any) -> Any:
    """An instance with every required field that is not given at None, or empty."""
    empty = {"tuple": (), "dict": {}, "int": 0, "bool": False}
    for field in msgspec.structs.fields(kind):
        if field.required and field.name not in given:
            given[field.name] = next(
                (value for name, value in empty.items() if str(field.type).startswith((name, f"<class '{name}'"))), None
            )
    return kind(**given)


def counter(device: str, port: int | None, name: str, value: int | None) -> Counter:
    return struct(
        Counter,
        node="n1",
        device=device,
        port=port,
        name=name,
        source="hw_counters",
        value=value,
        unit="packets",
        class_="traffic",
        per_second=None if value is None else 12.5,
        quality="unknown" if value is None else "ok",
        meaning=f"{name}, as the kernel says",
    )


def snapshot(devices: int = 1, counters: int = 2, value: int = 0) -> NodeSnapshot:
    names = [f"mlx5_{number}" for number in range(devices)]
    node = struct(Node, node="n1", health="healthy", findings=FindingCounts(), ports_up=devices, ports_expected=devices)
    return struct(
        NodeSnapshot,
        node=node,
        time=now(),
        sequence=1,
        host=Host(),
        devices=tuple(struct(Device, node="n1", device=name, ports=1) for name in names),
        ports=tuple(
            struct(
                Port,
                node="n1",
                device=name,
                port=1,
                state="ACTIVE",
                link_layer="InfiniBand",
                rate_gbps=400.0,
                expected="up",
                health="healthy",
                rate_quality="ok",
            )
            for name in names
        ),
        counters=tuple(
            row
            for name in names
            for row in (
                *(counter(name, 1, f"np_counter_{number}", value) for number in range(counters)),
                counter(name, 1, "unreadable", None),
                counter(name, None, "aer_total", 7),
            )
        ),
    )


class FakeHistory:
    interval_s = 1.0

    def series(self, device: str, port: int | None, name: str, seconds: float) -> Series | None:
        if name != "np_counter_0":
            return None
        return struct(
            Series,
            device=device,
            port=port,
            name=name,
            unit="packets",
            interval_s=1.0,
            per_second=(1.0, None),
            end=now(),
        )


class FakeSampler:
    """Counts what it is asked; `hang_s` and `fail` make the next readings slow or broken."""

    interval_s: float | None = None
    verbs: Any = None
    uevents: Any = None

    def __init__(self, devices: int = 1, counters: int = 2) -> None:
        self.devices, self.per_device = devices, counters
        self.ticks = self.refreshes = 0
        self.tick_times: list[float] = []
        self.hang_s, self.fail, self.closed = 0.0, False, False
        self.fail_refresh = False
        self.history = FakeHistory()
        self.threads: set[str] = set()

    def open_uevents(self) -> Any:
        return self.uevents

    def refresh(self) -> None:
        self.refreshes += 1
        if self.fail_refresh:
            raise RuntimeError("an inventory has a bug")

    def tick(self, counters: bool = True) -> None:
        self.threads.add(threading.current_thread().name)
        self.tick_times.append(time.monotonic())
        self.ticks += 1
        if self.hang_s:
            time.sleep(self.hang_s)
        if self.fail:
            raise RuntimeError("a reader has a bug")

    def snapshot(self, counters: Any = "all") -> NodeSnapshot:
        return snapshot(self.devices, self.per_device, self.ticks)

    def close(self) -> None:
        self.closed = True


class FakeJudge:
    """Finds the same in every sample."""

    def __init__(self, findings: tuple[Finding, ...], events: tuple[Event, ...] = ()) -> None:
        self.findings, self.events = findings, events

    def step(self, snapshot: NodeSnapshot, windows: Any) -> tuple[NodeSnapshot, tuple[Event, ...]]:
        return msgspec.structs.replace(snapshot, findings=self.findings), self.events


class FakeBenchmarks:
    """Keeps what was started; a size of 3 is refused."""

    def __init__(self, read: Callable[[], Awaitable[NodeSnapshot]]) -> None:
        self.read, self.rows, self.closed = read, [], False

    async def start(self, request: BenchmarkRequest) -> tuple[Benchmark, ...]:
        if 3 in request.sizes:
            raise UserError("mlx5_0 cannot do 3 bytes", "2 B to 8 MiB")
        row = struct(
            Benchmark,
            id=f"b{len(self.rows)}",
            kind="loopback",
            state="queued",
            verdict="unknown",
            node="n1",
            device=request.device or "mlx5_0",
            port=1,
            operation=request.operation,
        )
        self.rows.insert(0, row)
        return (row,)

    def all(self) -> tuple[Benchmark, ...]:
        return tuple(self.rows)

    def get(self, id: str) -> Benchmark:  # noqa: A002
        return next((row for row in self.rows if row.id == id), None) or {}[id]

    async def cancel(self, id: str) -> Benchmark:  # noqa: A002
        row = msgspec.structs.replace(self.get(id), state="cancelled")
        self.rows = [row if kept.id == id else kept for kept in self.rows]
        return row

    async def close(self) -> None:
        self.closed = True
