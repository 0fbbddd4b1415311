"""Troubles become findings: each with its cause, if that is among them."""

from __future__ import annotations

from collections.abc import Sequence

from diagnostics.cluster.operator.trouble import Cause, Trouble
from diagnostics.model import Finding

WHOLE_CLUSTER = "cluster"
"""`node` of a finding that is not about exactly one node."""


class ClusterFinding(Finding, frozen=True, kw_only=True):
    """A finding that may be about many nodes at once."""

    nodes: tuple[str, ...] = ()
    """All nodes it is about; empty where it is about the cluster."""
    commands: tuple[str, ...] = ()
    """What to type next."""


def findings_of(troubles: Sequence[Trouble], since: dict[str, str], now: str) -> list[ClusterFinding]:
    """In the order of the troubles; `since` are the starts of findings that stood before."""
    ids = [_id(each) for each in troubles]
    follows = _followed(troubles)
    found = []
    for number, each in enumerate(troubles):
        cause = follows.get(number)
        found.append(
            ClusterFinding(
                id=ids[number],
                node=each.nodes[0] if len(each.nodes) == 1 else WHOLE_CLUSTER,
                device=None,
                port=None,
                component=each.component,
                check=each.check,
                layer=each.layer,
                severity=each.severity,
                message=each.message,
                evidence=each.evidence,
                since=since.get(ids[number], now),
                hint=each.hint,
                follows=ids[cause] if cause is not None else None,
                acknowledged=False,
                unread=each.unread,
                nodes=each.nodes,
                commands=each.commands,
            )
        )
    return found


def _id(each: Trouble) -> str:
    return f"{each.check}.{each.component}.{each.kind}".replace(" ", "-")


def _followed(troubles: Sequence[Trouble]) -> dict[int, int]:
    """Trouble -> its cause: the first that its own list names, on nodes in common; never in a circle."""
    follows: dict[int, int] = {}
    for number, each in enumerate(troubles):
        for cause in each.causes:
            found = next(
                (
                    other
                    for other, one in enumerate(troubles)
                    if other != number and _is(cause, each, one) and not _leads(other, number, follows)
                ),
                None,
            )
            if found is not None:
                follows[number] = found
                break
    return follows


def _is(cause: Cause, each: Trouble, other: Trouble) -> bool:
    if cause.component is not None and other.component != cause.component:
        return False
    if other.check != cause.check and not (cause.check.endswith("-") and other.check.startswith(cause.check)):
        return False
    if other.severity == "info" and each.severity != "info":
        return False  # a note explains no warning
    return not cause.same_nodes or not each.nodes or not other.nodes or not set(each.nodes).isdisjoint(other.nodes)


def _leads(start: int, end: int, follows: dict[int, int]) -> bool:
    while start in follows:
        start = follows[start]
        if start == end:
            return True
    return False
