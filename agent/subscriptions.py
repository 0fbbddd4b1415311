"""A mailbox of one place: a slow reader finds the latest snapshot, never a queue of old ones."""

from __future__ import annotations

import asyncio
import weakref

from diagnostics.model import NodeSnapshot


class Subscription:
    """An async iterator of snapshots; ends when the monitor or the subscriber closes it."""

    def __init__(self, first: NodeSnapshot | None) -> None:
        self._slot = first
        self._closed = False
        self._news = asyncio.Event()
        if first is not None:
            self._news.set()

    def put(self, snapshot: NodeSnapshot) -> None:
        """Replaces whatever was not fetched yet."""
        self._slot = snapshot
        self._news.set()

    def close(self) -> None:
        self._closed = True
        self._news.set()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> NodeSnapshot:
        snapshot = await self.next()
        if snapshot is None:
            raise StopAsyncIteration
        return snapshot

    async def next(self) -> NodeSnapshot | None:
        """The latest snapshot that was not fetched yet, waited for; None once closed."""
        await self._news.wait()
        if self._closed:
            return None
        snapshot, self._slot = self._slot, None
        self._news.clear()
        return snapshot


class Subscriptions:
    """All of them; one that nobody holds any more is forgotten by itself."""

    def __init__(self) -> None:
        self._all: weakref.WeakSet[Subscription] = weakref.WeakSet()

    def add(self, first: NodeSnapshot | None) -> Subscription:
        subscription = Subscription(first)
        self._all.add(subscription)
        return subscription

    def put(self, snapshot: NodeSnapshot) -> None:
        for subscription in list(self._all):
            subscription.put(snapshot)

    def close(self) -> None:
        for subscription in list(self._all):
            subscription.close()

    def __len__(self) -> int:
        return len(self._all)
