"""Small servers between a client and the API server: a CONNECT proxy, and one that has too much to do."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncio.CancelledError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


class ConnectProxy:
    """Counts the tunnels it made."""

    def __init__(self) -> None:
        self.tunnels: list[str] = []
        self.port = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readuntil(b"\r\n\r\n")).split()
        host, port = line[1].decode().rsplit(":", 1)
        self.tunnels.append(f"{line[0].decode()} {host}:{port}")
        there_reader, there_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(_pump(reader, there_writer), _pump(there_reader, writer))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[ConnectProxy]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()


class BusyProxy:
    """Speaks plain HTTP to us and TLS to the API server; answers 429 while it is `busy`."""

    def __init__(self, host: str, port: int) -> None:
        self._there = (host, port)
        self.busy = False
        self.refused = 0
        self.port = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = await reader.readuntil(b"\r\n\r\n")
            if self.busy:
                self.refused += 1
                body = b'{"kind":"Status","message":"too many requests, please try again later"}'
                writer.write(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nConnection: close\r\n"
                             b"Content-Length: %d\r\n\r\n" % len(body) + body)  # fmt: skip
                await writer.drain()
                writer.close()
                return
            trust = ssl.create_default_context()
            trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
            there_reader, there_writer = await asyncio.open_connection(*self._there, ssl=trust)
            # One request a connection, so that each is looked at.
            there_writer.write(head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            await asyncio.gather(_pump(reader, there_writer), _pump(there_reader, writer))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[BusyProxy]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
