"""One-shot commands against a real agent's listeners: Unix socket, TLS, tokens, refusals, and an agent that dies."""

from __future__ import annotations

import asyncio
import hashlib
import signal
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from diagnostics.errors import Unreachable, UserError
from diagnostics.model import Benchmark, BenchmarkRequest
from tests.unit.live_agent import OPERATOR, live_agent
from tui import cli
from tui.options import Options
from tui.sources.once import Wanted
from tui.sources.once_agent import AgentOnce

ROOT = Path(__file__).resolve().parents[2]


def over_socket(agent: Any, **given: Any) -> AgentOnce:
    return AgentOnce(Options(**given), agent.socket)


async def test_a_snapshot_comes_over_the_unix_socket(tmp_path: Path) -> None:
    async with live_agent(tmp_path) as agent:
        bare = await asyncio.to_thread(over_socket(agent).snapshot, Wanted("none"))
        full = await asyncio.to_thread(over_socket(agent).snapshot, Wanted("all"))
    assert [port.device for port in bare.ports] == ["mlx5_0", "mlx5_1"]
    assert (bare.counters, len(full.counters)) == ((), 8)


async def test_the_command_asks_the_socket_it_is_given(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live_agent(tmp_path) as agent:
        monkeypatch.setenv("RDMATOP_SOCKET", agent.socket)
        assert await asyncio.to_thread(cli.main, ["get", "ports", "-o", "name"]) == 0
        assert await asyncio.to_thread(cli.main, ["get", "benchmarks", "-o", "json"]) == 0
    out = capfd.readouterr().out
    assert out.startswith("mlx5_0/1\nmlx5_1/1\n")
    assert msgspec.json.decode(out.split("\n", 2)[2])["kind"] == "BenchmarkList"


async def test_tls_is_trusted_by_fingerprint_alone_and_the_token_follows(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(f"{OPERATOR}\n")
    async with live_agent(tmp_path, tls=True) as agent:
        url = f"https://127.0.0.1:{agent.port}"

        def ask(**given: Any) -> Any:
            return AgentOnce(Options(agent=url, **given), None).snapshot(Wanted())

        pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", agent.port))
        print_ = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
        seen = await asyncio.to_thread(ask, fingerprint=print_, token_file=str(token))
        assert len(seen.ports) == 2
        with pytest.raises(Unreachable, match="fingerprint"):
            await asyncio.to_thread(ask, fingerprint="0" * 64, token_file=str(token))
        with pytest.raises(Unreachable) as untrusted:
            await asyncio.to_thread(ask, token_file=str(token))
        assert "--fingerprint" in untrusted.value.hint
        with pytest.raises(Unreachable) as refused:
            await asyncio.to_thread(ask, insecure=True)
        assert refused.value.hint


async def test_a_stream_is_thinned_to_the_interval_and_ends_with_the_agent(tmp_path: Path) -> None:
    seen: list[int] = []
    ended: list[Exception] = []

    def follow(source: AgentOnce) -> None:
        try:
            for snapshot in source.watch(Wanted(), 0.2):
                seen.append(snapshot.sequence)
        except Unreachable as error:
            ended.append(error)

    async with live_agent(tmp_path, interval_s=0.2) as agent:
        thread = threading.Thread(target=follow, args=(over_socket(agent),), daemon=True)
        thread.start()
        await asyncio.sleep(1.0)
    await asyncio.to_thread(thread.join, 5.0)
    assert 3 <= len(seen) <= 7
    assert seen == sorted(set(seen))
    assert isinstance(ended[0], Unreachable)


async def test_a_refused_benchmark_is_told_beside_those_that_ran(tmp_path: Path) -> None:
    async with live_agent(tmp_path) as agent:
        source = over_socket(agent)
        with pytest.raises(UserError, match="cannot do 3 bytes"):
            await asyncio.to_thread(source.run_benchmarks, (BenchmarkRequest(sizes=(3,)),), print)
        finish_soon = asyncio.create_task(finish(agent))
        requests = (BenchmarkRequest(device="mlx5_1"), BenchmarkRequest(device="mlx5_0", sizes=(3,)))
        changes: list[Benchmark] = []
        ran = await asyncio.to_thread(source.run_benchmarks, requests, changes.append)
        await finish_soon
    assert [(item.device, item.state) for item in ran.items] == [("mlx5_1", "done")]
    assert [problem.source for problem in ran.errors] == ["benchmarks/mlx5_0"]
    assert [item.state for item in changes] == ["done"]


async def finish(agent: Any) -> None:
    rows = agent.monitor.benchmarks
    while not rows.rows:  # noqa: ASYNC110  the fake tells nobody
        await asyncio.sleep(0.05)
    rows.rows = [msgspec.structs.replace(row, state="done", verdict="pass") for row in rows.rows]


async def test_an_interrupt_cancels_on_the_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    async with live_agent(tmp_path) as agent:
        monkeypatch.setattr("tui.sources.once_agent.time.sleep", interrupt)
        ran = await asyncio.to_thread(over_socket(agent).run_benchmarks, (BenchmarkRequest(),), print)
        assert agent.monitor.benchmarks.all()[0].state == "cancelled"
    assert ran.interrupted
    assert [item.state for item in ran.items] == ["cancelled"]


async def test_an_interrupt_before_the_agent_answers_leaves_nothing_running(tmp_path: Path) -> None:
    async with live_agent(tmp_path) as agent:
        rows, slow = agent.monitor.benchmarks, asyncio.Event()
        start = rows.start

        async def start_slowly(request: BenchmarkRequest) -> tuple[Benchmark, ...]:
            slow.set()
            await asyncio.sleep(3.0)
            return await start(request)

        rows.start = start_slowly
        command = [sys.executable, "-m", "tui.cli", "bench", "loopback", "--socket", agent.socket, "-o", "json"]
        process = await asyncio.create_subprocess_exec(
            *command, "--request-timeout", "2s", cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        await asyncio.wait_for(slow.wait(), 20)
        process.send_signal(signal.SIGINT)
        out, _ = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 130
        assert [row.state for row in rows.all()] == ["cancelled"]
    assert [item["state"] for item in msgspec.json.decode(out)["items"]] == ["cancelled"]


async def test_whoever_leaves_takes_the_benchmark_along(tmp_path: Path) -> None:
    def left(_: Benchmark) -> None:
        raise BrokenPipeError

    async with live_agent(tmp_path) as agent:
        changing = asyncio.create_task(run_soon(agent))
        with pytest.raises(BrokenPipeError):
            await asyncio.to_thread(over_socket(agent).run_benchmarks, (BenchmarkRequest(),), left)
        await changing
        assert agent.monitor.benchmarks.all()[0].state == "cancelled"


async def run_soon(agent: Any) -> None:
    rows = agent.monitor.benchmarks
    while not rows.rows:  # noqa: ASYNC110  the fake tells nobody
        await asyncio.sleep(0.05)
    rows.rows = [msgspec.structs.replace(row, state="running") for row in rows.rows]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"", "cannot be reached"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "cannot be reached"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "no NodeSnapshot"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\xff\xfe{", "no NodeSnapshot"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "truncated"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\nno", "HTTP 502"),
    ],
)
def test_what_is_no_agent_is_said_to_be_none(tmp_path: Path, answer: bytes, says: str) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        thread = threading.Thread(target=reply, args=(listener, answer), daemon=True)
        thread.start()
        with pytest.raises(Unreachable, match=says):
            AgentOnce(Options(), path).snapshot(Wanted())
        thread.join(5)


def test_silence_ends_in_time(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        with pytest.raises(Unreachable, match="no answer in time"):
            AgentOnce(Options(request_timeout_s=0.2), path).snapshot(Wanted())


def reply(listener: socket.socket, answer: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(answer)
