"""The kernel's log, as lines: from /dev/kmsg, else from syslog(2). It is only read; nothing here writes or clears it.

/dev/kmsg is refused to a container that is not privileged, with every capability too (the device cgroup); `klogctl`
then works with CAP_SYSLOG alone. Both are asked without waiting, a bounded number of lines at a time.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import NamedTuple

LINES_A_POLL = 500
"""A storm of messages costs later polls, not this one."""

RECORD_BYTES = 8192
"""The kernel's own limit of a record (CONSOLE_EXT_LOG_MAX, kernel/printk/printk.c)."""

SYSLOG_ACTION_READ_ALL = 3
SYSLOG_ACTION_SIZE_BUFFER = 10


class LogLine(NamedTuple):
    boot_s: float
    """Seconds since boot."""
    level: int
    """0 emergency to 7 debug."""
    text: str


class KernelLog:
    """New lines since the last poll; the lines from before the first poll come with the first one."""

    def __init__(self, device: str = "/dev/kmsg") -> None:
        self.unread: str | None = None
        """Why the kernel log cannot be read; None where it can."""
        self.overrun = 0
        """Times the kernel overwrote lines before they were read."""
        self._seen_s = -1.0
        self._descriptor = -1
        self._use_syslog = False
        try:
            self._descriptor = os.open(device, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            self.unread = f"{device}: {errno.errorcode.get(error.errno or 0, error)}"
            self._use_syslog = _syslog_size() > 0
            if self._use_syslog:
                self.unread = None

    def poll(self) -> list[LogLine]:
        """At most `LINES_A_POLL` lines, oldest first; [] where there is none or none may be read."""
        if self._descriptor >= 0:
            return self._poll_device()
        return self._poll_syslog() if self._use_syslog else []

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._use_syslog = False

    def _poll_device(self) -> list[LogLine]:
        lines: list[LogLine] = []
        for _ in range(LINES_A_POLL):
            try:
                record = os.read(self._descriptor, RECORD_BYTES)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno == errno.EPIPE:
                    self.overrun += 1
                    continue
                self.unread = f"/dev/kmsg: {errno.errorcode.get(error.errno or 0, error)}"
                break
            if not record:
                break
            line = parse_record(record)
            if line is not None:
                lines.append(line)
        return lines

    def _poll_syslog(self) -> list[LogLine]:
        # syslog(2) has no position: it gives the whole buffer, of which the part after the last time seen is new.
        lines = [line for line in map(parse_syslog, _syslog_all().splitlines()) if line and line.boot_s > self._seen_s]
        lines = lines[:LINES_A_POLL]
        if lines:
            self._seen_s = lines[-1].boot_s
        return lines


def parse_record(record: bytes) -> LogLine | None:
    """One record of /dev/kmsg: `6,1234,5678901,-;text` and continuation lines (Documentation/ABI/testing/dev-kmsg)."""
    head, separator, body = record.partition(b";")
    fields = head.split(b",")
    if not separator or len(fields) < 3 or not (fields[0].isdigit() and fields[2].isdigit()):
        return None
    text = body.split(b"\n", 1)[0].decode("utf-8", "replace")
    return LogLine(int(fields[2]) / 1e6, int(fields[0]) & 7, text)


def parse_syslog(line: bytes) -> LogLine | None:
    """One line of syslog(2): `<6>[   12.345678] text`."""
    level, separator, rest = line.partition(b">")
    stamp, bracket, text = rest.partition(b"] ")
    if not separator or not bracket or not level.startswith(b"<") or not stamp.startswith(b"["):
        return None
    try:
        return LogLine(float(stamp[1:]), int(level[1:]) & 7, text.decode("utf-8", "replace"))
    except ValueError:
        return None


def _syslog_size() -> int:
    """Bytes of the kernel's ring; 0 or less where it may not be read."""
    libc = ctypes.CDLL(None, use_errno=True)
    size = int(libc.klogctl(SYSLOG_ACTION_SIZE_BUFFER, None, 0))
    probe = ctypes.create_string_buffer(64)
    return size if libc.klogctl(SYSLOG_ACTION_READ_ALL, probe, 64) >= 0 else 0


def _syslog_all() -> bytes:
    libc = ctypes.CDLL(None, use_errno=True)
    size = max(int(libc.klogctl(SYSLOG_ACTION_SIZE_BUFFER, None, 0)), 0)
    buffer = ctypes.create_string_buffer(size + 1)
    read = int(libc.klogctl(SYSLOG_ACTION_READ_ALL, buffer, size))
    return buffer.raw[: max(read, 0)]
