"""A program in a pseudo-terminal that answers what a UTF-8 xterm answers, and notes when something is drawn."""

import contextlib
import fcntl
import os
import re
import select
import signal
import struct
import termios
import time

ESCAPES = re.compile(
    rb"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1bP.*?\x1b\\|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[()#][0-9A-Za-z]|\x1b[=>78A-Za-z]",
    re.DOTALL,
)
QUERIES = {
    b"\x1b[6n": b"\x1b[1;2R",
    b"\x1b[c": b"\x1b[?62;22c",
    b"\x1b[0c": b"\x1b[?62;22c",
    b"\x1b]10;?": b"\x1b]10;rgb:ffff/ffff/ffff\x1b\\",
    b"\x1b]11;?": b"\x1b]11;rgb:0000/0000/0000\x1b\\",
}
"""Cursor position, device attributes, foreground and background colour."""
FEWEST_CHARACTERS = 3
"""One character alone is a probe for UTF-8, not a frame."""
DIFFERS = ("TMUX", "COLUMNS", "LINES", "NO_COLOR")


class Terminal:
    """One run of one program, from exec to its end. Times in seconds since just before exec."""

    def __init__(self, argv: list[str], columns: int, rows: int, expect: str) -> None:
        self.expect = re.compile(expect.encode())
        self.written_bytes = 0
        self.first_frame_s: float | None = None
        self.first_data_s: float | None = None
        self.seen = b""
        environment = {name: value for name, value in os.environ.items() if name not in DIFFERS}
        environment |= {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
        self.master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.started = time.monotonic()
        self.pid = os.fork()
        if self.pid == 0:
            become(argv, environment, self.master, slave)
        os.close(slave)

    def watch(self, seconds: float) -> bool:
        """Read what it writes for that long; False when it has ended."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.master], [], [], left)[0]:
                return True
            try:
                data = os.read(self.master, 65536)
            except OSError:
                return False
            self.take(data)
        return True

    def take(self, data: bytes) -> None:
        now = time.monotonic() - self.started
        self.written_bytes += len(data)
        for query, answer in QUERIES.items():
            if query in data:
                os.write(self.master, answer)
        if self.first_data_s is None:
            self.seen += data
            text = ESCAPES.sub(b"", self.seen)
            if self.first_frame_s is None and len(re.findall(rb"[!-~]", text)) >= FEWEST_CHARACTERS:
                self.first_frame_s = now
            if self.expect.search(text):
                self.first_data_s = now

    def watch_until_data(self, limit_s: float) -> None:
        while self.first_data_s is None and time.monotonic() - self.started < limit_s:
            if not self.watch(0.01):
                return

    def stop(self, key: str) -> str:
        """End it by its key, by force when that is not heard: `key`, `SIGTERM` or `SIGKILL`."""
        with contextlib.suppress(OSError):
            os.write(self.master, key.encode())
        for name, force in (("key", None), ("SIGTERM", signal.SIGTERM), ("SIGKILL", signal.SIGKILL)):
            if force is not None:
                os.kill(self.pid, force)
            end = time.monotonic() + 15
            while time.monotonic() < end:
                if os.waitpid(self.pid, os.WNOHANG)[0]:
                    os.close(self.master)
                    return name
                if not self.watch(0.01):
                    time.sleep(0.01)
        raise TimeoutError(f"process {self.pid} does not end")


def become(argv: list[str], environment: dict[str, str], master: int, slave: int) -> None:
    """In the child: the program, on the terminal. Does not return."""
    os.close(master)
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for standard in (0, 1, 2):
        os.dup2(slave, standard)
    try:
        os.execvpe(argv[0], argv, environment)
    except OSError as error:
        os.write(2, str(error).encode())
        os._exit(127)
