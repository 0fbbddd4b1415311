"""What stands before every handler: route, token, parameters and body are checked here, and errors get their body."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec
from aiohttp import HttpVersion10, web

from agent.monitor import Monitor
from agent.server.errors import Refused, error_response, refusal
from agent.server.handlers import Call, Context
from agent.server.parameters import parse_query
from agent.server.routes import Found, Needs, Table
from agent.server.tokens import MAX_TOKEN, Authorizer

log = logging.getLogger(__name__)

MAX_BODY = 64 * 1024
BODY_S = 10.0
"""A body must have come in this time."""


class Gate:
    """The handler of one listener."""

    def __init__(
        self,
        monitor: Monitor,
        context: Context,
        *,
        trusted: bool = False,
        authorizer: Authorizer | None = None,
        anonymous_metrics: bool = False,
    ) -> None:
        """`trusted`: whoever reaches the listener may do everything, as on the Unix socket of mode 0600."""
        self._monitor, self._context = monitor, context
        self._trusted, self._authorizer, self._anonymous_metrics = trusted, authorizer, anonymous_metrics
        self._table = Table()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except ConnectionError:
            raise
        except Exception as error:
            refused = refusal(error)
            if refused is None:
                log.exception("%s %s failed", request.method, request.rel_url.raw_path)
                refused = Refused(500, "internal", "the agent failed to answer", "its log says why")
            return error_response(refused)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        if request.version < HttpVersion10:
            raise Refused(400, "bad-request", "the request has no HTTP version", "speak HTTP/1.1")
        found = self._find(request.method, path)
        if (request.content_length or 0) > MAX_BODY:
            raise Refused(413, "too-large", f"the body is larger than {MAX_BODY} bytes")
        by = await self._authorize(request, found.route.needs, path)
        values = parse_query(found.route.parameters, query) if query or found.route.parameters else {}
        body = await _body(request, found.route.body) if found.route.body is not None else None
        return await found.route.handle(Call(request, values, found.id, body, self._monitor, self._context, by))

    def _find(self, method: str, path: str) -> Found:
        found = self._table.find(method, path)
        if found is not None:
            return found
        methods = self._table.methods(path)
        if methods:
            allowed = ", ".join([*methods, "HEAD"] if "GET" in methods else methods)
            raise Refused(
                405, "method-not-allowed", f"{path} does not take {method[:16]}", f"it takes {allowed}", Allow=allowed
            )
        raise Refused(404, "not-found", f"there is no {path[:200]}", "GET /v1/openapi.json lists what there is")

    async def _authorize(self, request: web.BaseRequest, needs: Needs, path: str) -> str:
        """Who asks; raises Refused for nobody, and for somebody who may not."""
        if self._trusted:
            return "the socket's user"
        if needs == "none" or (needs == "metrics" and self._anonymous_metrics):
            return "anybody"
        token = _token_of(request)
        if self._authorizer is None or token is None:
            hint = "send Authorization: Bearer TOKEN" if self._authorizer else "the agent was started without tokens"
            raise _unauthorized("a token is needed", hint)
        grant = await self._authorizer.grant(token, request.method, path)
        if grant is None:
            log.warning("refused a token that is not valid, from %s", request.remote)
            raise Refused(
                401, "unauthorized", "the token is not valid", "ask who runs the agent", WWW_Authenticate="Bearer"
            )
        if needs == "operator" and grant.role != "operator":
            raise Refused(403, "forbidden", f"'{grant.name}' may look, not act", "use an operator's token")
        if request.method not in ("GET", "HEAD"):
            log.info("%s %s by %s", request.method, path, grant.name)
        return grant.name


def _token_of(request: web.BaseRequest) -> str | None:
    """The API server's pod proxy strips Authorization, so that a header of our own wins."""
    token = request.headers.get("X-Rdmatop-Token")
    if token is None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
    token = token.strip()
    return token if 0 < len(token) <= MAX_TOKEN else None


def _unauthorized(message: str, hint: str) -> Refused:
    return Refused(401, "unauthorized", message, hint, WWW_Authenticate="Bearer")


async def _body(request: web.BaseRequest, kind: Any) -> Any:
    """The body as `kind`; raises Refused for what is not JSON of that shape, TimeoutError never."""
    if request.content_type not in ("application/json", "application/octet-stream") or request.headers.get(
        "Content-Encoding"
    ):
        raise Refused(415, "unsupported-media-type", "the body is not plain JSON", "Content-Type: application/json")
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    try:
        raw = await asyncio.wait_for(request.read(), BODY_S)
    except asyncio.TimeoutError:
        raise Refused(408, "timeout", f"the body did not come within {BODY_S:g} s") from None
    except web.HTTPRequestEntityTooLarge:
        raise Refused(413, "too-large", f"the body is larger than {MAX_BODY} bytes") from None
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(400, "bad-body", str(error)[:300], "GET /v1/openapi.json describes it") from None
