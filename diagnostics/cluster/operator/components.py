"""The verdict on one component: from its workloads, its pods and the nodes it should be on."""

from __future__ import annotations

from typing import NamedTuple

from diagnostics.cluster.operator.images import version_of
from diagnostics.cluster.operator.index import WorkloadRef
from diagnostics.cluster.operator.inventory import (
    DRIVER,
    NIC_LABEL,
    OPERATOR,
    POLICY,
    STATE_LABEL,
    Row,
    row_of,
)
from diagnostics.cluster.operator.scene import Scene
from diagnostics.cluster.operator.trouble import Cause, Trouble, counted, fact, sorted_nodes
from diagnostics.cluster.operator.workloads import (
    ALWAYS,
    UPSTREAM,
    causes_of,
    desired_of,
    of_workload,
    ready_of,
)
from diagnostics.model import Component

RANK = ("failed", "degraded", "no-nodes", "drift", "rolling", "unmanaged", "unknown", "ok", "absent")
"""The worst of a component's workloads is its verdict."""


class Judged(NamedTuple):
    component: Component
    troubles: tuple[Trouble, ...]


def judge_component(scene: Scene, component: str) -> Judged:
    row = row_of(component)
    refs = sorted(scene.index.of(component), key=lambda ref: (ref.kind == "Deployment", ref.key))
    asked = component in scene.asked
    troubles = [each for ref in refs for each in of_workload(scene, row, ref)]
    if not refs:
        troubles += _of_nothing(scene, row, asked)
    troubles += _of_words(scene, row)
    verdict = min((each.verdict for each in troubles if each.verdict), key=RANK.index, default=None)
    if verdict is None or RANK.index(verdict) > RANK.index("rolling"):
        verdict, more = _quiet(scene, row, refs, asked)
        troubles += more
    says = scene.says.get(component, (None, ""))[0]
    if verdict == "ok" and says in ("notReady", "error"):
        troubles.append(_all_well(row, refs, says))
    elif says == "ready" and verdict in ("failed", "degraded", "no-nodes"):
        troubles = [
            each._replace(message=f"{each.message}; the policy says ready") if each.verdict == verdict else each
            for each in troubles
        ]
    failing = {node for each in troubles if each.verdict in ("failed", "degraded") for node in each.nodes}
    scene.failing[component] = failing
    return Judged(_component(scene, row, refs, verdict, says, troubles, failing), tuple(troubles))


def _component(
    scene: Scene,
    row: Row,
    refs: list[WorkloadRef],
    verdict: str,
    says: str | None,
    troubles: list[Trouble],
    failing: set[str],
) -> Component:
    runs, wanted = version_of(scene, row, refs)
    hidden = _hidden(scene, refs)
    worst = next((each for each in troubles if each.verdict == verdict), troubles[0] if troubles else None)
    message = worst.message if worst is not None else hidden if verdict == "unknown" else None
    return Component(
        component=row.component,
        verdict=verdict,  # type: ignore[arg-type]
        operator_state=says,
        version=runs,
        expected_version=wanted,
        workload=", ".join(ref.place for ref in refs) or None,
        namespace=refs[0].namespace if refs else None,
        desired=sum(desired_of(ref) for ref in refs) if refs else None,
        ready=sum(ready_of(ref) for ref in refs) if refs else None,
        nodes_failing=sorted_nodes(failing),
        message=message,
        evidence=tuple(fact for each in troubles for fact in each.evidence),
    )


