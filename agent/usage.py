"""What the agent itself costs: CPU and resident memory, read from its own /proc without a library."""

from __future__ import annotations

import os
import time

REFRESH_S = 5.0
"""CPU is a mean over at least this long: shorter ones jump with the clock tick."""


class Usage:
    """`cpu_percent` of one core and `memory_bytes`, renewed every `REFRESH_S`; None until known."""

    def __init__(self) -> None:
        self.cpu_percent: float | None = None
        self.memory_bytes: int | None = resident_bytes()
        self._at, self._cpu = time.monotonic(), time.process_time()

    def renew(self) -> None:
        now = time.monotonic()
        if now - self._at < REFRESH_S:
            return
        cpu = time.process_time()
        self.cpu_percent = round((cpu - self._cpu) / (now - self._at) * 100, 2)
        self.memory_bytes = resident_bytes()
        self._at, self._cpu = now, cpu


def resident_bytes() -> int | None:
    """Second field of /proc/self/statm (proc(5)), in bytes."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
