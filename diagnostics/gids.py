"""Which entry of a GID table a port's traffic should use: one ranking for what is shown and for what is measured.

By type and address: the usual IPv4 entry is 3 on a host, and 5 or 7 in a pod with macvlan.
"""

from __future__ import annotations

IPV4_MAPPED = "0000:0000:0000:0000:0000:ffff:"
LINK_LOCAL = "fe80:"

BEST, LAST_DEFAULT = 0, 2
"""Ranks: nothing is better than BEST, and what is worse than LAST_DEFAULT is no port's default (contract, PortList)."""


def rank(index: int, gid: str, kind: str | None) -> int:
    """The smaller the better; of equals the lower index.

    RoCE v2 with an IPv4 address (as NCCL and perftest choose), with another one; index 0; then what can be used all the
    same: v1 with an address, and link-local ones, v2 first.
    """
    gid = gid.lower()
    link_local = gid.startswith(LINK_LOCAL)
    if kind == "RoCEv2" and not link_local:
        return BEST if gid.startswith(IPV4_MAPPED) else 1
    if index == 0:
        return LAST_DEFAULT
    return 3 if not link_local else 4 if kind == "RoCEv2" else 5
