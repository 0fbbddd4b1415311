"""Who gets in: real tokens, real reviews."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from agent.cluster.api import ApiServer
from agent.cluster.authorizer import KEEP_S, MOST_KEPT, ClusterAuthorizer
from agent.cluster.config import from_kubeconfig
from tests.kube.conftest import Cluster


@pytest.fixture
async def api(cluster: Cluster, tmp_path: Path):
    token = cluster.pod_token(cluster.agent_pod("gpu-0001"))
    server = ApiServer(from_kubeconfig(str(cluster.kubeconfig(token, tmp_path / "agent"))))
    yield server
    await server.close()


async def test_a_viewer_looks_and_does_not_act(cluster: Cluster, api: ApiServer) -> None:
    authorizer, token = ClusterAuthorizer(api), cluster.token("rdmatop-viewer")
    assert (await authorizer.decide(token, "get", "/v1/node")).allowed
    refused = await authorizer.decide(token, "post", "/v1/benchmarks")
    assert (refused.allowed, refused.status) == (False, 403)
    assert "system:serviceaccount:rdmatop:rdmatop-viewer may not post" in refused.reason


async def test_an_operator_acts(cluster: Cluster, api: ApiServer) -> None:
    authorizer, token = ClusterAuthorizer(api), cluster.token("rdmatop-operator")
    for verb, path in (
        ("get", "/v1/node"),
        ("post", "/v1/benchmarks"),
        ("delete", "/v1/benchmarks/x"),
        ("post", "/v1/findings/x/ack"),
    ):
        assert (await authorizer.decide(token, verb, path)).allowed, (verb, path)
    assert not (await authorizer.decide(token, "post", "/v1/node")).allowed


async def test_a_token_for_somebody_else_is_nobody(cluster: Cluster, api: ApiServer) -> None:
    decision = await ClusterAuthorizer(api).decide(cluster.token("rdmatop-viewer", audience="vault"), "get", "/v1/node")
    assert (decision.allowed, decision.status) == (False, 401)


async def test_the_api_servers_own_tokens_are_not_for_us(cluster: Cluster, api: ApiServer) -> None:
    token = cluster.lab.kubectl("create", "token", "rdmatop-operator", "-n", "rdmatop").strip()
    assert (await ClusterAuthorizer(api).decide(token, "get", "/v1/node")).status == 401
    # The lab's static administrator token knows no audience at all.
    assert (await ClusterAuthorizer(api).decide("lab-admin", "get", "/v1/node")).status == 401


async def test_a_forged_token_is_nobody(cluster: Cluster, api: ApiServer) -> None:
    head, body, signature = cluster.token("rdmatop-viewer").split(".")
    claims = base64.urlsafe_b64decode(body + "==").replace(b"rdmatop-viewer", b"rdmatop-operator")
    forged = f"{head}.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.{signature}"
    decision = await ClusterAuthorizer(api).decide(forged, "get", "/v1/node")
    assert (decision.allowed, decision.status) == (False, 401)


async def test_rubbish_is_nobody_and_costs_the_api_server_nothing(api: ApiServer) -> None:
    for token in ("", "x" * 20_000):
        assert (await ClusterAuthorizer(api).decide(token, "get", "/v1/node")).status == 401


async def test_a_decision_is_kept_for_a_minute_and_the_cache_is_bounded(cluster: Cluster, api: ApiServer) -> None:
    now, asked = [0.0], []
    authorizer, token = ClusterAuthorizer(api, clock=lambda: now[0]), cluster.token("rdmatop-viewer")
    call = api.call

    async def counting(*args, **kwargs):
        asked.append(args[1])
        return await call(*args, **kwargs)

    api.call = counting  # type: ignore[method-assign]
    for _ in range(50):
        await authorizer.decide(token, "get", "/v1/node")
    assert len(asked) == 2
    now[0] = KEEP_S + 1
    await authorizer.decide(token, "get", "/v1/node")
    assert len(asked) == 4
    for number in range(MOST_KEPT + 100):
        authorizer._decisions.put(
            number, authorizer._decisions.get((b"", "", "")) or await authorizer.decide("", "", "")
        )
    assert len(authorizer._decisions._items) == MOST_KEPT


async def test_without_the_api_server_nobody_gets_in_but_the_known(cluster: Cluster, api: ApiServer) -> None:
    authorizer, token = ClusterAuthorizer(api), cluster.token("rdmatop-viewer")
    assert (await authorizer.decide(token, "get", "/v1/node")).allowed
    stranger = cluster.token("rdmatop-operator")
    cluster.lab.kill("kube-apiserver")
    try:
        assert (await authorizer.decide(token, "get", "/v1/node")).allowed
        refused = await authorizer.decide(stranger, "get", "/v1/node")
        assert (refused.allowed, refused.status) == (False, 503)
    finally:
        cluster.lab.start("kube-apiserver")
        cluster.lab.wait_ready()
