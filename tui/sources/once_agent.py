"""Asks a running agent, over its Unix socket or by HTTPS, with the standard library alone."""

from __future__ import annotations

import hashlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Literal, TypeVar
from urllib.parse import urlsplit

import msgspec

from diagnostics.errors import Unreachable, UserError
from diagnostics.model import Benchmark, BenchmarkRequest, Event, NodeSnapshot, Wire
from tui.options import AGENT_PORT, Options
from tui.sources.once import Ran, Wanted, problems

MOST_BYTES = 64 << 20
"""An answer longer than this is not an agent's: a snapshot of 16 HCAs has half a MiB."""
SILENCE_S = 30.0
"""A stream repeats its last line each 10 s: silence for longer means that nobody is there any more."""
START_S = 60.0
"""For an agent to say what it started: it asks its devices (20 s) and looks twice at what they carry (10 s each)."""
POLL_S = 0.25
"""How often a running benchmark is looked at."""
UNFINISHED = ("queued", "running")

T = TypeVar("T")


class _Refusal(Wire, kw_only=True, frozen=True):
    message: str
    hint: str | None = None


class _Refused(Wire, kw_only=True, frozen=True):
    error: _Refusal


class _Items(Wire, kw_only=True, frozen=True):
    items: tuple[msgspec.Raw, ...]


