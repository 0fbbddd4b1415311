"""The network interface of an RDMA port, and what it says of the link."""

from __future__ import annotations

from typing import NamedTuple

from agent.readers.files import Attributes
from agent.readers.root import Root, number
from diagnostics.natural import natural

IFF_UP = 1
"""First bit of `flags` (uapi/linux/if.h): switched on by the administrator."""


class Netdev(NamedTuple):
    name: str
    operstate: str | None
    carrier_changes: int | None
    mtu: int | None
    admin_up: bool | None
    speed_gbps: float | None


def folder_of(root: Root, netdev: str, device: str) -> str:
    """Its folder: below class/net, or, in a capture without that, below the RDMA device's function."""
    usual = f"sys/class/net/{netdev}"
    return usual if root.live or root.is_dir(usual) else f"{device}/device/net/{netdev}"


FILES = ("operstate", "carrier_changes", "mtu", "flags")
"""What changes at any moment and costs the driver nothing."""


def parse_netdev(
    root: Root, name: str, files: Attributes, data: tuple[bytes | None, ...], before: Netdev | None
) -> Netdev:
    """Of the contents of FILES. The speed asks the driver, so it is taken from `before` until the link has changed."""
    operstate, changes, mtu, flags = (files.fact(file, each) for file, each in zip(FILES, data, strict=True))
    same = before is not None and (before.name, before.operstate, before.carrier_changes) == (
        name,
        operstate,
        number(changes),
    )
    speed = before.speed_gbps if before is not None and same else _speed(root, files.folder)
    up = number(flags)
    return Netdev(name, operstate, number(changes), number(mtu), None if up is None else bool(up & IFF_UP), speed)


def _speed(root: Root, folder: str) -> float | None:
    """Gb/s. A netdev that is down fails here or says -1."""
    megabits = root.read_int(f"{folder}/speed")
    return megabits / 1000 if megabits is not None and 0 < megabits < 10_000_000 else None


def choose(root: Root, device: str, port: int, told: str | None, of_gid: str | None) -> str | None:
    """The netdev of a port: what netlink tells, else what the GIDs name (of a bond its master), else the one of the
    same PCI function whose dev_port fits."""
    if told or of_gid:
        return told or of_gid
    parent = root.read_fact(f"{device}/parent")
    if parent:
        return parent  # soft-RoCE and siw name it
    own = own_netdevs(root, device)
    if len(own) < 2:
        return own[0] if own else None
    fitting = [name for name in own if root.read_int(f"{folder_of(root, name, device)}/dev_port") == port - 1]
    # children of an IPoIB interface have its dev_port too; the interface itself has the shorter name
    return min(fitting or own, key=lambda name: (len(name), natural(name)))


def own_netdevs(root: Root, device: str) -> list[str]:
    """The netdevs of the device's own PCI or auxiliary function."""
    return root.names(f"{device}/device/net")


def statistics_netdev(root: Root, device: str, netdev: str | None) -> str | None:
    """The netdev to ask for ethtool statistics: of a bond the function's own, since the master has none."""
    own = own_netdevs(root, device)
    return own[0] if own and netdev is not None and netdev not in own else netdev


def bond_slaves(root: Root, netdev: str) -> list[str]:
    """Members of a bond; empty for any other netdev."""
    return (root.read_text(f"sys/class/net/{netdev}/bonding/slaves") or "").split()
