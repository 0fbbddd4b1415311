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
from kubernetes.aio import client, config
from kubernetes.aio.client.rest import RESTResponse

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
    def absent(self) -> bool:
        """The kind or object does not exist."""
        return self.status == 404

    @property
    def forbidden(self) -> bool:
        return self.status in (401, 403)


class _Status(msgspec.Struct):
    message: str = ""


class Kube:
    """A connection to one cluster under one identity."""

    def __init__(self, configuration: Any, label: str, namespace: str) -> None:
        configuration.connection_pool_maxsize = 0  # watches hold connections; the callers bound what they ask at once
        self._client = client.ApiClient(configuration)
        self.label = label
        """The context's name, for the header."""
        self.namespace = namespace

    @classmethod
    async def open(cls, kubeconfig: str | None = None, context: str | None = None) -> Kube:
        """The named context, the current one, or the pod's own account; raises Unreachable where there is none."""
        configuration = client.Configuration()
        try:
            await config.load_kube_config(kubeconfig, context, client_configuration=configuration)
        except (config.ConfigException, OSError, TypeError, KeyError, ValueError) as error:
            if kubeconfig is not None or context is not None:
                raise Unreachable(f"no usable kubeconfig: {error}", "kubectl config get-contexts") from None
            return cls._in_pod(configuration, error)
        contexts, active = config.list_kube_config_contexts(kubeconfig)
        chosen = next((each for each in contexts if each["name"] == context), active)
        return cls(configuration, chosen["name"], chosen["context"].get("namespace") or "default")

    @classmethod
    def _in_pod(cls, configuration: Any, why: Exception) -> Kube:
        try:
            config.load_incluster_config(client_configuration=configuration)
        except config.ConfigException:
            raise Unreachable(f"no cluster: {why}", "set KUBECONFIG, or run with --local for this host") from None
        return cls(configuration, "in-cluster", "default")

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
        timeout_s: float = TIMEOUT_S,
    ) -> bytes:
        """One request and its whole answer."""
        try:
            # aiohttp's total time-out covers the body too.
            answer = await self._request(method, path, body, query, headers, aiohttp.ClientTimeout(total=timeout_s))
            async with answer:
                text = await _bounded(answer)
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise KubeAway(f"{self._client.configuration.host}: {error or 'no answer in time'}") from error
        if answer.status >= 300:
            raise _refused(answer, text)
        return text

    async def lines(
        self,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        opened: Callable[[], None] = lambda: None,
    ) -> AsyncIterator[bytes]:
        """The lines of an answer that goes on (a watch, a log, a stream); it ends as the server ends it.

        `opened` is called when the server has agreed: the first line may be minutes away.
        """
        try:
            bound = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_S, sock_read=None)
            answer = await self._request("GET", path, None, query, headers, bound)
            async with answer:
                if answer.status >= 300:
                    raise _refused(answer, await _bounded(answer))
                opened()
                async for line in _lines(answer):
                    yield line
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise KubeAway(f"{self._client.configuration.host}: {error or 'no answer in time'}") from error

    async def close(self) -> None:
        await self._client.close()

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
        # Renews a token that has run out, and asks an exec plugin again.
        await self._client.update_params_for_auth(head, None, ["BearerToken"], path, method, body)
        url = self._client.configuration.host + path + (f"?{urlencode(query)}" if query else "")
        made: RESTResponse = await self._client.rest_client.request(
            method, url, headers=head, body=body, _request_timeout=timeout
        )
        response: aiohttp.ClientResponse = made.response
        return response


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
