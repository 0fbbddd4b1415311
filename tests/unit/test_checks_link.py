"""Layer link and the expectation ladder: what is wrong, and above all what is not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from diagnostics.checks.engine import Judge
from diagnostics.checks.expectations import expectations
from diagnostics.checks.link_losses import has_flapped
from diagnostics.checks.manifest import Manifest, PortManifest
from diagnostics.model import Finding, Host, NodeSnapshot, PciFunction, Port
from tests.unit.made_node import Rises, counters, device, down, gid, port, roce, snapshot

EIGHT = [f"mlx5_{number}" for number in range(8)]


def findings(*nodes: NodeSnapshot, manifest: Manifest | None = None, step_s: float = 1.0) -> tuple[Finding, ...]:
    """What stands after these samples, taken a second apart."""
    judge = Judge(manifest)
    found: tuple[Finding, ...] = ()
    for number, node in enumerate(nodes):
        at = 1000.0 + number * step_s
        found = judge.step(node, Rises({}) if number else None, at, at)[0].findings
    return found


def told(*nodes: NodeSnapshot, **options: Any) -> list[tuple[str, str, str | None]]:
    return [(each.severity, each.check, each.device) for each in findings(*nodes, **options)]


def eight(make: Any = port, **changed: Port) -> NodeSnapshot:
    return snapshot([changed.get(name) or make(name) for name in EIGHT])


# Down


def test_one_of_eight_polling_is_critical_and_names_its_peers() -> None:
    (found,) = findings(eight(mlx5_3=down(port("mlx5_3"))))
    assert (found.severity, found.check, found.device, found.port) == ("critical", "link-down", "mlx5_3", 1)
    assert "7 peers are up at 400 Gb/s" in found.message


def test_disabled_infiniband_port_is_spare() -> None:
    node = eight(mlx5_3=down(port("mlx5_3"), "Disabled"))
    assert told(node) == []
    assert expectations(node)["mlx5_3", 1].expected == "spare"


def test_port_that_was_up_is_missed_even_when_disabled() -> None:
    up, gone = eight(), eight(mlx5_3=down(port("mlx5_3"), "Disabled"))
    assert told(up, gone) == [("critical", "link-down", "mlx5_3")]


def test_second_port_of_a_lone_card_is_spare() -> None:
    card = {"sys_image_guid": "b83f:d203:0092:aaaa"}
    node = snapshot([port("mlx5_0"), down(port("mlx5_1"))], [device("mlx5_0", **card), device("mlx5_1", **card)])
    assert told(node) == []
    assert expectations(node)["mlx5_1", 1].expected == "spare"


def test_second_ports_of_all_cards_are_spare() -> None:
    """Four dual-port cards, each cabled with its first port."""
    names = [f"mlx5_{number}" for number in range(8)]
    devices = [device(name, sys_image_guid=f"b83f:d203:0092:{index // 2:04x}") for index, name in enumerate(names)]
    ports = [port(name) if index % 2 == 0 else down(port(name)) for index, name in enumerate(names)]
    assert told(snapshot(ports, devices)) == []


def test_second_port_is_missed_where_other_cards_use_theirs() -> None:
    names = [f"mlx5_{number}" for number in range(6)]
    devices = [device(name, sys_image_guid=f"b83f:d203:0092:{index // 2:04x}") for index, name in enumerate(names)]
    ports = [down(port(name)) if name == "mlx5_5" else port(name) for name in names]
    assert told(snapshot(ports, devices)) == [("critical", "link-down", "mlx5_5")]


def test_virtual_function_of_another_pod_is_nobodys_alarm() -> None:
    vfs = [device(f"mlx5_{n}", function="vf", hca_type="MT4126", physfn="0000:10:00.0") for n in range(1, 5)]
    free = [roce("mlx5_0"), *(roce(f"mlx5_{number}") for number in (1, 2, 3)), down(roce("mlx5_4"), "Disabled")]
    used = [*free[:4], roce("mlx5_4")]
    devices = [device("mlx5_0"), *vfs]
    assert told(snapshot(free, devices)) == []
    assert told(snapshot(used, devices), snapshot(free, devices)) == []


def test_virtual_function_of_a_guest_is_missed_once_it_was_up() -> None:
    vfs = [device(name, function="vf", hca_type="MT4126") for name in EIGHT]
    off = [down(roce(name), "Disabled") if name == "mlx5_3" else roce(name) for name in EIGHT]
    assert told(snapshot(off, vfs)) == []
    assert ("critical", "link-down", "mlx5_3") in told(
        snapshot([roce(name) for name in EIGHT], vfs), snapshot(off, vfs)
    )


def test_netdev_switched_off_is_spare_until_it_was_used() -> None:
    off = down(roce("mlx5_3"), "Disabled", netdev_admin_up=False)
    assert told(eight(roce, mlx5_3=off)) == []
    assert told(eight(roce), eight(roce, mlx5_3=off)) == [
        ("warning", "netdev-down", "mlx5_3"),
        ("critical", "link-down", "mlx5_3"),
    ]


def test_port_of_a_switched_off_netdev_follows_from_it() -> None:
    off = down(roce("mlx5_3"), "Disabled", netdev_admin_up=False)
    cause, consequence = findings(eight(roce), eight(roce, mlx5_3=off))
    assert (cause.check, cause.follows, consequence.check, consequence.follows) == (
        "netdev-down",
        None,
        "link-down",
        cause.id,
    )


def test_netdev_without_carrier_follows_from_the_port() -> None:
    cause, consequence = findings(eight(roce), eight(roce, mlx5_3=down(roce("mlx5_3"), "Disabled")))
    assert (cause.check, consequence.check, consequence.follows) == ("link-down", "netdev-down", cause.id)


def test_roce_port_with_an_address_is_expected_up_without_any_peer() -> None:
    node = snapshot([down(roce("mlx5_0"), "Disabled"), port("mlx5_1")], gids=(gid("mlx5_0"),))
    assert ("critical", "link-down", "mlx5_0") in told(node)


def test_roce_port_without_an_address_is_not_expected_by_peers_without_one() -> None:
    """Up but not in use: peers whose netdevs have no address say nothing about this one."""
    local = "fe80:0000:0000:0000:0e42:a1ff:fe40:29a1"
    node = msgspec.structs.replace(
        eight(roce, mlx5_3=down(roce("mlx5_3"), "Disabled")), gids=tuple(gid(name, local, 1) for name in EIGHT)
    )
    assert ("info", "link-down", "mlx5_3") in told(node)


def test_bluefield_and_software_ports_are_left_alone() -> None:
    devices = [
        device("mlx5_0"),
        device("mlx5_1", bluefield=True, hca_type="MT41692"),
        device("rxe0", function="virtual", driver="rxe"),
    ]
    ports = [port("mlx5_0"), down(port("mlx5_1")), down(roce("rxe0"), "Disabled")]
    assert [each for each in told(snapshot(ports, devices)) if each[0] != "info"] == []


def test_every_port_down_is_a_warning_without_knowing_more() -> None:
    assert told(snapshot([down(port(name)) for name in EIGHT])) == [("warning", "link-down", name) for name in EIGHT]


def test_manifest_decides_first() -> None:
    spare = Manifest(ports={"mlx5_3": PortManifest(expected="spare")})
    wanted = Manifest(ports={"mlx5_3/1": PortManifest(expected="up")})
    assert told(eight(mlx5_3=down(port("mlx5_3"))), manifest=spare) == []
    assert told(eight(mlx5_3=down(port("mlx5_3"), "Disabled")), manifest=wanted) == [
        ("critical", "link-down", "mlx5_3")
    ]


def test_node_counts_what_is_expected() -> None:
    node = Judge().step(eight(mlx5_3=down(port("mlx5_3"))), None, 1.0, 1.0)[0].node
    assert (node.ports_up, node.ports_expected, node.health) == (7, 8, "failed")


# Not active, slow


def test_link_without_subnet_manager() -> None:
    initial = port("mlx5_3", state="INIT", sm_lid=0, lid=65535)
    (found,) = findings(eight(mlx5_3=initial))
    assert (found.severity, found.check) == ("critical", "link-not-active")
    assert "no subnet manager" in found.message


def test_auxiliary_port_that_nobody_set_up_is_a_note() -> None:
    node = snapshot(
        [*(port(name) for name in EIGHT), port("mlx5_9", state="INIT")],
        [*(device(name) for name in EIGHT), device("mlx5_9", hca_type="MT41692", bluefield=True)],
    )
    assert told(node) == [("info", "link-not-active", "mlx5_9")]


def test_only_infiniband_port_without_subnet_manager_is_no_auxiliary_port() -> None:
    """Ethernet ports that are up say nothing about the InfiniBand fabric."""
    node = snapshot(
        [port("mlx5_0", state="INIT", sm_lid=0), roce("mlx5_1")],
        [device("mlx5_0"), device("mlx5_1", hca_type="MT4125")],
    )
    assert told(node) == [("critical", "link-not-active", "mlx5_0")]


def test_ipoib_netdev_follows_from_a_port_that_is_not_active() -> None:
    initial = port("mlx5_3", state="INIT", netdev="ib3", netdev_state="down", netdev_admin_up=True)
    cause, consequence = findings(eight(mlx5_3=initial))
    assert (cause.check, consequence.check, consequence.follows) == ("link-not-active", "netdev-down", cause.id)


@pytest.mark.parametrize(("rate", "lanes", "speed"), [(200.0, 2, "NDR"), (200.0, 4, "HDR"), (100.0, 1, "NDR")])
def test_slower_than_its_peers(rate: float, lanes: int, speed: str) -> None:
    (found,) = findings(eight(mlx5_3=port("mlx5_3", rate_gbps=rate, lanes=lanes, speed=speed)))
    assert (found.severity, found.check, found.device) == ("warning", "link-slow", "mlx5_3")
    assert found.evidence[0].value == rate and found.evidence[0].threshold == 400.0


def test_another_kind_of_card_may_be_slower() -> None:
    node = snapshot(
        [*(port(name) for name in EIGHT), roce("mlx5_9", rate_gbps=100.0)],
        [*(device(name) for name in EIGHT), device("mlx5_9", hca_type="MT4125")],
    )
    assert told(node) == []


def test_card_alone_makes_a_note_and_its_psid_a_warning() -> None:
    slow = [port(name, rate_gbps=200.0, speed="HDR") for name in EIGHT]
    assert {each[0] for each in told(snapshot(slow))} == {"info"}
    known = [device(name, board_id="MT_0000000838") for name in EIGHT]
    assert {each[:2] for each in told(snapshot(slow, known))} == {("warning", "link-slow")}


def test_ethernet_at_a_lower_rate_is_a_choice() -> None:
    assert told(snapshot([roce(name, rate_gbps=200.0) for name in EIGHT])) == []


def test_manifest_rate() -> None:
    manifest = Manifest(ports={"mlx5_0": PortManifest(rate_gbps=200.0)})
    assert told(snapshot([port("mlx5_0", rate_gbps=100.0)]), manifest=manifest) == [("warning", "link-slow", "mlx5_0")]
    assert told(snapshot([port("mlx5_0", rate_gbps=200.0)]), manifest=manifest) == []


# Losses


def test_counter_shows_a_loss_between_two_samples() -> None:
    before = snapshot([port()], counters=counters(link_downed=4))
    after = snapshot([port()], counters=counters(link_downed=5))
    assert told(before, after) == [("warning", "link-drop", "mlx5_0")]


def test_carrier_changes_show_a_loss_of_a_roce_port() -> None:
    before, after = snapshot([roce(carrier_changes=2)]), snapshot([roce(carrier_changes=4)])
    assert told(before, after) == [("warning", "link-drop", "mlx5_0")]


def test_one_carrier_change_with_the_fall_itself_is_one_loss() -> None:
    nodes = [
        snapshot([roce(carrier_changes=2)]),
        snapshot([down(roce(), carrier_changes=3)]),
        snapshot([roce(carrier_changes=4)]),
    ]
    found = findings(*nodes, step_s=20.0)
    assert [(each.check, each.evidence[0].value) for each in found] == [("link-drop", 1.0)]


def test_three_losses_in_an_hour_are_a_flap() -> None:
    nodes = [snapshot([port()], counters=counters(link_downed=value)) for value in (4, 5, 6, 7)]
    assert ("critical", "link-flap", "mlx5_0") in told(*nodes)
    assert "link-flap" not in {each[1] for each in told(*nodes[:3])}


def test_flap_stays_as_a_warning_for_a_day() -> None:
    judge = Judge()
    at = 1000.0
    for value in (4, 5, 6, 7):
        judge.step(snapshot([port()], counters=counters(link_downed=value)), Rises({}), at, at)
        at += 1.0
    steady = snapshot([port()], counters=counters(link_downed=7))
    for hours, severities in ((2, ["warning"]), (23, ["warning"]), (25, [])):
        for second in (0.0, 30.0):
            now = 1000.0 + hours * 3600 + second
            found = judge.step(steady, Rises({}), now, now)[0].findings
        assert [each.severity for each in found if each.check == "link-flap"] == severities, hours


def test_reset_of_a_counter_is_no_loss() -> None:
    assert (
        told(snapshot([port()], counters=counters(link_downed=9)), snapshot([port()], counters=counters(link_downed=0)))
        == []
    )


def test_losses_of_a_port_that_was_never_up_do_not_count() -> None:
    nodes = [snapshot([port("mlx5_1"), down(port())], counters=counters(link_downed=value)) for value in (1, 2)]
    assert [each for each in told(*nodes) if each[1] in ("link-drop", "link-flap")] == []


def test_flap_is_within_the_window_alone() -> None:
    assert has_flapped([0.0, 10.0, 20.0], 3, 3600.0)
    assert not has_flapped([0.0, 3000.0, 6000.0], 3, 3600.0)
    assert not has_flapped([0.0, 1.0], 3, 3600.0)


# Devices, GIDs, MTU


def function(address: str, **changed: Any) -> PciFunction:
    fields: dict[str, Any] = {
        "address": address,
        "vendor": "15b3",
        "device_id": "1021",
        "card": "ConnectX-7",
        "driver": "mlx5_core",
        "function": "pf",
        "rdma": None,
    }
    return PciFunction(**{**fields, **changed})


def with_functions(node: NodeSnapshot, *functions: PciFunction, **host: Any) -> NodeSnapshot:
    return msgspec.structs.replace(node, host=Host(pci_functions=functions, **host))


def test_function_without_a_device_beside_others_that_have_one() -> None:
    node = with_functions(eight(), function("0000:10:00.0", rdma="mlx5_0"), function("0000:99:00.0"))
    (found,) = findings(node)
    assert (found.severity, found.check) == ("warning", "device-missing") and "0000:99:00.0" in found.message


@pytest.mark.parametrize("changed", [{"driver": "vfio-pci"}, {"function": "vf"}])
def test_functions_that_are_given_away_are_not_missing(changed: dict[str, Any]) -> None:
    assert (
        told(with_functions(eight(), function("0000:10:00.0", rdma="mlx5_0"), function("0000:99:00.0", **changed)))
        == []
    )


def test_second_function_of_a_bond_is_not_missing() -> None:
    bond = device("mlx5_bond_0", bond=True, pci_address="0000:17:00.0")
    node = with_functions(
        snapshot([roce("mlx5_bond_0")], [bond]), function("0000:17:00.0", rdma="mlx5_bond_0"), function("0000:17:00.1")
    )
    assert told(node) == []


def test_no_device_at_all_though_the_cards_are_there() -> None:
    (found,) = findings(with_functions(snapshot(), function("0000:3b:00.0", driver=None)))
    assert (found.severity, found.check) == ("critical", "device-missing")


def test_device_that_vanished_is_missed_and_comes_back() -> None:
    without = snapshot([port(name) for name in EIGHT[:-1]])
    (found,) = findings(eight(), without)
    assert (found.severity, found.check, found.device) == ("critical", "device-missing", "mlx5_7")
    assert told(eight(), without, eight(), eight(), step_s=20.0) == []


def test_link_local_gids_alone_are_a_note_and_a_warning_after_an_address() -> None:
    local = gid(address="fe80:0000:0000:0000:0e42:a1ff:fe40:29a1", index=1)
    bare, addressed = snapshot([roce()], gids=(local,)), snapshot([roce()], gids=(local, gid()))
    assert told(bare) == [("info", "gid-missing", "mlx5_0")]
    assert told(addressed) == []
    assert told(addressed, bare) == [("warning", "gid-missing", "mlx5_0")]


def test_port_whose_netdev_is_elsewhere_needs_no_gid() -> None:
    assert told(snapshot([roce(netdev=None, gid_count=0), roce("mlx5_1")], gids=(gid("mlx5_1"),))) == []


def test_empty_gid_table_of_an_active_roce_port() -> None:
    assert told(snapshot([roce(gid_count=0)])) == [("warning", "gid-missing", "mlx5_0")]


def test_rdma_mtu_below_what_the_netdev_allows() -> None:
    assert told(snapshot([roce(mtu_bytes=1024, netdev_mtu_bytes=9000)])) == [("warning", "mtu-mismatch", "mlx5_0")]
    assert told(snapshot([roce(mtu_bytes=1024, netdev_mtu_bytes=1500)])) == []


def test_mtu_unlike_its_peers() -> None:
    assert told(eight(mlx5_3=port("mlx5_3", mtu_bytes=2048))) == [("warning", "mtu-mismatch", "mlx5_3")]
