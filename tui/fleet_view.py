"""What the fleet's screens show: the newest picture, kept over outages and pauses, and sums that follow its changes.

A picture of five thousand rows of which twenty have changed costs what those twenty cost: rows that are the same object
are the same. No Textual.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from itertools import compress
from operator import is_not
from typing import TYPE_CHECKING, NamedTuple

from diagnostics.model import Event, Finding
from diagnostics.timing import rfc3339
from tui.rings import Spark
from tui.sources.base import Outage
from tui.store import EVENTS_KEPT, FINDING_ORDER

if TYPE_CHECKING:
    from diagnostics.cluster.fleet import Fleet, FleetRow
    from diagnostics.cluster.operator.findings import ClusterFinding
    from tui.operator_picture import OperatorPicture

SPARKS = 512
"""Nodes whose past is kept: those that are or were on the screen."""
MISSING = "agent-missing"


class Group(NamedTuple):
    """One check over the fleet."""

    check: str
    severity: str
    nodes: int
    first: Finding
    names: tuple[str, ...]
    """The first few of the nodes."""
    of_nodes: bool = True
    """False: a finding on the stack, which tells itself of how many nodes it is."""


def changes(old: Mapping[str, FleetRow], new: Mapping[str, FleetRow]) -> tuple[list[FleetRow], bool]:
    """The rows that are not the objects they were, and whether all nodes are the ones they were.

    Rows in another order are all told as changed: that is right too, and costs more.
    """
    if len(old) == len(new):
        changed = list(compress(new.values(), map(is_not, new.values(), old.values())))
        if all(row.name in old for row in changed):
            return changed, True
    return [row for name, row in new.items() if old.get(name) is not row], False


class FleetView:
    """The state behind the fleet's screens."""

    def __init__(self, label: str = "cluster", clock: Callable[[], float] = time.time) -> None:
        self.label = label
        self.clock = clock
        self.fleet: Fleet | None = None
        self.rows: Mapping[str, FleetRow] = {}
        self.outage: Outage | None = None
        self.paused: float | None = None
        """Epoch seconds of the picture that is held."""
        self.ports: dict[str, int] = {}
        """How many ports there are of each health; `unknown` is also what a silent agent's last state says."""
        self.faults = 0
        """How many nodes failed or are under a warning."""
        self.groups: list[Group] = []
        """Checks that found something, the worst first; then those that found it on more nodes."""
        self.events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        """What was seen since the screen opened, newest first."""
        self.operator: OperatorPicture | None = None
        """The stack, once it was read."""
        self.operator_problem = ""
        self._held: Fleet | None = None
        self._held_operator: OperatorPicture | None = None
        self._found: dict[str, dict[str, tuple[Finding, ...]]] = {}
        """Check -> node -> findings."""
        self._sparks: dict[str, Spark] = {}
        self._tallies: dict[str, dict[str, int]] = {}
        self._ordered: list[Finding] | None = None
        self._fresh: dict[str, FleetRow] = {}
        self._same = False
        """Of the rows since somebody took the changes: which are others, and whether none came or went."""
        self._silent: set[str] = set()
        """Nodes of whose agents it was told, or was so from the start, that they do not speak."""

    @property
    def now(self) -> float:
        """Epoch seconds; stands still while the picture is held."""
        return self.clock() if self.paused is None else self.paused

    # what comes in

    def apply(self, item: Fleet | Outage) -> bool:
        """Takes a picture or an outage; true if what is shown may have changed."""
        if isinstance(item, Outage):
            if self.outage is not None and self.outage.reason == item.reason:
                return False
            self.outage = item
            return True
        self.outage = None
        if self.paused is not None:
            self._held = item
            return False
        self._show(item)
        return True

    def pause(self) -> None:
        if self.paused is None and self.fleet is not None:
            self.paused = self.clock()

    def resume(self) -> None:
        self.paused = None
        if self._held is not None:
            held, self._held = self._held, None
            self._show(held)
        if self._held_operator is not None:
            held_operator, self._held_operator = self._held_operator, None
            self.take_operator(held_operator)

    def take_operator(self, picture: OperatorPicture) -> None:
        """The stack anew; its findings stand among those of the nodes."""
        if self.paused is not None:
            self._held_operator = picture
            return
        before, self.operator = self.operator, picture
        self.operator_problem = ""
        if before is None or before.findings != picture.findings:
            self._ordered = None
            self.groups = self._grouped()

    def _show(self, fleet: Fleet) -> None:
        old, first = self.rows, self.fleet is None or not self.fleet.complete
        changed, same = changes(old, fleet.rows)
        gone = [] if same else [old[name] for name in old.keys() - fleet.rows.keys()]
        self.fleet, self.rows = fleet, fleet.rows
        self._same = self._same and same
        self._fresh.update((row.name, row) for row in changed)
        blind = any(notice.state == "away" for notice in fleet.notices)
        found = False
        for row in changed:
            before = old.get(row.name)
            self.faults += _is_fault(row) - _is_fault(before)
            self._count(row.name, row)
            self._feed(row)
            if before is None or (before.findings, before.missing, before.note) != (
                row.findings, row.missing, row.note,
            ):  # fmt: skip
                found = self._judge(row.name, row) or found
            if first:
                (self._silent.add if row.missing else self._silent.discard)(row.name)
            elif not blind:
                self._watch(before, row)
        for row in gone:
            self.faults -= _is_fault(row)
            self._silent.discard(row.name)
            self._count(row.name, None)
            found = self._judge(row.name, None) or found
            self._tell(row.name, "ended", "the node is no longer in the cluster", MISSING)
        if found:
            self._ordered = None
            self.groups = self._grouped()

    def _count(self, name: str, row: FleetRow | None) -> None:
        """Keeps the numbers of ports of each health."""
        for health, number in self._tallies.pop(name, {}).items():
            self.ports[health] -= number
        if row is None:
            return
        tally: dict[str, int] = {}
        for port in row.ports:
            health = port.health
            if row.missing:
                health = "unknown" if health == "healthy" else health
            elif port.expected == "spare" and health in ("healthy", "unknown"):
                health = "spare"
            tally[health] = tally.get(health, 0) + 1
        self._tallies[name] = tally
        for health, number in tally.items():
            self.ports[health] = self.ports.get(health, 0) + number

    def _feed(self, row: FleetRow) -> None:
        """The past of rows whose agents are asked: those on the screen."""
        if row.rates_from != "agent" or row.seen is None:
            return
        spark = self._sparks.get(row.name)
        if spark is None:
            if len(self._sparks) >= SPARKS:
                del self._sparks[next(iter(self._sparks))]
            spark = self._sparks[row.name] = Spark()
        spark.add(row.seen, row.item.tx_gbps, row.item.rx_gbps)

    def _judge(self, name: str, row: FleetRow | None) -> bool:
        """Puts a node's findings in place of its last ones; false where it has and had none."""
        had = [check for check, nodes in self._found.items() if nodes.pop(name, None) is not None]
        for check in had:
            if not self._found[check]:
                del self._found[check]
        found = findings_of(row) if row is not None else ()
        for finding in found:
            nodes = self._found.setdefault(finding.check, {})
            nodes[name] = (*nodes.get(name, ()), finding)
        return bool(found or had)

    def _watch(self, before: FleetRow | None, row: FleetRow) -> None:
        """Notes what a person would want to have seen; not called while the API server is away."""
        if before is None:
            if row.missing:
                self._silent.add(row.name)
            self._tell(row.name, "started", "the node has come", MISSING)
            return
        if before.boot_id and row.boot_id and before.boot_id != row.boot_id:
            self._tell(row.name, "changed", "the node has booted", MISSING)
        if row.missing != (row.name in self._silent):
            (self._silent.add if row.missing else self._silent.discard)(row.name)
            why = row.note or "it has not spoken for three heartbeats"
            self._tell(row.name, *(("started", f"no word of its agent: {why}") if row.missing else
                                   ("ended", "its agent speaks again")), MISSING)  # fmt: skip
        elif before.health != row.health and not row.missing:
            worst = row.findings[0] if row.findings else None
            self._tell(
                row.name,
                "ended" if row.health == "healthy" else "started",
                f"{before.health}, now {row.health}" + (f": {worst.message}" if worst is not None else ""),
                worst.check if worst is not None else before.findings[0].check if before.findings else "",
            )

    def _tell(self, node: str, kind: str, message: str, check: str) -> None:
        self.events.appendleft(
            Event(node=node, time=rfc3339(self.clock()), check=check, device=None, port=None, kind=kind,  # type: ignore[arg-type]
                  message=message)
        )  # fmt: skip

    def _grouped(self) -> list[Group]:
        out = []
        for check, nodes in self._found.items():
            first = min(
                (findings[0] for findings in nodes.values()), key=lambda f: (f.acknowledged, -FINDING_ORDER[f.severity])
            )
            names = tuple(name for name, _ in zip(nodes, range(4), strict=False))
            out.append(Group(check, first.severity, len(nodes), first, names))
        out += [
            Group(each.check, each.severity, max(1, len(each.nodes)), each, each.nodes[:4], False)
            for each in self._stack()
            if each.severity != "info"
        ]
        return sorted(out, key=lambda g: (g.first.acknowledged, -FINDING_ORDER[g.severity], -g.nodes, g.check))

    def _stack(self) -> tuple[ClusterFinding, ...]:
        return self.operator.findings if self.operator is not None else ()

    # what the screens ask for

    def take_changes(self) -> tuple[list[FleetRow], bool]:
        """The rows that have changed since the last call, and whether all nodes are the ones they were."""
        changed, same = [row for name, row in self._fresh.items() if name in self.rows], self._same
        self._fresh, self._same = {}, True
        return changed, same

    @property
    def time(self) -> str:
        return rfc3339(self.now)

    def spark(self, name: str) -> Spark | None:
        return self._sparks.get(name)

    def findings_on(self, name: str) -> list[Finding]:
        """Of one node, the worst check first."""
        own = [finding for nodes in self._found.values() for finding in nodes.get(name, ())]
        own.sort(key=lambda f: (f.acknowledged, -FINDING_ORDER[f.severity]))
        return [*own, *(each for each in self._stack() if name in each.nodes)]

    @property
    def findings(self) -> list[Finding]:
        """All of them: the stack's, causes first; then the worst check of the nodes, its nodes together."""
        if self._ordered is None:
            self._ordered = [*self._stack()]
            for group in self.groups:
                if group.of_nodes:
                    self._ordered += [f for found in self._found[group.check].values() for f in found]
        return self._ordered

    def tally(self) -> dict[str, int]:
        """Ports of each health."""
        names = ("healthy", "warning", "failed", "unknown", "spare")
        return {name: self.ports.get(name, 0) for name in names}


