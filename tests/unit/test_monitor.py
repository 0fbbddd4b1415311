"""The monitor: in time, never blocked, latest wins, and an end that waits for nothing that hangs."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import asynccontextmanager

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.encoding import UnknownSelection
from agent.lane import MOST, Lane
from agent.monitor import Monitor, percent_of_expected, shown
from agent.readers import uevents
from agent.schedule import Alarm, next_due
from diagnostics.errors import Unreachable, UserError
from diagnostics.model import Benchmark, Event, Finding, NodeSnapshot
from tests.unit.fake_node import FakeBenchmarks, FakeJudge, FakeSampler, struct


@asynccontextmanager
async def running(sampler, **options):
    monitor = Monitor(sampler, **options)
    await monitor.start()
    try:
        yield monitor
    finally:
        await monitor.close()


@given(due=st.floats(0, 1e6), late=st.floats(0, 1e4), interval=st.floats(0.2, 60))
def test_the_grid_never_drifts_and_counts_every_missed_point(due, late, interval):
    now = due + late
    following, missed = next_due(due, now, interval)
    steps = (following - due) / interval
    assert steps == pytest.approx(missed + 1)
    assert following > now - interval * 1.000001
    if late < interval:
        assert missed == 0


async def test_alarm_rings_between_and_during_sleeps():
    alarm, clock = Alarm(), asyncio.get_running_loop().time
    alarm.ring()
    assert await alarm.sleep_until(clock() + 10) is True
    assert await alarm.sleep_until(clock() + 0.01) is False
    asyncio.get_running_loop().call_later(0.01, alarm.ring)
    assert await alarm.sleep_until(clock() + 10) is True


async def test_samples_in_time_in_one_thread_off_the_loop():
    sampler = FakeSampler()
    async with running(sampler, interval_s=0.2) as monitor:
        await asyncio.sleep(1.15)
        assert 5 <= sampler.ticks <= 7
        assert sampler.threads == {"sampler"}
        assert sampler.refreshes == 1
        assert monitor.missed == 0
        assert monitor.latest.sequence == sampler.ticks
        assert monitor.latest.agent.interval_s == 0.2
    steps = [after - before for before, after in zip(sampler.tick_times, sampler.tick_times[1:], strict=False)]
    assert sum(steps) / len(steps) == pytest.approx(0.2, abs=0.02)
    assert sampler.closed


async def test_a_slow_reading_is_missed_samples_and_never_a_blocked_loop():
    sampler = FakeSampler()
    async with running(sampler, interval_s=0.2) as monitor:
        await anext(monitor.subscribe())
        sampler.hang_s = 0.7
        worst, end = 0.0, time.monotonic() + 1.0
        while time.monotonic() < end:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            worst = max(worst, time.monotonic() - before)
        sampler.hang_s = 0.0
        subscription = monitor.subscribe()
        await anext(subscription)
        await anext(subscription)
        assert worst < 0.2
        assert monitor.missed >= 2
        assert monitor.latest.sequence - monitor.latest.agent.missed in (sampler.ticks, sampler.ticks - 1)


async def test_a_reader_with_a_bug_does_not_end_the_sampling():
    sampler = FakeSampler()
    sampler.fail = True
    async with running(sampler, interval_s=0.2) as monitor:
        await asyncio.sleep(0.5)
        assert monitor.latest is None
        sampler.fail = False
        assert isinstance(await asyncio.wait_for(anext(monitor.subscribe()), 1), NodeSnapshot)


async def test_an_inventory_with_a_bug_ends_neither_the_sampling_nor_the_inventories():
    sampler = FakeSampler()
    sampler.fail_refresh = True
    async with running(sampler, interval_s=0.2, slow_s=0.1) as monitor:
        await asyncio.sleep(0.5)
        assert sampler.refreshes >= 3
        assert sampler.ticks >= 2
        assert monitor.latest is not None
        assert monitor.broken is None


async def test_a_slow_subscriber_gets_the_latest_and_the_end():
    sampler = FakeSampler()
    async with running(sampler, interval_s=0.2) as monitor:
        slow = monitor.subscribe()
        first = await anext(slow)
        await asyncio.sleep(0.7)
        second = await anext(slow)
        assert second is monitor.latest
        assert second.sequence - first.sequence >= 3
    with pytest.raises(StopAsyncIteration):
        await anext(slow)


async def test_the_interval_can_be_changed_while_it_waits():
    sampler = FakeSampler()
    async with running(sampler, interval_s=60) as monitor:
        subscription = monitor.subscribe()
        await anext(subscription)
        await asyncio.sleep(0.05)
        monitor.set_interval(0.2)
        await asyncio.wait_for(anext(subscription), 0.5)
        assert monitor.latest.interval_s == sampler.interval_s == 0.2
        for wrong in (0.1, 61, float("nan")):
            with pytest.raises(UserError):
                monitor.set_interval(wrong)


async def test_a_fresh_reading_is_everybodys_and_takes_the_place_of_the_one_that_is_due():
    sampler = FakeSampler()
    async with running(sampler, interval_s=2.0) as monitor:
        await anext(monitor.subscribe())
        await asyncio.sleep(1.5)
        fresh = await monitor.read()
        assert monitor.latest is fresh
        await asyncio.sleep(1.0)
        assert sampler.ticks == 2
        assert monitor.missed == 0


async def test_json_is_made_once_a_sample_for_each_selection():
    async with running(FakeSampler(devices=2), interval_s=60) as monitor:
        with pytest.raises(Unreachable):
            monitor.encoded()
        await anext(monitor.subscribe())
        assert monitor.encoded() is monitor.encoded("all")
        whole, none, port = (
            msgspec.json.decode(monitor.encoded(key), type=NodeSnapshot) for key in ("all", "none", "mlx5_1/1")
        )
        assert len(whole.counters) == 8
        assert none.counters == ()
        assert {(row.device, row.port) for row in port.counters} == {("mlx5_1", 1), ("mlx5_1", None)}
        for unknown in ("mlx5_9/1", "mlx5_1/2", "mlx5_1/", "", "/1"):
            with pytest.raises(UnknownSelection):
                monitor.encoded(unknown)
        before = monitor.encoded()
        await monitor.read()
        assert monitor.encoded() is not before


async def test_what_the_judge_finds_is_in_the_snapshot_and_its_events_are_kept():
    finding = struct(Finding, id="f1", node="n1", check="link-down", layer="link", severity="critical", message="down")
    event = struct(Event, node="n1", time="2026-11-24T12:00:00.000Z", check="link-down", kind="started", message="down")
    async with running(FakeSampler(), interval_s=60, judge=FakeJudge((finding,), (event,))) as monitor:
        latest = await anext(monitor.subscribe())
        assert latest.findings == monitor.findings == (finding,)
        assert list(monitor.events) == [event]


async def test_benchmarks_read_through_the_monitor_and_show_in_the_snapshot():
    made = []

    def make(read):
        made.append(FakeBenchmarks(read))
        return made[0]

    async with running(FakeSampler(), interval_s=60, benchmarks=make) as monitor:
        from diagnostics.model import BenchmarkRequest

        await monitor.start_benchmark(BenchmarkRequest())
        assert (await made[0].read()).benchmarks == made[0].all()
    assert made[0].closed
    async with running(FakeSampler(), interval_s=60, verbs_state="off: --verbs off") as monitor:
        with pytest.raises(Unreachable, match="--verbs off"):
            await monitor.start_benchmark(BenchmarkRequest())


def _benchmark(**facts):
    return struct(Benchmark, kind="loopback", verdict="pass", node="n1", operation="write", **{"port": 1, **facts})


def test_shown_are_those_that_run_and_the_last_of_each_port():
    rows = (
        _benchmark(id="5", device="a", state="running"),
        _benchmark(id="4", device="a", state="done"),
        _benchmark(id="3", device="b", state="failed"),
        _benchmark(id="2", device="a", state="done"),
        _benchmark(id="1", device="b", state="queued"),
    )
    assert [row.id for row in shown(rows)] == ["5", "4", "3", "1"]


def test_percent_of_expected_is_of_the_newest_with_a_bandwidth():
    rows = (
        _benchmark(id="2", device="a", state="failed"),
        _benchmark(id="1", device="a", state="done", bandwidth_gbps=95.0, expected_gbps=100.0),
    )
    assert percent_of_expected(rows) == 95.0
    assert percent_of_expected(rows[:1]) is None


async def test_closing_does_not_wait_for_a_reading_that_hangs():
    sampler = FakeSampler()
    sampler.hang_s = 5.0
    monitor = Monitor(sampler)
    await monitor.start()
    await asyncio.sleep(0.1)
    before = time.monotonic()
    await monitor.close()
    assert time.monotonic() - before < 1.0


async def test_uevents_bring_an_inventory_but_a_storm_brings_no_storm_of_them():
    import socket

    ours, kernel = socket.socketpair()
    ours.setblocking(False)

    class Uevents:
        def fileno(self):
            return ours.fileno()

        def drain(self):
            return [uevents.parse(ours.recv(65536))]

        def close(self):
            ours.close()

    sampler = FakeSampler()
    sampler.uevents = Uevents()
    async with running(sampler) as monitor:
        await anext(monitor.subscribe())
        for _ in range(100):
            kernel.send(b"add@/devices/x\0ACTION=add\0SUBSYSTEM=infiniband\0DEVPATH=/devices/x\0")
            await asyncio.sleep(0.01)
        await asyncio.sleep(1.5)
        assert sampler.refreshes == 2
        await asyncio.sleep(2.5)
        before = sampler.refreshes
        for number in range(20):
            path = f"/devices/virtual/net/veth{number}".encode()
            kernel.send(b"add@" + path + b"\0ACTION=add\0SUBSYSTEM=net\0DEVPATH=" + path + b"\0")
            await asyncio.sleep(0.01)
        await asyncio.sleep(2.5)
        assert sampler.refreshes == before, "a pod's netdev is no reason"
    kernel.close()


async def test_why_there_are_no_verbs_is_said_until_there_are():
    class Verbs:
        state, closed = "ok", False

        async def devices(self):
            raise Unreachable("ib_uverbs is not loaded")

        async def close(self):
            self.closed = True

    verbs = Verbs()
    async with running(FakeSampler(), interval_s=0.2, verbs=verbs, benchmarks=FakeBenchmarks) as monitor:
        subscription = monitor.subscribe()
        await anext(subscription)
        await anext(subscription)
        assert monitor.latest.agent.verbs == "ib_uverbs is not loaded"
    assert verbs.closed


async def test_readings_that_are_asked_for_while_one_hangs_do_not_pile_up():
    lane = Lane("test")
    goes_on = threading.Event()
    waiting = [asyncio.create_task(lane.run(goes_on.wait)) for _ in range(200)]
    await asyncio.sleep(0.1)
    refused = [task for task in waiting if task.done()]
    assert 200 - len(refused) <= MOST + 1
    assert all(isinstance(task.exception(), Unreachable) for task in refused)
    goes_on.set()
    await asyncio.gather(*waiting, return_exceptions=True)
    lane.close()
