"""What was concluded outlives the agent: events, findings, acknowledgements and the judge's own memory."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path

import msgspec
import pytest

from agent.keeper import FACT, Keeper
from agent.store import Store
from diagnostics.checks.engine import Judge
from tests.kube.made import a_device, a_port, a_snapshot


def snapshot(down: bool):
    made = a_snapshot("n")
    ports = tuple(a_port("n", f"mlx5_{number}", state="ACTIVE") for number in range(7))
    state = {"state": "DOWN", "phys_state": "Polling"} if down else {}
    devices = tuple(a_device("n", f"mlx5_{number}") for number in range(8))
    return msgspec.structs.replace(made, devices=devices, ports=(*ports, a_port("n", "mlx5_7", **state)))


def keeper_of(folder: Path) -> tuple[Keeper, Store]:
    store = Store(str(folder))
    return Keeper(Judge(capabilities=frozenset({"store"})), store), store


def test_a_port_that_was_up_before_the_restart_is_still_expected_up(tmp_path: Path) -> None:
    keeper, _ = keeper_of(tmp_path)
    keeper.step(snapshot(down=False), None)
    keeper.close()
    again, store = keeper_of(tmp_path)
    judged, events = again.step(snapshot(down=True), None)
    port = judged.ports[-1]
    assert (port.expected, port.health) == ("up", "failed")
    assert [event.kind for event in events] == ["started"]
    again.close()
    assert [event.check for event in Store(str(tmp_path)).events()] == ["link-down"]
    assert store.problem is None


def test_an_acknowledgement_stands_after_a_restart(tmp_path: Path) -> None:
    keeper, _ = keeper_of(tmp_path)
    judged, _ = keeper.step(snapshot(down=True), None)
    finding = judged.findings[0]
    assert keeper.acknowledge("nonsense", "anna") is None
    assert keeper.acknowledge(finding.id, "anna") is not None
    database = sqlite3.connect(tmp_path / "rdmatop.sqlite")
    assert database.execute("SELECT id, by FROM acknowledgements").fetchall() == [(finding.id, "anna")]
    keeper.close()
    again, _ = keeper_of(tmp_path)
    judged, _ = again.step(snapshot(down=True), None)
    assert [(each.id, each.acknowledged) for each in judged.findings] == [(finding.id, True)]
    assert judged.findings[0].since == finding.since
    again.close()


def test_a_finding_that_ends_has_an_end_in_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper, _ = keeper_of(tmp_path)
    keeper.step(snapshot(down=True), None)
    later = time.monotonic() + 3600
    monkeypatch.setattr(time, "monotonic", lambda: later)
    _, events = keeper.step(snapshot(down=False), None)
    assert "ended" in [event.kind for event in events]
    keeper.close()
    rows = sqlite3.connect(tmp_path / "rdmatop.sqlite").execute("SELECT body, ended FROM findings").fetchall()
    ended = {json.loads(body)["check"]: end for body, end in rows}
    assert ended["link-down"] is not None


def test_a_store_that_cannot_write_is_a_finding_and_judging_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    keeper, store = keeper_of(tmp_path / "file" / "state")
    judged, _ = keeper.step(snapshot(down=True), None)
    assert {"link-down", "store-degraded"} <= {finding.check for finding in judged.findings}
    assert keeper.acknowledge(judged.findings[0].id, "anna") is not None
    assert store.problem is not None
    keeper.close()


def test_a_memory_of_another_shape_is_left_and_not_fatal(tmp_path: Path) -> None:
    for body in (b"not json", b'{"version": 1}', b'{"version": 1, "memory": {"ports": [1]}, "findings": []}', b"[]"):
        store = Store(str(tmp_path))
        store.save_fact(FACT, body).result(5)
        store.close()
        keeper, _ = keeper_of(tmp_path)
        judged, _ = keeper.step(snapshot(down=True), None)
        assert "link-down" in {finding.check for finding in judged.findings}
        keeper.close()


def test_sums_go_on_within_a_boot_and_begin_anew_with_the_next(tmp_path: Path) -> None:
    from agent.sampler import Sampler
    from tests.made_tree import MadeTree

    made = MadeTree(tmp_path / "node")
    made.device("mlx5_0")
    counter = f"{made.port_folder('mlx5_0')}/counters/symbol_error"

    def run(boot: str, rise_to: str) -> tuple[float | None, str | None]:
        keeper, _ = keeper_of(tmp_path / "state")
        sampler = Sampler(str(made.path))
        restored = keeper.restore_baseline(sampler.history, boot)
        sampler.refresh()
        sampler.tick()
        made.write(counter, rise_to)
        time.sleep(0.05)
        sampler.tick()
        found = next(each for each in sampler.snapshot().counters if each.name == "symbol_error")
        sampler.close()
        keeper.close()
        return found.since_baseline, restored

    made.write(counter, "100")
    first, since = run("boot-1", "103")
    assert (first, since) == (3.0, None)
    again, since = run("boot-1", "108")
    assert again == 8.0
    assert since is not None
    assert run("boot-2", "109") == (1.0, None)


def test_what_was_lost_or_damaged_is_told_in_the_snapshot(tmp_path: Path) -> None:
    (tmp_path / "rdmatop.sqlite").write_bytes(b"this is no database" * 1000)
    keeper, store = keeper_of(tmp_path)
    keeper._lines.dropped = 7
    store._queue.lost = 3
    judged, _ = keeper.step(snapshot(down=False), None)
    told = [(each.source, each.message) for each in judged.errors]
    assert [source for source, _ in told] == ["store", "store", "kernel-log"]
    assert "damaged" in told[0][1]
    assert told[1][1].startswith("3 writes")
    assert told[2][1].startswith("7 lines")
    keeper.close()
