"""Loopbacks on real verbs: soft-RoCE devices of the lab's kernel, their counters, and what becomes of a run when a
port or a device goes away under it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from agent.benchmarks.local import run_local
from agent.verbs.client import VerbsClient
from agent.verbs.protocol import Job, Progress, Result
from diagnostics.errors import Unreachable, UserError
from diagnostics.model import Benchmark, BenchmarkRequest
from tests.lab import devices

pytestmark = pytest.mark.vm
T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 120))


async def with_worker(job: Job, at_progress: Any = None) -> Result:
    client = await VerbsClient.start_child()
    try:
        assert client.state == "ok", client.state
        last: Progress | Result | None = None
        async for reply in client.run(job):
            if isinstance(reply, Progress) and at_progress is not None:
                at_progress, act = None, at_progress
                await asyncio.to_thread(act)
            last = reply
        assert isinstance(last, Result)
        assert len(await client.devices()) >= 1, "the worker lives on"
        return last
    finally:
        await client.close()


def job(**changes: Any) -> Job:
    return Job(**{"id": "vm", "device": "mlx5_0", "size_bytes": 4096, "qps": 2, "duration_s": 0.4, **changes})


def test_every_kind_on_real_verbs(lab: None) -> None:
    async def measure() -> None:
        client = await VerbsClient.start_child()
        try:
            for operation in ("write", "read", "send"):
                for shape in ({}, {"bidirectional": True}, {"latency": True}):
                    for size in (2, 4096, 262_144):
                        asked = job(operation=operation, size_bytes=size, duration_s=0.1, **shape)
                        check(asked, [reply async for reply in client.run(asked)][-1])
        finally:
            await client.close()

    def check(asked: Job, result: Progress | Result) -> None:
        assert isinstance(result, Result)
        assert (result.outcome, result.verified, result.error) == ("done", True, None), asked
        assert result.messages > 0, asked
        assert (result.latency_us is not None) == asked.latency, asked
        assert (result.gid_index, result.gid) == (1, "0000:0000:0000:0000:0000:ffff:0a08:0001")

    run(measure())


def test_the_devices_as_verbs_see_them(lab: None) -> None:
    async def ask() -> None:
        client = await VerbsClient.start_child()
        try:
            first, second = await client.devices()
        finally:
            await client.close()
        assert (first.name, first.opened, second.name) == ("mlx5_0", True, "mlx5_1")
        assert first.ports[0].state == "ACTIVE"
        assert first.max_msg_bytes == 8 << 20
        assert [(gid.index, gid.type) for gid in first.gids] == [(0, "RoCEv2"), (1, "RoCEv2")]
        assert first.gids[1].gid == "0000:0000:0000:0000:0000:ffff:0a08:0001"

    run(ask())


def test_a_request_from_ports_to_judged_items(lab: None) -> None:
    seen: list[Benchmark] = []
    items = run(run_local(BenchmarkRequest(sizes=(4096,), duration_s=1.0), "/", seen.append))
    assert [(item.device, item.state, item.verified) for item in items] == [
        ("mlx5_0", "done", True),
        ("mlx5_1", "done", True),
    ]
    for item in items:
        assert item.counters is not None
        packets = item.counters["sent_pkts"]
        messages = (item.messages_per_s or 0) * (item.duration_s or 0)
        assert packets >= messages, "a packet a message and more for the acknowledgements"
        assert item.verdict == "unknown"
        assert "software device" in (item.reason or "")
    assert {item.state for item in seen} >= {"queued", "running", "done"}


def test_a_port_that_is_down_is_an_answer(lab: None) -> None:
    devices.run("ip", "link", "set", "v0", "down")
    try:
        devices.until(lambda: not devices.are_up(), "the port is down")
        (item,) = run(run_local(BenchmarkRequest(device="mlx5_0", duration_s=0.3)))
    finally:
        devices.run("ip", "link", "set", "v0", "up")
        devices.until(devices.are_up, "the port is up again")
    assert (item.state, item.verdict) == ("failed", "fail")
    assert (item.reason or "").startswith("mlx5_0/1 is down: state DOWN, physical state Disabled")


def test_a_port_that_goes_down_under_a_run(lab: None) -> None:
    begun = time.monotonic()
    try:
        asked = job(duration_s=30.0)
        result = run(with_worker(asked, lambda: devices.run("ip", "link", "set", "v0", "down")))
    finally:
        devices.run("ip", "link", "set", "v0", "up")
        devices.until(devices.are_up, "the port is up again")
    assert result.outcome == "failed"
    assert "mlx5_0/1 is down" in (result.error or "")
    assert time.monotonic() - begun < 25


def test_a_device_that_is_unplugged_under_a_run(lab: None) -> None:
    """rxe cannot take a device from a process that has it open: the kernel lets the unplug wait for the run's end."""
    unplug: list[subprocess.Popen[bytes]] = []

    def remove() -> None:
        unplug.append(subprocess.Popen(["rdma", "link", "delete", "mlx5_0"]))

    result = run(with_worker(job(duration_s=2.0), remove))
    assert result.outcome in ("done", "failed")
    assert result.outcome == "done" or result.error
    assert unplug[0].wait(timeout=30) == 0, "the run's process is gone and with it what held the device"
    gone = run(with_worker(job(id="after")))
    assert (gone.outcome, gone.error) == ("failed", "there is no RDMA device mlx5_0")
    devices.up()
    assert run(with_worker(job(id="back"))).outcome == "done"


