"""The kernel's own word that a device came, went or changed: a netlink socket that a loop can select on."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

NETLINK_KOBJECT_UEVENT = 15
KERNEL_GROUP = 1
MESSAGE_BYTES = 1 << 16
SUBSYSTEMS = frozenset(("infiniband", "infiniband_verbs", "net", "pci", "auxiliary"))
DRAIN = 1024
"""Messages taken at once; more wait for the next turn."""


class Uevent(NamedTuple):
    action: str
    """`add`, `remove`, `change`, `move`, `bind`, `unbind`."""
    subsystem: str
    path: str
    old_path: str = ""
    """Before a rename."""


def parse(message: bytes) -> Uevent | None:
    """`add@/devices/...` and NUL-separated KEY=value pairs; None for what is not of ours (udev's begin otherwise)."""
    head, _, rest = message.partition(b"\0")
    if b"@" not in head:
        return None
    pairs = dict(part.split(b"=", 1) for part in rest.split(b"\0") if b"=" in part)
    action, subsystem, path, old = (
        pairs.get(key, b"").decode("utf-8", "replace") for key in (b"ACTION", b"SUBSYSTEM", b"DEVPATH", b"DEVPATH_OLD")
    )
    return Uevent(action, subsystem, path, old) if action and subsystem in SUBSYSTEMS else None


def concerns(event: Uevent, netdevs: Collection[str]) -> bool:
    """Whether an inventory may read something else than before; `netdevs` are those of the ports.

    A pod that starts or ends makes and renames virtual netdevs: of these only the ports' own count.
    """
    if event.subsystem != "net" or not event.path.startswith("/devices/virtual/"):
        return True
    return any(path.rpartition("/")[2] in netdevs for path in (event.path, event.old_path) if path)


class Uevents:
    """Raises OSError where the kernel does not let us listen."""

    def __init__(self) -> None:
        import socket

        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT
        )
        self._socket.bind((0, KERNEL_GROUP))

    def fileno(self) -> int:
        return self._socket.fileno()

    def drain(self) -> list[Uevent]:
        """What has been said since the last time. Messages of anybody but the kernel (pid 0) are dropped.

        Lost messages (ENOBUFS) count as one change of everything.
        """
        found: list[Uevent] = []
        for _ in range(DRAIN):
            try:
                message, sender = self._socket.recvfrom(MESSAGE_BYTES)
            except BlockingIOError:
                break
            except OSError:
                return [*found, Uevent("change", "infiniband", "")]
            if sender[0] == 0 and (event := parse(message)):
                found.append(event)
        return found

    def close(self) -> None:
        self._socket.close()
