"""What lasts: hysteresis, ids, acknowledgement, events, order, health, restart; no check breaks the rest."""

from __future__ import annotations

import json
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnostics.checks import REGISTRY
from diagnostics.checks.base import Check, Raised, State
from diagnostics.checks.engine import Judge
from diagnostics.checks.lifecycle import Lifecycle
from diagnostics.checks.order import ordered
from diagnostics.model import Event, Finding, NodeSnapshot, Severity
from tests.unit.made_node import Rises, counters, device, down, port, roce, snapshot

HOLD_S = 10.0
CHECK = REGISTRY["link-down"]._replace(clear_s=HOLD_S)
SEVERITY: list[Severity] = ["critical", "warning", "info"]


def raised(severity: Severity = "warning", key: str = "") -> Raised:
    return Raised(severity, f"it is {severity}", "mlx5_0", 1, key=key)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from(SEVERITY), st.floats(0.2, 7.0)), min_size=1, max_size=80))
def test_no_finding_flips_faster_than_its_hold(samples: list[tuple[bool, Severity, float]]) -> None:
    """It starts at once, ends only after a hold without its condition, and falls in severity as slowly."""
    life, clock, last_raised, last_bad = Lifecycle(), 0.0, -1e9, dict.fromkeys(SEVERITY, -1e9)
    standing = False
    for is_raised, severity, gap in samples:
        clock += gap
        if is_raised:
            last_raised = last_bad[severity] = clock
        found, events = life.step("n", [(CHECK, raised(severity))] if is_raised else [], clock, clock)
        kinds = [event.kind for event in events]
        assert ("started" in kinds) == (is_raised and not standing)
        standing = bool(found)
        assert standing == (clock - last_raised < HOLD_S)
        assert ("ended" in kinds) <= (not standing)
        if standing and is_raised:
            recent = [each for each in SEVERITY if clock - last_bad[each] < HOLD_S]
            assert found[0].finding.severity == recent[0]
        if not standing:
            last_bad = dict.fromkeys(SEVERITY, -1e9)


@settings(max_examples=100)
@given(st.lists(st.booleans(), min_size=10, max_size=200))
def test_events_of_a_flickering_condition_are_few(condition: list[bool]) -> None:
    life, events = Lifecycle(), 0
    for second, is_raised in enumerate(condition):
        events += len(life.step("n", [(CHECK, raised())] if is_raised else [], float(second), float(second)).events)
    assert events <= 2 * (len(condition) / HOLD_S + 1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["ACTIVE", "DOWN", "INIT"]), min_size=2, max_size=60), st.booleans())
def test_port_that_jumps_about_is_told_a_bounded_number_of_times(states: list[str], ethernet: bool) -> None:
    judge, events, losses = Judge(), [], 0
    before = None
    for second, state in enumerate(states):
        made = roce("mlx5_0", state=state) if ethernet else port("mlx5_0", state=state)
        node = snapshot([made, port("mlx5_1"), port("mlx5_2")])
        found, new = judge.step(node, Rises({}) if second else None, float(second), float(second))
        events += [event for event in new if event.device == "mlx5_0"]
        losses += before == "ACTIVE" and state != "ACTIVE"
        before = state
        checks = {finding.check for finding in found.findings}
        assert ("link-flap" in checks) == (losses >= 3)
    starts = [event for event in events if event.kind == "started" and event.check in ("link-down", "link-not-active")]
    assert len(starts) <= 2 * (len(states) / HOLD_S + 1)


# Ids, since, acknowledgement


def story(
    judge: Judge, *nodes: NodeSnapshot, start: float = 0.0, step_s: float = 1.0
) -> tuple[tuple[Finding, ...], list[Event]]:
    events: list[Event] = []
    found: tuple[Finding, ...] = ()
    for number, node in enumerate(nodes):
        at = start + number * step_s
        judged, new = judge.step(node, Rises({}), at, at)
        found, events = judged.findings, events + new
    return found, events


UP = snapshot([port("mlx5_0"), port("mlx5_1"), port("mlx5_2")])
DOWN = snapshot([down(port("mlx5_0")), port("mlx5_1"), port("mlx5_2")])


def test_finding_keeps_its_id_and_since_while_it_lasts() -> None:
    judge = Judge()
    first, _ = story(judge, UP, DOWN)
    later, events = story(judge, *[DOWN] * 30, start=2.0)
    assert (first[0].id, first[0].since) == (later[0].id, later[0].since) and events == []


def test_second_time_has_an_id_of_its_own() -> None:
    judge = Judge()
    first, _ = story(judge, UP, DOWN)
    _, events = story(judge, *[UP] * 15, start=2.0)
    again, _ = story(judge, DOWN, start=20.0)
    ids = {finding.check: finding.id for finding in again}
    assert ("link-down", "ended") in [(event.check, event.kind) for event in events]
    assert ids["link-down"] == first[0].id + "-2"


def test_finding_clears_after_its_hold_and_not_before() -> None:
    judge = Judge()
    story(judge, UP, DOWN)
    held, _ = story(judge, *[UP] * 9, start=2.0)
    gone, _ = story(judge, *[UP] * 4, start=11.0)
    assert "link-down" in {each.check for each in held} and "link-down" not in {each.check for each in gone}


