"""`make run`: rdmatop on this machine's RDMA devices; where it has none, on the two of the lab's virtual machine.

On a terminal it opens the screens, and everything ends with them. Elsewhere it prints the ports, runs one loopback
and prints its result.
"""

import contextlib
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from agent.server.certificate import fingerprint_of, make_pair
from diagnostics.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_UNREACHABLE
from tests.lab import install, places

RDMATOP = str(Path(sys.executable).with_name("rdmatop"))
GUEST_ADDRESS, AGENT_PORT = "10.0.2.15", 9879
START_LIMIT_S = 180
"""Software emulation takes about 15 s from start to the first answer on an idle machine."""
LONGEST_S = 7 * 24 * 3600


class StartFailed(Exception):
    """The agent that the screens should look at did not start; the message says why."""


def main() -> int:
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    try:
        if has_rdma():
            with agent_here() as where:
                return screens(where) if is_terminal else once(where)
        with agent_in_guest() as where:
            return screens(where) if is_terminal else once(where, "mlx5_0")
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except StartFailed as error:
        say(str(error))
        return EXIT_UNREACHABLE


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def has_rdma() -> bool:
    """Whether the kernel shows a device; one that is down or without permission is for rdmatop to explain."""
    with contextlib.suppress(OSError):
        return bool(os.listdir("/sys/class/infiniband"))
    return False


@contextlib.contextmanager
def agent_here() -> Iterator[list[str]]:
    """An agent on this machine; yields the options that ask it."""
    with tempfile.TemporaryDirectory(prefix="rdmatop-") as folder:
        path = f"{folder}/agent.sock"
        log = Path(folder, "log")
        with ended(start([RDMATOP, "agent", "--socket", path, "--state-dir", f"{folder}/state"], log)) as process:
            wait_until_ready(process, log, lambda: os.path.exists(path))
            yield ["--socket", path]


@contextlib.contextmanager
def agent_in_guest() -> Iterator[list[str]]:
    """The virtual machine with two devices that carry traffic, an agent in it; yields the options that ask it."""
    say("This machine has no RDMA device: starting the lab's virtual machine, with two soft-RoCE devices.")
    if install.main() != 0:
        raise StartFailed("The lab could not be set up; on a machine with RDMA devices it is not needed.")
    with tempfile.TemporaryDirectory(prefix="rdmatop-") as folder:
        fingerprint = write_secrets(Path(folder))
        port, log = free_port(), Path(folder, "log")
        command = [sys.executable, "-m", "tests.lab.vm", "--timeout", str(LONGEST_S), "--show", folder]
        command += ["--forward", f"{port}:{AGENT_PORT}", "--", sys.executable, "-m", "tests.lab.demo_guest", folder]
        url = f"https://127.0.0.1:{port}"
        with ended(start(command, log)) as process:
            wait_until_ready(process, log, lambda: is_ready(url))
            yield ["--agent", url, "--token-file", f"{folder}/token", "--fingerprint", fingerprint]


def write_secrets(folder: Path) -> str:
    """A token and a certificate for this one run; the certificate's fingerprint."""
    token = secrets.token_urlsafe(32)
    pair = make_pair("rdma-vm")
    texts = {"token": token, "tokens": f"{token} demo operator\n"}
    files = {name: text.encode() for name, text in texts.items()}
    for name, content in (files | {"tls.crt": pair.certificate, "tls.key": pair.key}).items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_bytes(content)
    return fingerprint_of(pair.certificate)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """In a session of its own: Ctrl-C on the terminal is for the screens alone."""
    with log.open("wb") as output:
        return subprocess.Popen(
            command, cwd=places.PROJECT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )


@contextlib.contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Ends the process with the block."""
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_ready(process: subprocess.Popen[bytes], log: Path, is_ready: Callable[[], bool]) -> None:
    """Raises StartFailed when the process ends first, or takes too long."""
    started = time.monotonic()
    while not is_ready():
        tail = log.read_text(errors="replace")[-2000:].strip()
        if process.poll() is not None:
            raise StartFailed(f"The agent did not start (exit {process.returncode}):\n{tail}")
        if time.monotonic() - started > START_LIMIT_S:
            raise StartFailed(f"The agent gave no answer within {START_LIMIT_S} s:\n{tail}")
        time.sleep(0.2)
    say(f"Ready after {time.monotonic() - started:.0f} s.")


def is_ready(url: str) -> bool:
    """/readyz needs no token, and answers once there is a full sample; the certificate matters only from then on."""
    unverified = ssl.create_default_context()
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5, context=unverified) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def screens(where: list[str]) -> int:
    return subprocess.run([RDMATOP, *where], check=False).returncode


def once(where: list[str], *benchmarked: str) -> int:
    """The ports and one loopback, of all active ports unless some are named, as printed by the command line."""
    for command in (["get", "ports"], ["bench", "loopback", *benchmarked, "--duration", "2"]):
        say(f"\n$ rdmatop {' '.join(command)}")
        code = subprocess.run([RDMATOP, *command, *where], check=False).returncode
        if code != EXIT_OK:
            return code
    return EXIT_OK


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
