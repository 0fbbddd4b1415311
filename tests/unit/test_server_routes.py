"""Every route on a real socket: what it answers, who may ask, and what bad input gets."""

from __future__ import annotations

import asyncio
import os
import stat
import time

import msgspec
import pytest

from agent.server import handlers
from agent.server.answers import BenchmarkList, EventList, FindingList, ProcessList, Summary
from agent.server.routes import ROUTES
from diagnostics.model import Event, Finding, NodeSnapshot, Series
from tests.unit.fake_node import FakeJudge, struct
from tests.unit.live_agent import OPERATOR, VIEWER, ask, chunks, connect, live_agent, read_answer


async def test_what_the_routes_answer(tmp_path):
    async with live_agent(tmp_path) as agent:
        for target, kind in {
            "/v1/node": NodeSnapshot,
            "/v1/node?counters=none": NodeSnapshot,
            "/v1/summary": Summary,
            "/v1/history?port=mlx5_0/1&counter=np_counter_0&seconds=60": Series,
            "/v1/processes": ProcessList,
            "/v1/findings": FindingList,
            "/v1/events": EventList,
            "/v1/benchmarks": BenchmarkList,
        }.items():
            answer = await ask(agent, target)
            assert (target, answer.status) == (target, 200)
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["server"] == "rdmatop"
            msgspec.json.decode(answer.body, type=kind)
        assert (await ask(agent, "/healthz")).json == {"status": "ok"}
        assert (await ask(agent, "/readyz")).json == {"status": "ok"}
        assert (await ask(agent, "/v1/openapi.json")).json["openapi"] == "3.1.0"


