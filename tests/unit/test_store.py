"""The store: what is acknowledged survives, what cannot be written goes on in memory and says so."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from agent.store import Store
from agent.store_schema import VERSION, StoreUnusable
from diagnostics.model import Event


def event(number: int) -> Event:
    return Event(node="n", time=f"2026-01-01T00:00:{number % 60:02d}.000Z", check="link-down", device="mlx5_0",
                 port=1, kind="started", message=str(number))  # fmt: skip


def numbers(store: Store) -> list[int]:
    return [int(one.message) for one in store.events()]


def wait_until(condition, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "never became true"
        time.sleep(0.01)


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.add_events([event(1), event(2)]).result(5)
    store.acknowledge("f1", "anna", "2026-01-01T00:00:00.000Z").result(5)
    store.save_fact("judge", b"\x00\xff").result(5)
    store.close()
    again = Store(str(tmp_path))
    assert numbers(again) == [1, 2]
    assert again.acknowledged() == {"f1": "anna"}
    assert again.fact("judge") == b"\x00\xff"
    assert again.problem is None
    assert (tmp_path / "rdmatop.sqlite").stat().st_mode & 0o777 == 0o600


WRITER = """
import sys
from agent.store import Store
from tests.unit.test_store import event
store, number = Store(sys.argv[1]), int(sys.argv[2])
while True:
    store.add_events([event(number)]).result(30)
    print(number, flush=True)
    number += 1
