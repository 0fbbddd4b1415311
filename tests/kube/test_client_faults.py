"""What goes wrong between a client and its cluster: the picture stays, says what it cannot know, and recovers."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from pathlib import Path

import pytest

from diagnostics.cluster import reflector
from diagnostics.cluster.agents import _Token
from diagnostics.errors import UserError
from diagnostics.model import BenchmarkRequest, NodeSnapshot
from tests.kube.conftest import BASE, Cluster
from tests.kube.fleet_fixtures import COUNT, Watched, until, watched
from tests.kube.proxies import BusyProxy
from tests.kube.real_agents import RealAgent, rdmatop
from tests.lab.kube.control_plane import kubeconfig
from tui.options import Options
from tui.sources.base import Outage
from tui.sources.cluster import ClusterSource

READS = [
    {"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["apps"], "resources": ["daemonsets"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["rdmatop.dev"], "resources": ["rdmanodes"], "verbs": ["get", "list", "watch"]},
]
VIEWS = [
    {"apiGroups": [""], "resources": ["pods/proxy"], "verbs": ["get", "create", "delete"]},
    {"apiGroups": [""], "resources": ["serviceaccounts/token"], "resourceNames": ["rdmatop-viewer"],
     "verbs": ["create"]},
]  # fmt: skip


def someone(cluster: Cluster, name: str, rules: list[dict], folder: Path) -> str:
    """The kubeconfig of a user with just these rights."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "default"}}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name},
            "rules": rules}  # fmt: skip
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"}],
    }  # fmt: skip
    cluster.lab.apply(account, role, binding)
    token = cluster.lab.kubectl("create", "token", name, "-n", "default").strip()
    return str(cluster.kubeconfig(token, folder / name))


class As:
    """A cluster seen by another user's kubeconfig."""

    def __init__(self, path: str) -> None:
        self.lab = self
        self.kubeconfig = path


async def test_without_the_right_to_ask_agents_rates_are_the_heartbeats_and_it_says_so(
    agents: dict[str, RealAgent], twenty: Cluster, tmp_path: Path
) -> None:
    path = await asyncio.to_thread(someone, twenty, "reader", READS, tmp_path)
    async with watched(As(path)) as one:  # type: ignore[arg-type]
        one.source.watch_rows({"gpu-0011"})
        await until(lambda: one.fleet.rows["gpu-0011"].problem)
        row = one.fleet.rows["gpu-0011"]
        assert "no token of rdmatop-viewer" in (row.problem or "")
        assert "forbidden" in (row.problem or "")
        assert (row.rates_from, row.health) == ("heartbeat", "healthy")
        one.source.watch_rows(set())
        await until(lambda: one.fleet.rows["gpu-0011"].problem is None)


async def test_what_may_not_be_read_is_named_with_what_that_hides(
    agents: dict[str, RealAgent], twenty: Cluster, tmp_path: Path
) -> None:
    path = await asyncio.to_thread(someone, twenty, "half", READS[2:], tmp_path)
    async with watched(As(path)) as one:  # type: ignore[arg-type]
        assert {(each.source, each.state) for each in one.fleet.notices} == {
            ("nodes", "forbidden"), ("pods", "forbidden"), ("daemonsets", "forbidden"),
        }  # fmt: skip
        assert all("forbidden" in each.message and each.hides for each in one.fleet.notices)
        assert one.fleet.rows["gpu-0012"].health == "warning"
        assert one.fleet.rows["gpu-0012"].agent.state == "unknown"
    done = await asyncio.to_thread(rdmatop, "get", "nodes", "-o", "json", "--kubeconfig", path)
    assert {error["source"] for error in json.loads(done.stdout)["errors"]} >= {"nodes", "pods"}
    nobody = await asyncio.to_thread(someone, twenty, "nobody", [], tmp_path)
    refused = await asyncio.to_thread(rdmatop, "get", "nodes", "--kubeconfig", nobody)
    assert (refused.returncode, "forbidden" in refused.stderr) == (3, True)


async def test_a_viewer_starts_no_benchmark(agents: dict[str, RealAgent], twenty: Cluster, tmp_path: Path) -> None:
    path = await asyncio.to_thread(someone, twenty, "viewer", READS + VIEWS, tmp_path)
    async with watched(As(path)) as one:  # type: ignore[arg-type]
        one.source.watch_rows({"gpu-0011"})
        await until(lambda: one.fleet.rows["gpu-0011"].rates_from == "agent")
        node = one.source.node("gpu-0011")
        with pytest.raises(UserError, match=r"no token of rdmatop-operator.*forbidden"):
            await node.start_benchmark(BenchmarkRequest())
        # With a viewer's token in the operator's place the agent itself refuses.
        tokens = one.source.agents.tokens
        tokens._tokens["act"] = _Token(await tokens.get("view"), time.monotonic() + 600)
        with pytest.raises(UserError, match=r"rdmatop-viewer may not post /v1/benchmarks"):
            await node.start_benchmark(BenchmarkRequest())


