"""Completion queues as the loops want them: `start_poll`, `wr_id`, `status`, `end_poll`, and nothing allocated.

`CQ.poll` of pyverbs makes a WC object an entry, 1.2 us each; the extended queue gives the two fields that are needed
for 0.2 us. Providers without extended queues get the plain one behind the same names.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import partial
from itertools import islice, repeat, starmap
from operator import attrgetter
from typing import Any

from agent.verbs.binding import Binding

EMPTY = errno.ENOENT
"""What start_poll returns when there is no completion."""


class PlainQueue:
    """A CQ without the extended calls, one completion at a time."""

    def __init__(self, cq: Any) -> None:
        self.cq = cq
        self._poll = cq.poll
        self.wr_id = 0
        self.status = 0
        self._vendor = 0

    def start_poll(self, _attr: Any) -> int:
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
    """A completion queue of either sort; `poller` has the calls, `handle` is what a QP is made with."""

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

        One start_poll and end_poll an entry and never next_poll: on an empty queue rxe's next_poll ends the poll by
        itself and mlx5's does not, so no caller can be right with both. After one failure a queue pair completes all
        later work as flushed; the first bad status is the one that is raised.
        """
        start = partial(self.poller.start_poll, self.attr)
        statuses, ends = map(attrgetter("status"), repeat(self.poller)), starmap(self.poller.end_poll, repeat(()))

        def drain() -> int:
            seen = list(islice(zip(iter(start, EMPTY), statuses, ends, strict=False), limit))
            for _, status, _ in seen[-1:]:
                if status:
                    raise fail(next(bad for _, bad, _ in seen if bad), 0)
            return len(seen)

        return drain
