"""The benchmarks of this process, newest last, and those who want to hear of every change."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Iterator

from diagnostics.model import Benchmark

KEPT = 200
ENDED = frozenset(("done", "failed", "cancelled"))


class History:
    """By id. Ended ones are forgotten beyond the last 200; those that wait or run never."""

    def __init__(self) -> None:
        self._items: dict[str, Benchmark] = {}
        self._watchers: set[_Watcher] = set()
        self._last_ms = 0
        self._numbers = itertools.count()

    def new_id(self) -> str:
        """Sorts by time: milliseconds in hexadecimal, then a number within the process."""
        self._last_ms = max(self._last_ms, int(time.time() * 1000))
        return f"{self._last_ms:011x}-{next(self._numbers) % 0x10000:04x}"

    def get(self, number: str) -> Benchmark:
        """Raises KeyError."""
        return self._items[number]

    def all(self) -> tuple[Benchmark, ...]:
        """Newest first."""
        return tuple(reversed(self._items.values()))

    def put(self, item: Benchmark) -> None:
        """A new one, or a newer state of it."""
        self._items[item.id] = item
        for watcher in self._watchers:
            watcher.offer(item)
        surplus = len(self._items) - KEPT
        if surplus > 0:
            ended = [number for number, old in self._items.items() if old.state in ENDED]
            for number in ended[:surplus]:
                del self._items[number]

    @contextlib.contextmanager
    def _watching(self) -> Iterator[_Watcher]:
        watcher = _Watcher()
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    async def watch(self) -> AsyncIterator[Benchmark]:
        """Every change from now on; of one that changes faster than it is read only the latest."""
        with self._watching() as watcher:
            while True:
                await watcher.changed.wait()
                for item in watcher.take():
                    yield item


class _Watcher:
    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self._pending: dict[str, Benchmark] = {}

    def offer(self, item: Benchmark) -> None:
        self._pending[item.id] = item
        self.changed.set()

    def take(self) -> list[Benchmark]:
        pending, self._pending = list(self._pending.values()), {}
        self.changed.clear()
        return pending
