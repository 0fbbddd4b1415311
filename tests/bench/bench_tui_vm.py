"""The terminal interface on real devices, against its peer: uccl-project's rdmatop, in one boot, in turns.

Ours is `rdmatop --local`: screens and sampling in one process tree. Both at 80x24, one sample a second.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from tests.bench.ratio import CannotMeasure, Ratio, at_most, median
from tests.lab import places
from tests.lab.relay import what_is_missing

PEER = "rdmatop==0.1.33"
WITHOUT_PYTORCH = "import platform\nplatform.machine = lambda: 'armv7l'\n"
"""pip asks a source package for its metadata, and this one's wants all of PyTorch for that, but on 32-bit ARM; the
program itself is Rust alone."""
TURNS, WINDOW_S = 3, 20
SCENES = ((2, False), (2, True), (16, False))
"""(devices, whether two of them carry traffic). Devices are only ever added within a boot."""
LIMIT_S = 1800


def run() -> list[Ratio]:
    if missing := what_is_missing():
        raise CannotMeasure(missing)
    ours = str(Path(sys.executable).with_name("rdmatop"))
    lines = measured({"ours": [ours, "--local"], "peer": [str(peer_program())]})
    return [row for scene in SCENES for row in rows_of(scene, lines)]


def rows_of(scene: tuple[int, bool], lines: list[dict[str, Any]]) -> list[Ratio]:
    count, with_traffic = scene
    here = [line for line in lines if (line["devices"], line["traffic"]) == scene]

    def middle(program: str, figure: str) -> float:
        return median([line[figure] for line in here if line["program"] == program])

    where = f"{count} devices, {'traffic' if with_traffic else 'idle'}, VM"
    cpu = at_most(
        f"screens and sampling, {where}", middle("ours", "cpu_percent"), middle("peer", "cpu_percent"), "% CPU"
    )
    written = at_most(
        f"to the terminal, {where}", middle("ours", "bytes_per_s"), middle("peer", "bytes_per_s"), "B/s", 2
    )
    return [cpu, written]


def measured(programs: dict[str, list[str]]) -> list[dict[str, Any]]:
    plan = {"programs": programs, "turns": TURNS, "window_s": WINDOW_S, "scenes": SCENES}
    with tempfile.TemporaryDirectory(prefix="rdmatop-bench-") as folder:
        path = Path(folder, "plan.json")
        path.write_text(json.dumps(plan))
        command = [sys.executable, "-m", "tests.lab.vm", "--timeout", str(LIMIT_S), "--show", folder]
        command += ["--", sys.executable, "-m", "tests.lab.tui_bench.measure", str(path)]
        done = subprocess.run(command, cwd=places.PROJECT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotMeasure(f"the virtual machine gave {done.returncode}: {done.stderr[-500:]}")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    if ended := [line for line in lines if not line["alive"] or line["first_data_s"] is None]:
        raise CannotMeasure(f"a program showed no device: {ended[0]}")
    return lines


def peer_program() -> Path:
    """Built once from its published source, into the lab's folder."""
    program = places.lab_dir() / "peer" / PEER / "rdmatop"
    if program.exists():
        return program
    cargo = shutil.which("cargo")
    if cargo is None:
        raise CannotMeasure("the peer is written in Rust, and there is no cargo to build it")
    with tempfile.TemporaryDirectory(prefix="rdmatop-peer-") as folder:
        Path(folder, "sitecustomize.py").write_text(WITHOUT_PYTORCH)
        fetch = [sys.executable, "-m", "pip", "download", "-q", PEER, "--no-deps", "--no-binary", "rdmatop"]
        fetch += ["--no-build-isolation", "-d", folder]
        step(fetch, folder, {"PYTHONPATH": folder})
        (source,) = Path(folder).glob("*.tar.gz")
        with tarfile.open(source) as archive:
            archive.extractall(folder)
        (manifest,) = Path(folder).glob("*/Cargo.toml")
        step([cargo, "build", "--release", "--quiet"], str(manifest.parent))
        program.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(manifest.parent / "target/release/rdmatop", program)
    return program


def step(command: list[str], folder: str, environment: dict[str, str] | None = None) -> None:
    environment = {**os.environ, **(environment or {})}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotMeasure(f"{' '.join(command[:4])} failed: {done.stderr.strip()[-300:]}")
