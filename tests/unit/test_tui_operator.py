"""The Operator screen under a pilot: its keys, its progress, and what it asks of the cluster."""

from __future__ import annotations

import pytest

from tests.frames.scripted import START
from tests.frames.scripted_fleet import sick_fleet
from tests.frames.scripted_operator import ScriptedStack, sick, stack
from tests.unit.test_tui_fleet import Played
from tui.fleet_view import FleetView
from tui.operator_picture import OperatorPicture
from tui.screens.scope import OPERATOR_NODES
from tui.screens.session import Session
from tui.theme import Theme
from tui.widgets.shell import Shell


@pytest.fixture
async def play():  # type: ignore[no-untyped-def]
    played = Played([])
    played.source = ScriptedStack([sick_fleet()], pictures=(stack(sick),))
    played.session = Session(played.source, Theme())
    played.session.store.clock = lambda: START
    played.shell = Shell(played.session)
    played.copied = []  # type: ignore[attr-defined]
    async with played.shell.run_test(size=(80, 24)) as pilot:
        played.pilot = pilot
        played.session.copy = played.copied.append  # type: ignore[attr-defined]
        await played.until("operator ✗ 6/8")
        await played.keys("3")
        yield played


async def test_evidence_of_a_component_and_of_nodes(play: Played) -> None:
    frame = await play.keys("enter")
    assert "the operator says ready; it is failed" in frame
    frame = await play.keys("end")
    assert "Pods" in frame
    assert "CrashLoopBackOff" in frame
    await play.keys("escape", "tab", "down", "enter")
    assert "1 node" in play.frame
    await play.keys("end")
    assert "gpu-0007" in play.frame


async def test_tab_moves_between_the_tables(play: Played) -> None:
    await play.keys("tab", "end")
    screen = play.session.screen
    assert screen.listing.selected.states == ()  # type: ignore[attr-defined]
    await play.keys("tab")
    assert screen.listing.selected.component == "state-OFED"  # type: ignore[attr-defined]


async def test_a_click_chooses_in_either_table(play: Played) -> None:
    lines = play.frame.split("\n")
    y = next(number for number, line in enumerate(lines) if line.startswith(" ▲ gpu-0007"))
    await play.pilot.click(offset=(4, y))
    assert play.session.screen.listing.selected.nodes == ("gpu-0007",)  # type: ignore[attr-defined]
    y = next(number for number, line in enumerate(lines) if "RDMA shared plugin" in line)
    await play.pilot.click(offset=(4, y))
    assert play.session.screen.listing.selected.component == "state-RDMA-device-plugin"  # type: ignore[attr-defined]


async def test_the_log_is_that_of_the_failing_pods_last_run(play: Played) -> None:
    await play.keys("l")
    frame = await play.until("kernel headers for 5.15.0-139-generic not found")
    assert "mofed-ubuntu22.04-6f5877cd6d-ds-gpu-0003-0" in frame
    query = next(query for _, path, query in play.source.asked if path.endswith("/log"))  # type: ignore[misc]
    assert (query["previous"], query["container"]) == ("true", "mofed-container")


async def test_objects_are_shown_as_yaml(play: Played) -> None:
    await play.keys("o")
    frame = await play.until("kind: DaemonSet")
    assert "managedFields" not in frame


async def test_copy_takes_the_command_to_type_next(play: Played) -> None:
    await play.keys("y")
    assert play.copied[0].startswith("kubectl logs -n nvidia-network-operator mofed-")  # type: ignore[attr-defined]
    await play.keys("end", "y")
    assert play.copied[1] == "rdmatop get components -o wide"  # type: ignore[attr-defined]


async def test_explain_names_the_check(play: Played) -> None:
    assert "component-failed" in (await play.keys("e")).split("\n")[2]


async def test_progress_is_live(play: Played) -> None:
    play.source.told.put_nowait(stack())  # type: ignore[attr-defined]
    frame = await play.until("20 nodes alike")
    assert "✗" not in frame
    assert "operator v26.7.0  ✓ 8" in frame


async def test_its_findings_stand_among_those_of_the_nodes(play: Played) -> None:
    frame = await play.keys("2")
    assert "component-failed" in frame
    assert "link-down" in frame
    await play.keys("y")
    assert "kubectl logs" in play.copied[-1]  # type: ignore[attr-defined]


async def test_a_pause_holds_the_stack_too() -> None:
    view = FleetView(clock=lambda: START)
    view.apply(sick_fleet())
    first, second = stack(sick), stack()
    view.take_operator(first)
    view.pause()
    view.take_operator(second)
    assert view.operator is first
    view.resume()
    assert view.operator is second


def test_a_large_cluster_is_read_when_its_screen_is_opened() -> None:
    asked: list[str] = []

    class Large(ScriptedStack):
        async def operator(self):  # type: ignore[no-untyped-def, override]
            asked.append("asked")
            yield stack()

    def spawn(coroutine):  # type: ignore[no-untyped-def]
        spawned.append(coroutine.__qualname__)
        coroutine.close()
        return object()

    spawned: list[str] = []
    session = Session(Large(), Theme(), spawn=spawn)
    session.apply(sick_fleet(count=OPERATOR_NODES + 1))
    assert not any("operator" in name for name in spawned)
    session.press("3")
    assert any("operator" in name for name in spawned)


def test_nodes_that_are_alike_are_one_row_at_any_size() -> None:
    large = stack(sick, 1000)
    assert [len(group.nodes) for group in large.groups] == [1, 1, 998]
    assert isinstance(large, OperatorPicture)
    assert sum(len(group.nodes) for group in large.groups) == 1000
