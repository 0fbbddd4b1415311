"""Rows of a fleet, joined from made objects; no API server."""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
import pytest

from diagnostics.cluster.fleet import STALE_S, Live, LiveState
from diagnostics.cluster.fleet_store import FleetStore
from diagnostics.cluster.nodes import DaemonSet, KubeNode, Pod, RdmaNode
from diagnostics.cluster.presence import agent_of
from diagnostics.cluster.rdmanode import FindingCounts, PortStatus, RdmaNodeStatus
from diagnostics.cluster.reflector import Meta, Reflector
from diagnostics.timing import rfc3339
from tests.kube.made import a_snapshot


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def node(name: str, ready: str = "True", **labels: str) -> KubeNode:
    return msgspec.json.decode(
        json.dumps({
            "metadata": {"name": name, "labels": labels},
            "status": {"conditions": [{"type": "Ready", "status": ready, "message": "kubelet stopped posting"}]},
        }),
        type=KubeNode,
    )  # fmt: skip


def pod(name: str, *, phase: str = "Running", ip: str = "10.0.0.1", **status: Any) -> Pod:
    return msgspec.json.decode(
        json.dumps({
            "metadata": {"name": f"rdmatop-agent-{name}", "namespace": "rdmatop", "uid": f"u-{name}"},
            "spec": {"nodeName": name},
            "status": {"phase": phase, "podIP": ip, **status},
        }),
        type=Pod,
    )  # fmt: skip


def rdma(name: str, at: float, health: str = "healthy", **more: Any) -> RdmaNode:
    return RdmaNode(
        metadata=Meta(name=name),
        status=RdmaNodeStatus(
            health=health, time=rfc3339(at), ports_up=8, ports_expected=8, tx_gbps=5.0,
            finding_counts=FindingCounts(), ports=(PortStatus(device="mlx5_0", port=1),), **more,
        ),
    )  # fmt: skip


DAEMONSET = DaemonSet(metadata=Meta(name="rdmatop-agent", namespace="rdmatop"))


