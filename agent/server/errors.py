"""The body of every refusal: `{"error": {"code", "message", "hint"}}`, and how errors become one."""

from __future__ import annotations

from http import HTTPStatus

import msgspec
from aiohttp import web

from agent.encoding import UnknownSelection
from diagnostics.errors import EXIT_UNREACHABLE, UserError
from diagnostics.model import Wire

HEADERS = {"Server": "rdmatop", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
JSON = "application/json"


class ErrorBody(Wire, frozen=True, kw_only=True):
    code: str
    """Kebab-case, for programs: `not-found`, `bad-parameter`, `unauthorized`."""
    message: str
    """What, and where."""
    hint: str | None = None
    """What to do next."""


class ErrorAnswer(Wire, frozen=True, kw_only=True):
    error: ErrorBody


class Refused(Exception):
    """A request that gets no answer but an error."""

    def __init__(self, status: int, code: str, message: str, hint: str = "", **headers: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.hint = status, code, message, hint
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def refusal(error: Exception) -> Refused | None:
    """How a client is told of `error`; None for one that nobody foresaw."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, UnknownSelection):
        return Refused(404, "not-found", str(error), "GET /v1/node names the devices and ports")
    if isinstance(error, UserError):
        if error.code == EXIT_UNREACHABLE:
            return Refused(503, "unavailable", error.message, error.hint)
        return Refused(409, "refused", error.message, error.hint)
    if isinstance(error, web.HTTPException):
        return Refused(error.status, code_of(error.status), error.reason)
    return None


def code_of(status: int) -> str:
    """`404` -> `not-found`."""
    return HTTPStatus(status).phrase.lower().replace(" ", "-")


def error_bytes(code: str, message: str, hint: str = "") -> bytes:
    return msgspec.json.encode(ErrorAnswer(error=ErrorBody(code=code, message=message, hint=hint or None)))


def error_response(refused: Refused) -> web.Response:
    """The refusal as HTTP; a client that sends what is refused for its size or shape is sent away."""
    response = web.Response(
        status=refused.status,
        body=error_bytes(refused.code, refused.message, refused.hint),
        content_type=JSON,
        headers={**HEADERS, **refused.headers},
    )
    if refused.status in (400, 401, 408, 413, 503):
        response.force_close()
    return response
