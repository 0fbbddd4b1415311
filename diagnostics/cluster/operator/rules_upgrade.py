"""The driver's rolling upgrade: each node's state, for how long, and what holds it up."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from diagnostics.cluster.operator.inventory import DRIVER, UPGRADE_LABEL
from diagnostics.cluster.operator.objects import DisruptionBudget, OperatorNode
from diagnostics.cluster.operator.placement import selects
from diagnostics.cluster.operator.pods import epoch
from diagnostics.cluster.operator.scene import Scene
from diagnostics.cluster.operator.trouble import Cause, Trouble, counted, fact, named, sorted_nodes
from diagnostics.model import Severity

ACTIVE = (
    "cordon-required",
    "wait-for-jobs-required",
    "pod-deletion-required",
    "drain-required",
    "node-maintenance-required",
    "post-maintenance-required",
    "pod-restart-required",
    "validation-required",
    "uncordon-required",
)
KNOWN = (*ACTIVE, "upgrade-required", "upgrade-done", "upgrade-failed", "")
"""NVIDIA/k8s-operator-libs, pkg/upgrade/consts.go."""
STARTS = {
    "wait-for-jobs-required": "nvidia.com/ofed-driver-upgrade-wait-for-pod-completion-start-time",
    "validation-required": "nvidia.com/ofed-driver-upgrade-validation-start-time",
}
LIMITS_S = {
    "pod-restart-required": 25 * 60.0,
    "node-maintenance-required": 3600.0,
    "wait-for-jobs-required": 4 * 3600.0,
}
LIMIT_S = 900.0
"""Cordon, uncordon and the like take seconds; a drain 300 s unless the policy says otherwise."""
CORDONED_BEFORE = "nvidia.com/ofed-driver-upgrade.node-initial-state.unschedulable"
DRAINING = ("drain-required", "pod-deletion-required", "node-maintenance-required", "wait-for-jobs-required")


class _Field(msgspec.Struct):
    time: str | None = None
    fields: msgspec.Raw = msgspec.field(name="fieldsV1", default=msgspec.Raw(b"{}"))


def upgrade_troubles(scene: Scene) -> Iterator[Trouble]:
    states: dict[str, set[str]] = {}
    for each, names in scene.index.classes.items():
        state = next((value for key, value in each.labels if key == UPGRADE_LABEL), None)
        if state:
            states.setdefault(state, set()).update(names)
    if not states:
        return
    total = sum(map(len, states.values()))
    done = len(states.get("upgrade-done", ()))
    for state in sorted(states, key=lambda each: KNOWN.index(each) if each in KNOWN else 99):
        nodes = states[state]
        if state in ("upgrade-done", "upgrade-required"):
            continue
        if state not in ("upgrade-failed", *ACTIVE):
            yield _trouble(state, "info", nodes, "is no state that is known", None, done, total)
        else:
            yield _of_state(scene, state, nodes, done, total)
    waiting = states.get("upgrade-required", set())
    if waiting and not any(state in states for state in ACTIVE):
        first = next((state for state in ("upgrade-failed",) if state in states), None)
        said = "waits, and no node is being upgraded" + (": a failed one holds the slot" if first else "")
        yield _trouble(
            "upgrade-required",
            "warning" if first or _old(scene, waiting) else "info",
            waiting,
            said,
            "see the operator's log; maxParallelUpgrades bounds how many go at once",
            done,
            total,
            (Cause("driver-upgrade", DRIVER, False),),
        )
    left = {
        name
        for name in states.get("upgrade-done", ())
        if scene.nodes[name].spec.unschedulable
        and scene.nodes[name].metadata.annotations.get(CORDONED_BEFORE) != "true"
    }
    if left:
        yield _trouble(
            "left-cordoned",
            "info",
            left,
            "upgrade is done, and it is still cordoned",
            f"if nobody cordoned it on purpose: kubectl uncordon {min(left)}",
            done,
            total,
        )


def _of_state(scene: Scene, state: str, nodes: set[str], done: int, total: int) -> Trouble:
    ages = [age for age in (time_in_state(scene, scene.nodes[name], state) for name in nodes) if age is not None]
    longest = max(ages, default=None)
    held = _held_up(scene, state, nodes)
    if state == "upgrade-failed":
        return _trouble(
            state,
            "critical",
            nodes,
            "a step of the upgrade failed" + _for(longest) + held,
            "repair the driver pod there; then delete it, so that the node goes on to uncordon",
            done,
            total,
            (Cause("component-failed", DRIVER), Cause("component-degraded", DRIVER)),
            longest,
        )
    limit = _limit(scene, state)
    stuck = longest is not None and longest > limit
    severity: Severity = "warning" if stuck or held else "info"
    said = ("is stuck" if stuck or held else "is on its way") + _for(longest) + held
    hint = (
        "see drain.force, deleteEmptyDir and timeoutSeconds of the policy, and the pod that does not go"
        if state in DRAINING
        else "see the driver pod on that node"
    )
    return _trouble(
        state,
        severity,
        nodes,
        said,
        hint,
        done,
        total,
        (Cause("component-unknown"), Cause("component-failed", DRIVER)),
        longest,
    )


def _trouble(
    state: str,
    severity: Severity,
    nodes: set[str],
    said: str,
    hint: str | None,
    done: int,
    total: int,
    causes: tuple[Cause, ...] = (),
    longest: float | None = None,
) -> Trouble:
    command = f"kubectl get nodes -L {UPGRADE_LABEL}"
    evidence = [fact("nodes done", done, "nodes"), fact("nodes in all", total, "nodes")]
    if longest is not None:
        evidence.append(fact(f"longest in {state}", longest, "s"))
    return Trouble(
        "driver-upgrade",
        DRIVER,
        state,
        severity,
        f"driver upgrade of {named(nodes)}: {state} {said}; {done} of {counted(total, 'node')} done",
        sorted_nodes(nodes),
        hint or command,
        tuple(evidence),
        causes,
        commands=(command,),
    )


def _for(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes = int(seconds // 60)
    return (
        f" for {int(seconds)} s"
        if minutes < 2
        else f" for {minutes} min"
        if minutes < 120
        else f" for {minutes // 60} h"
    )


def _limit(scene: Scene, state: str) -> float:
    """How long a state may last: what the policy allows, and some more."""
    for part in scene.asked.get(DRIVER, ()):
        policy = part.get("upgradePolicy") or {}
        drain = (policy.get("drain") or {}).get("timeoutSeconds")
        wait = (policy.get("waitForCompletion") or {}).get("timeoutSeconds")
        if state == "drain-required" and drain:
            return float(drain) + 120.0
        if state == "wait-for-jobs-required" and wait:
            return float(wait) + 120.0
    return LIMITS_S.get(state, LIMIT_S)


def time_in_state(scene: Scene, node: OperatorNode, state: str) -> float | None:
    """Seconds: by the annotation that some states have, else by when the label was last written."""
    started = node.metadata.annotations.get(STARTS.get(state, ""), "")
    if started.isdigit():
        return scene.age(float(started))
    if not bytes(node.metadata.managed_fields):
        return None
    try:
        fields = msgspec.json.decode(node.metadata.managed_fields, type=list[_Field])
    except msgspec.MsgspecError:
        return None
    marked = f'"f:{UPGRADE_LABEL}"'.encode()
    times = [epoch(each.time) for each in fields if marked in bytes(each.fields)]
    return scene.age(max((each for each in times if each is not None), default=None))


def _old(scene: Scene, nodes: set[str]) -> bool:
    ages = (time_in_state(scene, scene.nodes[name], "upgrade-required") for name in nodes)
    return any(age is not None and age > LIMIT_S for age in ages)


def _held_up(scene: Scene, state: str, nodes: set[str]) -> str:
    """What visibly stands in the way."""
    if state in DRAINING:
        budgets: dict[str, DisruptionBudget] = scene.objects.of("budgets")
        pods = [pod for pod in scene.objects.of("pods").values() if pod.spec.node_name in nodes]
        for key, budget in sorted(budgets.items()):
            if budget.status.disruptions_allowed or budget.spec.selector is None or not budget.status.expected_pods:
                continue
            for pod in pods:
                if pod.metadata.namespace == budget.metadata.namespace and selects(
                    budget.spec.selector, pod.metadata.labels
                ):
                    return f": PodDisruptionBudget {key} allows no eviction of {pod.metadata.name}"
        blocking = [
            key
            for key, budget in sorted(budgets.items())
            if budget.status.expected_pods and not budget.status.disruptions_allowed
        ]
        if blocking and not pods_seen(scene, nodes):
            return f": PodDisruptionBudget {blocking[0]} allows no eviction"
    if state in ("pod-restart-required", "upgrade-failed", "validation-required"):
        failing = nodes & scene.failing.get(DRIVER, set())
        if failing:
            return f": the driver pod on {named(failing)} does not run"
    return ""


def pods_seen(scene: Scene, nodes: set[str]) -> bool:
    """Whether pods other than the stack's own were read on these nodes."""
    own = {card.key for pods in scene.index.pods.values() for card in pods.cards.values() if card.node in nodes}
    return any(pod.spec.node_name in nodes and key not in own for key, pod in scene.objects.of("pods").items())
