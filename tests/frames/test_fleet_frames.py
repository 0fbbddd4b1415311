"""Plain-text frames of the cluster's screens at several sizes against golden files."""

from __future__ import annotations

from typing import Any

import pytest

from tests.frames.play import played, text
from tests.frames.scripted import START, at
from tests.frames.scripted_fleet import (
    AWAY,
    FORBIDDEN,
    ScriptedFleet,
    bare_fleet,
    fleet,
    healthy_fleet,
    sick_fleet,
)
from tests.frames.test_frames import SIZES, compare
from tui.sources.base import Outage
from tui.theme import ASCII, MONOCHROME, Theme

FLEETS: dict[str, list[Any]] = {
    "healthy": [healthy_fleet(second) for second in range(-90, 1)],
    "sick": [sick_fleet(second) for second in range(-30, 1)],
    "bare": [bare_fleet()],
    "away": [sick_fleet(-30), sick_fleet(-30)._replace(notices=AWAY)],
    "forbidden": [fleet((), notices=FORBIDDEN, installed=None)],
    "outage": [Outage("no usable kubeconfig: no context prod", at(0), "kubectl config get-contexts")],
    "waiting": [],
    "uninstalled": [healthy_fleet()._replace(installed=False)],
}
SCREENS: dict[str, tuple[str, tuple[str, ...]]] = {
    "fleet-healthy": ("healthy", ()),
    "fleet-sick": ("sick", ()),
    "fleet-bare": ("bare", ()),
    "fleet-away": ("away", ()),
    "fleet-forbidden": ("forbidden", ()),
    "fleet-outage": ("outage", ()),
    "fleet-waiting": ("waiting", ()),
    "fleet-uninstalled": ("uninstalled", ()),
    "fleet-unfolded": ("sick", ("space", "down", "down")),
    "fleet-node": ("sick", ("enter",)),
    "fleet-findings": ("sick", ("2", "down")),
    "fleet-runs": ("sick", ("6",)),
    "fleet-events": ("sick", ("7",)),
    "fleet-contexts": ("sick", (":", *"ctx", "enter")),
    "fleet-help": ("sick", ("?",)),
    "fleet-paused": ("sick", ("Z",)),
    "fleet-filter": ("sick", ("/", *"gpu-04", "enter")),
    "fleet-completion": ("sick", (":", *"node gpu-01")),
}


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("screen", SCREENS)
async def test_frame(screen: str, size: tuple[int, int]) -> None:
    name, keys = SCREENS[screen]
    session = await played(FLEETS[name], keys, size, source=ScriptedFleet())
    compare(f"{screen}-{size[0]}x{size[1]}", text(session))


@pytest.mark.parametrize("screen", ["fleet-sick", "fleet-bare", "fleet-unfolded"])
async def test_frame_without_colour_and_utf8(screen: str) -> None:
    name, keys = SCREENS[screen]
    session = await played(FLEETS[name], keys, (80, 24), Theme(ASCII, MONOCHROME), ScriptedFleet())
    frame = text(session)
    assert frame.replace("·", "").isascii()
    compare(f"{screen}-ascii", frame)


@pytest.mark.parametrize("size", [(20, 10), (20, 5), (10, 3), (3, 2), (1, 1), (400, 100)], ids=str)
@pytest.mark.parametrize("screen", SCREENS)
async def test_no_size_breaks_a_screen(screen: str, size: tuple[int, int]) -> None:
    name, keys = SCREENS[screen]
    session = await played(FLEETS[name], keys, size, source=ScriptedFleet())
    lines = session.lines()
    assert len(lines) == size[1]
    assert all(sum(len(t) for t, _ in line) == size[0] for line in lines)


def test_the_clock_of_the_frames_stands_at_the_start_of_the_script() -> None:
    assert at(0) == "2026-09-28T12:00:00.000Z"
    assert healthy_fleet().rows["gpu-001"].seen == START - 1.0
