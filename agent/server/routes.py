"""The HTTP interface as one table: routing, checking of parameters and the OpenAPI all come from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal, NamedTuple

from aiohttp import web

from agent.server import handlers
from agent.server.answers import BenchmarkList, EventList, FindingList, Probe, ProcessList, Summary
from agent.server.handlers import Call
from agent.server.parameters import Parameter
from diagnostics.model import Benchmark, BenchmarkRequest, Finding, NodeSnapshot, Series

Needs = Literal["none", "metrics", "viewer", "operator"]
"""Who may ask over TCP: anybody; a viewer, or anybody with --anonymous-metrics; a viewer; an operator."""


class Route(NamedTuple):
    """A method and a path; `{id}` is its last part, or the one before."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    handle: Callable[[Call], Awaitable[web.StreamResponse]]
    summary: str
    answer: Any
    """The type of the body; None where it is not JSON."""
    needs: Needs = "viewer"
    parameters: tuple[Parameter, ...] = ()
    body: Any = None
    status: int = 200
    media: str = "application/json"
    refusals: tuple[int, ...] = ()
    """Beside those that any route may give."""


_COUNTERS = Parameter(
    "counters",
    "text",
    "which counters: all, none, or those of DEVICE or DEVICE/PORT",
    default="all",
    example="mlx5_0/1",
)
_PORT = Parameter(
    "port", "text", "DEVICE/PORT, or DEVICE for a counter of the whole device", required=True, example="mlx5_0/1"
)
_COUNTER = Parameter(
    "counter", "text", "the counter's name, as the kernel has it", required=True, example="port_xmit_data"
)
_SECONDS = Parameter("seconds", "integer", "how far back, 1 to 3600", default=600, minimum=1, maximum=3600)
_SINCE = Parameter("since", "time", "events after this time, RFC 3339", example="2026-11-24T12:00:00Z")

ROUTES = (
    Route("GET", "/healthz", handlers.healthz, "Is the agent alive?", Probe, needs="none", refusals=(503,)),
    Route("GET", "/readyz", handlers.readyz, "Is there a full and fresh sample?", Probe, needs="none", refusals=(503,)),
    Route("GET", "/v1/summary", handlers.summary, "The node in about 2 KiB", Summary, refusals=(503,)),
    Route(
        "GET",
        "/v1/node",
        handlers.node,
        "The full snapshot, with rates and findings",
        NodeSnapshot,
        parameters=(_COUNTERS,),
        refusals=(404, 503),
    ),
    Route(
        "GET",
        "/v1/history",
        handlers.history,
        "Rates of one counter, oldest first",
        Series,
        parameters=(_PORT, _COUNTER, _SECONDS),
        refusals=(404, 503),
    ),
    Route(
        "GET", "/v1/processes", handlers.processes, "Who holds queue pairs, on which port", ProcessList, refusals=(503,)
    ),
    Route(
        "GET", "/v1/findings", handlers.findings, "What is wrong, and how that is known", FindingList, refusals=(503,)
    ),
    Route(
        "POST",
        "/v1/findings/{id}/ack",
        handlers.acknowledge,
        "Say that a person has seen a finding; one that stays until then ends",
        Finding,
        needs="operator",
        refusals=(404, 503),
    ),
    Route(
        "GET",
        "/v1/events",
        handlers.events,
        "What began, changed and ended, oldest first",
        EventList,
        parameters=(_SINCE,),
    ),
    Route(
        "GET",
        "/v1/stream",
        handlers.stream,
        "A snapshot a line, as they are taken; a slow reader gets the latest",
        NodeSnapshot,
        parameters=(_COUNTERS,),
        media="application/x-ndjson",
        refusals=(404, 503),
    ),
    Route("GET", "/v1/benchmarks", handlers.benchmarks, "Benchmarks of this node, newest first", BenchmarkList),
    Route(
        "POST",
        "/v1/benchmarks",
        handlers.start_benchmark,
        "Start a benchmark; an item a device and size",
        BenchmarkList,
        needs="operator",
        body=BenchmarkRequest,
        status=202,
        refusals=(409, 415, 503),
    ),
    Route("GET", "/v1/benchmarks/{id}", handlers.benchmark, "One benchmark", Benchmark, refusals=(404,)),
    Route(
        "DELETE",
        "/v1/benchmarks/{id}",
        handlers.cancel_benchmark,
        "Cancel a benchmark; what was measured stays",
        Benchmark,
        needs="operator",
        refusals=(404, 409, 503),
    ),
    Route("GET", "/metrics", handlers.metrics, "For Prometheus", None, needs="metrics", media="text/plain"),
    Route("GET", "/v1/openapi.json", handlers.openapi, "This interface's own description", dict[str, Any]),
)


class Found(NamedTuple):
    route: Route
    id: str | None


class Table:
    """Finds a route by the path exactly as it was sent: `//v1/node` and `/v1/%6eode` are no routes."""

    def __init__(self, routes: tuple[Route, ...] = ROUTES) -> None:
        self._by_path: dict[str, dict[str, Route]] = {}
        for route in routes:
            self._by_path.setdefault(route.path, {})[route.method] = route

    def find(self, method: str, path: str) -> Found | None:
        """None when there is no such path, or not with that method; see `methods`."""
        key, id_ = self._key(path)
        route = self._by_path.get(key, {}).get("GET" if method == "HEAD" else method)
        return Found(route, id_) if route else None

    def methods(self, path: str) -> list[str]:
        """What the path answers to; empty when there is no such path."""
        return sorted(self._by_path.get(self._key(path)[0], {}))

    def _key(self, path: str) -> tuple[str, str | None]:
        if path in self._by_path:
            return path, None
        parts = path.split("/")
        for place in (-1, -2):
            id_, pattern = parts[place] if len(parts) > 2 else "", parts.copy()
            pattern[place] = "{id}"
            if id_ and id_.isascii() and id_.isprintable() and "/".join(pattern) in self._by_path:
                return "/".join(pattern), id_
        return path, None
