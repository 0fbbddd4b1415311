"""The GID table of a port: one pass, only where the verbs worker cannot give it in one call.

A table has up to 1024 entries, nearly all of them zero, and an attribute of a zero entry fails (EINVAL).
"""

from __future__ import annotations

import os
from typing import NamedTuple

from agent.readers.root import Root, clean, number

ZERO = b"0000:0000:0000:0000:0000:0000:0000:0000"
NO_GUID = b"fe80:" + ZERO[5:]
"""A prefix without a port behind it: entries that mlx4 keeps for virtual functions; show_gids leaves them out too."""
ENTRIES = 1024


class Entry(NamedTuple):
    """A non-zero GID."""

    row: int
    """Its index in the table."""
    gid: str
    type: str | None
    netdev: str | None


def gid_type(text: str | None, link_layer: str | None) -> str | None:
    """`IB/RoCE v1` is `IB` on InfiniBand and `RoCEv1` on Ethernet."""
    if text is None:
        return "IB" if link_layer == "InfiniBand" else None
    if text == "RoCE v2":
        return "RoCEv2"
    if text == "IB/RoCE v1":
        return {"InfiniBand": "IB", "Ethernet": "RoCEv1"}.get(link_layer or "")
    return text


def is_gid(text: str) -> bool:
    groups = text.split(":")
    return len(groups) == 8 and all(len(g) == 4 and not g.strip("0123456789abcdefABCDEF") for g in groups)


def read_gids(
    root: Root, folder: str, link_layer: str | None, *, until_default: bool = False
) -> tuple[Entry, ...] | None:
    """The non-zero entries of `folder`/gids; None where there is no table. `until_default` stops at the entry that
    `default_gid` will choose."""
    indexes = _indexes(root, f"{folder}/gids")
    if indexes is None:
        return None
    found: list[Entry] = []
    for index in indexes:
        gid = _read_gid(root, f"{folder}/gids/{index}")
        if gid is None:
            continue
        netdev = root.read_fact(f"{folder}/gid_attrs/ndevs/{index}") if link_layer != "InfiniBand" else None
        layer = link_layer or ("Ethernet" if netdev else None)
        kind = gid_type(root.read_fact(f"{folder}/gid_attrs/types/{index}"), layer)
        found.append(Entry(index, gid, kind, netdev))
        if until_default and (is_routable(found[-1]) or link_layer == "InfiniBand"):
            break
    return tuple(found)


def _indexes(root: Root, folder: str) -> list[int] | None:
    try:
        names = os.listdir(root.real(folder))
    except OSError:
        return None
    return sorted(index for name in names if (index := number(name)) is not None and 0 <= index < ENTRIES)


def _read_gid(root: Root, name: str) -> str | None:
    try:
        data = root.read(name, 64).strip()
    except OSError:
        return None
    if data in (ZERO, NO_GUID):
        return None
    text = clean(data.decode("ascii", "replace"))
    return text if is_gid(text) and text.strip("0:") else None


def is_routable(entry: Entry) -> bool:
    """RoCE v2 with an address of the netdev: IPv4-mapped or a global IPv6 one, not fe80::."""
    return entry.type == "RoCEv2" and not entry.gid.lower().startswith("fe80:")


def default_gid(entries: tuple[Entry, ...]) -> Entry | None:
    """The one a RoCE application should use: the first RoCE v2 entry with an address of the netdev; else index 0, if
    it is set. By type and address, never by index: in a pod it may be 5 or 7 (sysfs.md 5)."""
    return next((entry for entry in entries if is_routable(entry)), None) or next(
        (entry for entry in entries if entry.row == 0), None
    )
