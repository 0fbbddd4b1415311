"""Query parameters as rows: their bounds are checked, and described in the OpenAPI, from the same place."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from agent.server.errors import Refused

MAX_QUERY = 1024
MAX_TEXT = 128


class Parameter(NamedTuple):
    """A query parameter of a route."""

    name: str
    kind: Literal["text", "integer", "time"]
    help: str
    default: Any = None
    required: bool = False
    minimum: int | None = None
    maximum: int | None = None
    example: str | None = None

    def parse(self, text: str) -> Any:
        if self.kind == "integer":
            return self._integer(text)
        if self.kind == "time":
            return self._time(text)
        if not 1 <= len(text) <= MAX_TEXT or not text.isascii() or not text.isprintable():
            raise self._refused(f"is not 1 to {MAX_TEXT} printable ASCII characters")
        return text

    def _integer(self, text: str) -> int:
        if not text.isascii() or not text.isdigit() or len(text) > 9:
            raise self._refused("is not a whole number")
        value = int(text)
        assert self.minimum is not None
        assert self.maximum is not None
        if not self.minimum <= value <= self.maximum:
            raise self._refused(f"is not within {self.minimum} and {self.maximum}")
        return value

    def _time(self, text: str) -> datetime.datetime:
        try:
            value = msgspec.convert(text, datetime.datetime)
        except msgspec.ValidationError:
            value = None
        if value is None or value.tzinfo is None:
            raise self._refused("is not a time as 2026-11-24T12:00:00Z")
        return value

    def _refused(self, why: str) -> Refused:
        return Refused(400, "bad-parameter", f"parameter '{self.name}' {why}", self.help)

    def schema(self) -> dict[str, Any]:
        """JSON Schema of the value."""
        if self.kind == "integer":
            return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum, "default": self.default}
        schema: dict[str, Any] = {"type": "string"}
        if self.kind == "time":
            schema["format"] = "date-time"
        if self.kind == "text":
            schema |= {"minLength": 1, "maxLength": MAX_TEXT, "pattern": "^[ -~]+$"}
        if self.default is not None:
            schema["default"] = self.default
        return schema


def parse_query(rows: tuple[Parameter, ...], query: str) -> Mapping[str, Any]:
    """Every row's value from a raw query string; raises Refused for what is unknown, twice, missing or wrong."""
    if len(query) > MAX_QUERY:
        raise Refused(400, "bad-parameter", f"the query is longer than {MAX_QUERY} characters")
    values: dict[str, Any] = {}
    known = {row.name: row for row in rows}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), errors="strict")
    except ValueError:
        raise Refused(400, "bad-parameter", "the query is not NAME=VALUE&NAME=VALUE in UTF-8") from None
    for name, text in pairs:
        if name not in known:
            names = ", ".join(known) or "none"
            raise Refused(400, "bad-parameter", f"unknown parameter {name[:64]!r}", f"this route has: {names}")
        if name in values:
            raise Refused(400, "bad-parameter", f"parameter '{name}' is given twice")
        values[name] = known[name].parse(text)
    for row in rows:
        if row.name not in values:
            if row.required:
                raise Refused(400, "bad-parameter", f"parameter '{row.name}' is missing", row.help)
            values[row.name] = row.default
    return values
