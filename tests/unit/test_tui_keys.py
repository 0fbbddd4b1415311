"""Every key and the mouse, through Textual, on the scripted source."""

from __future__ import annotations

import asyncio

import pytest
from textual.pilot import Pilot

from tests.frames.play import text
from tests.frames.scripted import Scripted, faulty, snapshot
from tui.keys import EVERYWHERE, KEYS, action_of, commands, keys_of, step_interval
from tui.screens.registry import SCREENS
from tui.screens.session import Session
from tui.theme import Theme
from tui.widgets.line import plain
from tui.widgets.shell import Shell

TEXTUAL = {"/": "slash", "?": "question_mark", ":": "colon", "<": "less_than_sign", ">": "greater_than_sign"}


class Played:
    """A shell under a pilot, and what was done to its outside."""

    def __init__(self, items: list) -> None:  # type: ignore[type-arg]
        self.source = Scripted(items)
        self.session = Session(self.source, Theme())
        self.shell = Shell(self.session)
        self.files: dict[str, str] = {}
        self.copied: list[str] = []
        self.pilot: Pilot[int] = None  # type: ignore[assignment]

    async def keys(self, *keys: str) -> str:
        await self.pilot.press(*(TEXTUAL.get(key, key) for key in keys))
        await self.pilot.pause()
        return self.frame

    @property
    def frame(self) -> str:
        return text(self.session)


@pytest.fixture
async def played():  # type: ignore[no-untyped-def]
    play = Played([faulty(second) for second in range(-5, 1)])
    async with play.shell.run_test(size=(80, 24)) as pilot:
        play.pilot = pilot
        play.session.copy = play.copied.append
        play.session.write_file = play.files.__setitem__
        await pilot.pause()
        for _ in range(20):
            if play.session.store.snapshot is not None:
                break
            await asyncio.sleep(0.01)
        yield play


def cursor(play: Played) -> str:
    return play.session.screen.listing.selected.name  # type: ignore[attr-defined, no-any-return]


async def test_what_textual_paints_is_the_sessions_picture(played: Played) -> None:
    strips = played.shell.strips(0, 24)
    assert [strip.text for strip in strips] == [plain(line) for line in played.session.lines()]


async def test_arrows_and_letters_move(played: Played) -> None:
    assert cursor(played) == "mlx5_3/1"
    await played.keys("down", "j")
    assert cursor(played) == "mlx5_0/1"
    await played.keys("up", "k", "k")
    assert cursor(played) == "mlx5_3/1"
    await played.keys("end")
    assert cursor(played) == "mlx5_bond0/1"
    await played.keys("home", "pagedown")
    assert cursor(played) == "mlx5_bond0/1"
    await played.keys("pageup", "G")
    assert cursor(played) == "mlx5_bond0/1"
    await played.keys("g", "space")
    assert cursor(played) == "mlx5_bond0/1"


async def test_enter_opens_and_escape_goes_back(played: Played) -> None:
    frame = await played.keys("down", "enter")
    assert "COUNTER" in frame
    assert ("focus", "mlx5_1", 1) in played.source.asked
    assert "tab unfolds" not in frame or "traffic 2" in frame
    frame = await played.keys("escape")
    assert "PORT " in frame
    assert cursor(played) == "mlx5_1/1"


async def test_tab_unfolds_the_counters(played: Played) -> None:
    await played.keys("down", "enter", "tab", "end")
    assert "port_xmit_data" in played.frame
    await played.keys("tab", "tab")
    assert "port_xmit_data" not in played.frame


@pytest.mark.parametrize("entry", SCREENS, ids=lambda entry: entry.name)
async def test_digits_and_commands_go_to_the_screens(played: Played, entry) -> None:  # type: ignore[no-untyped-def]
    await played.keys(entry.digit)
    assert played.session.screen.name == entry.name
    await played.keys("1", ":", *entry.name, "enter")
    assert played.session.screen.name == entry.name


async def test_the_filter_narrows_as_it_is_typed_and_escape_undoes_it(played: Played) -> None:
    frame = await played.keys("/", *"mlx5_3")
    assert "mlx5_0/1" not in frame.split("in total")[0]
    assert "/mlx5_3" in frame.split("\n")[23]
    frame = await played.keys("escape")
    assert "mlx5_0/1" in frame
    frame = await played.keys("/", *"down", "enter")
    assert "filter: down" in frame
    frame = await played.keys("escape")
    assert "filter" not in frame.split("\n")[17]


async def test_ctrl_z_shows_faults_only(played: Played) -> None:
    frame = await played.keys("ctrl+z")
    assert "mlx5_0/1" not in frame
    assert "faults only" in frame
    assert "mlx5_0/1" in await played.keys("ctrl+z")


async def test_letters_sort_and_s_sorts_by_severity(played: Played) -> None:
    frame = await played.keys("V")
    assert frame.split("\n")[3].split()[0] == "mlx5_0/1"
    assert "▾" in frame.split("\n")[2]
    frame = await played.keys("V")
    assert frame.split("\n")[3].split()[0] == "mlx5_bond0/1"
    frame = await played.keys("S")
    assert frame.split("\n")[3].split()[0] == "mlx5_3/1"


