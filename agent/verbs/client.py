"""The agent's end of the verbs worker: starts it, asks it, follows its runs, and starts it again when it dies.

asyncio; one task reads, and hands each frame to whom it answers. The worker's death is an answer to everybody who
waits: nothing waits for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping
from typing import Any

from agent import child
from agent.verbs.protocol import (
    MAX_REPLY_BYTES,
    VERSION,
    AskDevices,
    Cancel,
    Deframer,
    Devices,
    Frame,
    Hello,
    Job,
    Progress,
    ProtocolError,
    Refused,
    Reply,
    Result,
    VerbsFacts,
    decode_reply,
    encode,
)
from diagnostics.errors import Unreachable

GREETING_S = 15.0
"""For a worker to start and say hello: 0.1 s here, several seconds on a software CPU."""
DEVICES_S = 20.0
RESTARTS = 5
RESTART_WINDOW_S = 60.0
ENDING_S = 1.0
"""For a child to end after it closed the connection, and after it was killed."""
STDERR_BYTES = 4096


class Lost(Exception):
    """The worker went away while it was waited for."""


class VerbsClient:
    """A verbs worker, however it came to be: a child of this process, or one that listens on a socket."""

    def __init__(self, path: str | None = None, env: Mapping[str, str] | None = None) -> None:
        self.state = "not started"
        """`ok`, or why there are no verbs."""
        self.hint = ""
        self.pid: int | None = None
        """Of the worker."""
        self._path = path
        self._env = env
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: dict[str, asyncio.Queue[Reply | Lost]] = {}
        self._starts: deque[float] = deque(maxlen=RESTARTS)
        self._numbers = itertools.count(1)
        self._opening: asyncio.Task[None] | None = None
        """A start that goes on: whoever gives up waiting for it does not end it."""
        self._openings = 0
        self._stderr = bytearray()
        self._closed = False

    @classmethod
    async def start_child(cls, env: Mapping[str, str] | None = None) -> VerbsClient:
        """A worker of our own. Never raises: `state` says what is wrong. `env` is added to its environment."""
        return await cls._opened(cls(env=env))

    @classmethod
    async def connect(cls, path: str) -> VerbsClient:
        """The worker that listens at a path. Never raises: `state` says what is wrong."""
        return await cls._opened(cls(path=path))

    @staticmethod
    async def _opened(client: VerbsClient) -> VerbsClient:
        with contextlib.suppress(Unreachable):
            await client._connected()
        return client

    async def devices(self) -> tuple[VerbsFacts, ...]:
        """What the verbs say of every device, asked now. Raises Unreachable."""
        reply = await self._list()
        if isinstance(reply, Lost):
            reply = await self._list()
        if isinstance(reply, Devices):
            return reply.devices
        if isinstance(reply, Refused):
            raise Unreachable(reply.message, reply.hint)
        raise Unreachable(str(reply) if isinstance(reply, Lost) else "the verbs worker gave a wrong answer")

    async def _list(self) -> Reply | Lost:
        async with self._conversation(AskDevices(id=self._name("devices"))) as replies:
            try:
                return await asyncio.wait_for(replies.get(), DEVICES_S)
            except asyncio.TimeoutError:
                raise Unreachable(f"the verbs worker did not list the devices in {DEVICES_S:g} s") from None

    async def run(self, job: Job) -> AsyncGenerator[Progress | Result, None]:
        """Progress several times a second, then one Result; a failure of any kind is a Result too.

        Left before its end the job is cancelled. Raises Unreachable when there is no worker to begin with.
        """
        async with self._conversation(job) as replies:
            ended = False
            try:
                while not ended:
                    reply = await replies.get()
                    answer = _as_answer(job, reply)
                    ended = isinstance(answer, Result)
                    yield answer
            finally:
                # a generator that was left is closed late, perhaps when the id has been given again
                if not ended and self._waiting.get(job.id) is replies:
                    self._say(Cancel(id=job.id))

    async def cancel(self, job_id: str) -> None:
        """The job's Result then comes with what was measured; nothing happens when it has ended already."""
        self._say(Cancel(id=job_id))

    async def close(self) -> None:
        """Ends the child, or leaves the worker that others use too. Runs of this client are stopped."""
        self._closed = True
        self.state = "closed"
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        process = self._process
        if process is not None and process.returncode is None:
            try:
                await asyncio.wait_for(process.wait(), 2.0)
            except asyncio.TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ---- one question and its answers ----

    @contextlib.asynccontextmanager
    async def _conversation(self, question: AskDevices | Job) -> AsyncIterator[asyncio.Queue[Reply | Lost]]:
        await self._connected()
        replies: asyncio.Queue[Reply | Lost] = asyncio.Queue()
        self._waiting[question.id] = replies
        try:
            self._say(question)
            yield replies
        finally:
            if self._waiting.get(question.id) is replies:
                del self._waiting[question.id]

    def _name(self, what: str) -> str:
        return f"{what}-{os.getpid()}-{next(self._numbers)}"

    def _say(self, frame: Frame) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(encode(frame))

    # ---- the connection ----

    async def _connected(self) -> None:
        """Sees to it that there is a worker and that it has verbs. Raises Unreachable."""
        if self._closed:
            raise Unreachable("the verbs worker is closed")
        if self._opening is None and self._writer is None:
            self._openings += 1
            self._opening = self._spawn(self._open())
        if self._opening is not None:
            await asyncio.shield(self._opening)
        if self.state == "ok" and self._writer is None:  # it ended between its hello and our turn
            raise Unreachable("the verbs worker ended at once", "it is started again with the next request")
        if self.state != "ok":
            raise Unreachable(self.state, self.hint)

    async def _open(self) -> None:
        try:
            reader, self._writer = await (self._open_path() if self._path else self._open_child())
            self._say(Hello(version=VERSION))
            await asyncio.wait_for(self._greet(reader), GREETING_S)
        except (OSError, asyncio.TimeoutError, ProtocolError, Lost) as failed:
            await self._abandon()
            detail = self._stderr.decode(errors="replace").strip().rpartition("\n")[2]
            reason = detail or str(failed) or f"no answer in {GREETING_S:g} s"
            where = f"at {self._path}" if self._path else "as a child process"
            self.state, self.hint = f"no verbs worker {where}: {reason}", "see the agent's --verbs option"
        finally:
            self._opening = None

    async def _abandon(self) -> None:
        """A worker that did not greet: its connection is closed, and a child that hangs while it starts is ended."""
        writer, self._writer = self._writer, None
        process, self._process = self._process, None
        if writer is not None:
            writer.close()
        if process is not None:
            await _end(process, 0.0)

    async def _open_path(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        assert self._path is not None
        try:
            return await asyncio.open_unix_connection(self._path)
        except OSError as failed:
            raise Lost(failed.strerror or str(failed)) from failed

    async def _open_child(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        now = time.monotonic()
        if len(self._starts) == RESTARTS and now - self._starts[0] < RESTART_WINDOW_S:
            raise Lost(f"it died {RESTARTS} times within {RESTART_WINDOW_S:g} s; it is tried again later")
        self._starts.append(now)
        self._stderr.clear()
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                # a session of its own: Ctrl-C is for us, who then cancel in order
                self._process = await asyncio.create_subprocess_exec(
                    *child.command("agent.verbs.worker", "--fd", str(theirs.fileno())), cwd=child.FOLDER,
                    pass_fds=(theirs.fileno(),), env=child.environment(self._env), start_new_session=True,
                    stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
                )  # fmt: skip
            except BaseException:
                ours.close()
                raise
        self._spawn(self._keep_stderr(self._process))
        return await asyncio.open_unix_connection(sock=ours)

    async def _greet(self, reader: asyncio.StreamReader) -> None:
        """Waits for the worker's hello, then leaves the connection to the reading task."""
        deframer = Deframer(MAX_REPLY_BYTES)
        while True:
            data = await reader.read(65536)
            if not data:
                if self._process is not None:
                    with contextlib.suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(self._process.wait(), 1.0)
                    await asyncio.sleep(0.05)
                raise Lost(f"it {_ending(self._process)} at once")
            for body in deframer.feed(data):
                hello = decode_reply(body)
                if isinstance(hello, Refused):
                    raise Lost(hello.message)
                if not isinstance(hello, Hello) or hello.version != VERSION:
                    raise ProtocolError(f"it does not speak version {VERSION}")
                self.state, self.hint, self.pid = hello.state, hello.hint, hello.pid
                assert self._writer is not None
                self._spawn(self._listen(reader, self._writer, self._process, deframer))
                return

    async def _listen(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        process: asyncio.subprocess.Process | None,
        deframer: Deframer,
    ) -> None:
        why = ""
        try:
            while data := await reader.read(65536):
                for body in deframer.feed(data):
                    self._hand_out(decode_reply(body))
        except (OSError, ProtocolError) as failed:
            why = f" ({failed})"
        await self._bury(writer, process, why)

    def _hand_out(self, reply: Reply) -> None:
        number = None if isinstance(reply, Hello) else reply.id
        replies = self._waiting.get(number) if number is not None else None
        if replies is not None:
            replies.put_nowait(reply)

    async def _bury(self, writer: asyncio.StreamWriter, process: asyncio.subprocess.Process | None, why: str) -> None:
        """The worker is gone: everybody who waited for it learns it, the next question starts another one.

        That may happen while this waits for the old one to end: what is the new one's is left alone.
        """
        opening = self._openings
        writer.close()
        if self._writer is writer:
            self._writer = None
        if self._process is process:
            self._process = None
        waiting, self._waiting = self._waiting, {}
        if process is not None:
            await _end(process, ENDING_S)
        lost = Lost(f"the verbs worker {_ending(process)}{why}")
        if not self._closed and opening == self._openings:
            self.state, self.hint = str(lost), "it is started again with the next request"
        for replies in waiting.values():
            replies.put_nowait(lost)

    async def _keep_stderr(self, process: asyncio.subprocess.Process) -> None:
        """The last few lines: why it could not start. They must not reach a terminal that a TUI paints on."""
        assert process.stderr is not None
        while data := await process.stderr.read(4096):
            self._stderr += data
            del self._stderr[:-STDERR_BYTES]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _as_answer(job: Job, reply: Reply | Lost) -> Progress | Result:
    if isinstance(reply, (Progress, Result)):
        return reply
    message = reply.message if isinstance(reply, Refused) else str(reply)
    hint = reply.hint if isinstance(reply, Refused) else "look at the kernel log"
    return Result(id=job.id, outcome="failed", error=f"{job.device}/{job.port}: {message}", hint=hint or None)


async def _end(process: asyncio.subprocess.Process, patience_s: float) -> None:
    """Waits for a child to end by itself, then kills it; also when we are cancelled meanwhile."""
    try:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(process.wait(), patience_s)
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(process.wait(), ENDING_S)  # in a system call that hangs not even SIGKILL ends it


def _ending(process: asyncio.subprocess.Process | None) -> str:
    """How a child ended, for a sentence: `was killed by signal 9`."""
    code = process.returncode if process is not None else None
    if code is None:
        return "closed the connection"
    return f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
