"""Slow, greedy and hostile clients: each gets its bound, and the sampling never notices."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

import msgspec
import pytest

from agent.server import listeners
from diagnostics.model import NodeSnapshot
from tests.unit.fake_node import FakeSampler
from tests.unit.live_agent import OPERATOR, VIEWER, ask, chunks, connect, live_agent, read_answer


async def closed_after(reader: asyncio.StreamReader, limit: float) -> float:
    """Seconds until the agent closes the connection."""
    begin = time.monotonic()
    with contextlib.suppress(ConnectionError):
        await asyncio.wait_for(reader.read(), limit)
    return time.monotonic() - begin


@pytest.mark.parametrize("first", [b"", b"GET /v1/node HTTP/1.1\r\nHost: x\r\nX-Slow: "])
async def test_a_head_that_never_ends_is_cut_off(tmp_path, monkeypatch, first):
    monkeypatch.setattr(listeners, "HEAD_S", 1.0)
    async with live_agent(tmp_path) as agent:
        reader, writer = await connect(agent, tcp=True)
        writer.write(first)

        async def drip():
            while True:
                await asyncio.sleep(0.1)
                writer.write(b"a" if first else b"")

        dripping = asyncio.ensure_future(drip())
        assert 0.5 < await closed_after(reader, 5) < 3
        dripping.cancel()
        writer.close()


async def test_a_kept_connection_that_asks_nothing_more_is_closed(tmp_path, monkeypatch):
    monkeypatch.setattr(listeners, "HEAD_S", 0.5)
    async with live_agent(tmp_path) as agent:
        reader, writer = await connect(agent)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await read_answer(reader)).status == 200
        assert await closed_after(reader, 5) < 2
        writer.close()


async def test_a_body_that_never_comes_is_refused(tmp_path, monkeypatch):
    from agent.server import gate

    monkeypatch.setattr(gate, "BODY_S", 0.3)
    async with live_agent(tmp_path) as agent:
        answer = await ask(agent, "/v1/benchmarks", method="POST", body=b"{", headers={"Content-Length": "100"})
        assert (answer.status, answer.error) == (408, "timeout")


@pytest.mark.parametrize("chunked", [False, True])
async def test_ten_megabytes_are_refused_at_64_kib(tmp_path, chunked):
    async with live_agent(tmp_path) as agent:
        reader, writer = await connect(agent)
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 10485760"
        head = b"POST /v1/benchmarks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + framing + b"\r\n\r\n"
        piece = b" " * 65536
        frame = b"10000\r\n" + piece + b"\r\n" if chunked else piece

        async def push():
            writer.write(head)
            for _ in range(160):
                writer.write(frame)
                await writer.drain()

        pushing = asyncio.ensure_future(push())
        answer = await asyncio.wait_for(read_answer(reader), 5)
        assert (answer.status, answer.error) == (413, "too-large")
        await closed_after(reader, 5)
        pushing.cancel()
        await asyncio.gather(pushing, return_exceptions=True)
        writer.close()
        assert (await ask(agent, "/healthz")).status == 200


async def test_a_stream_that_is_not_read_costs_one_buffer_and_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(listeners, "UNREAD_S", 1.0)
    async with live_agent(tmp_path, sampler=FakeSampler(devices=8, counters=60)) as agent:
        greedy = socket.socket(socket.AF_UNIX)
        greedy.connect(agent.socket)
        greedy.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(0.5)
        listener = agent.service._listeners[0]
        assert listener.open == 1
        before = agent.sampler.ticks
        for _ in range(60):
            await asyncio.sleep(0.1)
            if listener.open == 0:
                break
        assert listener.open == 0
        assert agent.sampler.ticks > before
        greedy.close()


async def test_a_slow_reader_of_a_stream_gets_the_latest(tmp_path):
    async with live_agent(tmp_path, sampler=FakeSampler(devices=8, counters=60)) as agent:
        reader, writer = await connect(agent)
        writer.transport.pause_reading()
        writer.write(b"GET /v1/stream HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(2.5)
        writer.transport.resume_reading()
        await reader.readuntil(b"\r\n\r\n")
        sequences = []
        async for chunk in chunks(reader):
            sequences.append(msgspec.json.decode(chunk, type=NodeSnapshot).sequence)
            if sequences[-1] >= agent.monitor.latest.sequence:
                break
        assert len(sequences) < agent.monitor.latest.sequence - sequences[0]
        assert sequences == sorted(sequences)
        writer.close()


async def test_a_thousand_connections_while_the_sampling_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(listeners, "HEAD_S", 2.0)
    async with live_agent(tmp_path) as agent:
        before, missed = agent.sampler.ticks, agent.monitor.missed
        begin = time.monotonic()
        flood = [await connect(agent, tcp=True) for _ in range(1200)]
        await asyncio.sleep(1.0)
        tcp = agent.service._listeners[1]
        assert tcp.open <= listeners.MAX_PER_ADDRESS
        heads = await asyncio.gather(*(asyncio.wait_for(reader.read(15), 5) for reader, _ in flood[200:210]))
        assert set(heads) == {b"HTTP/1.1 503 Se"}
        assert (await ask(agent, "/v1/node")).status == 200, "the socket is never full of TCP's"
        ticks, elapsed = agent.sampler.ticks - before, time.monotonic() - begin
        assert ticks >= elapsed / 0.2 * 0.8 - 2
        assert agent.monitor.missed - missed <= 2
        for _, writer in flood:
            writer.close()
        await asyncio.sleep(0.3)
        assert (await ask(agent, "/v1/summary", tcp=True, token=VIEWER)).status == 200


async def test_tls_handshakes_that_never_end_are_counted_and_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(listeners, "HANDSHAKE_S", 1.0)
    async with live_agent(tmp_path, tls=True) as agent:
        silent = [await asyncio.open_connection("127.0.0.1", agent.port) for _ in range(100)]
        await asyncio.sleep(0.3)
        tcp = agent.service._listeners[1]
        assert tcp.open == listeners.MAX_PER_ADDRESS
        await asyncio.sleep(1.5)
        assert tcp.open == 0
        assert (await ask(agent, "/v1/node", tcp=True, token=OPERATOR)).status == 200
        for _, writer in silent:
            writer.close()


async def test_plain_http_on_the_tls_port_is_no_crash(tmp_path):
    async with live_agent(tmp_path, tls=True) as agent:
        reader, writer = await asyncio.open_connection("127.0.0.1", agent.port)
        writer.write(b"GET /v1/node HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" not in await asyncio.wait_for(reader.read(), 3)
        writer.close()
        assert (await ask(agent, "/healthz", tcp=True)).status == 200
