"""Which items of a reading a command asks for, and in what order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from diagnostics.columns import NAMES, Column
from diagnostics.model import NodeSnapshot
from diagnostics.natural import natural


def in_order(kind: str, items: Iterable[Any]) -> list[Any]:
    """Natural order of node, device, port, name; what has its own order (findings, events, benchmarks) keeps it."""
    if kind in ("findings", "events", "benchmarks"):
        return list(items)

    def key(item: Any) -> tuple[Any, ...]:
        port, index = getattr(item, "port", None), getattr(item, "index", getattr(item, "pid", None))
        return (
            natural(item.node),
            natural(getattr(item, "device", None)),
            -1 if port is None else port,
            -1 if index is None else index,
            natural(getattr(item, "name", None)),
        )

    return sorted(items, key=key)


def sorted_by(items: Iterable[Any], column: Column, descending: bool) -> list[Any]:
    """Stable; what is unknown comes last either way."""
    known: list[tuple[Any, Any]] = []
    unknown: list[tuple[Any, Any]] = []
    for item in items:
        value = column.of(item)
        (unknown if value is None else known).append((_comparable(value), item))
    known.sort(key=lambda pair: pair[0], reverse=descending)
    return [item for _, item in known + unknown]


def _comparable(value: Any) -> Any:
    return natural(value) if isinstance(value, str) else value if isinstance(value, (int, float)) else str(value)


def chosen(kind: str, items: Sequence[Any], names: Sequence[str]) -> tuple[list[Any], list[str]]:
    """The items that NAMEs ask for, and the NAMEs that nothing answers to.

    Names of one group (ports) widen the choice, names of two (ports, counters) narrow it: `mlx5_0 mlx5_1 rnr` is one
    counter of two devices.
    """
    groups_of = NAMES[kind].groups
    wanted: dict[int, set[str]] = {}
    missing = []
    answered = [groups_of(item) for item in items]
    for name in names:
        homes = {place for groups in answered for place, group in enumerate(groups) if name in group}
        if not homes:
            missing.append(name)
        for place in homes:
            wanted.setdefault(place, set()).add(name)
    if not wanted or (missing and len(wanted) < max(map(len, answered), default=0)):
        # a name that nothing answers to never widens the answer to what it was meant to narrow
        return [], missing
    return [
        item
        for item, groups in zip(items, answered, strict=True)
        if all(not accepted.isdisjoint(groups[place]) for place, accepted in wanted.items())
    ], missing


def known_names(kind: str, items: Iterable[Any], most: int = 12) -> str:
    """What exists, for the message about what does not: `mlx5_0, mlx5_0/1, … and 5 more`."""
    groups_of = NAMES[kind].groups
    known = list(dict.fromkeys(name for item in items for group in groups_of(item) for name in group if name))
    more = f" and {len(known) - most} more" if len(known) > most else ""
    return ", ".join(known[:most]) + more


def items_of(kind: str, snapshot: NodeSnapshot) -> list[Any]:
    """The items of `get KIND` in a snapshot. Events have no place in one: who keeps them is asked for them."""
    return in_order(kind, (snapshot.node,) if kind == "nodes" else getattr(snapshot, kind))
