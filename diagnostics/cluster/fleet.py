"""The fleet: one immutable row a node, joined from its Node, its RdmaNode, its agent's pod and what its agent says."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, NamedTuple

import msgspec

from diagnostics.cluster.nodes import KubeNode, RdmaNode
from diagnostics.cluster.presence import Agent
from diagnostics.cluster.rdmanode import FindingStatus, RdmaNodeStatus
from diagnostics.model import FindingCounts, Health, Node, PortBrief, Severity

STALE_S = 180.0
"""Three heartbeats of 60 s: the threshold of the check agent-missing."""

RatesFrom = Literal["agent", "heartbeat"]


class LiveFinding(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    check: str
    severity: Severity
    message: str
    since: str
    device: str | None = None
    port: int | None = None


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent answered to /v1/summary."""

    node: Node
    time: str
    sequence: int
    interval_s: float | None = None
    findings: tuple[LiveFinding, ...] = ()
    ports: tuple[PortBrief, ...] = ()


class LiveState(NamedTuple):
    """The last answer of an agent, and what is in the way of the next."""

    answer: Live | None = None
    at: float = 0.0
    """When it came, epoch seconds of our clock."""
    problem: str | None = None


class FleetRow(msgspec.Struct, frozen=True, kw_only=True):
    """One node of the fleet. Two rows that are the same object are the same in everything that is shown."""

    name: str
    item: Node
    """As `get nodes` has it; `age_s` is of the moment the row was made: show `row.age_s(now)` in its place."""
    agent: Agent
    ports: tuple[PortBrief, ...] = ()
    """In the agent's order; from the last state where the agent is not asked."""
    findings: tuple[FindingStatus, ...] = ()
    """Worst first, without evidence; `item.findings` has the counts."""
    seen: float | None = None
    """Epoch seconds, our clock: of the last word of its agent. None: it never said one."""
    rates_from: RatesFrom | None = None
    """`heartbeat`: up to a minute old."""
    problem: str | None = None
    """Why its agent cannot be asked for live rates, though it should be."""
    missing: bool = False
    """The check agent-missing: there should be an agent that speaks, and there is none."""
    not_ready: str | None = None
    """Why the Node is not Ready."""
    unschedulable: bool = False
    labels: Mapping[str, str] = {}
    boot_id: str | None = None

    @property
    def health(self) -> Health:
        return self.item.health

    def age_s(self, now: float) -> float | None:
        """Seconds since the last word of its agent."""
        return None if self.seen is None else max(0.0, now - self.seen)

    @property
    def note(self) -> str | None:
        """What the row has to say beside its figures, the most important first."""
        if self.agent.state != "running" and self.agent.reason:
            return self.agent.reason
        return self.problem or self.agent.reason


class Notice(NamedTuple):
    """Something of the cluster that is not as it should be for us, and what that hides."""

    source: str
    """`nodes`, `rdmanodes`, `pods`, `daemonsets`, `agents`."""
    state: Literal["waiting", "away", "absent", "forbidden"]
    message: str
    """The server's own words."""
    hides: str
    """What cannot be shown without it."""
    since: float
    """Epoch seconds."""


class Fleet(NamedTuple):
    """The whole picture at one moment."""

    rows: Mapping[str, FleetRow] = {}
    """By node name, in natural order."""
    notices: tuple[Notice, ...] = ()
    sequence: int = 0
    complete: bool = False
    """Every list has come, or the word that it will not."""
    installed: bool | None = None
    """Whether rdmatop is in this cluster at all; None while that is not known."""


