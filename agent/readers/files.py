"""Files through kept descriptors: one pread a file a second, 1 us where opening it anew costs 8 us.

What a device does not support is asked for once. What fails for a while is asked for less and less often, because on
some cards each failing read prints a line to the kernel log.
"""

from __future__ import annotations

import errno
import os
import time
from typing import Generic, NamedTuple, TypeVar

from agent.readers.root import GONE, Root, Stamp, clean
from diagnostics.timing import now

VALUE_BYTES = 32
"""2^64 has 20 digits."""
MAX_VALUE = (1 << 64) - 1
BY_NATURE = frozenset((errno.EISDIR, errno.ELOOP, errno.EACCES, errno.EPERM))
"""What fails so once will do so again."""
UNSUPPORTED = frozenset((errno.EINVAL, errno.EOPNOTSUPP, errno.ENODATA, errno.ENOSYS))
"""Of a counter: the device does not have it (mlx5: hw/mlx5/counters.c, mad.c)."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.5, 300.0
SPARE_DESCRIPTORS = 512
"""Left for sockets and everything else of the process."""
FILES = 1024
"""Counters taken from one folder; mlx5 has 32, EFA 40."""


class Vanished(Exception):
    """The device behind a kept descriptor is gone, whether or not a new one bears its name."""


class Failure(NamedTuple):
    """Why a file gives no value."""

    reason: str
    """`EINVAL`, `EIO`, `N/A (no PMA)`."""
    since: str
    lasting: bool
    """True: not asked again."""


T = TypeVar("T")


def parse(data: bytes) -> int:
    """A counter's value. ValueError for anything but one unsigned 64-bit number."""
    value = int(data)
    if not 0 <= value <= MAX_VALUE or b"_" in data:
        raise ValueError
    return value


def error_name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, str(error.errno))


def allow_descriptors(count: int) -> None:
    """Raise this process's soft limit of open files, usually 1,024, where `count` kept ones would not fit beside the
    others; never over the hard limit."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + SPARE_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def check_same(root: Root, before: Stamp | None, after: Stamp | None) -> None:
    """Raise Vanished where a live kernel's folder is another object now: a device made anew under the same name."""
    if root.live and before is not None and after is not None and before[:2] != after[:2]:
        raise Vanished


class KeptFiles(Generic[T]):
    """Files of one folder, in the order of `names`."""

    lasting = BY_NATURE
    """Errors after which a file is not asked again."""
    size = 128
    """Bytes read of each."""

    def __init__(self, root: Root, folder: str, names: tuple[str, ...]) -> None:
        self._root = root
        self.folder = folder
        self.names = names
        self.failures: dict[str, Failure] = {}
        """By name, what gives no value now."""
        self._fds: dict[int, int] = {}
        self._retry: dict[int, tuple[float, float]] = {}
        """Index -> (monotonic time of the next try, the pause after that one)."""
        self._open_all()

    def _open_all(self) -> None:
        self.failures.clear()
        self._retry.clear()
        for index in range(len(self.names)):
            self._open(index)
        self._line_up()

    def close(self) -> None:
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()
        self._line_up()

    def decode(self, data: bytes) -> T:
        """The value. Raises ValueError."""
        raise NotImplementedError

    def read_each(self) -> list[T | None]:
        """One value a name, None where there is none. Raises Vanished."""
        if self._retry:
            self._try_again()
        values: list[T | None] = [None] * len(self.names)
        failed = False
        for index in self._indexes:
            values[index] = value = self._read_one(index)
            failed = failed or value is None
        if failed:
            self._line_up()
        return values

    def _read_one(self, index: int) -> T | None:
        try:
            data = os.pread(self._fds[index], self.size, 0)
        except OSError as error:
            if error.errno in GONE:
                raise Vanished from error
            self._fail(index, error_name(error), error.errno in self.lasting)
            return None
        try:
            return self.decode(data)
        except ValueError:
            self._not_a_value(index, data)
            return None

    def _not_a_value(self, index: int, data: bytes) -> None:
        """Old kernels write `N/A (no PMA)` where newer ones answer EINVAL; an empty file may be filled later."""
        text = clean(data.decode("ascii", "replace"))
        lasting = text.startswith("N/A")
        self._fail(index, text if lasting else "not a number" if text else "empty", lasting)

    def _fail(self, index: int, reason: str, lasting: bool) -> None:
        name = self.names[index]
        before = self.failures.get(name)
        since = before.since if before and before.reason == reason else now()
        self.failures[name] = Failure(reason, since, lasting)
        pause = self._retry.pop(index, (0.0, FIRST_PAUSE_S))[1]
        if not lasting:
            self._retry[index] = (time.monotonic() + pause, min(pause * 2, LONGEST_PAUSE_S))
        elif (fd := self._fds.pop(index, None)) is not None:
            os.close(fd)

    def _open(self, index: int) -> None:
        try:
            self._fds[index] = self._root.open(f"{self.folder}/{self.names[index]}")
        except OSError as error:
            self._fail(index, error_name(error), error.errno in self.lasting)

    def _try_again(self) -> None:
        """Ask those whose pause is over; one that answers is healthy again."""
        instant = time.monotonic()
        for index, (due, _) in list(self._retry.items()):
            if instant < due:
                continue
            if index not in self._fds:
                self._open(index)
            if index in self._fds and self._read_one(index) is not None:
                del self._retry[index]
                self.failures.pop(self.names[index], None)
        self._line_up()

    def _line_up(self) -> None:
        """The hot list: descriptors that answered last time."""
        self._indexes = [index for index in sorted(self._fds) if index not in self._retry]
        self._healthy = [self._fds[index] for index in self._indexes]


class CounterFiles(KeptFiles[int]):
    """The counters of one folder."""

    lasting = BY_NATURE | UNSUPPORTED
    size = VALUE_BYTES

    def decode(self, data: bytes) -> int:
        return parse(data)

    def read(self) -> list[int | None]:
        """One value a name, None where there is none. Raises Vanished."""
        if self._retry:
            self._try_again()
        pread, size = os.pread, VALUE_BYTES
        try:
            found = [int(pread(fd, size, 0)) for fd in self._healthy]
        except (OSError, ValueError):
            return self.read_each()
        if found and (max(found) > MAX_VALUE or min(found) < 0):
            return self.read_each()
        if len(found) == len(self.names):
            return found  # type: ignore[return-value]
        values: list[int | None] = [None] * len(self.names)
        for index, value in zip(self._indexes, found, strict=True):
            values[index] = value
        return values


class Attributes(KeptFiles[bytes]):
    """State files of a folder, followed when a file of it is made, removed or replaced.

    Unlike a counter, one that answers EINVAL is asked again: `rate` does so while the width is unknown.
    """

    def __init__(self, root: Root, folder: str, names: tuple[str, ...]) -> None:
        self._stamp = root.stamp(folder)
        super().__init__(root, folder, names)

    def decode(self, data: bytes) -> bytes:
        return data

    def read(self) -> tuple[bytes | None, ...]:
        """Raw contents. Raises Vanished; the next reading opens the files anew."""
        stamp = self._root.stamp(self.folder)
        if stamp != self._stamp:
            check_same(self._root, self._stamp, stamp)
            self._stamp = stamp
            self.close()
            self._open_all()
        try:
            return tuple(self.read_each())
        except Vanished:
            self._stamp = None
            raise

    def fact(self, name: str, data: bytes | None) -> str | None:
        """As Root.read_fact: the first line, clean; None for a placeholder."""
        text = clean(data.partition(b"\n")[0].decode("utf-8", "replace")) if data else None
        return text if text and text != name else None
