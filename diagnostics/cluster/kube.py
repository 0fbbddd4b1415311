"""The API server as a user reaches it: any kubeconfig, raw bytes in and out.

`kubernetes.aio` does what is hard and dull (several files, exec plugins, client certificates, tokens that are renewed,
proxies); its typed models are left alone: 5,000 pods take 3.2 s and 416 MiB through them, 24 ms and 5 MiB through
msgspec with the fields that are read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import aiohttp
import msgspec
from kubernetes.aio import client
from kubernetes.aio.client.rest import RESTResponse

from diagnostics.cluster.login import Login
from diagnostics.errors import Unreachable

TIMEOUT_S = 15.0
MOST_BYTES = 256 * 1024 * 1024
"""Of one answer: 5,000 pods are 40 MiB."""

MOST_BODY = 64 * 1024
"""Of a refusal that is kept."""

LONGEST_LINE = 8 * 1024 * 1024
"""Of a watch: etcd refuses objects over 1.5 MiB."""


class KubeAway(Exception):
    """Nobody answered, or not in time."""


class KubeRefused(Exception):
    """The API server said no, and why."""

    def __init__(self, status: int, message: str, body: bytes = b"", retry_after_s: float | None = None) -> None:
        super().__init__(message or f"status {status}")
        self.status = status
        self.message = message
        self.body = body
        """As it came: behind a pod proxy the words are those of the one who was asked."""
        self.retry_after_s = retry_after_s
        """When to ask again, of a server that has too much to do."""

    @property
    def from_api_server(self) -> bool:
        """Whether the API server itself speaks, and not an agent behind its proxy."""
        return b'"kind":"Status"' in self.body.replace(b'": ', b'":')

    @property
    def absent(self) -> bool:
        """The kind or object does not exist."""
        return self.status == 404

    @property
    def forbidden(self) -> bool:
        return self.status in (401, 403)


class _Status(msgspec.Struct):
    message: str = ""


class Kube:
    """A connection to one cluster under one identity, which is read again when the server no longer takes it."""

    def __init__(
        self,
        configuration: Any,
        label: str,
        namespace: str,
        *,
        timeout_s: float = TIMEOUT_S,
        login: Login | None = None,
    ) -> None:
        self._client = _client(configuration)
        self.label = label
        """The context's name, for the header."""
        self.namespace = namespace
        self._timeout_s = timeout_s
        self._login = login
        self._renewing = asyncio.Lock()
        self._renewals = 0
        self._old: list[Any] = []

    @classmethod
    async def open(
        cls, kubeconfig: str | None = None, context: str | None = None, *, timeout_s: float = TIMEOUT_S
    ) -> Kube:
        """The named context, the current one, or the pod's own account; raises Unreachable where there is none."""
        login = Login(kubeconfig, context)
        configuration = await login.configuration()
        return cls(configuration, login.label, login.namespace, timeout_s=timeout_s, login=login)

    @property
    def server(self) -> str:
        """`https://10.0.0.1:6443`."""
        return str(self._client.configuration.host)

    async def get(self, path: str, **query: str) -> bytes:
        """The body; raises KubeAway or KubeRefused."""
        return await self.call("GET", path, query=query)

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> bytes:
        """One request and its whole answer."""
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        for last in (False, True):
            renewals = self._renewals
            try:
                # aiohttp's total time-out covers the body too.
                answer = await self._request(method, path, body, query, headers, aiohttp.ClientTimeout(total=timeout_s))
                async with answer:
                    text = await _bounded(answer)
            except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
                raise self._away(error) from error
            if answer.status < 300:
                return text
            refused = _refused(answer, text)
            if last or not await self._renewed(refused, renewals):
                raise refused
        raise AssertionError("the second try has raised or returned")

    async def lines(
        self,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        silence_s: float | None = None,
        opened: Callable[[], None] = lambda: None,
    ) -> AsyncIterator[bytes]:
        """The lines of an answer that goes on (a watch, a log, a stream); it ends as the server ends it.

        Raises KubeAway after `silence_s` without a byte. `opened` is called when the server has agreed: the first line
        may be minutes away.
        """
        bound = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout_s, sock_read=silence_s)
        for last in (False, True):
            renewals = self._renewals
            try:
                answer = await self._request("GET", path, None, query, headers, bound)
                async with answer:
                    if answer.status < 300:
                        opened()
                        async for line in _lines(answer):
                            yield line
                        return
                    refused = _refused(answer, await _bounded(answer))
            except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
                raise self._away(error) from error
            if last or not await self._renewed(refused, renewals):
                raise refused

    async def _renewed(self, refused: KubeRefused, renewals: int) -> bool:
        """Whether there is another identity to try: a token file, plugin or kubeconfig may have a new one by now."""
        if refused.status != 401 or self._login is None or not refused.from_api_server:
            return False
        async with self._renewing:
            if self._renewals != renewals:
                return True  # somebody else's request has done it meanwhile
            try:
                client_ = _client(await self._login.configuration())
            except Unreachable:
                return False
            before, self._client = self._client, client_
            self._renewals += 1
            self._old.append(before)  # streams of before go on with it
            return True

    def _away(self, error: Exception) -> KubeAway:
        return KubeAway(f"{self.server}: {str(error) or 'no answer in time'}")

    async def close(self) -> None:
        for each in (self._client, *self._old):
            await each.close()

    async def _request(
        self,
        method: str,
        path: str,
        body: Any,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        timeout: Any,
    ) -> aiohttp.ClientResponse:
        head = {"Accept": "application/json", "Content-Type": "application/json", **(headers or {})}
        await self._client.update_params_for_auth(head, None, ["BearerToken"], path, method, body)
        url = self._client.configuration.host + path + (f"?{urlencode(query)}" if query else "")
        made: RESTResponse = await self._client.rest_client.request(
            method, url, headers=head, body=body, _request_timeout=timeout
        )
        response: aiohttp.ClientResponse = made.response
        return response


def _client(configuration: Any) -> Any:
    configuration.connection_pool_maxsize = 0  # watches hold connections; the callers bound what they ask at once
    return client.ApiClient(configuration)


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    parts, size = [], 0
    async for part in answer.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > MOST_BYTES:
            raise aiohttp.ClientPayloadError(f"an answer of more than {MOST_BYTES} bytes")
    return b"".join(parts)


async def _lines(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    rest = b""
    async for part in answer.content.iter_any():
        *whole, rest = (rest + part).split(b"\n")
        if len(rest) > LONGEST_LINE:
            raise aiohttp.ClientPayloadError(f"a line of more than {LONGEST_LINE} bytes")
        for line in whole:
            if line:
                yield line
    if rest:
        yield rest


def _refused(answer: aiohttp.ClientResponse, text: bytes) -> KubeRefused:
    wait = answer.headers.get("Retry-After", "")
    seconds = float(wait) if wait.isascii() and wait.isdecimal() else None
    return KubeRefused(answer.status, _message(text), text[:MOST_BODY], seconds)


def _message(text: bytes) -> str:
    """The words of a Kubernetes Status, or the text as it is."""
    try:
        return msgspec.json.decode(text, type=_Status).message
    except msgspec.MsgspecError:
        return text[:300].decode("utf-8", "replace").strip()
