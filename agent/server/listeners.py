"""The sockets: counted from the moment they are accepted, before TLS and before a byte is read."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from agent.server.certificate import ServerTls
from agent.server.errors import Refused, code_of, error_bytes, error_response
from agent.server.gate import MAX_BODY, Gate

log = logging.getLogger(__name__)

HEAD_S = 10.0
"""A head must have come in this time, and a kept connection must ask again."""
HANDSHAKE_S = 5.0
UNREAD_S = 20.0
"""A client that leaves 64 KiB unread for this long is cut off."""
LINGER_S = 2.0
"""How long the rest of a refused body is read away, so that the refusal arrives."""
MAX_TCP, MAX_UNIX, MAX_PER_ADDRESS = 192, 64, 64
"""256 connections in all; the Unix socket has its own, so that nobody on the network can close it."""
SWEEP_S = 1.0
READ_BYTES = 16 * 1024
"""asyncio reads into 256 KiB, which glibc maps and unmaps for every request: 10 us of the 160 that one costs."""
_FULL = error_bytes("too-many-connections", "the agent serves as many connections as it will", "try again later")
_FULL_HEAD = (
    "HTTP/1.1 503 Service Unavailable\r\nServer: rdmatop\r\nContent-Type: application/json\r\nConnection: close\r\n"
    f"Retry-After: 5\r\nContent-Length: {len(_FULL)}\r\n\r\n"
).encode()


class Connection(RequestHandler):
    """An HTTP connection that tells when it ends and how long its client has not read."""

    __slots__ = ("_ended", "_stuck_since")

    def __init__(self, manager: web.Server, ended: Callable[[], None], **options: Any) -> None:
        super().__init__(manager, **options)
        self._ended = ended
        self._stuck_since: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if hasattr(transport, "max_size"):
            transport.max_size = READ_BYTES
        super().connection_made(transport)

    def pause_writing(self) -> None:
        self._stuck_since = self._loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._stuck_since = None
        super().resume_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._ended()
        super().connection_lost(exc)

    def cut_if_stuck(self, now: float) -> None:
        """Drops a client that does not read, and what waits for it."""
        if self._stuck_since is not None and now - self._stuck_since > UNREAD_S and self.transport is not None:
            log.debug("cut off a client that does not read")
            self.transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What aiohttp itself refuses: a head that is no HTTP, or is too large."""
        if request.writer.output_size > 0:
            raise ConnectionError("a response has begun: nothing can follow it")
        if status >= 500:
            log.error("a request failed", exc_info=exc)
            text = "the agent failed to answer"
        else:
            text = (message or "the request is not HTTP").splitlines()[0][:200]
        response = error_response(Refused(status, code_of(status), text, "speak HTTP/1.1"))
        response.force_close()
        return response


class Listener:
    """Accepts on one socket, as many as it may, and hands them to aiohttp."""

    def __init__(self, listening: socket.socket, gate: Gate, tls: ServerTls | None = None) -> None:
        self._socket, self._gate, self._tls = listening, gate, tls
        self._local = listening.family == socket.AF_UNIX
        self._open = 0
        self._by_address: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: web.Server | None = None

    @property
    def open(self) -> int:
        """Connections now, those in their handshake among them."""
        return self._open

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._socket.setblocking(False)
        self._server = web.Server(self._gate, request_factory=self._request)
        self._keep(loop.create_task(self._accept()))
        self._keep(loop.create_task(self._sweep()))

    async def close(self, timeout_s: float = 0.5) -> None:
        """Accepts no more, lets answers that are being written end, then closes every connection."""
        for task in list(self._tasks):
            task.cancel()
        self._socket.close()
        if self._server is not None:
            self._server.pre_shutdown()
            await self._server.shutdown(timeout_s)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, peer = await loop.sock_accept(self._socket)
            except OSError as error:  # EMFILE: wait for one to close
                log.warning("cannot accept: %s", error)
                await asyncio.sleep(0.2)
                continue
            address = "" if self._local else str(peer[0])
            if self._is_full(address):
                self._send_away(connection)
            else:
                self._keep(loop.create_task(self._serve(connection, address)))
            await asyncio.sleep(0)  # sock_accept does not yield while connections wait: sampling comes first

    def _is_full(self, address: str) -> bool:
        if self._local:
            return self._open >= MAX_UNIX
        return self._open >= MAX_TCP or self._by_address[address] >= MAX_PER_ADDRESS

    def _send_away(self, connection: socket.socket) -> None:
        """503 in plain HTTP; in TLS nothing, as a handshake is what is too much."""
        connection.setblocking(False)
        try:
            if self._tls is None:
                connection.send(_FULL_HEAD + _FULL)
        except OSError:
            pass
        finally:
            connection.close()

    async def _serve(self, connection: socket.socket, address: str) -> None:
        loop = asyncio.get_running_loop()
        self._open += 1
        self._by_address[address] += 1
        counted = True

        def ended() -> None:
            nonlocal counted
            if counted:
                counted = False
                self._open -= 1
                self._by_address[address] -= 1
                if not self._by_address[address]:
                    del self._by_address[address]

        options: dict[str, Any] = {}
        if self._tls is not None:
            options = {"ssl": self._tls.context, "ssl_handshake_timeout": HANDSHAKE_S}
            if sys.version_info >= (3, 11):
                options["ssl_shutdown_timeout"] = LINGER_S
        try:
            await loop.connect_accepted_socket(lambda: self._connection(ended), connection, **options)
        except (OSError, asyncio.CancelledError) as error:  # no TLS, gone, or too slow
            ended()
            connection.close()
            log.debug("a connection from %s failed: %s", address or "the socket", error)

    def _connection(self, ended: Callable[[], None]) -> Connection:
        assert self._server is not None
        return Connection(
            self._server,
            ended,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=HEAD_S,
            lingering_time=LINGER_S,
            access_log=None,
            auto_decompress=False,
            max_line_size=4096,
            max_field_size=8190,
            max_headers=64,
        )

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        loop = asyncio.get_running_loop()
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MAX_BODY)

    async def _sweep(self) -> None:
        """Cuts off those that do not read, and takes up a changed certificate."""
        while True:
            await asyncio.sleep(SWEEP_S)
            now = asyncio.get_running_loop().time()
            assert self._server is not None
            for connection in self._server.connections:
                if isinstance(connection, Connection):
                    connection.cut_if_stuck(now)
            if self._tls is not None:
                self._tls.reload()
