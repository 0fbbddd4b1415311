"""`rdmatop check` over a cluster: what each agent judged, what only many nodes show, and who did not answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from diagnostics.checks import REGISTRY
from diagnostics.checks.base import Raised, Unjudged, fact, row_of, span
from diagnostics.checks.fleet import Judgements, finding_of, judge_fleet
from diagnostics.checks.order import counts, health_of, ordered
from diagnostics.checks.report import Judged, of_agent
from diagnostics.cluster.fleet import FleetRow
from diagnostics.errors import Unreachable
from diagnostics.model import Finding, NodeSnapshot, Problem
from diagnostics.timing import now, rfc3339
from tui.commands.get_cluster import of_node
from tui.sources.once import Wanted
from tui.sources.once_cluster import ClusterOnce, Reading, time_of

ALL = Wanted("all", verdict=False)
MISSING = "agent-missing"


class Verdict(NamedTuple):
    """All nodes judged, and what could not be asked."""

    judged: tuple[Judged, ...]
    errors: tuple[Problem, ...]
    time: str


def judge_cluster(source: ClusterOnce, nodes: Iterable[str]) -> Verdict:
    """Asks every agent, or those of NODEs. Raises Unreachable for a NODE that is not there, or where nobody answers."""
    names = tuple(nodes)
    unknown = [name for name in names if name not in source.names()]
    if unknown:
        raise Unreachable(f"{source.label} has no node {unknown[0]}", "rdmatop get nodes")
    source.choose(names)
    return verdict_of(source, source.read(ALL))


def watch_cluster(source: ClusterOnce, nodes: Iterable[str], interval_s: float) -> Iterator[Verdict]:
    names = tuple(nodes)
    yield from source.again(lambda: judge_cluster(source, names), interval_s)


def verdict_of(source: ClusterOnce, reading: Reading) -> Verdict:
    """A reading judged. Raises Unreachable where no node answered and none left a last state."""
    if not reading.snapshots and not any(row.seen is not None for row in reading.silent):
        first = reading.errors[0]
        raise Unreachable(f"{source.label}: {first.message}", first.hint or "kubectl get pods -n rdmatop -o wide")
    fleet = judge_fleet(reading.snapshots, now())
    judged = [_answered(each, fleet[each.node.node]) for each in reading.snapshots]
    judged += (_silent(source.last_state(row), row) for row in reading.silent)
    errors = [*reading.errors, *(of_node(each, problem) for each in reading.snapshots for problem in each.errors)]
    return Verdict(tuple(judged), tuple(errors), time_of(reading.snapshots))


def _answered(snapshot: NodeSnapshot, fleet: Judgements) -> Judged:
    by_itself = of_agent(snapshot)
    unjudged = {name: why for name, why in by_itself.unjudged.items() if name != MISSING and name not in FLEET}
    return Judged(_with(snapshot, fleet.findings), {**unjudged, **fleet.unjudged})


def _silent(last: NodeSnapshot, row: FleetRow) -> Judged:
    """The last state with the finding that it is one: nothing in it can be judged anew."""
    why = row.problem or row.agent.reason or "its agent does not answer"
    check = row_of(MISSING)
    age = row.item.age_s
    text = f"no agent has ever reported from this node: {why}" if age is None else (
        f"its agent does not answer ({why}); what is shown is {span(age)} old"
    )  # fmt: skip
    raised = Raised("warning", text, evidence=(fact("age of the report", age, "s"),))
    finding = finding_of(row.name, check, raised, now() if row.seen is None else rfc3339(row.seen))
    told = {each.check for each in last.findings} | {MISSING}
    unjudged = {name: (Unjudged("unknown", why),) for name in REGISTRY if name not in told}
    return Judged(_with(last, (finding,)), unjudged)


def _with(snapshot: NodeSnapshot, more: tuple[Finding, ...]) -> NodeSnapshot:
    """The snapshot with findings that its own node could not make; its errors are told with the others'."""
    findings = ordered((*snapshot.findings, *more))
    node = msgspec.structs.replace(
        snapshot.node,
        findings=counts(findings),
        health=health_of(findings, snapshot.node.health != "unknown"),
    )
    return msgspec.structs.replace(snapshot, node=node, findings=findings, errors=())


FLEET = frozenset(check.id for check in REGISTRY.values() if check.layer == "fleet")
