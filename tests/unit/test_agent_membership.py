"""An agent with a kubeconfig: who may ask is what the API server says, and the node is published to it.

The API server here only keeps what it is told; the real one is asked in tests/kube.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiohttp import web

from agent.cluster.authorizer import ClusterAuthorizer, Decision
from agent.cluster.config import from_kubeconfig, in_pod
from agent.cluster.grants import ClusterGrants
from agent.config import Address, AgentOptions
from agent.membership import Membership, find_cluster
from agent.monitor import Monitor
from agent.server.errors import Refused
from agent.server.service import Service
from diagnostics.errors import UserError
from diagnostics.model import Event
from tests.unit.fake_node import FakeJudge, FakeSampler, struct
from tests.unit.live_agent import Agent, ask

GOOD = "a-token-of-a-service-account"


@asynccontextmanager
async def api_server():
    """Its address and the requests it got; `GOOD` is somebody who may only get."""
    told: list[tuple[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        told.append((request.method, request.path))
        body = msgspec.json.decode(await request.read() or b"{}")
        if request.path.endswith("/tokenreviews"):
            known = body["spec"]["token"] == GOOD
            status = {"authenticated": known, "audiences": ["rdmatop"], "user": {"username": "vera"}}
            return web.json_response({"status": status})
        if request.path.endswith("/subjectaccessreviews"):
            allowed = body["spec"]["nonResourceAttributes"]["verb"] == "get"
            return web.json_response({"status": {"allowed": allowed}}, status=201)
        return web.json_response({"metadata": {"name": "n1", "uid": "u1"}, "items": []})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", told
    finally:
        await runner.cleanup()


def kubeconfig(folder, server: str) -> str:
    path = folder / "kubeconfig"
    path.write_text(
        f"current-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n"
        f"clusters: [{{name: k, cluster: {{server: '{server}'}}}}]\nusers: [{{name: u, user: {{token: t}}}}]\n"
    )
    return str(path)


async def test_the_cluster_says_who_may_ask_and_hears_of_the_node(tmp_path):
    async with api_server() as (server, told):
        options = AgentOptions(
            socket=str(tmp_path / "s"),
            listen=Address("127.0.0.1", 0),
            tls=False,
            kubeconfig=kubeconfig(tmp_path, server),
        )
        member = Membership(find_cluster(options), "n1", publish=True)
        service = Service(options, "n1", None, member.authorizer)
        event = struct(
            Event, node="n1", time="2026-11-24T12:00:00.000Z", check="link-down", kind="started", message="x"
        )
        judge = FakeJudge((), (event,))
        monitor = Monitor(FakeSampler(), interval_s=0.5, judge=judge, on_events=member.tell)
        await monitor.start()
        service.start(monitor)
        member.start(monitor)
        await anext(monitor.subscribe())
        agent = Agent(monitor, None, service, options.socket, service.tcp_address[1], False)
        try:
            assert (await ask(agent, "/v1/summary", tcp=True, token=GOOD)).status == 200
            assert (await ask(agent, "/v1/summary", tcp=True, token="a-token-of-nobody")).error == "unauthorized"
            assert (await ask(agent, "/v1/benchmarks", method="POST", tcp=True, token=GOOD)).error == "forbidden"
            for _ in range(100):
                if any("rdmanodes" in path for _, path in told):
                    break
                await asyncio.sleep(0.05)
            paths = {path for _, path in told}
            assert any("rdmanodes" in path for path in paths)
            assert "/api/v1/pods" in paths
        finally:
            await service.close()
            await member.close()
            await monitor.close()


async def test_while_the_api_server_is_away_nobody_new_is_let_in(tmp_path):
    config = find_cluster(AgentOptions(kubeconfig=kubeconfig(tmp_path, "http://127.0.0.1:1")))
    options = AgentOptions(socket=str(tmp_path / "s"), listen=Address("127.0.0.1", 0), tls=False)
    member = Membership(config, "n1", publish=False)
    service = Service(options, "n1", None, member.authorizer)
    monitor = Monitor(FakeSampler())
    await monitor.start()
    service.start(monitor)
    agent = Agent(monitor, None, service, options.socket, service.tcp_address[1], False)
    try:
        assert (await ask(agent, "/v1/summary", tcp=True, token=GOOD)).error == "cannot-ask"
    finally:
        await service.close()
        await member.close()
        await monitor.close()


def test_a_cluster_that_is_asked_for_must_be_there(tmp_path, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert find_cluster(AgentOptions()) is None
    with pytest.raises(UserError, match="no cluster"):
        find_cluster(AgentOptions(publish="on"))
    with pytest.raises(UserError, match="none"):
        find_cluster(AgentOptions(kubeconfig=str(tmp_path / "none")))


@pytest.mark.parametrize(
    ("cluster", "user"),
    [
        ("certificate-authority-data: bm90IGEgY2VydGlmaWNhdGU=", "token: t"),
        ("certificate-authority-data: '!'", "token: t"),
        ("certificate-authority: not-there.crt", "token: t"),
        ("insecure-skip-tls-verify: true", "client-certificate-data: bm9uZQ==, client-key-data: bm9uZQ=="),
        ("insecure-skip-tls-verify: true", "client-certificate-data: bm9uZQ=="),
    ],
)
def test_a_certificate_that_cannot_be_used_is_told_with_its_file(tmp_path, cluster, user):
    path = tmp_path / "kubeconfig"
    path.write_text(
        f"current-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n"
        f"clusters: [{{name: k, cluster: {{server: 'https://127.0.0.1:1', {cluster}}}}}]\n"
        f"users: [{{name: u, user: {{{user}}}}}]\n"
    )
    with pytest.raises(UserError, match="cannot be used") as told:
        from_kubeconfig(str(path))
    assert str(path) in told.value.message
    assert told.value.hint
    assert told.value.code == 2


@pytest.mark.parametrize("content", [None, "not a certificate"])
def test_an_account_without_an_authority_is_told(tmp_path, content):
    (tmp_path / "token").write_text("t")
    if content is not None:
        (tmp_path / "ca.crt").write_text(content)
    with pytest.raises(UserError, match=r"ca\.crt: no certificate authority"):
        in_pod({"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}, str(tmp_path))


async def test_whoever_tries_tokens_costs_the_cluster_a_bounded_number_of_reviews():
    asked, most, now = 0, 0, 100.0

    class Api:
        under_way = 0

        async def call(self, method, path, body):
            nonlocal asked, most
            asked, self.under_way = asked + 1, self.under_way + 1
            most = max(most, self.under_way)
            await asyncio.sleep(0)
            self.under_way -= 1
            return b'{"status": {"authenticated": false}}'

    authorizer = ClusterAuthorizer(Api(), clock=lambda: now)
    answers = await asyncio.gather(*(authorizer.decide(f"guess-{number}", "get", "/v1/node") for number in range(500)))
    assert (asked, most) == (40, 4)
    assert [answer.status for answer in answers].count(429) == 460
    assert not any(answer.allowed for answer in answers)
    assert (await authorizer.decide("guess-0", "get", "/v1/node")).status == 401, "what is cached is answered"
    now += 1
    answers = [await authorizer.decide(f"later-{number}", "get", "/v1/node") for number in range(20)]
    assert [answer.status for answer in answers] == [401] * 5 + [429] * 15


async def test_the_client_hears_that_too_many_ask():
    class Busy:
        async def decide(self, token, verb, path):
            return Decision(False, 429, None, "too many")

    with pytest.raises(Refused) as told:
        await ClusterGrants(Busy()).grant("t", "GET", "/v1/node")
    assert (told.value.status, told.value.headers) == (429, {"Retry-After": "1"})
