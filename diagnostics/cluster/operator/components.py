"""The verdict on one component: from its workloads, its pods and the nodes it should be on."""

from __future__ import annotations

from typing import NamedTuple

from diagnostics.cluster.operator.ailments import Ailment, ailments
from diagnostics.cluster.operator.images import image_troubles, version_of
from diagnostics.cluster.operator.index import WorkloadRef
from diagnostics.cluster.operator.inventory import (
    DRIVER,
    NFD,
    NIC_LABEL,
    OPERATOR,
    POLICY,
    STATE_LABEL,
    WAIT_LABEL,
    Row,
    row_of,
)
from diagnostics.cluster.operator.placement import kept_off
from diagnostics.cluster.operator.scene import Scene
from diagnostics.cluster.operator.trouble import Cause, Trouble, counted, fact, named, sorted_nodes
from diagnostics.model import Component, Severity

RANK = ("failed", "degraded", "no-nodes", "drift", "rolling", "unmanaged", "unknown", "ok", "absent")
"""The worst of a component's workloads is its verdict."""
SEVERITY: dict[str, Severity] = {
    "failed": "critical",
    "degraded": "warning",
    "no-nodes": "warning",
    "drift": "warning",
    "rolling": "info",
    "unmanaged": "info",
    "ok": "info",
}
UPSTREAM = {
    "label": (Cause("nfd-labels", None, False), Cause("component-", NFD, False)),
    "driver": (Cause("mofed-wait"), Cause("component-", DRIVER), Cause("driver-upgrade")),
}
ALWAYS = (
    Cause("component-unknown"),
    Cause("component-failed", POLICY, False),
    Cause("component-failed", OPERATOR, False),
)


class Judged(NamedTuple):
    component: Component
    troubles: tuple[Trouble, ...]


def judge_component(scene: Scene, component: str) -> Judged:
    row = row_of(component)
    refs = sorted(scene.index.of(component), key=lambda ref: (ref.kind == "Deployment", ref.key))
    asked = component in scene.asked
    troubles = [each for ref in refs for each in _of_workload(scene, row, ref)]
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


def desired_of(ref: WorkloadRef) -> int:
    if ref.kind == "DaemonSet":
        return ref.object.status.desired_number_scheduled
    return 1 if ref.object.spec.replicas is None else ref.object.spec.replicas


def ready_of(ref: WorkloadRef) -> int:
    status = ref.object.status
    return status.number_available if ref.kind == "DaemonSet" else status.available_replicas


def _causes(row: Row) -> tuple[Cause, ...]:
    return (*ALWAYS, *(cause for need in reversed(row.needs) for cause in UPSTREAM[need]))


def _of_workload(scene: Scene, row: Row, ref: WorkloadRef) -> list[Trouble]:
    found = ailments(scene, row, ref)
    troubles = [_of_ailment(row, ref, each) for each in found]
    if row.component == DRIVER:
        scene.rolling_driver |= {node for each in found if each.grade == "rolling" for node in each.nodes}
    if ref.kind == "DaemonSet":
        troubles += _of_placement(scene, row, ref)
        if desired_of(ref):
            troubles += _of_revision(scene, row, ref)
    troubles += image_troubles(scene, row, ref)
    missing = desired_of(ref) - ready_of(ref)
    lost = sum(node in scene.not_ready for node in scene.index.pods[ref.kind, ref.key].nodes)
    worse = any(each.verdict in ("failed", "degraded", "rolling") for each in troubles)
    if missing > 0 and not worse and lost < missing:
        troubles.append(_short(scene, row, ref, missing))
    return troubles


def _of_ailment(row: Row, ref: WorkloadRef, each: Ailment) -> Trouble:
    causes = _causes(row) if each.grade != "failed" else ALWAYS[1:]
    if row.component == DRIVER and each.grade == "rolling":
        causes = (Cause("driver-upgrade"), *causes)
    return Trouble(
        f"component-{each.grade}",
        row.component,
        f"{ref.name}.{each.kind}",
        SEVERITY[each.grade],
        f"{row.title} on {each.words}" if each.nodes else f"{row.title}: {each.words}",
        sorted_nodes(each.nodes),
        f"{each.hint}: {each.command}",
        (
            fact(f"{ref.place} ready", ready_of(ref), "pods"),
            fact(f"{ref.place} desired", desired_of(ref), "pods"),
            fact(f"restarts of {each.cards[0].name}", each.cards[0].restarts),
        ),
        causes,
        commands=(each.command,),
        verdict=each.grade,
    )


