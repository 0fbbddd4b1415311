"""RdmaNode and Events, written by an agent's own token into a real API server."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from agent.cluster.api import ApiRefused, ApiServer
from agent.cluster.config import from_kubeconfig
from agent.publisher import EVENTS_A_MINUTE, Publisher
from diagnostics.cluster.rdmanode import MAX_BYTES, PATH, status_of
from diagnostics.model import Event, FindingCounts
from tests.kube.conftest import Cluster
from tests.kube.made import a_finding, a_snapshot


async def once(*snapshots) -> AsyncIterator:
    for snapshot in snapshots:
        yield snapshot


def api_of(cluster: Cluster, node: str, tmp_path: Path) -> ApiServer:
    token = cluster.pod_token(cluster.agent_pod(node))
    return ApiServer(from_kubeconfig(str(cluster.kubeconfig(token, tmp_path / node))))


async def test_the_object_says_what_the_snapshot_says(cluster: Cluster, tmp_path: Path) -> None:
    api = api_of(cluster, "gpu-0001", tmp_path)
    publisher = Publisher(api, "gpu-0001")
    await publisher.run(once(a_snapshot("gpu-0001", findings=(a_finding("critical"),))))
    await api.close()
    assert publisher.problem is None
    found = cluster.get("rdmanode", "gpu-0001")
    assert found["status"]["health"] == "failed"
    assert found["status"]["portsText"] == "1/2"
    assert found["status"]["findingCounts"] == {"critical": 1, "warning": 0, "info": 0}
    assert found["status"]["findings"][0]["check"] == "link-down"
    owner = found["metadata"]["ownerReferences"][0]
    assert owner["uid"] == cluster.get("node", "gpu-0001")["metadata"]["uid"]
    assert {each["type"]: each["status"] for each in found["status"]["conditions"]} == {
        "RdmaHealthy": "False", "AgentReady": "True",
    }  # fmt: skip
    assert [each["manager"] for each in found["metadata"]["managedFields"]] == ["rdmatop-agent"] * 2
    line = cluster.lab.kubectl("get", "rdmanodes", "gpu-0001", "--no-headers").split()
    assert line[:5] == ["gpu-0001", "failed", "1/2", "400", "12.3"]


async def test_another_nodes_object_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    api = api_of(cluster, "gpu-0002", tmp_path)
    publisher = Publisher(api, "gpu-0003")
    await publisher.run(once(a_snapshot("gpu-0003")))
    assert "own node alone" in (publisher.problem or "")
    with pytest.raises(ApiRefused, match="own node alone"):
        await api.call(
            "PATCH", f"{PATH}/gpu-0001/status",
            {"apiVersion": "rdmatop.dev/v1alpha1", "kind": "RdmaNode", "metadata": {"name": "gpu-0001"},
             "status": {"health": "healthy"}},
            kind="application/apply-patch+yaml", query={"fieldManager": "rdmatop-agent", "force": "true"},
        )  # fmt: skip
    await api.close()


async def test_changes_are_written_soon_and_sameness_only_as_a_heartbeat(cluster: Cluster, tmp_path: Path) -> None:
    api = api_of(cluster, "gpu-0004", tmp_path)
    now = [0.0]
    publisher = Publisher(api, "gpu-0004", clock=lambda: now[0])
    versions: list[str] = []

    async def seconds() -> AsyncIterator:
        for second in range(200):
            now[0] = float(second)
            health = "healthy" if second < 100 else "warning"
            yield a_snapshot("gpu-0004", health=health, tx_gbps=float(second))
            if second % 10 == 9:
                versions.append(cluster.get("rdmanode", "gpu-0004")["metadata"]["resourceVersion"])

    await publisher.run(seconds())
    await api.close()
    changed = [index for index in range(1, len(versions)) if versions[index] != versions[index - 1]]
    # A heartbeat in each minute (jitter 10 %), the change of health within its ten seconds, nothing else.
    assert 10 in changed
    assert 3 <= len(changed) <= 4


async def test_transitions_become_events_and_a_storm_is_counted(cluster: Cluster, tmp_path: Path) -> None:
    api = api_of(cluster, "gpu-0002", tmp_path)
    publisher = Publisher(api, "gpu-0002")
    publisher.tell([
        Event(node="gpu-0002", time="2026-01-01T00:00:00.000Z", check="link-down", device="mlx5_3", port=1,
              kind="started", message=f"down {number}") for number in range(60)
    ])  # fmt: skip
    await publisher.run(once(a_snapshot("gpu-0002")))
    await api.close()
    events = cluster.get("events", "-n", "default", "--field-selector=involvedObject.name=gpu-0002")["items"]
    ours = [each for each in events if each["source"].get("component") == "rdmatop-agent"]
    assert [each["reason"] for each in ours].count("LinkDown") == EVENTS_A_MINUTE
    assert ours[0]["involvedObject"]["kind"] == "Node"


async def test_an_object_deleted_under_us_comes_back(cluster: Cluster, tmp_path: Path) -> None:
    api = api_of(cluster, "gpu-0003", tmp_path)
    now = [0.0]
    publisher = Publisher(api, "gpu-0003", clock=lambda: now[0])

    async def life() -> AsyncIterator:
        for second, health in ((0, "healthy"), (10, "warning"), (30, "healthy"), (60, "warning")):
            now[0] = float(second)
            yield a_snapshot("gpu-0003", health=health)
            if second == 10:
                cluster.lab.kubectl("delete", "rdmanode", "gpu-0003")

    await publisher.run(life())
    await api.close()
    assert cluster.get("rdmanode", "gpu-0003")["status"]["health"] == "warning"


async def test_the_api_server_away_loses_nothing(cluster: Cluster, tmp_path: Path) -> None:
    api = api_of(cluster, "gpu-0001", tmp_path)
    publisher = Publisher(api, "gpu-0001")

    async def life() -> AsyncIterator:
        yield a_snapshot("gpu-0001", health="healthy")
        cluster.lab.kill("kube-apiserver")
        publisher.tell([Event(node="gpu-0001", time="2026-01-01T00:00:00.000Z", check="link-flap", device="mlx5_1",
                              port=1, kind="started", message="while away")])  # fmt: skip
        end = time.monotonic() + 5.5
        while time.monotonic() < end:
            await asyncio.sleep(0.2)
            yield a_snapshot("gpu-0001", health="warning")
        assert publisher.problem is not None
        cluster.lab.start("kube-apiserver")
        await asyncio.to_thread(cluster.lab.wait_ready)
        end = time.monotonic() + 30
        while publisher.problem is not None and time.monotonic() < end:
            await asyncio.sleep(0.2)
            yield a_snapshot("gpu-0001", health="warning")

    await publisher.run(life())
    await api.close()
    assert publisher.problem is None
    assert cluster.get("rdmanode", "gpu-0001")["status"]["health"] == "warning"
    events = cluster.get("events", "-n", "default", "--field-selector=reason=LinkFlap")["items"]
    assert [each["message"] for each in events] == ["mlx5_1/1: while away"]


def test_the_largest_node_fits() -> None:
    findings = tuple(a_finding("warning", message="x" * 900, number=number) for number in range(500))
    ports = a_snapshot("n").ports * 256
    status = status_of(msgspec.structs.replace(a_snapshot("n", findings=findings), ports=ports))
    assert len(msgspec.json.encode(status)) <= MAX_BYTES
    assert status.finding_counts.warning == 500
    assert status.omitted["findings"] + len(status.findings) == 500
    assert len(status.ports) > 0
    assert json.loads(msgspec.json.encode(status))["omitted"]["ports"] + len(status.ports) == 512


def test_counts_are_those_of_the_node() -> None:
    snapshot = a_snapshot("n", findings=(a_finding("critical"), a_finding("info", number=2)))
    assert snapshot.node.findings == FindingCounts(critical=1, warning=0, info=1)
