"""What each route answers; validation, authorization and errors happen around them (gate.py)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from agent.encoding import UnknownSelection, find
from agent.monitor import Monitor
from agent.server.answers import BenchmarkList, EventList, FindingList, Probe, ProcessList, summary_of
from agent.server.errors import HEADERS, JSON, Refused
from agent.subscriptions import Subscription
from diagnostics.errors import Unreachable
from diagnostics.model import NodeSnapshot
from diagnostics.timing import now

HEARTBEAT_S = 10.0
"""A stream that has nothing new says its last line again: the reader knows that the agent lives."""
STALE_INTERVALS = 5
STALE_S = 10.0
_JSON_HEADERS = {**HEADERS, "Content-Type": JSON}
_encode = msgspec.json.Encoder().encode


class Call(NamedTuple):
    """A request that was let through."""

    request: web.BaseRequest
    values: Mapping[str, Any]
    """The query's parameters, checked."""
    id: str | None
    body: Any
    """Decoded and checked against the route's type."""
    monitor: Monitor
    context: Context
    by: str
    """Who asks: the name of the token, or `the socket's user`."""


class Context(NamedTuple):
    """What the listeners share."""

    openapi: bytes
    streams: set[Subscription]
    """Those that are read now; closed when the agent ends."""


def answer(body: bytes, status: int = 200) -> web.Response:
    """JSON that is encoded already."""
    return web.Response(body=body, status=status, headers=_JSON_HEADERS)


async def healthz(call: Call) -> web.Response:
    """Alive unless sampling has ended for good: a reading that hangs is nothing that a restart would heal."""
    if call.monitor.broken is not None:
        raise Refused(503, "broken", call.monitor.broken, "restart the agent; its log has the trace")
    return answer(_encode(Probe()))


async def readyz(call: Call) -> web.Response:
    """Ready while samples come: five intervals without one, and at least 10 s, is too long."""
    _latest(call)
    age_s = time.monotonic() - call.monitor.sampled_at
    if age_s > max(STALE_S, STALE_INTERVALS * call.monitor.interval_s):
        raise Refused(503, "stale", f"the last sample is {age_s:.0f} s old", "a reading hangs; see the agent's log")
    return answer(_encode(Probe()))


async def summary(call: Call) -> web.Response:
    return answer(_encode(summary_of(_latest(call))))


async def node(call: Call) -> web.Response:
    return answer(call.monitor.encoded(call.values["counters"]))


async def history(call: Call) -> web.Response:
    device, port = find(_latest(call), call.values["port"])
    name = call.values["counter"]
    try:
        series = call.monitor.history.series(device, port, name, call.values["seconds"])
    except KeyError:
        series = None
    if series is None:
        raise Refused(404, "not-found", f"{call.values['port']} has no counter {name!r}", "GET /v1/node names them")
    return answer(_encode(series))


async def processes(call: Call) -> web.Response:
    snapshot = _latest(call)
    return answer(_encode(ProcessList(time=snapshot.time, items=snapshot.processes, errors=snapshot.errors)))


async def findings(call: Call) -> web.Response:
    snapshot = _latest(call)
    return answer(_encode(FindingList(time=snapshot.time, items=snapshot.findings, errors=snapshot.errors)))


async def acknowledge(call: Call) -> web.Response:
    try:
        return answer(_encode(await call.monitor.acknowledge(call.id or "", call.by)))
    except KeyError:
        raise Refused(404, "not-found", f"no finding {call.id} stands", "GET /v1/findings lists those") from None


async def events(call: Call) -> web.Response:
    since = call.values["since"]
    rows = tuple(
        event for event in call.monitor.events if since is None or msgspec.convert(event.time, type(since)) > since
    )
    return answer(_encode(EventList(time=now(), items=rows)))


async def benchmarks(call: Call) -> web.Response:
    rows = call.monitor.benchmarks.all() if call.monitor.benchmarks else ()
    return answer(_encode(BenchmarkList(time=now(), items=rows)))


async def start_benchmark(call: Call) -> web.Response:
    rows = await call.monitor.start_benchmark(call.body)
    return answer(_encode(BenchmarkList(time=now(), items=rows)), status=202)


async def benchmark(call: Call) -> web.Response:
    if call.monitor.benchmarks is not None and call.id is not None:
        try:
            return answer(_encode(call.monitor.benchmarks.get(call.id)))
        except KeyError:
            pass
    raise _no_benchmark(call)


async def cancel_benchmark(call: Call) -> web.Response:
    if call.monitor.benchmarks is not None and call.id is not None:
        try:
            return answer(_encode(await call.monitor.benchmarks.cancel(call.id)))
        except KeyError:
            pass
    raise _no_benchmark(call)


async def metrics(call: Call) -> web.Response:
    from agent.server.metrics import CONTENT_TYPE, exposition

    headers = {**HEADERS, "Content-Type": CONTENT_TYPE}
    return web.Response(body=exposition(call.monitor.latest), headers=headers)


async def openapi(call: Call) -> web.Response:
    return answer(call.context.openapi)


async def stream(call: Call) -> web.StreamResponse:
    """Ends with the last chunk when the agent ends; listeners.py cuts off a reader that does not read."""
    selection, monitor, streams = call.values["counters"], call.monitor, call.context.streams
    if monitor.latest is not None:
        monitor.encoded(selection)  # refuses before the head is sent
    response = web.StreamResponse(headers={**HEADERS, "Content-Type": "application/x-ndjson"})
    await response.prepare(call.request)
    if call.request.method == "HEAD":
        return response
    subscription = monitor.subscribe()
    streams.add(subscription)
    try:
        while await _is_due(subscription):
            if monitor.latest is not None:
                await response.write(monitor.encoded(selection) + b"\n")
        await response.write_eof()
    except (ConnectionError, UnknownSelection):
        response.force_close()  # the reader left, or the device did, and with it what was asked for
    finally:
        streams.discard(subscription)
        subscription.close()
    return response


async def _is_due(subscription: Subscription) -> bool:
    """Waits for a sample or a heartbeat; False when the stream ends."""
    try:
        return await asyncio.wait_for(subscription.next(), HEARTBEAT_S) is not None
    except asyncio.TimeoutError:
        return True


def _latest(call: Call) -> NodeSnapshot:
    if call.monitor.latest is None:
        raise Unreachable("the first sample is not taken yet", "ask again in a second")
    return call.monitor.latest


def _no_benchmark(call: Call) -> Refused:
    return Refused(404, "not-found", f"there is no benchmark {call.id!r}", "GET /v1/benchmarks lists them")