async def test_head_answers_without_a_body(tmp_path):
    async with live_agent(tmp_path) as agent:
        for target in ("/v1/node", "/v1/stream", "/metrics"):
            reader, writer = await connect(agent)
            writer.write(f"HEAD {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            head, _, body = (await asyncio.wait_for(reader.read(), 2)).partition(b"\r\n\r\n")
            assert (head[:15], body) == (b"HTTP/1.1 200 OK", b"")
            writer.close()


async def test_counters_of_a_port_alone(tmp_path):
    async with live_agent(tmp_path) as agent:
        rows = (await ask(agent, "/v1/node?counters=mlx5_1/1")).json["counters"]
        assert {row["device"] for row in rows} == {"mlx5_1"}


async def test_a_summary_is_small_however_much_is_wrong(tmp_path):
    async with live_agent(tmp_path, interval_s=60) as agent:
        findings = [
            struct(
                Finding, id=f"f{n}", node="n1", check="link-down", layer="link", severity=severity, message="x" * 999
            )
            for n, severity in enumerate(["info"] * 50 + ["critical"] + ["warning"] * 50)
        ]
        agent.monitor._judge = FakeJudge(tuple(findings))
        await agent.monitor.read()
        answer = await ask(agent, "/v1/summary")
        assert len(answer.body) < 2500
        assert [row["severity"] for row in answer.json["findings"]] == ["critical", "warning", "warning", "warning"]


async def test_events_since(tmp_path):
    async with live_agent(tmp_path) as agent:
        for second in range(3):
            time_ = f"2026-11-24T12:00:0{second}.000Z"
            agent.monitor.events.append(
                struct(Event, node="n1", time=time_, check="link-down", kind="started", message="down")
            )
        assert len((await ask(agent, "/v1/events")).json["items"]) == 3
        later = await ask(agent, "/v1/events?since=2026-11-24T13:00:00.5%2B01:00")
        assert [row["time"][17:19] for row in later.json["items"]] == ["01", "02"]


async def test_benchmarks_start_watch_and_cancel(tmp_path):
    async with live_agent(tmp_path) as agent:
        started = await ask(agent, "/v1/benchmarks", method="POST", body=b'{"device": "mlx5_1", "sizes": [64]}')
        assert started.status == 202
        (row,) = started.json["items"]
        assert (await ask(agent, f"/v1/benchmarks/{row['id']}")).json["device"] == "mlx5_1"
        cancelled = await ask(agent, f"/v1/benchmarks/{row['id']}", method="DELETE")
        assert cancelled.json["state"] == "cancelled"
        assert [row["state"] for row in (await ask(agent, "/v1/benchmarks")).json["items"]] == ["cancelled"]
        refused = await ask(agent, "/v1/benchmarks", method="POST", body=b'{"sizes": [3]}')
        assert (refused.status, refused.error) == (409, "refused")


async def test_an_agent_without_verbs_says_why_there_is_no_benchmark(tmp_path):
    async with live_agent(tmp_path, benchmarks=False) as agent:
        refused = await ask(agent, "/v1/benchmarks", method="POST", body=b"{}")
        assert (refused.status, refused.error) == (503, "unavailable")
        assert (await ask(agent, "/v1/benchmarks")).json["items"] == []


@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        ("GET", "/", 404, "not-found"),
        ("GET", "//v1/node", 404, "not-found"),
        ("GET", "/v1/%6eode", 404, "not-found"),
        ("GET", "/v1/./node", 404, "not-found"),
        ("GET", "/v1/%2e%2e/healthz", 404, "not-found"),
        ("GET", "/v1/node/", 404, "not-found"),
        ("GET", "/v1/node%00", 404, "not-found"),
        ("GET", "/V1/NODE", 404, "not-found"),
        ("GET", "/v1/benchmarks/", 404, "not-found"),
        ("GET", "/v1/benchmarks/a/b", 404, "not-found"),
        ("GET", "/v1/benchmarks/nobody", 404, "not-found"),
        ("GET", "/v1/benchmarks/{id}", 404, "not-found"),
        ("DELETE", "/v1/benchmarks/..%2f", 404, "not-found"),
        ("POST", "/v1/node", 405, "method-not-allowed"),
        ("PATCH", "/v1/node", 405, "method-not-allowed"),
        ("BREW", "/v1/node", 400, "bad-request"),
        ("OPTIONS", "/metrics", 405, "method-not-allowed"),
        ("GET", "/v1/node?counters=mlx5_9/1", 404, "not-found"),
        ("GET", "/v1/node?counters=", 400, "bad-parameter"),
        ("GET", "/v1/node?counters=all&counters=none", 400, "bad-parameter"),
        ("GET", "/v1/node?counter=all", 400, "bad-parameter"),
        ("GET", "/v1/node?counters=%ff", 400, "bad-parameter"),
        ("GET", "/v1/node?counters=a%0ab", 400, "bad-parameter"),
        ("GET", "/v1/node?counters", 400, "bad-parameter"),
        ("GET", "/v1/node?" + "x" * 2000, 400, "bad-parameter"),
        ("GET", "/healthz?x=1", 400, "bad-parameter"),
        ("GET", "/v1/history", 400, "bad-parameter"),
        ("GET", "/v1/history?port=mlx5_0/1", 400, "bad-parameter"),
        ("GET", "/v1/history?port=mlx5_0/1&counter=nothing", 404, "not-found"),
        ("GET", "/v1/history?port=mlx5_0/x&counter=np_counter_0", 404, "not-found"),
        ("GET", "/v1/history?port=all&counter=np_counter_0", 404, "not-found"),
        ("GET", "/v1/history?port=mlx5_0/1&counter=np_counter_0&seconds=0", 400, "bad-parameter"),
        ("GET", "/v1/history?port=mlx5_0/1&counter=np_counter_0&seconds=-1", 400, "bad-parameter"),
        ("GET", "/v1/history?port=mlx5_0/1&counter=np_counter_0&seconds=1e3", 400, "bad-parameter"),
        ("GET", "/v1/history?port=mlx5_0/1&counter=np_counter_0&seconds=%D9%A3", 400, "bad-parameter"),
        ("GET", "/v1/events?since=yesterday", 400, "bad-parameter"),
        ("GET", "/v1/events?since=2026-11-24T12:00:00", 400, "bad-parameter"),
        ("GET", "/" + "x" * 9000, 400, "bad-request"),
    ],
)
async def test_bad_targets(tmp_path, method, target, status, code):
    async with live_agent(tmp_path) as agent:
        answer = await ask(agent, target, method=method)
        assert (answer.status, answer.error) == (status, code)
        if status == 405:
            assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"[]", {}, 400),
        (b'{"sizes": "all"}', {}, 400),
        (b'{"qps": 1e99}', {}, 400),
        (b'{"rdma": true}', {}, 400),
        (b'{"device": "\xff"}', {}, 400),
        (b'{"kind": "pairs"}', {}, 400),
        (b"[" * 60000, {}, 400),
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b"{}", {"Content-Encoding": "gzip"}, 415),
        (b"{}", {"Content-Length": "10000000"}, 413),
        (b"{}", {"Content-Length": "x"}, 400),
        (b"{}", {"Content-Length": "-1"}, 400),
        (b"{" + b" " * 70000, {}, 413),
    ],
)
async def test_bad_bodies(tmp_path, body, headers, status):
    async with live_agent(tmp_path) as agent:
        answer = await ask(agent, "/v1/benchmarks", method="POST", body=body, headers=headers)
        assert (answer.status, bool(answer.error)) == (status, True)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"GET /v1/node\r\n\r\n",
        b"GET /v1/node HTTP/9.9\r\n\r\n",
        b"GET /v1/node HTTP/1.1\r\nA: " + b"b" * 20000 + b"\r\n\r\n",
        b"GET /v1/node HTTP/1.1\r\n" + b"".join(b"A%d: b\r\n" % n for n in range(200)) + b"\r\n",
        b"GET /v1/node HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /v1/node HTTP/1.1\r\nHost : x\r\n\r\n",
    ],
)
async def test_what_is_no_http_gets_an_error_body_and_is_closed(tmp_path, raw):
    async with live_agent(tmp_path) as agent:
        reader, writer = await connect(agent)
        writer.write(raw)
        answer = await asyncio.wait_for(read_answer(reader), 2)
        assert (answer.status, bool(answer.error)) == (400, True)
        assert await asyncio.wait_for(reader.read(), 2) == b""
        writer.close()


