"""`rdmatop agent` as a process: how it starts, what it refuses, how it ends."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from contextlib import contextmanager

import msgspec
import pytest

from diagnostics.model import NodeSnapshot

TOKEN = "a-token-for-the-process-tests"
COMMAND = [sys.executable, "-c", "import sys; from tui.cli import main; sys.exit(main(sys.argv[1:]))", "agent"]


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("agent", timeout=5)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(5)
        self.sock.connect(self.path)


def get(path: str, target: str) -> tuple[int, bytes]:
    connection = UnixConnection(path)
    try:
        connection.request("GET", target)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def until(condition, seconds: float = 15.0):
    """The first true answer of `condition`; what it raises counts as not yet."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if found := condition():
                return found
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError("it did not come true in time")


@contextmanager
def agent(folder, *options: str, env=None):
    """A started agent, its socket and the file of its log."""
    path, log = str(folder / "run" / "agent.sock"), folder / "log"
    with open(log, "ab") as stderr:
        process = subprocess.Popen(
            [*COMMAND, "--socket", path, *options], stderr=stderr, env={**os.environ, **(env or {})}
        )
    try:
        until(lambda: process.poll() is not None or get(path, "/readyz")[0] == 200)
        assert process.poll() is None, log.read_text()
        yield process, path, log
    finally:
        process.kill()
        process.wait(5)


def refused(*options: str, env=None) -> tuple[int, str]:
    """Exit code and stderr of an agent that does not start."""
    ended = subprocess.run([*COMMAND, *options], capture_output=True, timeout=15, env={**os.environ, **(env or {})})
    assert ended.stdout == b""
    assert b"Traceback" not in ended.stderr
    return ended.returncode, ended.stderr.decode()


@pytest.fixture
def tree(made):
    made.device("mlx5_0")
    made.device("mlx5_1")
    return str(made.path)


def test_it_answers_of_a_captured_tree(tmp_path, tree):
    with agent(tmp_path, "--root", tree, "--node-name", "n7", "--interval", "0.2") as (_, path, log):
        first = msgspec.json.decode(get(path, "/v1/node")[1], type=NodeSnapshot)
        assert first.node.node == "n7"
        assert [device.device for device in first.devices] == ["mlx5_0", "mlx5_1"]
        assert first.agent.verbs == "off: a captured tree is read"
        assert first.interval_s == 0.2
        until(lambda: msgspec.json.decode(get(path, "/v1/node?counters=none")[1])["sequence"] > first.sequence + 2)
        assert f"listening on {path}" in log.read_text()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_it_ends_in_two_seconds_with_streams_open(tmp_path, tree, number, code):
    with agent(tmp_path, "--root", tree) as (process, path, log):
        stream = UnixConnection(path)
        stream.request("GET", "/v1/stream")
        answer = stream.getresponse()
        assert answer.readline().startswith(b'{"schema"')
        begin = time.monotonic()
        process.send_signal(number)
        while answer.readline():
            pass
        assert process.wait(5) == code
        assert time.monotonic() - begin < 2
        assert not os.path.exists(path)
        assert "ended" in log.read_text()
        stream.close()


def test_it_ends_in_two_seconds_while_a_reading_hangs(tmp_path, made):
    made.device("mlx5_0")
    with agent(tmp_path, "--root", str(made.path), "--interval", "0.2") as (process, path, _):
        state = made.path / made.port_folder("mlx5_0") / "state"
        state.unlink()
        os.mkfifo(state)  # nobody writes: to open it waits for ever
        until(lambda: msgspec.json.decode(get(path, "/v1/node")[1])["devices"][0]["stale_since"])
        begin = time.monotonic()
        process.terminate()
        assert process.wait(5) == 0
        assert time.monotonic() - begin < 2


def test_what_a_killed_agent_left_is_replaced_and_a_living_one_is_not(tmp_path, tree):
    with agent(tmp_path, "--root", tree) as (process, path, _):
        process.kill()
        process.wait(5)
        assert os.path.exists(path)
        with agent(tmp_path, "--root", tree) as (second, _, _):
            code, message = refused("--root", tree, "--socket", path)
            assert (code, "another agent is running" in message) == (2, True)
            assert get(path, "/healthz")[0] == 200
            second.terminate()
            assert second.wait(5) == 0


