"""The cluster's screens under a pilot: every key of theirs, and what they ask of the source."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.frames.play import played, press, text
from tests.frames.scripted import START, Scripted
from tests.frames.scripted_fleet import (
    AWAY,
    ScriptedFleet,
    bare_fleet,
    congested,
    fleet,
    healthy_fleet,
    names,
    port_down,
    row,
    sick_fleet,
    silent,
)
from tests.unit.test_tui_keys import TEXTUAL as NAMES
from tui.fleet_view import FleetView
from tui.keys import KEYS, keys_of
from tui.screens.fleet import SETTLE_S
from tui.screens.registry import FLEET_SCREENS
from tui.screens.session import Session
from tui.sources.base import NoFleetYet, Outage
from tui.theme import Theme
from tui.widgets.shell import Shell

ROOT = Path(__file__).resolve().parents[2]
TEXTUAL = {**NAMES, "]": "right_square_bracket", "[": "left_square_bracket"}


class Played:
    def __init__(self, items: list[Any]) -> None:
        self.source = ScriptedFleet(items)
        self.session = Session(self.source, Theme())
        self.session.store.clock = lambda: START
        self.shell = Shell(self.session)
        self.pilot: Pilot[int] = None  # type: ignore[assignment]

    async def keys(self, *keys: str) -> str:
        await self.pilot.press(*(TEXTUAL.get(key, key) for key in keys))
        await self.pilot.pause()
        return self.frame

    async def until(self, word: str) -> str:
        for _ in range(200):
            if word in self.frame:
                break
            await asyncio.sleep(0.01)
        assert word in self.frame, self.frame
        return self.frame

    @property
    def frame(self) -> str:
        return text(self.session)


@pytest.fixture
async def play():  # type: ignore[no-untyped-def]
    played = Played([sick_fleet()])
    async with played.shell.run_test(size=(80, 24)) as pilot:
        played.pilot = pilot
        await played.until("gpu-017")
        yield played


def cursor(session: Session) -> Any:
    return session.screen.listing.cursor  # type: ignore[attr-defined]


async def test_a_node_opens_with_all_its_screens_and_escape_leads_back(play: Played) -> None:
    await play.keys("down", "down", "enter")
    frame = await play.until("mlx5_3/1")
    assert "prod-h100 › gpu-042" in frame
    assert "esc back" in frame
    for digit, word in (("2", "CHECK"), ("5", "PID"), ("6", "EXPECT"), ("7", "No event"), ("1", "PORT ")):
        assert word in await play.keys(digit)
    frame = await play.keys("down", "enter")
    assert "COUNTER" in frame
    await play.keys("escape")
    frame = await play.keys("escape")
    assert "NODE " in frame
    assert cursor(play.session) == "gpu-042"
    await asyncio.sleep(0)
    assert ("close",) in play.source.nodes["gpu-042"].asked


@pytest.mark.parametrize("key", ["space", "right", "l"])
async def test_a_node_unfolds_to_its_ports_which_open_too(play: Played, key: str) -> None:
    frame = await play.keys(key)
    assert "└ mlx5_7/1" in frame
    await play.keys("down", "down", "enter")
    frame = await play.until("COUNTER")
    assert "gpu-017 › mlx5_1/1" in frame
    await play.keys("escape", "escape")
    assert cursor(play.session) == ("gpu-017", "mlx5_1", 1)
    frame = await play.keys("left")
    assert "mlx5_7/1" not in frame
    assert cursor(play.session) == "gpu-017"


async def test_space_again_and_h_fold(play: Played) -> None:
    await play.keys("space")
    assert "└" not in await play.keys("space")
    await play.keys("space", "down")
    assert "└" not in await play.keys("h")


async def test_columns_that_have_no_room_come_by_brackets(play: Played) -> None:
    assert " R0" not in play.frame
    assert " R0" in await play.keys(*(["]"] * 12))
    assert "HEALTH" in await play.keys(*(["["] * 13))


async def test_digits_and_commands_lead_to_the_fleets_screens(play: Played) -> None:
    for entry in FLEET_SCREENS:
        await play.keys(entry.digit)
        assert play.session.screen.name == entry.name
        await play.keys("1", ":", *entry.name, "enter")
        assert play.session.screen.name == entry.name


async def test_rows_on_the_screen_are_watched_once_they_have_settled(play: Played) -> None:
    await asyncio.sleep(SETTLE_S + 0.1)
    seen = play.source.watched[-1]
    assert {"gpu-017", "gpu-102", "gpu-001"} <= seen
    assert len(seen) < 20
    before = len(play.source.watched)
    await play.keys("pagedown", "pagedown", "pagedown")
    await asyncio.sleep(SETTLE_S + 0.2)
    assert len(play.source.watched) - before <= 2
    assert "gpu-017" not in play.source.watched[-1]
    await play.keys("enter")
    await asyncio.sleep(SETTLE_S + 0.2)
    assert play.source.watched[-1] == set()


async def test_benchmark_opens_the_node_and_the_form(play: Played) -> None:
    await play.keys("space", "down", "b")
    assert "mlx5_0/1" in play.frame
    assert "Loopback benchmark" in play.frame
    await play.keys("enter")
    assert any(asked[0] == "start" for asked in play.source.nodes["gpu-017"].asked)


async def test_explain_takes_the_node_under_the_cursor(play: Played) -> None:
    assert "link-down" in await play.keys("e")
    await play.keys("escape", "down", "down", "down")
    assert "agent-missing" in (await play.keys("e")).split("\n")[2]


async def test_a_context_is_chosen_from_the_list(play: Played) -> None:
    other = ScriptedFleet([healthy_fleet()], "cluster prod-b200")
    play.session.places.other_cluster = lambda name: other if name == "prod-b200" else None
    frame = await play.keys(":", *"ctx", "enter")
    assert "● current" in frame
    await play.keys("down", "enter")
    frame = await play.until("prod-b200 · 20 nodes")
    await asyncio.sleep(0)
    assert ("close",) in play.source.asked


async def test_commands_with_names(play: Played) -> None:
    other = ScriptedFleet([healthy_fleet()], "cluster lab")
    play.session.places.other_cluster = lambda _name: other
    await play.keys(":", *"node gpu-042", "enter")
    await play.until("› gpu-042")
    await play.keys(":", *"node gpu-001", "enter")
    await play.until("› gpu-001")
    assert len(play.session.scopes) == 2
    await play.keys(":", *"node nowhere", "enter")
    assert "no node nowhere" in play.frame
    await play.keys(":", *"ctx la", "enter")
    await play.until("lab · 20 nodes")
    await play.keys(":", *"ctx nowhere", "enter")
    await play.until("no context nowhere; there are prod-h100")


async def test_a_pod_is_found_on_its_node(play: Played) -> None:
    await play.keys(":", *"pod train-0", "enter")
    frame = await play.until("filter: ml/train-0")
    assert "gpu-017 › Processes" in frame
    assert "41233" in frame
    await play.keys("escape", "escape", "escape")
    await play.keys(":", *"pod nowhere", "enter")
    await play.until("no pod nowhere")


async def test_a_namespace_narrows_processes(play: Played) -> None:
    await play.keys(":", *"ns default", "enter")
    await play.keys("enter", "5")
    assert "No process of namespace default" in play.frame
    await play.keys(":", *"ns ml", "enter")
    assert "41233" in play.frame
    await play.keys(":", *"ns -", "enter")
    assert "576" not in play.frame
    assert "64" in play.frame
    await play.keys("escape", "escape")
    await play.keys(":", *"ns", "enter")
    await play.until("ml")
    await play.keys("end", "enter")
    assert play.session.namespace == "ml"


async def test_completion_knows_contexts_nodes_pods_and_namespaces(play: Played) -> None:
    await play.keys(":", *"ctx ")
    await play.until("prod-b200")
    await play.keys(*"prod-b", "tab")
    assert ":ctx prod-b200" in play.frame
    await play.keys("escape", ":", *"pod ")
    await play.until("ml/train-1")
    await play.keys(*"train-1", "tab")
    assert ":pod ml/train-1" in play.frame
    await play.keys("escape", ":", *"ns ")
    await play.until("default")
    await play.keys("escape", ":", *"node gpu-12")
    assert "gpu-126" in play.frame


async def test_what_kubernetes_refuses_is_said(play: Played) -> None:
    play.source.refused = 'pods is forbidden: User "eve" cannot list resource "pods"'
    await play.keys(":", *"pod train-0", "enter")
    await play.until("pods is forbidden")
    await play.keys("7")
    await play.until("Kubernetes' own could not be read")


async def test_findings_are_acknowledged_by_the_nodes_agent(play: Played) -> None:
    asked: list[str] = []

    async def acknowledge(finding: str) -> None:
        asked.append(finding)

    play.source.node("gpu-017").acknowledge = acknowledge  # type: ignore[attr-defined]
    await play.keys("2", "a")
    assert asked == ["link-down/mlx5_3"]
    await play.keys("down", "down", "a")
    assert "no agent that could note it" in play.frame


async def test_runs_open_the_nodes_benchmarks(play: Played) -> None:
    await play.keys("6", "enter")
    await play.until("gpu-017 › Benchmarks")


# without a terminal


async def test_rows_do_not_jump_while_only_rates_change() -> None:
    session = await played([fleet(row(name) for name in names(50))], source=ScriptedFleet())
    order = list(session.screen.listing.order)  # type: ignore[attr-defined]
    session.apply(fleet(row(name, 1, item={"tx_gbps": float(hash(name) % 3000)}) for name in names(50)))
    assert session.screen.listing.order == order  # type: ignore[attr-defined]
    await press(session, "X")
    assert session.screen.listing.order != order  # type: ignore[attr-defined]
    by_rate = list(session.screen.listing.order)  # type: ignore[attr-defined]
    session.apply(fleet(row(name, 2) for name in names(50)))
    assert session.screen.listing.order == by_rate  # type: ignore[attr-defined]


async def test_what_fails_comes_to_the_top_and_the_cursor_stays_on_its_row_and_line() -> None:
    session = await played([healthy_fleet(count=100)], ["end"], source=ScriptedFleet())
    before = [y for y, line in enumerate(text(session).split("\n")) if "gpu-100" in line]
    rows = [port_down(name) if name == "gpu-050" else row(name, 1) for name in names(100)]
    session.apply(fleet(rows))
    assert cursor(session) == "gpu-100"
    await press(session, "up")
    assert cursor(session) == "gpu-099"
    assert session.screen.listing.order[0] == "gpu-050"  # type: ignore[attr-defined]
    assert before


async def test_ports_of_an_open_node_follow_it() -> None:
    session = await played([sick_fleet()], ["space"], source=ScriptedFleet())
    assert "└ mlx5_3/1 ✗ down" in text(session)
    session.apply(fleet([row("gpu-017", 1), row("gpu-018", 1)]))
    assert "✗" not in text(session).split("\n", 1)[1]
    session.apply(fleet([row("gpu-018", 2)]))
    assert "└" not in text(session)


async def test_sums_follow_every_change() -> None:
    view = FleetView(clock=lambda: START)
    pictures = [sick_fleet(), healthy_fleet(count=128), bare_fleet(), sick_fleet(5), fleet(())]
    for picture in pictures:
        view.apply(picture)
        fresh = FleetView(clock=lambda: START)
        fresh.apply(picture)
        assert view.tally() == fresh.tally()
        assert view.faults == fresh.faults
        assert view.groups == fresh.groups
        assert view.findings == fresh.findings


async def test_events_tell_what_changed_and_not_what_was_there() -> None:
    view = FleetView(clock=lambda: START)
    view.apply(fleet([row("a"), row("b"), row("c")]))
    assert not view.events
    view.apply(fleet([silent("a"), congested("b"), row("d")]))
    told = [(event.node, event.kind, event.message) for event in view.events]
    assert ("c", "ended", "the node is no longer in the cluster") in told
    assert ("d", "started", "the node has come") in told
    assert any(node == "a" and kind == "started" and "CrashLoopBackOff" in words for node, kind, words in told)
    assert any(node == "b" and "healthy, now warning" in words for node, _, words in told)
    view.apply(fleet([row("a", 1), row("b", 1, boot_id="c"), row("d", 1)]))
    words = [event.message for event in view.events]
    assert "its agent speaks again" in words
    assert "the node has booted" in words


async def test_an_api_server_that_is_away_and_comes_back_is_no_event_of_a_node() -> None:
    view = FleetView(clock=lambda: START)
    view.apply(fleet([silent("a"), row("b")]))
    view.apply(fleet([row("a", 1), row("b", 1)], notices=AWAY))
    view.apply(fleet([silent("a"), row("b", 2)]))
    assert not view.events
    view.apply(fleet([row("a", 3), silent("b")]))
    assert {(event.node, event.kind) for event in view.events} == {("a", "ended"), ("b", "started")}


async def test_a_pause_holds_the_picture_and_its_ages() -> None:
    session = await played([healthy_fleet()], ["Z"], source=ScriptedFleet())
    session.store.clock = lambda: START + 100
    session.apply(fleet([port_down("gpu-001")]))
    assert "paused at 12:00:00" in text(session)
    assert "20 nodes" in text(session)
    await press(session, "Z")
    assert "1 node " in text(session)


async def test_an_outage_leaves_the_picture_and_lists_that_are_away_are_one_sentence() -> None:
    session = await played([healthy_fleet()], source=ScriptedFleet())
    session.apply(Outage("the token has expired", "2026-09-28T12:00:05.000Z"))
    assert "no data since 12:00:05: the token has expired" in text(session)
    assert "gpu-001" in text(session)
    session.apply(healthy_fleet()._replace(notices=AWAY))
    assert text(session).count("the API server does not answer since 11:59:30") == 1


async def test_the_first_frame_is_a_clusters_before_there_is_one() -> None:
    session = await played([], source=NoFleetYet("cluster prod"))
    frame = text(session)
    assert "Asking cluster prod" in frame
    assert "6 Benchmarks" in frame
    assert [item async for item in session.source.fleet()] == []


async def test_faults_only_and_filter_over_a_fleet() -> None:
    session = await played([sick_fleet()], ["ctrl+z"], source=ScriptedFleet())
    assert session.screen.listing.order == ["gpu-017", "gpu-077", "gpu-042", "gpu-101", "gpu-102"]  # type: ignore[attr-defined]
    session.apply(fleet(row(name, 1) if name != "gpu-042" else congested(name, 1) for name in names(128)))
    assert session.screen.listing.order == ["gpu-042"]  # type: ignore[attr-defined]
    await press(session, "escape", "/", *"crashloop", "enter")
    assert session.screen.listing.order == []  # type: ignore[attr-defined]
    session.apply(sick_fleet(2))
    assert session.screen.listing.order == ["gpu-101"]  # type: ignore[attr-defined]


def test_no_key_means_two_things_on_a_fleets_screen() -> None:
    for screen in [*(entry.name for entry in FLEET_SCREENS), "choices"]:
        keys = [key for each in keys_of(screen) for key in each.keys]
        assert len(keys) == len(set(keys)), screen


def test_every_action_of_a_fleet_is_done_by_somebody() -> None:
    session = Session(ScriptedFleet(), Theme())
    for entry in FLEET_SCREENS:
        session.go(entry.name)
        for key in keys_of(entry.name):
            assert hasattr(session.screen, f"do_{key.action}") or hasattr(session, f"do_{key.action}"), (entry, key)
    assert {"unfold", "fold"} <= {key.action for key in KEYS}
    assert isinstance(ScriptedFleet().node("gpu-001"), Scripted)


@pytest.mark.parametrize("stand_in", ["NotYet", "NoFleetYet"])
def test_the_first_frame_needs_no_event_loop_and_no_client(stand_in: str) -> None:
    code = (
        "import sys; from tui.app import Session; from tui.sources import base; from tui.theme import Theme\n"
        f"assert len(Session(base.{stand_in}('x'), Theme()).lines()) == 24\n"
        "print([name for name in ('asyncio', 'textual', 'kubernetes', 'aiohttp') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
