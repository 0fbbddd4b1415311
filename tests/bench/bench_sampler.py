"""What a sample of a node costs: 8 HCAs of 60 counters each, in memory, all counters moving; the slow loop; memory.

At most 1 % of a core at one sample a second; bench_rates has what one counter costs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from agent.sampler import Sampler
from diagnostics.counters import CATALOGUE
from tests.bench import Ratio
from tests.made_tree import MadeTree

HCAS, COUNTERS = 8, 60
TURNS = 60
TICK_MS = 10.0
"""1 % of a core at one a second."""
MEMORY_MIB = 12.0
IMPORT_MS = 15.0


def run() -> list[Ratio]:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        made = make(Path(folder) / "node")
        sampler = Sampler(str(made.path))
        sampler.refresh()
        sampler.tick()
        found = [
            quiet_and_moving(sampler, made, "nothing", lambda: sampler.snapshot("none")),
            quiet_and_moving(sampler, made, "every counter", lambda: sampler.snapshot("none")),
            quiet_and_moving(sampler, made, "every counter", sampler.snapshot),
            at_most("the slow loop, every 30 s", cpu_ms(sampler.refresh, lambda: None), 30 * TICK_MS, "ms CPU"),
            memory(sampler),
        ]
        sampler.close()
    return [*found, importing()]


def at_most(what: str, ours: float, budget: float, unit: str) -> Ratio:
    return Ratio(what, ours, budget, unit, ours / budget, 1.0, ours <= budget)


def make(path: Path) -> MadeTree:
    """Devices with the counter names of mlx5, in both folders."""
    made = MadeTree(path)
    counters = [spec.name for spec in CATALOGUE if spec.source == "counters" and "{" not in spec.name][:21]
    others = [spec.name for spec in CATALOGUE if spec.source == "hw_counters" and "{" not in spec.name]
    for number in range(HCAS):
        made.device(f"mlx5_{number}")
        made.pci(f"mlx5_{number}", f"pci0000:{number:02x}/0000:{number:02x}:01.0/0000:{number + 64:02x}:00.0")
        for name in ("counters", "hw_counters"):
            made.remove(f"{made.port_folder(f'mlx5_{number}')}/{name}")
        folder = made.port_folder(f"mlx5_{number}")
        for place, name in enumerate(counters):
            made.write(f"{folder}/counters/{name}", 1000 + place)
        for place, name in enumerate(others[: COUNTERS - len(counters)]):
            made.write(f"{folder}/hw_counters/{name}", 1000 + place)
    return made


def move(made: MadeTree, turn: int) -> None:
    for number in range(HCAS):
        folder = made.path / made.port_folder(f"mlx5_{number}")
        for name in ("counters", "hw_counters"):
            for file in os.scandir(folder / name):
                with open(file.path, "r+") as opened:
                    opened.write(f"{1000 + turn * 3}\n")


def cpu_ms(work: Callable[[], object], between: Callable[[], object]) -> float:
    """CPU of the whole process a call, threads included; the lower quartile of many turns, since others share the
    machine."""
    found = []
    for _ in range(TURNS):
        between()
        time.sleep(0.003)
        start = time.process_time_ns()
        work()
        found.append((time.process_time_ns() - start) / 1e6)
    return sorted(found)[TURNS // 4]


def quiet_and_moving(sampler: Sampler, made: MadeTree, what: str, snapshot: Callable[[], object]) -> Ratio:
    turn = iter(range(1, 1 << 30))
    between = (lambda: move(made, next(turn))) if what != "nothing" else (lambda: None)

    def sample() -> None:
        sampler.tick()
        snapshot()

    ours = cpu_ms(sample, between)
    held = "all counters in it" if snapshot == sampler.snapshot else "no counters in it"
    return at_most(
        f"a sample of {HCAS} x {COUNTERS} counters, {what} moves, snapshot with {held}", ours, TICK_MS, "ms CPU"
    )


def memory(sampler: Sampler) -> Ratio:
    """Of the ring of ten minutes and the hour."""
    size = sum(
        len(value) * value.itemsize
        for track in sampler.history._tracks.values()
        for ring in (track.fine, track.coarse)
        for value in vars(ring).values()
        if hasattr(value, "itemsize")
    )
    return at_most("history of all counters, 600 points", size / (1 << 20), MEMORY_MIB, "MiB")


def importing() -> Ratio:
    """The sampler beside what every command imports anyway."""
    program = (
        "import time, typing, threading, diagnostics.model; start = time.process_time_ns();"
        "import agent.sampler; print((time.process_time_ns() - start) / 1e6)"
    )
    with tempfile.TemporaryDirectory() as folder:
        # with compiled files, as an installed command has them
        env = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        turns = [float(subprocess.check_output([sys.executable, "-c", program], env=env)) for _ in range(8)]
    return at_most("import of the sampler", min(turns), IMPORT_MS, "ms CPU")