def row_of(
    name: str,
    *,
    node: KubeNode | None,
    rdma: RdmaNode | None,
    agent: Agent,
    live: LiveState,
    heard: float | None,
    now: float,
    judge_age: bool = True,
) -> FleetRow:
    """Joins what is known of a node. `heard` is when its RdmaNode was last written, by our clock."""
    fresh = live.answer if live.answer is not None and live.at >= (heard or 0.0) else None
    seen = live.at if fresh is not None else heard
    status = rdma.status if rdma is not None and rdma.status.time else None
    stale = judge_age and seen is not None and now - seen > STALE_S
    missing = agent.state in ("failing", "pending", "missing") or (stale and agent.state != "starting")
    if fresh is not None:
        item, ports, findings = fresh.node, fresh.ports or _ports(status), _live_findings(fresh)
    elif status is not None:
        item, ports, findings = _item(name, status), _ports(status), status.findings
    else:
        item, ports, findings = _nothing(name, node), (), ()
    age = None if seen is None else max(0.0, now - seen)
    return FleetRow(
        name=name,
        item=_with_agent(item, missing, age),
        agent=agent,
        ports=ports,
        findings=findings,
        seen=seen,
        rates_from="agent" if fresh is not None else "heartbeat" if status is not None else None,
        problem=live.problem,
        missing=missing,
        not_ready=node.not_ready if node is not None else None,
        unschedulable=node.spec.unschedulable if node is not None else False,
        labels=node.metadata.labels if node is not None else {},
        boot_id=status.boot_id if status is not None else None,
    )


def same(before: FleetRow, after: FleetRow) -> bool:
    """Whether two rows differ in nothing but the age that was right when they were made."""
    if before.seen != after.seen or before.item.age_s is None:
        return before == after
    return before == msgspec.structs.replace(after, item=msgspec.structs.replace(after.item, age_s=before.item.age_s))


def epoch(text: str) -> float | None:
    """RFC 3339 -> seconds; None for what is none."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None


def _with_agent(item: Node, missing: bool, age_s: float | None) -> Node:
    """The item with its age; a silent agent is a warning by itself, and nothing it said is healthy any more."""
    if not missing:
        return msgspec.structs.replace(item, age_s=age_s)
    counts = item.findings
    return msgspec.structs.replace(
        item,
        age_s=age_s,
        health="failed" if item.health == "failed" else "warning",
        findings=FindingCounts(critical=counts.critical, warning=counts.warning + 1, info=counts.info),
    )


def _item(name: str, status: RdmaNodeStatus) -> Node:
    counts = status.finding_counts
    return Node(
        node=name,
        health=status.health,
        ports_up=status.ports_up,
        ports_expected=status.ports_expected,
        rate_gbps=status.rate_gbps,
        tx_gbps=status.tx_gbps,
        rx_gbps=status.rx_gbps,
        errors_per_minute=status.errors_per_minute,
        cnp_per_second=status.cnp_per_second,
        driver_version=status.driver_version,
        kernel=status.kernel,
        findings=FindingCounts(critical=counts.critical, warning=counts.warning, info=counts.info),
        benchmark=status.benchmark_percent,
        agent_version=status.agent_version,
        age_s=None,
    )


def _nothing(name: str, node: KubeNode | None) -> Node:
    return Node(
        node=name, health="unknown", ports_up=0, ports_expected=0, rate_gbps=None, tx_gbps=None, rx_gbps=None,
        errors_per_minute=None, cnp_per_second=None, driver_version=None,
        kernel=node.status.node_info.kernel_version if node is not None else None,
        findings=FindingCounts(), benchmark=None, agent_version=None, age_s=None,
    )  # fmt: skip


def _ports(status: RdmaNodeStatus | None) -> tuple[PortBrief, ...]:
    if status is None:
        return ()
    return tuple(
        PortBrief(
            device=port.device,
            port=port.port,
            health=port.health,
            expected=port.expected,  # type: ignore[arg-type]
            state=port.state,
            phys_state=port.phys_state,
            link_layer=port.link_layer,
            rate_gbps=port.rate_gbps,
            tx_gbps=port.tx_gbps,
            rx_gbps=port.rx_gbps,
            netdev=port.netdev,
        )
        for port in status.ports
    )


def _live_findings(live: Live) -> tuple[FindingStatus, ...]:
    return tuple(
        FindingStatus(
            id=each.id,
            check=each.check,
            severity=each.severity,
            message=each.message,
            since=each.since,
            device=each.device,
            port=each.port,
        )
        for each in live.findings
    )
