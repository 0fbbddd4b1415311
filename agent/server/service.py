"""Both listeners of an agent: opened before the first reading, so that what cannot be is said at once."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable

import msgspec

from agent.config import AgentOptions
from agent.monitor import Monitor
from agent.server.certificate import ServerTls
from agent.server.gate import Gate
from agent.server.handlers import Context
from agent.server.listeners import Listener
from agent.server.openapi import describe
from agent.server.sockets import identity, open_tcp, open_unix, remove_unix
from agent.server.tokens import Authorizer, TokensFile
from diagnostics.errors import UserError

log = logging.getLogger(__name__)


class Service:
    """The agent's HTTP interface."""

    def __init__(
        self,
        options: AgentOptions,
        host: str,
        state_dir: str | None,
        cluster: Callable[[Authorizer | None], Authorizer] | None = None,
    ) -> None:
        """Opens the sockets, reads tokens and certificate; raises UserError or Unreachable where that cannot be.

        `cluster` makes an authorizer that asks the cluster too, after the tokens file.
        """
        self._options = options
        self._authorizer: Authorizer | None = None
        if options.listen is not None:
            check_authorization(options, has_cluster=cluster is not None)
            tokens = TokensFile(options.tokens_file) if options.tokens_file else None
            self._authorizer = cluster(tokens) if cluster else tokens
        self._tls = self._tls_of(options, host, state_dir)
        self._tcp = open_tcp(options.listen) if options.listen else None
        try:
            self._unix = open_unix(options.socket)
        except UserError:
            if self._tcp is not None:
                self._tcp.close()
            raise
        self._made = identity(options.socket)
        self._context = Context(msgspec.json.encode(describe()), set())
        self._listeners: list[Listener] = []

    @property
    def tcp_address(self) -> tuple[str, int] | None:
        """Host and port as bound: port 0 has become a real one."""
        if self._tcp is None:
            return None
        host, port = self._tcp.getsockname()[:2]
        return host, port

    @property
    def fingerprint(self) -> str | None:
        """SHA-256 of the certificate, lower-case hex."""
        return self._tls.fingerprint if self._tls else None

    def start(self, monitor: Monitor) -> None:
        """Answers from now on."""
        self._listen(self._unix, Gate(monitor, self._context, trusted=True), None)
        log.info("listening on %s", self._options.socket)
        if self._tcp is not None:
            gate = Gate(
                monitor,
                self._context,
                authorizer=self._authorizer,
                anonymous_metrics=self._options.anonymous_metrics,
            )
            self._listen(self._tcp, gate, self._tls)
            log.info("listening on %s", self.describe_tcp())

    def describe_tcp(self) -> str:
        """`https://[::]:9879, certificate sha256 ab12...`"""
        assert self.tcp_address is not None
        host, port = self.tcp_address
        where = f"{'https' if self._tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
        return f"{where}, certificate sha256 {self._tls.fingerprint}" if self._tls else f"{where}, not encrypted"

    async def close(self) -> None:
        """Streams get their last chunk, answers that are being written end, sockets close; well under a second."""
        for stream in list(self._context.streams):
            stream.close()
        await asyncio.gather(*(listener.close() for listener in self._listeners))
        remove_unix(self._options.socket, self._made)
        for listening in (self._unix, self._tcp):
            if listening is not None:
                listening.close()

    def _listen(self, listening: socket.socket, gate: Gate, tls: ServerTls | None) -> None:
        listener = Listener(listening, gate, tls)
        listener.start()
        self._listeners.append(listener)

    def _tls_of(self, options: AgentOptions, host: str, state_dir: str | None) -> ServerTls | None:
        if options.listen is None or not options.tls:
            return None
        return ServerTls(options.tls_cert, options.tls_key, state_dir, host)


def check_authorization(options: AgentOptions, *, has_cluster: bool) -> None:
    """Nobody is let in over TCP unless somebody says who may: raises UserError."""
    if options.listen is None or options.tokens_file or options.anonymous_metrics or has_cluster:
        return
    raise UserError(
        f"--listen {options.listen} without anybody to say who may ask: no cluster, no tokens file",
        "give --tokens-file FILE (a line: TOKEN [NAME] [viewer|operator]), or --anonymous-metrics for /metrics alone",
    )


def usable_state_dir(options: AgentOptions, default: str) -> str | None:
    """The state directory; the default one only where `/` is read and it can be written. None keeps all in memory."""
    if options.state_dir is not None:
        return options.state_dir
    if options.root != "/":
        return None
    try:
        os.makedirs(default, 0o700, exist_ok=True)
    except OSError:
        return None
    return default if os.access(default, os.W_OK) else None