def _of_nothing(scene: Scene, row: Row, asked: bool) -> list[Trouble]:
    """Asked for, and nothing is there."""
    if not asked or scene.objects.hidden("daemonsets") or scene.says.get(row.component, ("", ""))[0] == "error":
        return []
    if row.component == DRIVER and not scene.nic_nodes and not scene.objects.hidden("nodes"):
        return [
            Trouble(
                "component-no-nodes",
                DRIVER,
                "none",
                "warning",
                f"{row.title} is asked for, and no node carries {NIC_LABEL}: none is made",
                (),
                f"kubectl get nodes -L {NIC_LABEL}",
                (),
                (*UPSTREAM["label"], *ALWAYS),
                verdict="no-nodes",
            )
        ]
    if row.removed is not None:
        return []
    return [
        Trouble(
            "component-failed",
            row.component,
            "not-made",
            "critical",
            f"{row.title} is asked for by the policy, and nothing of it is there",
            (),
            "see the operator's log, and the policy's status: kubectl describe nicclusterpolicy",
            (),
            (*ALWAYS, *causes_of(row)),
            verdict="failed",
        )
    ]


def _of_words(scene: Scene, row: Row) -> list[Trouble]:
    """What the operator itself gives as a reason."""
    state, message = scene.says.get(row.component, ("", ""))
    if state != "error" or row.component not in scene.asked:
        return []
    return [
        Trouble(
            "component-failed",
            row.component,
            "operator-error",
            "critical",
            f"{row.title}: the operator says: {message or 'error, without a reason'}",
            (),
            "see the operator's log" if not message else _message_hint(message),
            (),
            ALWAYS[1:],
            verdict="failed",
            commands=("kubectl describe nicclusterpolicy nic-cluster-policy",),
        )
    ]


def _message_hint(message: str) -> str:
    if "precompiled" in message.lower():
        return "align the kernels with published tags, unset ofedDriver.forcePrecompiled, or give the operator the registry's credentials (imagePullSecrets)"  # noqa: E501
    return "kubectl describe nicclusterpolicy nic-cluster-policy"


def _quiet(scene: Scene, row: Row, refs: list[WorkloadRef], asked: bool) -> tuple[str, list[Trouble]]:
    """The verdict where nothing is wrong: is it wanted, and was all of it seen?"""
    hidden = _hidden(scene, refs)
    if not refs:
        return ("unknown" if hidden else "absent"), []
    if row.field is not None and not asked and not scene.policies_hidden:
        left = [ref for ref in refs if STATE_LABEL in ref.object.metadata.labels]
        return "unmanaged", [_left_behind(scene, row, left)] if left else []
    return ("unknown" if hidden else "ok"), []


def _left_behind(scene: Scene, row: Row, refs: list[WorkloadRef]) -> Trouble:
    whose = "there is no policy" if scene.policy is None and not scene.node_policies else "no policy asks for it"
    return Trouble(
        "component-unmanaged",
        row.component,
        "left",
        "info",
        f"{row.title} is left behind: {whose}, and {', '.join(ref.place for ref in refs)} still runs",
        (),
        "make the policy again, or remove it: "
        + "; ".join(f"kubectl delete -n {ref.namespace} {ref.place}" for ref in refs),
        (),
        (Cause("component-failed", POLICY, False),),
        verdict="unmanaged",
    )


def _hidden(scene: Scene, refs: list[WorkloadRef]) -> str | None:
    """What could not be read and would have been needed to say ok."""
    needed = ["daemonsets", "deployments"]
    if refs:
        needed = ["pods"] if all(ref.kind == "Deployment" for ref in refs) else ["pods", "nodes"]
        if any(ref.object.spec.update_strategy.type == "OnDelete" for ref in refs):
            needed.append("revisions")
    unseen = [name for name in needed if scene.objects.hidden(name)]
    if not unseen:
        return None
    return "; ".join(
        f"{name}: {scene.objects.unseen[name].state} ({scene.objects.unseen[name].message})" for name in unseen
    )


def _all_well(row: Row, refs: list[WorkloadRef], says: str) -> Trouble:
    ready, wanted = sum(map(ready_of, refs)), sum(map(desired_of, refs))
    return Trouble(
        "component-ok",
        row.component,
        "disagrees",
        "info",
        f"{row.title}: the policy says {says}, and all is well: {ready} of {counted(wanted, 'pod')} ready",
        (),
        "the operator's status is old, or its reconciling is held up: see its log",
        (fact("ready", ready, "pods"),),
        (Cause("component-", OPERATOR, False),),
    )
