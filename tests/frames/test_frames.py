"""Plain-text frames: each screen at several sizes against golden files. RDMATOP_UPDATE_FRAMES=1 writes them anew."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from tests.frames.play import played, text
from tests.frames.scripted import START, at, benchmark, faulty, no_device, snapshot
from tui.sources.base import Outage
from tui.theme import ASCII, MONOCHROME, Theme

GOLDEN = Path(__file__).parent / "golden"
SIZES = ((80, 24), (200, 50), (40, 12))
HOSTS: dict[str, list[Any]] = {
    "healthy": [snapshot(second) for second in range(-90, 1)],
    "faulty": [faulty(second) for second in range(-300, 1)],
    "no-device": [no_device()],
    "waiting": [],
    "outage": [Outage("agent at /run/rdmatop/agent.sock cannot be reached", at(0), "start one: rdmatop agent")],
}
SCREENS: dict[str, tuple[str, tuple[str, ...]]] = {
    "fabric-healthy": ("healthy", ()),
    "fabric-faulty": ("faulty", ()),
    "no-device": ("no-device", ()),
    "waiting": ("waiting", ()),
    "outage": ("outage", ()),
    "port": ("faulty", ("down", "enter")),
    "findings": ("faulty", ("2", "down")),
    "processes": ("faulty", ("5",)),
    "benchmarks": ("faulty", ("6", "down")),
    "events": ("faulty", ("7",)),
    "help": ("faulty", ("?",)),
    "form": ("faulty", ("b",)),
    "explain": ("faulty", ("down", "e")),
    "paused": ("faulty", ("Z",)),
}


def compare(name: str, frame: str) -> None:
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("RDMATOP_UPDATE_FRAMES") == "1":
        path.write_text(frame, encoding="utf-8")
    assert frame == path.read_text(encoding="utf-8"), f"{name}: RDMATOP_UPDATE_FRAMES=1 writes it, look at it"


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("screen", SCREENS)
async def test_frame(screen: str, size: tuple[int, int]) -> None:
    host, keys = SCREENS[screen]
    session = await played(HOSTS[host], keys, size)
    frame = text(session)
    assert [len(line) for line in frame.split("\n")[:-1]] == [len(line.rstrip()) for line in frame.split("\n")[:-1]]
    compare(f"{screen}-{size[0]}x{size[1]}", frame)


@pytest.mark.parametrize("screen", ["fabric-faulty", "port", "benchmarks", "findings"])
async def test_frame_without_colour_and_utf8(screen: str) -> None:
    host, keys = SCREENS[screen]
    session = await played(HOSTS[host], keys, (80, 24), Theme(ASCII, MONOCHROME))
    frame = text(session)
    assert frame.isascii()
    compare(f"{screen}-ascii", frame)


@pytest.mark.parametrize("size", [(20, 10), (20, 5), (10, 3), (3, 2), (1, 1), (400, 100)], ids=str)
@pytest.mark.parametrize("screen", SCREENS)
async def test_no_size_breaks_a_screen(screen: str, size: tuple[int, int]) -> None:
    host, keys = SCREENS[screen]
    session = await played(HOSTS[host], keys, size)
    lines = session.lines()
    assert len(lines) == size[1]
    assert all(sum(len(t) for t, _ in line) == size[0] for line in lines)
    if size in ((20, 10), (20, 5)):
        compare(f"{screen}-{size[0]}x{size[1]}", text(session))


async def test_a_run_that_ends_changes_its_row() -> None:
    session = await played(HOSTS["faulty"], ("6",), (80, 24))
    assert "━" in text(session)
    session.source.rows = (benchmark(0, device="mlx5_1"),)  # type: ignore[attr-defined]
    await asyncio.sleep(0.7)
    assert "━" not in text(session)
    assert "✓ pass" in text(session)


def test_the_script_starts_at_noon() -> None:
    assert at(0) == "2026-09-28T12:00:00.000Z"
    assert START % 86400 == 43200
