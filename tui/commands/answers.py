"""What `get` asks, and what comes of it: the same of one node and of many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from diagnostics.errors import EXIT_OK, EXIT_UNREACHABLE, Unreachable
from diagnostics.kinds import KINDS
from diagnostics.model import NodeSnapshot, Problem
from diagnostics.selection import chosen, in_order, items_of, known_names
from diagnostics.timing import now
from tui.commands.parser import unknown
from tui.sources.once import Once, Wanted


class Query(NamedTuple):
    """What is asked for, checked."""

    kind: str
    names: tuple[str, ...]
    format: str
    headers: bool
    sort: str | None
    namespace: str | None


class Answer(NamedTuple):
    items: list[Any]
    errors: list[Problem]
    time: str
    many: bool = False
    """Of the nodes of a cluster: each item says which."""

    @property
    def code(self) -> int:
        return EXIT_UNREACHABLE if self.errors and not self.items else EXIT_OK


def sort_column(query: Query) -> tuple[Any, bool]:
    """The column to sort by, and whether the largest comes first. Raises UserError for what is none."""
    from diagnostics.columns import COLUMNS, Column

    word = (query.sort or "").removeprefix("-")
    columns = COLUMNS[query.kind]
    for column in columns:
        if word.lower() in (column.heading.lower(), column.title.lower(), column.key):
            return column, query.sort != word
    fields = KINDS[query.kind].__struct_encode_fields__
    if word in fields:
        return Column(word, word), query.sort != word
    raise unknown("--sort-by", word, [*(column.title for column in columns), *fields])


SHALLOW = ("devices", "ports", "counters")
JUDGED = ("nodes", "ports", "findings")


def wanted(query: Query) -> Wanted:
    return Wanted(
        counters="all" if query.kind in ("counters", "findings") else "none",
        inventory=query.kind not in SHALLOW,
        verdict=query.kind in JUDGED,
    )


def ask(source: Once, query: Query, snapshot: NodeSnapshot | None = None) -> Answer:
    """The answer to a query: from the snapshot given, else from a reading of its own."""
    if query.kind in ("events", "benchmarks"):
        return _of_agent(source, query)
    seen = source.snapshot(wanted(query)) if snapshot is None else snapshot
    errors = list(seen.errors)
    return narrowed(query, items_of(query.kind, seen), errors, seen.time, seen.node.node)


def _of_agent(source: Once, query: Query) -> Answer:
    """Events and benchmarks, which only somebody who was there all the time has."""
    try:
        items: Sequence[Any] = source.events() if query.kind == "events" else source.benchmarks()
    except Unreachable as error:
        return Answer([], [Problem(source=query.kind, message=error.message, hint=error.hint or None)], now())
    return narrowed(query, in_order(query.kind, items), [], now(), source.label)


def narrowed(
    query: Query, items: list[Any], errors: list[Problem], time: str, where: str, many: bool = False
) -> Answer:
    """The items that NAMEs, namespace and order leave, with a problem for each NAME that nothing answers to."""
    if query.namespace is not None and query.kind == "processes":
        items = [item for item in items if item.namespace == query.namespace]
    if query.names:
        everything = items
        items, missing = chosen(query.kind, items, query.names)
        for name in missing:
            known = known_names(query.kind, everything) or "none"
            errors.append(
                Problem(
                    source=f"{query.kind}/{name}",
                    message=f"nothing of that name on {where}",
                    hint=f"there are: {known}",
                )
            )
    if query.sort is not None:
        from diagnostics.selection import sorted_by

        items = sorted_by(items, *sort_column(query))
    return Answer(items, errors, time, many)
