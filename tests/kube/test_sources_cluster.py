"""The cluster as a source, against a real API server and real agents."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from diagnostics.cluster.fleet import Fleet
from diagnostics.model import NodeSnapshot
from tests.kube.conftest import Cluster
from tests.kube.fleet_fixtures import COUNT, TREES, until
from tests.kube.real_agents import RealAgent
from tui.options import Options
from tui.sources.base import Outage
from tui.sources.cluster import ClusterSource


class Watched:
    """The newest picture of a source, kept by a task."""

    def __init__(self, source: ClusterSource) -> None:
        self.source = source
        self.fleet = Fleet()
        self.outage: Outage | None = None
        self.pictures = 0

    async def run(self) -> None:
        async for fleet in self.source.fleet():
            if isinstance(fleet, Outage):
                self.outage = fleet
                continue
            self.fleet = fleet
            self.pictures += 1


@contextlib.asynccontextmanager
async def watched(cluster: Cluster, **options) -> AsyncIterator[Watched]:
    source = ClusterSource(Options(kubeconfig=str(cluster.lab.kubeconfig), **options))
    seen = Watched(source)
    task = asyncio.create_task(seen.run())
    try:
        await until(lambda: seen.fleet.complete)
        yield seen
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await source.close()


@pytest.fixture
async def seen(agents: dict[str, RealAgent], twenty: Cluster) -> AsyncIterator[Watched]:
    async with watched(twenty) as one:
        yield one


async def test_every_node_is_a_row(seen: Watched) -> None:
    await until(lambda: all(seen.fleet.rows[name].rates_from for name in TREES), what=repr(seen.fleet.rows["gpu-0011"]))
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