class AgentOnce:
    many: Literal[False] = False

    def __init__(self, options: Options, path: str | None) -> None:
        """`path` is the Unix socket; None: the agent of the options, by HTTP."""
        self._options = options
        self._path = path
        self._url = None if path is not None else _url(options.agent or "", options)
        self.label = f"agent {options.agent}" if path is None else f"agent at {path}"
        self._headers = {"Accept": "application/json", **_authorization(options, self._url)}

    # ---- what commands ask

    def snapshot(self, wanted: Wanted) -> NodeSnapshot:
        return self._decode(self._call("GET", f"/v1/node?counters={wanted.counters}"), NodeSnapshot)

    def watch(self, wanted: Wanted, interval_s: float) -> Iterator[NodeSnapshot]:
        due, last = 0.0, -1
        with self._open("GET", f"/v1/stream?counters={wanted.counters}", timeout_s=SILENCE_S) as answer:
            while True:
                try:
                    line = answer.readline(MOST_BYTES)
                except (OSError, http.client.HTTPException) as error:
                    raise self._gone(error) from error
                if not line:
                    raise Unreachable(f"{self.label} ended the stream", "is it being restarted? ask again")
                seen = self._decode(line, NodeSnapshot)
                # A silent agent repeats its last line; one that samples faster than we show is thinned.
                slower = (seen.interval_s or 0.0) >= interval_s
                if seen.sequence != last and (slower or time.monotonic() >= due - interval_s / 4):
                    due, last = time.monotonic() + interval_s, seen.sequence
                    yield seen

    def events(self) -> tuple[Event, ...]:
        return self._list(self._call("GET", "/v1/events"), Event)

    def benchmarks(self) -> tuple[Benchmark, ...]:
        return self._list(self._call("GET", "/v1/benchmarks"), Benchmark)

    def run_benchmarks(self, requests: tuple[BenchmarkRequest, ...], changed: Callable[[Benchmark], None]) -> Ran:
        items: dict[str, Benchmark] = {}
        refused: list[tuple[BenchmarkRequest, UserError]] = []
        for request in requests:
            current: dict[str, Benchmark] = {}
            try:
                self._start(request, current)
                self._follow(current, changed)
            except UserError as error:
                refused.append((request, error))
            except KeyboardInterrupt:
                self._cancel(current)
                return Ran((*items.values(), *current.values()), problems(refused), interrupted=True)
            except BaseException:  # whoever is told has left: nobody waits for the rest
                self._cancel(current)
                raise
            items.update(current)
        if refused and not items:
            raise refused[0][1]
        return Ran(tuple(items.values()), problems(refused))

    def close(self) -> None:
        return None

    # ---- benchmarks

    def _start(self, request: BenchmarkRequest, current: dict[str, Benchmark]) -> None:
        """Into `current` what the agent started. An interrupt still waits for its answer, which alone says what to
        cancel; a second one does not."""
        ending: list[Exception] = []
        ended = threading.Event()  # join() takes an interrupted wait for the end of the thread

        def post() -> None:
            try:
                answer = self._call("POST", "/v1/benchmarks", msgspec.json.encode(request), timeout_s=START_S)
                current.update((item.id, item) for item in self._list(answer, Benchmark))
            except Exception as error:  # noqa: BLE001  raised again by whoever waits
                ending.append(error)
            finally:
                ended.set()

        threading.Thread(target=post, name="start benchmark", daemon=True).start()
        try:
            ended.wait()
        except KeyboardInterrupt:
            ended.wait()
            raise
        if ending:
            raise ending[0]

    def _follow(self, current: dict[str, Benchmark], changed: Callable[[Benchmark], None]) -> None:
        """Looks until every item has ended; `current` always holds what was seen last."""
        while any(item.state in UNFINISHED for item in current.values()):
            time.sleep(POLL_S)
            for item in self.benchmarks():
                if item.id in current and item != current[item.id]:
                    current[item.id] = item
                    changed(item)

    def _cancel(self, current: dict[str, Benchmark]) -> None:
        for item in tuple(current.values()):
            if item.state in UNFINISHED:
                try:
                    answer = self._call("DELETE", f"/v1/benchmarks/{item.id}")
                    current[item.id] = self._decode(answer, Benchmark)
                except UserError:  # it has just ended, or the agent has: the next one is asked for all the same
                    continue

    # ---- the wire

    def _call(self, method: str, route: str, body: bytes | None = None, *, timeout_s: float | None = None) -> bytes:
        with self._open(method, route, body, timeout_s or self._options.request_timeout_s) as answer:
            try:
                content = answer.read(MOST_BYTES + 1)
            except (OSError, http.client.HTTPException) as error:
                raise self._gone(error) from error
        if len(content) > MOST_BYTES:
            raise Unreachable(f"{self.label} answers without end", "is it an rdmatop agent?")
        return content

    def _open(
        self, method: str, route: str, body: bytes | None = None, timeout_s: float = 10.0
    ) -> http.client.HTTPResponse:
        """The answer to a request, its body still to be read. Raises Unreachable, or UserError for a refusal."""
        connection = self._connection(min(timeout_s, self._options.request_timeout_s))
        headers = self._headers | ({"Content-Type": "application/json"} if body is not None else {})
        try:
            connection.connect()
            if connection.sock is not None:
                connection.sock.settimeout(timeout_s)
            connection.request(method, route, body, headers)
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._gone(error) from error
        if answer.status >= 400:
            raise self._refusal(answer)
        return answer

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        if self._path is not None:
            return _UnixConnection(self._path, timeout_s)
        assert self._url is not None
        scheme, host, port = self._url
        if scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=timeout_s)
        return _PinnedConnection(host, port, timeout_s, _context(self._options), self._options.fingerprint)

    def _refusal(self, answer: http.client.HTTPResponse) -> UserError:
        """The agent's own words for why not."""
        with answer:
            body = answer.read(1 << 16)
        try:
            error = msgspec.json.decode(body, type=_Refused).error
        except (msgspec.MsgspecError, UnicodeDecodeError):
            error = _Refusal(message=f"HTTP {answer.status} {answer.reason}")
        hint = error.hint or ""
        if answer.status in (401, 403) and not hint:
            hint = "show it a token: --token-file FILE"
        if answer.status in (400, 409, 413, 422):
            return UserError(f"{self.label}: {error.message}", hint)
        return Unreachable(f"{self.label}: {error.message}", hint)

    def _gone(self, error: Exception) -> Unreachable:
        return Unreachable(f"{self.label} cannot be reached: {_reason(error)}", self._what_next(error))

    def _what_next(self, error: Exception) -> str:
        if isinstance(error, ssl.SSLCertVerificationError):
            return "trust it by --fingerprint SHA256 (the agent prints it at start) or --ca-file FILE"
        if isinstance(error, PermissionError):
            return "the socket belongs to the user that runs the agent: ask as that user (sudo), or by --agent URL"
        if self._path is not None:
            return f"start one there: rdmatop agent --socket {self._path}; or read this host without it: --local"
        return "is the agent running, and listening there? rdmatop agent --listen ADDR:PORT"

    def _decode(self, content: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(content, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Unreachable(
                f"{self.label} answers what is no {kind.__name__}: {error}", "is it an rdmatop agent of this version?"
            ) from error

    def _list(self, content: bytes, kind: type[T]) -> tuple[T, ...]:
        return tuple(self._decode(bytes(item), kind) for item in self._decode(content, _Items).items)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _PinnedConnection(http.client.HTTPSConnection):
    """HTTPS that, where a fingerprint is given, talks to the one certificate that has it, and says nothing before."""

    def __init__(
        self, host: str, port: int, timeout_s: float, context: ssl.SSLContext, fingerprint: str | None
    ) -> None:
        super().__init__(host, port, timeout=timeout_s, context=context)
        self._fingerprint = fingerprint

    def connect(self) -> None:
        super().connect()
        if self._fingerprint is None:
            return
        shown = hashlib.sha256(self.sock.getpeercert(binary_form=True) or b"").hexdigest()
        if shown != self._fingerprint:
            self.close()
            raise ssl.SSLCertVerificationError(f"its certificate has the fingerprint {shown}, not the one expected")


def _context(options: Options) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if options.ca_file is not None:
        context = ssl.create_default_context(cafile=_readable(options.ca_file, "--ca-file"))
    if options.insecure or options.fingerprint is not None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _url(text: str, options: Options) -> tuple[str, str, int]:
    """`https://HOST[:PORT]` -> scheme, host, port. Raises UserError for what is no address of an agent."""
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        scheme, host, port = parts.scheme, parts.hostname, parts.port or AGENT_PORT
    except ValueError as error:
        raise UserError(f"--agent {text}: {error}", f"write https://HOST:{AGENT_PORT}") from error
    if scheme not in ("http", "https") or not host or parts.path not in ("", "/") or parts.username:
        raise UserError(f"--agent {text}: not the address of an agent", f"write https://HOST:{AGENT_PORT}")
    if scheme == "http" and options.token_file is not None and not options.insecure:
        raise UserError(
            f"--agent {text}: the token would travel readable", "use https://, or --insecure to show it all the same"
        )
    return scheme, host, port


def _authorization(options: Options, url: tuple[str, str, int] | None) -> dict[str, str]:
    """The token of `--token-file`, for the network alone: a socket's owner is known by its mode."""
    if options.token_file is None or url is None:
        return {}
    try:
        with open(_readable(options.token_file, "--token-file"), encoding="ascii") as file:
            token = file.read(8192).strip()
    except UnicodeDecodeError:
        token = ""
    if not token or any(character.isspace() for character in token):
        raise UserError(f"--token-file {options.token_file}: holds no token", "one token, alone in the file")
    return {"Authorization": f"Bearer {token}"}


def _readable(path: str, flag: str) -> str:
    try:
        open(path, "rb").close()
    except OSError as error:
        raise UserError(f"{flag} {path}: {error.strerror}", "give a file that you may read") from error
    return path


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message if getattr(error, "verify_message", "") else str(error.args[-1])
    if any(kind.__name__ == "TimeoutError" for kind in type(error).__mro__):  # asyncio's is its own before 3.11
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
