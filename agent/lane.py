"""One daemon thread that calls what it is given, in order: the loop awaits, and a call that hangs stops no exit."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from diagnostics.errors import Unreachable

T = TypeVar("T")
MOST = 64
"""Jobs that wait; more of them wait for a reading that hangs."""
_Job = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[[], Any]]


class Lane:
    """`concurrent.futures` joins its threads when the process ends; a read in uninterruptible sleep would hold it."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    async def run(self, call: Callable[[], T]) -> T:
        """What `call` returns or raises, once those before it are done; raises Unreachable where too many wait."""
        if self._jobs.qsize() >= MOST:
            raise Unreachable(f"{MOST} readings wait already: one of them hangs", "see the agent's log")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put((loop, future, call))
        return await future

    def close(self) -> None:
        """Lets the thread end after what is queued."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            loop, future, call = job
            if future.cancelled():
                continue
            try:
                result, error = call(), None
            except BaseException as raised:  # noqa: BLE001 - it goes to whoever awaits
                result, error = None, raised
            try:
                loop.call_soon_threadsafe(_settle, future, result, error)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.cancelled():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