class Made:
    """A store whose lists are filled by hand."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.store = FleetStore(None, clock=self.clock)  # type: ignore[arg-type]
        for each in (self.store.nodes, self.store.rdmanodes, self.store.pods, self.store.daemonsets):
            each.state = "current"
        self.store.daemonsets.objects["rdmatop/rdmatop-agent"] = DAEMONSET

    def put(self, reflector: Reflector[Any], thing: Any) -> None:
        key = f"rdmatop/{thing.metadata.name}" if thing.metadata.namespace else thing.metadata.name
        reflector.objects[key] = thing
        reflector._changed(key)

    def row(self, name: str):
        return self.store.build().rows[name]


@pytest.fixture
def made() -> Made:
    one = Made()
    for name in ("n10", "n2"):
        one.put(one.store.nodes, node(name))
        one.put(one.store.pods, pod(name))
        one.put(one.store.rdmanodes, rdma(name, one.clock.now - 20))
    one.store.build()
    return one


def test_rows_are_in_natural_order_and_say_what_the_agent_said(made: Made) -> None:
    fleet = made.store.build()
    assert list(fleet.rows) == ["n2", "n10"]
    row = fleet.rows["n2"]
    assert (row.health, row.agent.state, row.rates_from, row.item.tx_gbps, row.item.age_s) == (
        "healthy", "running", "heartbeat", 5.0, 20.0,
    )  # fmt: skip
    assert row.age_s(made.clock.now + 5) == 25.0
    assert row.ports[0].device == "mlx5_0"


def test_a_row_that_nothing_changed_of_is_the_same_object(made: Made) -> None:
    before = made.store.build().rows
    made.clock.now += 1
    made.put(made.store.rdmanodes, rdma("n2", made.clock.now, "warning"))
    made.store._touched("")  # a list came: all are joined anew
    after = made.store.build().rows
    assert after["n2"].health == "warning"
    assert after["n10"] is before["n10"]


def test_only_what_changed_is_joined(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    joined: list[str] = []
    one = made.store._row
    monkeypatch.setattr(made.store, "_row", lambda name, before: joined.append(name) or one(name, before))
    for _ in range(1000):
        made.put(made.store.rdmanodes, rdma("n2", made.clock.now))
    made.store.build()
    assert joined == ["n2"]


async def test_a_thousand_changes_are_one_picture(made: Made) -> None:
    import asyncio

    pictures = made.store.fleets()
    first = await pictures.__anext__()
    for _ in range(1000):
        made.put(made.store.rdmanodes, rdma("n2", made.clock.now, "warning"))
    second = await asyncio.wait_for(pictures.__anext__(), 2)
    assert second.sequence == first.sequence + 1
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(pictures.__anext__(), 0.5)


def test_a_silent_agent_becomes_a_warning_by_time_alone(made: Made) -> None:
    made.clock.now += STALE_S + 1
    row = made.row("n2")
    assert (row.health, row.missing, row.item.findings.warning) == ("warning", True, 1)
    made.put(made.store.rdmanodes, rdma("n2", made.clock.now - 3600))  # its clock is an hour slow: it spoke just now
    assert (made.row("n2").health, made.row("n2").age_s(made.clock.now)) == ("healthy", 0.0)


def test_a_server_that_is_away_makes_no_agent_silent(made: Made) -> None:
    made.store.rdmanodes.state = "away"
    made.clock.now += 10 * STALE_S
    made.store._touched("")
    fleet = made.store.build()
    assert not fleet.rows["n2"].missing
    assert [(each.source, each.state) for each in fleet.notices] == [("rdmanodes", "away")]


def test_the_newer_of_heartbeat_and_live_answer_is_shown(made: Made) -> None:
    live = Live(node=a_snapshot("n2", tx_gbps=99.0).node, time="", sequence=1)
    made.store.set_live("n2", LiveState(live, made.clock.now))
    assert (made.row("n2").item.tx_gbps, made.row("n2").rates_from) == (99.0, "agent")
    made.clock.now += 30
    made.put(made.store.rdmanodes, rdma("n2", made.clock.now))
    assert (made.row("n2").item.tx_gbps, made.row("n2").rates_from) == (5.0, "heartbeat")


def test_a_node_that_is_deleted_goes_with_its_object(made: Made) -> None:
    for reflector, key in ((made.store.nodes, "n2"), (made.store.pods, "rdmatop/rdmatop-agent-n2")):
        del reflector.objects[key]
        reflector._changed(key)
    row = made.row("n2")
    assert (row.agent.state, row.missing) == ("missing", True)
    del made.store.rdmanodes.objects["n2"]
    made.store.rdmanodes._changed("n2")
    assert "n2" not in made.store.build().rows


def test_windows_and_virtual_nodes_are_no_rows(made: Made) -> None:
    made.put(made.store.nodes, node("w", **{"kubernetes.io/os": "windows"}))
    made.put(made.store.nodes, node("v", type="virtual-kubelet"))
    assert set(made.store.build().rows) == {"n2", "n10"}


def status(reason: str, words: str = "", **last: Any) -> dict[str, Any]:
    one = {"name": "agent", "state": {"waiting": {"reason": reason, "message": words}}, "restartCount": 7}
    return {"containerStatuses": [{**one, "lastState": {"terminated": last} if last else {}}]}


@pytest.mark.parametrize(
    ("found", "state", "words"),
    [
        (pod("n"), "running", None),
        (pod("n", phase="Pending", **status("ContainerCreating")), "starting", "being made"),
        (pod("n", phase="Pending", **status("ImagePullBackOff", 'Back-off pulling image "x:1"')), "failing",
         'agent: ImagePullBackOff: Back-off pulling image "x:1"'),
        (pod("n", **status("CrashLoopBackOff", "back-off 5m0s", exitCode=2, message="--listen: address in use")),
         "failing", "it last ended with 2: --listen: address in use"),
        (pod("n", phase="Pending", conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
         "message": "0/9 nodes are available: 1 Insufficient memory"}]), "pending", "1 Insufficient memory"),
        (pod("n", phase="Failed", reason="Evicted", message="The node was low on resource: memory"), "failing",
         "Evicted: The node was low on resource: memory"),
        (None, "missing", "the DaemonSet has placed no pod"),
    ],
)  # fmt: skip
def test_why_there_is_no_agent_is_said_in_the_pods_own_words(found: Pod | None, state: str, words: str | None) -> None:
    agent = agent_of(node("n"), found, daemonset=DAEMONSET)
    assert agent.state == state
    assert (agent.reason is None) if words is None else (words in (agent.reason or ""))


def test_a_node_that_is_not_ready_is_the_reason(made: Made) -> None:
    agent = agent_of(node("n", ready="Unknown"), pod("n"), daemonset=DAEMONSET)
    assert (agent.state, agent.reason) == ("missing", "the node is not Ready: kubelet stopped posting")


def test_what_may_not_be_read_is_not_guessed() -> None:
    assert agent_of(node("n"), None, pods_state="forbidden").state == "unknown"
    assert agent_of(node("n"), None, daemonset=None).state == "unwanted"
    assert not agent_of(node("n"), None, daemonset=None).wanted
    assert agent_of(node("n"), None, daemonset=None, daemonset_state="forbidden").state == "unknown"
    choosy = msgspec.json.decode(
        b'{"metadata": {"name": "d"}, "spec": {"template": {"spec": {"nodeSelector": {"rdma": "yes"}}}}}',
        type=DaemonSet,
    )
    assert agent_of(node("n"), None, daemonset=choosy).reason == "not selected by the DaemonSet's nodeSelector"
    assert agent_of(node("n", rdma="yes"), None, daemonset=choosy).state == "missing"


def test_a_waiting_pods_node_is_in_its_affinity() -> None:
    text = """{"metadata": {"name": "p"}, "spec": {"affinity": {"nodeAffinity": {
      "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": [
        {"key": "metadata.name", "operator": "In", "values": ["n7"]}]}]}}}}}"""
    assert msgspec.json.decode(text, type=Pod).node == "n7"


def test_cpu_of_a_change_does_not_grow_with_the_fleet() -> None:
    def cost(count: int) -> float:
        one = Made()
        for number in range(count):
            one.put(one.store.nodes, node(f"n{number}"))
            one.put(one.store.rdmanodes, rdma(f"n{number}", one.clock.now))
        one.store.build()
        began = time.process_time()
        for turn in range(50):
            for number in range(20):
                one.put(one.store.rdmanodes, rdma(f"n{number}", one.clock.now + turn))
            one.store.build()
        return time.process_time() - began

    small, large = min(cost(100) for _ in range(3)), min(cost(5000) for _ in range(2))
    assert large < small * 2 + 0.02, (small, large)
