"""Loopbacks of every kind on devices that exist in the worker's process only, and everything that can go wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import pytest

from agent.verbs.client import VerbsClient
from agent.verbs.protocol import Job, Progress, Result
from diagnostics.errors import Unreachable
from tests.lab.fakeverbs import environment
from tests.lab.missing import without
from tests.lab.places import Missing

OPERATIONS = ("write", "read", "send")


@asynccontextmanager
async def worker(**settings: object) -> AsyncIterator[VerbsClient]:
    try:
        env = environment(**settings)
    except Missing as missing:
        without(str(missing))
    client = await VerbsClient.start_child(env)
    if "pyverbs" in client.state:
        without(client.state)
    try:
        yield client
    finally:
        await client.close()


def job(**changes: Any) -> Job:
    return Job(**{"id": "job", "device": "mlx5_0", "size_bytes": 4096, "qps": 2, "duration_s": 0.1, **changes})


async def run(client: VerbsClient, asked: Job, each: Callable[[Progress], None] | None = None) -> Result:
    last: Progress | Result | None = None
    async with asyncio.timeout(60) if hasattr(asyncio, "timeout") else nullcontext():
        async for reply in client.run(asked):
            last = reply
            if each is not None and isinstance(reply, Progress):
                each(reply)
    if isinstance(last, Result):
        return last
    raise AssertionError("a run that ended without a result")


async def failed(changes: dict[str, Any] | None = None, **settings: object) -> Result:
    async with worker(**settings) as client:
        result = await run(client, job(**(changes or {})))
        assert result.outcome == "failed"
        assert len(await client.devices()) == 1, "the worker lives on"
    return result


async def test_every_kind_and_size_moves_its_bytes() -> None:
    async with worker() as client:
        for operation in OPERATIONS:
            for shape in ({}, {"bidirectional": True}, {"latency": True}):
                for size in (2, 3, 64, 4097, 1 << 20):
                    result = await run(client, job(operation=operation, size_bytes=size, duration_s=0.02, **shape))
                    what = f"{operation} {shape} {size}: {result}"
                    assert (result.outcome, result.verified, result.error) == ("done", True, None), what
                    assert result.messages > 0, what
                    if "latency" in shape:
                        assert result.latency_us is not None, what
                        assert list(result.latency_us) == sorted(result.latency_us), what
                        assert result.latency_by == ("memory" if operation == "write" else "completion"), what
                        assert result.bandwidth_gbps is None, what
                    else:
                        assert result.latency_us is None, what
                        assert result.bandwidth_gbps == pytest.approx(
                            result.messages * size * 8 / (result.elapsed_s or 0) / 1e9, rel=0.001
                        ), what


async def test_the_largest_size_and_many_queue_pairs() -> None:
    async with worker() as client:
        large = await run(client, job(size_bytes=8 << 20, duration_s=0.05))
        assert (large.verified, large.chain) == (True, 1), "8 MiB go one by one: a chain is 4 MiB at most"
        many = await run(client, job(size_bytes=64, qps=128, operation="send", duration_s=0.05))
        assert (many.verified, many.qps, many.chain) == (True, 128, 128)


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_devices_without_extended_queues(operation: str) -> None:
    async with worker(NO_CQ_EX=1) as client:
        for latency in (False, True):
            result = await run(client, job(operation=operation, latency=latency))
            assert (result.outcome, result.verified) == ("done", True)


async def test_iterations_in_place_of_a_duration() -> None:
    async with worker() as client:
        result = await run(client, job(iterations=1000, size_bytes=64, qps=1))
        assert result.messages == 1024, "whole chains of 128"
        both = await run(client, job(iterations=1000, size_bytes=64, qps=1, bidirectional=True))
        assert both.messages == 2048
        few = await run(client, job(iterations=1, size_bytes=64, qps=2))
        assert (few.messages, few.chain, few.verified) == (1, 1, True)
        latency = await run(client, job(iterations=100, latency=True))
        assert latency.messages == 100


@pytest.mark.parametrize("changes", [{}, {"latency": True}, {"operation": "read", "latency": True}], ids=str)
async def test_progress_comes_several_times_a_second(changes: dict[str, Any]) -> None:
    seen: list[Progress] = []
    async with worker(NS=2000) as client:
        result = await run(client, job(duration_s=1.0, **changes), seen.append)
    assert result.outcome == "done"
    assert 3 <= len(seen) <= 10
    assert [reply.fraction for reply in seen] == sorted(reply.fraction for reply in seen)
    assert all(0 < reply.fraction <= 1 and reply.messages for reply in seen)
    assert result.elapsed_s == pytest.approx(1.0, abs=0.4)


@pytest.mark.parametrize("changes", [{}, {"latency": True}, {"operation": "send"}], ids=str)
async def test_cancel_keeps_what_was_measured(changes: dict[str, Any]) -> None:
    async with worker(NS=1000) as client:
        asked = job(duration_s=60.0, **changes)
        begun = time.monotonic()
        replies = [reply async for reply in _cancelling(client, asked)]
        reply = replies[-1]
        assert isinstance(reply, Result)
        assert reply.outcome == "cancelled"
        assert reply.messages > 0
        assert reply.bandwidth_gbps or reply.latency_us
        assert time.monotonic() - begun < 5


async def test_a_cancel_right_behind_its_job_is_heard() -> None:
    async with worker(NS=1000) as client:
        for number in range(20):
            asked = job(id=f"j{number}", duration_s=60.0)
            runs = asyncio.create_task(run(client, asked))
            await asyncio.sleep(0.002 * number)
            await client.cancel(asked.id)
            await asyncio.sleep(0)
            await client.cancel(asked.id)
            result = await asyncio.wait_for(runs, 5)
            assert (result.outcome, result.error) == ("cancelled", None)


async def test_leaving_a_run_stops_it() -> None:
    async with worker(NS=1000) as client:
        async for _ in client.run(job(duration_s=60.0)):
            break
        await asyncio.sleep(0.3)
        result = await run(client, job(id="next"))
        assert result.outcome == "done", "the device is free again"


async def test_the_gid_is_v2_with_an_address_unless_another_is_asked_for() -> None:
    async with worker() as client:
        chosen = await run(client, job())
        assert (chosen.gid_index, chosen.gid) == (3, "0000:0000:0000:0000:0000:ffff:0a00:0001")
        assert (await run(client, job(gid_index=1))).gid_index == 1
        missing = await run(client, job(gid_index=9))
        assert missing.error == "mlx5_0/1 has no GID at index 9"
        assert missing.hint == "filled entries: 0, 1, 2, 3"
    async with worker(LINK="ib") as client:
        assert (await run(client, job())).outcome == "done", "by LID"
    async with worker(GIDS="v1") as client:
        assert (await run(client, job())).gid_index == 0, "as the contract has a port's default"


async def test_what_does_not_fit_is_said_with_what_would() -> None:
    result = await failed({"size_bytes": 8192}, MAX_MSG=4096)
    assert result.error == "mlx5_0/1 moves messages of 4 KiB at most, 8 KiB asked"
    result = await failed({"qps": 8}, MAX_QP=8)
    assert result.error == "mlx5_0 has 8 queue pairs; a loop of 8 needs 16"
    assert result.hint == "use --qps 4 or less"
    result = await failed({"qps": 128, "size_bytes": 8 << 20})
    assert "512 MiB at most" in (result.error or "")
    result = await failed(MEMLOCK=8192)
    assert "cannot lock" in (result.error or "")
    assert "memlock limit is" in (result.error or "")
    assert "ulimit -l unlimited" in (result.hint or "")
    result = await failed({"port": 2})
    assert result.error == "mlx5_0 has no port 2; it has 1"
    result = await failed({"device": "mlx5_7"})
    assert (result.error, result.hint) == ("there is no RDMA device mlx5_7", "there are: mlx5_0")


async def test_short_send_queues_get_short_chains() -> None:
    async with worker(MAX_WR=64) as client:
        result = await run(client, job(size_bytes=64))
        assert (result.outcome, result.chain) == ("done", 31)


async def test_ports_that_cannot_carry_anything_are_answers() -> None:
    down = await failed(PORT="down")
    assert down.port_down
    assert down.error == "mlx5_0/1 is down: state DOWN, physical state Disabled"
    init = await failed(PORT="init")
    assert init.port_down
    assert "no subnet manager" in (init.hint or "")
    none = await failed(GIDS="none")
    assert none.error == "mlx5_0/1 has no usable GID"
    assert not none.port_down


@pytest.mark.parametrize("changes", [{}, {"latency": True}, {"operation": "send"}, {"operation": "read"}], ids=str)
async def test_a_failed_completion_is_named_and_explained(changes: dict[str, Any]) -> None:
    result = await failed({"duration_s": 5.0, **changes}, FAULT="wc:1000:12")
    assert "RETRY_EXC_ERR (12): transport retries exceeded" in (result.error or "")
    assert "vendor error" in (result.error or "") or changes
    assert result.hint


async def test_a_post_that_is_refused() -> None:
    result = await failed(FAULT="post:1000:5")
    assert "Input/output error" in (result.error or "")


@pytest.mark.parametrize(
    "changes",
    [{}, {"latency": True}, {"operation": "send", "latency": True}, {"operation": "read", "latency": True}],
    ids=str,
)
async def test_no_completion_is_an_end_with_a_reason(changes: dict[str, Any]) -> None:
    begun = time.monotonic()
    result = await failed({"silence_s": 0.5, "duration_s": 30.0, **changes}, FAULT="stall:1000")
    assert "no completion in 0.5 s" in (result.error or "")
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_one_wrong_byte_fails_the_run(operation: str) -> None:
    if operation == "send":
        pytest.skip("the fault is one of reads and writes")
    result = await failed({"operation": operation, "duration_s": 0.5}, FAULT="flip:1000")
    assert "the data arrived changed: byte 2048" in (result.error or "")


async def test_a_crash_in_the_library_ends_only_its_run() -> None:
    result = await failed({"duration_s": 5.0}, FAULT="crash:1000")
    assert result.error == "mlx5_0/1: the benchmark process was killed by SIGSEGV"


async def test_a_hang_in_the_driver_still_hears_the_cancel() -> None:
    async with worker(FAULT="hang:1000") as client:
        asked = job(duration_s=5.0)
        runs = asyncio.create_task(run(client, asked))
        await asyncio.sleep(0.5)
        assert len(await client.devices()) == 1, "the worker answers meanwhile"
        await client.cancel(asked.id)
        result = await asyncio.wait_for(runs, 8)
        assert result.outcome == "cancelled"
        assert "did not stop" in (result.error or "")


async def test_a_device_that_cannot_be_opened_says_why() -> None:
    async with worker(OPEN=13) as client:
        (facts,) = await client.devices()
        assert not facts.opened
        assert facts.error == "mlx5_0 cannot be opened: Permission denied"
        assert (await run(client, job())).error == facts.error


async def test_a_kernel_without_rdma_is_said() -> None:
    async with worker(LIST=38) as client:
        with pytest.raises(Unreachable, match=r"no RDMA user access|cannot be listed"):
            await client.devices()


async def test_what_the_devices_are() -> None:
    async with worker(DEVS="mlx5_0,mlx5_1") as client:
        first, second = await client.devices()
    assert (first.name, second.name) == ("mlx5_0", "mlx5_1")
    assert second.node_guid == "b83f:d203:0000:0001"
    assert first.firmware == "28.43.2026"
    assert first.ports[0].state == "ACTIVE"
    assert first.ports[0].active_mtu_bytes == 4096
    assert [(gid.index, gid.type) for gid in first.gids] == [(0, "RoCEv1"), (1, "RoCEv2"), (2, "RoCEv1"), (3, "RoCEv2")]


async def test_killing_the_worker_fails_the_run_and_starts_another() -> None:
    async with worker(NS=1000) as client:
        killed = client.pid
        assert killed is not None

        def kill(_: Progress) -> None:
            os.kill(killed, signal.SIGKILL)

        result = await run(client, job(duration_s=60.0), kill)
        assert result.outcome == "failed"
        assert "the verbs worker was killed by signal 9" in (result.error or "")
        assert (await run(client, job(id="again"))).outcome == "done"
        assert client.pid != killed
        assert not _children_of(killed), "the run's own process died with it"


async def test_a_worker_that_always_dies_is_not_started_for_ever() -> None:
    async with worker() as client:
        for _ in range(5):
            assert client.pid is not None
            os.kill(client.pid, signal.SIGKILL)
            await asyncio.sleep(0.2)
            try:
                await client.devices()
            except Unreachable as gone:
                assert "it died 5 times within 60 s" in gone.message
                return
        raise AssertionError("it was started a sixth time")


async def test_one_benchmark_a_device() -> None:
    async with worker(NS=1000, DEVS="mlx5_0,mlx5_1") as client:
        first = asyncio.create_task(run(client, job(id="one", duration_s=1.0)))
        await asyncio.sleep(0.3)
        refused = await run(client, job(id="two"))
        assert "is in a benchmark already" in (refused.error or "")
        assert (await run(client, job(id="three", device="mlx5_1"))).outcome == "done"
        assert (await first).outcome == "done"


async def _cancelling(client: VerbsClient, asked: Job) -> AsyncIterator[Progress | Result]:
    async for reply in client.run(asked):
        await client.cancel(asked.id)
        yield reply


def _children_of(pid: int) -> list[int]:
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    if int(file.read().rpartition(")")[2].split()[1]) == pid:
                        found.append(int(entry))
            except OSError:
                continue
    return found