async def test_who_may_ask_over_tcp(tmp_path):
    async with live_agent(tmp_path) as agent:
        for route in ROUTES:
            target = route.path.replace("{id}", "nobody")
            nobody, viewer, operator, wrong = [
                (await ask(agent, target, method=route.method, tcp=True, token=token)).status
                for token in (None, VIEWER, OPERATOR, "not-a-token-of-this-agent")
                if route.path != "/v1/stream"
            ] or [401, 200, 200, 401]
            if route.needs == "none":
                assert {nobody, viewer, operator, wrong} == {200}
                continue
            assert (route.path, nobody, wrong) == (route.path, 401, 401)
            assert viewer != 401
            assert (viewer == 403) == (route.needs == "operator")
            assert operator not in (401, 403)
        assert (await ask(agent, "/v1/stream", tcp=True)).error == "unauthorized"


async def test_the_ways_to_carry_a_token(tmp_path):
    async with live_agent(tmp_path) as agent:

        async def status(**headers):
            headers = {name.replace("_", "-"): value for name, value in headers.items()}
            return (await ask(agent, "/v1/summary", tcp=True, headers=headers)).status

        assert await status(X_Rdmatop_Token=VIEWER) == 200
        assert await status(Authorization=f"bearer  {VIEWER}") == 200
        assert await status(Authorization="Basic eDp5", X_Rdmatop_Token=VIEWER) == 200
        assert await status(Authorization=f"Basic {VIEWER}") == 401
        assert await status(Authorization=VIEWER) == 401
        assert await status(Authorization="Bearer ") == 401
        assert await status(Authorization="Bearer " + "x" * 5000) == 401
        refused = await ask(agent, "/v1/summary", tcp=True)
        assert refused.headers["www-authenticate"] == "Bearer"


