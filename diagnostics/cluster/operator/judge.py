"""The verdict on the whole stack: components and findings, cause before consequence.

`judge_components` is pure. `Judge` keeps what is derived of single objects, so that a changed object costs the rules
alone, whose cost grows with what is wrong and not with the cluster.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from diagnostics.checks.order import ordered
from diagnostics.cluster.operator.components import RANK, judge_component
from diagnostics.cluster.operator.findings import ClusterFinding, findings_of
from diagnostics.cluster.operator.index import Index
from diagnostics.cluster.operator.inventory import DRIVER, EXTRA_TITLES, NFD, POLICY, ROWS
from diagnostics.cluster.operator.kinds import KIND, ClusterObjects
from diagnostics.cluster.operator.rules_labels import label_troubles
from diagnostics.cluster.operator.rules_parts import (
    device_troubles,
    event_troubles,
    gpu_troubles,
    guid_troubles,
    node_troubles,
    sriov_troubles,
)
from diagnostics.cluster.operator.rules_policy import drift_troubles, policy_troubles
from diagnostics.cluster.operator.rules_resources import resource_troubles
from diagnostics.cluster.operator.rules_upgrade import upgrade_troubles
from diagnostics.cluster.operator.scene import Scene
from diagnostics.cluster.operator.trouble import Trouble, sorted_nodes
from diagnostics.model import Component, Problem
from diagnostics.timing import now as now_text

FIRST = (DRIVER, NFD)
"""Judged first: what others are told of them depends on it."""
RULES = (
    policy_troubles,
    node_troubles,
    label_troubles,
    upgrade_troubles,
    resource_troubles,
    sriov_troubles,
    device_troubles,
    gpu_troubles,
    guid_troubles,
    event_troubles,
    drift_troubles,
)


class Verdict(NamedTuple):
    components: tuple[Component, ...]
    findings: tuple[ClusterFinding, ...]
    problems: tuple[Problem, ...]
    troubles: tuple[Trouble, ...]


class Judge:
    """Judges again and again; remembers since when each finding stands."""

    def __init__(self, objects: ClusterObjects) -> None:
        self.index = Index(objects)
        self._since: dict[str, str] = {}

    def rebuild(self) -> None:
        """The objects were put in place anew, all at once."""
        self.index = Index(self.index.objects)

    def apply(self, kind: str, key: str, now: Any | None) -> None:
        """An object came, changed or (None) went."""
        self.index.apply(kind, key, now)

    def judge(self, now: float) -> Verdict:
        scene = Scene(self.index, now)
        components, troubles = _judged(scene)
        findings = findings_of(troubles, self._since, now_text())
        self._since = {each.id: each.since for each in findings}
        return Verdict(components, ordered(findings), problems(scene.objects), tuple(troubles))  # type: ignore[arg-type]


def judge_components(objects: ClusterObjects, now: float) -> Verdict:
    """One judgement of objects as they are; `now` is seconds since the epoch."""
    return Judge(objects).judge(now)


def _judged(scene: Scene) -> tuple[tuple[Component, ...], list[Trouble]]:
    names = dict.fromkeys((*FIRST, *(row.component for row in ROWS)))
    names.update(dict.fromkeys(ref.component for ref in scene.index.workloads.values()))
    judged = {name: judge_component(scene, name) for name in names}
    troubles = [trouble for each in judged.values() for trouble in each.troubles]
    for rule in RULES:
        troubles += rule(scene)
    order = [*(row.component for row in ROWS), *(name for name in names if all(name != row.component for row in ROWS))]
    components = [_with(judged[name].component, troubles) for name in order]
    components += _extra(scene, troubles)
    return tuple(components), troubles


def _with(component: Component, troubles: list[Trouble]) -> Component:
    """What rules of the whole cluster add to a component's verdict."""
    mine = [each for each in troubles if each.component == component.component and each.verdict is not None]
    worst = min(mine, key=lambda each: RANK.index(each.verdict or "ok"), default=None)
    if worst is None:
        return component
    nodes = {node for each in mine if each.verdict in ("failed", "degraded") for node in each.nodes}
    changes: dict[str, Any] = {"nodes_failing": sorted_nodes({*component.nodes_failing, *nodes})}
    if RANK.index(worst.verdict or "ok") < RANK.index(component.verdict):
        changes.update(verdict=worst.verdict, message=worst.message, evidence=(*component.evidence, *worst.evidence))
    return msgspec.structs.replace(component, **changes)


def _extra(scene: Scene, troubles: list[Trouble]) -> list[Component]:
    """Components without a workload: the policy, and custom resources that have a state."""
    kinds = {
        POLICY: "policies",
        "sriov-network-node-states": "sriov_states",
        "nic-devices": "nic_devices",
        "node-maintenances": "maintenances",
    }
    found = []
    for name in EXTRA_TITLES:
        kept = scene.objects.of(kinds[name])
        hidden = scene.objects.hidden(kinds[name])
        if not kept and not hidden:
            continue
        says = scene.policy.status.state or None if name == POLICY and scene.policy is not None else None
        base = Component(
            component=name,
            verdict="unknown" if hidden else "ok",
            operator_state=says,
            version=None,
            expected_version=None,
            workload=None,
            namespace=None,
            desired=len(kept) or None,
            ready=None,
            nodes_failing=(),
            message=scene.objects.unseen[kinds[name]].message if hidden else None,
            evidence=(),
        )
        found.append(_with(base, troubles))
    return found


def problems(objects: ClusterObjects) -> tuple[Problem, ...]:
    """The kinds that could not be read, and what that hides; an optional kind that is not installed is none."""
    return tuple(
        Problem(source=name, message=f"{name}: {unseen.state}: {unseen.message}", hint=f"not known: {KIND[name].hides}")
        for name, unseen in objects.unseen.items()
        if name in KIND and objects.hidden(name)
    )
