"""Benchmarks through the interface, on fake devices below a real verbs worker, which is killed in the middle."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager

import msgspec
import pytest

from agent.config import AgentOptions
from agent.monitor import Monitor
from agent.sampler import Sampler
from agent.server.service import Service
from agent.verbs.client import VerbsClient
from tests.lab.fakeverbs import environment
from tests.lab.missing import without
from tests.lab.places import Missing
from tests.unit.live_agent import Agent, ask


@asynccontextmanager
async def agent_with_verbs(folder, made):
    """An agent whose devices are real to the worker, and files to the sampler."""
    try:
        verbs = VerbsClient(env=environment(DEVS="mlx5_0"))
    except Missing as missing:
        without(str(missing))
    made.device("mlx5_0")
    monitor = Monitor(Sampler(str(made.path)), interval_s=0.5, verbs=verbs)
    service = Service(AgentOptions(socket=str(folder / "agent.sock")), "n1", None)
    await monitor.start()
    service.start(monitor)
    await anext(monitor.subscribe())
    try:
        yield Agent(monitor, None, service, str(folder / "agent.sock"), 0, False), verbs
    finally:
        await service.close()
        await monitor.close()


async def start(agent, **request) -> str:
    body = msgspec.json.encode({"device": "mlx5_0", "sizes": [4096], "force": True, **request})
    answer = await ask(agent, "/v1/benchmarks", method="POST", body=body)
    assert answer.status == 202, answer.body
    (row,) = answer.json["items"]
    return row["id"]


async def until(agent, id_: str, *states: str):
    for _ in range(200):
        row = (await ask(agent, f"/v1/benchmarks/{id_}")).json
        if row["state"] in states:
            return row
        await asyncio.sleep(0.05)
    raise AssertionError(row)


async def test_a_benchmark_from_start_to_snapshot(tmp_path, made):
    async with agent_with_verbs(tmp_path, made) as (agent, verbs):
        row = await until(agent, await start(agent, duration_s=0.3), "done", "failed")
        assert (row["state"], row["verified"], verbs.state) == ("done", True, "ok"), row
        await agent.monitor.read()
        node = (await ask(agent, "/v1/node?counters=none")).json
        assert [shown["id"] for shown in node["benchmarks"]] == [row["id"]]
        assert node["agent"]["verbs"] == "ok"
        assert node["devices"][0]["verbs"] is True
        refused = await ask(agent, "/v1/benchmarks", method="POST", body=b'{"device": "mlx5_9"}')
        assert refused.status in (409, 503)
        assert "mlx5_9" in refused.json["error"]["message"]


async def test_a_cancelled_one_keeps_what_it_measured(tmp_path, made):
    async with agent_with_verbs(tmp_path, made) as (agent, _):
        id_ = await start(agent, duration_s=30)
        await until(agent, id_, "running")
        assert (await ask(agent, f"/v1/benchmarks/{id_}", method="DELETE")).json["state"] == "cancelled"


async def test_a_killed_worker_fails_its_benchmark_and_nothing_else(tmp_path, made):
    async with agent_with_verbs(tmp_path, made) as (agent, verbs):
        id_ = await start(agent, duration_s=30)
        await until(agent, id_, "running")
        before = agent.monitor.latest.sequence
        os.kill(verbs.pid, signal.SIGKILL)
        row = await until(agent, id_, "failed", "cancelled", "done")
        assert (row["state"], bool(row["error"])) == ("failed", True)
        assert (await ask(agent, "/readyz")).status == 200
        again = await until(agent, await start(agent, duration_s=0.2), "done", "failed")
        assert again["state"] == "done", again
        assert agent.monitor.latest.sequence > before
        assert agent.monitor.missed == 0


async def test_closing_in_the_middle_leaves_no_worker(tmp_path, made):
    async with agent_with_verbs(tmp_path, made) as (agent, verbs):
        await until(agent, await start(agent, duration_s=30), "running")
        pid = verbs.pid
    for _ in range(60):
        await asyncio.sleep(0.05)
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
    pytest.fail("the verbs worker still runs")
