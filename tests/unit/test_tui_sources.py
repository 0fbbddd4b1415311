"""The screens' sources: this process's own monitor, and an agent that goes away and comes back."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from diagnostics.errors import Unreachable, UserError
from diagnostics.model import BenchmarkRequest, NodeSnapshot
from tests.made_tree import MadeTree
from tui.options import Options
from tui.sources.agent import Agent
from tui.sources.base import NotYet, Outage
from tui.sources.choose import choose
from tui.sources.local import Local
from tui.sources.once import where

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 20.0


@pytest.fixture
def tree(made: MadeTree) -> MadeTree:
    made.device("mlx5_0")
    made.device("mlx5_1")
    return made


async def following(stream) -> NodeSnapshot | Outage:  # type: ignore[no-untyped-def]
    return await asyncio.wait_for(anext(stream), WAIT_S)


async def until(stream, wanted) -> NodeSnapshot | Outage:  # type: ignore[no-untyped-def]
    while True:
        item = await following(stream)
        if wanted(item):
            return item


async def test_this_host_is_read_and_judged_here(tree: MadeTree) -> None:
    source = Local(Options(root=str(tree.path), local=True, interval_s=0.2))
    first = source.first()
    assert [p.device for p in first.ports] == ["mlx5_0", "mlx5_1"]
    stream = source.snapshots()
    snapshot = await until(stream, lambda s: s.sequence > 1)
    assert isinstance(snapshot, NodeSnapshot)
    assert {p.health for p in snapshot.ports} == {"healthy"}
    assert snapshot.counters
    tree.write(f"{tree.port_folder('mlx5_1')}/state", "1: DOWN")
    tree.write(f"{tree.port_folder('mlx5_1')}/phys_state", "2: Polling")
    judged = await until(stream, lambda s: s.findings)
    assert isinstance(judged, NodeSnapshot)
    found = judged.findings[0]
    assert found.device == "mlx5_1"
    await source.acknowledge(found.id)
    await until(stream, lambda s: s.findings and s.findings[0].acknowledged)
    assert await source.events()
    with pytest.raises(Unreachable, match="captur"):
        await source.start_benchmark(BenchmarkRequest())
    series = await source.history("mlx5_0", 1, ("port_xmit_data", "port_rcv_data"), 60)
    assert [s.name for s in series] == ["port_xmit_data", "port_rcv_data"]
    await source.close()


def test_a_folder_without_a_tree_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unreachable):
        Local(Options(root=str(tmp_path), local=True))


def test_what_was_asked_for_chooses_the_source(tree: MadeTree, tmp_path: Path) -> None:
    def asked(options: Options) -> Any:
        return choose(options, where(options))

    assert isinstance(asked(Options(root=str(tree.path), local=True)), Local)
    assert asked(Options(socket=str(tmp_path / "s"))).label == f"agent at {tmp_path / 's'}"
    assert asked(Options(agent="https://gpu-1:9879")).label == "agent https://gpu-1:9879"
    assert asked(Options(kubeconfig="/x")).label == "cluster"
    assert asked(Options(context="prod")).label == "cluster prod"


async def test_before_there_is_a_source_nothing_is_asked() -> None:
    source = NotYet("this host")
    assert [item async for item in source.snapshots()] == []
    with pytest.raises(Unreachable):
        await source.start_benchmark(BenchmarkRequest())


class Server:
    """`rdmatop agent` on a socket."""

    def __init__(self, tree: MadeTree, folder: Path) -> None:
        self.socket = str(folder / "a.sock")
        self._command = [
            sys.executable, "-m", "tui.cli", "agent", "--root", str(tree.path), "--node-name", "gpu-1",
            "--socket", self.socket, "--state-dir", str(folder / "state"), "--publish", "off", "--interval", "0.2",
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@pytest.fixture
def server(tree: MadeTree, tmp_path: Path) -> Iterator[Server]:
    made = Server(tree, tmp_path)
    yield made
    made.kill()


async def test_an_agent_is_followed_lost_and_found_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.sources.agent.BACK_OFF_S", (0.1, 0.3))
    source = Agent(Options(request_timeout_s=5.0), server.socket)
    stream = source.snapshots()
    missing = await following(stream)
    assert isinstance(missing, Outage)
    assert "cannot be reached" in missing.reason
    assert "rdmatop agent" in missing.hint

    server.start()
    found = await until(stream, lambda item: isinstance(item, NodeSnapshot))
    assert isinstance(found, NodeSnapshot)
    assert found.node.node == "gpu-1"
    assert found.counters == ()

    source.focus("mlx5_1", 1)
    focused = await until(stream, lambda item: isinstance(item, NodeSnapshot) and item.counters)
    assert isinstance(focused, NodeSnapshot)
    assert {c.device for c in focused.counters} == {"mlx5_1"}

    series = await source.history("mlx5_1", 1, ("port_xmit_data", "port_rcv_data"), 60)
    assert [s.name for s in series] == ["port_xmit_data", "port_rcv_data"]
    assert await source.history("mlx5_1", 1, ("no_such_counter",), 60) == []
    assert isinstance(await source.events(), tuple)
    with pytest.raises(UserError):
        await source.start_benchmark(BenchmarkRequest(device="mlx5_9"))
    with pytest.raises(UserError, match="reads every"):
        source.set_interval(0.1)
    with pytest.raises(UserError):
        await source.acknowledge("no such finding")

    server.kill()
    lost = await until(stream, lambda item: isinstance(item, Outage))
    assert isinstance(lost, Outage)
    again = await following(stream)
    assert isinstance(again, Outage)
    assert again.since == lost.since
    server.start()
    back = await until(stream, lambda item: isinstance(item, NodeSnapshot))
    assert isinstance(back, NodeSnapshot)
    assert {c.device for c in back.counters} == {"mlx5_1"}
    await source.close()
