"""RDMA netlink (what `rdma dev`, `link`, `statistic`, `resource` show) with one socket and no command to run.

Numbers: include/uapi/rdma/rdma_netlink.h. The socket itself fails with EPROTONOSUPPORT where ib_core is not loaded.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from typing import Literal, NamedTuple

NETLINK_RDMA = 20
CLIENT = 5 << 10
"""RDMA_NL_NLDEV, in the upper bits of the message type."""
GET, PORT_GET, SYS_GET, RES_QP_GET, STAT_GET = 1, 5, 6, 10, 17
REQUEST, ACK, DUMP = 1, 4, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
MESSAGE_BYTES = 1 << 17
TIMEOUT_S = 5.0

DEV_INDEX, DEV_NAME, PORT_INDEX = 1, 2, 3
RES_QP, LQPN, TYPE, PID, KERN_NAME = 19, 21, 26, 28, 29
NDEV_INDEX, NDEV_NAME = 50, 51
NETNS_MODE = 66
STAT_HWCOUNTERS, STAT_NAME, STAT_VALUE = 80, 82, 83

QP_TYPES = {
    0: "SMI", 1: "GSI", 2: "RC", 3: "UC", 4: "UD", 5: "RAW_IPV6", 6: "RAW_ETHERTYPE", 8: "RAW_PACKET",
    9: "XRC_INI", 10: "XRC_TGT", 255: "DRIVER",
}  # fmt: skip
"""enum ib_qp_type; mlx5 makes its DC queue pairs as DRIVER."""

_header = struct.Struct("=IHHII")
_attribute = struct.Struct("=HH")
_u32 = struct.Struct("=I")
_error = struct.Struct("=i")


class QueuePair(NamedTuple):
    port: int | None
    number: int | None
    type: str | None
    pid: int | None
    kernel: str | None
    """Name of the kernel module that owns it, in place of a pid."""


class Rdma(NamedTuple):
    """A device as the kernel counts them."""

    number: int
    """Its index; a device made anew has a new one."""
    name: str


class Netlink:
    """One socket. Not for two threads at once. Every question may raise OSError."""

    def __init__(self) -> None:
        import socket

        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_RDMA)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.bind((0, 0))
        self._socket.settimeout(TIMEOUT_S)
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def ask(self, command: int, *attributes: tuple[int, int], dump: bool = False) -> Iterator[bytes]:
        """The payloads of the answer. `attributes` are 32-bit (type, value) pairs."""
        self._sequence += 1
        body = b"".join(_attribute.pack(8, kind) + _u32.pack(value) for kind, value in attributes)
        flags = REQUEST | ACK | (DUMP if dump else 0)
        self._socket.send(_header.pack(16 + len(body), CLIENT | command, flags, self._sequence, 0) + body)
        while True:
            for kind, payload in messages(self._receive(), self._sequence):
                if kind == NLMSG_ERROR:
                    code = _error.unpack_from(payload)[0] if len(payload) >= 4 else 0
                    if code:
                        raise OSError(-code, os.strerror(-code))
                    return
                if kind == NLMSG_DONE:
                    return
                yield payload

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(MESSAGE_BYTES)
        except TimeoutError as error:
            raise OSError(errno.ETIMEDOUT, "the kernel did not answer") from error

    def devices(self) -> list[Rdma]:
        return [found for payload in self.ask(GET, dump=True) if (found := parse_device(payload))]

    def netdev(self, device: int, port: int) -> str | None:
        for payload in self.ask(PORT_GET, (DEV_INDEX, device), (PORT_INDEX, port)):
            for kind, at, end in attributes(payload):
                if kind == NDEV_NAME:
                    return text(payload, at, end)
        return None

    def netns_mode(self) -> Literal["shared", "exclusive"] | None:
        for payload in self.ask(SYS_GET):
            for kind, at, end in attributes(payload):
                if kind == NETNS_MODE and end > at:
                    return "shared" if payload[at] else "exclusive"
        return None

    def statistics(self, device: int, port: int) -> bytes:
        """The raw answer of STAT_GET: all hw_counters of a port in one refresh of the driver. See Statistics."""
        return b"".join(self.ask(STAT_GET, (DEV_INDEX, device), (PORT_INDEX, port)))

    def queue_pairs(self, device: int) -> list[QueuePair]:
        found: list[QueuePair] = []
        for payload in self.ask(RES_QP_GET, (DEV_INDEX, device), dump=True):
            found += parse_queue_pairs(payload)
        return found


def messages(data: bytes, sequence: int) -> Iterator[tuple[int, bytes]]:
    """(type, payload) of each message of one datagram that answers `sequence`."""
    at = 0
    while at + 16 <= len(data):
        length, kind, _, answers, _ = _header.unpack_from(data, at)
        if length < 16 or at + length > len(data):
            return
        if answers == sequence:
            yield kind, data[at + 16 : at + length]
        at += (length + 3) & ~3


def attributes(data: bytes, at: int = 0, end: int | None = None) -> Iterator[tuple[int, int, int]]:
    """(type, start, end) of each attribute's value; stops where the lengths make no sense."""
    end = len(data) if end is None else end
    while at + 4 <= end:
        length, kind = _attribute.unpack_from(data, at)
        if length < 4 or at + length > end:
            return
        yield kind & 0x3FFF, at + 4, at + length
        at += (length + 3) & ~3