def test_acknowledged_drop_ends_and_acknowledged_fault_stays() -> None:
    judge = Judge()
    lost = [snapshot([port()], counters=counters(link_downed=value)) for value in (1, 2)]
    (drop,), _ = story(judge, *lost)
    assert judge.acknowledge(drop.id, 2.0) is not None
    assert story(judge, lost[1], start=3.0)[0] == ()
    faulty = Judge()
    (fault,), _ = story(faulty, UP, DOWN)
    faulty.acknowledge(fault.id, 2.0)
    (still,), _ = story(faulty, DOWN, start=3.0)
    assert still.acknowledged and still.id == fault.id
    assert faulty.acknowledge("no-such-id", 4.0) is None


def test_acknowledgements_of_before_a_restart_count() -> None:
    judge = Judge()
    (fault,), _ = story(judge, UP, DOWN)
    fresh = Judge()
    fresh.restore(judge.export(), clock=0.0)
    fresh.acknowledged_before([fault.id])
    (again,), _ = story(fresh, DOWN, start=100.0)
    assert again.acknowledged and again.id == fault.id


def test_memory_goes_over_a_restart_as_json() -> None:
    judge = Judge()
    lost = [snapshot([port("mlx5_0"), port("mlx5_1")], counters=counters(link_downed=value)) for value in (1, 2)]
    found, _ = story(judge, *lost)
    fresh = Judge()
    fresh.restore(json.loads(msgspec.json.encode(judge.export())), clock=0.0)
    again, events = story(fresh, lost[1], start=50.0)
    assert [(each.id, each.since) for each in again] == [(each.id, each.since) for each in found] and events == []
    gone = snapshot([down(port("mlx5_0"), "Disabled"), port("mlx5_1")], counters=counters(link_downed=2))
    assert "link-down" in {each.check for each in story(fresh, gone, start=60.0)[0]}


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_step_of_the_wall_clock_changes_nothing(step: float) -> None:
    judge, events = Judge(), []
    for second in range(20):
        wall = 1e9 + second + (step if second >= 10 else 0.0)
        found, new = judge.step(DOWN if second >= 5 else UP, Rises({}), wall, float(second))
        events += new
    assert [(event.check, event.kind) for event in events] == [("link-down", "started")]
    assert [each.check for each in found.findings] == ["link-down"]


# Order and health


def finding(
    id_: str, severity: Severity, device_: str | None, follows: str | None = None, check: str = "rnr"
) -> Finding:
    return Finding(
        id=id_,
        node="n1",
        device=device_,
        port=1,
        component=None,
        check=check,
        layer="errors",
        severity=severity,
        message=id_,
        evidence=(),
        since="",
        hint=None,
        follows=follows,
        acknowledged=False,
        unread=(),
    )


def test_groups_stand_by_their_worst_and_each_cause_before_what_follows() -> None:
    found = [
        finding("a", "info", "mlx5_10"),
        finding("b", "critical", "mlx5_2", "c"),
        finding("c", "warning", "mlx5_2"),
        finding("d", "warning", "mlx5_1"),
        finding("e", "info", "mlx5_2", "b"),
        finding("f", "warning", "mlx5_9", "gone"),
    ]
    for seed in range(10):
        random.Random(seed).shuffle(found)
        assert [each.id for each in ordered(found)] == ["c", "b", "e", "d", "f", "a"]


def test_no_check_can_follow_from_itself() -> None:
    """The causes that rows name make no circle on one target; of the stack's components each may be another's cause."""

    def leads(check: str, seen: tuple[str, ...]) -> None:
        assert check not in seen, seen
        for cause in REGISTRY[check].follows:
            if REGISTRY[cause].layer != "operator":
                leads(cause, (*seen, check))

    for check, row in REGISTRY.items():
        if row.layer != "operator":
            leads(check, ())


def test_health_is_the_worst_finding_on_it() -> None:
    slow = port("mlx5_1", rate_gbps=100.0)
    node = snapshot([down(port("mlx5_0")), slow, *(port(f"mlx5_{n}") for n in range(2, 8))])
    judged = Judge().step(node, None, 1.0, 1.0)[0]
    assert {each.device: each.health for each in judged.ports if each.health != "healthy"} == {
        "mlx5_0": "failed",
        "mlx5_1": "warning",
    }
    assert (judged.node.health, judged.node.findings.critical, judged.node.findings.warning) == ("failed", 1, 1)


def test_nothing_judged_is_unknown() -> None:
    assert Judge().step(snapshot([port(state=None, phys_state=None)]), None, 1.0, 1.0)[0].node.health == "unknown"


def test_finding_of_a_device_is_on_its_ports() -> None:
    judged = Judge().step(snapshot([port()], [device(stale_since="2026-11-24T12:00:00.000Z")]), None, 1.0, 1.0)[0]
    assert judged.ports[0].health == "warning" and judged.findings[0].check == "device-stale"


# What may go wrong


