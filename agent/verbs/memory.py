"""Memory that the device reads and writes, and that Python looks at without a call: one mapping a side of the loop."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from typing import Any

from agent.verbs.binding import Binding
from agent.verbs.errors import JobError, human_bytes, memory_error

PAGE_BYTES = 4096
MAX_TOTAL_BYTES = 512 * 1024 * 1024
"""Both sides together; a benchmark must not push a training job out of memory."""
PATTERN_BYTES = 64 * 1024
"""Fresh random bytes a message; longer messages repeat them with their offset mixed in (see `fresh_pattern`)."""


def stride_bytes(size: int) -> int:
    """Every message begins on a page of its own."""
    return -(-size // PAGE_BYTES) * PAGE_BYTES


class Side:
    """One end's memory: a source that is sent from, then one sink for each queue pair that receives."""

    def __init__(self, verbs: Binding, pd: Any, size: int, sinks: int, where: str) -> None:
        e = verbs.enums
        self.size = size
        self._stride = stride_bytes(size)
        self.total_bytes = self._stride * (1 + sinks)
        self._map = mmap.mmap(-1, self.total_bytes)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        self.view = memoryview(self._map).cast("B")
        rights = e.IBV_ACCESS_LOCAL_WRITE | e.IBV_ACCESS_REMOTE_WRITE | e.IBV_ACCESS_REMOTE_READ
        try:
            self.mr = verbs.mr.MR(pd, self.total_bytes, rights, address=self.address)
        except verbs.error as failed:
            if getattr(failed, "error_code", None) in (errno.ENOMEM, errno.EAGAIN):
                raise memory_error(self.total_bytes, where) from failed
            raise JobError(f"{where}: cannot register {human_bytes(self.total_bytes)}: {failed}") from failed

    def sink_offset(self, index: int) -> int:
        return self._stride * (1 + index)

    def source(self) -> memoryview:
        """What this side sends, or is read from."""
        return self.view[: self.size]

    def sink(self, index: int) -> memoryview:
        """Where the message of a queue pair arrives."""
        offset = self.sink_offset(index)
        return self.view[offset : offset + self.size]


def fresh_pattern(size: int) -> bytes:
    """Random bytes never used before. Over 64 KiB the block is repeated, each time XORed with its number, so that a
    misplaced piece shows and 8 MiB cost no 8 MiB of the kernel's random generator."""
    block = os.urandom(min(size, PATTERN_BYTES))
    if size <= PATTERN_BYTES:
        return block
    number = int.from_bytes(block, "little")
    parts = []
    for piece in range(-(-size // PATTERN_BYTES)):
        mask = int.from_bytes(piece.to_bytes(2, "little") * (PATTERN_BYTES // 2), "little")
        parts.append((number ^ mask).to_bytes(PATTERN_BYTES, "little"))
    return b"".join(parts)[:size]


def difference(expected: bytes, found: memoryview) -> str | None:
    """`byte 17 is 0x00, 0x3f was sent`; None when all are equal."""
    if found == expected:
        return None
    for start in range(0, len(expected), PAGE_BYTES):
        piece = bytes(found[start : start + PAGE_BYTES])
        wanted = expected[start : start + PAGE_BYTES]
        if piece != wanted:
            at = next(i for i, (a, b) in enumerate(zip(piece, wanted, strict=True)) if a != b)
            return f"byte {start + at} is {piece[at]:#04x}, {wanted[at]:#04x} was sent"
    return None
