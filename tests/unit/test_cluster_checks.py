"""Outliers among nodes: made fleets, one of whose nodes differs."""

from __future__ import annotations

import msgspec
import pytest

from diagnostics.checks.fleet import judge_fleet
from diagnostics.model import Device, NodeSnapshot
from tests.kube.made import a_port, a_snapshot

NOW = "2026-01-01T00:00:00.000Z"


def a_device(node: str, name: str, card: str = "ConnectX-7") -> Device:
    return Device(
        node=node, device=name, driver=None, node_guid=None, sys_image_guid=None, card=card, hca_type=None,
        board_id=None, firmware=None, function="pf", pci_address=None, numa_node=None, pcie=None, ports=1,
    )  # fmt: skip


def fleet(count: int, card: str = "ConnectX-7", first: int = 0) -> list[NodeSnapshot]:
    nodes = []
    for number in range(first, first + count):
        name = f"n{number}"
        nodes.append(
            msgspec.structs.replace(
                a_snapshot(name, health="healthy"),
                devices=tuple(a_device(name, device, card) for device in ("mlx5_0", "mlx5_1")),
                ports=tuple(a_port(name, device) for device in ("mlx5_0", "mlx5_1")),
            )
        )
    return nodes


def with_port(snapshot: NodeSnapshot, **changes) -> NodeSnapshot:
    first, *rest = snapshot.ports
    return msgspec.structs.replace(snapshot, ports=(msgspec.structs.replace(first, **changes), *rest))


def with_node(snapshot: NodeSnapshot, **changes) -> NodeSnapshot:
    return msgspec.structs.replace(snapshot, node=msgspec.structs.replace(snapshot.node, **changes))


def told(nodes: list[NodeSnapshot]) -> list[tuple[str, str, str, str]]:
    found = judge_fleet(nodes, NOW)
    return [(each.node, each.check, each.severity, each.message) for one in found.values() for each in one.findings]


def test_alike_nodes_have_nothing_to_say() -> None:
    found = judge_fleet(fleet(6), NOW)
    assert all(not one.findings and not one.unjudged for one in found.values())


@pytest.mark.parametrize(
    ("changes", "severity", "words"),
    [
        ({"rate_gbps": 200.0}, "warning", "mlx5_0/1: 200 Gb/s; the same rail on 5 other nodes: 400 Gb/s"),
        ({"rate_gbps": 800.0}, "info", "800 Gb/s"),
        ({"mtu_bytes": 2048}, "warning", "2048 bytes MTU"),
        ({"link_layer": "Ethernet"}, "warning", "Ethernet"),
        ({"state": "DOWN", "expected": "spare"}, "warning", "is DOWN; the same rail is up on 5 other nodes"),
    ],
)
def test_a_rail_that_differs(changes: dict, severity: str, words: str) -> None:
    nodes = fleet(6)
    nodes[3] = with_port(nodes[3], **changes)
    ((node, check, said, message),) = told(nodes)
    assert (node, check, said) == ("n3", "rail-outlier", severity)
    assert words in message


def test_what_the_node_itself_calls_down_is_not_told_twice() -> None:
    nodes = fleet(6)
    nodes[3] = with_port(nodes[3], state="DOWN", expected="up")
    assert told(nodes) == []


@pytest.mark.parametrize(
    ("changes", "severity", "words"),
    [
        ({"ports_expected": 1}, "warning", "1 ports are expected here; 5 nodes"),
        ({"driver_version": "23.10"}, "info", "driver 23.10 here; 5 nodes"),
        ({"errors_per_minute": 500.0}, "warning", "500 errors a minute; the median of 6 nodes is 0"),
        ({"benchmark": 61.0}, "warning", "reaches 61 %; the median of 6 nodes is 98 %"),
    ],
)
def test_a_node_that_differs(changes: dict, severity: str, words: str) -> None:
    nodes = [with_node(each, benchmark=98.0) for each in fleet(6)]
    nodes[2] = with_node(nodes[2], **changes)
    ((node, check, said, message),) = told(nodes)
    assert (node, check, said) == ("n2", "node-outlier", severity)
    assert words in message


def test_three_nodes_are_too_few_and_it_says_so() -> None:
    nodes = fleet(3)
    nodes[0] = with_port(nodes[0], rate_gbps=100.0)
    assert told(nodes) == []
    assert set(judge_fleet(nodes, NOW)["n0"].unjudged) == {"rail-outlier", "node-outlier"}


def test_generations_are_not_compared() -> None:
    slow = [with_port(each, rate_gbps=200.0) for each in fleet(5, "ConnectX-6", first=10)]
    assert told([*fleet(5), *slow]) == []


def test_where_nobody_agrees_there_is_no_outlier() -> None:
    nodes = [with_port(each, rate_gbps=rate) for each, rate in zip(fleet(4), (100.0, 200.0, 200.0, 400.0), strict=True)]
    assert told(nodes) == []


def test_a_finding_is_the_same_each_time() -> None:
    nodes = fleet(6)
    nodes[3] = with_port(nodes[3], rate_gbps=200.0)
    first, second = (judge_fleet(nodes, NOW)["n3"].findings[0].id for _ in range(2))
    assert first == second
