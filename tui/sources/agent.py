"""A running agent, over its Unix socket or by HTTPS: one stream, taken up again when it ends."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, TypeVar

import msgspec

from diagnostics.errors import Unreachable, UserError
from diagnostics.model import Benchmark, BenchmarkRequest, Event, NodeSnapshot, Series
from diagnostics.timing import now
from tui.options import Options
from tui.sources.base import Outage
from tui.sources.once_agent import _authorization, _context, _Items, _reason, _Refused, _url

LINE_BYTES = 64 << 20
"""A snapshot of 16 HCAs with all counters has half a MiB."""
SILENCE_S = 30.0
"""The stream repeats its last line each 10 s: silence for longer means that nobody is there."""
BACK_OFF_S = (0.5, 4.0)
"""First and longest wait before the stream is asked for again."""
SETTLE_S = 0.25
"""The cursor may run over many ports: the stream is asked for the one where it stays."""

T = TypeVar("T")


class _Refocused(Exception):
    """Another port's counters are wanted."""


class Agent:
    """Raises UserError for options that cannot be meant."""

    def __init__(self, options: Options, path: str | None) -> None:
        """`path` is the Unix socket; None: the agent that the options name."""
        self._options = options
        self._path = path
        url = None if path is not None else _url(options.agent or "", options)
        self.label = f"agent {options.agent}" if path is None else f"agent at {path}"
        self._base = (
            "http://agent" if url is None else f"{url[0]}://{f'[{url[1]}]' if ':' in url[1] else url[1]}:{url[2]}"
        )
        self._headers = _authorization(options, url)
        self._client: Any = None
        self._focus = "none"
        self._refocus = asyncio.Event()
        self._agent_interval_s = 1.0
        self._interval_s = 0.0
        """Between two pictures; 0: each of the agent's."""

    # the stream

    async def snapshots(self) -> AsyncIterator[NodeSnapshot | Outage]:
        wait, since = BACK_OFF_S[0], ""
        while True:
            try:
                async for snapshot in self._stream():
                    wait, since = BACK_OFF_S[0], ""
                    yield snapshot
                raise Unreachable(f"{self.label} ended the stream", "is it being restarted?")
            except _Refocused:
                await asyncio.sleep(SETTLE_S)
            except UserError as error:
                since = since or now()
                yield Outage(error.message, since, error.hint)
                await asyncio.sleep(wait * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, so that not all come at once
                wait = min(2 * wait, BACK_OFF_S[1])

    async def _stream(self) -> AsyncIterator[NodeSnapshot]:
        self._refocus.clear()
        decoder = msgspec.json.Decoder(NodeSnapshot)
        due, last = 0.0, -1
        async with self._open("GET", f"/v1/stream?counters={self._focus}", SILENCE_S) as answer:
            while True:
                line = await self._line(answer)
                if not line:
                    return
                snapshot = self._decoded(decoder, line)
                if snapshot.interval_s:
                    self._agent_interval_s = snapshot.interval_s
                if snapshot.sequence == last or time.monotonic() < due - 0.05:
                    continue
                last, due = snapshot.sequence, time.monotonic() + self._interval_s
                yield snapshot

    async def _line(self, answer: Any) -> bytes:
        """The next line; raises _Refocused when another port's counters are wanted first."""
        reading = asyncio.ensure_future(answer.content.readline())
        changed = asyncio.ensure_future(self._refocus.wait())
        try:
            await asyncio.wait((reading, changed), return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                line: bytes = reading.result()
                return line
            raise _Refocused
        except (OSError, asyncio.TimeoutError, ValueError) as error:
            raise self._gone(error) from error
        finally:
            reading.cancel()
            changed.cancel()

    def focus(self, device: str | None, port: int | None) -> None:
        wanted = "none" if device is None else device if port is None else f"{device}/{port}"
        if wanted != self._focus:
            self._focus = wanted
            self._refocus.set()

    def set_interval(self, seconds: float) -> None:
        if seconds < self._agent_interval_s:
            raise UserError(f"the agent reads every {self._agent_interval_s:g} s, and no more often")
        self._interval_s = seconds

    # requests

    async def history(self, device: str, port: int | None, names: tuple[str, ...], seconds: int) -> list[Series]:
        where = device if port is None else f"{device}/{port}"
        found = []
        for name in names:
            route = f"/v1/history?port={where}&counter={name}&seconds={seconds}"
            try:
                found.append(self._decode(await self._call("GET", route), Series))
            except UserError:
                return []  # a port without that counter has no history
        return found

    async def benchmarks(self) -> tuple[Benchmark, ...]:
        return self._list(await self._call("GET", "/v1/benchmarks"), Benchmark)

    async def start_benchmark(self, request: BenchmarkRequest) -> tuple[Benchmark, ...]:
        return self._list(await self._call("POST", "/v1/benchmarks", msgspec.json.encode(request)), Benchmark)

    async def cancel_benchmark(self, benchmark: str) -> None:
        await self._call("DELETE", f"/v1/benchmarks/{benchmark}")

    async def events(self) -> tuple[Event, ...]:
        return self._list(await self._call("GET", "/v1/events"), Event)

    async def acknowledge(self, finding: str) -> None:
        from urllib.parse import quote

        await self._call("POST", f"/v1/findings/{quote(finding, safe='')}/ack", b"{}")

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    # the wire

    async def _call(self, method: str, route: str, body: bytes | None = None) -> bytes:
        async with self._open(method, route, self._options.request_timeout_s, body) as answer:
            content: bytes = await answer.read()
            return content

    def _open(self, method: str, route: str, silence_s: float, body: bytes | None = None) -> Any:
        return _Answer(self, method, route, silence_s, body)

    def client(self) -> Any:
        """The HTTP session; made when it is first needed, since aiohttp takes 150 ms to import."""
        if self._client is None:
            import aiohttp

            if self._path is not None:
                connector: Any = aiohttp.UnixConnector(self._path)
            else:
                connector = aiohttp.TCPConnector(ssl=self._tls(), limit=8)
            self._client = aiohttp.ClientSession(connector=connector, headers=self._headers, read_bufsize=LINE_BYTES)
        return self._client

    def _tls(self) -> Any:
        import aiohttp

        if self._options.fingerprint is not None:
            return aiohttp.Fingerprint(bytes.fromhex(self._options.fingerprint))
        return _context(self._options)

    def url(self, route: str) -> str:
        return self._base + route

    async def refusal(self, answer: Any) -> UserError:
        """The agent's own words for why not."""
        body = await answer.content.read(1 << 16)
        try:
            error = msgspec.json.decode(body, type=_Refused).error
            message, hint = error.message, error.hint or ""
        except (msgspec.MsgspecError, UnicodeDecodeError):
            message, hint = f"HTTP {answer.status} {answer.reason}", ""
        if answer.status in (401, 403) and not hint:
            hint = "show it a token: --token-file FILE"
        return Unreachable(f"{self.label}: {message}", hint)

    def _gone(self, error: Exception) -> Unreachable:
        cause = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
        hint = "is the agent running? it is asked again and again"
        if type(error).__name__ == "ServerFingerprintMismatch":
            return Unreachable(
                f"{self.label}: its certificate is not the one of --fingerprint", "the agent prints its own at start"
            )
        if isinstance(cause, PermissionError):
            hint = "the socket belongs to the user that runs the agent: ask as that user, or by --agent URL"
        elif "ertificate" in str(cause):
            hint = "trust it by --fingerprint SHA256 (the agent prints it at start) or --ca-file FILE"
        elif self._path is not None:
            hint = "start one: rdmatop agent; or read this host without it: --local"
        return Unreachable(f"{self.label} cannot be reached: {_reason(cause)}", hint)

    def _decoded(self, decoder: msgspec.json.Decoder[T], content: bytes) -> T:
        try:
            return decoder.decode(content)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Unreachable(
                f"{self.label} answers in another language: {error}", "is it an rdmatop agent of this version?"
            ) from error

    def _decode(self, content: bytes, kind: type[T]) -> T:
        return self._decoded(msgspec.json.Decoder(kind), content)

    def _list(self, content: bytes, kind: type[T]) -> tuple[T, ...]:
        return tuple(self._decode(bytes(item), kind) for item in self._decode(content, _Items).items)


class _Answer:
    """One request as a context; everything that can go wrong on the way is Unreachable."""

    def __init__(self, agent: Agent, method: str, route: str, silence_s: float, body: bytes | None) -> None:
        self._agent, self._method, self._route = agent, method, route
        self._silence_s, self._body = silence_s, body
        self._response: Any = None

    async def __aenter__(self) -> Any:
        import aiohttp

        agent = self._agent
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=self._silence_s)
        headers = {"Content-Type": "application/json"} if self._body is not None else {}
        try:
            self._response = await agent.client().request(
                self._method, agent.url(self._route), data=self._body, headers=headers, timeout=timeout
            )
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
            raise agent._gone(error) from error
        if self._response.status >= 400:
            try:
                raise await agent.refusal(self._response)
            finally:
                self._response.close()
        return self._response

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import aiohttp

        self._response.close()
        if isinstance(error, (aiohttp.ClientError, OSError, asyncio.TimeoutError)):
            raise self._agent._gone(error) from error
