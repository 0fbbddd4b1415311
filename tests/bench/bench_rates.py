"""What a counter costs from its file to its rate, and what looking up and rating cost alone, in CPU.

The files are the kernel's own where it has a netdev (24 of the loopback device, made on each read as counters are), and
ordinary ones in memory for the names of a real port. The peer is a reader that opens each file anew, as exporters do.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial

from agent.readers.files import CounterFiles
from agent.readers.root import Root
from diagnostics.counters import CATALOGUE, CounterSpec, spec_of
from diagnostics.rates import Block, rates
from tests.bench.ratio import Ratio, at_most

KERNEL_FILES = "sys/class/net/lo/statistics"
TURNS = 15
SAMPLES = 200
READ_US, RATE_US, IMPORT_MS = 2.0, 0.5, 3.0


def run() -> list[Ratio]:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        found = [compare("in memory", Root(folder), "port", make_port(folder))]
    if os.path.isdir(f"/{KERNEL_FILES}"):
        found.append(compare("of the kernel", Root("/"), KERNEL_FILES, tuple(sorted(os.listdir(f"/{KERNEL_FILES}")))))
    return [*found, *rating(), importing()]


def port_rows() -> list[CounterSpec]:
    """What a mlx5 port shows: PMA and Q counters."""
    return [spec for spec in CATALOGUE if spec.source == "counters" or "Q counter" in spec.origin]


def make_port(folder: str) -> tuple[str, ...]:
    """The files of a mlx5 port with every feature."""
    names = tuple(sorted(spec.name for spec in port_rows()))
    os.mkdir(f"{folder}/port")
    for number, name in enumerate(names):
        with open(f"{folder}/port/{name}", "w") as file:
            file.write(f"{number * 7919 + 1}\n")
    return names


def cpu_us(work: Callable[[], object]) -> float:
    """CPU of one call, the least of several turns: what others take of the machine is not ours."""
    least = float("inf")
    for _ in range(TURNS):
        start = time.process_time_ns()
        for _ in range(SAMPLES):
            work()
        least = min(least, time.process_time_ns() - start)
    return least / SAMPLES / 1e3


def compare(what: str, root: Root, folder: str, names: tuple[str, ...]) -> Ratio:
    files = CounterFiles(root, folder, names)
    specs = tuple(spec_of(name, "counters") for name in names)
    before = Block(specs, files.read(), time.monotonic_ns())

    def from_file_to_rate() -> None:
        nonlocal before
        after = Block(specs, files.read(), time.monotonic_ns())
        rates(before, after, 400.0)
        before = after

    def open_each() -> list[int]:
        found = []
        for name in names:
            with open(f"{root.path}/{folder}/{name}") as file:
                found.append(int(file.read()))
        return found

    ours, peer = cpu_us(from_file_to_rate) / len(names), cpu_us(open_each) / len(names)
    files.close()
    what = f"a counter from file to rate, {len(names)} files {what}, against opening each (budget {READ_US:g} us)"
    return at_most(what, ours, peer, "us CPU", READ_US / peer)


def rating() -> list[Ratio]:
    """Rates alone, of a port where nothing and one where everything moves."""
    specs = tuple(spec_of(spec.name, spec.source) for spec in port_rows())
    old = Block(specs, [1000 + 7 * number for number in range(len(specs))], 0)
    found = []
    for what, step in (("idle", 0), ("moving", 5)):
        new = Block(specs, [(value or 0) + step for value in old.values], 10**9)
        ours = cpu_us(partial(rates, old, new, 400.0)) / len(specs)
        found.append(at_most(f"rating one counter, {what}", ours, RATE_US, "us CPU"))
    return found


def importing() -> Ratio:
    """The catalogue beside what every command imports anyway, with the rows a plain port needs."""
    program = (
        "import time, typing, functools, importlib, diagnostics.model; start = time.process_time_ns();"
        "from diagnostics.counters import spec_of;"
        "spec_of('port_xmit_data', 'counters'); spec_of('out_of_buffer', 'hw_counters');"
        "print((time.process_time_ns() - start) / 1e6)"
    )
    with tempfile.TemporaryDirectory() as bytecode:  # an installed package has its bytecode beside it
        kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        environment = kept | {"PYTHONPYCACHEPREFIX": bytecode}
        ours = min(float(subprocess.check_output([sys.executable, "-c", program], env=environment)) for _ in range(7))
    return at_most("import of the catalogue and the rows of a mlx5 port", ours, IMPORT_MS, "ms CPU")
