"""What the screens cost: the first frame, a repaint of 1,000 rows with its sort, and bytes to the terminal.

Budgets: 300 ms from exec to the first characters, 10 ms CPU a repaint, and twice the bytes that the only other RDMA top
writes at 80x24 (150 a second idle, 220 under traffic). CPU against that program is measured in the lab's machine.
"""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.ratio import Ratio, at_most, median
from tests.frames.scripted import Scripted, device, port, snapshot
from tests.made_tree import MadeTree
from tui.screens.session import Session
from tui.theme import Theme
from tui.widgets.ansi import difference

ROOT = Path(__file__).resolve().parents[2]
FIRST_FRAME_MS, REPAINT_MS = 300.0, 10.0
PEER_IDLE_BYTES, PEER_TRAFFIC_BYTES = 150.0, 220.0
ROWS = 1000
TURNS = 7


def run() -> list[Ratio]:
    out = [at_most("first frame", first_frame_ms(), FIRST_FRAME_MS, "ms")]
    for width, height in ((80, 24), (200, 50)):
        cost = repaint_ms(width, height)
        out.append(at_most(f"repaint of {ROWS:,} rows, sorted, {width}x{height}", cost, REPAINT_MS, "ms"))
    idle, traffic = bytes_a_sample()
    out.append(at_most("bytes to the terminal, 2 devices idle", idle, PEER_IDLE_BYTES, "B/s", 2.0))
    out.append(at_most("bytes to the terminal, 2 devices under traffic", traffic, PEER_TRAFFIC_BYTES, "B/s", 2.0))
    return out


def first_frame_ms() -> float:
    """From just before exec to the first characters; the median of the turns."""
    with tempfile.TemporaryDirectory() as folder:
        tree = MadeTree(Path(folder) / "node-a")
        tree.device("mlx5_0")
        return median([_first_frame(str(tree.path)) for _ in range(TURNS)])


def _first_frame(tree: str) -> float:
    started = time.monotonic()
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.environ.update(TERM="xterm-256color", LANG="C.UTF-8")
        os.execv(sys.executable, [sys.executable, "-m", "tui.cli", "--root", tree])
    seen = b""
    while b"rdmatop" not in seen and time.monotonic() - started < 20:
        if select.select([terminal], [], [], 1.0)[0]:
            seen += os.read(terminal, 65536)
    took = time.monotonic() - started
    os.kill(pid, signal.SIGTERM)
    _drain(terminal)
    os.waitpid(pid, 0)
    return 1000 * took


def _drain(terminal: int) -> None:
    try:
        while os.read(terminal, 65536):
            pass
    except OSError:  # closed at the other end
        os.close(terminal)


def repaint_ms(width: int, height: int) -> float:
    """CPU of sorting, painting and comparing a frame of which every row has changed; the median of the turns."""
    names = [f"mlx5_{number}" for number in range(ROWS)]
    devices = tuple(device(name) for name in names)
    session = _session(width, height)
    costs = []
    shown = None
    for second in range(TURNS):
        rates = tuple(port(name, tx_gbps=float((7 * i + second) % 400)) for i, name in enumerate(names))
        session.apply(snapshot(second, ports=rates, devices=devices))
        listing = session.screen.listing  # type: ignore[attr-defined]
        if second == 0:
            session.press("X")
        started = time.process_time()
        listing.resort()
        lines = session.lines()
        if shown is not None:
            difference(shown, lines, session.theme)
            costs.append(1000 * (time.process_time() - started))
        shown = lines
    return median(costs)


def bytes_a_sample() -> tuple[float, float]:
    """Bytes written a second at 1 s, 80x24: nothing moving, and two ports whose rates change each second."""
    return tuple(_bytes(moving) for moving in (False, True))  # type: ignore[return-value]


def _bytes(moving: bool) -> float:
    session = _session(80, 24)
    devices = tuple(device(f"mlx5_{n}") for n in range(2))
    written, shown = 0, None
    seconds = 120
    for second in range(seconds):
        rate = 150.0 + (13 * second) % 50 / 10 if moving else 0.0
        ports = tuple(port(f"mlx5_{n}", tx_gbps=rate, rx_gbps=rate + 1) for n in range(2))
        session.apply(snapshot(second, ports=ports, devices=devices))
        lines = session.lines()
        if shown is not None:
            written += len(difference(shown, lines, session.theme).encode())
        shown = lines
    return written / seconds


def _session(width: int, height: int) -> Session:
    session = Session(Scripted(), Theme())
    session.resize(width, height)
    return session
