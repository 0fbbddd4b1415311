"""What the node says of itself in the cluster: its RdmaNode, and Kubernetes Events for what started and ended.

The object is written when health or findings change, at most once in `COALESCE_S`, and as a heartbeat each
`HEARTBEAT_S` with jitter, so that a thousand agents started together do not write together. While the API server is
away nothing is lost: the status is the present one anyway, and events wait in a bounded queue.
"""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from agent.cluster.api import APPLY, ApiAway, ApiRefused, ApiServer
from diagnostics.cluster.rdmanode import API_VERSION, PATH, RdmaNodeStatus, status_of
from diagnostics.model import Event, NodeSnapshot
from diagnostics.timing import now

COALESCE_S = 5.0
HEARTBEAT_S = 60.0
JITTER = 0.1
FIRST_BACKOFF_S, LAST_BACKOFF_S = 1.0, 60.0
EVENTS_WAITING = 200
EVENTS_A_MINUTE = 20
"""More transitions than this are a storm: the rest is told by one event that counts them."""
MANAGER = "rdmatop-agent"

log = logging.getLogger(__name__)


class Publisher:
    """Writes one node's object; `run` goes on until it is cancelled."""

    def __init__(self, api: ApiServer, node: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._node = node
        self._clock = clock
        self._owner: dict[str, Any] | None = None
        self._written: RdmaNodeStatus | None = None
        self._events: deque[Event] = deque(maxlen=EVENTS_WAITING)
        self._told: deque[float] = deque()
        self._dropped = 0
        self.problem: str | None = None
        """Why the cluster does not know of this node now; None while it does."""

    def tell(self, events: list[Event]) -> None:
        """Queue transitions; the oldest go where too many wait."""
        self._dropped += max(0, len(self._events) + len(events) - EVENTS_WAITING)
        self._events.extend(events)

    async def run(self, snapshots: AsyncIterator[NodeSnapshot]) -> None:
        """Publish as snapshots come; `snapshots` gives the latest one to a slow reader."""
        due, backoff, written_key = self._clock(), FIRST_BACKOFF_S, None
        earliest = due
        async for snapshot in snapshots:
            key = changes_of(snapshot)
            moment = self._clock()
            if moment < earliest or not (moment >= due or key != written_key or self._events):
                continue
            try:
                await self._publish(snapshot, write=moment >= due or key != written_key)
            except (ApiAway, ApiRefused) as error:
                self._failed(error)
                # Whatever had been said may be gone with the failure: all is due again.
                due = earliest = self._clock() + backoff * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
                backoff = min(backoff * 2, LAST_BACKOFF_S)
                continue
            self.problem, backoff = None, FIRST_BACKOFF_S
            earliest = self._clock() + COALESCE_S
            if moment >= due or key != written_key:
                written_key = key
                due = self._clock() + HEARTBEAT_S * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311

    async def _publish(self, snapshot: NodeSnapshot, write: bool) -> None:
        if self._owner is None:
            self._owner = await self._owner_reference()
            await self._read_back()
            await self._create()
        if write:
            await self._write(status_of(snapshot, self._written))
        await self._tell_events()

    async def _owner_reference(self) -> dict[str, Any]:
        """The Node owns the object: it goes when the Node goes."""
        node = msgspec.json.decode(await self._api.call("GET", f"/api/v1/nodes/{self._node}"))
        return {"apiVersion": "v1", "kind": "Node", "name": self._node, "uid": node["metadata"]["uid"]}

    async def _read_back(self) -> None:
        """What was said before the agent started: conditions keep their transition times."""
        try:
            text = await self._api.call("GET", f"{PATH}/{self._node}")
            self._written = msgspec.json.decode(text, type=_Object).status
        except ApiRefused as error:
            if error.status != 404:
                raise
        except msgspec.MsgspecError:
            log.info("the RdmaNode of %s was written by another version; starting anew", self._node)

    async def _create(self) -> None:
        await self._apply("", {"metadata": {"name": self._node, "ownerReferences": [self._owner]}})

    async def _write(self, status: RdmaNodeStatus) -> None:
        try:
            await self._apply("/status", {"metadata": {"name": self._node}, "status": status})
        except ApiRefused as error:
            if error.status == 404:
                # Deleted under us, or its Node was made again: begin again with the next snapshot.
                self._owner = None
            raise
        self._written = status

    async def _apply(self, part: str, body: dict[str, Any]) -> None:
        await self._api.call(
            "PATCH",
            f"{PATH}/{self._node}{part}",
            {"apiVersion": API_VERSION, "kind": "RdmaNode", **body},
            kind=APPLY,
            query={"fieldManager": MANAGER, "force": "true"},
        )

    async def _tell_events(self) -> None:
        while self._events and self._may_tell():
            await self._post(event_object(self._events[0], self._owner or {}))
            self._events.popleft()
            self._told.append(self._clock())
        if self._events and not self._may_tell():
            self._dropped += len(self._events)
            self._events.clear()
        if self._dropped and self._may_tell():
            await self._post(storm_object(self._node, self._dropped, self._owner or {}))
            self._told.append(self._clock())
            self._dropped = 0

    def _may_tell(self) -> bool:
        while self._told and self._told[0] < self._clock() - 60:
            self._told.popleft()
        return len(self._told) < EVENTS_A_MINUTE

    async def _post(self, event: dict[str, Any]) -> None:
        try:
            await self._api.call("POST", "/api/v1/namespaces/default/events", event)
        except ApiRefused as error:
            if error.status in (429, 500, 503, 504):
                raise
            log.warning("the API server refuses an Event: %s", error)

    def _failed(self, error: Exception) -> None:
        if self.problem is None:
            log.warning("cannot publish RdmaNode %s: %s", self._node, error)
        self.problem = str(error)


class _Object(msgspec.Struct):
    status: RdmaNodeStatus | None = None


def changes_of(snapshot: NodeSnapshot) -> tuple[Any, ...]:
    """What is worth a write at once: health and findings, not rates."""
    return (
        snapshot.node.health,
        snapshot.node.ports_up,
        snapshot.node.ports_expected,
        tuple((finding.id, finding.severity, finding.acknowledged) for finding in snapshot.findings),
        tuple((port.device, port.port, port.health, port.state) for port in snapshot.ports),
        tuple((one.id, one.state) for one in snapshot.benchmarks if one.state != "running"),
    )


def event_object(event: Event, node: dict[str, Any]) -> dict[str, Any]:
    """A Kubernetes Event on the Node for one transition."""
    reason = "".join(part.capitalize() for part in event.check.split("-"))
    where = f"{event.device}/{event.port}" if event.port is not None else event.device
    message = f"{where}: {event.message}" if where and where not in event.message else event.message
    return _event(
        node, reason if event.kind != "ended" else f"{reason}Ended", message, event.time, warning=event.kind != "ended"
    )


def storm_object(name: str, count: int, node: dict[str, Any]) -> dict[str, Any]:
    return _event(
        node, "RdmaEventStorm", f"{count} more changes on {name} are not told one by one", now(), warning=True
    )


def _event(node: dict[str, Any], reason: str, message: str, at: str, *, warning: bool) -> dict[str, Any]:
    stamp = at.split(".")[0].rstrip("Z") + "Z"
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{node.get('name')}.rdmatop.", "namespace": "default"},
        "involvedObject": node,
        "reason": reason[:128],
        "message": message[:1024],
        "type": "Warning" if warning else "Normal",
        "source": {"component": MANAGER, "host": node.get("name")},
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }
