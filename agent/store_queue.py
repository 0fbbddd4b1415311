"""What waits for the disk: bounded, however long the disk hangs, and of each fact the newest value alone."""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import NamedTuple

from agent.store_schema import StoreUnusable

PENDING = 1000
"""Writes that memory keeps while the disk cannot take them; the oldest go first."""


class Item(NamedTuple):
    """A write, and who waits for it."""

    fact: str | None
    """Of a named blob: a newer value takes the place of one that waits, whose `done` is then cancelled."""
    write: Callable[[sqlite3.Connection], None]
    done: Future[None]


class StoreQueue:
    """Filled by any thread, emptied by the store's."""

    def __init__(self) -> None:
        self.lost = 0
        """Writes that found no place."""
        self.closing = False
        self._items: OrderedDict[object, Item] = OrderedDict()
        self._changed = threading.Condition()

    def put(self, item: Item) -> None:
        with self._changed:
            self._add(item)
            self._bound()
            self._changed.notify()

    def take(self) -> list[Item]:
        """All that waits, oldest first."""
        with self._changed:
            items, self._items = list(self._items.values()), OrderedDict()
        return items

    def put_back(self, items: Iterable[Item]) -> None:
        """What the disk did not take, before what came meanwhile."""
        with self._changed:
            newer, self._items = self._items, OrderedDict()
            for item in (*items, *newer.values()):
                self._add(item)
            self._bound()

    def wait(self, *, blocked_s: float | None) -> None:
        """Until something waits, or at most `blocked_s` where the disk takes nothing before; not while closing."""
        with self._changed:
            if self.closing or (self._items and blocked_s is None):
                return
            self._changed.wait(blocked_s if self._items else None)

    def close(self) -> None:
        with self._changed:
            self.closing = True
            self._changed.notify()

    def _add(self, item: Item) -> None:
        key: object = item.fact if item.fact is not None else item.done
        before = self._items.pop(key, None)
        if before is not None:
            before.done.cancel()
        self._items[key] = item

    def _bound(self) -> None:
        while len(self._items) > PENDING:
            self.lost += 1
            self._items.popitem(last=False)[1].done.set_exception(
                StoreUnusable("the disk takes nothing, and memory keeps no more")
            )
