"""What a cluster on the screen costs: a repaint with its sort, a key while all nodes update, CPU and memory by size.

Each against what is allowed, and the repaint also against Textual's own DataTable. Medians of turns.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from pathlib import Path

from textual.app import App, ComposeResult
from textual.widgets import DataTable

from tests.bench.fleet_child import another
from tests.bench.ratio import Ratio, at_most, median
from tests.frames.scripted_fleet import ScriptedFleet, fleet, port_down, row
from tui.screens.session import Session
from tui.theme import Theme
from tui.widgets.ansi import difference

ROOT = Path(__file__).resolve().parents[2]
NODES = 5000
CHANGED = 25
"""Of one picture: 5,000 heartbeats a minute and a screen of rows a second, in four pictures a second."""
TURNS = 15
REPAINT_MS, KEY_MS, FLAT, RSS_MIB = 10.0, 50.0, 1.3, 250.0
KEYS = 60
SETTLE_S, WATCH_S = 4.0, 12.0
WIDTH, HEIGHT = 120, 40


def run() -> list[Ratio]:
    few = repaint_ms()
    out = [
        at_most(f"repaint of {NODES:,} nodes, sort included", few, REPAINT_MS, "ms"),
        at_most(f"repaint of {NODES:,} nodes, sort included, beside DataTable", few, asyncio.run(datatable_ms()), "ms"),
        at_most("key to frame while 1,000 nodes update, p95", key_ms(1000), KEY_MS, "ms"),
    ]
    small, _ = watch(100)
    large, rss = watch(NODES)
    out.append(at_most(f"CPU of the same screen, {NODES:,} nodes against 100", large, small, "% of a core", FLAT))
    out.append(at_most(f"memory with {NODES:,} nodes", rss, RSS_MIB, "MiB"))
    return out


def repaint_ms() -> float:
    """CPU of taking a picture in which `CHANGED` nodes are others and one has failed, sorting, painting, comparing."""
    names = [f"node-{number:04d}" for number in range(NODES)]
    rows = {name: row(name) for name in names}
    session = Session(ScriptedFleet(), Theme())
    session.resize(WIDTH, HEIGHT)
    session.apply(fleet(rows.values()))
    session.press("X")
    shown = session.lines()
    costs = []
    for turn in range(TURNS):
        rows = dict(rows)
        for name in names[:CHANGED]:
            rows[name] = another(rows[name], turn)
        rows[names[-1 - turn]] = port_down(names[-1 - turn])
        picture = fleet(rows.values(), turn)
        started = time.process_time()
        session.apply(picture)
        session.screen.listing.resort()  # type: ignore[attr-defined]
        lines = session.lines()
        difference(shown, lines, session.theme)
        costs.append(1000 * (time.process_time() - started))
        shown = lines
    return median(costs)


class Table(App[None]):
    def compose(self) -> ComposeResult:
        yield DataTable()


async def datatable_ms() -> float:
    """The same with Textual's own table: as many rows changed, all sorted by a column, painted."""
    app, costs = Table(), []
    async with app.run_test(size=(WIDTH, HEIGHT)) as pilot:
        table = app.query_one(DataTable)
        columns = table.add_columns(
            "NODE", "HEALTH", "PORTS", "RATE", "TX", "RX", "ERR", "CNP", "DRIVER", "BENCH", "AGE"
        )
        for number in range(NODES):
            cells = (f"node-{number:04d}", "healthy", "8/8", "400G", float(number), 0.0, 0, 0, "24.10", "98 %", "1s")
            table.add_row(*cells, key=str(number))
        await pilot.pause()
        for turn in range(TURNS):
            started = time.process_time()
            for number in range(CHANGED):
                table.update_cell(str(number), columns[4], float((turn * 37 + number) % 3000))
            table.sort(columns[4])
            table.refresh()
            await pilot.pause()
            costs.append(1000 * (time.process_time() - started))
    return median(costs)


class Child:
    """The screens in a process of their own, on a pseudo terminal."""

    def __init__(self, nodes: int, what: str) -> None:
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(ROOT)
            os.environ.update(TERM="xterm-256color", LANG="C.UTF-8")
            os.execv(sys.executable, [sys.executable, "-m", "tests.bench.fleet_child", str(nodes), what])
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
        self.until(b"node-0001", 30.0)

    def until(self, word: bytes, seconds: float) -> float:
        """Seconds until the child wrote `word`."""
        started, seen = time.monotonic(), b""
        while word not in seen:
            left = started + seconds - time.monotonic()
            assert left > 0, f"no {word!r}"
            if select.select([self.terminal], [], [], left)[0]:
                seen = seen[-64:] + os.read(self.terminal, 65536)
        return time.monotonic() - started

    def idle(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self.terminal], [], [], left)[0]:
                os.read(self.terminal, 65536)

    def cpu_s(self) -> float:
        """Of all its threads, to the nanosecond: ticks of 10 ms are a tenth of what is measured here."""
        total = 0
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{task}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
        return total / 1e9

    def rss_mib(self) -> float:
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    def end(self) -> None:
        os.kill(self.pid, signal.SIGTERM)
        try:
            while os.read(self.terminal, 65536):
                pass
        except OSError:  # closed at the other end
            os.close(self.terminal)
        os.waitpid(self.pid, 0)


def key_ms(nodes: int) -> float:
    """95th percentile from a key to the frame that it makes: the help comes and goes while every node updates."""
    child = Child(nodes, "all")
    try:
        child.idle(SETTLE_S)
        took = []
        for number in range(KEYS):
            child.idle(0.05 + 0.013 * (number % 17))
            os.write(child.terminal, b"?")
            took.append(1000 * child.until(b"NODE" if number % 2 else b"Sort by", 5.0))
    finally:
        child.end()
    return sorted(took)[int(0.95 * len(took))]


def watch(nodes: int) -> tuple[float, float]:
    """(percent of a core, MiB) of a screen that is looked at while the cluster does what clusters do."""
    child = Child(nodes, "designed")
    try:
        child.idle(SETTLE_S)
        before, started = child.cpu_s(), time.monotonic()
        child.idle(WATCH_S)
        return 100 * (child.cpu_s() - before) / (time.monotonic() - started), child.rss_mib()
    finally:
        child.end()
