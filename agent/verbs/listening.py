"""Who talks to the worker: the socket it listens on, the user the kernel vouches for, what each client has open."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import struct
import time

from agent.verbs.protocol import MAX_REQUEST_BYTES, Deframer

MAX_CONNECTIONS = 16


class Connection:
    """A client: its socket, what it has half said, and what it has not read yet."""

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self.deframer = Deframer(MAX_REQUEST_BYTES)
        self.out = bytearray()
        self.greeted = False
        self.waiting_since: float | None = time.monotonic()
        """Since when a frame is due."""


def peer_uid(stream: socket.socket) -> int:
    """The user at the other end, as the kernel noted it on connect (SO_PEERCRED: pid, uid, gid)."""
    _, uid, _ = struct.unpack("3i", stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(uid)


def listen(path: str) -> socket.socket:
    """A listening socket at a path, mode 0600. Raises OSError; EADDRINUSE when another worker listens there."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(before)
    listener.listen(MAX_CONNECTIONS)
    return listener


def _remove_stale(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except OSError:
            return
    raise OSError(errno.EADDRINUSE, "another verbs worker listens there")


def remove(path: str) -> None:
    """The socket of a worker that ends."""
    with contextlib.suppress(OSError):
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            os.unlink(path)
