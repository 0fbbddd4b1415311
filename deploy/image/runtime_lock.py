"""The part of requirements.lock that the project needs to run, and to build its wheel: not the tests' and linters'.

`runtime_lock.py requirements.lock` prints it, hashes included. uv's lock says who wants a package in `# via` lines.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

PROJECT = "kubectl-rdmatop (pyproject.toml)"
BUILD = ("setuptools",)
"""Nobody wants it by name: the `-` that the lock is made from is the build system's."""


class Locked(NamedTuple):
    """One requirement: its lines, and the names after `via`."""

    name: str
    lines: tuple[str, ...]
    wanted_by: frozenset[str]


def parse(text: str) -> list[Locked]:
    found: list[Locked] = []
    for block in re.split(r"(?m)^(?=[a-z0-9])", text)[1:]:
        lines = block.splitlines()
        wanted_by = (line.strip(" #").removeprefix("via").strip() for line in lines if line.lstrip().startswith("#"))
        kept = tuple(line for line in lines if not line.lstrip().startswith("#"))
        found.append(Locked(lines[0].partition("==")[0], kept, frozenset(filter(None, wanted_by))))
    return found


def runtime(text: str) -> list[Locked]:
    """In the lock's order."""
    locked = parse(text)
    names: set[str] = set()
    reached = {PROJECT}
    while reached:
        reached = {each.name for each in locked if each.wanted_by & reached} - names
        names |= reached
    return [each for each in locked if each.name in names or each.name in BUILD]


def main() -> None:
    for each in runtime(Path(sys.argv[1]).read_text()):
        sys.stdout.write("\n".join(each.lines) + "\n")


if __name__ == "__main__":
    main()
