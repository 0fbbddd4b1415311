"""A child of the worker that does one thing with the device and ends: run a benchmark, or enumerate.

Why a process of its own: pyverbs holds the interpreter while it posts and polls (67 ms for four 1 MiB writes on
soft-RoCE), so the worker could not hear a cancel; a use after close in the library is a segmentation fault; and a call
that hangs in firmware never comes back. Of a child each of these is an answer: it is told to stop, found dead, killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import sys
import time
from collections.abc import Callable

from agent.verbs.binding import Binding, VerbsUnavailable
from agent.verbs.facts import devices
from agent.verbs.listening import Connection
from agent.verbs.protocol import (
    MAX_REPLY_BYTES,
    AskDevices,
    Deframer,
    Devices,
    Frame,
    Job,
    Progress,
    Refused,
    Result,
    encode,
)
from agent.verbs.runner import run

PR_SET_PDEATHSIG = 1
ENUMERATE_S = 15.0
"""Opening a device asks its firmware; one that does not answer in this time is not waited for."""
STOP_S = 3.0
"""Between a cancel and the kill."""
GRACE_S = 10.0
"""Beyond a job's own patience before its process counts as hung."""


class Child:
    """The worker's end: process id and the socket that its frames come from."""

    def __init__(self, pid: int, stream: socket.socket) -> None:
        self.pid = pid
        self.stream = stream

    def ask_to_stop(self) -> None:
        """A benchmark keeps what it has measured and answers within a twentieth of a second."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def reap(self) -> str | None:
        """How it ended, None while it has not: `ended`, `was killed by SIGSEGV`."""
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            return "ended"
        if pid == 0:
            return None
        if os.WIFSIGNALED(status):
            return f"was killed by {signal.Signals(os.WTERMSIG(status)).name}"
        return "ended" if os.WEXITSTATUS(status) == 0 else f"ended with status {os.WEXITSTATUS(status)}"


class Task:
    """A child at work for a client, and how long it may be silent."""

    def __init__(self, child: Child, asked: Job | AskDevices, owner: Connection) -> None:
        self.child = child
        self.asked = asked
        self.owner: Connection | None = owner
        """None once nobody waits for the answer."""
        self.deframer = Deframer(MAX_REPLY_BYTES)
        self.patience_s = asked.silence_s + GRACE_S if isinstance(asked, Job) else ENUMERATE_S
        self.kill_at = time.monotonic() + self.patience_s
        self.stopping = False
        self.answered = False
        self.killed_because: str | None = None

    def heard(self) -> None:
        """It lives."""
        if not self.stopping:
            self.kill_at = time.monotonic() + self.patience_s

    def stop(self) -> None:
        """Asks it to end, and sets the time of its kill."""
        if not self.stopping:
            self.stopping = True
            self.kill_at = min(self.kill_at, time.monotonic() + STOP_S)
            self.child.ask_to_stop()


def start(verbs: Binding, task: Job | AskDevices) -> Child:
    """Forks. Forking is right here: the worker has one thread, no device open, and pyverbs imported already."""
    ours, theirs = socket.socketpair()
    parent = os.getpid()
    # a cancel that comes before the child has its own handler waits, instead of going to the worker's
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        theirs.close()
        ours.setblocking(False)
        return Child(pid, ours)
    try:
        _settle(theirs.fileno(), parent)
        _work(verbs, task, theirs.fileno())
        os._exit(0)
    except BaseException as failed:  # noqa: BLE001  nothing may get back into the worker's loop
        sys.stderr.write(f"verbs child: {type(failed).__name__}: {failed}\n")
        sys.stderr.flush()
        os._exit(70)
    raise AssertionError("unreachable")


def _settle(keep: int, parent: int) -> None:
    """Lets go of the worker's sockets, and dies with the worker."""
    signal.set_wakeup_fd(-1)
    os.closerange(3, keep)
    os.closerange(keep + 1, 4096)
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(71)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _work(verbs: Binding, task: Job | AskDevices, fd: int) -> None:
    def say(frame: Frame) -> None:
        data = encode(frame)
        while data:
            data = data[os.write(fd, data) :]

    if isinstance(task, AskDevices):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        say(_enumerate(verbs, task))
        return
    stopped = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    say(_run(verbs, task, say, lambda: stopped))


def _enumerate(verbs: Binding, task: AskDevices) -> Devices | Refused:
    try:
        return Devices(id=task.id, devices=devices(verbs))
    except VerbsUnavailable as failed:
        return Refused(id=task.id, message=failed.reason, hint=failed.hint)


def _run(verbs: Binding, job: Job, report: Callable[[Progress], None], is_cancelled: Callable[[], bool]) -> Result:
    try:
        return run(verbs, job, report, is_cancelled)
    except MemoryError:
        return Result(id=job.id, outcome="failed", error=f"{job.device}/{job.port}: this host is out of memory")
