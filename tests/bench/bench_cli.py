"""What one answer on the command line costs, against the same interpreter that imports argparse and msgspec alone.

Whole processes, CPU by the kernel's account, in turns. Byte code is compiled before, as an installation has it.
"""

from __future__ import annotations

import compileall
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.ratio import CannotMeasure, Ratio, at_most, median
from tests.made_tree import MadeTree

ROOT = Path(__file__).resolve().parents[2]
TURNS = 25
LIMIT = 1.8


def run() -> list[Ratio]:
    command = Path(sys.executable).with_name("rdmatop")
    if not command.exists():
        raise CannotMeasure(f"{command} is missing: make setup")
    for folder in ("agent", "diagnostics", "tui"):
        compileall.compile_dir(ROOT / folder, quiet=1)
    ask = [str(command), "get", "ports", "-o", "json"]
    with tempfile.TemporaryDirectory() as folder:
        capture = eight_hcas(Path(folder) / "node")
        return [
            against("rdmatop get ports -o json, this host", [*ask, "--local"]),
            against("rdmatop get ports -o json, a tree of 8 HCAs", [*ask, "--root", str(capture)]),
        ]


def eight_hcas(folder: Path) -> Path:
    tree = MadeTree(folder)
    for number in range(8):
        tree.device(f"mlx5_{number}")
    return folder


def against(what: str, argv: list[str]) -> Ratio:
    peer = [sys.executable, "-c", "import argparse, msgspec"]
    ours_ms, peer_ms = [], []
    for turn in range(TURNS + 1):
        one, other = cpu_ms(argv), cpu_ms(peer)
        if turn:  # the first fills the caches
            ours_ms.append(one)
            peer_ms.append(other)
    return at_most(what, median(ours_ms), median(peer_ms), "ms CPU", LIMIT)


def cpu_ms(argv: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ), check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
