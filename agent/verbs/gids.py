"""Which entry of a GID table a run uses. Pure: from the table to an index and its reason."""

from __future__ import annotations

from collections.abc import Sequence

from agent.verbs.protocol import VerbsGid
from diagnostics.gids import rank


def pick(gids: Sequence[VerbsGid], port: int, *, roce: bool) -> VerbsGid | None:
    """The default GID of a port; of InfiniBand the first entry. None: the table has nothing to use."""
    own = [gid for gid in gids if gid.port == port]
    if not own:
        return None
    if not roce:
        return min(own, key=lambda gid: gid.index)
    return min(own, key=lambda gid: (rank(gid.index, gid.gid, gid.type), gid.index))


def find(gids: Sequence[VerbsGid], port: int, index: int) -> VerbsGid | None:
    """The filled entry at an index."""
    return next((gid for gid in gids if gid.port == port and gid.index == index), None)
