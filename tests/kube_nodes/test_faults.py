"""Links, agents and whole nodes that go and come back."""

from __future__ import annotations

import time
from typing import Any

from tests.kube_nodes.conftest import Agents, until

SILENT_S = 120


def status(agents: Agents, node: str) -> dict[str, Any]:
    found: dict[str, Any] = agents.get("rdmanode", node).get("status", {})
    return found


def test_a_link_that_goes_down_is_told_to_the_cluster(agents: Agents) -> None:
    until(lambda: status(agents, "node1").get("portsUp") == 1, "node1 well", 60)
    agents.in_node("node1", "ip link set eth1 down")
    try:
        finding = until(lambda: found_by(agents, "node1", "netdev-down"), "node1 says netdev-down", 60)
        assert finding["device"] == "mlx5_0"
        found = status(agents, "node1")
        assert found["health"] in ("warning", "failed")
        assert found["ports"][0]["state"] == "DOWN"
        assert {each["type"]: each["reason"] for each in found["conditions"]}["RdmaHealthy"] != "NoFinding"
        until(lambda: "NetdevDown" in reasons(agents, "node1"), "an Event on node1", 30)
    finally:
        agents.in_node("node1", "ip link set eth1 up")
    until(lambda: not found_by(agents, "node1", "netdev-down"), "node1's link is well again", 60)
    until(lambda: "NetdevDownEnded" in reasons(agents, "node1"), "an Event of its end", 30)


def found_by(agents: Agents, node: str, check: str) -> dict[str, Any] | None:
    return next((each for each in status(agents, node).get("findings", ()) if each["check"] == check), None)


def reasons(agents: Agents, node: str) -> set[str]:
    return {each["reason"] for each in of_agent(agents, node)}


def of_agent(agents: Agents, node: str) -> list[dict[str, Any]]:
    items = agents.get("events", "-n", "default", f"--field-selector=involvedObject.name={node}")["items"]
    return [each for each in items if each["source"].get("component") == "rdmatop-agent"]


def test_an_agent_that_is_told_to_end_does_so_and_its_successor_knows_what_it_knew(agents: Agents) -> None:
    done = agents.ask("node1", "bench", "loopback", "mlx5_0", "--size", "4096", "--duration", "1", "--force")
    kept = done["items"][0]["id"]
    took = agents.in_node(
        "node1",
        "pid=$(pgrep -f '[/]rdmatop agent '); kill -TERM $pid; from=$(date +%s%N);"
        " while [ -d /proc/$pid ]; do sleep 0.02; done; echo $(( ($(date +%s%N) - from) / 1000000 ))",
    )
    assert int(took) < 2500, f"{took.strip()} ms"  # 2 s, and what an emulated processor takes to notice
    pod = agents.pod("node1")
    until(lambda: restarts(agents, pod) > 0 and agents.is_ready(pod), "started again", 120)
    assert kept in {item["id"] for item in agents.ask("node1", "get", "benchmarks")["items"]}


def restarts(agents: Agents, pod: str) -> int:
    statuses = agents.get("pod", "-n", "rdmatop", pod)["status"]["containerStatuses"]
    return int(next(each["restartCount"] for each in statuses if each["name"] == "agent"))


def test_a_node_whose_plug_is_pulled_leaves_its_last_state_and_comes_back(agents: Agents) -> None:
    until(lambda: status(agents, "node2").get("time"), "node2's last state")
    agents.lab.pull(2)
    agents.lab.wait_node(2, "Unknown", SILENT_S)
    last = status(agents, "node2")
    assert last["ports"][0]["state"] == "ACTIVE"
    time.sleep(1)
    assert status(agents, "node2")["time"] == last["time"], "nobody writes for a node that is gone"
    reasons = {each["reason"] for each in agents.get("events", "-n", "default")["items"]}
    assert "NodeNotReady" in reasons
    agents.lab.plug(2)
    agents.lab.wait_node(2)
    until(lambda: status(agents, "node2")["time"] > last["time"], "node2 speaks again", 240)
    until(lambda: agents.is_ready(agents.pod("node2")), "its agent is Ready", 240)
    assert agents.ask("node2", "get", "ports")["items"][0]["state"] == "ACTIVE"