def test_a_port_that_carries_traffic_is_left_alone(inject: Callable[[str, str, int], None]) -> None:
    stop = threading.Event()

    def move() -> None:
        """32 Gb/s of 200: an emulated processor cannot move that much for real."""
        words = 0
        while not stop.wait(0.1):
            words += 100_000_000
            inject("mlx5_0", "port_xmit_data", words)

    mover = threading.Thread(target=move)
    mover.start()
    try:
        with pytest.raises(UserError, match=r"mlx5_0/1 carries traffic: \d+ % of its rate"):
            run(run_local(BenchmarkRequest(device="mlx5_0", duration_s=0.3)))
        (forced,) = run(run_local(BenchmarkRequest(device="mlx5_0", sizes=(64,), duration_s=0.3, force=True)))
        assert forced.state == "done"
    finally:
        stop.set()
        mover.join()


def test_without_permission_for_the_node(lab: None) -> None:
    """As nobody: the node's mode is root's alone."""
    code = (
        "import asyncio\n"
        "from agent.benchmarks.local import run_local\n"
        "from diagnostics.errors import UserError\n"
        "from diagnostics.model import BenchmarkRequest\n"
        "try: asyncio.run(run_local(BenchmarkRequest(device='mlx5_0')))\n"
        "except UserError as wrong: print(wrong.code, wrong.message)\n"
    )
    node = Path("/dev/infiniband/uverbs0")
    before = node.stat().st_mode
    node.chmod(0o600)
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, user=65534, timeout=60)
    finally:
        node.chmod(before)
    assert done.stdout.startswith("3 mlx5_0 cannot be opened: no permission for /dev/infiniband/uverbs"), done


def test_too_little_locked_memory(lab: None) -> None:
    """As nobody with a limit of 64 KiB; root has IPC_LOCK and is not asked."""
    code = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))\n"
        "from agent.verbs.binding import load\n"
        "from agent.verbs.protocol import Job\n"
        "from agent.verbs.runner import run\n"
        "print(run(load(), Job(id='x', device='mlx5_0', size_bytes=1 << 20), lambda _: None, lambda: False).error)\n"
    )
    for node in Path("/dev/infiniband").iterdir():
        node.chmod(0o666)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, user=65534, timeout=60)
    assert "cannot lock 1 MiB of memory for the device; the memlock limit is 64 KiB" in done.stdout, done


def test_killing_the_worker_leaves_no_process_on_the_device(lab: None) -> None:
    async def kill() -> None:
        client = await VerbsClient.start_child()
        try:
            async for reply in client.run(job(duration_s=60.0)):
                if isinstance(reply, Progress) and client.pid:
                    os.kill(client.pid, signal.SIGKILL)
            assert isinstance(reply, Result)
            assert "killed by signal 9" in (reply.error or "")
            again = [reply async for reply in client.run(job(id="again"))][-1]
            assert isinstance(again, Result)
            assert again.outcome == "done"
        finally:
            await client.close()

    run(kill())


def test_a_device_that_nobody_has(lab: None) -> None:
    with pytest.raises(Unreachable, match="no RDMA device mlx5_7"):
        run(run_local(BenchmarkRequest(device="mlx5_7")))
