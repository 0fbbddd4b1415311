"""The stack as the Operator screen shows it: components, and nodes grouped by equal state of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from diagnostics.model import Component, Problem
from diagnostics.natural import natural

if TYPE_CHECKING:
    from diagnostics.cluster.operator.findings import ClusterFinding
    from diagnostics.cluster.operator.index import Index, WorkloadRef
    from diagnostics.cluster.operator.judge import Verdict
    from diagnostics.cluster.operator.pods import PodCard

OK, NOTHING = "ok", "-"
HEALTH = {
    "failed": "failed",
    "no-nodes": "warning",
    "degraded": "warning",
    "drift": "warning",
    "rolling": "warning",
    "unmanaged": "unknown",
    "unknown": "unknown",
    "ok": "healthy",
    "absent": "spare",
}
"""Verdict -> what its glyph says."""
SEVERITY = {"failed": 5, "degraded": 4, "no-nodes": 4, "drift": 3, "rolling": 3, "unknown": 2, "unmanaged": 2, "ok": 1}
"""The order of rows; an absent component comes last, as 0. From 3 on it is a fault."""
OF_SEVERITY = {"critical": "failed", "warning": "degraded", "info": "rolling"}
"""What a finding without a verdict of its own makes of the nodes it names."""


class Group(NamedTuple):
    """Nodes on which every component is in the same state."""

    nodes: tuple[str, ...]
    states: tuple[tuple[str, str], ...]
    """(component, verdict or check) of what is not well there; the others are ok."""
    severity: int


class OperatorPicture(NamedTuple):
    components: tuple[Component, ...]
    findings: tuple[ClusterFinding, ...]
    problems: tuple[Problem, ...]
    """Kinds that could not be read."""
    groups: tuple[Group, ...]
    """The worst first; the last is of the nodes on which all is well, if there are any."""
    stack: Index
    """The objects behind it."""

    @property
    def present(self) -> tuple[Component, ...]:
        return tuple(each for each in self.components if each.verdict != "absent")

    def workloads(self, component: str) -> list[WorkloadRef]:
        return [each for each in self.stack.workloads.values() if each.component == component]

    def failing_pods(self, component: str) -> list[PodCard]:
        """Of which there is something to say, by node."""
        found = [
            card
            for key, pods in self.stack.pods.items()
            if key in self.stack.workloads and self.stack.workloads[key].component == component
            for card in pods.bad.values()
        ]
        return sorted(found, key=lambda card: natural(card.node))

    def findings_of(self, component: str) -> list[ClusterFinding]:
        return [each for each in self.findings if each.component == component]


def picture(verdict: Verdict, index: Index) -> OperatorPicture:
    """Costs what the nodes cost of which there is something to say."""
    states: dict[str, dict[str, str]] = {}
    for trouble in verdict.troubles:
        word = trouble.verdict or OF_SEVERITY[trouble.severity]
        for node in trouble.nodes:
            mine = states.setdefault(node, {})
            before = mine.get(trouble.component)
            if before is None or SEVERITY.get(word, 0) > SEVERITY.get(before, 0):
                mine[trouble.component] = word
    return OperatorPicture(verdict.components, verdict.findings, verdict.problems, _grouped(states, index), index)


def _grouped(states: dict[str, dict[str, str]], index: Index) -> tuple[Group, ...]:
    alike: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for node, mine in states.items():
        alike.setdefault(tuple(sorted(mine.items())), []).append(node)
    groups = [
        Group(tuple(sorted(nodes, key=natural)), key, max(SEVERITY.get(word, 0) for _, word in key))
        for key, nodes in alike.items()
    ]
    groups.sort(key=lambda group: (-group.severity, len(group.nodes), natural(group.nodes[0])))
    well = tuple(name for name in index.objects.of("nodes") if name not in states)
    return (*groups, Group(tuple(sorted(well, key=natural)), (), 1)) if well else tuple(groups)
