"""Statistics of a netdev (`ethtool -S`): by the SIOCETHTOOL ioctl on a live host, from a text file in a capture.

The RoCE congestion (PFC) and physical layer counters of mlx5 are only here. The kernel copies as many values as the
driver has at that moment, without looking at the size of the buffer, so the buffer is much larger than needed.
"""

from __future__ import annotations

import array
import errno
import operator
import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from agent.readers.files import MAX_VALUE
from agent.readers.root import GONE, Root, clean

if TYPE_CHECKING:
    import socket

SIOCETHTOOL = 0x8946
GSTRINGS, GSTATS, GSSET_INFO = 0x1B, 0x1D, 0x37
SS_STATS = 1
NAME_BYTES = 32
"""ETH_GSTRING_LEN."""
SPARE = 16384
"""Values the driver may add between being asked how many there are and being read: 128 channels have 40 each."""
CAPTURE_BYTES = 1 << 20
LASTING = GONE | {errno.EOPNOTSUPP, errno.EINVAL}
"""The errors after which a netdev is not asked again: it has no statistics, or is another one the next time."""
COUNTERS = 1024
"""Taken from one netdev."""

Pick = Callable[[Sequence[int]], tuple[int, ...]]


def of_channel(name: str) -> bool:
    """Whether a statistic is of one queue (`rx3_packets`, `ch12_poll`, `tx_queue_4_bytes`).

    A card has thousands of these, of Ethernet traffic alone, and their sum is there too.
    """
    head, _, rest = name.partition("_")
    if rest.startswith("queue_") or head == "ptp":
        return True
    letters = head.rstrip("0123456789")
    return letters != head and letters in ("rx", "tx", "ch", "q")


def parse_capture(content: str) -> dict[str, int]:
    """The output of `ethtool -S`: `name: value` a line, headings and all else skipped."""
    found: dict[str, int] = {}
    for line in content.splitlines():
        name, colon, value = line.strip().rpartition(":")
        name, value = name.strip(), value.strip()
        if colon and name and value.isascii() and value.isdigit() and not of_channel(name):
            amount = int(value[:24])
            if amount <= MAX_VALUE and len(found) < COUNTERS:
                found.setdefault(name, amount)
    return found


class CapturedStatistics:
    """`ethtool/<netdev>.txt` below a captured root, read anew each time."""

    def __init__(self, root: Root, netdev: str) -> None:
        self._root = root
        self._name = f"ethtool/{netdev}.txt"
        self.names: tuple[str, ...] = ()

    def read(self) -> Sequence[int | None]:
        """In the order of `names`. Raises OSError."""
        content = self._root.read(self._name, CAPTURE_BYTES).decode("utf-8", "replace")
        found = parse_capture(content)
        names = tuple(found)
        if names != self.names:
            self.names = names
        return list(found.values())

    def close(self) -> None:
        """Nothing is kept open."""


class LiveStatistics:
    """Asks the driver. Raises OSError: ENODEV when the netdev is gone, EOPNOTSUPP when it has no statistics."""

    def __init__(self, netdev: str) -> None:
        self._socket: socket.socket | None = None
        """Made with the first question: no descriptor left is a reason to ask later, as any other."""
        self._netdev = netdev.encode()[:15]
        self._count = -1
        self._pick: Pick | None = None
        self._buffer = array.array("Q")
        self._request = b""
        self.names: tuple[str, ...] = ()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def read(self) -> Sequence[int | None]:
        count = self._ask_count()
        if count != self._count:
            self._lay_out(count)
        if self._pick is None:
            return ()
        self._buffer[0] = GSTATS | (count << 32)
        self._send(self._request)
        if self._buffer[0] >> 32 != count:
            self._count = -1
            raise OSError(errno.EAGAIN, "the driver changed its statistics meanwhile")
        return self._pick(self._buffer)

    def _ioctl(self, buffer: array.array[int]) -> None:
        self._send(self._ifreq(buffer))

    def _send(self, request: bytes) -> None:
        import fcntl
        import socket

        if self._socket is None:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        fcntl.ioctl(self._socket, SIOCETHTOOL, request)

    def _ifreq(self, buffer: array.array[int]) -> bytes:
        return struct.pack("=16sQ16x", self._netdev, buffer.buffer_info()[0])

    def _ask_count(self) -> int:
        """struct ethtool_sset_info: cmd, reserved, sset_mask, data[]."""
        ask = array.array("Q", [GSSET_INFO, 1 << SS_STATS, 0, 0])
        self._ioctl(ask)
        if not ask[1]:
            raise OSError(errno.EOPNOTSUPP, "no statistics")
        return ask[2] & 0xFFFFFFFF

    def _lay_out(self, count: int) -> None:
        """struct ethtool_gstrings: cmd, string_set, len, data[]; then room for the values."""
        strings = array.array("B", struct.pack("=III", GSTRINGS, SS_STATS, count) + bytes(NAME_BYTES * (count + SPARE)))
        self._ioctl(strings)
        raw = strings.tobytes()
        names: list[str] = []
        places: list[int] = []
        for index in range(count):
            at = 12 + index * NAME_BYTES
            name = clean(raw[at : at + NAME_BYTES].partition(b"\0")[0].decode("ascii", "replace"))
            if name and not of_channel(name) and len(names) < COUNTERS:
                names.append(name)
                places.append(index + 1)
        self._buffer = array.array("Q", bytes(8 * (count + 1 + SPARE)))
        self._request = self._ifreq(self._buffer)
        self._pick = pick(places)
        self._count = count
        self.names = tuple(names)


def pick(places: list[int]) -> Pick | None:
    """Takes the values at these places; one C call for all of them."""
    if not places:
        return None
    if len(places) == 1:
        only = places[0]
        return lambda values: (values[only],)
    return operator.itemgetter(*places)
