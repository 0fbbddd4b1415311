"""The GID table of a port: one pass, only where the verbs worker cannot give it in one call.

A table has up to 1024 entries, nearly all of them zero, and an attribute of a zero entry fails (EINVAL).
"""

from __future__ import annotations

import os
from typing import NamedTuple

from agent.readers.root import Root, clean, number
from diagnostics.gids import BEST, LAST_DEFAULT, rank

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
        if until_default and (rank(index, gid, kind) == BEST or link_layer == "InfiniBand"):
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


def default_gid(entries: tuple[Entry, ...]) -> Entry | None:
    """The one an application should use, and a benchmark does (`diagnostics.gids`); None where there is none."""
    best = min(entries, key=_rank, default=None)
    return best if best is not None and _rank(best)[0] <= LAST_DEFAULT else None


def _rank(entry: Entry) -> tuple[int, int]:
    return rank(entry.row, entry.gid, entry.type), entry.row
