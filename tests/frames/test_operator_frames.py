"""Plain-text frames of the Operator screen."""

from __future__ import annotations

import pytest

from tests.frames.play import played, text
from tests.frames.scripted_fleet import sick_fleet
from tests.frames.scripted_operator import Kinds, ScriptedStack, sick, stack
from tests.frames.test_frames import SIZES, compare
from tui.theme import ASCII, MONOCHROME, Theme


def nothing(kinds: Kinds) -> None:
    for kind in kinds:
        if kind != "nodes":
            kinds[kind] = {}


STACKS = {
    "healthy": stack,
    "sick": lambda: stack(sick),
    "large": lambda: stack(sick, 1000),
    "absent": lambda: stack(nothing),
}
SCREENS: dict[str, tuple[str, tuple[str, ...]]] = {
    "operator-healthy": ("healthy", ("3",)),
    "operator-sick": ("sick", ("3",)),
    "operator-large": ("large", ("3",)),
    "operator-absent": ("absent", ("3",)),
    "operator-fabric": ("sick", ()),
    "operator-nodes": ("sick", ("3", "tab")),
    "operator-evidence": ("sick", ("3", "enter")),
    "operator-group": ("sick", ("3", "tab", "enter")),
    "operator-log": ("sick", ("3", "l")),
    "operator-yaml": ("sick", ("3", "o")),
}


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("screen", SCREENS)
async def test_frame(screen: str, size: tuple[int, int]) -> None:
    name, keys = SCREENS[screen]
    source = ScriptedStack(pictures=(STACKS[name](),))
    session = await played([sick_fleet()], ("down", "up", *keys), size, source=source)
    compare(f"{screen}-{size[0]}x{size[1]}", text(session))


async def test_frame_without_colour_and_utf8() -> None:
    source = ScriptedStack(pictures=(stack(sick),))
    session = await played([sick_fleet()], ("down", "3"), (80, 24), Theme(ASCII, MONOCHROME), source)
    assert text(session).replace("·", "").isascii()
    compare("operator-ascii", text(session))


@pytest.mark.parametrize("size", [(20, 10), (20, 5), (10, 3), (3, 2), (1, 1), (400, 100)], ids=str)
@pytest.mark.parametrize("screen", SCREENS)
async def test_no_size_breaks_a_screen(screen: str, size: tuple[int, int]) -> None:
    name, keys = SCREENS[screen]
    source = ScriptedStack(pictures=(STACKS["sick" if name == "large" else name](),))
    session = await played([sick_fleet()], ("down", "up", *keys), size, source=source)
    lines = session.lines()
    assert len(lines) == size[1]
    assert all(sum(len(t) for t, _ in line) == size[0] for line in lines)