def _of_placement(scene: Scene, row: Row, ref: WorkloadRef) -> list[Trouble]:
    """Nodes that should have a pod and have none, and nodes from which it is kept."""
    if scene.objects.hidden("nodes"):
        return _no_nodes(scene, row, ref, {}) if desired_of(ref) == 0 else []
    spec = ref.object.spec.template.spec
    belongs: set[str] = set()
    off: dict[tuple[str, str, str, str | None], set[str]] = {}
    for each, names in scene.index.classes.items():
        why = kept_off(spec, dict(each.labels), each.taints)
        if why is None:
            belongs |= names
        else:
            off.setdefault((why.kind, why.key, why.wanted, why.has), set()).update(names)
    troubles: list[Trouble] = []
    waits = {
        node
        for (kind, key, _, _), names in off.items()
        if kind == "label" and key == WAIT_LABEL
        for node in names & scene.nic_nodes
    }
    if waits:
        troubles.append(_waits(scene, row, ref, waits))
    for (kind, key, _, has), names in off.items():
        refused = names & scene.nic_nodes if kind == "taint" else set()
        if refused:
            troubles.append(_refused(row, ref, key, has, refused))
    if desired_of(ref) == 0 and not belongs:
        return troubles or _no_nodes(scene, row, ref, off)
    if not scene.objects.hidden("pods") and desired_of(ref) == len(belongs):
        without = belongs - scene.index.pods[ref.kind, ref.key].nodes.keys()
        if without:
            troubles.append(_without(scene, row, ref, without))
    return troubles


def _waits(scene: Scene, row: Row, ref: WorkloadRef, nodes: set[str]) -> Trouble:
    grade = "rolling" if nodes <= scene.rolling_driver else "degraded"
    said = "not false there" if nodes & scene.unlabelled else "true there"
    return Trouble(
        f"component-{grade}",
        row.component,
        f"{ref.name}.mofed-wait",
        SEVERITY[grade],
        f"{row.title} is kept off {named(nodes)}: mofed.wait is {said}",
        sorted_nodes(nodes),
        "repair the driver first: the plugin comes back by itself",
        (fact("nodes kept off", len(nodes), "nodes"),),
        (*UPSTREAM["driver"], *_causes(row)),
        verdict=grade,
    )


def _refused(row: Row, ref: WorkloadRef, key: str, has: str | None, nodes: set[str]) -> Trouble:
    return Trouble(
        "component-degraded",
        row.component,
        f"{ref.name}.taint.{key}",
        "warning",
        f"{row.title} is kept off {named(nodes)}: taint {key}={has} is not tolerated".replace("=None", ""),
        sorted_nodes(nodes),
        "add the toleration to spec.tolerations of the policy, or remove the taint",
        (fact("nodes kept off", len(nodes), "nodes"),),
        verdict="degraded",
        commands=(f"kubectl describe node {min(nodes)}",),
    )


def _without(scene: Scene, row: Row, ref: WorkloadRef, nodes: set[str]) -> Trouble:
    said = next(
        (
            each.message
            for each in scene.objects.of("events").values()
            if each.reason == "FailedCreate" and each.involved_object.name == ref.name
        ),
        "",
    )
    why = f': "{said[:160]}"' if said else ""
    return Trouble(
        "component-degraded",
        row.component,
        f"{ref.name}.no-pod",
        "warning",
        f"{row.title} has no pod on {named(nodes)}{why}",
        sorted_nodes(nodes),
        f"see the events: kubectl describe {ref.place} -n {ref.namespace}",
        (fact("nodes without a pod", len(nodes), "nodes"),),
        _causes(row),
        commands=(f"kubectl describe {ref.place} -n {ref.namespace}",),
        verdict="degraded",
    )


