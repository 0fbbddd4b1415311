"""Twenty nodes, three of them with real agents: what the tests of the client share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from diagnostics.cluster.fleet import Fleet
from tests.kube.real_agents import RealAgent
from tui.options import Options
from tui.sources.base import Outage
from tui.sources.cluster import ClusterSource

if TYPE_CHECKING:
    from tests.kube.conftest import Cluster

TREES = {
    "gpu-0011": "gpud-h100-ndr",
    "gpu-0012": "gcm-a100-edr-rate",
    "gpu-0013": "derived-cx6-hdr-down-port",
}
COUNT = 20


@pytest.fixture(scope="session")
def twenty(cluster: Cluster) -> Cluster:
    """The cluster with its twenty nodes; the first four belong to the other tests of the folder."""
    there = {item["metadata"]["name"] for item in cluster.get("nodes")["items"]}
    for number in range(1, COUNT + 1):
        if f"gpu-{number:04d}" not in there:
            cluster.lab.nodes(1, first=number)
    return cluster


@pytest.fixture(scope="session")
def agents(twenty: Cluster, trees: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RealAgent]]:
    folder = tmp_path_factory.mktemp("agents")
    running = {name: RealAgent(twenty, name, trees / tree, folder) for name, tree in TREES.items()}
    try:
        for agent in running.values():
            agent.start()
        yield running
    finally:
        for agent in running.values():
            agent.stop()


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


async def until(condition: Callable[[], object], seconds: float = 20, what: str = "") -> None:
    end = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < end, f"never became true {what}"
        await asyncio.sleep(0.05)
