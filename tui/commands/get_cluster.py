"""`rdmatop get KIND` of a whole cluster: every agent asked, the items of all nodes in one list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from diagnostics.model import NodeSnapshot, Problem
from diagnostics.selection import in_order, items_of
from diagnostics.timing import now
from tui.commands.answers import Answer, Query, narrowed, wanted
from tui.sources.once_cluster import ClusterOnce, Reading, time_of


def ask_all(source: ClusterOnce, query: Query) -> Answer:
    """The answer of all nodes, or of those that NAMEs or options choose. Raises Unreachable where nobody can answer."""
    query = of_nodes(source, query)
    if query.kind == "nodes":
        found = source.node_items()
        return narrowed(query, in_order("nodes", found.items), list(found.errors), now(), source.label, many=True)
    if query.kind in ("events", "benchmarks"):
        found = source.events() if query.kind == "events" else source.benchmarks()
        return narrowed(query, _by_time(query.kind, found.items), list(found.errors), now(), source.label, many=True)
    return _of_reading(source, query, source.read(wanted(query)))


def watch_all(source: ClusterOnce, query: Query, interval_s: float) -> Iterator[Answer]:
    """One answer each interval."""
    yield from source.again(lambda: ask_all(source, query), interval_s)


def of_nodes(source: ClusterOnce, query: Query) -> Query:
    """Names of nodes choose whom to ask; `gpu-017/mlx5_0` chooses both."""
    known, nodes, rest = source.names(), [], []
    for name in query.names:
        node, slash, below = name.partition("/")
        if node not in known:
            rest.append(name)
            continue
        nodes.append(node)
        if slash:
            rest.append(below)
        elif query.kind == "nodes":
            rest.append(name)
    source.choose(nodes)
    return query._replace(names=tuple(rest))


def _of_reading(source: ClusterOnce, query: Query, reading: Reading) -> Answer:
    errors = [*reading.errors, *(of_node(each, problem) for each in reading.snapshots for problem in each.errors)]
    items = [item for each in reading.snapshots for item in items_of(query.kind, each)]
    if query.kind == "findings":
        from diagnostics.checks.order import ordered

        items = list(ordered(items))
    else:
        items = in_order(query.kind, items)
    return narrowed(query, items, errors, time_of(reading.snapshots), source.label, many=True)


def of_node(snapshot: NodeSnapshot, problem: Problem) -> Problem:
    """What a node could not answer, with its name."""
    return Problem(source=f"{snapshot.node.node}/{problem.source}", message=problem.message, hint=problem.hint)


def _by_time(kind: str, items: Iterable[Any]) -> list[Any]:
    """Events oldest first, benchmarks newest first, as one node tells them."""
    if kind == "events":
        return sorted(items, key=lambda item: item.time)
    return sorted(items, key=lambda item: item.started or "", reverse=True)