def text(data: bytes, at: int, end: int) -> str:
    return data[at:end].partition(b"\0")[0].decode("utf-8", "replace")


def u32(data: bytes, at: int, end: int) -> int | None:
    return _u32.unpack_from(data, at)[0] if end - at >= 4 else None


def parse_device(payload: bytes) -> Rdma | None:
    index = name = None
    for kind, at, end in attributes(payload):
        if kind == DEV_INDEX:
            index = u32(payload, at, end)
        elif kind == DEV_NAME:
            name = text(payload, at, end)
    return Rdma(index, name) if index is not None and name else None


def parse_queue_pairs(payload: bytes) -> list[QueuePair]:
    found = []
    for kind, at, end in attributes(payload):
        if kind == RES_QP:
            found += [parse_queue_pair(payload, start, stop) for _, start, stop in attributes(payload, at, end)]
    return found


def parse_queue_pair(payload: bytes, start: int, stop: int) -> QueuePair:
    port = number = pid = qp_type = kernel = None
    for kind, at, end in attributes(payload, start, stop):
        if kind == PORT_INDEX:
            port = u32(payload, at, end)
        elif kind == LQPN:
            number = u32(payload, at, end)
        elif kind == TYPE and end > at:
            qp_type = QP_TYPES.get(payload[at], str(payload[at]))
        elif kind == PID:
            pid = u32(payload, at, end)
        elif kind == KERN_NAME:
            kernel = text(payload, at, end)
    return QueuePair(port, number, qp_type, pid, kernel)


class Statistics:
    """Reads the counters out of STAT_GET answers: the layout once, then all values by one unpack a tick.

    An answer whose bytes outside the values differ from the first (a counter switched on or off) is laid out anew.
    """

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self._unpack: struct.Struct | None = None
        self._mask = self._skeleton = 0

    def values(self, payload: bytes) -> tuple[int, ...]:
        """In the order of `names`, which keeps its identity while the layout stays."""
        if (
            self._unpack is None
            or self._unpack.size != len(payload)
            or int.from_bytes(payload, "little") & self._mask != self._skeleton
        ):
            self._lay_out(payload)
        assert self._unpack is not None
        return self._unpack.unpack(payload)

    def _lay_out(self, payload: bytes) -> None:
        names, pattern, last = [], "=", 0
        mask = bytearray(b"\xff" * len(payload))
        for name, at in counter_positions(payload):
            names.append(name)
            pattern += f"{at - last}xQ"
            last = at + 8
            mask[at:last] = bytes(8)
        self._unpack = struct.Struct(f"{pattern}{len(payload) - last}x")
        self._mask = int.from_bytes(mask, "little")
        self._skeleton = int.from_bytes(payload, "little") & self._mask
        self.names = tuple(names)


def counter_positions(payload: bytes) -> list[tuple[str, int]]:
    """(name, offset of its 64-bit value), in the message's order."""
    found = []
    for kind, at, end in attributes(payload):
        if kind != STAT_HWCOUNTERS:
            continue
        for _, start, stop in attributes(payload, at, end):
            name, value = "", -1
            for inner, first, past in attributes(payload, start, stop):
                if inner == STAT_NAME:
                    name = text(payload, first, past)
                elif inner == STAT_VALUE and past - first >= 8:
                    value = first
            if name and value >= 0:
                found.append((name, value))
    return found
