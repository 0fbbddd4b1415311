"""The latency loops: one message at a time, both ends in this process.

A write is a ping-pong where each end polls the last byte of its memory, as ib_write_lat does: the completion queue
would add 0.2 to 1 us that the fabric does not have. A send is a ping-pong by receive completions. A read has no other
end that could notice: it is timed from the post to its completion.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from time import perf_counter_ns as clock
from typing import NamedTuple

from agent.verbs.bandwidth import wait_for
from agent.verbs.completions import Completions
from agent.verbs.loop import Loop
from agent.verbs.watch import Stopped, Watch

BATCH = 64
"""Round trips of which only the last is signalled, which frees the send queue; fewer where they take long."""
MAX_SAMPLES = 1_000_000
"""8 MB of samples: a run that reaches it ends early."""
SPINS = 20_000


class Samples(NamedTuple):
    """Nanoseconds, one way for a ping-pong."""

    sorted_ns: array[int]
    elapsed_ns: int
    by: str
    """`memory` or `completion`."""

    def summary_us(self) -> tuple[float, float, float, float] | None:
        """min, p50, p99, max."""
        values = self.sorted_ns
        if not values:
            return None
        last = len(values) - 1
        return (values[0] / 1e3, values[last // 2] / 1e3, values[min(last, last * 99 // 100)] / 1e3, values[-1] / 1e3)


def measure(loop: Loop, watch: Watch, duration_ns: int | None, iterations: int | None) -> Samples:
    """Latency of the loop's operation. Raises JobError."""
    make, factor, by = METHODS[loop.job.operation]
    batch = make(loop, watch)
    most = min(iterations or MAX_SAMPLES, MAX_SAMPLES)
    samples = array("q")
    begun = clock()
    watch.begin(begun, duration_ns, most if iterations else None)
    look_at = step = size = 1
    try:
        while len(samples) < most and not watch.over:
            samples.extend(batch(min(size, most - len(samples))))
            if len(samples) >= look_at:
                now = clock()
                step = watch.look(now, len(samples), step)
                look_at = len(samples) + step
                size = max(1, min(BATCH, step))
    except Stopped:
        pass
    elapsed = clock() - begun
    return Samples(array("q", sorted(value // factor for value in samples)), elapsed, by)


def _write_batch(loop: Loop, watch: Watch) -> Callable[[int], list[int]]:
    there, back = loop.lanes[0], loop.lanes[1]
    plain_there, plain_back = loop.unsignalled(0), loop.unsignalled(1)
    drain = loop.cq.drainer(4, loop.failure)
    post_there, post_back = there.post, back.post
    out_there, out_back, in_there, in_back = there.source, back.source, there.sink, back.sink
    last = loop.job.size_bytes - 1
    value = out_there[last]
    early = 0

    def wait(memory: memoryview) -> None:
        """Looks up now and then: a failed request leaves its completion in the queue and the memory as it was."""
        nonlocal early
        watch.stir(clock())
        while memory[last] != value:
            for _ in range(SPINS):
                if memory[last] == value:
                    return
            early += drain()
            if watch.is_silent(clock(), 0):
                raise Stopped

    def run(count: int) -> list[int]:
        nonlocal value, early
        taken: list[int] = []
        take = taken.append
        for left in range(count - 1, -1, -1):
            value = value % 255 + 1
            out_there[last] = out_back[last] = value
            go, answer = (plain_there, plain_back) if left else (there.single, back.single)
            begun = clock()
            post_there(go)
            if in_there[last] != value:
                wait(in_there)
            post_back(answer)
            if in_back[last] != value:
                wait(in_back)
            take(clock() - begun)
        wait_for(drain, 2 - early, watch)
        early = 0
        return taken

    return run


def _send_batch(loop: Loop, watch: Watch) -> Callable[[int], list[int]]:
    there, back = loop.lanes[0], loop.lanes[1]
    plain_there, plain_back = loop.unsignalled(0), loop.unsignalled(1)
    drain = loop.cq.drainer(4, loop.failure)
    arrive = _arrival(loop, watch, loop.receive_cq, drain)
    post_there, post_back = there.post, back.post

    def run(count: int) -> list[int]:
        for lane in (there, back):
            for _ in range(count if lane.receive else 0):
                assert lane.receive is not None
                lane.receive(lane.single_receive)
        taken: list[int] = []
        early = 0
        for left in range(count - 1, -1, -1):
            go, answer = (plain_there, plain_back) if left else (there.single, back.single)
            begun = clock()
            post_there(go)
            early += arrive()
            post_back(answer)
            early += arrive()
            taken.append(clock() - begun)
        wait_for(drain, 2 - early, watch)
        return taken

    return run


def _read_batch(loop: Loop, watch: Watch) -> Callable[[int], list[int]]:
    lane = loop.lanes[0]
    arrive = _arrival(loop, watch, loop.cq, lambda: 0)
    post, single = lane.post, lane.single

    def run(count: int) -> list[int]:
        taken: list[int] = []
        for _ in range(count):
            begun = clock()
            post(single)
            arrive()
            taken.append(clock() - begun)
        return taken

    return run


def _arrival(loop: Loop, watch: Watch, queue: Completions, drain: Callable[[], int]) -> Callable[[], int]:
    """A function that waits for one completion and returns how many of the sender's it took meanwhile."""
    poller, attr = queue.poller, queue.attr
    start_poll, end_poll = poller.start_poll, poller.end_poll

    def arrive() -> int:
        turns = early = 0
        while start_poll(attr):
            turns += 1
            if turns == 1:
                watch.stir(clock())
            if not turns % SPINS:
                early += drain()
                if watch.is_silent(clock(), 0):
                    raise Stopped
        status = poller.status
        if status:
            raise loop.failure(status, poller.read_vendor_err())
        end_poll()
        return early

    return arrive


METHODS: dict[str, tuple[Callable[[Loop, Watch], Callable[[int], list[int]]], int, str]] = {
    "write": (_write_batch, 2, "memory"),
    "send": (_send_batch, 2, "completion"),
    "read": (_read_batch, 1, "completion"),
}
"""An operation's batch, by what its times are divided, and what ends them."""
