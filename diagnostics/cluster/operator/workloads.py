"""What is wrong with one workload: its pods, the nodes it should be on, its revisions and its images."""

from __future__ import annotations

from diagnostics.cluster.operator.ailments import Ailment, ailments
from diagnostics.cluster.operator.images import image_troubles
from diagnostics.cluster.operator.index import WorkloadRef
from diagnostics.cluster.operator.inventory import (
    DRIVER,
    NFD,
    NIC_LABEL,
    OPERATOR,
    POLICY,
    WAIT_LABEL,
    Row,
)
from diagnostics.cluster.operator.placement import kept_off
from diagnostics.cluster.operator.scene import Scene
from diagnostics.cluster.operator.trouble import Cause, Trouble, counted, fact, named, sorted_nodes
from diagnostics.model import Severity

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


def desired_of(ref: WorkloadRef) -> int:
    if ref.kind == "DaemonSet":
        return ref.object.status.desired_number_scheduled
    return 1 if ref.object.spec.replicas is None else ref.object.spec.replicas


def ready_of(ref: WorkloadRef) -> int:
    status = ref.object.status
    return status.number_available if ref.kind == "DaemonSet" else status.available_replicas


def causes_of(row: Row) -> tuple[Cause, ...]:
    return (*ALWAYS, *(cause for need in reversed(row.needs) for cause in UPSTREAM[need]))


def of_workload(scene: Scene, row: Row, ref: WorkloadRef) -> list[Trouble]:
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
    causes = causes_of(row) if each.grade != "failed" else ALWAYS[1:]
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
    pods = scene.index.pods[ref.kind, ref.key].nodes.keys()
    waits = {
        node
        for (kind, key, _, _), names in off.items()
        if kind == "label" and key == WAIT_LABEL
        for node in names & scene.nic_nodes
    }
    if waits:
        troubles.append(_waits(scene, row, ref, waits))
    for (kind, key, _, has), names in off.items():
        refused = names & scene.nic_nodes - pods if kind == "taint" else set()
        if refused:
            troubles.append(_refused(row, ref, key, has, refused))
    if desired_of(ref) == 0 and not belongs:
        return troubles or _no_nodes(scene, row, ref, off)
    if not scene.objects.hidden("pods") and desired_of(ref) == len(belongs):
        without = belongs - pods
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
        (*UPSTREAM["driver"], *causes_of(row)),
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
        causes=tuple(Cause("component-degraded", first) for first in (DRIVER, NFD) if first != row.component),
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
        causes_of(row),
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
    causes = causes_of(row)
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
        causes_of(row),
        ("pods",) if scene.objects.hidden("pods") else (),
        commands=(f"kubectl describe {ref.place} -n {ref.namespace}",),
        verdict=grade,
    )
