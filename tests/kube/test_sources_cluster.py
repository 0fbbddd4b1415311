"""The cluster as a source, against a real API server and real agents."""

from __future__ import annotations

import asyncio

from diagnostics.model import NodeSnapshot
from tests.kube.fleet_fixtures import COUNT, TREES, Watched, until


async def test_every_node_is_a_row(seen: Watched) -> None:
    # Another test may have deleted the kind: the agents write anew with their next heartbeat.
    await until(lambda: all(seen.fleet.rows[name].rates_from for name in TREES), 90)
    assert list(seen.fleet.rows)[:COUNT] == [f"gpu-{number:04d}" for number in range(1, COUNT + 1)]
    assert seen.fleet.installed
    assert seen.fleet.notices == ()
    row = seen.fleet.rows["gpu-0012"]
    assert (row.health, row.item.findings.warning, len(row.ports)) == ("warning", 8, 8)
    assert {finding.check for finding in row.findings if finding.severity == "warning"} == {"link-slow"}
    assert {port.state for port in seen.fleet.rows["gpu-0013"].ports} >= {"DOWN", "ACTIVE"}
    nobody = seen.fleet.rows["gpu-0020"]
    assert (nobody.health, nobody.agent.state) == ("unknown", "unwanted")
    assert nobody.note == "no DaemonSet rdmatop-agent in namespace rdmatop"


async def test_live_rates_come_from_the_agents_of_the_rows_on_the_screen_alone(seen: Watched) -> None:
    seen.source.watch_rows({"gpu-0011", "gpu-0020"})
    await until(lambda: seen.fleet.rows["gpu-0011"].rates_from == "agent")
    first = seen.fleet.rows["gpu-0011"].seen
    await until(lambda: (seen.fleet.rows["gpu-0011"].seen or 0) > (first or 0) + 1)
    assert seen.fleet.rows["gpu-0012"].rates_from == "heartbeat"
    assert seen.fleet.rows["gpu-0020"].problem is None


async def taken(node, count: int) -> list[NodeSnapshot]:
    got: list[NodeSnapshot] = []
    async for item in node.snapshots():
        assert isinstance(item, NodeSnapshot), item
        got.append(item)
        if len(got) == count:
            break
    return got


async def test_a_nodes_own_screens_go_through_its_agent(seen: Watched) -> None:
    node = seen.source.node("gpu-0011")
    got = await asyncio.wait_for(taken(node, 3), 20)
    assert [each.node.node for each in got] == ["gpu-0011"] * 3
    assert got[0].sequence < got[1].sequence < got[2].sequence
    assert await node.benchmarks() == ()
    assert await node.events() is not None  # type: ignore[attr-defined]
    history = await node.history("mlx5_0", 1, ("port_xmit_data",), 60)
    assert history[0].name == "port_xmit_data"
    await node.close()
