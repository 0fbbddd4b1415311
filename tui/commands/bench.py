"""`rdmatop bench loopback`: what a port really delivers, and whether that is what it should."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import msgspec

from diagnostics.columns import COLUMNS, place, size
from diagnostics.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_PARTIAL,
    EXIT_UNREACHABLE,
    Unreachable,
    UserError,
)
from diagnostics.messages import ALL_SIZES, LARGEST_BYTES, OPERATIONS, SMALLEST_BYTES
from diagnostics.model import Benchmark, BenchmarkRequest, Problem
from diagnostics.report import FORMATS, as_json, as_line, as_names, as_yaml, envelope, table
from diagnostics.timing import now
from tui.commands import output
from tui.commands.parser import complete_by, device_names, unknown
from tui.options import Options, seconds
from tui.sources.once import Ran, needs_cluster, open_any, open_once, where

KINDS = ("loopback",)

USAGE = "loopback [DEVICE[/PORT] ...] [OPTIONS]"
DESCRIPTION = """Measures a port of this host against itself: two queue pairs of one device, RDMA write,
read or send. The average over the run is judged against what link and PCIe should
give: pass from 95 %, note from 90 %, warn from 80 %, fail below.

Without a device: every active port, one after the other. A port that carries traffic
is left alone, unless --force."""
EPILOG = """examples:
  rdmatop bench loopback                               every active port, RDMA write of 1 MiB for 5 s
  rdmatop bench loopback mlx5_0/1 --size 64,4K,1M      three sizes of one port
  rdmatop bench loopback mlx5_0 --latency --size 64    how long one message takes
  rdmatop bench loopback --size all -o json            2 B to 8 MiB, as data
  rdmatop bench loopback --node gpu-017                on a node of the cluster

exit codes:
  0  pass or note (warn too, without --strict)
  1  fail, or warn with --strict
  2  the command line is wrong, or the port is busy (see --force)
  3  no such device, or no permission
  4  part of what was asked could not be measured
  130  interrupted: what was measured until then is printed, state cancelled
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    complete_by(add("what", metavar="KIND", nargs="?", help="loopback"), lambda **_: KINDS)
    places = add("places", metavar="DEVICE[/PORT]", nargs="*", help="mlx5_0, mlx5_0/1 … (default: every active port)")
    complete_by(places, device_names)
    add("--operation", choices=OPERATIONS, default="write", help="what the hardware does (default write)")
    add("--size", metavar="BYTES", default="1M", help="64, 4K, 1M, a list of them, or all (default 1M)")
    add("--qps", metavar="N", type=int, default=2, help="queue pairs (default 2)")
    add("--chain", metavar="N", type=int, default=128, help="messages handed over at a time (default 128)")
    add("--duration", metavar="TIME", help="of each run (default 5s)")
    add("--iterations", metavar="N", type=int, help="messages, in place of a duration")
    add("--latency", action="store_true", help="measure the time of one message in place of bandwidth")
    add("--bidirectional", action="store_true", help="both ways at once, added up")
    add("--gid-index", metavar="N", type=int, help="the GID to use (default: RoCE v2 with an address)")
    add("--force", action="store_true", help="run on a port that carries traffic, too")
    add("--strict", action="store_true", help="a warn ends with exit code 1, too")
    add("-o", "--output", dest="format", choices=FORMATS, default="table", help="how (default table)")
    add("--no-headers", action="store_true", help="leave the table's first line out")
    add("-w", "--watch", action="store_true", help="stream progress to stdout; JSON: an object a line")


def run(found: argparse.Namespace, options: Options) -> int:
    if found.what is None:
        raise UserError("bench: of what kind?", "rdmatop bench loopback; see: rdmatop bench --help")
    if found.what in ("pair", "sweep", "tcp"):
        raise needs_cluster(f"bench {found.what}")
    if found.what not in KINDS:
        raise unknown("benchmark", found.what, KINDS)
    requests = requests_of(found)
    try:
        ran = _run(requests, options, Progress(found))
    except Unreachable as error:
        if found.format in ("json", "yaml"):  # nobody could measure: a script still gets an envelope that says so
            why = Problem(source="benchmarks", message=error.message, hint=error.hint or None)
            output.write(_text(found, (), (why,)))
        raise
    errors = (*ran.errors, *(problem for item in ran.items if (problem := _problem(item)) is not None))
    output.say_problems(errors)
    code = exit_code(ran, found.strict)
    with output.answering(code):
        output.write(_text(found, ran.items, errors))
    return code


def _run(requests: tuple[BenchmarkRequest, ...], options: Options, progress: Progress) -> Ran:
    source = open_any(options, output.say) if where(options) == "cluster" else open_once(options)
    try:
        return source.run_benchmarks(requests, progress.show)
    finally:
        progress.clear()
        source.close()


# What is asked


