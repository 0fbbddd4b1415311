"""Which entry of a GID table a run uses. Pure: from the table to an index and its reason."""

from __future__ import annotations

from collections.abc import Sequence

from agent.verbs.protocol import VerbsGid

IPV4_MAPPED = "0000:0000:0000:0000:0000:ffff:"
LINK_LOCAL = "fe80:"


def rank(gid: VerbsGid) -> int:
    """The smaller the better: RoCE v2 with an IPv4 address, with another one, v1 with an address, link-local last.

    By type and address and never by index: the usual IPv4 entry is 3 on a host and 5 or 7 in a pod with macvlan.
    """
    link_local = gid.gid.startswith(LINK_LOCAL)
    if gid.type == "RoCEv2":
        return 3 if link_local else 0 if gid.gid.startswith(IPV4_MAPPED) else 1
    return 4 if link_local else 2


def pick(gids: Sequence[VerbsGid], port: int, *, roce: bool) -> VerbsGid | None:
    """The default GID of a port; of InfiniBand the first entry. None: the table has nothing to use."""
    own = [gid for gid in gids if gid.port == port]
    if not own:
        return None
    if not roce:
        return min(own, key=lambda gid: gid.index)
    return min(own, key=lambda gid: (rank(gid), gid.index))


def find(gids: Sequence[VerbsGid], port: int, index: int) -> VerbsGid | None:
    """The filled entry at an index."""
    return next((gid for gid in gids if gid.port == port and gid.index == index), None)
