"""The objects, put where they are looked for: pods by workload, nodes by class; a changed object moves itself alone."""

from __future__ import annotations

from typing import Any, NamedTuple

from diagnostics.cluster.operator.inventory import (
    DRIVER_LABEL,
    NIC_LABEL,
    OS_LABELS,
    UPGRADE_LABEL,
    WAIT_LABEL,
    component_of,
)
from diagnostics.cluster.operator.kinds import ClusterObjects
from diagnostics.cluster.operator.objects import ComponentPod, OperatorNode, Revision, Workload
from diagnostics.cluster.operator.placement import NodeClass, class_of, keys_of
from diagnostics.cluster.operator.pods import PodCard, card_of

OWN_KEYS = frozenset((NIC_LABEL, WAIT_LABEL, UPGRADE_LABEL, *OS_LABELS))


class WorkloadRef(NamedTuple):
    """A workload of a component."""

    kind: str
    key: str
    component: str
    object: Workload

    @property
    def name(self) -> str:
        return self.object.metadata.name

    @property
    def namespace(self) -> str:
        return self.object.metadata.namespace

    @property
    def place(self) -> str:
        return f"{self.kind.lower()}/{self.name}"


class Pods:
    """The pods of one workload."""

    __slots__ = ("bad", "cards", "nodes", "revisions")

    def __init__(self) -> None:
        self.cards: dict[str, PodCard] = {}
        self.bad: dict[str, PodCard] = {}
        """Those of which there is something to say."""
        self.nodes: dict[str, int] = {}
        """Node -> how many of them it has."""
        self.revisions: dict[str, int] = {}
        """Hash of a revision -> how many of them are of it."""

    def put(self, key: str, card: PodCard) -> None:
        self.drop(key)
        self.cards[key] = card
        self.nodes[card.node] = self.nodes.get(card.node, 0) + 1
        self.revisions[card.revision] = self.revisions.get(card.revision, 0) + 1
        if not card.ready_to_judge:
            self.bad[key] = card

    def drop(self, key: str) -> None:
        before = self.cards.pop(key, None)
        self.bad.pop(key, None)
        if before is not None:
            _less(self.nodes, before.node)
            _less(self.revisions, before.revision)


def _less(counts: dict[str, int], key: str) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]


class Index:
    """Everything that is derived from single objects."""

    def __init__(self, objects: ClusterObjects) -> None:
        self.objects = objects
        self.workloads: dict[tuple[str, str], WorkloadRef] = {}
        self.pods: dict[tuple[str, str], Pods] = {}
        self.orphans: dict[str, PodCard] = {}
        """Driver pods that no DaemonSet owns any more."""
        self.revisions: dict[str, dict[str, Revision]] = {}
        self.classes: dict[NodeClass, set[str]] = {}
        self.not_ready: dict[str, str] = {}
        """Node -> why its kubelet is not Ready."""
        self._class_of: dict[str, NodeClass] = {}
        self._owner_of: dict[str, tuple[str, str]] = {}
        self.keys: frozenset[str] = OWN_KEYS
        for kind in ("daemonsets", "deployments", "revisions"):
            for key, each in objects.of(kind).items():
                self._enter(kind, key, each)
        self._rekey()
        for key, each in objects.of("pods").items():
            self._pod(key, each)

    def apply(self, kind: str, key: str, now: Any | None) -> None:
        """One object came, changed or (None) went."""
        kept = self.objects.kinds[kind]
        if now is None:
            kept.pop(key, None)
        else:
            kept[key] = now
        if kind == "pods":
            self._pod(key, now)
        elif kind == "nodes":
            self._node(key, now)
        elif kind in ("daemonsets", "deployments", "revisions"):
            self._leave(kind, key)
            self._enter(kind, key, now)
            if kind != "revisions":
                self._rekey()
                self._reown(kind, key)

    # Workloads

    def _enter(self, kind: str, key: str, each: Any | None) -> None:
        if each is None:
            return
        if kind == "revisions":
            owner = next((o.name for o in each.metadata.owner_references if o.kind == "DaemonSet"), None)
            if owner is not None:
                self.revisions.setdefault(f"{each.metadata.namespace}/{owner}", {})[key] = each
            return
        word = "DaemonSet" if kind == "daemonsets" else "Deployment"
        component = component_of(word, each)
        if component is not None:
            self.workloads[word, key] = WorkloadRef(word, key, component, each)
            self.pods.setdefault((word, key), Pods())

    def _leave(self, kind: str, key: str) -> None:
        if kind == "revisions":
            for kept in self.revisions.values():
                kept.pop(key, None)
            return
        self.workloads.pop(("DaemonSet" if kind == "daemonsets" else "Deployment", key), None)

    def _reown(self, kind: str, key: str) -> None:
        """Pods that came before their workload was known, or whose workload went."""
        word = "DaemonSet" if kind == "daemonsets" else "Deployment"
        if (word, key) in self.workloads and self.pods[word, key].cards:
            return
        namespace = key.split("/")[0] + "/"
        for pod_key, pod in self.objects.of("pods").items():
            if pod_key.startswith(namespace):
                self._pod(pod_key, pod)

    # Pods

    def _pod(self, key: str, pod: ComponentPod | None) -> None:
        before = self._owner_of.pop(key, None)
        if before is not None:
            self.pods[before].drop(key)
        self.orphans.pop(key, None)
        if pod is None:
            return
        owner = _owner(pod)
        if owner is None or owner not in self.workloads:
            if DRIVER_LABEL in pod.metadata.labels:
                self.orphans[key] = card_of(pod)
            return
        self._owner_of[key] = owner
        self.pods[owner].put(key, card_of(pod))

    # Nodes

    def _rekey(self) -> None:
        keys = OWN_KEYS.union(*(keys_of(ref.object.spec.template.spec) for ref in self.workloads.values()))
        if keys == self.keys and self._class_of:
            return
        self.keys = keys
        self.classes.clear()
        self._class_of.clear()
        for name, node in self.objects.of("nodes").items():
            self._node(name, node)

    def _node(self, name: str, node: OperatorNode | None) -> None:
        before = self._class_of.pop(name, None)
        if before is not None:
            members = self.classes[before]
            members.discard(name)
            if not members:
                del self.classes[before]
        self.not_ready.pop(name, None)
        if node is not None:
            ready = next((each for each in node.status.conditions if each.type == "Ready"), None)
            if ready is not None and ready.status != "True":
                self.not_ready[name] = ready.message or ready.reason or "not Ready"
            now = class_of(node, self.keys)
            self._class_of[name] = now
            self.classes.setdefault(now, set()).add(name)

    # Asking

    def of(self, component: str) -> list[WorkloadRef]:
        return [ref for ref in self.workloads.values() if ref.component == component]

    def newest_revision(self, ref: WorkloadRef) -> str | None:
        """The hash that the pods of a DaemonSet should carry."""
        kept = self.revisions.get(ref.key)
        if not kept:
            return None
        newest = max(kept.values(), key=lambda each: each.revision)
        return newest.metadata.labels.get("controller-revision-hash") or newest.metadata.name.rsplit("-", 1)[-1]


def _owner(pod: ComponentPod) -> tuple[str, str] | None:
    for owner in pod.metadata.owner_references:
        if owner.kind == "DaemonSet":
            return "DaemonSet", f"{pod.metadata.namespace}/{owner.name}"
        if owner.kind == "ReplicaSet":
            return "Deployment", f"{pod.metadata.namespace}/{owner.name.rsplit('-', 1)[0]}"
    return None