def findings_of(row: FleetRow) -> tuple[Finding, ...]:
    """What is wrong on a node, as its agent or its last state says; and that it is silent."""
    out = [_finding(row.name, f) for f in row.findings]
    if row.missing:
        out.append(_silence(row))
    return tuple(out)


def _is_fault(row: FleetRow | None) -> bool:
    return row is not None and row.health in ("failed", "warning")


def _finding(node: str, f: object) -> Finding:
    from diagnostics.checks import REGISTRY

    check = REGISTRY.get(f.check)  # type: ignore[attr-defined]
    return Finding(
        id=f.id, node=node, device=f.device, port=f.port, component=None, check=f.check,  # type: ignore[attr-defined]
        layer=check.layer if check is not None else "agent", severity=f.severity,  # type: ignore[attr-defined]
        message=f.message, evidence=(), since=f.since, hint=None,  # type: ignore[attr-defined]
        follows=getattr(f, "follows", None), acknowledged=getattr(f, "acknowledged", False), unread=(),
    )  # fmt: skip


def _silence(row: FleetRow) -> Finding:
    why = row.note or "its agent has not spoken for three heartbeats"
    return Finding(
        id=f"{MISSING}/{row.name}", node=row.name, device=None, port=None, component=None, check=MISSING, layer="agent",
        severity="warning", message=why, evidence=(), since=rfc3339(row.seen) if row.seen else "",
        hint="kubectl get pods -n rdmatop -o wide", follows=None, acknowledged=False, unread=(),
    )  # fmt: skip
