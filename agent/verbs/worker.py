"""The verbs worker: the only process that has the RDMA devices, and the only one that imports pyverbs.

`python -m agent.verbs.worker --socket PATH` listens (mode 0600, the peer's uid is asked of the kernel);
`--fd N` serves one connection that the agent made for its child, and ends with it.

One thread, one selector. Everything that touches a device happens in a child (job_process.py), so the worker always
answers: devices that hang or crash cost one child.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable

from agent.verbs.binding import Binding, VerbsUnavailable, load
from agent.verbs.job_process import Task, start
from agent.verbs.listening import MAX_CONNECTIONS, Connection, listen, peer_uid, remove
from agent.verbs.protocol import (
    MAX_REPLY_BYTES,
    VERSION,
    AskDevices,
    Cancel,
    Devices,
    Frame,
    Hello,
    Job,
    Progress,
    ProtocolError,
    Refused,
    Reply,
    Request,
    Result,
    decode_reply,
    decode_request,
    encode,
)

MAX_CHILDREN = 16
GREETING_S = 5.0
"""For the first frame, and for the rest of one that has begun."""


class Worker:
    """Serves connections until it is told to end, or the only one it was made for ends."""

    def __init__(self, verbs: Binding | None, unavailable: VerbsUnavailable | None) -> None:
        self._verbs = verbs
        self._unavailable = unavailable
        self._selector = selectors.DefaultSelector()
        self._connections: set[Connection] = set()
        self._tasks: set[Task] = set()
        self._listener: socket.socket | None = None
        self._allowed_uids = {0, os.geteuid()}
        self._ending = False
        # a signal's handler does not end a sleeping select (PEP 475), the byte that it leaves here does
        self._woken, self._wake = socket.socketpair()
        self._woken.setblocking(False)
        self._wake.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno())
        self._selector.register(self._woken, selectors.EVENT_READ, lambda _events: self._woken.recv(64))

    def serve_listener(self, listener: socket.socket) -> None:
        """Until SIGTERM."""
        self._listener = listener
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        self._loop(lambda: self._ending)

    def serve_one(self, stream: socket.socket) -> None:
        """Until that connection ends."""
        self._add(stream)
        self._loop(lambda: self._ending or not self._connections)

    def end(self) -> None:
        self._ending = True

    def _loop(self, is_over: Callable[[], bool]) -> None:
        while not is_over():
            for key, events in self._selector.select(self._pause_s()):
                key.data(events)
            self._look_after()
        for task in self._tasks:
            task.child.kill()

    def _pause_s(self) -> float | None:
        """Sleeps for ever when nothing is under way."""
        if self._tasks or any(connection.waiting_since is not None for connection in self._connections):
            return 0.2
        return None

    # ---- clients ----

    def _accept(self, _events: int) -> None:
        assert self._listener is not None
        try:
            stream, _ = self._listener.accept()
        except OSError:
            return
        uid = peer_uid(stream)
        if uid not in self._allowed_uids:
            self._turn_away(stream, f"user {uid} may not use this verbs worker")
        elif len(self._connections) >= MAX_CONNECTIONS:
            self._turn_away(stream, f"{MAX_CONNECTIONS} clients are connected already")
        else:
            self._add(stream)

    def _turn_away(self, stream: socket.socket, why: str) -> None:
        stream.setblocking(False)
        with contextlib.suppress(OSError):
            stream.send(encode(Refused(id=None, message=why)))
        stream.close()

    def _add(self, stream: socket.socket) -> None:
        stream.setblocking(False)
        connection = Connection(stream)
        self._connections.add(connection)
        self._selector.register(stream, selectors.EVENT_READ, lambda events: self._ready(connection, events))
        state, hint = ("ok", "") if self._unavailable is None else (self._unavailable.reason, self._unavailable.hint)
        path = self._verbs.path if self._verbs else None
        self._say(connection, Hello(version=VERSION, state=state, hint=hint, pyverbs=path, pid=os.getpid()))

    def _ready(self, connection: Connection, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._flush(connection)
        if events & selectors.EVENT_READ and connection in self._connections:
            self._read(connection)

    def _read(self, connection: Connection) -> None:
        try:
            data = connection.stream.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(connection)
            return
        try:
            for body in connection.deframer.feed(data):
                self._answer(connection, decode_request(body))
                if connection not in self._connections:
                    return
        except ProtocolError as wrong:
            self._refuse_and_drop(connection, str(wrong))
            return
        late = connection.deframer.pending or not connection.greeted
        connection.waiting_since = (connection.waiting_since or time.monotonic()) if late else None

    def _refuse_and_drop(self, connection: Connection, why: str) -> None:
        self._say(connection, Refused(id=None, message=why))
        self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        """Forgets a client; what it had running is stopped."""
        if connection not in self._connections:
            return
        self._connections.discard(connection)
        self._selector.unregister(connection.stream)
        connection.stream.close()
        for task in self._tasks:
            if task.owner is connection:
                task.owner = None
                task.stop()

    def _say(self, connection: Connection, frame: Frame) -> None:
        if connection not in self._connections:
            return
        if len(connection.out) > MAX_REPLY_BYTES:
            if isinstance(frame, Progress):
                return
            self._drop(connection)
            return
        connection.out += encode(frame)
        self._flush(connection)

    def _flush(self, connection: Connection) -> None:
        try:
            while connection.out:
                del connection.out[: connection.stream.send(connection.out)]
        except BlockingIOError:
            pass
        except OSError:
            self._drop(connection)
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.out else 0)
        key = self._selector.get_key(connection.stream)
        if key.events != wanted:
            self._selector.modify(connection.stream, wanted, key.data)

    # ---- requests ----

    def _answer(self, connection: Connection, request: Request) -> None:
        if isinstance(request, Hello):
            if request.version != VERSION:
                self._refuse_and_drop(connection, f"this worker speaks version {VERSION}, not {request.version}")
            connection.greeted = True
        elif not connection.greeted:
            self._refuse_and_drop(connection, "the first frame must be a hello")
        elif isinstance(request, Cancel):
            self._cancel(connection, request)
        else:
            self._start(connection, request)

    def _cancel(self, connection: Connection, request: Cancel) -> None:
        """Of a job that has ended already its result is on the way, and nothing is said."""
        for task in self._tasks:
            if task.owner is connection and task.asked.id == request.id:
                task.stop()

    def _start(self, connection: Connection, request: Job | AskDevices) -> None:
        why, hint = self._objection(connection, request)
        if why:
            self._say(connection, Refused(id=request.id, message=why, hint=hint))
            return
        assert self._verbs is not None
        try:
            child = start(self._verbs, request)
        except OSError as failed:
            self._say(connection, Refused(id=request.id, message=f"cannot start a process: {failed.strerror}"))
            return
        task = Task(child, request, connection)
        self._tasks.add(task)
        self._selector.register(child.stream, selectors.EVENT_READ, lambda _events: self._hear(task))

    def _objection(self, connection: Connection, request: Job | AskDevices) -> tuple[str, str]:
        if self._unavailable is not None:
            return self._unavailable.reason, self._unavailable.hint
        if len(self._tasks) >= MAX_CHILDREN:
            return f"{MAX_CHILDREN} tasks are under way already", "wait for one to end"
        for task in self._tasks:
            if task.answered:
                continue
            if task.owner is connection and task.asked.id == request.id:
                return f"{request.id} is under way already", ""
            if isinstance(request, Job) and isinstance(task.asked, Job) and task.asked.device == request.device:
                return f"{request.device} is in a benchmark already", "wait for it to end, or cancel it"
        return "", ""

    # ---- children ----

    def _hear(self, task: Task) -> None:
        try:
            data = task.child.stream.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end_of(task)
            return
        task.heard()
        try:
            for body in task.deframer.feed(data):
                self._pass_on(task, decode_reply(body))
        except ProtocolError as wrong:
            task.killed_because = f"said what nobody understands ({wrong})"
            task.child.kill()

    def _pass_on(self, task: Task, reply: Reply) -> None:
        task.answered = task.answered or isinstance(reply, (Result, Devices, Refused))
        if task.owner is not None:
            self._say(task.owner, reply)

    def _end_of(self, task: Task) -> None:
        """Its socket is closed: it has ended, or will at once."""
        self._selector.unregister(task.child.stream)
        task.child.stream.close()
        deadline = time.monotonic() + 1.0
        while (ended := task.child.reap()) is None and time.monotonic() < deadline:
            time.sleep(0.002)
        self._tasks.discard(task)
        self._explain(task, ended or "does not end")

    def _explain(self, task: Task, ended: str) -> None:
        """An answer for a child that gave none itself."""
        if task.answered or task.owner is None:
            return
        task.answered = True
        asked = task.asked
        if isinstance(asked, AskDevices):
            why = task.killed_because or ended
            self._say(task.owner, Refused(id=asked.id, message=f"the process that lists the RDMA devices {why}"))
            return
        where = f"{asked.device}/{asked.port}"
        if task.stopping:
            self._say(task.owner, Result(id=asked.id, outcome="cancelled", error=f"{where}: killed, it did not stop"))
            return
        self._say(
            task.owner,
            Result(
                id=asked.id,
                outcome="failed",
                error=f"{where}: the benchmark process {task.killed_because or ended}",
                hint="look at the kernel log; a crash in the verbs library or the driver ends only this run",
            ),
        )

    def _look_after(self) -> None:
        """Kills what is overdue, forgets who does not finish a frame."""
        now = time.monotonic()
        for task in list(self._tasks):
            if now < task.kill_at:
                continue
            if task.killed_because is None:
                task.killed_because = f"gave no sign of life for {task.patience_s:g} s and was killed"
                task.kill_at = now + 2.0
                task.child.kill()
            else:
                # not even SIGKILL ends it: it sits in the driver; its answer is given, its place is not blocked
                self._end_of(task)
        for connection in list(self._connections):
            if connection.waiting_since is not None and now - connection.waiting_since > GREETING_S:
                self._refuse_and_drop(connection, f"no whole frame in {GREETING_S:g} s")


def _raise_memlock() -> None:
    """The soft limit on locked memory up to the hard one: registered memory counts against it."""
    _, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard, hard))


def main(arguments: list[str] | None = None) -> int:
    """`python -m agent.verbs.worker`; exit code 2 for wrong use, 3 when the socket cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m agent.verbs.worker", description="Has the RDMA devices.")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--socket", metavar="PATH", help="listen here")
    where.add_argument("--fd", type=int, metavar="N", help="serve this connected socket and end with it")
    options = parser.parse_args(arguments)
    _raise_memlock()
    verbs, unavailable = None, None
    try:
        verbs = load()
    except VerbsUnavailable as failed:
        unavailable = failed
    worker = Worker(verbs, unavailable)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: worker.end())
    try:
        if options.socket is None:
            worker.serve_one(socket.socket(fileno=options.fd))
            return 0
        listener = listen(options.socket)
    except OSError as failed:
        sys.stderr.write(f"verbs worker: {options.socket or options.fd}: {failed.strerror or failed}\n")
        return 3
    try:
        worker.serve_listener(listener)
    finally:
        remove(options.socket)
    return 0


if __name__ == "__main__":
    sys.exit(main())
