"""The tree that everything is read below: the host's own `/`, or a captured one that nothing may lead out of.

Text that comes out of here is clean: stripped, without control characters, and never longer than asked for.
"""

from __future__ import annotations

import errno
import os
import stat

from diagnostics.errors import UserError
from diagnostics.natural import natural

TEXT_BYTES = 4096
"""A sysfs file is one page at most."""
ENTRIES = 16384
"""Names taken from one folder; a kernel folder that we list has at most a few thousand."""

GONE = frozenset((errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.ENOTDIR))
"""The errors that say: not there (any more)."""


Stamp = tuple[int, int, int]
"""(device, inode, mtime) of a folder."""


class Root:
    """A tree of files below `path`, asked by names relative to it (`sys/class/infiniband`).

    Of a capture (any path but `/`), symbolic links are followed only while they stay inside: a link that climbs over
    the top or is absolute reads as a missing file (ELOOP).
    """

    def __init__(self, path: str = "/") -> None:
        self.given = path
        self.path = os.path.realpath(path)
        self.live = self.path == "/"
        """True for the host itself, whose kernel may also be asked by netlink and ioctl."""
        self._prefix = "/" if self.live else self.path + "/"
        self.reads = 0
        """Files opened and folders listed so far: what still rises is slow, what does not hangs."""
        self._folders: dict[str, str] = {}
        """Of a capture: folder -> where it really is. Links are walked once a round, not once a file."""

    def check(self) -> None:
        """Raise UserError unless this is a tree that could describe a node."""
        if self.live:
            return
        if not os.path.isdir(self.path):
            what = "is not a folder" if os.path.exists(self.path) else "does not exist"
            raise UserError(
                f"{self.given} {what}",
                "give the folder of a captured node, the one that holds sys/, or leave --root out to read this host",
            )
        if os.path.isdir(self._prefix + "sys"):
            return
        below = sorted(name for name in self.names("") if os.path.isdir(f"{self._prefix}{name}/sys"))
        hint = f"it holds {', '.join(below[:4])}: give one of them" if below else "give the folder that holds sys/"
        raise UserError(f"{self.given} is not a captured node: it has no sys/ folder", hint)

    def real(self, name: str) -> str:
        """The absolute path behind `name`, its links resolved. OSError(ELOOP) where they lead out of the tree."""
        self.reads += 1
        if self.live:
            return self._prefix + name
        folder, _, last = name.rpartition("/")
        return self._step(self._folder(folder), last)

    def _folder(self, name: str) -> str:
        """Where a folder of a capture really is; one look at each part of its path, and none at what is known."""
        if not name:
            return self.path
        known = self._folders.get(name)
        if known is None:
            above, _, last = name.rpartition("/")
            known = self._folders[name] = self._step(self._folder(above), last)
        return known

    def _step(self, folder: str, last: str) -> str:
        path = f"{folder}/{last}"
        return self._inside(path) if last in ("..", ".") or os.path.islink(path) else path

    def _inside(self, path: str) -> str:
        real = os.path.realpath(path)
        if real == self.path or real.startswith(self._prefix):
            return real
        raise OSError(errno.ELOOP, "leads out of the tree", path)

    def forget(self) -> None:
        """Walk the links anew from now on: a capture may change below us."""
        if self._folders:
            self._folders = {}

    def resolved(self, name: str) -> str | None:
        """The name, relative to the root, that links end at; None where that is outside."""
        if self.live:
            return os.path.realpath(self._prefix + name)[1:]
        try:
            real = self._folder(name)
        except OSError:
            return None
        return real[len(self._prefix) :]

    def link(self, name: str) -> str | None:
        """The last part of what the link `name` points to: `driver` -> `mlx5_core`. It may dangle."""
        try:
            parent, _, last = name.rpartition("/")
            target = os.readlink(f"{self.real(parent)}/{last}")
        except OSError:
            return None
        return clean(os.path.basename(target.rstrip("/"))) or None

    def open(self, name: str) -> int:
        """A descriptor to read with. Raises OSError."""
        return os.open(self.real(name), os.O_RDONLY | os.O_CLOEXEC)

    def read(self, name: str, limit: int = TEXT_BYTES) -> bytes:
        """At most `limit` bytes of a file. Raises OSError."""
        fd = self.open(name)
        try:
            return os.read(fd, limit)
        finally:
            os.close(fd)

    def read_text(self, name: str, limit: int = TEXT_BYTES) -> str | None:
        """A file's text, stripped; None where it is missing, empty, unreadable, or not text."""
        try:
            return clean_lines(self.read(name, limit)) or None
        except OSError:
            return None

    def read_fact(self, name: str) -> str | None:
        """The one line of an attribute file.

        None also for a placeholder: some captures hold a file's own name as its content (`lid` in `lid`).
        """
        text = self.read_text(name)
        if text is None:
            return None
        line = text.partition("\n")[0].strip()
        return line if line and line != name.rpartition("/")[2] else None

    def read_int(self, name: str) -> int | None:
        """A decimal or 0x number; None for anything else."""
        return number(self.read_fact(name))

    def names(self, name: str) -> list[str]:
        """What a folder holds, in natural order; empty where there is no such folder."""
        return self.find(name) or []

    def find(self, name: str) -> list[str] | None:
        """The same, but None where the folder is missing or cannot be listed."""
        try:
            return self.listed(name)
        except OSError:
            return None

    def listed(self, name: str) -> list[str]:
        """The same, for whom a missing folder is another thing than one that cannot be listed. Raises OSError."""
        found = os.listdir(self.real(name))
        return sorted((entry for entry in found[:ENTRIES] if entry.isprintable()), key=natural)

    def is_dir(self, name: str) -> bool:
        try:
            return stat.S_ISDIR(os.stat(self.real(name)).st_mode)
        except OSError:
            return False

    def is_file(self, name: str) -> bool:
        """Whether reading it cannot wait for anybody: no FIFO, no device."""
        try:
            return stat.S_ISREG(os.stat(self.real(name)).st_mode)
        except OSError:
            return False

    def stamp(self, name: str) -> Stamp | None:
        """What changes when a file of this folder is made, removed or replaced; None where it is missing."""
        try:
            found = os.stat(self._prefix + name)
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_mtime_ns


def clean(text: str) -> str:
    """Without what is not printable: a file must not be able to speak to the terminal."""
    text = text.strip()
    return text if text.isprintable() else "".join(c for c in text if c.isprintable()).strip()


def clean_lines(data: bytes) -> str:
    """The text of a file, each line clean, empty lines at the ends gone."""
    text = data.decode("utf-8", "replace")
    return "\n".join(clean(line) for line in text.splitlines()).strip()


def number(text: str | None) -> int | None:
    """`62`, `0x3e`, `-1`; None for anything else."""
    if not text or len(text) > 32 or "_" in text:
        return None
    try:
        return int(text, 16) if text.lower().startswith(("0x", "-0x")) else int(text)
    except ValueError:
        return None
