"""Completion queues as the loops want them: `start_poll`, `wr_id`, `status`, `end_poll`, and nothing allocated.

`CQ.poll` of pyverbs makes a WC object an entry, 1.2 us each; the extended queue gives the two fields that are needed
for 0.2 us. Providers without extended queues get the plain one behind the same four names.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from itertools import islice
from typing import Any

from agent.verbs.binding import Binding

EMPTY = errno.ENOENT
"""What start_poll and poll_next return when there is no completion."""


class PlainQueue:
    """A CQ without the extended calls, one completion at a time."""

    def __init__(self, cq: Any) -> None:
        self.cq = cq
        self._poll = cq.poll
        self.wr_id = 0
        self.status = 0
        self._vendor = 0

    def start_poll(self, _attr: Any) -> int:
        return self.poll_next()

    def poll_next(self) -> int:
        count, entries = self._poll(1)
        if not count:
            return EMPTY
        entry = entries[0]
        self.wr_id, self.status, self._vendor = entry.wr_id, entry.status, entry.vendor_err
        return 0

    def end_poll(self) -> None:
        """A plain queue has nothing to give back."""

    def read_vendor_err(self) -> int:
        return self._vendor


class Completions:
    """A completion queue of either sort; `poller` has the four calls, `handle` is what a QP is made with."""

    def __init__(self, verbs: Binding, context: Any, entries: int) -> None:
        self.attr = verbs.cq.PollCqAttr()
        try:
            self.handle = verbs.cq.CQEX(context, verbs.cq.CqInitAttrEx(cqe=entries))
            self.poller: Any = self.handle
        except verbs.error:
            self.handle = verbs.cq.CQ(context, entries)
            self.poller = PlainQueue(self.handle)

    def drainer(self, limit: int, fail: Callable[[int, int], Exception]) -> Callable[[], int]:
        """A function that takes up to `limit` completions at C speed and returns how many there were.

        Only the last status is looked at: after one failure a queue pair completes all later work as flushed, so a
        failure anywhere in a batch shows at its end.
        """
        poller, attr = self.poller, self.attr
        start_poll, end_poll, poll_next = poller.start_poll, poller.end_poll, poller.poll_next

        def drain() -> int:
            if start_poll(attr):
                return 0
            count = 1 + len(list(islice(iter(poll_next, EMPTY), limit)))
            status = poller.status
            vendor = poller.read_vendor_err() if status else 0
            end_poll()
            if status:
                raise fail(status, vendor)
            return count

        return drain
