"""`rdmatop explain [CHECK|COUNTER]`: the knowledge behind a name, as it stands in the code."""

from __future__ import annotations

import argparse
import inspect
import textwrap
from typing import TYPE_CHECKING

from diagnostics.columns import age
from diagnostics.counters import CATALOGUE, CounterSpec, find
from diagnostics.errors import EXIT_OK, Unreachable
from tui.commands import output
from tui.commands.parser import complete_by, nearest
from tui.options import Options

if TYPE_CHECKING:
    from collections.abc import Iterable

    from diagnostics.checks.base import Check

USAGE = "[CHECK|COUNTER]"
DESCRIPTION = """Says what a check or a counter means, who says so, and what to do next.
Without a name: what there is to ask for."""
EPILOG = """examples:
  rdmatop explain                       every check, and the counters by class
  rdmatop explain link-down             a check
  rdmatop explain local_ack_timeout_err   a counter
  rdmatop explain rx_prio3_pause        one of a family

exit codes:
  0  explained
  2  the command line is wrong
  3  nothing of that name is known
"""

WIDTH = 78

CLASSES = {
    "error": "something was lost, refused or broken that sound operation does not lose",
    "congestion": "the fabric or the host held traffic back",
    "traffic": "bytes and packets that moved",
    "info": "neither good nor bad by itself",
}
LIMITS = {
    "clamp": "stays at its highest value once there, and is blind from then on",
    "wrap": "starts again at 0",
    "gauge": "says how things are now: it has no rate",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    named = parser.add_argument("name", metavar="NAME", nargs="?", help="a check (link-down) or a counter")
    complete_by(named, lambda **_: [*_checks(), *dict.fromkeys(spec.name for spec in CATALOGUE)])


def run(found: argparse.Namespace, options: Options) -> int:  # noqa: ARG001  every command takes the options
    if found.name is None:
        output.write(_contents())
        return EXIT_OK
    checks = _checks()
    if found.name in checks:
        output.write(check_text(checks[found.name]))
        return EXIT_OK
    specs = find(found.name)
    if not specs:
        raise _unknown(found.name, [*checks, *dict.fromkeys(spec.name for spec in CATALOGUE)])
    output.write("\n".join(counter_text(spec) for spec in specs))
    return EXIT_OK


def _checks() -> dict[str, Check]:
    from diagnostics.checks import REGISTRY

    return dict(REGISTRY)


def _unknown(name: str, known: Iterable[str]) -> Unreachable:
    guess = nearest(name, known)
    hint = f"did you mean {guess}? " if guess else ""
    return Unreachable(
        f"{name} is neither a check nor a counter that is known", f"{hint}rdmatop explain lists them all"
    )


def counter_text(spec: CounterSpec) -> str:
    """One row of the catalogue, in words."""
    scaled = f"; the kernel's number counts {spec.scale} of them" if spec.scale != 1 else ""
    facts = [
        ("class", f"{spec.cls}: {CLASSES[spec.cls]}"),
        ("source", spec.source),
        ("unit", spec.unit + scaled if spec.unit else "not published"),
        ("width", f"{spec.bits} bits; {LIMITS[spec.limit]}" if spec.limit in LIMITS else f"{spec.bits} bits"),
        ("origin", spec.origin or "not published"),
    ]
    lines = [spec.name, *_wrapped(spec.meaning or "Nobody has published what it means.", "  "), ""]
    for name, value in facts:
        lines += _wrapped(value, f"  {name:8}", "  " + " " * 8)
    return "\n".join(lines) + "\n"


def check_text(check: Check) -> str:
    """A check's own words: meaning, evidence, next step; then its thresholds and who publishes them."""
    lines = [f"{check.id}  ({check.layer})  {check.title}", ""]
    for paragraph in inspect.cleandoc(check.doc).split("\n\n"):
        lines += [*_wrapped(paragraph, "  "), ""]
    for each in check.thresholds:
        window = f" in {age(each.window_s)}" if each.window_s is not None else ""
        link = f", {each.link}" if each.link else ""
        lines += _wrapped(
            f"threshold {each.name}: {each.value:g} {each.unit}{window} ({each.publisher}{link})", "  ", "    "
        )
    return "\n".join(lines).rstrip() + "\n"


def _contents() -> str:
    lines = []
    checks = _checks()
    if checks:
        lines += ["checks:", *_wrapped("  ".join(checks), "  "), ""]
    for cls, why in CLASSES.items():
        names = sorted({spec.name for spec in CATALOGUE if spec.cls == cls})
        lines += [*_wrapped(f"{len(names)} counters of class {cls}: {why}", ""), *_wrapped("  ".join(names), "  "), ""]
    return "\n".join(lines)


def _wrapped(text: str, first: str, rest: str | None = None) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=first if rest is None else rest,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
