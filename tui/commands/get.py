"""`rdmatop get KIND`: what is there, as a table for people or as data for scripts."""

from __future__ import annotations

import argparse
import gc
from collections.abc import Iterator
from typing import TYPE_CHECKING

from diagnostics.errors import EXIT_OK, Unreachable, UserError
from diagnostics.kinds import KINDS
from diagnostics.model import Problem
from diagnostics.report import FORMATS, as_json, as_line, as_names, as_yaml, envelope, table
from diagnostics.timing import now
from tui.commands import output
from tui.commands.answers import Answer, Query, ask, sort_column, wanted
from tui.commands.parser import GET_CODES, complete_by, device_names, unknown
from tui.options import Options
from tui.sources.once import Once, needs_cluster, open_any

if TYPE_CHECKING:
    from tui.sources.once_cluster import ClusterOnce

CLUSTER_KINDS = ("components", "networks", "resources", "workloads", "fabric")
"""What only a cluster, or a subnet manager, knows."""
HERE = tuple(kind for kind in KINDS if kind not in CLUSTER_KINDS)

USAGE = "KIND [NAME ...] [OPTIONS]"
DESCRIPTION = f"""Lists {", ".join(HERE)}.

NAMEs choose: a device (mlx5_0), a port (mlx5_0/1), a counter, a process; in a cluster a
node, too (gpu-017, gpu-017/mlx5_0). One reading knows states and totals; rates need two,
so they come with -w, from an agent or from a cluster, whose agents all answer."""
EPILOG = f"""examples:
  rdmatop get ports                                every port of this host
  rdmatop get ports mlx5_0/1 -o json               one port, as data
  rdmatop get counters mlx5_0 port_rcv_errors -w   one counter of a device, each second
  rdmatop get processes --sort-by -qps             who holds the most queue pairs
  rdmatop get ports --root /tmp/capture            a captured tree in place of this host
  rdmatop get ports gpu-017 --context prod         one node of a cluster

{GET_CODES}"""


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


def run(found: argparse.Namespace, options: Options) -> int:
    query = _query(found, options)
    if not found.watch:
        gc.disable()  # one reading leaves nothing to collect: 3 ms of looking for it
    try:
        source = open_any(options, output.say)
    except Unreachable as error:
        return _unanswered(query, error)
    try:
        if found.watch:
            return _watch(_answers(source, query, options.interval_s), query, source.label)
        return _once(_answer(source, query), query, source.label)
    except Unreachable as error:
        return _unanswered(query, error)
    finally:
        source.close()
        gc.enable()


def _answer(source: Once | ClusterOnce, query: Query) -> Answer:
    if not source.many:
        return ask(source, query)
    from tui.commands.get_cluster import ask_all

    return ask_all(source, query)


def _answers(source: Once | ClusterOnce, query: Query, interval_s: float) -> Iterator[Answer]:
    """One each interval."""
    if not source.many:
        for snapshot in source.watch(wanted(query), interval_s):
            yield ask(source, query, snapshot)
        return
    from tui.commands.get_cluster import watch_all

    yield from watch_all(source, query, interval_s)


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
    if kind in CLUSTER_KINDS:
        raise needs_cluster(f"get {kind}")
    query = Query(kind, tuple(found.names), found.format, not found.no_headers, found.sort_by, options.namespace)
    if query.sort is not None:
        sort_column(query)
    return query


# Telling


def _once(answer: Answer, query: Query, label: str) -> int:
    output.say_problems(answer.errors)
    output.write(_text(query, answer, label))
    return answer.code


def _unanswered(query: Query, error: Unreachable) -> int:
    """Nobody answered: a script still gets an envelope that says so."""
    if query.format in ("json", "yaml"):
        problem = Problem(source=query.kind, message=error.message, hint=error.hint or None)
        output.write(_text(query, Answer([], [problem], now()), ""))
    raise error


def _text(query: Query, answer: Answer, label: str, watching: bool = False) -> bytes | str:
    if query.format == "name":
        return as_names(query.kind, answer.items, many=answer.many)
    if query.format in ("json", "yaml"):
        whole = envelope(query.kind, answer.items, answer.errors, answer.time)
        if query.format == "yaml":
            return b"---\n" * watching + as_yaml(whole)
        return as_line(whole) if watching else as_json(whole)
    return _table(query, answer, label, cut=False)


def _table(query: Query, answer: Answer, label: str, cut: bool) -> str:
    from diagnostics.columns import COLUMNS, node_first

    if not answer.items:
        if not answer.errors:
            output.say(f"no {query.kind} on {label}")
        return ""
    look = output.look(query.headers, cut)
    columns = node_first(COLUMNS[query.kind]) if answer.many else COLUMNS[query.kind]
    if query.format == "wide":
        return table(answer.items, columns, look if cut else look._replace(width=None))
    return table(answer.items, [column for column in columns if not column.wide], look)


def _watch(answers: Iterator[Answer], query: Query, label: str) -> int:
    """Until an interrupt, or until nobody answers any more."""
    frame = output.Frame() if query.format in ("table", "wide") and output.can_repaint() else None
    told: set[Problem] = set()
    first = True
    for answer in answers:
        if frame is not None:
            errors = "".join(f"{output.problem_text(error)}\n" for error in answer.errors)
            frame.paint(_table(query, answer, label, cut=True) + errors)
            continue
        output.say_problems(error for error in answer.errors if error not in told)
        told.update(answer.errors)
        text = _text(query, answer, label, watching=True)
        output.write(f"\n{text}" if isinstance(text, str) and query.format != "name" and not first else text)
        first = False
    return EXIT_OK
