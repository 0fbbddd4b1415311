"""The sampler on real kernel devices: netlink, queue pairs, GIDs, ethtool, unplug, faults and hangs."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from agent.sampler import Sampler
from diagnostics.model import Counter, Device, NodeSnapshot, Port
from tests.lab import devices

pytestmark = pytest.mark.vm


@pytest.fixture
def sampler(lab: None) -> Iterator[Sampler]:
    sampler = Sampler()
    sampler.refresh()
    sampler.tick()
    yield sampler
    sampler.close()


def look(sampler: Sampler) -> NodeSnapshot:
    time.sleep(0.3)
    sampler.tick()
    return sampler.snapshot()


def device(found: NodeSnapshot, name: str) -> Device:
    return next(d for d in found.devices if d.device == name)


def port(found: NodeSnapshot, name: str) -> Port:
    return next(p for p in found.ports if p.device == name)


def counters(found: NodeSnapshot, name: str, source: str) -> dict[str, Counter]:
    return {c.name: c for c in found.counters if (c.device, c.source) == (name, source)}


def test_who_and_where_a_soft_roce_device_is(sampler: Sampler) -> None:
    found = sampler.snapshot()
    mine, line = device(found, "mlx5_0"), port(found, "mlx5_0")
    assert (mine.function, mine.driver, mine.pci_address) == ("virtual", "rdma_rxe", None)
    assert (line.state, line.netdev, line.netdev_state, line.mtu_bytes) == ("ACTIVE", "v0", "up", 4096)
    assert (line.gid, line.gid_index) == ("0000:0000:0000:0000:0000:ffff:0a08:0001", 1)
    assert [(g.index, g.type, g.netdev) for g in found.gids if g.device == "mlx5_0"] == [
        (0, "RoCEv2", "v0"),
        (1, "RoCEv2", "v0"),
    ]
    assert found.host.kernel == os.uname().release
    assert found.host.netns_mode == "shared"
    assert found.host.rdma_core
    assert found.errors == ()


def test_hw_counters_by_netlink_are_those_of_the_folder(sampler: Sampler) -> None:
    found = sampler.snapshot()
    folder = devices.DEVICES / "mlx5_0/ports/1/hw_counters"
    assert set(counters(found, "mlx5_0", "hw_counters")) == {p.name for p in folder.iterdir()} - {"lifespan"}
    groups = sampler._watched["mlx5_0"].reader.groups
    assert [type(g.reader).__name__ for g in groups if g.source == "hw_counters"] == ["Selected"]
    assert "peer_ifindex" in counters(found, "mlx5_0", "ethtool")


def test_traffic_and_the_process_that_makes_it(sampler: Sampler) -> None:
    with devices.traffic(30) as (server, client):
        look(sampler)
        found = look(sampler)
        sampler.refresh_processes()
        owners = {p.pid: p for p in sampler.snapshot().processes if p.pid is not None}
    sent, received = port(found, "mlx5_0"), port(found, "mlx5_1")
    assert (sent.rate_quality, received.rate_quality) == ("ok", "ok")
    assert sent.tx_gbps is not None
    assert received.rx_gbps is not None
    assert sent.tx_gbps > 0.01
    assert received.rx_gbps > 0.01
    mine = owners[client.pid]
    assert (mine.command, mine.user, mine.device, mine.qp_types) == ("ib_write_bw", "root", "mlx5_0", {"RC": 1})
    assert owners[server.pid].device == "mlx5_1"


def test_unplug_and_return(sampler: Sampler) -> None:
    uevents = sampler.open_uevents()
    assert uevents is not None
    devices.remove("mlx5_1")
    gone = look(sampler)
    assert device(gone, "mlx5_1").gone_since
    assert port(gone, "mlx5_1").state is None
    assert not [c for c in gone.counters if c.device == "mlx5_1"]
    assert port(gone, "mlx5_0").rate_quality == "ok"
    assert ("remove", "infiniband") in {(e.action, e.subsystem) for e in uevents.drain()}
    uevents.close()
    devices.add("mlx5_1", "v1")
    back = look(sampler)
    assert device(back, "mlx5_1").gone_since is None
    assert {c.quality for c in back.counters if c.device == "mlx5_1"} == {"first"}
    assert {c.quality for c in look(sampler).counters if c.device == "mlx5_1"} == {"ok"}


def test_a_device_made_anew_between_two_ticks_is_first(sampler: Sampler) -> None:
    devices.remove("mlx5_1")
    devices.add("mlx5_1", "v1")
    found = look(sampler)
    assert device(found, "mlx5_1").gone_since is None
    assert {c.quality for c in found.counters if c.device == "mlx5_1"} == {"first"}


def test_netdev_down(sampler: Sampler) -> None:
    subprocess.run(["ip", "link", "set", "v1", "down"], check=True)
    try:
        found = look(sampler)
        assert (port(found, "mlx5_1").state, port(found, "mlx5_1").netdev_admin_up) == ("DOWN", False)
        assert found.node.ports_up < 2
    finally:
        subprocess.run(["ip", "link", "set", "v1", "up"], check=True)


def test_a_read_that_hangs_in_the_kernel(sampler: Sampler, inject: Callable[[str, str, int], None]) -> None:
    inject("mlx5_1", "hang", 1)
    for _ in range(2):
        found = look(sampler)
    assert device(found, "mlx5_1").stale_since
    assert port(found, "mlx5_1").rate_quality == "stale"
    assert device(found, "mlx5_0").stale_since is None
    assert port(found, "mlx5_0").rate_quality == "ok"
    inject("mlx5_1", "hang", 0)
    time.sleep(0.5)
    look(sampler)
    back = look(sampler)
    assert device(back, "mlx5_1").stale_since is None
    assert port(back, "mlx5_1").rate_quality == "ok"


def test_files_that_fail_are_skipped_and_said(sampler: Sampler, inject: Callable[[str, str, int], None]) -> None:
    inject("mlx5_1", "fail", 1)
    found = look(sampler)
    failed = {u.name for u in found.unread if u.device == "mlx5_1" and u.reason == "EINVAL"}
    assert failed
    assert all(c.value is None for c in counters(found, "mlx5_1", "counters").values() if c.name in failed)
    assert not [u for u in found.unread if u.device == "mlx5_0"]


def test_injected_counts_make_rates_resets_and_clamps(
    sampler: Sampler, inject: Callable[[str, str, int], None]
) -> None:
    inject("mlx5_0", "symbol_error", 100)
    look(sampler)
    inject("mlx5_0", "symbol_error", 7)
    assert counters(look(sampler), "mlx5_0", "counters")["symbol_error"].quality == "reset"
    inject("mlx5_0", "symbol_error", 65535)
    look(sampler)
    assert counters(look(sampler), "mlx5_0", "counters")["symbol_error"].quality == "clamped"
    inject("mlx5_0", "np_cnp_sent", 5000)
    found = look(sampler)
    assert (port(found, "mlx5_0").cnp_per_second or 0) > 0
