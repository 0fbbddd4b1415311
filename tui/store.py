"""What the screens show: the latest snapshot as rows, kept over outages, pauses and vanished devices. No Textual.

One way only: a source's item goes in by `apply`, screens read the rows. Rings of ten minutes are fed at each
snapshot, also while the picture is paused.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from diagnostics.model import Benchmark, Counter, Device, Event, Finding, NodeSnapshot, Port, Process, Series
from diagnostics.natural import natural
from tui.rings import Ring
from tui.sources.base import Outage
from tui.widgets.values import epoch

EVENTS_KEPT = 1000
SEVERITY = {"failed": 4, "warning": 3, "unknown": 2, "healthy": 1}
"""The order of rows: the worst first; a spare port comes last, as 0."""
FINDING_ORDER = {"critical": 3, "warning": 2, "info": 1}

Identity = tuple[str, ...]
Found = tuple[Identity, Port | None, Device | None]


class PortRow(NamedTuple):
    """A line of the Fabric screen: a port, or a device that has none."""

    identity: Identity
    """Node, device, port."""
    name: str
    """`mlx5_3/1`."""
    facts: Port | None
    device: Device | None
    severity: int
    gone: str | None
    """RFC 3339; the last facts are from before."""
    stale: str | None
    tx: tuple[float | None, ...] = ()
    """Mean Gb/s of the last buckets, oldest first."""
    rx: tuple[float | None, ...] = ()


class Store:
    """The state behind all screens."""

    def __init__(self, label: str = "this host", spark_step_s: float = 10.0, spark_buckets: int = 20) -> None:
        self.label = label
        self.spark_step_s = spark_step_s
        self.spark_buckets = spark_buckets
        self.snapshot: NodeSnapshot | None = None
        self.outage: Outage | None = None
        self.paused: str | None = None
        """The time of the picture that is held."""
        self.rows: dict[Identity, PortRow] = {}
        self.rings: dict[Identity, Ring] = {}
        self.events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        """What was seen since the screen opened, newest first."""
        self._held: NodeSnapshot | None = None
        self._findings: list[Finding] = []
        self._known: set[str] = set()
        """Devices that have or had a port."""
        self._states: dict[Identity, str] = {}

    # what comes in

    def apply(self, item: NodeSnapshot | Outage) -> bool:
        """Takes a snapshot or an outage; true if the picture may have changed."""
        if isinstance(item, Outage):
            if self.outage is not None and self.outage.reason == item.reason:
                return False
            self.outage = item
            return True
        self.outage = None
        found = list(_ports(item, self._known))
        self._feed(item, found)
        if self.paused is not None:
            self._held = item
            return False
        self._show(item, found)
        return True

    def pause(self) -> None:
        """Holds the picture; what comes is still collected."""
        if self.paused is None and self.snapshot is not None:
            self.paused = self.snapshot.time

    def resume(self) -> None:
        self.paused = None
        if self._held is not None:
            held, self._held = self._held, None
            self._show(held, list(_ports(held, self._known)))

    def _feed(self, snapshot: NodeSnapshot, found: list[Found]) -> None:
        at = epoch(snapshot.time)
        for key, port, _ in found:
            if port is not None and port.gone_since is None and port.stale_since is None:
                ring = self.rings.get(key)
                if ring is None:
                    ring = self.rings[key] = Ring(self.spark_step_s, self.spark_buckets)
                ring.add(at, port.tx_gbps, port.rx_gbps)
        self._watch(snapshot, found)

    def _watch(self, snapshot: NodeSnapshot, found: list[Found]) -> None:
        """Notes what appeared, vanished, changed its state or was reset."""
        states = {identity: _state(port, device) for identity, port, device in found}
        for identity in self._states:
            states.setdefault(identity, "gone")
        if self._states:
            for identity, state in states.items():
                before = self._states.get(identity)
                if before != state:
                    self.events.appendleft(_event(snapshot, identity, before, state))
        self._states = states

    def _show(self, snapshot: NodeSnapshot, found: list[Found]) -> None:
        if self.snapshot is None or self.snapshot.findings != snapshot.findings:
            self._findings = order_findings(snapshot.findings)
        self.snapshot = snapshot
        rows: dict[Identity, PortRow] = {}
        for identity, port, device in found:
            gone = (port and port.gone_since) or (device and device.gone_since) or None
            stale = (port and port.stale_since) or (device and device.stale_since) or None
            ring = self.rings.get(identity)
            tx, rx = ring.spark() if ring else ((), ())
            rows[identity] = PortRow(
                identity, _name(identity), port, device, _severity(port, gone, stale), gone, stale, tx, rx
            )
        for identity, row in self.rows.items():
            if identity not in rows:
                # A source that forgets what it once had does not make us forget it.
                rows[identity] = row._replace(gone=row.gone or snapshot.time, severity=SEVERITY["failed"])
        self.rows = rows

    def backfill(self, identity: Identity, series: list[Series]) -> None:
        """Puts a source's own history (bytes a second of TX and RX) before what was seen here."""
        ring = self.rings.setdefault(identity, Ring(self.spark_step_s, self.spark_buckets))
        if len(series) == 2:
            ring.prepend(*series)

    # what the screens ask for

    @property
    def time(self) -> str:
        return self.snapshot.time if self.snapshot else ""

    @property
    def node(self) -> str:
        return self.snapshot.node.node if self.snapshot else ""

    @property
    def findings(self) -> list[Finding]:
        return self._findings

    @property
    def processes(self) -> tuple[Process, ...]:
        return self.snapshot.processes if self.snapshot else ()

    def counters(self, device: str, port: int | None) -> list[Counter]:
        """The counters of a port and of its device, in the snapshot's order."""
        if self.snapshot is None:
            return []
        return [c for c in self.snapshot.counters if c.device == device and (c.port is None or c.port == port)]

    def benchmark_of(self, device: str, port: int | None) -> Benchmark | None:
        """The last finished one of a port."""
        if self.snapshot is None:
            return None
        found = (b for b in self.snapshot.benchmarks if b.device == device and b.port == port and b.state == "done")
        return next(found, None)

    def tally(self) -> dict[str, int]:
        """How many rows there are of each health; `spare` beside them."""
        out = {"healthy": 0, "warning": 0, "failed": 0, "unknown": 0, "spare": 0}
        for row in self.rows.values():
            out[row_health(row)] += 1
        return out


