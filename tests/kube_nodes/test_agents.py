"""Agents in their pods, under the rights of deploy/daemonset.yaml, on real kubelets."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kube_nodes.conftest import NAMES, Agents, until

FLEETING = {"value", "per_second", "quality", "tx_gbps", "rx_gbps", "rate_quality", "health", "age_s"}
"""What two readings a moment apart may differ in."""


def test_every_node_has_its_object(agents: Agents) -> None:
    def written() -> list[Any] | None:
        items = agents.get("rdmanodes")["items"]
        return items if len(items) == len(NAMES) and all(each.get("status") for each in items) else None

    for item in until(written, "both RdmaNodes"):
        status = item["status"]
        assert [(port["device"], port["state"], port["rateGbps"]) for port in status["ports"]] == [
            ("mlx5_0", "ACTIVE", 200)
        ]
        assert {each["type"]: each["status"] for each in status["conditions"]}["AgentReady"] == "True"
        assert item["metadata"]["ownerReferences"][0]["name"] == item["metadata"]["name"]
    table = agents.lab.kubectl("get", "rdmanodes").splitlines()
    assert table[0].split()[:6] == ["NAME", "HEALTH", "PORTS", "RATE", "TX", "RX"]


@pytest.mark.parametrize("kind", ["devices", "ports", "gids", "counters"])
def test_a_pod_reads_what_its_host_reads(agents: Agents, kind: str) -> None:
    """Field by field: nothing that the host reads is lost to the container. It knows more, by verbs and over time."""
    inside, outside = (by_name(ask("node1", "get", kind)) for ask in (agents.ask, agents.on_host))
    assert outside
    assert outside.keys() <= inside.keys()
    for name, item in outside.items():
        assert {field: inside[name][field] for field in item} == item, name


def by_name(envelope: Any) -> dict[tuple[Any, ...], dict[str, Any]]:
    """What is known of each item, but for what two readings a moment apart may differ in."""
    assert envelope["errors"] == []
    return {
        tuple(item.get(part) for part in ("device", "port", "source", "name", "index")): {
            field: value for field, value in item.items() if field not in FLEETING and value is not None
        }
        for item in envelope["items"]
    }


def test_check_answers_in_the_pod(agents: Agents) -> None:
    done = agents.lab.kubectl("exec", "ds/rdmatop-agent", "-n", "rdmatop", "--", "rdmatop", "check", check=False)
    assert "mlx5_0" in done or "passed" in done.lower()
    report = agents.ask("node2", "check")
    assert report["kind"] == "CheckReport"
    statuses = {check["check"]: check["status"] for check in report["checks"]}
    # its own log of the kernel, its own store: what a container is easily without
    assert statuses["kernel-log"] in ("pass", "warn", "fail"), report["checks"]
    assert statuses["store-degraded"] == "pass"


def test_a_loopback_runs_in_the_pod(agents: Agents) -> None:
    done = agents.ask("node1", "bench", "loopback", "mlx5_0", "--size", "65536", "--duration", "1", "--force")
    (result,) = done["items"]
    assert (result["state"], result["error"], result["verified"]) == ("done", None, True)
    assert result["bandwidth_gbps"] > 0
