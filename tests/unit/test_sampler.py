"""The two loops and the picture: what hangs, vanishes, returns or fails stays its own, and no rate is false."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent.sampler import Sampler
from diagnostics.model import Counter, Device, NodeSnapshot, Port
from tests.made_tree import MadeTree
from tests.shared import ROOT

DEADLINE_S = 0.3


@pytest.fixture
def sampler(made: MadeTree) -> Iterator[Sampler]:
    made.device("mlx5_0")
    made.device("mlx5_1")
    sampler = Sampler(str(made.path), "node-a", deadline_s=DEADLINE_S)
    yield sampler
    sampler.close()


def device(snapshot: NodeSnapshot, name: str) -> Device:
    return next(d for d in snapshot.devices if d.device == name)


def port(snapshot: NodeSnapshot, name: str, number: int = 1) -> Port:
    return next(p for p in snapshot.ports if (p.device, p.port) == (name, number))


def counter(snapshot: NodeSnapshot, name: str, which: str, source: str = "counters") -> Counter:
    return next(c for c in snapshot.counters if (c.device, c.name, c.source) == (name, which, source))


def look(sampler: Sampler) -> NodeSnapshot:
    """A sample; never within the millisecond in which two readings are one."""
    time.sleep(0.002)
    sampler.tick()
    return sampler.snapshot()


def let_go(fifo: Path, content: bytes) -> None:
    """Answer whoever waits for a FIFO."""
    with open(fifo, "wb") as file:
        file.write(content)


def test_one_reading_has_values_and_no_rates(sampler: Sampler) -> None:
    sampler.refresh()
    found = look(sampler)
    assert [d.device for d in found.devices] == ["mlx5_0", "mlx5_1"]
    assert counter(found, "mlx5_0", "port_xmit_data").value == 4000
    assert {c.quality for c in found.counters} == {"first"}
    assert (port(found, "mlx5_0").tx_gbps, port(found, "mlx5_0").rate_quality) == (None, "first")
    assert (found.node.ports_up, found.node.rate_gbps, found.node.tx_gbps) == (2, 800.0, None)
    assert found.source == f"capture {sampler.root.given}"
    assert found.host.kernel is None
    assert msgspec.json.decode(msgspec.json.encode(found), type=NodeSnapshot) == found


def test_a_tick_alone_reads_what_it_needs(sampler: Sampler) -> None:
    found = look(sampler)
    assert port(found, "mlx5_0").state == "ACTIVE"
    assert counter(found, "mlx5_0", "port_xmit_data").value == 4000


def test_traffic_is_words_of_four_octets_over_monotonic_time(sampler: Sampler, made: MadeTree) -> None:
    before = look(sampler)
    made.count("mlx5_0", port_xmit_data=1000 + 250_000_000 // 4)
    time.sleep(0.1)
    found = look(sampler)
    mine = port(found, "mlx5_0")
    per_second = counter(found, "mlx5_0", "port_xmit_data").per_second
    assert mine.rate_quality == "ok"
    assert per_second is not None
    assert 250_000_000 / 0.5 < per_second <= 250_000_000 / 0.1
    assert mine.tx_gbps == pytest.approx(per_second * 8e-9)
    assert mine.rx_gbps == 0.0
    assert found.node.tx_gbps == mine.tx_gbps
    assert found.sequence == before.sequence + 1


def test_a_counter_that_falls_is_a_reset_and_makes_no_rate(sampler: Sampler, made: MadeTree) -> None:
    look(sampler)
    made.count("mlx5_0", port_xmit_data=5)
    found = look(sampler)
    assert counter(found, "mlx5_0", "port_xmit_data").quality == "reset"
    assert (port(found, "mlx5_0").tx_gbps, port(found, "mlx5_0").rate_quality) == (None, "reset")


def test_more_than_the_link_carries_is_never_shown_as_a_rate(sampler: Sampler, made: MadeTree) -> None:
    look(sampler)
    made.count("mlx5_0", port_xmit_data=10**15)
    mine = port(look(sampler), "mlx5_0")
    assert (mine.tx_gbps, mine.rate_quality) == (None, "unknown")


def test_a_state_that_changes_is_seen_in_the_next_tick(sampler: Sampler, made: MadeTree) -> None:
    sampler.refresh()
    look(sampler)
    folder = made.port_folder("mlx5_0")
    made.write(f"{folder}/state", "1: DOWN")
    made.write(f"{folder}/phys_state", "2: Polling")
    found = look(sampler)
    assert (port(found, "mlx5_0").state, port(found, "mlx5_0").phys_state) == ("DOWN", "Polling")
    assert port(found, "mlx5_0").rate_gbps == 400.0
    assert found.node.ports_up == 1


@pytest.mark.parametrize("where", ["ports/1/counters/symbol_error", "ports/1/state", "ports/1/hw_counters/np_cnp_sent"])
def test_a_read_that_hangs_makes_that_device_stale_and_no_other(sampler: Sampler, made: MadeTree, where: str) -> None:
    sampler.refresh()
    look(sampler)
    fifo = made.hang(f"sys/class/infiniband/mlx5_0/{where}")
    made.count("mlx5_1", port_xmit_data=2000)
    began = time.monotonic()
    found = look(sampler)
    assert time.monotonic() - began < 3 * DEADLINE_S
    if device(found, "mlx5_0").stale_since is None:  # on a busy machine a reader that was just woken is slow, not stuck
        found = look(sampler)
    assert device(found, "mlx5_0").stale_since
    assert port(found, "mlx5_0").stale_since
    assert (port(found, "mlx5_0").tx_gbps, port(found, "mlx5_0").rate_quality) == (None, "stale")
    held = counter(found, "mlx5_0", "port_xmit_data")
    assert (held.value, held.quality, held.per_second) == (4000, "stale", None)
    assert held.since == device(found, "mlx5_0").stale_since
    assert [u.reason for u in found.unread] == ["hangs"]
    assert found.errors[0].source == "devices/mlx5_0"
    assert "hangs" in found.errors[0].message
    assert device(found, "mlx5_1").stale_since is None
    assert counter(found, "mlx5_1", "port_xmit_data").quality == "ok"

    began, threads = time.monotonic(), threading.active_count()
    for _ in range(5):
        again = look(sampler)
    assert time.monotonic() - began < DEADLINE_S, "a known hanging device is not waited for"
    assert threading.active_count() == threads, "one thread a device hangs, never more"
    assert device(again, "mlx5_0").stale_since == device(found, "mlx5_0").stale_since

    let_go(fifo, b"4: ACTIVE\n" if where.endswith("state") else b"0\n")
    fifo.unlink()
    made.write(f"sys/class/infiniband/mlx5_0/{where}", "4: ACTIVE" if where.endswith("state") else 0)
    time.sleep(0.1)
    look(sampler)
    made.count("mlx5_0", port_xmit_data=1500)
    back = look(sampler)
    assert device(back, "mlx5_0").stale_since is None
    assert counter(back, "mlx5_0", "port_xmit_data").value == 6000
    assert back.errors == ()


def test_a_single_look_at_a_device_that_hangs_still_shows_who_it_is(made: MadeTree) -> None:
    made.device("mlx5_0")
    fifo = made.hang("sys/class/infiniband/mlx5_0/ports/1/counters/symbol_error")
    sampler = Sampler(str(made.path), deadline_s=DEADLINE_S)
    sampler.refresh()
    found = look(sampler)
    assert device(found, "mlx5_0").card == "ConnectX-7"
    assert port(found, "mlx5_0").state == "ACTIVE"
    assert device(found, "mlx5_0").stale_since
    sampler.close()
    let_go(fifo, b"0\n")


def test_a_device_that_vanishes_keeps_its_row_and_comes_back_as_first(sampler: Sampler, made: MadeTree) -> None:
    sampler.refresh()
    look(sampler)
    made.remove("sys/class/infiniband/mlx5_1")
    gone = look(sampler)
    assert device(gone, "mlx5_1").gone_since
    assert device(gone, "mlx5_1").card == "ConnectX-7"
    assert port(gone, "mlx5_1").gone_since == device(gone, "mlx5_1").gone_since
    assert port(gone, "mlx5_1").state is None
    assert not [c for c in gone.counters if c.device == "mlx5_1"]
    assert (gone.node.ports_up, device(gone, "mlx5_0").gone_since) == (1, None)
    assert device(look(sampler), "mlx5_1").gone_since == device(gone, "mlx5_1").gone_since

    made.device("mlx5_1")
    made.count("mlx5_1", port_xmit_data=10**12)
    back = look(sampler)
    assert device(back, "mlx5_1").gone_since is None
    assert {c.quality for c in back.counters if c.device == "mlx5_1"} == {"first"}
    assert port(back, "mlx5_1").tx_gbps is None


def test_a_device_that_is_renamed_is_gone_and_new_without_false_rates(sampler: Sampler, made: MadeTree) -> None:
    look(sampler)
    folder = made.path / "sys/class/infiniband"
    os.rename(folder / "mlx5_1", folder / "roce_rail1")
    found = look(sampler)
    assert device(found, "mlx5_1").gone_since
    assert {c.quality for c in found.counters if c.device == "roce_rail1"} == {"first"}


def test_a_port_folder_that_goes_leaves_unknowns(sampler: Sampler, made: MadeTree) -> None:
    sampler.refresh()
    look(sampler)
    made.remove(made.port_folder("mlx5_0"))
    found = look(sampler)
    assert port(found, "mlx5_0").state is None
    assert not [c for c in found.counters if c.device == "mlx5_0"]
    sampler.refresh()
    assert not [p for p in look(sampler).ports if p.device == "mlx5_0"]


def test_no_descriptor_is_left_behind(made: MadeTree) -> None:
    before = len(os.listdir("/proc/self/fd"))
    made.device("mlx5_0")
    sampler = Sampler(str(made.path), deadline_s=DEADLINE_S)
    for turn in range(30):
        look(sampler)
        if turn % 3 == 1:
            made.remove("sys/class/infiniband/mlx5_0")
        elif turn % 3 == 2:
            made.device("mlx5_0")
    sampler.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_which_counters_a_snapshot_holds(sampler: Sampler) -> None:
    sampler.tick()
    assert sampler.snapshot("none").counters == ()
    chosen = sampler.snapshot(frozenset({("mlx5_1", 1)}))
    assert {(c.device, c.port) for c in chosen.counters} == {("mlx5_1", 1)}
    assert len(sampler.snapshot().counters) == 2 * len(chosen.counters)


def test_ethtool_of_a_capture_and_what_it_adds_up_to(sampler: Sampler, made: MadeTree) -> None:
    made.write("sys/class/net/eth0/operstate", "up")
    made.write("sys/class/infiniband/mlx5_0/device/net/eth0/address", "aa")
    stats = "NIC statistics:\n     rx_prio3_pause: {}\n     tx_global_pause: 4\n     rx3_packets: 9\n     rx_discards_phy: 0\n"  # noqa: E501
    made.write("ethtool/eth0.txt", stats.format(10))
    sampler.refresh()
    found = look(sampler)
    mine = [c.name for c in found.counters if c.source == "ethtool"]
    assert mine == ["rx_discards_phy", "rx_prio3_pause", "tx_global_pause"]
    assert port(found, "mlx5_0").netdev == "eth0"
    made.write("ethtool/eth0.txt", stats.format(110))
    time.sleep(0.05)
    pauses = port(look(sampler), "mlx5_0").pause_per_second
    assert pauses is not None
    assert 100 / 0.5 < pauses <= 100 / 0.05


def test_fallbacks_when_the_port_has_no_data_counters(made: MadeTree) -> None:
    made.device("rdmap0s0")
    shutil.rmtree(made.path / made.port_folder("rdmap0s0") / "counters")
    made.count("rdmap0s0", folder="hw_counters", tx_bytes=0, rx_bytes=0)
    sampler = Sampler(str(made.path), deadline_s=DEADLINE_S)
    look(sampler)
    made.count("rdmap0s0", folder="hw_counters", tx_bytes=125_000)
    time.sleep(0.05)
    mine = port(look(sampler), "rdmap0s0")
    assert mine.rate_quality == "ok"
    assert mine.tx_gbps is not None
    assert 0.001 / 0.5 < mine.tx_gbps <= 0.001 / 0.05
    sampler.close()


def test_unsupported_counters_are_listed_and_the_rest_goes_on(made: MadeTree) -> None:
    made.device("mlx4_0")
    for name in ("symbol_error", "link_downed"):
        made.write(f"{made.port_folder('mlx4_0')}/counters/{name}", "N/A (no PMA)")
    sampler = Sampler(str(made.path), deadline_s=DEADLINE_S)
    found = look(sampler)
    assert {(u.name, u.reason, u.port) for u in found.unread} == {
        ("symbol_error", "N/A (no PMA)", 1),
        ("link_downed", "N/A (no PMA)", 1),
    }
    silent = counter(found, "mlx4_0", "symbol_error")
    assert (silent.value, silent.quality, silent.unread) == (None, "unknown", "N/A (no PMA)")
    assert silent.since is not None
    assert found.errors == ()
    sampler.close()


def test_errors_of_the_last_minute_count_each_name_once(sampler: Sampler, made: MadeTree) -> None:
    look(sampler)
    assert port(sampler.snapshot(), "mlx5_0").errors_per_minute is None
    made.count("mlx5_0", symbol_error=3)
    made.count("mlx5_0", folder="hw_counters", req_cqe_error=1)
    found = look(sampler)
    assert port(found, "mlx5_0").errors_per_minute == 3.0
    assert found.node.errors_per_minute == 3.0
    assert counter(found, "mlx5_0", "symbol_error").delta_1m == 3.0


def test_a_tree_without_rdma_says_what_is_missing_and_what_to_do(made: MadeTree) -> None:
    made.pci("", "pci0000:00/0000:00:01.0/0000:3b:00.0")
    for listed in (True, False):
        if not listed:
            shutil.rmtree(made.path / "sys/class/infiniband")
        sampler = Sampler(str(made.path), "gpu-017", deadline_s=DEADLINE_S)
        sampler.refresh()
        found = look(sampler)
        assert (found.devices, found.ports, found.node.ports_up, found.node.rate_gbps) == ((), (), 0, None)
        message = found.errors[0].message
        assert "no RDMA device on gpu-017" in message
        assert ("is empty" if listed else "is missing") in message
        assert "0000:3b:00.0 ConnectX-7, driver none" in message
        assert found.errors[0].hint
        sampler.close()


def test_the_node_is_named_by_option_then_hostname_then_folder(made: MadeTree) -> None:
    assert Sampler(str(made.path)).node == "node-a"
    made.write("etc/hostname", "gpu-017")
    assert Sampler(str(made.path)).node == "gpu-017"
    assert Sampler(str(made.path), "given").node == "given"


def test_garbage_everywhere_is_unknown_and_nothing_raises(made: MadeTree) -> None:
    made.device("mlx5_0")
    folder = made.path / "sys/class/infiniband/mlx5_0"
    for index, file in enumerate(sorted(path for path in folder.rglob("*") if path.is_file())):
        file.unlink()
        kind = index % 4
        if kind == 0:
            file.write_bytes(os.urandom(64))
        elif kind == 1:
            file.mkdir()
        elif kind == 2:
            file.write_bytes(b"A" * 1_000_000)
        else:
            file.symlink_to("/dev/zero")
    made.write("sys/class/infiniband/mlx5_0/ports/x/state", "1")
    sampler = Sampler(str(made.path), deadline_s=2.0)
    sampler.refresh()
    for _ in range(2):
        found = look(sampler)
        assert all(c.value is None for c in found.counters)
        assert [p.port for p in found.ports] == [1]
        msgspec.json.encode(found)
    sampler.close()


def test_many_devices_coming_and_going_while_read(made: MadeTree) -> None:
    """A thread changes the tree all the time; no tick raises and no item is half."""
    for index in range(4):
        made.device(f"mlx5_{index}")
    sampler = Sampler(str(made.path), deadline_s=2.0)
    ends = threading.Event()

    def churn() -> None:
        turn = 0
        while not ends.is_set():
            name = f"mlx5_{turn % 4}"
            shutil.rmtree(made.path / "sys/class/infiniband" / name, ignore_errors=True)
            made.device(name)
            turn += 1

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            sampler.refresh()
            found = look(sampler)
            assert {d.device for d in found.devices} <= {f"mlx5_{n}" for n in range(4)}
            assert all(c.per_second is None or c.per_second >= 0 for c in found.counters)
            assert not [e for e in found.errors if "could not be read" in e.message], found.errors
    finally:
        ends.set()
        thread.join()
    sampler.refresh()
    assert [d.gone_since for d in look(sampler).devices] == [None] * 4
    sampler.close()


def test_host_files_that_hang_hold_up_nothing_else(made: MadeTree) -> None:
    made.device("mlx5_0")
    fifo = made.write("proc/modules", "")
    made.write("etc/hostname", "")
    made.hang("proc/modules")
    made.hang("etc/hostname")
    sampler = Sampler(str(made.path), deadline_s=DEADLINE_S)
    began = time.monotonic()
    sampler.refresh()
    found = look(sampler)
    sampler.refresh()
    assert time.monotonic() - began < 4 * DEADLINE_S
    assert found.node.node == "node-a"
    assert port(found, "mlx5_0").state == "ACTIVE"
    assert [e.source for e in sampler.snapshot().errors] == ["host"]
    sampler.close()
    let_go(fifo, b"")


def test_a_single_look_imports_little() -> None:
    """What a one-shot command pays for: nothing of the screens, the server, the cluster or the verbs."""
    program = (
        "import sys; import msgspec, argparse; before = set(sys.modules);"
        "from agent.sampler import Sampler; s = Sampler(sys.argv[1]); s.refresh(); s.tick(); s.snapshot(); s.close();"
        "print(*sorted(m for m in set(sys.modules) - before if not m.startswith(('agent', 'diagnostics'))))"
    )
    done = subprocess.run([sys.executable, "-c", program, "/"], capture_output=True, text=True, check=True, cwd=ROOT)
    allowed = "_socket _struct array errno fcntl pwd resource select selectors socket struct"
    assert set(done.stdout.split()) <= set(allowed.split())


def test_a_reader_that_breaks_is_said_and_goes_on(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    look(sampler)
    reader = sampler._watched["mlx5_0"].reader

    def broken(**_: object) -> None:
        raise ZeroDivisionError("made to fail")

    with monkeypatch.context() as patch:
        patch.setattr(reader, "tick", broken)
        found = look(sampler)
    assert [(e.source, "made to fail" in e.message) for e in found.errors] == [("devices/mlx5_0", True)]
    assert counter(found, "mlx5_1", "port_xmit_data").quality == "ok"
    assert look(sampler).errors == ()