def test_a_check_that_fails_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_state: State) -> list[Raised]:
        raise ZeroDivisionError

    judge = Judge()
    broken_row: list[Check] = [
        row._replace(judge=broken) if row.id == "link-slow" else row for row in REGISTRY.values()
    ]
    monkeypatch.setattr(judge, "_checks", broken_row)
    found = judge.step(DOWN, None, 1.0, 1.0)[0].findings
    assert [each.check for each in found] == ["link-down"]
    assert "ZeroDivisionError" in judge.unjudged["link-slow"][0].reason


def test_a_check_that_crashes_is_told_and_what_it_found_stands_until_it_runs_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judge, node = Judge(), snapshot([down(port("mlx5_0")), port("mlx5_1"), port("mlx5_2")])
    first, _ = judge.step(node, None, 0.0, 0.0)
    assert [each.check for each in first.findings] == ["link-down"]
    assert first.errors == ()
    checks = judge._checks

    def broken(state: State) -> list[Raised]:
        raise RuntimeError("broken")

    monkeypatch.setattr(
        judge, "_checks", [row._replace(judge=broken) if row.id == "link-down" else row for row in checks]
    )
    for second in range(1, 1000, 100):
        told, events = judge.step(node, None, float(second), float(second))
        assert [each.id for each in told.findings] == [first.findings[0].id]
        assert [each.source for each in told.errors] == ["check/link-down"]
        assert events == []
    assert "broken" in told.errors[0].message
    assert judge.step(told, None, 990.0, 990.0)[0].errors == told.errors, "once, however often it is judged"
    monkeypatch.setattr(judge, "_checks", checks)
    well = snapshot([port("mlx5_0"), port("mlx5_1"), port("mlx5_2")])
    assert "link-down" in {each.check for each in judge.step(well, None, 995.0, 995.0)[0].findings}
    assert "link-down" not in {each.check for each in judge.step(well, None, 1200.0, 1200.0)[0].findings}


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_no_snapshot_breaks_a_check(data: st.DataObject) -> None:
    """Any field of a port or device may be unknown, at any time."""

    def scraps(made: object, keep: tuple[str, ...]) -> object:
        names = [name for name in made.__struct_fields__ if name not in keep and data.draw(st.booleans())]  # type: ignore[attr-defined]
        return msgspec.structs.replace(made, **dict.fromkeys(names))  # type: ignore[type-var]

    keep = ("node", "device", "port", "ports", "expected", "health", "rate_quality")
    judge = Judge()
    for second in range(3):
        ports = [
            scraps(make(f"mlx5_{n}", state=data.draw(st.sampled_from(["ACTIVE", "DOWN", "INIT", "??"]))), keep)
            for n, make in enumerate((port, roce, roce))
        ]
        devices = [scraps(device(f"mlx5_{n}"), keep) for n in range(3)]
        values = {
            name: data.draw(st.none() | st.integers(0, 2**64))
            for name in ("link_downed", "symbol_error", "rx_prio3_pause")
        }
        node = snapshot(ports, devices, counters("mlx5_0", 1, **values))  # type: ignore[arg-type]
        judge.step(node, Rises({}) if second else None, float(second), float(second))
        assert not [
            each for reasons in judge.unjudged.values() for each in reasons if "the check failed" in each.reason
        ]


def test_counters_that_are_not_always_read_are_still_compared() -> None:
    """A screen that asks for one port at a time: what moved meanwhile is seen when its counters come again."""
    judge = Judge()
    one, other = counters("mlx5_0", 1, symbol_error=0), counters("mlx5_1", 1, symbol_error=0)
    ports = [port("mlx5_0"), port("mlx5_1")]
    story(judge, snapshot(ports, counters=one), snapshot(ports, counters=other))
    rises = Rises({("mlx5_0", 1, "symbol_error"): 50.0})
    found = judge.step(snapshot(ports, counters=counters("mlx5_0", 1, symbol_error=50)), rises, 3.0, 3.0)[0].findings
    assert [each.check for each in found] == ["symbol-errors"]


def test_a_port_that_came_back_slower_than_it_was_is_slow_until_somebody_agrees() -> None:
    judge = Judge()
    judge.step(snapshot([port("mlx5_0", rate_gbps=200.0)]), None, 0.0, 0.0)
    slow = snapshot([port("mlx5_0", rate_gbps=100.0)])
    judged, _ = judge.step(slow, None, 1.0, 1.0)
    assert [(each.check, each.severity) for each in judged.findings] == [("link-slow", "warning")]
    assert "it ran at 200 before" in judged.findings[0].message
    judge.restore(json.loads(msgspec.json.encode(judge.export())), 1.0)
    assert judge.memory.ports["mlx5_0", 1].best_rate_gbps == 200.0
    judge.acknowledge(judged.findings[0].id, 2.0)
    judge.step(slow, None, 3.0, 3.0)
    judged, events = judge.step(slow, None, 60.0, 60.0)
    # what is left is the note that such cards can do more
    assert [each.severity for each in judged.findings] == ["info"]
    assert [(each.kind, each.check) for each in events] == [("changed", "link-slow")]
