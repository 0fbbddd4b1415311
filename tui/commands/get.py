"""`rdmatop get KIND`: what is there, as a table for people or as data for scripts."""

from __future__ import annotations

import argparse
import gc
from collections.abc import Sequence
from typing import Any, NamedTuple

from diagnostics.errors import EXIT_OK, EXIT_UNREACHABLE, Unreachable, UserError
from diagnostics.model import KINDS, NodeSnapshot, Problem
from diagnostics.report import FORMATS, as_json, as_line, as_names, as_yaml, envelope, table
from diagnostics.selection import chosen, in_order, items_of, known_names
from diagnostics.timing import now
from tui.commands import output
from tui.commands.parser import GET_CODES, complete_by, device_names, unknown
from tui.options import Options
from tui.sources.once import Once, Wanted, needs_cluster, open_once

CLUSTER_KINDS = ("components", "networks", "resources", "workloads", "fabric")
"""What only a cluster, or a subnet manager, knows."""
HERE = tuple(kind for kind in KINDS if kind not in CLUSTER_KINDS)

USAGE = "KIND [NAME ...] [OPTIONS]"
DESCRIPTION = f"""Lists {", ".join(HERE)}.

NAMEs choose: a device (mlx5_0), a port (mlx5_0/1), a counter, a process. One reading
knows states and totals; rates need two, so they come with -w or from an agent."""
EPILOG = f"""examples:
  rdmatop get ports                                every port of this host
  rdmatop get ports mlx5_0/1 -o json               one port, as data
  rdmatop get counters mlx5_0 port_rcv_errors -w   one counter of a device, each second
  rdmatop get processes --sort-by -qps             who holds the most queue pairs
  rdmatop get ports --root /tmp/capture            a captured tree in place of this host

{GET_CODES}"""


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

    @property
    def code(self) -> int:
        return EXIT_UNREACHABLE if self.errors and not self.items else EXIT_OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_argument("asked_kind", metavar="KIND", nargs="?", help="what to list")
    complete_by(kinds, lambda **_: HERE)
    names = parser.add_argument("names", metavar="NAME", nargs="*", help="only these: ports, devices, counters …")
    complete_by(names, device_names)
    parser.add_argument("-o", "--output", dest="format", choices=FORMATS, default="table", help="how (default table)")
    parser.add_argument("--no-headers", action="store_true", help="leave the table's first line out")
    parser.add_argument("--sort-by", metavar="COLUMN", help="a column or JSON field; -COLUMN: the largest first")
    parser.add_argument("-w", "--watch", action="store_true", help="again each interval; JSON: an object a line")
    parser.add_argument("--interval", metavar="TIME", default=argparse.SUPPRESS, help="between readings (default 1s)")
    parser.add_argument("-l", "--selector", metavar="LABELS", help="nodes with these labels (needs a cluster)")


def run(found: argparse.Namespace, options: Options) -> int:
    query = _query(found, options)
    if not found.watch:
        gc.disable()  # one reading leaves nothing to collect: 3 ms of looking for it
    try:
        source = open_once(options)
    except Unreachable as error:
        return _unanswered(query, error)
    try:
        return _watch(source, query, options.interval_s) if found.watch else _once(source, query)
    except Unreachable as error:
        return _unanswered(query, error)
    finally:
        source.close()
        gc.enable()


def kind_named(word: str) -> str:
    """`port`, `ports`, `PortList` -> `ports`. Raises UserError for what is no kind."""
    lower = word.lower().removesuffix("list")
    for kind in (*HERE, *CLUSTER_KINDS):
        if lower in (kind, kind[:-1], kind.removesuffix("es")):
            return kind
    raise unknown("kind", word, (*HERE, *CLUSTER_KINDS))


def _query(found: argparse.Namespace, options: Options) -> Query:
    if found.asked_kind is None:
        raise UserError("get: of what kind?", f"one of {', '.join(HERE)}; see: rdmatop get --help")
    kind = kind_named(found.asked_kind)
    if found.selector is not None and kind != "nodes":
        raise UserError(f"-l {found.selector}: only nodes have labels", "choose by NAME: rdmatop get ports mlx5_0")
    if kind in CLUSTER_KINDS:
        raise needs_cluster(f"get {kind}")
    if found.selector is not None:
        raise needs_cluster(f"-l {found.selector}")
    query = Query(kind, tuple(found.names), found.format, not found.no_headers, found.sort_by, options.namespace)
    if query.sort is not None:
        _column(query)
    return query


def _column(query: Query) -> tuple[Any, bool]:
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


# Asking


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
    return _chosen(query, items_of(query.kind, seen), errors, seen.time, seen.node.node)


def _of_agent(source: Once, query: Query) -> Answer:
    """Events and benchmarks, which only somebody who was there all the time has."""
    try:
        items: Sequence[Any] = source.events() if query.kind == "events" else source.benchmarks()
    except Unreachable as error:
        return Answer([], [Problem(source=query.kind, message=error.message, hint=error.hint or None)], now())
    return _chosen(query, in_order(query.kind, items), [], now(), source.label)


def _chosen(query: Query, items: list[Any], errors: list[Problem], time: str, where: str) -> Answer:
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

        items = sorted_by(items, *_column(query))
    return Answer(items, errors, time)


# Telling


def _once(source: Once, query: Query) -> int:
    answer = ask(source, query)
    output.say_problems(answer.errors)
    output.write(_text(query, answer, source.label))
    return answer.code


def _unanswered(query: Query, error: Unreachable) -> int:
    """Nobody answered: a script still gets an envelope that says so."""
    if query.format in ("json", "yaml"):
        problem = Problem(source=query.kind, message=error.message, hint=error.hint or None)
        output.write(_text(query, Answer([], [problem], now()), ""))
    raise error


def _text(query: Query, answer: Answer, label: str, watching: bool = False) -> bytes | str:
    if query.format == "name":
        return as_names(query.kind, answer.items)
    if query.format in ("json", "yaml"):
        whole = envelope(query.kind, answer.items, answer.errors, answer.time)
        if query.format == "yaml":
            return b"---\n" * watching + as_yaml(whole)
        return as_line(whole) if watching else as_json(whole)
    return _table(query, answer, label, cut=False)


def _table(query: Query, answer: Answer, label: str, cut: bool) -> str:
    from diagnostics.columns import COLUMNS

    if not answer.items:
        if not answer.errors:
            output.say(f"no {query.kind} on {label}")
        return ""
    look = output.look(query.headers, cut)
    columns = COLUMNS[query.kind]
    if query.format == "wide":
        return table(answer.items, columns, look if cut else look._replace(width=None))
    return table(answer.items, [column for column in columns if not column.wide], look)


def _watch(source: Once, query: Query, interval_s: float) -> int:
    """Until an interrupt, or until nobody answers any more."""
    frame = output.Frame() if query.format in ("table", "wide") and output.can_repaint() else None
    told: set[Problem] = set()
    first = True
    for snapshot in source.watch(wanted(query), interval_s):
        answer = ask(source, query, snapshot)
        if frame is not None:
            errors = "".join(f"{output.problem_text(error)}\n" for error in answer.errors)
            frame.paint(_table(query, answer, source.label, cut=True) + errors)
            continue
        output.say_problems(error for error in answer.errors if error not in told)
        told.update(answer.errors)
        text = _text(query, answer, source.label, watching=True)
        output.write(f"\n{text}" if isinstance(text, str) and query.format != "name" and not first else text)
        first = False
    return EXIT_OK
