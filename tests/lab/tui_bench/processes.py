"""The cost of a whole process tree, as /proc has it."""

import contextlib
import os
from collections.abc import Iterable

HZ = os.sysconf("SC_CLK_TCK")
UTIME, CUTIME_END = 11, 15
"""utime, stime, cutime and cstime in /proc/PID/stat, counted behind the command's name (proc(5))."""


def tree(pid: int) -> list[int]:
    """The process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := stat(int(name))):
            children.setdefault(int(fields[1]), []).append(int(name))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def stat(pid: int) -> list[str]:
    """The fields behind the command's name; empty for a process that is gone."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()
    return []


def cpu_seconds(pids: Iterable[int]) -> float:
    """Used so far, reaped children included."""
    return sum(int(ticks) for pid in pids for ticks in stat(pid)[UTIME:CUTIME_END]) / HZ


def status_sum(pids: Iterable[int], key: str) -> int:
    """Sum of a number in /proc/PID/status: `VmHWM` (KiB), `Threads`."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/status") as file:
            total += sum(int(line.split()[1]) for line in file if line.startswith(f"{key}:"))
    return total