def requests_of(found: argparse.Namespace) -> tuple[BenchmarkRequest, ...]:
    """One request a place. Raises UserError for what cannot be meant."""
    duration_s = seconds(found.duration, "--duration", 5.0)
    for flag, value in (("--qps", found.qps), ("--chain", found.chain), ("--iterations", found.iterations)):
        if value is not None and value < 1:
            raise UserError(f"{flag} {value}: there must be at least 1")
    if found.latency and found.bidirectional:
        raise UserError("--latency and --bidirectional: one message at a time has one direction", "choose one of them")
    common = BenchmarkRequest(
        operation=found.operation,
        sizes=sizes_of(found.size),
        qps=found.qps,
        chain=found.chain,
        duration_s=duration_s,
        iterations=found.iterations,
        latency=found.latency,
        bidirectional=found.bidirectional,
        gid_index=found.gid_index,
        force=found.force,
    )
    return tuple(
        msgspec.structs.replace(common, device=device, port=port)
        for device, port in map(place_of, found.places or [None])
    )


def place_of(text: str | None) -> tuple[str | None, int | None]:
    """`mlx5_0/1` -> ("mlx5_0", 1)."""
    if text is None:
        return None, None
    device, slash, port = text.partition("/")
    if not device or (slash and not (port.isascii() and port.isdecimal())):
        raise UserError(f"{text}: not a device or port", "write DEVICE or DEVICE/PORT: mlx5_0, mlx5_0/1")
    return device, int(port) if slash else None


def sizes_of(text: str) -> tuple[int, ...]:
    """`64,4K,1M` -> bytes, K and M being 1024 and 1024 x 1024; `all`: the powers of two from 2 B to 8 MiB."""
    if text == "all":
        return ALL_SIZES
    return tuple(dict.fromkeys(_size(part.strip()) for part in text.split(",")))


def _size(text: str) -> int:
    digits = text.lower().removesuffix("b").removesuffix("i")
    factor = {"k": 1 << 10, "m": 1 << 20}.get(digits[-1:], 1)
    digits = digits[:-1] if factor > 1 else digits
    if not (digits.isascii() and digits.isdecimal()):
        raise UserError(f"--size {text}: not a size", "write bytes, or K or M: 64, 4K, 1M, a list 64,4K, or all")
    value = int(digits) * factor
    if not SMALLEST_BYTES <= value <= LARGEST_BYTES:
        raise UserError(f"--size {text}: out of range", f"from {SMALLEST_BYTES} bytes to {LARGEST_BYTES >> 20}M")
    return value


# What is told


class Progress:
    """The run as it goes on: in place on a terminal, as a stream of data where that was asked for."""

    def __init__(self, found: argparse.Namespace) -> None:
        self._watch, self._format = found.watch, found.format
        self._live = output.stderr_is_terminal() and not found.watch

    def show(self, item: Benchmark) -> None:
        if self._watch and self._format == "json":
            output.write(as_line(envelope("benchmarks", (item,), (), now())))
        elif self._watch:
            output.say(self._line(item))
        elif self._live:
            output.talk_in_place(self._line(item))

    def clear(self) -> None:
        if self._live:
            output.talk_in_place("")

    def _line(self, item: Benchmark) -> str:
        rate = "" if item.bandwidth_gbps is None else f"  {item.bandwidth_gbps:,.1f} Gb/s"
        done = "" if item.progress is None or item.state != "running" else f"  {100 * item.progress:.0f} %"
        what = f"{place(item)}  {item.operation} {size(item.size_bytes)}"
        return f"{what}  {item.state}{done}{rate}"


def _problem(item: Benchmark) -> Problem | None:
    """What could not be measured; a verdict of `fail` is an answer, not a problem."""
    if item.state != "failed" or item.verdict == "fail":
        return None
    where = f"benchmarks/{place(item) or item.id}"
    return Problem(source=where, message=item.error or item.reason or "the run failed", hint=None)


def _text(found: argparse.Namespace, items: Sequence[Benchmark], errors: Sequence[Problem]) -> bytes | str:
    if found.format == "name":
        return as_names("benchmarks", items)
    if found.format in ("json", "yaml"):
        whole = envelope("benchmarks", items, errors, now())
        return as_yaml(whole) if found.format == "yaml" else as_line(whole) if found.watch else as_json(whole)
    look = output.look(not found.no_headers)
    columns = COLUMNS["benchmarks"]
    if found.format == "wide":
        return table(items, columns, look._replace(width=None))
    text = table(items, [column for column in columns if not column.wide], look)
    return text + "".join(
        f"{place(item)} {size(item.size_bytes)}: {item.reason}\n" for item in items if _needs_reason(item)
    )


def _needs_reason(item: Benchmark) -> bool:
    """What could not be measured at all is told among the errors."""
    return item.reason is not None and item.verdict != "pass" and (item.state == "done" or item.verdict == "fail")


def exit_code(ran: Ran, strict: bool) -> int:
    """The contract's order: interrupted, nothing reached, a failed verdict, a partial answer."""
    items = ran.items
    if ran.interrupted:
        return EXIT_INTERRUPTED
    unanswered = [item for item in items if item.state != "done" and item.verdict != "fail"]
    if len(unanswered) == len(items):
        return EXIT_UNREACHABLE
    if any(item.verdict == "fail" or (strict and item.verdict == "warn") for item in items):
        return EXIT_FAILED
    return EXIT_PARTIAL if unanswered or ran.errors else EXIT_OK
