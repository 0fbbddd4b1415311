"""What a rule found, before it is a finding: about which component, on which nodes, and what it may follow from."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from diagnostics.model import Evidence, Layer, Severity
from diagnostics.natural import natural

NAMED = 3
"""Nodes that a message names; the finding's `nodes` has all."""


class Cause(NamedTuple):
    """What a trouble may follow from: a check (or all of a family: `component-`), of a component."""

    check: str
    component: str | None = None
    same_nodes: bool = True
    """Only of the same nodes; False: also where the two have none in common."""


class Trouble(NamedTuple):
    check: str
    component: str
    kind: str
    """Tells troubles of one check on one component apart; part of the id, so it does not change while it lasts."""
    severity: Severity
    message: str
    nodes: tuple[str, ...] = ()
    """Empty: of the whole cluster."""
    hint: str | None = None
    evidence: tuple[Evidence, ...] = ()
    causes: tuple[Cause, ...] = ()
    unread: tuple[str, ...] = ()
    layer: Layer = "operator"
    commands: tuple[str, ...] = ()
    """What to type next, ready to be copied."""
    verdict: str | None = None
    """What it makes of its component; None: nothing by itself."""


def sorted_nodes(nodes: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(nodes, key=natural))


def named(nodes: Collection[str], most: int = NAMED) -> str:
    """`gpu-001`, `gpu-001 and gpu-002`, `gpu-001, gpu-002, gpu-003 and 17 more`."""
    ordered = sorted_nodes(nodes)
    if len(ordered) <= most + 1:
        return " and ".join(filter(None, (", ".join(ordered[:-1]), ordered[-1]))) if ordered else "no node"
    return f"{', '.join(ordered[:most])} and {len(ordered) - most} more"


def counted(number: int, noun: str) -> str:
    """`1 node`, `3 nodes`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def first_line(text: str, most: int = 160) -> str:
    line = next((each.strip() for each in text.splitlines() if each.strip()), "")
    return line if len(line) <= most else line[: most - 1] + "…"


def fact(name: str, value: float | None, unit: str = "", source: str | None = None) -> Evidence:
    return Evidence(name=name, value=value, unit=unit, window_s=None, threshold=None, source=source)