async def test_a_token_that_ends_under_a_running_source_is_made_anew(seen: Watched, twenty: Cluster) -> None:
    seen.source.watch_rows({"gpu-0011"})
    await until(lambda: seen.fleet.rows["gpu-0011"].rates_from == "agent")
    tokens = seen.source.agents.tokens
    wrong = await asyncio.to_thread(twenty.token, "rdmatop-viewer", "vault")
    for bad in ("nonsense", wrong):
        tokens._tokens["view"] = _Token(bad, time.monotonic() + 600)
        at = seen.fleet.rows["gpu-0011"].seen or 0
        await until(lambda at=at: (seen.fleet.rows["gpu-0011"].seen or 0) > at + 0.5)
        assert tokens._tokens["view"].text != bad
        assert seen.fleet.rows["gpu-0011"].problem is None
    now = [time.monotonic()]
    tokens._clock = lambda: now[0]
    before = await tokens.get("view")
    now[0] += 479
    assert await tokens.get("view") == before
    now[0] += 2
    assert await tokens.get("view") != before


async def test_an_agent_killed_leaves_its_last_state_and_comes_back(
    seen: Watched, agents: dict[str, RealAgent]
) -> None:
    seen.source.watch_rows({"gpu-0012"})
    await until(lambda: seen.fleet.rows["gpu-0012"].rates_from == "agent")
    await asyncio.to_thread(agents["gpu-0012"].stop, signal.SIGKILL)
    try:
        await until(lambda: seen.fleet.rows["gpu-0012"].problem)
        row = seen.fleet.rows["gpu-0012"]
        assert "cannot reach it" in (row.problem or "")
        assert (row.health, len(row.ports)) == ("warning", 8)
        node, got = seen.source.node("gpu-0012"), []
        async for item in node.snapshots():
            got.append(item)
            if len(got) == 2:
                break
        assert isinstance(got[0], NodeSnapshot)
        assert (got[0].source, len(got[0].ports)) == ("last state (RdmaNode)", 8)
        assert all(port.tx_gbps is None for port in got[0].ports)
        assert isinstance(got[1], Outage)
    finally:
        await asyncio.to_thread(agents["gpu-0012"].start)
    await until(lambda: seen.fleet.rows["gpu-0012"].problem is None, 40)


@pytest.mark.parametrize("program", ["kube-apiserver", "etcd"])
async def test_a_server_that_dies_leaves_the_picture_and_it_recovers(
    seen: Watched, twenty: Cluster, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector, "LAST_PAUSE_S", 2.0)
    seen.source.watch_rows({"gpu-0011"})
    await until(lambda: seen.fleet.rows["gpu-0011"].rates_from == "agent")
    await asyncio.to_thread(twenty.lab.kill, program)
    try:
        await until(lambda: seen.fleet.rows["gpu-0011"].problem, 60)
        if program == "kube-apiserver":
            await until(lambda: {each.state for each in seen.fleet.notices} == {"away"})
        await asyncio.sleep(5)
        assert len(seen.fleet.rows) >= COUNT
        assert not any(row.missing for row in seen.fleet.rows.values())
    finally:
        await asyncio.to_thread(twenty.lab.start, program)
        await asyncio.to_thread(twenty.lab.wait_ready)
    await until(lambda: not seen.fleet.notices, 60)
    await until(lambda: seen.fleet.rows["gpu-0011"].problem is None, 60)
    await asyncio.to_thread(twenty.lab.kubectl, "label", "node", "gpu-0018", f"seen={program}", "--overwrite")
    await until(lambda: seen.fleet.rows["gpu-0018"].labels.get("seen") == program, 40)


async def test_a_node_deleted_under_us_goes_and_comes_back(seen: Watched, twenty: Cluster) -> None:
    await asyncio.to_thread(twenty.lab.kubectl, "delete", "node", "gpu-0020")
    await until(lambda: "gpu-0020" not in seen.fleet.rows)
    await asyncio.to_thread(twenty.lab.nodes, 1, first=20)
    await until(lambda: "gpu-0020" in seen.fleet.rows)


async def test_a_server_with_too_much_to_do_is_left_alone_and_asked_later(twenty: Cluster, tmp_path: Path) -> None:
    async with BusyProxy("10.98.0.1", 6443).running() as proxy:
        path = tmp_path / "config"
        path.write_text(json.dumps(kubeconfig("", "lab-admin", f"http://127.0.0.1:{proxy.port}")))
        proxy.busy = True
        source = ClusterSource(Options(kubeconfig=str(path)))
        one = Watched(source)
        task = asyncio.create_task(one.run())
        try:
            await until(lambda: len(one.fleet.notices) == 4)
            assert all(each.state == "away" and "too many requests" in each.message for each in one.fleet.notices)
            await asyncio.sleep(3)
            assert proxy.refused <= 4 * 5, "asked again too soon"
            proxy.busy = False
            await until(lambda: one.fleet.complete and not one.fleet.notices and len(one.fleet.rows) >= COUNT, 40)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await source.close()


async def test_the_kind_deleted_under_us_is_said_and_its_return_seen(
    seen: Watched, agents: dict[str, RealAgent], twenty: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector, "ABSENT_S", 1.0)
    await asyncio.to_thread(twenty.lab.kubectl, "delete", "crd", "rdmanodes.rdmatop.dev")
    try:
        await until(lambda: [(each.source, each.state) for each in seen.fleet.notices] == [("rdmanodes", "absent")], 40)
        assert len(seen.fleet.rows) >= COUNT
        seen.source.watch_rows({"gpu-0011"})
        await until(lambda: seen.fleet.rows["gpu-0011"].rates_from == "agent")
    finally:
        await asyncio.to_thread(twenty.lab.kubectl, "apply", "-f", str(BASE / "crd.yaml"))
    await until(lambda: not seen.fleet.notices, 40)
    # The agents write themselves anew with their next heartbeat.
    await until(lambda: seen.fleet.rows["gpu-0012"].rates_from == "heartbeat", 90)
