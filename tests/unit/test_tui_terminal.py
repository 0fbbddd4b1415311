"""The screens on a real terminal: the first frame, signals, exits, colours, and what goes wrong outside."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from pathlib import Path

import pytest

from tests.made_tree import MadeTree

ROOT = Path(__file__).resolve().parents[2]
ESCAPES = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[()=>78].?|\x1b\][^\x07]*\x07")
COLOUR = re.compile(rb"\x1b\[(?:\d+;)*3[0-7]m")


class Terminal:
    """`rdmatop ARGS` on a pseudo terminal."""

    def __init__(self, *arguments: str, size: tuple[int, int] = (80, 24), **environ: str) -> None:
        env = {
            k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "LC_ALL", "LC_CTYPE", "RDMATOP_SOCKET", "CI")
        }
        env |= {"TERM": "xterm-256color", "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT), **environ}
        self.started = time.monotonic()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(sys.executable, [sys.executable, "-m", "tui.cli", *arguments], env)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self.before = termios.tcgetattr(self.fd)
        self.written = b""

    def read(self, seconds: float = 0.1) -> bool:
        """False when the program has closed the terminal."""
        ready, _, _ = select.select([self.fd], [], [], seconds)
        if ready:
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            self.written += data
            return bool(data)
        return True

    def wait_for(self, word: str, seconds: float = 20.0) -> float:
        """Until `word` was written; the seconds since the start."""
        end = time.monotonic() + seconds
        while word.encode() not in ESCAPES.sub(b"", self.written):
            assert time.monotonic() < end, f"no {word!r} in {self.text}"
            assert self.read(), f"ended without {word!r}: {self.text}"
        return time.monotonic() - self.started

    @property
    def text(self) -> str:
        return ESCAPES.sub(b"", self.written).decode("utf-8", "replace")

    def wait_for_textual(self) -> None:
        """Keys are read from here on."""
        end = time.monotonic() + 20
        while b"\x1b[?1000h" not in self.written:
            assert time.monotonic() < end
            self.read()
        for _ in range(5):
            self.read()

    def end(self, seconds: float = 10.0) -> int:
        """Waits for the end; the exit code, 128 + n for a signal that was not handled."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            self.read(0.02)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                while self.read(0.05) and select.select([self.fd], [], [], 0)[0]:
                    pass
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        raise AssertionError(f"did not end: {self.text[-500:]}")

    def assert_restored(self) -> None:
        assert termios.tcgetattr(self.fd)[3] == self.before[3]
        assert self.written.rfind(b"\x1b[?1049l") > self.written.rfind(b"\x1b[?1049h")
        assert self.written.rfind(b"\x1b[?25h") > self.written.rfind(b"\x1b[?25l")
        assert self.written.rfind(b"\x1b[?1000l") >= self.written.rfind(b"\x1b[?1000h")
        assert b"Traceback" not in self.written


@pytest.fixture
def tree(made: MadeTree) -> str:
    made.device("mlx5_0")
    return str(made.path)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129), (signal.SIGQUIT, 131)],
    ids=lambda value: getattr(value, "name", ""),
)
@pytest.mark.parametrize("early", [False, True], ids=["running", "starting"])
def test_signals_restore_the_terminal(tree: str, number: int, code: int, early: bool) -> None:
    terminal = Terminal("--root", tree)
    terminal.wait_for("rdmatop")
    if not early:
        terminal.wait_for_textual()
    os.kill(terminal.pid, number)
    assert terminal.end() == code
    terminal.assert_restored()


@pytest.mark.parametrize(("key", "code"), [("q", 0), ("\x03", 130)], ids=["q", "ctrl+c"])
def test_keys_end_it(tree: str, key: str, code: int) -> None:
    terminal = Terminal("--root", tree)
    terminal.wait_for("mlx5_0/1")
    terminal.wait_for_textual()
    os.write(terminal.fd, key.encode())
    assert terminal.end() == code
    terminal.assert_restored()


def test_the_first_frame_comes_before_textual(tree: str) -> None:
    terminal = Terminal("--root", tree)
    terminal.wait_for("Waiting for the first reading")
    assert b"\x1b[?1000h" not in terminal.written
    terminal.wait_for("mlx5_0/1")
    terminal.wait_for_textual()
    os.write(terminal.fd, b"q")
    assert terminal.end() == 0


def test_no_color_and_dumb_terminals_get_none(tree: str) -> None:
    for environ in ({"NO_COLOR": "1"}, {"TERM": "dumb"}, {"LANG": "C", "NO_COLOR": "1"}):
        terminal = Terminal("--root", tree, **environ)
        terminal.wait_for("mlx5_0/1")
        terminal.wait_for_textual()
        os.write(terminal.fd, b"q")
        assert terminal.end() == 0
        assert not COLOUR.search(terminal.written), environ
        if "NO_COLOR" not in environ or environ.get("LANG") == "C":
            assert terminal.text.isascii(), environ


def test_a_socket_nobody_listens_on_is_said_and_asked_again(tmp_path: Path) -> None:
    terminal = Terminal("--socket", str(tmp_path / "agent.sock"))
    terminal.wait_for("cannot be reached")
    terminal.wait_for("rdmatop agent")
    terminal.wait_for_textual()
    os.write(terminal.fd, b"q")
    assert terminal.end() == 0
    terminal.assert_restored()


def test_a_tree_that_is_none_is_a_sentence(tmp_path: Path) -> None:
    terminal = Terminal("--root", str(tmp_path / "nothing"))
    assert terminal.end() == 3
    terminal.assert_restored()
    assert "does not exist" in terminal.text


def test_a_host_is_read_in_the_smallest_terminal(tree: str) -> None:
    terminal = Terminal("--root", tree, size=(20, 5))
    terminal.wait_for("mlx5_0/1")
    terminal.wait_for_textual()
    for size in ((1, 1), (80, 24), (200, 50), (3, 2)):
        fcntl.ioctl(terminal.fd, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        os.kill(terminal.pid, signal.SIGWINCH)
        terminal.read(0.2)
    os.write(terminal.fd, b"q")
    assert terminal.end() == 0
    terminal.assert_restored()


def test_an_idle_minute_writes_only_the_clock(tree: str) -> None:
    terminal = Terminal("--root", tree)
    terminal.wait_for("mlx5_0/1")
    terminal.wait_for_textual()
    for _ in range(25):
        terminal.read()
    start = len(terminal.written)
    until = time.monotonic() + 4
    while time.monotonic() < until:
        terminal.read()
    assert len(terminal.written) - start < 4 * 60
    os.write(terminal.fd, b"q")
    assert terminal.end() == 0
