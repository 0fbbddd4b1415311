"""Reads this host, or a captured tree, once or again and again, in this process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

from agent.sampler import Sampler
from diagnostics.errors import Unreachable
from diagnostics.model import Benchmark, BenchmarkRequest, Event, NodeSnapshot
from tui.options import Options
from tui.sources.once import Ran, Wanted, problems

if TYPE_CHECKING:
    from diagnostics.checks.engine import Judge
    from diagnostics.windows import Windows

INVENTORY_EVERY_S = 30.0
"""The agent's slow loop: devices, GIDs and processes seldom change."""


class LocalOnce:
    many: Literal[False] = False

    def __init__(self, options: Options) -> None:
        self._root = options.root
        captured = options.root != "/"
        if captured:
            _need_tree(options.root)
        self.label = f"capture {options.root}" if captured else "this host"
        self._sampler = Sampler(options.root, options.node_name)
        self._judge: Judge | None = None

    @property
    def windows(self) -> Windows:
        """What `watch` has read so far: for whoever judges by itself."""
        return self._sampler.history

    def snapshot(self, wanted: Wanted) -> NodeSnapshot:
        self._sampler.refresh(deep=wanted.inventory)
        self._sampler.tick()
        return self._judged(wanted, None)

    def watch(self, wanted: Wanted, interval_s: float) -> Iterator[NodeSnapshot]:
        self._sampler.interval_s = interval_s
        yield self.snapshot(wanted)
        due = refreshed = time.monotonic()
        while True:
            due = max(due + interval_s, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))
            if due - refreshed >= INVENTORY_EVERY_S:
                self._sampler.refresh(deep=wanted.inventory)
                refreshed = due
            self._sampler.tick()
            yield self._judged(wanted, self._sampler.history)

    def _judged(self, wanted: Wanted, windows: Windows | None) -> NodeSnapshot:
        """The picture and what is to be said of it; of one reading (no windows) states are judged, counters are not."""
        snapshot = self._sampler.snapshot(wanted.counters)
        if not wanted.verdict:
            return snapshot
        if self._judge is None:
            from diagnostics.checks.engine import Judge  # 15 ms: every check there is

            self._judge = Judge()
        return self._judge.step(snapshot, windows)[0]

    def events(self) -> tuple[Event, ...]:
        raise _needs_agent("events are what a running agent saw happen", self.label)

    def benchmarks(self) -> tuple[Benchmark, ...]:
        raise _needs_agent("past benchmarks are kept by a running agent", self.label)

    def run_benchmarks(self, requests: tuple[BenchmarkRequest, ...], changed: Callable[[Benchmark], None]) -> Ran:
        if self._root != "/":
            raise Unreachable(
                f"a benchmark needs real devices, and {self._root} is a captured tree",
                "leave --root out to run it here",
            )
        from asyncio import CancelledError  # for which a reading has no use

        from agent.benchmarks.local import run_all

        try:
            ran = run_all(requests, changed)
        except CancelledError:  # a second interrupt while the first one is still cancelling
            raise KeyboardInterrupt from None
        return Ran(ran.items, problems(ran.refused), ran.interrupted)

    def close(self) -> None:
        self._sampler.close()


def _need_tree(root: str) -> None:
    """Raises Unreachable unless `root` looks like the root of a machine: it holds sys or proc."""
    if not os.path.isdir(root):
        what = "is not a directory" if os.path.exists(root) else "does not exist"
        raise Unreachable(f"--root {root}: {what}", "give the folder that holds the captured sys/")
    try:
        held = os.listdir(root)
    except OSError as error:
        raise Unreachable(f"--root {root}: {error.strerror}", "give a folder that you may read") from error
    if not {"sys", "proc"} & set(held):
        raise Unreachable(
            f"--root {root}: not a captured tree, it holds neither sys/ nor proc/",
            "give the folder above sys/, as in DIR/sys/class/infiniband",
        )


def _needs_agent(why: str, label: str) -> Unreachable:
    return Unreachable(f"{why}, and {label} is read without one", "start one with: rdmatop agent")
