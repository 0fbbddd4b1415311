"""The worker's socket: who may talk to it, and what becomes of clients that are slow, wrong or hostile."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.verbs.client import VerbsClient
from agent.verbs.protocol import (
    MAX_REPLY_BYTES,
    VERSION,
    AskDevices,
    Deframer,
    Devices,
    Frame,
    Hello,
    Job,
    Refused,
    Reply,
    decode_reply,
    encode,
)
from tests.lab.fakeverbs import environment
from tests.lab.missing import without
from tests.lab.places import PROJECT, Missing


@pytest.fixture
def path(tmp_path: Path) -> Iterator[str]:
    """A listening worker with fake devices."""
    try:
        env = {**os.environ, **environment(NS=1000), "PYTHONPATH": str(PROJECT)}
    except Missing as missing:
        without(str(missing))
    path = str(tmp_path / "verbs.sock")
    process = subprocess.Popen([sys.executable, "-m", "agent.verbs.worker", "--socket", path], env=env)
    try:
        _until(lambda: _listens(path))
        yield path
        assert process.poll() is None, "the worker lives through all of it"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == 0
        assert not os.path.exists(path)
    finally:
        process.kill()
        process.wait()


def _listens(path: str) -> bool:
    """The file is there a moment before anybody listens on it."""
    with socket.socket(socket.AF_UNIX) as stream:
        return stream.connect_ex(path) == 0


class Peer:
    def __init__(self, path: str) -> None:
        self.stream = socket.socket(socket.AF_UNIX)
        self.stream.settimeout(10)
        self.stream.connect(path)
        self._deframer = Deframer(MAX_REPLY_BYTES)
        self._got: list[Reply] = []

    def say(self, *frames: Frame) -> None:
        self.stream.sendall(b"".join(encode(frame) for frame in frames))

    def hear(self) -> Reply | None:
        """The next reply; None when the worker has closed."""
        while not self._got:
            try:
                data = self.stream.recv(65536)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self._got += [decode_reply(body) for body in self._deframer.feed(data)]
        return self._got.pop(0)

    def greeted(self) -> Peer:
        self.say(Hello(version=VERSION))
        assert isinstance(self.hear(), Hello)
        return self


def _until(holds: object, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_socket_is_its_owners_alone(path: str) -> None:
    assert stat.S_IMODE(os.lstat(path).st_mode) == 0o600
    peer = Peer(path).greeted()
    peer.say(AskDevices(id="d"))
    reply = peer.hear()
    assert isinstance(reply, Devices)
    assert [device.name for device in reply.devices] == ["mlx5_0"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_turned_away(path: str) -> None:
    os.chmod(path, 0o666)
    for folder in Path(path).parents:
        if folder.owner() == "root" and str(folder) not in ("/", "/tmp"):
            folder.chmod(0o755)
    code = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({path!r}); print(s.recv(1000), s.recv(10))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, user=65534, timeout=20)
    assert "user 65534 may not use this verbs worker" in done.stdout, done
    assert done.stdout.strip().endswith("b''")


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "a frame of 1195725856 bytes"),
        (b"\xff\xff\xff\xff", "a frame of 4294967295 bytes"),
        (b"\0\0\0\0", "a frame of 0 bytes"),
        (b"\0\0\0\x05abcde", "not a request"),
        (encode(Hello(version=99)), "speaks version 1, not 99"),
        (encode(AskDevices(id="x")), "must be a hello"),
        (encode(Devices(id="x", devices=())), "not a request"),
    ],
)
def test_what_is_no_request_is_answered_and_dropped(path: str, sent: bytes, says: str) -> None:
    peer = Peer(path)
    peer.stream.sendall(sent)
    assert isinstance(peer.hear(), Hello)
    refused = peer.hear()
    assert isinstance(refused, Refused)
    assert says in refused.message
    assert peer.hear() is None
    Peer(path).greeted()


def test_half_a_frame_is_not_waited_for_for_ever(path: str) -> None:
    silent, half = Peer(path), Peer(path).greeted()
    half.stream.sendall(encode(AskDevices(id="d"))[:-1])
    assert isinstance(silent.hear(), Hello)
    for peer in (silent, half):
        refused = peer.hear()
        assert isinstance(refused, Refused)
        assert "no whole frame in 5 s" in refused.message
        assert peer.hear() is None


def test_connections_are_counted(path: str) -> None:
    peers = [Peer(path).greeted() for _ in range(16)]
    refused = Peer(path).hear()
    assert isinstance(refused, Refused)
    assert "16 clients are connected already" in refused.message
    peers[0].stream.close()
    _until(lambda: isinstance(Peer(path).hear(), Hello))


def test_a_client_that_leaves_takes_its_run_along(path: str) -> None:
    peer = Peer(path).greeted()
    peer.say(Job(id="j", device="mlx5_0", duration_s=60.0))
    assert peer.hear() is not None
    peer.stream.close()
    other = Peer(path).greeted()

    def free() -> bool:
        other.say(Job(id=f"k{time.monotonic_ns()}", device="mlx5_0", duration_s=0.05))
        while (reply := other.hear()) is not None and not hasattr(reply, "outcome"):
            if isinstance(reply, Refused):
                return False
        return True

    _until(free)


def test_a_client_that_does_not_read_disturbs_nobody(path: str) -> None:
    deaf = Peer(path).greeted()
    for number in range(50):
        deaf.say(Job(id=f"j{number}", device=f"none{number}", duration_s=60.0))
    quick = Peer(path).greeted()
    begun = time.monotonic()
    quick.say(AskDevices(id="d"))
    reply = quick.hear()
    while isinstance(reply, Refused) and time.monotonic() - begun < 5:
        quick.say(AskDevices(id="d"))
        reply = quick.hear()
    assert isinstance(reply, Devices)


def test_a_second_worker_does_not_take_the_socket(path: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "agent.verbs.worker", "--socket", path],
        capture_output=True, text=True, timeout=20, env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )  # fmt: skip
    assert done.returncode == 3
    assert "another verbs worker listens there" in done.stderr
    Peer(path).greeted()


def test_a_socket_that_a_killed_worker_left_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "verbs.sock")
    left = socket.socket(socket.AF_UNIX)
    left.bind(path)
    left.close()
    process = subprocess.Popen(
        [sys.executable, "-m", "agent.verbs.worker", "--socket", path], env={**os.environ, "PYTHONPATH": str(PROJECT)}
    )
    try:
        _until(lambda: _answers(path))
    finally:
        process.terminate()
        assert process.wait(timeout=5) == 0


def _answers(path: str) -> bool:
    try:
        return isinstance(Peer(path).hear(), Hello)
    except ConnectionRefusedError:
        return False


async def test_a_client_of_the_socket(path: str) -> None:
    client = await VerbsClient.connect(path)
    assert client.state == "ok"
    assert len(await client.devices()) == 1
    await client.close()
    nobody = await VerbsClient.connect(path + ".none")
    assert nobody.state == f"no verbs worker at {path}.none: No such file or directory"


async def test_without_pyverbs_the_worker_says_so(tmp_path: Path) -> None:
    (tmp_path / "pyverbs").mkdir()
    (tmp_path / "pyverbs" / "__init__.py").write_text("")
    (tmp_path / "pyverbs" / "device.cpython-27-x86_64-linux-gnu.so").write_text("")
    client = await VerbsClient.start_child({"PYTHONPATH": f"{tmp_path}:{PROJECT}"})
    here = f"cpython-{sys.version_info.major}{sys.version_info.minor}"
    assert client.state == f"pyverbs at {tmp_path}/pyverbs is built for cpython-27, this is {here}"
    assert client.hint
    await client.close()
