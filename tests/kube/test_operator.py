"""The stack on a real API server with real controllers: a row says what is changed, and what has to be found."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from diagnostics.cluster.kube import Kube
from diagnostics.cluster.operator.judge import Verdict
from diagnostics.cluster.operator.reader import Reader
from tests.kube.conftest import Cluster
from tests.kube.operator_cases.cases import CASES, Case
from tests.kube.operator_cases.world import World
from tests.shared import shared_path

NODES = 20


@pytest.fixture(scope="module")
def world(cluster: Cluster) -> Iterator[World]:
    """Twenty nodes with the whole stack on them, all well."""
    made = World(cluster)
    made.raise_up(shared_path("data/crds"), NODES)
    yield made
    made.take_down()


async def verdict(cluster: Cluster, kubeconfig: str | None = None) -> Verdict:
    kube = await Kube.open(kubeconfig or str(cluster.lab.kubeconfig))
    try:
        return await Reader(kube).read_once()
    finally:
        await kube.close()


def told(seen: Verdict) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(each.check, each.component or "", each.nodes) for each in seen.findings if each.severity != "info"]


async def test_a_healthy_cluster_is_silent(world: World) -> None:
    seen = await verdict(world.cluster)
    assert [each.message for each in seen.findings] == []
    assert seen.problems == ()
    states = {each.component: each.verdict for each in seen.components}
    assert {states[name] for name in ("state-OFED", "state-RDMA-device-plugin", "network-operator")} == {"ok"}
    assert states["state-ib-kubernetes"] == "absent"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_what_is_changed_is_named(world: World, case: Case) -> None:
    world.change(case.steps)
    try:
        end, seen = time.monotonic() + 20, None
        while time.monotonic() < end:
            seen = await verdict(world.cluster)
            if case.met_by(seen):
                break
            await asyncio.sleep(0.3)
        assert seen is not None
        assert case.met_by(seen), "\n".join(f"{each.severity} {each.check} {each.component} {each.nodes} {each.message}"
                                             for each in seen.findings)  # fmt: skip
    finally:
        world.restore()


async def test_a_viewer_may_read_it_all_and_whoever_may_not_is_told(world: World, tmp_path: Path) -> None:
    cluster = world.cluster
    cluster.lab.kubectl("create", "serviceaccount", "looker", "-n", "rdmatop")
    token = cluster.lab.kubectl("create", "token", "looker", "-n", "rdmatop").strip()
    config = str(cluster.kubeconfig(token, tmp_path / "looker"))
    blind = await verdict(cluster, config)
    assert {each.source for each in blind.problems} >= {"daemonsets", "pods", "nodes", "policies"}
    assert {each.verdict for each in blind.components} == {"unknown"}
    cluster.lab.kubectl("create", "clusterrolebinding", "looker", "--clusterrole=rdmatop-viewer",
                        "--serviceaccount=rdmatop:looker")  # fmt: skip
    try:
        seen = await verdict(cluster, config)
        assert seen.problems == ()
        assert {each.verdict for each in seen.components} <= {"ok", "absent"}
    finally:
        cluster.lab.kubectl("delete", "clusterrolebinding", "looker")
        cluster.lab.kubectl("delete", "serviceaccount", "looker", "-n", "rdmatop")
