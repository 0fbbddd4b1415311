"""RDMA between two pods of users, and what the agents beside them see of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.kube_nodes import jobs
from tests.kube_nodes.conftest import NAMES, Agents, until


@pytest.fixture(scope="module")
def moving(agents: Agents) -> Iterator[None]:
    addresses = jobs.start(agents)
    with jobs.traffic(agents, addresses):
        yield


@pytest.mark.parametrize("node", NAMES)
def test_a_queue_pair_has_the_name_of_its_pod(agents: Agents, moving: None, node: str) -> None:
    def named() -> Any:
        items = agents.ask(node, "get", "processes")["items"]
        return next((item for item in items if item["command"] == "ib_write_bw" and item["pod"]), None)

    found = until(named, f"the queue pair of the job on {node} has its pod's name")
    assert (found["namespace"], found["pod"], found["container"]) == ("default", f"job-{node}", "trainer")
    assert (found["device"], found["port"], found["qp_types"]) == ("mlx5_0", 1, {"RC": 1})
    assert found["pid"] > 1


def test_the_rate_of_the_traffic_at_both_ends(agents: Agents, moving: None) -> None:
    for node, direction in (("node2", "tx_gbps"), ("node1", "rx_gbps")):
        until(lambda node=node, key=direction: (rate(agents, node)[key] or 0) > 0.001, f"{direction} on {node}")


def rate(agents: Agents, node: str) -> dict[str, Any]:
    (port,) = agents.ask(node, "get", "ports", "mlx5_0")["items"]
    return port


def test_the_object_has_the_rate_at_its_heartbeat(agents: Agents, moving: None) -> None:
    def rates() -> bool:
        status = agents.get("rdmanode", "node2")["status"]
        return bool((status["txGbps"] or 0) > 0)

    until(rates, "txGbps in node2's RdmaNode", 100, pause_s=2)
