"""What the routes answer beside the wire types: lists in their envelope, the summary, the probes."""

from __future__ import annotations

from typing import Literal

import msgspec

from diagnostics.model import (
    SCHEMA,
    Benchmark,
    Event,
    Finding,
    Node,
    NodeSnapshot,
    PortBrief,
    Problem,
    Process,
    Severity,
    Wire,
)

WORST = 4
"""Findings in a summary, so that it stays small."""
MESSAGE = 200
_BRIEF = PortBrief.__struct_fields__
_ORDER: dict[Severity, int] = {"critical": 0, "warning": 1, "info": 2}


class Listing(Wire, frozen=True, kw_only=True):
    """The envelope that `rdmatop get -o json` prints too."""

    schema: Literal["rdmatop.dev/v1"] = SCHEMA  # type: ignore[assignment]
    time: str
    errors: tuple[Problem, ...] = ()


class ProcessList(Listing, frozen=True, kw_only=True):
    kind: Literal["ProcessList"] = "ProcessList"
    items: tuple[Process, ...]


class FindingList(Listing, frozen=True, kw_only=True):
    kind: Literal["FindingList"] = "FindingList"
    items: tuple[Finding, ...]


class EventList(Listing, frozen=True, kw_only=True):
    kind: Literal["EventList"] = "EventList"
    items: tuple[Event, ...]


class BenchmarkList(Listing, frozen=True, kw_only=True):
    kind: Literal["BenchmarkList"] = "BenchmarkList"
    items: tuple[Benchmark, ...]


class Probe(Wire, frozen=True, kw_only=True):
    """What /healthz and /readyz say."""

    status: Literal["ok"] = "ok"


class Worst(Wire, frozen=True, kw_only=True):
    """A finding in one line."""

    id: str
    check: str
    severity: Severity
    device: str | None
    port: int | None
    component: str | None
    message: str
    since: str


class Summary(Wire, frozen=True, kw_only=True):
    """The node in about 3 KiB: what a view of many nodes asks each of them."""

    schema: Literal["rdmatop.dev/v1"] = SCHEMA  # type: ignore[assignment]
    kind: Literal["NodeSummary"] = "NodeSummary"
    time: str
    sequence: int
    interval_s: float | None
    node: Node
    findings: tuple[Worst, ...]
    """The worst first, at most four; the counts stand in `node.findings`."""
    ports: tuple[PortBrief, ...] = ()


def summary_of(snapshot: NodeSnapshot) -> Summary:
    worst = sorted(snapshot.findings, key=lambda finding: _ORDER[finding.severity])[:WORST]
    return Summary(
        time=snapshot.time,
        sequence=snapshot.sequence,
        interval_s=snapshot.interval_s,
        node=snapshot.node,
        findings=tuple(map(_line, worst)),
        ports=tuple(PortBrief(**{name: getattr(port, name) for name in _BRIEF}) for port in snapshot.ports),
    )


def _line(finding: Finding) -> Worst:
    message = finding.message if len(finding.message) <= MESSAGE else finding.message[: MESSAGE - 1] + "…"
    facts = {name: getattr(finding, name) for name in Worst.__struct_fields__}
    return msgspec.structs.replace(Worst(**facts), message=message)
