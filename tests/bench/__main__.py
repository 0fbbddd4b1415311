"""python -m tests.bench [--write] [NAME...]: run tests/bench/bench_NAME.py, print each figure beside its peer.

Exit 1 when a budget is not kept. `--write` puts the table into docs/performance.md.
"""

import argparse
import importlib
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.ratio import CannotMeasure, Ratio

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- measured -->", "<!-- /measured -->"
COLUMNS = ("what", "ours", "peer", "unit", "ratio", "budget", "kept")


def names() -> list[str]:
    return sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    parser.add_argument("--json", type=Path, help="the figures as JSON into this file")
    parser.add_argument("names", nargs="*", choices=[[], *names()], metavar="NAME", help=", ".join(names()))
    options = parser.parse_args(argv)
    rows: list[Ratio] = []
    unmeasured: list[str] = []
    for name in options.names or names():
        started = time.monotonic()
        try:
            measured = measure(name)
        except CannotMeasure as error:
            unmeasured.append(f"{name}: {error}")
            print(f"{name}: not measured: {error}", file=sys.stderr, flush=True)
            continue
        rows += measured
        print(table(measured), file=sys.stderr, flush=True)
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps([row._asdict() for row in rows], indent=1))
    if options.write:
        write(rows, unmeasured)
    return 0 if all(row.ok for row in rows) else 1


def measure(name: str) -> list[Ratio]:
    run: Callable[[], list[Ratio]] = importlib.import_module(f"tests.bench.bench_{name}").run
    return run()


def table(rows: list[Ratio]) -> str:
    """As Markdown, which is readable as it is."""
    cells = [COLUMNS, *(cells_of(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(COLUMNS))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def cells_of(row: Ratio) -> tuple[str, ...]:
    kept = "yes" if row.ok else "NO"
    return (row.what, number(row.ours), number(row.peer), row.unit, f"{row.ratio:.2f}", row.bound, kept)


def number(value: float) -> str:
    """Four digits that count, thousands set apart."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def write(rows: list[Ratio], unmeasured: list[str]) -> None:
    """Between the page's two marks; where and with what it was measured stands below the table."""
    head, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, tail = rest.partition(END)
    where = f"Measured {time.strftime('%Y-%m-%d')} on {os.cpu_count()} cores, Python {platform.python_version()}."
    notes = "".join(f"\nNot measured: {line}." for line in unmeasured)
    PAGE.write_text(f"{head}{BEGIN}\n{table(rows)}\n\n{where}{notes}\n{END}{tail}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
