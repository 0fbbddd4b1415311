"""Twenty nodes, three of them with real agents: what the tests of the client share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kube.real_agents import RealAgent

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


async def until(condition: Callable[[], object], seconds: float = 20, what: str = "") -> None:
    end = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < end, f"never became true {what}"
        await asyncio.sleep(0.05)
