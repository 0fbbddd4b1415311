"""The counters of a device, in groups: one group a port (or the device itself) and source, rated as one block."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from agent.readers import pci
from agent.readers.ethtool import CapturedStatistics, LiveStatistics
from agent.readers.files import FILES, CounterFiles, Failure, Vanished, check_same, error_name
from agent.readers.netlink import Netlink, Statistics
from agent.readers.root import GONE, Root, Stamp
from diagnostics.counters import NOT_COUNTERS, CounterSpec, spec_of
from diagnostics.model import CounterSource, Quality
from diagnostics.rates import Block, Rates, rates
from diagnostics.timing import now

SOUND = ("ok", "first", "wrapped", "reset")
"""The qualities that need no `since`."""
LONGEST_PAUSE_S = 300.0


class Reading(NamedTuple):
    """A group's last reading, as a snapshot and the history take it: never changed once made."""

    block: Block
    rates: Rates
    since: dict[int, str]
    """Index -> since when its quality has been clamped or unknown."""


class Source(Protocol):
    """Where the values of one group come from. `names` keeps its identity while the layout stays."""

    names: tuple[str, ...]
    failures: dict[str, Failure]

    def read(self) -> Sequence[int | None]:
        """One value a name. Raises Vanished, or OSError when none of it can be read now."""

    def close(self) -> None: ...


class Group:
    """Counters of one port and source: reads them and holds the last reading with its rates."""

    def __init__(self, port: int | None, source: CounterSource, reader: Source) -> None:
        self.port = port
        self.source = source
        self.reader = reader
        self.reading: Reading | None = None
        self._names: tuple[str, ...] | None = None
        self._specs: tuple[CounterSpec, ...] = ()
        self._qualities: list[Quality] = []
        self._retry = (0.0, 1.5)

    def update(self, link_gbps: float | None) -> None:
        """Take a reading. Raises Vanished. What cannot be read at all becomes unknown, and is tried again later."""
        at_ns = time.monotonic_ns()
        values = self._read(at_ns / 1e9)
        if self.reader.names is not self._names:
            self._names = self.reader.names
            self._specs = tuple(spec_of(name, self.source) for name in self._names)
        if values is None or len(values) != len(self._specs):
            values = [None] * len(self._specs)
        block = Block(self._specs, values, at_ns)
        before = self.reading
        rated = rates(before.block if before else None, block, link_gbps)
        self.reading = Reading(block, rated, self._since(rated.quality, before))

    def _read(self, instant: float) -> list[int | None] | None:
        due, pause = self._retry
        if instant < due:
            return None
        try:
            values = self.reader.read()
        except OSError as error:
            if error.errno in GONE and self.source != "ethtool":
                raise Vanished from error
            self._retry = (instant + pause, min(2 * pause, LONGEST_PAUSE_S))
            reason = error_name(error)
            self.reader.failures = {name: Failure(reason, now(), False) for name in self.reader.names}
            return None
        if due:
            self._retry = (0.0, 1.5)
            self.reader.failures = {}
        return values if type(values) is list else list(values)

    def _since(self, qualities: list[Quality], before: Reading | None) -> dict[int, str]:
        if qualities == self._qualities and before is not None:
            return before.since
        held = before.since if before is not None else {}
        since = {}
        for index, quality in enumerate(qualities):
            if quality not in SOUND:
                same = index < len(self._qualities) and self._qualities[index] == quality
                since[index] = held.get(index) if same and index in held else now()
        self._qualities = qualities
        return since  # type: ignore[return-value]


class Folder:
    """The files of `counters/` or `hw_counters/`; followed when a file of it is made, removed or replaced."""

    def __init__(self, root: Root, folder: str) -> None:
        self._root = root
        self.folder = folder
        self._stamp = root.stamp(folder)
        self._files = CounterFiles(root, folder, counter_names(root, folder))
        self.names = self._files.names
        self.failures = self._files.failures

    def read(self) -> Sequence[int | None]:
        stamp = self._root.stamp(self.folder)
        if stamp != self._stamp:
            check_same(self._root, self._stamp, stamp)
            self._reopen(stamp)
        return self._files.read()

    def _reopen(self, stamp: Stamp | None) -> None:
        self._files.close()
        names = counter_names(self._root, self.folder)
        self._files = CounterFiles(self._root, self.folder, self.names if names == self.names else names)
        self.names, self.failures, self._stamp = self._files.names, self._files.failures, stamp

    def close(self) -> None:
        self._files.close()


def counter_names(root: Root, folder: str) -> tuple[str, ...]:
    return tuple(name for name in root.names(folder) if name not in NOT_COUNTERS)[:FILES]


class PortStatistics:
    """All hw_counters of a port by one STAT_GET; shared by the group of the folder's names and that of the others."""

    def __init__(self, netlink: Netlink, index: int, port: int) -> None:
        self._ask = (netlink, index, port)
        self._statistics = Statistics()
        self.values: tuple[int, ...] = ()
        self.names: tuple[str, ...] = ()

    def refresh(self) -> None:
        """Raises OSError: EINVAL or EOPNOTSUPP where the driver has none, ENODEV when the device is gone."""
        netlink, index, port = self._ask
        self.values = self._statistics.values(netlink.statistics(index, port))
        self.names = self._statistics.names


class Selected:
    """The part of a port's statistics that has a file in hw_counters/ (`inside`), or that has none."""

    def __init__(self, statistics: PortStatistics, folder_names: tuple[str, ...], *, inside: bool) -> None:
        self._statistics = statistics
        self._folder_names = frozenset(folder_names)
        self._inside = inside
        self._layout: tuple[str, ...] | None = None
        self._places: list[int] = []
        self.names: tuple[str, ...] = ()
        self.failures: dict[str, Failure] = {}

    def read(self) -> Sequence[int | None]:
        statistics = self._statistics
        if self._inside:
            statistics.refresh()  # the group of the folder's names comes first, the other takes the same answer
        if self._layout is not statistics.names:
            self._layout = statistics.names
            self._places = [
                place
                for place, name in enumerate(statistics.names)
                if name not in NOT_COUNTERS and (name in self._folder_names) == self._inside
            ]
            self.names = tuple(statistics.names[place] for place in self._places)
        values = statistics.values
        return [values[place] for place in self._places]

    def close(self) -> None:
        """The socket is the device reader's."""


class Ethtool:
    """A netdev's statistics, live or captured."""

    def __init__(self, root: Root, netdev: str) -> None:
        self._reader = LiveStatistics(netdev) if root.live else CapturedStatistics(root, netdev)
        self.names: tuple[str, ...] = ()
        self.failures: dict[str, Failure] = {}

    def read(self) -> Sequence[int | None]:
        values = self._reader.read()
        self.names = self._reader.names
        return values

    def close(self) -> None:
        self._reader.close()


class Aer:
    """The PCI error counts of a device's function."""

    def __init__(self, root: Root, folder: str) -> None:
        self._root = root
        self._folder = folder
        self.names: tuple[str, ...] = ()
        self.failures: dict[str, Failure] = {}

    def read(self) -> Sequence[int | None]:
        found = pci.read_aer(self._root, self._folder)
        names = tuple(found)
        if names != self.names:
            self.names = names
        return list(found.values())

    def close(self) -> None:
        """Nothing is kept open."""


def has_counters(root: Root, folder: str) -> bool:
    try:
        return any(name not in NOT_COUNTERS for name in os.listdir(root.real(folder)))
    except OSError:
        return False
