"""A device, its thread, and whether it answers."""

from __future__ import annotations

import time
from collections.abc import Callable

from agent.readers.assemble import Condition
from agent.readers.device import DeviceReader
from agent.readers.root import Root
from agent.readers.shown import Shown
from agent.readers.worker import Worker


class Watched:
    """A device and whether it answers."""

    def __init__(self, root: Root, name: str, node: str) -> None:
        # a root of its own, whose count of reads tells slow from hanging
        self.reader = DeviceReader(Root(root.given), name)
        self.shown = Shown(node, self.reader)
        self.worker = Worker(f"rdmatop-{name}")
        self.condition = Condition()
        self.gone_at = 0.0
        self.was_there = False
        """Its folder has been seen; some captures have only a dangling link."""
        self._seen = (0, 0.0)
        """(files read, when that last rose)."""

    def start(self, job: Callable[[], None], ahead_s: float) -> bool:
        """Begin a job in the device's thread, and let it go ahead alone for so long: threads that read at the same time
        pay twice the CPU for the interpreter's lock. False while the job before has not ended."""
        started = self.worker.start(job)
        if started:
            instant = time.monotonic()
            self._seen = (self.reader.root.reads, instant)
            self.worker.wait(instant + ahead_s)
        return started

    def hangs(self, patience_s: float) -> bool:
        """Whether the job has not read one file more for so long: slow firmware does not hang."""
        reads, instant = self.reader.root.reads, time.monotonic()
        if reads != self._seen[0]:
            self._seen = (reads, instant)
        return instant - self._seen[1] >= patience_s

    def retire(self) -> None:
        """Leave what was read to be shown, and read a device of that name anew. Only while its thread is idle."""
        self.reader.close()
        fresh = DeviceReader(self.reader.root, self.reader.name)
        fresh.identity, fresh.ports = self.reader.identity, self.reader.ports
        self.reader = fresh
        self.shown = Shown(self.shown.node, fresh)
        self.was_there = False
