"""The few calls the agent makes to the API server, by aiohttp and msgspec: 20 MiB less than the client library.

A call has a bound in time and in the size of its answer. `ApiAway` means that nobody answered: try later.
`ApiRefused` is an answer: its status says why.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any

import aiohttp
import msgspec

from agent.cluster.config import ApiConfig

TIMEOUT_S = 10.0
MOST_BYTES = 8 * 1024 * 1024

APPLY = "application/apply-patch+yaml"
"""Server-side apply; JSON is YAML too."""
JSON = "application/json"


class ApiAway(Exception):
    """The API server did not answer."""


class ApiRefused(Exception):
    """The API server answered no."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class _Status(msgspec.Struct):
    message: str = ""


class ApiServer:
    """One connection pool to one API server, under one identity."""

    def __init__(self, config: ApiConfig, timeout_s: float = TIMEOUT_S) -> None:
        self._config = config
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def call(
        self, method: str, path: str, body: Any = None, *, kind: str = JSON, query: Mapping[str, str] | None = None
    ) -> bytes:
        """The body of a good answer; raises ApiAway or ApiRefused."""
        headers = {"Accept": JSON}
        data = None
        if body is not None:
            headers["Content-Type"] = kind
            data = msgspec.json.encode(body)
        try:
            token = self._config.bearer()
            if token:
                headers["Authorization"] = f"Bearer {token}"
            async with self._open().request(
                method, self._config.server + path, data=data, headers=headers, params=query, allow_redirects=False
            ) as answer:
                text = await _bounded(answer)
                if answer.status >= 300:
                    raise ApiRefused(answer.status, _message(text, answer.reason))
                return text
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError, ssl.SSLError) as error:
            raise ApiAway(f"{self._config.server}: {error or type(error).__name__}") from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=self._config.tls or True, limit=8)
            self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout)
        return self._session


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    body = await answer.content.read(MOST_BYTES)
    while chunk := await answer.content.read(MOST_BYTES):
        body += chunk
        if len(body) > MOST_BYTES:
            raise aiohttp.ClientPayloadError(f"an answer of more than {MOST_BYTES} bytes")
    return body


def _message(text: bytes, reason: str | None) -> str:
    """The words of a Kubernetes Status, else those of HTTP."""
    try:
        return msgspec.json.decode(text, type=_Status).message or reason or ""
    except msgspec.MsgspecError:
        return reason or ""