async def test_metrics_alone_without_a_token(tmp_path):
    async with live_agent(tmp_path, tokens_file=None, anonymous_metrics=True) as agent:
        assert b"rdmatop_port_up" in (await ask(agent, "/metrics", tcp=True)).body
        for target in ("/healthz", "/readyz"):
            assert (await ask(agent, target, tcp=True)).status == 200
        for target in ("/v1/node", "/v1/openapi.json", "/v1/benchmarks"):
            assert (await ask(agent, target, tcp=True, token=VIEWER)).status == 401
        assert (await ask(agent, "/v1/node")).status == 200


async def test_the_socket_is_for_its_owner_alone(tmp_path):
    async with live_agent(tmp_path) as agent:
        assert stat.S_IMODE(os.stat(agent.socket).st_mode) == 0o600
        assert stat.S_IMODE(os.stat(os.path.dirname(agent.socket)).st_mode) == 0o700
    assert not (tmp_path / "run" / "agent.sock").exists()


async def test_readyz_tells_when_samples_stop(tmp_path, monkeypatch):
    monkeypatch.setattr(handlers, "STALE_S", 0.5)
    monkeypatch.setattr(handlers, "STALE_INTERVALS", 1)
    async with live_agent(tmp_path) as agent:
        assert (await ask(agent, "/readyz")).status == 200
        agent.sampler.hang_s = 1.5
        await asyncio.sleep(1.0)
        assert (await ask(agent, "/readyz")).error == "stale"
        assert (await ask(agent, "/healthz")).status == 200
        agent.sampler.hang_s = 0.0
        await asyncio.sleep(1.2)


async def test_a_stream_gives_every_sample_and_ends_properly(tmp_path):
    async with live_agent(tmp_path) as agent:
        reader, writer = await connect(agent)
        writer.write(b"GET /v1/stream?counters=mlx5_0/1 HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        sequences = []
        async for chunk in chunks(reader):
            assert chunk.endswith(b"\n")
            assert b"\n" not in chunk[:-1]
            sequences.append(msgspec.json.decode(chunk, type=NodeSnapshot).sequence)
            if len(sequences) == 4:
                ending = asyncio.ensure_future(agent.service.close())
        await ending
        assert sequences[:4] == list(range(sequences[0], sequences[0] + 4))
        writer.close()


async def test_a_stream_says_its_last_line_again_while_nothing_is_new(tmp_path, monkeypatch):
    monkeypatch.setattr(handlers, "HEARTBEAT_S", 0.2)
    async with live_agent(tmp_path, interval_s=60) as agent:
        reader, writer = await connect(agent)
        writer.write(b"GET /v1/stream HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        lines = []
        async for chunk in chunks(reader):
            lines.append(chunk)
            if len(lines) == 3:
                break
        assert lines[0] == lines[1] == lines[2]
        writer.close()


async def test_a_stream_of_what_is_not_there_is_refused_before_it_begins(tmp_path):
    async with live_agent(tmp_path) as agent:
        assert (await ask(agent, "/v1/stream?counters=mlx5_9")).error == "not-found"


async def test_many_requests_on_one_connection(tmp_path):
    async with live_agent(tmp_path) as agent:
        reader, writer = await connect(agent)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
        body, begin = b"", time.monotonic()
        while body.count(b"200 OK") < 50 and time.monotonic() - begin < 5:
            body += await asyncio.wait_for(reader.read(65536), 2)
        assert body.count(b"200 OK") == 50
        writer.close()


@pytest.mark.parametrize("name", ["next_due", "time"])
async def test_an_agent_whose_sampling_ended_is_not_alive(tmp_path, monkeypatch, name):
    async with live_agent(tmp_path) as agent:
        assert (await ask(agent, "/healthz")).status == 200
        monkeypatch.setattr(f"agent.monitor.{name}", None)
        await asyncio.sleep(0.5)
        monkeypatch.undo()
        answer = await ask(agent, "/healthz")
        assert answer.status == 503
        assert answer.json["error"]["code"] == "broken"
        assert "monitor task ended" in answer.json["error"]["message"]
