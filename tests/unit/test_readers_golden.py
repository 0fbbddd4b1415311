"""Every captured tree gives what its golden file says; and what its README says, written here before the code ran."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from diagnostics.model import NodeSnapshot
from tests.golden.made import FOLDER, golden, read_once, roots

NAMES = sorted(path.stem for path in FOLDER.glob("*.jsonl"))


@pytest.mark.parametrize("name", NAMES)
def test_a_tree_gives_its_golden_file(trees: Path, name: str) -> None:
    assert golden(roots(trees)[name]).decode() == (FOLDER / f"{name}.jsonl").read_text()


def test_every_tree_has_a_golden_file(trees: Path) -> None:
    assert sorted(roots(trees)) == NAMES


def read(trees: Path, name: str) -> NodeSnapshot:
    return read_once(roots(trees)[name])


def ports(snapshot: NodeSnapshot, *fields: str) -> dict[str, Any]:
    return {f"{p.device}/{p.port}": tuple(getattr(p, field) for field in fields) for p in snapshot.ports}


def devices(snapshot: NodeSnapshot, *fields: str) -> dict[str, Any]:
    return {d.device: tuple(getattr(d, field) for field in fields) for d in snapshot.devices}


def test_gcm_healthy_a100(trees: Path) -> None:
    """Eight ConnectX-6 ports, firmware 20.31.2354, 200 Gb/s (4X HDR), IPoIB ib0 to ib7 up; identity replaced."""
    found = read(trees, "gcm-a100-hdr")
    expected = [f"mlx5_{n}" for n in (0, 1, 2, 3, 6, 7, 8, 9)]
    assert list(devices(found)) == expected
    assert set(devices(found, "card", "firmware", "node_guid", "board_id", "hca_type").values()) == {
        ("ConnectX-6", "20.31.2354", None, None, None)
    }
    assert set(ports(found, "state", "phys_state", "rate_gbps", "lanes", "speed", "lid", "netdev_state").values()) == {
        ("ACTIVE", "LinkUp", 200.0, 4, "HDR", None, "up")
    }
    assert [p.netdev for p in found.ports] == [f"ib{n}" for n in range(8)]
    assert {(d.pcie.speed_gts, d.pcie.width, d.pcie.limit_gbps) for d in found.devices if d.pcie} == {(16.0, 16, 230.5)}
    assert found.node.ports_up == 8
    assert found.counters == ()
    assert found.node.tx_gbps is None


def test_gcm_ports_that_came_up_slow(trees: Path) -> None:
    found = read(trees, "gcm-a100-edr-rate")
    assert set(ports(found, "rate_gbps", "speed").values()) == {(100.0, "EDR")}


def test_h100_ndr_has_the_21_and_25_counters_and_the_stuck_ones(trees: Path) -> None:
    """21 files in counters/, 26 in hw_counters/ with lifespan; no GIDs, P_Keys, LIDs or GUIDs."""
    found = read(trees, "gpud-h100-ndr")
    assert set(devices(found, "card", "hca_type", "board_id", "firmware", "node_guid").values()) == {
        ("ConnectX-7", "MT4129", "MT_0000000838", "28.41.1000", None)
    }
    assert set(ports(found, "rate_gbps", "max_rate_gbps", "lid", "gid", "pkeys", "gid_count").values()) == {
        (400.0, 400.0, None, None, None, None)
    }
    for device in devices(found):
        mine = [c for c in found.counters if c.device == device]
        assert sum(c.source == "counters" for c in mine) == 21
        assert sum(c.source == "hw_counters" for c in mine) == 25
    assert not any(c.name == "lifespan" for c in found.counters)
    assert {c.quality for c in found.counters} <= {"first", "clamped"}
    assert all(c.per_second is None for c in found.counters)


def test_cx4lx_four_ports_one_down(trees: Path) -> None:
    found = read(trees, "derived-cx4lx-roce-4port")
    assert ports(found, "state", "netdev", "netdev_state", "gid_count") == {
        "mlx5_0/1": ("ACTIVE", "eth01", "up", 4),
        "mlx5_1/1": ("DOWN", "eth02", "down", 2),
        "mlx5_2/1": ("ACTIVE", "eth03", "up", 4),
        "mlx5_3/1": ("ACTIVE", "eth04", "up", 2),
    }
    assert [p.gid_index for p in found.ports] == [3, 0, 3, 0]
    assert set(ports(found, "rate_gbps", "phys_state").values()) == {(None, None)}
    assert {c.source for c in found.counters} == {"hw_counters"}
    assert len(found.counters) == 4 * 29
    assert [d.firmware for d in found.devices] == ["14.28.2006", "14.28.2006", "14.32.1010", "14.32.1010"]
    assert {g.type for g in found.gids} == {"RoCEv1", "RoCEv2"}
    assert {f.rdma for f in found.host.pci_functions} == {"mlx5_0", "mlx5_1", "mlx5_2", "mlx5_3"}


def test_pod_with_macvlan_takes_the_gid_by_type_and_address(trees: Path) -> None:
    found = read(trees, "derived-macvlan-pod-gids")
    assert [p.gid_index for p in found.ports] == [7, 7, None]
    assert [g.index for g in found.gids if g.device == "mlx5_0"] == [4, 5, 6, 7]


def test_sriov_pod_sees_ten_devices_without_counters(trees: Path) -> None:
    found = read(trees, "derived-openshift-sriov-server-pod")
    assert list(devices(found)) == [f"mlx5_{n}" for n in range(10)]
    states = ports(found, "state", "phys_state", "link_layer")
    assert states["mlx5_7/1"] == ("ACTIVE", "LinkUp", "Ethernet")
    assert states["mlx5_1/1"][2] == "InfiniBand"
    assert {states[f"mlx5_{n}/1"] for n in (2, 3, 4, 5, 6, 8, 9)} == {("DOWN", "Disabled", "Ethernet")}
    assert found.counters == ()
    assert {p.rate_quality for p in found.ports} == {"unknown"}


def test_cx6_second_port_disabled(trees: Path) -> None:
    found = read(trees, "derived-cx6-hdr-down-port")
    assert ports(found, "state", "phys_state", "lid", "rate_gbps", "max_rate_gbps") == {
        "mlx5_0/1": ("ACTIVE", "LinkUp", 4, 200.0, 200.0),
        "mlx5_1/1": ("DOWN", "Disabled", 65535, 10.0, 200.0),
    }
    assert {g.type for g in found.gids} == {"IB"}


def test_soft_roce_is_virtual(trees: Path) -> None:
    found = read(trees, "derived-rxe-veth")
    assert devices(found, "function", "board_id", "hca_type", "pci_address") == {
        "rxe_0": ("virtual", None, None, None),
        "rxe_1": ("virtual", None, None, None),
    }
    assert {g.type for g in found.gids} == {"RoCEv2"}
    assert set(ports(found, "rate_gbps", "lanes", "speed").values()) == {(10.0, 1, "FDR10")}


def test_bond_and_efa_and_virtual_functions(trees: Path) -> None:
    bond = read(trees, "derived-telegraf-mlx5-bond")
    assert devices(bond, "bond") == {"mlx5_bond_0": (True,)}
    assert len(bond.counters) == 21 + 29 - 1  # lifespan is a setting
    efa = read(trees, "constructed-efa")
    assert ports(efa, "rate_gbps", "rate_quality") == {"rdmap0s0/1": (100.0, "first")}
    assert devices(read(trees, "constructed-vf"), "function", "physfn") == {
        "mlx5_0": (None, None),
        "mlx5_4": ("vf", "0000:1a:00.0"),
    }
    guest = read(trees, "constructed-guest-vf")
    assert devices(guest, "function", "pci_address") == {"mlx5_0": (None, "0000:00:04.0")}
    assert ports(guest, "state", "phys_state", "rate_gbps") == {"mlx5_0/1": ("ACTIVE", "LinkUp", 100.0)}


def test_old_server_with_mlx4_and_a_dangling_device(trees: Path) -> None:
    found = read(trees, "hwloc-mlx4-pci")
    assert devices(found, "card", "board_id", "pci_address", "numa_node", "function", "driver")["mlx4_0"] == (
        "ConnectX-3", "DEL0A30000019", "0000:82:00.0", 1, "pf", "mlx4_core"
    )  # fmt: skip
    assert devices(found, "function", "ports")["scif0"] == ("virtual", 0)
    assert ports(found, "state", "rate_gbps", "lid", "sm_lid", "netdev") == {
        "mlx4_0/1": ("ACTIVE", 56.0, 932, 1, "ib0")
    }
    assert [g.gid for g in found.gids] == ["fe80:0000:0000:0000:0002:c903:00f9:bfa1"]
    assert found.devices[0].pcie is None


def test_class_entries_as_links_and_text_states(trees: Path) -> None:
    found = read(trees, "constructed-symlink")
    assert ports(found, "state", "phys_state", "rate_gbps") == {
        "mlx5_0/1": ("ACTIVE", "LinkUp", 100.0),
        "mlx5_0/2": ("DOWN", "Disabled", None),
    }


def test_tree_without_ports_and_fixture_with_a_wrong_phys_state(trees: Path) -> None:
    found = read(trees, "pcp-ib-root-002")
    assert devices(found, "ports") == {"mlx5_0": (0,), "mlx5_1": (0,)}
    fixture = read(trees, "procfs-fixtures")
    assert ports(fixture, "state", "rate_gbps", "speed") == {
        "hfi1_0/1": ("ACTIVE", 100.0, "EDR"),
        "mlx4_0/1": ("ACTIVE", 40.0, "QDR"),
        "mlx4_0/2": ("ACTIVE", 40.0, "QDR"),
        "mlx5_0/1": ("ACTIVE", 25.0, "EDR"),
    }
    counts = [c for c in fixture.counters if c.device == "mlx5_0"]
    assert {s: sum(c.source == s for c in counts) for s in ("counters", "hw_counters")} == {
        "counters": 21, "hw_counters": 25 - 1
    }  # fmt: skip  # lifespan is among the 25 files
    assert devices(fixture, "node_guid")["mlx5_0"] == ("0a7f:bc12:45ef:d23b",)


def test_rnr_trial_reads_before_and_after(trees: Path) -> None:
    def value(part: str, device: str, name: str) -> int | None:
        found = read(trees, f"derived-cx5-cx6-roce-rnr-{part}")
        return next(c.value for c in found.counters if (c.device, c.name) == (device, name))

    for device, name in (
        ("rocep1s0f0", "rnr_nak_retry_err"), ("rocep1s0f0", "req_rnr_retries_exceeded"), ("mlx5_0", "out_of_buffer"),
    ):  # fmt: skip
        before, after = value("before", device, name), value("after", device, name)
        assert before is not None
        assert after == before + 1
