"""`rdmatop check`: is RDMA healthy here, and if not, what is wrong, since when and what next?"""

from __future__ import annotations

import argparse
import os
import stat
import textwrap
import time
from collections.abc import Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING

from diagnostics.errors import (
    EXIT_FAILED,
    EXIT_OK,
    EXIT_PARTIAL,
    EXIT_UNREACHABLE,
    Unreachable,
    UserError,
)
from diagnostics.model import Finding, NodeSnapshot, Problem
from diagnostics.report import ASCII_GLYPHS, COLOURS, GLYPHS, Look, as_json, as_line, as_yaml, meaning
from diagnostics.timing import now
from tui.commands import output
from tui.options import Options, interval, seconds
from tui.sources.once import Once, Wanted, needs_cluster, open_any, open_once

if TYPE_CHECKING:
    from diagnostics.checks.engine import Judge
    from diagnostics.checks.manifest import Manifest
    from diagnostics.checks.report import CheckReport, Judged
    from diagnostics.windows import Windows
    from tui.sources.once_cluster import ClusterOnce

FORMATS = ("table", "wide", "json", "yaml", "name")
WIDTH = 100
MOST_MANIFEST_BYTES = 1 << 20
ALL = Wanted("all", verdict=False)

USAGE = "[NODE ...] [OPTIONS]"
DESCRIPTION = """Judges this node: every check of link, errors, congestion, PCIe, host, benchmarks and agent.
Of a cluster: every node, and whether a rail or a node there differs from its peers.

One reading judges states alone; counters need two: from a running agent, with -w, or
from two captured trees (--root AFTER --since-root BEFORE --interval 10)."""
EPILOG = """examples:
  rdmatop check                                     this host, or its agent where one runs
  rdmatop check --strict                            a warning fails it, too
  rdmatop check -o json                             every check with its status and reason, as data
  rdmatop check --root TREE                         a captured tree
  rdmatop check --root AFTER --since-root BEFORE --interval 10     two captures, 10 s apart
  rdmatop check --context prod                      every node of a cluster
  rdmatop check gpu-017 gpu-018 --context prod      two of them
  rdmatop explain link-down                         what a check means

exit codes:
  0    passed
  1    something critical was found; with --strict a warning, too
  2    the command line or the manifest is wrong
  3    nothing could be reached
  4    part of what was asked could not be answered
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("nodes", metavar="NODE", nargs="*", help="only these nodes (default: this one, or the whole cluster)")
    add("--strict", action="store_true", help="a warning fails it, too")
    add("-o", "--output", dest="format", choices=FORMATS, default="table", help="how (default table)")
    add("-w", "--watch", action="store_true", help="again each interval; JSON: an object a line")
    add("--interval", metavar="TIME", dest="between", help="between readings (default 1s)")
    add("--since-root", metavar="DIR", help="an earlier capture, --interval before the one of --root")
    add("--manifest", metavar="FILE", help="what is expected of this node (docs/checks.md)")


def run(found: argparse.Namespace, options: Options) -> int:
    _need_sense(found, options)
    manifest = _manifest(found.manifest)
    try:
        source = open_any(options, output.say)
    except Unreachable as error:
        return _unanswered(found, error)
    try:
        if source.many:
            return _cluster(found, source, options)
        if found.watch:
            return _watch(found, source, options, manifest)
        _need_node(found.nodes, snapshot := source.snapshot(ALL))
        judged = _judge_once(found, snapshot, options, manifest)
        return _told(found, judged)
    except Unreachable as error:
        return _unanswered(found, error)
    finally:
        source.close()


def _cluster(found: argparse.Namespace, source: ClusterOnce, options: Options) -> int:
    """Every node of a cluster; -w goes on until an interrupt, whose exit code is 130."""
    from diagnostics.checks.report import report
    from tui.commands.check_cluster import judge_cluster, watch_cluster

    if found.manifest is not None:
        raise UserError(
            "--manifest: each agent of a cluster judges by its own",
            "leave it out, or ask one node: --agent URL, --local",
        )
    every = interval(found.between) if found.between else options.interval_s
    verdicts = watch_cluster(source, found.nodes, every) if found.watch else [judge_cluster(source, found.nodes)]
    frame = output.Frame() if found.watch and found.format in ("table", "wide") and output.can_repaint() else None
    code = EXIT_OK
    for verdict in verdicts:
        whole = report(verdict.judged, verdict.time, strict=found.strict, errors=verdict.errors)
        code = exit_code(whole, anything=any(each.snapshot.ports for each in verdict.judged))
        with output.answering(code):
            _say(found, whole, frame=frame, watching=found.watch)
    return code


def _need_sense(found: argparse.Namespace, options: Options) -> None:
    if found.since_root is None:
        return
    if options.root == "/":
        raise UserError(
            "--since-root needs --root: two captures are compared",
            "rdmatop check --root AFTER --since-root BEFORE --interval 10",
        )
    if found.watch:
        raise UserError("--since-root and -w: a capture does not change", "leave one of them out")


def _need_node(nodes: list[str], snapshot: NodeSnapshot) -> None:
    """Without a cluster there is one node, which may be named."""
    others = [name for name in nodes if name != snapshot.node.node]
    if others:
        raise needs_cluster(f"check {' '.join(others)}")


def _manifest(name: str | None) -> Manifest | None:
    if name is None:
        return None
    from diagnostics.checks import THRESHOLDS
    from diagnostics.checks.manifest import parse_manifest

    try:
        if not stat.S_ISREG(os.stat(name).st_mode):
            raise UserError(f"--manifest {name}: not a file", "give a YAML or JSON file")
        with open(name, "rb") as file:
            return parse_manifest(file.read(MOST_MANIFEST_BYTES), THRESHOLDS, name=name)
    except OSError as error:
        raise UserError(f"--manifest {name}: {error.strerror}") from error


def _between(found: argparse.Namespace, options: Options) -> float:
    """Seconds between two captures, which may lie further apart than two samples."""
    return seconds(found.between, "--interval", options.interval_s)


# Judging


def _judge_once(
    found: argparse.Namespace, snapshot: NodeSnapshot, options: Options, manifest: Manifest | None
) -> Judged:
    from diagnostics.checks.report import Judged, of_agent

    if snapshot.agent is not None:
        return of_agent(snapshot)
    judge = _judge(manifest, captured=options.root != "/")
    if found.since_root is not None:
        return _judge_pair(judge, found.since_root, snapshot, options, _between(found, options))
    judged, _ = judge.step(snapshot, None)
    return Judged(judged, judge.unjudged)


def _judge_pair(judge: Judge, earlier: str, after: NodeSnapshot, options: Options, interval_s: float) -> Judged:
    from diagnostics.checks.report import Judged
    from diagnostics.windows import PairWindows

    source = open_once(options._replace(root=earlier, local=True))
    try:
        before = source.snapshot(ALL)
    finally:
        source.close()
    at = time.time()
    judge.observe(before, at - interval_s, 0.0)
    judged, _ = judge.step(after, PairWindows(before, after, interval_s), at, interval_s)
    return Judged(judged, judge.unjudged)


def _judge(manifest: Manifest | None, captured: bool) -> Judge:
    from diagnostics.checks.engine import Judge

    judge = Judge(manifest)
    if captured:
        judge.kernel_log_unread = "a capture holds none"
        return judge
    _read_kernel_log(judge)
    return judge


def _read_kernel_log(judge: Judge) -> None:
    """What the kernel said within the last hour."""
    from agent.readers.kernel_log import KernelLog
    from diagnostics.kernel_log import LogFilter

    log = KernelLog()
    try:
        judge.kernel_log_unread = log.unread
        events = LogFilter()
        booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        while lines := log.poll():
            for line in lines:
                events.feed(line.text, booted + line.boot_s, line.boot_s)
        judge.kernel_log = events.events()
    finally:
        log.close()


def _watch(found: argparse.Namespace, source: Once, options: Options, manifest: Manifest | None) -> int:
    """Until an interrupt, whose exit code is 130."""
    from diagnostics.checks.report import of_agent

    judge: Judge | None = None
    frame = output.Frame() if found.format in ("table", "wide") and output.can_repaint() else None
    code = EXIT_OK
    for snapshot, windows in _sampled(source, interval(found.between) if found.between else options.interval_s):
        _need_node(found.nodes, snapshot)
        if snapshot.agent is not None:
            judged = of_agent(snapshot)
        else:
            judge = judge or _judge(manifest, captured=options.root != "/")
            judged = _step(judge, snapshot, windows)
        code = _told(found, judged, frame=frame, watching=True)
    return code


def _sampled(source: Once, interval_s: float) -> Iterator[tuple[NodeSnapshot, Windows | None]]:
    """An agent judged over time already; what is read here has its history beside it."""
    for snapshot in source.watch(ALL, interval_s):
        yield snapshot, getattr(source, "windows", None)


def _step(judge: Judge, snapshot: NodeSnapshot, windows: Windows | None) -> Judged:
    from diagnostics.checks.report import Judged

    judged, _ = judge.step(snapshot, windows if judge.memory.samples else None)
    return Judged(judged, judge.unjudged)


# Telling


def _told(
    found: argparse.Namespace, judged: Judged, *, frame: output.Frame | None = None, watching: bool = False
) -> int:
    from diagnostics.checks.report import report

    whole = report([judged], judged.snapshot.time, strict=found.strict)
    code = exit_code(whole, anything=bool(judged.snapshot.devices))
    with output.answering(code):
        _say(found, whole, frame=frame, watching=watching)
    return code


def _say(
    found: argparse.Namespace, whole: CheckReport, *, frame: output.Frame | None = None, watching: bool = False
) -> None:
    if found.format in ("json", "yaml"):
        text = as_yaml(whole) if found.format == "yaml" else as_line(whole) if watching else as_json(whole)
        output.write(b"---\n" * (watching and found.format == "yaml") + text)
    elif found.format == "name":
        output.write("".join(f"{finding.id}\n" for finding in whole.findings))
    elif frame is not None:
        frame.paint(_text(whole, found.format == "wide"))
    else:
        output.write(_text(whole, found.format == "wide") + "\n" * watching)
    output.say_problems(whole.errors)


def exit_code(whole: CheckReport, *, anything: bool) -> int:
    """A failed verdict, no device that could be judged, or a partial answer: the first that applies."""
    if not whole.passed:
        return EXIT_FAILED
    if whole.errors and not anything:
        return EXIT_UNREACHABLE
    return EXIT_PARTIAL if whole.errors else EXIT_OK


def _unanswered(found: argparse.Namespace, error: Unreachable) -> int:
    """Nobody answered: a script still gets a report that says so."""
    from diagnostics.checks.report import report

    if found.format in ("json", "yaml"):
        problem = Problem(source="check", message=error.message, hint=error.hint or None)
        whole = report([], now(), errors=[problem])
        with output.answering(EXIT_UNREACHABLE):
            output.write(as_yaml(whole) if found.format == "yaml" else as_json(whole))
    output.say(f"{error.message}\n  {error.hint}" if error.hint else error.message)
    return EXIT_UNREACHABLE


def _text(whole: CheckReport, wide: bool) -> str:
    """Findings in their order, what was not judged, and a line that sums it up."""
    from diagnostics.checks.report import summary

    look = output.look()
    width = min(look.width or WIDTH, 160)
    lines: list[str] = []
    depth: dict[str, int] = {}
    many = len(whole.health) > 1
    for finding, after in zip_longest(whole.findings, whole.findings[1:]):
        depth[finding.id] = depth.get(finding.follows or "", -1) + 1
        is_last = after is None or (after.check, after.hint) != (finding.check, finding.hint)
        lines += _finding_lines(finding, depth[finding.id], width, look, hint=is_last, many=many)
    if wide:
        lines += [
            f"  {each.status:8} {f'{each.node} ' * many}{each.check:20} {each.reason or ''}".rstrip()
            for each in whole.checks
        ]
    lines.append(summary(whole))
    return "\n".join(lines) + "\n"


def _finding_lines(finding: Finding, depth: int, width: int, look: Look, *, hint: bool, many: bool) -> list[str]:
    """The sentence, what could not be read, and what to do; of like findings in a row the last has the hint."""
    indent, rest = "  " * depth, "  " * depth + "    "
    follows = " (follows from the above)" if depth else ""
    head = f"{indent}{_glyph(finding, look.ascii)} {f'{finding.node}  ' * many}{finding.check}  "
    lines = _wrapped(head + finding.message + follows, width, "", rest)
    lines += [f"{rest}not read: {unread}" for unread in finding.unread]
    if hint and finding.hint and finding.severity != "info":
        lines += _wrapped(f"next: {finding.hint}", width, rest, f"{rest}      ")
    if look.colour:
        lines[0] = f"\x1b[{COLOURS[meaning(finding.severity)]}m{lines[0]}\x1b[0m"
    return lines


def _glyph(finding: Finding, ascii_only: bool) -> str:
    means = meaning(finding.severity)
    return (ASCII_GLYPHS if ascii_only else GLYPHS)["unknown" if finding.severity == "info" else means]


def _wrapped(text: str, width: int, first: str, rest: str) -> list[str]:
    return textwrap.wrap(
        text,
        max(width, 40),
        initial_indent=first,
        subsequent_indent=rest,
        break_on_hyphens=False,
        break_long_words=False,
        drop_whitespace=True,
    )
