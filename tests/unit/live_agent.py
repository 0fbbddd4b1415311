"""An agent's HTTP interface on real sockets around a fake sampler, and clients that talk to it in bytes."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec

from agent.config import Address, AgentOptions
from agent.monitor import Monitor
from agent.server.service import Service
from tests.unit.fake_node import FakeBenchmarks, FakeSampler

VIEWER, OPERATOR = "a-viewer-token-for-tests", "an-operator-token-for-tests"


class Agent(NamedTuple):
    monitor: Monitor
    sampler: FakeSampler
    service: Service
    socket: str
    port: int
    """Of plain or TLS TCP on 127.0.0.1; 0 where there is none."""
    secure: bool


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def error(self) -> str:
        """The code of the error body; the body must be exactly as the contract says."""
        assert self.headers["content-type"].startswith("application/json")
        (name, error), *rest = self.json.items()
        assert (name, rest) == ("error", [])
        assert set(error) == {"code", "message", "hint"}
        assert "Traceback" not in error["message"]
        return error["code"]


@asynccontextmanager
async def live_agent(folder, *, interval_s: float = 0.2, sampler: FakeSampler | None = None, benchmarks=True, **given):
    """`given` are AgentOptions; TCP on a free port of 127.0.0.1 when `listen` or a tokens file is wanted."""
    tokens = folder / "tokens"
    tokens.write_text(f"{VIEWER} vera\n{OPERATOR} otto operator\n")
    tokens.chmod(0o600)
    wanted = {"listen": Address("127.0.0.1", 0), "tls": False, "tokens_file": str(tokens), **given}
    options = AgentOptions(socket=str(folder / "run" / "agent.sock"), **wanted)
    sampler = sampler or FakeSampler(devices=2)
    monitor = Monitor(sampler, interval_s=interval_s, benchmarks=FakeBenchmarks if benchmarks else None)
    service = Service(options, "n1", None)
    await monitor.start()
    service.start(monitor)
    await anext(monitor.subscribe())
    try:
        port = service.tcp_address[1] if service.tcp_address else 0
        yield Agent(monitor, sampler, service, options.socket, port, options.tls)
    finally:
        await service.close()
        await monitor.close()


async def connect(agent: Agent, *, tcp: bool = False):
    if not tcp:
        return await asyncio.open_unix_connection(agent.socket, limit=1 << 24)
    context = None
    if agent.secure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return await asyncio.open_connection("127.0.0.1", agent.port, ssl=context, limit=1 << 24)


async def ask(agent: Agent, target: str, *, method="GET", tcp=False, token=None, body=b"", headers=None) -> Answer:
    """One request on a connection of its own, written as it is given: nothing is escaped or added up."""
    lines = {"Host": "x", "Connection": "close", **(headers or {})}
    if token:
        lines["Authorization"] = f"Bearer {token}"
    if body:
        lines = {"Content-Type": "application/json", "Content-Length": str(len(body)), **lines}
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return await send(agent, head.encode("latin-1") + b"\r\n" + body, tcp=tcp)


async def send(agent: Agent, raw: bytes, *, tcp: bool = False, timeout: float = 5.0) -> Answer:
    """What comes back for these bytes, until the agent closes."""
    reader, writer = await connect(agent, tcp=tcp)
    try:
        writer.write(raw)
        return await asyncio.wait_for(read_answer(reader), timeout)
    finally:
        writer.close()


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
    if headers.get("transfer-encoding") == "chunked":
        return Answer(int(head[0].split()[1]), headers, b"".join([chunk async for chunk in chunks(reader)]))
    body = await reader.readexactly(int(headers["content-length"]))
    return Answer(int(head[0].split()[1]), headers, body)


async def chunks(reader: asyncio.StreamReader):
    """The chunks of a body until its proper end; raises IncompleteReadError where that is missing."""
    while size := int(await reader.readline() or b"broken", 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)
    assert await reader.readexactly(2) == b"\r\n"
