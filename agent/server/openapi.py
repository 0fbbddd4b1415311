"""The OpenAPI 3.1 description of the interface, made from the table of routes and the wire types."""

from __future__ import annotations

from typing import Any

import msgspec

from agent.server.errors import ErrorAnswer
from agent.server.routes import ROUTES, Route
from diagnostics.version import VERSION

_REF = "#/components/schemas/{name}"
_ALWAYS = {400: "The request is not understood", 503: "Too many connections, or not ready"}
_OVER_TCP = {401: "No token, or not a valid one", 403: "The token is not an operator's", 429: "Too many unknown tokens"}
_PHRASES = {
    404: "There is no such thing",
    409: "It cannot be done as asked, or not now",
    413: "The body is larger than 64 KiB",
    415: "The body is not plain JSON",
    **_ALWAYS,
    **_OVER_TCP,
}


def describe(routes: tuple[Route, ...] = ROUTES) -> dict[str, Any]:
    """An OpenAPI document; every type a route takes or gives stands under components."""
    types = {route.answer for route in routes} | {route.body for route in routes}
    named = [kind for kind in types if isinstance(kind, type) and issubclass(kind, msgspec.Struct)]
    _, components = msgspec.json.schema_components([*named, ErrorAnswer], ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "rdmatop agent",
            "version": VERSION,
            "description": "RDMA on one node: state, rates, verdicts and benchmarks. Over the Unix socket no token is"
            " needed; over TCP a bearer token is, in Authorization or in X-Rdmatop-Token.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-Rdmatop-Token"},
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    name = route.handle.__name__
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": route.summary,
        "security": [] if route.needs == "none" else [{"bearer": []}, {"header": []}],
        "responses": {str(route.status): _answer(route), **_refusals(route)},
    }
    parameters = [_parameter(row) for row in route.parameters]
    if "{id}" in route.path:
        parameters.append({"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}})
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _schema(route.body)}}}
    return operation


def _parameter(row: Any) -> dict[str, Any]:
    described = {
        "name": row.name,
        "in": "query",
        "required": row.required,
        "description": row.help,
        "schema": row.schema(),
    }
    if row.example is not None:
        described["example"] = row.example
    return described


def _answer(route: Route) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if route.media == "application/json":
        schema = _schema(route.answer)
    return {"description": route.summary, "content": {route.media: {"schema": schema}}}


def _refusals(route: Route) -> dict[str, Any]:
    statuses = {*_ALWAYS, *route.refusals, *(() if route.needs == "none" else _OVER_TCP)}
    statuses |= {413} if route.body is not None else set()
    error = {"application/json": {"schema": _schema(ErrorAnswer)}}
    return {str(status): {"description": _PHRASES[status], "content": error} for status in sorted(statuses)}


def _schema(kind: Any) -> dict[str, Any]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {"$ref": _REF.format(name=kind.__name__)}
    return {"type": "object"}