def _no_nodes(
    scene: Scene, row: Row, ref: WorkloadRef, off: dict[tuple[str, str, str, str | None], set[str]]
) -> list[Trouble]:
    """A DaemonSet that matches no node: it stays notReady for ever."""
    if not (row.component in scene.asked or row.field is None or scene.policies_hidden):
        return []
    labels = [(key, wanted, names) for (kind, key, wanted, _), names in off.items() if kind == "label"]
    labels.sort(key=lambda each: -len(each[2]))
    why = f": no node has {labels[0][0]}={labels[0][1]}" if labels else ""
    others = [other for other in scene.index.of(row.component) if other.key != ref.key and desired_of(other)]
    if others and row.component == DRIVER:
        return []  # the DaemonSet of a kernel that no node runs any more; the operator removes it in time
    causes = _causes(row)
    if labels and labels[0][0] == NIC_LABEL:
        causes = (*UPSTREAM["label"], *causes)
    return [
        Trouble(
            "component-no-nodes",
            row.component,
            ref.name,
            "warning",
            f"{row.title}: {ref.place} matches no node{why}",
            (),
            f"kubectl get nodes -L {labels[0][0]}" if labels else f"kubectl describe {ref.place} -n {ref.namespace}",
            (fact(f"{ref.place} desired", 0, "pods"),),
            causes,
            verdict="no-nodes",
            commands=(f"kubectl describe {ref.place} -n {ref.namespace}",),
        )
    ]


def _of_revision(scene: Scene, row: Row, ref: WorkloadRef) -> list[Trouble]:
    """Pods of an old revision: on their way, or left as they are until somebody deletes them."""
    newest = scene.index.newest_revision(ref)
    pods = scene.index.pods[ref.kind, ref.key]
    old: set[str] = set()
    if newest is not None and any(each != newest for each in pods.revisions):
        old = {card.node for card in pods.cards.values() if card.revision != newest}
    behind = len(old) or max(0, desired_of(ref) - ref.object.status.updated_number_scheduled)
    if not behind or (newest is not None and not old):
        return []
    left = ref.object.spec.update_strategy.type == "OnDelete" and not _upgrades_itself(scene, ref)
    grade = "drift" if left and row.component == DRIVER else "rolling"
    if row.component == DRIVER and grade == "rolling":
        scene.rolling_driver |= old
    done = desired_of(ref) - behind
    what = "waits for its pod to be deleted (autoUpgrade is off)" if grade == "drift" else "is on its way"
    return [
        Trouble(
            f"component-{grade}",
            row.component,
            f"{ref.name}.revision",
            SEVERITY[grade],
            f"{row.title}: {done} of {counted(desired_of(ref), 'pod')} are of the newest revision; "
            f"{named(old) if old else counted(behind, 'pod')} {what}",
            sorted_nodes(old),
            f"kubectl rollout status -n {ref.namespace} {ref.place}"
            if grade == "rolling"
            else f"delete the old pods, node by node: kubectl delete pod -n {ref.namespace} POD",
            (fact(f"{ref.place} of the newest revision", done, "pods"),),
            (Cause("driver-upgrade"), Cause("component-failed", row.component, False)),
            verdict=grade,
        )
    ]


def _upgrades_itself(scene: Scene, ref: WorkloadRef) -> bool:
    part, _ = scene.parts_for(ref)
    policy = part.get("upgradePolicy")
    return isinstance(policy, dict) and bool(policy.get("autoUpgrade"))


def _short(scene: Scene, row: Row, ref: WorkloadRef, missing: int) -> Trouble:
    """Fewer pods than there should be, and nothing tells why."""
    none = ready_of(ref) == 0 and ref.kind == "Deployment"
    grade = "failed" if none else "degraded"
    why = next(
        (
            each.message
            for each in ref.object.status.conditions
            if each.type in ("ReplicaFailure", "Available")
            and each.status == ("True" if each.type == "ReplicaFailure" else "False")
        ),
        "",
    )
    hidden = "; its pods may not be read" if scene.objects.hidden("pods") else f"; {why}" if why else ""
    return Trouble(
        f"component-{grade}",
        row.component,
        f"{ref.name}.short",
        SEVERITY[grade],
        f"{row.title}: {ready_of(ref)} of {counted(desired_of(ref), 'pod')} of {ref.place} available{hidden}",
        (),
        f"kubectl describe {ref.place} -n {ref.namespace}",
        (fact(f"{ref.place} available", ready_of(ref), "pods"), fact("missing", missing, "pods")),
        _causes(row),
        ("pods",) if scene.objects.hidden("pods") else (),
        commands=(f"kubectl describe {ref.place} -n {ref.namespace}",),
        verdict=grade,
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
            (*ALWAYS, *_causes(row)),
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