async def test_pause_holds_the_picture_and_collects(played: Played) -> None:
    await played.keys("Z")
    before = played.frame
    played.source.feed(snapshot(30))
    await played.pilot.pause(0.05)
    assert played.frame == before
    assert "paused" in before
    frame = await played.keys("Z")
    assert "12:00:30" in frame


async def test_intervals(played: Played) -> None:
    await played.keys("<", "<", ">")
    assert [a for a in played.source.asked if a[0] == "interval"] == [
        ("interval", 2.0), ("interval", 5.0), ("interval", 2.0),
    ]  # fmt: skip
    assert (step_interval(0.2, -1), step_interval(60.0, 1)) == (0.2, 60.0)


async def test_save_and_copy(played: Played) -> None:
    frame = played.frame
    await played.keys("ctrl+s")
    assert played.files == {"rdmatop-fabric-120000.txt": frame}
    assert "saved as" in played.frame
    await played.keys("y")
    assert played.copied == ["rdmatop get ports -o wide"]


async def test_help_comes_from_the_table_of_keys(played: Played) -> None:
    await played.keys("?")
    played.session.resize(120, 200)
    for key in keys_of("fabric"):
        assert key.help in played.frame
    played.session.resize(80, 24)
    await played.keys("j", "k", "escape")
    assert "PORT " in played.frame


async def test_explain_says_what_a_check_means(played: Played) -> None:
    frame = await played.keys("down", "e")
    assert "congestion-fabric" in frame.split("\n")[2]
    await played.keys("escape", "2", "enter")
    assert "link-down" in played.frame.split("\n")[2]


async def test_acknowledge_and_check_are_asked_of_a_source_that_can(played: Played) -> None:
    await played.keys("2", "a")
    assert "cannot acknowledge" in played.frame
    asked: list[str] = []

    async def acknowledge(finding: str) -> None:
        asked.append(finding)

    async def check() -> None:
        asked.append("check")

    played.source.acknowledge = acknowledge  # type: ignore[attr-defined]
    played.source.check = check  # type: ignore[attr-defined]
    await played.keys("a", "x")
    assert asked == ["link-down/mlx5_3", "check"]


async def test_the_form_starts_a_benchmark_of_the_selected_port(played: Played) -> None:
    frame = await played.keys("b")
    assert "mlx5_3/1" in frame
    await played.keys("tab", "right", "tab", "ctrl+u", *"64,4Ki", "enter")
    (started,) = [a[1] for a in played.source.asked if a[0] == "start"]
    assert (started.device, started.port, started.operation, started.sizes) == ("mlx5_3", 1, "read", (64, 4096))
    await played.pilot.pause()
    assert played.session.screen.name == "benchmarks"
    await played.keys("c")
    assert ("cancel", "b0") in played.source.asked


async def test_the_form_refuses_what_cannot_be(played: Played) -> None:
    await played.keys("b", "down", "down", "ctrl+u", *"9Mi", "enter")
    assert "2 bytes to 8Mi" in played.frame
    await played.keys("escape")
    assert not [a for a in played.source.asked if a[0] == "start"]


async def test_the_mouse_selects_opens_sorts_and_scrolls(played: Played) -> None:
    await played.pilot.click(offset=(3, 5))
    assert cursor(played) == "mlx5_0/1"
    await played.pilot.click(offset=(3, 2))
    assert "▾" in played.frame.split("\n")[2]
    await played.pilot.click(offset=(14, 1))
    assert played.session.screen.name == "findings"
    await played.keys("1", "S")
    await played.pilot.click(offset=(3, 4), times=2)
    assert played.session.screen.name == "port"
    played.shell.scroll(3)
    await played.pilot.click(offset=(2, 23))
    assert played.session.screen.name == "fabric"


async def test_resize_paints_the_new_size(played: Played) -> None:
    await played.pilot.resize_terminal(200, 50)
    await played.pilot.pause()
    assert "NUMA" in played.frame
    await played.pilot.resize_terminal(20, 5)
    await played.pilot.pause()
    assert [len(strip.text) for strip in played.shell.strips(0, 5)] == [20] * 5


@pytest.mark.parametrize(("key", "code"), [("q", 0), ("ctrl+c", 130), ("ctrl+q", 0)])
async def test_ways_out(key: str, code: int) -> None:
    play = Played([faulty()])
    async with play.shell.run_test(size=(80, 24)) as pilot:
        await pilot.press(key)
    assert play.shell.return_value == code
    assert ("close",) in play.source.asked


def test_no_key_means_two_things_on_a_screen() -> None:
    for screen in [*(e.name for e in SCREENS), "port"]:
        keys = [key for row in keys_of(screen) for key in row.keys]
        assert len(keys) == len(set(keys)), screen
    assert action_of("port", "enter") is None
    assert {k.action for k in KEYS if k.where == (EVERYWHERE,)} >= {"quit", "help", "pause", "back"}


def test_every_action_is_done_by_somebody() -> None:
    session = Session(Scripted(), Theme())
    for entry in SCREENS:
        session.go(entry.name)
        for key in keys_of(entry.name):
            assert hasattr(session.screen, f"do_{key.action}") or hasattr(session, f"do_{key.action}"), (entry, key)
    assert len({c.name for c in commands([])}) == len(commands([]))
