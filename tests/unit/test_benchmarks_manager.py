"""The queue of benchmarks, over a real worker with devices of its own making and readings that the tests write."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from agent.benchmarks import guard, outcome
from agent.benchmarks.history import KEPT, History
from agent.benchmarks.manager import Benchmarks
from agent.verbs.client import VerbsClient
from agent.verbs.protocol import Result, VerbsFacts
from diagnostics.errors import Unreachable, UserError
from diagnostics.model import Benchmark, BenchmarkRequest, Counter, CounterSource, Device, NodeSnapshot, Pcie, Port
from diagnostics.model import Node as NodeLine
from tests.lab.fakeverbs import environment
from tests.lab.missing import without
from tests.lab.places import Missing


def blank(kind: type[Any], **known: Any) -> Any:
    """An item of the wire with what is known, null for the rest."""
    fields = {field.encode_name: None for field in msgspec.structs.fields(kind) if field.required}
    return msgspec.structs.replace(kind(**{_attribute(kind, name): value for name, value in fields.items()}), **known)


def _attribute(kind: type[Any], encoded: str) -> str:
    return next(field.name for field in msgspec.structs.fields(kind) if field.encode_name == encoded)


class Readings:
    """What the node looks like now; each reading moves its counters."""

    def __init__(self, *devices: str, state: str = "ACTIVE") -> None:
        self.ports = [
            blank(Port, node="n", device=name, port=1, state=state, phys_state="LinkUp", rate_gbps=200.0, lanes=4,
                  speed="HDR", link_layer="InfiniBand", expected="up", health="healthy", rate_quality="ok",
                  tx_gbps=0.0, rx_gbps=0.0)
            for name in devices or ("mlx5_0",)
        ]  # fmt: skip
        self.function, self.pcie_gbps, self.sequence = "pf", 252.0, 0
        self.moves: Callable[[int], dict[str, int]] = lambda sequence: {"port_xmit_data": 1000 * sequence}

    async def read(self) -> NodeSnapshot:
        self.sequence += 1
        pcie = blank(Pcie, limit_gbps=self.pcie_gbps)
        devices = tuple(blank(Device, node="n", device=port.device, function=self.function, pcie=pcie, ports=1)
                        for port in self.ports)  # fmt: skip
        counters = tuple(
            blank(Counter, node="n", device=port.device, port=1, name=name, source="counters", value=value, unit="",
                  class_="traffic", quality="ok")
            for port in self.ports for name, value in self.moves(self.sequence).items()
        )  # fmt: skip
        return blank(
            NodeSnapshot, node=blank(NodeLine, node="n"), boot_id="boot", devices=devices, ports=tuple(self.ports),
            counters=counters,
        )  # fmt: skip


@asynccontextmanager
async def benchmarks(
    readings: Readings, told: list[Benchmark] | None = None, **settings: object
) -> AsyncIterator[Benchmarks]:
    try:
        client = await VerbsClient.start_child(environment(**settings))
    except Missing as missing:
        without(str(missing))
    if "pyverbs" in client.state:
        without(client.state)
    made = Benchmarks(client, readings.read, None if told is None else told.append)
    try:
        yield made
    finally:
        await made.close()
        await client.close()


@pytest.fixture(autouse=True)
def short_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "READING_GAP_S", 0.01)


def request(**changes: Any) -> BenchmarkRequest:
    return BenchmarkRequest(**{"device": "mlx5_0", "sizes": (65536,), "duration_s": 0.1, **changes})


async def end(made: Benchmarks, items: tuple[Benchmark, ...]) -> list[Benchmark]:
    return [await asyncio.wait_for(made.ended(item.id), 30) for item in items]


async def test_a_run_is_judged_and_told_once() -> None:
    told: list[Benchmark] = []
    async with benchmarks(Readings(), told, NS=1) as made:
        items = await made.start(request())
        assert [item.state for item in items] == ["queued"]
        (item,) = await end(made, items)
    assert (item.state, item.verified, item.error) == ("done", True, None)
    assert item.expected_gbps == 200.0
    assert item.limited_by == "link"
    assert item.verdict in ("pass", "note", "warn", "fail")
    assert f"of 200.0 Gb/s expected ({100 * (item.bandwidth_gbps or 0) / 200:.0f} %)" in (item.reason or "")
    assert item.counters is not None
    assert item.counters["port_xmit_data"] > 0
    assert (item.gid_index, item.mtu_bytes, item.boot_id, item.node) == (3, 4096, "boot", "n")
    assert item.started is not None
    assert item.progress is None
    assert told == [item]


async def test_a_slow_run_fails_and_says_what_limits_it() -> None:
    readings = Readings()
    readings.pcie_gbps = 115.0
    async with benchmarks(readings, NS=100_000) as made:
        (item,) = await end(made, await made.start(request(sizes=(65536,))))
    assert (item.verdict, item.expected_gbps, item.limited_by) == ("fail", 115.0, "pcie")
    assert "limited by the PCIe slot" in (item.reason or "")


@pytest.mark.parametrize(
    ("changes", "function", "says"),
    [
        ({"sizes": (64,)}, "pf", "bound by posting"),
        ({}, "virtual", "no wire"),
        ({"latency": True}, "pf", "median"),
    ],
)
async def test_what_cannot_be_judged_says_why(changes: dict[str, Any], function: str, says: str) -> None:
    readings = Readings()
    readings.function = function
    async with benchmarks(readings) as made:
        (item,) = await end(made, await made.start(request(**changes)))
    assert (item.state, item.verdict) == ("done", "unknown")
    assert says in (item.reason or "")


async def test_error_counters_that_moved_are_named() -> None:
    readings = Readings()
    readings.moves = lambda sequence: {"symbol_error": 7 * sequence, "port_xmit_data": 5, "link_downed": None}  # type: ignore[dict-item]
    async with benchmarks(readings) as made:
        (item,) = await end(made, await made.start(request()))
    assert item.counters == {"symbol_error": 7}
    assert "error counters moved: symbol_error +7" in (item.reason or "")


@pytest.mark.parametrize(
    ("source", "name", "port", "dirty"),
    [
        ("counters", "symbol_error", 1, True),
        ("ethtool", "rx_pcs_symbol_err_phy", 1, True),
        ("pci", "aer_dev_fatal.TOTAL_ERR_FATAL", None, True),
        ("hw_counters", "packet_seq_err", 1, True),
        ("hw_counters", "rx_out_of_buffer", 1, True),
        ("ethtool", "rx_out_of_buffer", 1, False),
        ("ethtool", "rx_bits_phy", 1, False),
        ("counters", "port_xmit_data", 1, False),
    ],
)
def test_a_run_is_clean_only_if_no_source_counted_errors(
    source: CounterSource, name: str, port: int | None, dirty: bool
) -> None:
    item = blank(Benchmark, node="n", device="mlx5_0", port=1)
    before, after = (
        blank(
            NodeSnapshot,
            counters=(blank(Counter, device="mlx5_0", port=port, name=name, source=source, value=value),),
        )
        for value in (3, 5)
    )
    increases = outcome.moved(item, before, after)
    assert increases == {(source, name): 2}
    assert outcome.errors_moved(increases) == (f"; error counters moved: {name} +2" if dirty else "")


def done(gbps: float) -> Benchmark:
    return replace(
        blank(Benchmark), id=f"b{gbps}", node="n", device="mlx5_0", port=1, kind="loopback", operation="write",
        state="done",
        size_bytes=1 << 20, qps=2, chain=128, bandwidth_gbps=gbps, expected_gbps=200.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("earlier", "function", "verdict", "says"),
    [
        ((), "pf", "note", "187.0 of 200.0 Gb/s expected"),
        ((done(199.0), done(150.0)), "pf", "warn", "94% of this node's own best 199 Gb/s"),
        ((done(196.0),), "pf", "note", "187.0 of 200.0 Gb/s expected"),
        ((replace(done(199.0), qps=8),), "pf", "note", "expected"),
        ((replace(done(399.0), expected_gbps=400.0),), "pf", "note", "expected"),
        ((replace(done(199.0), state="cancelled"),), "pf", "note", "expected"),
        ((replace(done(199.0), expected_gbps=None),), "virtual", "unknown", "software"),
    ],
)
async def test_the_nodes_own_best_run_is_a_measure_too(
    earlier: tuple[Benchmark, ...], function: str, verdict: str, says: str
) -> None:
    readings = Readings()
    readings.function = function
    node = await readings.read()
    item = replace(done(187.0), state="running", bandwidth_gbps=None, expected_gbps=None)
    made = Result(id=item.id, outcome="done", bandwidth_gbps=187.0, elapsed_s=1.0, messages=1)
    judged = outcome.finish(item, made, node, node, earlier)
    assert (judged.verdict, judged.expected_gbps) == (verdict, None if function == "virtual" else 200.0)
    assert says in (judged.reason or "")


async def test_an_item_for_each_port_and_size_one_after_the_other() -> None:
    running: list[int] = []
    async with benchmarks(Readings("mlx5_0", "mlx5_1"), DEVS="mlx5_0,mlx5_1") as made:
        items = await made.start(request(device=None, sizes=(64, 4096), duration_s=0.3))
        assert [(item.device, item.size_bytes) for item in items] == [
            ("mlx5_0", 64), ("mlx5_0", 4096), ("mlx5_1", 64), ("mlx5_1", 4096)
        ]  # fmt: skip
        assert sorted(item.id for item in items) == [item.id for item in items]
        assert len({item.batch for item in items}) == 1
        watch = asyncio.create_task(_count_running(made, running))
        done = await end(made, items)
        watch.cancel()
        assert [item.id for item in made.all()] == [item.id for item in reversed(done)], "newest first"
    assert [item.state for item in done] == ["done"] * 4
    assert max(running) == 1


async def _count_running(made: Benchmarks, running: list[int]) -> None:
    async for _ in made.watch():
        running.append(sum(item.state == "running" for item in made.all()))


async def test_two_requests_for_one_hca_wait_for_each_other() -> None:
    async with benchmarks(Readings()) as made:
        first = await made.start(request(duration_s=0.3))
        second = await made.start(request(duration_s=0.3))
        await asyncio.sleep(0.1)
        assert [made.get(items[0].id).state for items in (first, second)] == ["running", "queued"]
        assert [item.state for item in await end(made, first + second)] == ["done", "done"]


async def test_a_busy_port_is_left_alone_unless_forced() -> None:
    readings = Readings()
    readings.ports[0] = replace(readings.ports[0], rx_gbps=24.0)
    async with benchmarks(readings) as made:
        with pytest.raises(UserError, match=r"mlx5_0/1 carries traffic: 12 % of its rate") as refused:
            await made.start(request())
        assert "--force" in refused.value.hint
        assert made.all() == ()
        (item,) = await end(made, await made.start(request(force=True)))
        assert item.state == "done"
        readings.ports[0] = replace(readings.ports[0], rx_gbps=9.9)
        (item,) = await end(made, await made.start(request()))
        assert item.state == "done"


async def test_a_port_that_is_down_is_an_answer() -> None:
    async with benchmarks(Readings(state="DOWN"), PORT="down") as made:
        (item,) = await end(made, await made.start(request()))
    assert (item.state, item.verdict) == ("failed", "fail")
    assert (item.reason or "").startswith("mlx5_0/1 is down: state DOWN, physical state Disabled")


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"sizes": (1,)}, UserError, "size 1: 2 to"),
        ({"sizes": ()}, UserError, "0 sizes"),
        ({"sizes": (16 << 20,)}, UserError, "size 16777216"),
        ({"qps": 0}, UserError, "qps 0"),
        ({"chain": 1000}, UserError, "chain 1000"),
        ({"duration_s": 0.0}, UserError, "duration 0 s"),
        ({"duration_s": float("nan")}, UserError, "duration nan s"),
        ({"iterations": 0}, UserError, "iterations 0"),
        ({"gid_index": -1}, UserError, "gid_index -1"),
        ({"kind": "pair"}, UserError, "needs two nodes"),
        ({"device": None, "port": 1}, UserError, "of which device"),
        ({"device": "mlx5_9"}, Unreachable, "no RDMA device mlx5_9"),
        ({"port": 2}, Unreachable, "mlx5_0 has no port 2"),
    ],
)
async def test_what_cannot_run_is_refused_at_once(changes: dict[str, Any], error: type[UserError], says: str) -> None:
    async with benchmarks(Readings()) as made:
        with pytest.raises(UserError, match=says) as refused:
            await made.start(request(**changes))
        assert type(refused.value) is error
        assert made.all() == ()


async def test_a_device_without_permission_is_out_of_reach() -> None:
    async with benchmarks(Readings(), OPEN=13) as made:
        with pytest.raises(Unreachable, match="cannot be opened: Permission denied"):
            await made.start(request())


async def test_a_size_over_what_the_device_moves() -> None:
    async with benchmarks(Readings(), MAX_MSG=4096) as made:
        with pytest.raises(UserError, match="4 KiB at most, 64 KiB asked"):
            await made.start(request())


async def test_cancel_running_and_queued() -> None:
    async with benchmarks(Readings(), NS=1000) as made:
        items = await made.start(request(sizes=(64, 4096, 65536), duration_s=60.0))
        await asyncio.sleep(0.5)
        last = await made.cancel(items[2].id)
        assert (last.state, last.bandwidth_gbps) == ("cancelled", None)
        first = await asyncio.wait_for(made.cancel(items[0].id), 5)
        assert first.state == "cancelled"
        assert first.bandwidth_gbps
        await asyncio.sleep(0.3)
        assert made.get(items[1].id).state == "running", "the next one takes its turn"
        second = await made.cancel(items[1].id)
        assert second.state == "cancelled"
        assert await made.cancel(items[1].id) == second, "a second time changes nothing"
        with pytest.raises(KeyError):
            await made.cancel("nothing")


async def test_a_killed_worker_fails_the_item_and_the_next_one_runs() -> None:
    async with benchmarks(Readings(), NS=1000) as made:
        items = await made.start(request(sizes=(64, 4096), duration_s=1.0))
        await asyncio.sleep(0.4)
        worker = made._verbs.pid
        assert worker is not None
        os.kill(worker, signal.SIGKILL)
        first, second = await end(made, items)
    assert (first.state, first.verdict) == ("failed", "unknown")
    assert "the verbs worker was killed by signal 9" in (first.reason or "")
    assert second.state == "done"


async def test_progress_is_seen_while_it_runs() -> None:
    seen: list[Benchmark] = []
    async with benchmarks(Readings(), NS=1000) as made:
        watch = asyncio.create_task(_collect(made, seen))
        await asyncio.sleep(0)
        items = await made.start(request(duration_s=1.0))
        await end(made, items)
        await asyncio.sleep(0.05)
        watch.cancel()
    states = [item.state for item in seen]
    assert states[0] == "queued"
    assert states[-1] == "done"
    rising = [item.progress for item in seen if item.state == "running"]
    assert len(rising) >= 4
    assert rising == sorted(rising)  # type: ignore[type-var]
    assert any(item.bandwidth_gbps for item in seen if item.state == "running")


async def _collect(made: Benchmarks, seen: list[Benchmark]) -> None:
    async for item in made.watch():
        seen.append(item)


async def test_a_reading_that_fails_costs_only_the_counters() -> None:
    readings = Readings()
    async with benchmarks(readings) as made:
        items = await made.start(request())

        async def broken() -> NodeSnapshot:
            raise OSError("gone")

        made._read = broken
        (item,) = await end(made, items)
    assert (item.state, item.counters) == ("done", None)


async def test_a_defect_of_ours_ends_the_item_and_not_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(*_: object) -> Benchmark:
        raise ValueError("a bug")

    async with benchmarks(Readings()) as made:
        monkeypatch.setattr("agent.benchmarks.outcome.finish", defect)
        items = await made.start(request(sizes=(64, 4096)))
        done = await end(made, items)
    assert [item.state for item in done] == ["failed", "failed"]
    assert all("internal error: ValueError: a bug" in (item.reason or "") for item in done)


async def test_close_leaves_nothing_running() -> None:
    told: list[Benchmark] = []
    async with benchmarks(Readings(), told, NS=1000) as made:
        await made.start(request(sizes=(64, 4096), duration_s=60.0))
        await asyncio.sleep(0.3)
    assert [item.state for item in told] == ["cancelled", "cancelled"]


def test_only_the_last_two_hundred_ended_ones_are_kept() -> None:
    history = History()
    waiting = blank(Benchmark, id=history.new_id(), state="queued")
    history.put(waiting)
    for _ in range(KEPT + 50):
        history.put(blank(Benchmark, id=history.new_id(), state="done"))
    kept = history.all()
    assert len(kept) == KEPT
    assert kept[-1] == waiting, "what waits is never forgotten"
    assert [item.id for item in kept] == sorted((item.id for item in kept), reverse=True)


class IdleVerbs:
    """Knows of the devices, and is never asked to run anything."""

    def __init__(self, *names: str) -> None:
        self.names = names

    async def devices(self) -> tuple[VerbsFacts, ...]:
        return tuple(VerbsFacts(name=name, opened=True) for name in self.names)


async def test_more_ports_times_sizes_than_are_kept_are_refused_in_words() -> None:
    names = tuple(f"mlx5_{number}" for number in range(16))
    made = Benchmarks(IdleVerbs(*names), Readings(*names).read)
    with pytest.raises(UserError, match=r"368 benchmarks \(ports times sizes\)") as told:
        await made.start(request(device=None, sizes=tuple(2**power for power in range(1, 24))))
    assert "fewer" in (told.value.hint or "")
    assert made.all() == ()