def test_a_file_that_is_no_socket_stays(tmp_path, tree):
    (tmp_path / "file").write_text("mine")
    code, message = refused("--root", tree, "--socket", str(tmp_path / "file"))
    assert (code, "no socket" in message) == (2, True)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--listen", "127.0.0.1:0"), 2, "--tokens-file"),
        (("--listen", "127.0.0.1:0", "--tokens-file", "/nobody/has/this"), 2, "/nobody/has/this"),
        (("--listen", "192.0.2.1:9879", "--anonymous-metrics"), 3, "192.0.2.1:9879"),
        (("--listen", "nonsense"), 2, "--listen"),
        (("--interval", "0"), 2, "0.2 to 60"),
        (("--root", "/nobody/has/this"), 2, "/nobody/has/this"),
        (("--socket", "/proc/nobody/agent.sock"), 3, "--socket"),
        (("--socket", "/tmp/" + "x" * 120), 3, "--socket"),
        (("--publish", "on"), 2, "--publish"),
    ],
)
def test_what_cannot_be_is_said_at_once(tmp_path, tree, options, code, says):
    given = ("--root", tree, "--socket", str(tmp_path / "s"), *options)
    found, message = refused(*given)
    assert (found, says in message) == (code, True), message


def test_a_port_in_use_is_said(tmp_path, tree):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        code, message = refused(
            "--root", tree, "--socket", str(tmp_path / "s"), "--listen", listen, "--anonymous-metrics"
        )
    assert (code, "in use" in message) == (3, True)
    assert not (tmp_path / "s").exists()


def test_tls_with_the_fingerprint_of_its_log_and_a_token(tmp_path, tree):
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{TOKEN} tester viewer\n")
    tokens.chmod(0o600)
    options = (
        "--root",
        tree,
        "--listen",
        ":0",
        "--tokens-file",
        str(tokens),
        "--log-format",
        "json",
        "--log-level",
        "debug",
    )
    with agent(tmp_path, *options, "--state-dir", str(tmp_path / "state")) as (_, _, log):
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        (said,) = [line["message"] for line in lines if "https://" in line["message"]]
        port, fingerprint = int(said.split(",")[0].rpartition(":")[2]), said.split()[-1]
        for host in ("127.0.0.1", "::1"):
            context = ssl.create_default_context(cafile=str(tmp_path / "state" / "tls.crt"))
            client = http.client.HTTPSConnection(host, port, context=context, timeout=5)
            client.request("GET", "/v1/summary", headers={"Authorization": f"Bearer {TOKEN}"})
            assert client.getresponse().read().startswith(b'{"schema"')
            der = client.sock.getpeercert(binary_form=True)
            assert hashlib.sha256(der).hexdigest() == fingerprint
            client.request("GET", "/v1/summary", headers={"Authorization": "Bearer a-wrong-token-of-a-stranger"})
            refusal = client.getresponse()
            assert (refusal.status, json.loads(refusal.read())["error"]["code"]) == (401, "unauthorized")
            client.close()
        text = log.read_text()
        assert TOKEN not in text
        assert "a-wrong-token" not in text
        assert all(json.loads(line)["level"] in ("debug", "info", "warning") for line in text.splitlines())


def test_options_come_from_the_environment_too(tmp_path, tree):
    env = {"RDMATOP_ROOT": tree, "NODE_NAME": "from-the-pod", "RDMATOP_INTERVAL": "0.5"}
    with agent(tmp_path, env=env) as (_, path, _):
        found = msgspec.json.decode(get(path, "/v1/summary")[1])
        assert (found["node"]["node"], found["interval_s"]) == ("from-the-pod", 0.5)


def test_it_imports_no_screen_no_verbs_and_no_cluster_client():
    code = (
        "import sys, agent.main; sys.exit(', '.join("
        "{'textual', 'kubernetes', 'pyverbs', 'cryptography', 'prometheus_client', 'yaml'} & set(sys.modules)) or 0)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=20)
    assert (ended.returncode, ended.stderr) == (0, b"")