"""


def test_kill_9_at_200_moments_loses_nothing_acknowledged(tmp_path: Path) -> None:
    chance, acknowledged, number = random.Random(7), set(), 0
    script = tmp_path / "writer.py"
    script.write_text(WRITER)
    environment = dict(os.environ, PYTHONPATH=os.getcwd())
    store_dir = tmp_path / "state"
    lines = kills = 0
    while kills < 200:
        writer = subprocess.Popen([sys.executable, str(script), str(store_dir), str(number)], env=environment,
                                  stdout=subprocess.PIPE, text=True)  # fmt: skip
        assert writer.stdout is not None
        # One process start serves one kill; the moment falls anywhere between the first write and the twentieth.
        for _ in range(chance.randrange(1, 20)):
            acknowledged.add(int(writer.stdout.readline()))
        time.sleep(chance.random() * 0.003)
        writer.send_signal(signal.SIGKILL)
        acknowledged |= {int(line) for line in writer.stdout.read().split("\n") if line.strip()}
        writer.wait()
        number, kills, lines = max(acknowledged) + 2, kills + 1, len(acknowledged)
    database = sqlite3.connect(store_dir / "rdmatop.sqlite")
    import msgspec

    kept = {int(msgspec.json.decode(body)["message"]) for (body,) in database.execute("SELECT body FROM events")}
    assert lines > 200
    assert acknowledged <= kept


def test_a_full_disk_goes_on_in_memory_and_recovers(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(small)], capture_output=True).returncode:
        assert os.environ.get("CI") != "true", "cannot mount a tmpfs"
        pytest.skip("mounting a tmpfs needs root")
    try:
        store = Store(str(small), retry_s=0.05)
        assert store.problem is None
        filler = small / "filler"
        try:
            filler.write_bytes(b"x" * 300 * 1024)
        except OSError as error:
            assert error.errno == 28
        pending = [store.add_events([event(number)]) for number in range(300)]
        wait_until(lambda: store.problem is not None)
        assert "memory only" in (store.problem or "")
        assert numbers(store) == list(range(300))
        assert not pending[-1].done()
        filler.unlink()
        pending[-1].result(10)
        wait_until(lambda: store.problem is None)
        store.close()
        assert numbers(Store(str(small))) == list(range(300))
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_a_state_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store(str(tmp_path / "file" / "state"))
    assert "Not a directory" in (store.problem or "")
    store.add_events([event(1)])
    assert numbers(store) == [1]
    store.close()


def test_a_damaged_file_is_moved_aside_and_told_of_for_a_day(tmp_path: Path, caplog, monkeypatch) -> None:
    (tmp_path / "rdmatop.sqlite").write_bytes(b"this is no database" * 1000)
    store = Store(str(tmp_path))
    assert store.problem is None
    store.add_events([event(1)]).result(5)
    assert "damaged" in (store.note or "")
    assert str(tmp_path / "rdmatop.sqlite.damaged") in caplog.text
    store.close()
    monkeypatch.setattr("agent.store.NOTE_S", 0.0)
    assert store.note is None
    assert (tmp_path / "rdmatop.sqlite.damaged").read_bytes().startswith(b"this is no")
    assert numbers(Store(str(tmp_path))) == [1]


def test_pages_damaged_in_the_middle_do_not_end_the_agent(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.add_events([event(number) for number in range(2000)]).result(5)
    store.close()
    path = tmp_path / "rdmatop.sqlite"
    body = bytearray(path.read_bytes())
    for place in range(8192, len(body) - 4096, 4096):
        body[place : place + 64] = os.urandom(64)
    path.write_bytes(body)
    again = Store(str(tmp_path))
    assert "damaged" in (again.note or "")
    again.add_events([event(1)]).result(5)
    assert numbers(again)[-1] == 1
    again.close()


def test_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "rdmatop.sqlite")
    database.execute(f"PRAGMA user_version={VERSION + 1}")
    database.close()
    store = Store(str(tmp_path))
    assert "newer rdmatop" in (store.problem or "")
    store.close()


def test_a_lock_held_by_another_is_waited_for(tmp_path: Path) -> None:
    store = Store(str(tmp_path), retry_s=0.05)
    other = sqlite3.connect(tmp_path / "rdmatop.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waiting = store.add_events([event(1)])
    time.sleep(0.2)
    assert not waiting.done()
    other.execute("ROLLBACK")
    waiting.result(10)
    store.close()
    assert numbers(Store(str(tmp_path))) == [1]


def test_the_size_is_bounded_and_the_oldest_go_first(tmp_path: Path) -> None:
    store = Store(str(tmp_path), max_bytes=1024 * 1024)
    for start in range(0, 12000, 500):
        store.add_events([event(number) for number in range(start, start + 500)]).result(5)
    store.close()
    assert os.path.getsize(tmp_path / "rdmatop.sqlite") <= 1024 * 1024
    kept = numbers(Store(str(tmp_path)))
    assert kept[-1] == 11999
    assert kept == sorted(kept)
    assert kept[0] > 0


def test_memory_is_bounded_while_the_disk_refuses(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store(str(tmp_path / "file" / "state"))
    futures = [store.add_events([event(number)]) for number in range(1500)]
    wait_until(lambda: store.lost == 500)
    with pytest.raises(StoreUnusable, match="no more"):
        futures[0].result(1)
    store.close()


def test_memory_is_bounded_while_the_disk_hangs(tmp_path: Path, monkeypatch) -> None:
    store = Store(str(tmp_path))
    hangs, goes_on = threading.Event(), threading.Event()
    commit = store._commit

    def slow(*given) -> None:
        hangs.set()
        assert goes_on.wait(20)
        commit(*given)

    monkeypatch.setattr(store, "_commit", slow)
    store.add_events([event(0)])
    assert hangs.wait(5)
    for number in range(5000):
        store.save_fact("judge", str(number).encode())
    futures = [store.add_events([event(number)]) for number in range(1500)]
    assert store.lost == 501
    goes_on.set()
    futures[-1].result(10)
    kept = store.save_fact("judge", b"last")
    kept.result(10)
    store.close()
    assert Store(str(tmp_path)).fact("judge") == b"last"


def test_of_a_fact_that_waits_the_newest_value_is_kept(tmp_path: Path) -> None:
    store = Store(str(tmp_path), retry_s=0.05)
    other = sqlite3.connect(tmp_path / "rdmatop.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store.add_events([event(1)])
    futures = [store.save_fact("judge", str(number).encode()) for number in range(5000)]
    other.execute("ROLLBACK")
    futures[-1].result(10)
    assert store.lost == 0
    store.close()
    assert Store(str(tmp_path)).fact("judge") == b"4999"


@pytest.mark.parametrize("there", [False, True])
def test_all_files_are_for_the_owner_alone(tmp_path: Path, there: bool) -> None:
    if there:
        sqlite3.connect(tmp_path / "rdmatop.sqlite").execute("PRAGMA journal_mode=WAL").connection.close()
        (tmp_path / "rdmatop.sqlite").chmod(0o644)
    before = os.umask(0o022)
    try:
        store = Store(str(tmp_path))
        store.add_events([event(1)]).result(5)
        modes = {file.name: oct(file.stat().st_mode & 0o777) for file in tmp_path.iterdir()}
        store.close()
    finally:
        os.umask(before)
    assert modes == {f"rdmatop.sqlite{end}": "0o600" for end in ("", "-wal", "-shm")}