def row_health(row: PortRow) -> str:
    """`healthy`, `warning`, `failed`, `unknown` or `spare`: what the row's glyph says."""
    if row.gone:
        return "failed"
    if row.stale or row.facts is None:
        return "unknown"
    if row.facts.expected == "spare" and row.facts.health in ("healthy", "unknown"):
        return "spare"
    return row.facts.health


def order_findings(findings: tuple[Finding, ...]) -> list[Finding]:
    """Groups of a cause and what follows from it; the worst group first, the cause before its consequences."""
    known = {f.id: f for f in findings}

    def root(finding: Finding) -> str:
        seen = {finding.id}
        while finding.follows in known and finding.follows not in seen:
            seen.add(finding.follows)
            finding = known[finding.follows]
        return finding.id

    def depth(finding: Finding) -> int:
        seen = {finding.id}
        while finding.follows in known and finding.follows not in seen:
            seen.add(finding.follows)
            finding = known[finding.follows]
        return len(seen)

    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(root(finding), []).append(finding)
    for group in groups.values():
        group.sort(key=lambda f: (depth(f), -FINDING_ORDER[f.severity], f.check))
    ordered = sorted(groups.values(), key=_group_key)
    return [finding for group in ordered for finding in group]


def _group_key(group: list[Finding]) -> tuple[object, ...]:
    first = group[0]
    worst = max(FINDING_ORDER[f.severity] for f in group)
    return (all(f.acknowledged for f in group), -worst, first.node, natural(first.device or ""), first.check)


def _ports(snapshot: NodeSnapshot, known: set[str]) -> Iterator[Found]:
    """Every port, and the devices that never had one."""
    devices = {d.device: d for d in snapshot.devices}
    for port in snapshot.ports:
        yield (port.node, port.device, str(port.port)), port, devices.get(port.device)
    known.update(p.device for p in snapshot.ports)
    for name, device in devices.items():
        if name not in known:
            yield (device.node, name, ""), None, device


def _name(identity: Identity) -> str:
    return f"{identity[1]}/{identity[2]}" if identity[2] else identity[1]


def _severity(port: Port | None, gone: str | None, stale: str | None) -> int:
    if gone:
        return SEVERITY["failed"]
    if stale or port is None:
        return SEVERITY["unknown"]
    if port.expected == "spare" and port.health in ("healthy", "unknown"):
        return 0
    return SEVERITY[port.health]


def _state(port: Port | None, device: Device | None) -> str:
    if (port and port.gone_since) or (device and device.gone_since):
        return "gone"
    if port is None:
        return "without a port"
    if port.stale_since:
        return "stale"
    if port.rate_quality == "reset":
        return "counters reset"
    return (port.state or "unknown").lower()


def _event(snapshot: NodeSnapshot, identity: Identity, before: str | None, state: str) -> Event:
    trouble = state in ("gone", "stale", "down", "init", "armed")
    check = {"gone": "device-missing", "stale": "device-stale", "counters reset": "reset"}.get(state, "link-down")
    if before in ("gone", "stale", "counters reset") and not trouble:
        check = {"gone": "device-missing", "stale": "device-stale", "counters reset": "reset"}[before]
    message = f"{_name(identity)} appeared, {state}" if before is None else f"{_name(identity)}: {before}, now {state}"
    return Event(
        node=identity[0],
        time=snapshot.time,
        check=check if before is not None else "device-missing",
        device=identity[1],
        port=int(identity[2]) if identity[2] else None,
        kind="started" if trouble else "changed" if state == "counters reset" else "ended",
        message=message,
    )
