"""The bandwidth loop: every completion of a chain posts the next one to the same queue pair."""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import perf_counter_ns as clock
from typing import NamedTuple

from agent.verbs.loop import DEPTH, Loop
from agent.verbs.watch import Stopped, Watch


class Measured(NamedTuple):
    chains: int
    elapsed_ns: int


def pump(loop: Loop, watch: Watch, duration_ns: int | None, chains: int | None) -> Measured:
    """Runs for a time or a number of chains over all lanes, and until all that was posted has completed.

    Names are bound locally and the clock is asked once in about 50 ms: what is left is one post, one poll and a few
    additions for each 128 messages. Raises JobError for a failed completion, or none in `silence_s`.
    """
    poller, attr = loop.cq.poller, loop.cq.attr
    start_poll, end_poll = poller.start_poll, poller.end_poll
    posts = [lane.post for lane in loop.lanes]
    heads = [lane.chain for lane in loop.lanes]
    refill = Receiver(loop).refill if loop.job.operation == "send" else None
    limit = sys.maxsize if chains is None else chains
    posted = done = empty = 0
    step = look_at = 1
    begun = clock()
    watch.begin(begun, duration_ns, chains)
    for _ in range(DEPTH):
        for post, head in zip(posts, heads, strict=True):
            if posted < limit:
                post(head)
                posted += 1
    while done < posted:
        if start_poll(attr):
            empty += 1
            if not empty & 1023 and watch.is_silent(clock(), done):
                break
            continue
        number = poller.wr_id
        status = poller.status
        if status:
            raise loop.failure(status, poller.read_vendor_err())
        end_poll()
        done += 1
        if posted < limit:
            if refill is not None:
                refill(number)
            posts[number](heads[number])
            posted += 1
        if done >= look_at:
            step = watch.look(clock(), done, step)
            look_at = done + step
            if watch.over:
                limit = posted
    return Measured(done, clock() - begun)


class Receiver:
    """The receiving end of sends: keeps every queue pair a chain of receives ahead."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._posts = [lane.receive for lane in loop.lanes]
        self._heads = [lane.receives for lane in loop.lanes]
        self._drain = loop.receive_cq.drainer(4 * loop.chain * len(loop.lanes), loop.failure)
        for number in range(len(loop.lanes)):
            for _ in range(DEPTH + 1):
                self._post(number)

    def refill(self, number: int) -> None:
        """After a chain of sends of that lane has completed."""
        self._drain()
        self._post(number)

    def _post(self, number: int) -> None:
        post = self._posts[number]
        if post is not None:
            post(self._heads[number])


def send_singles(loop: Loop, watch: Watch) -> None:
    """One message on every lane, waited for: warms up, and moves the bytes that are compared."""
    for lane in loop.lanes:
        if lane.receive is not None:
            lane.receive(lane.single_receive)
        lane.post(lane.single)
    wanted = len(loop.lanes)
    wait_for(loop.cq.drainer(wanted, loop.failure), wanted, watch)
    if loop.job.operation == "send":
        wait_for(loop.receive_cq.drainer(wanted, loop.failure), wanted, watch)


def wait_for(drain: Callable[[], int], wanted: int, watch: Watch) -> None:
    """Until so many completions came. Raises JobError when they do not, Stopped on a cancel meanwhile."""
    got = drain()
    if got < wanted:
        watch.stir(clock())
    turns = 0
    while got < wanted:
        got += drain()
        turns += 1
        if not turns & 1023 and watch.is_silent(clock(), got):
            raise Stopped
