"""This thread inside a lab's network namespace, for as long as a block lasts."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator

CLONE_NEWNET = 0x40000000  # linux/sched.h


@contextlib.contextmanager
def inside(name: str) -> Iterator[None]:
    """Sockets that are made in the block belong to the namespace `name` of `ip netns`; other threads stay outside."""
    outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        there = os.open(f"/run/netns/{name}", os.O_RDONLY)
        try:
            enter(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            enter(outside)
    finally:
        os.close(outside)


def enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
