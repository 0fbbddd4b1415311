"""Which nodes a workload is for: the scheduler's rules, and the reason where it is kept off.

Nodes that are equal in all that any workload asks for are one class: a thousand nodes are a handful of classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from diagnostics.cluster.operator.objects import (
    Expression,
    OperatorNode,
    Selector,
    Taint,
    TemplateSpec,
    Term,
    Toleration,
)

DAEMON_TOLERATED = frozenset(
    (
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
        "node.kubernetes.io/disk-pressure",
        "node.kubernetes.io/memory-pressure",
        "node.kubernetes.io/pid-pressure",
        "node.kubernetes.io/unschedulable",
        "node.kubernetes.io/network-unavailable",
    )
)
"""What the DaemonSet controller adds to every pod (kubernetes/pkg/controller/daemon/util)."""


class NodeClass(NamedTuple):
    """What placement looks at of a node."""

    labels: tuple[tuple[str, str], ...]
    taints: tuple[tuple[str, str, str], ...]


class KeptOff(NamedTuple):
    """Why a DaemonSet has no business on a node."""

    kind: str
    """`label` or `taint`."""
    key: str
    wanted: str
    has: str | None


def class_of(node: OperatorNode, keys: frozenset[str]) -> NodeClass:
    labels = node.metadata.labels
    taken = tuple(sorted((key, labels[key]) for key in keys if key in labels))
    taints = tuple(sorted((each.key, each.value, each.effect) for each in node.spec.taints))
    return NodeClass(taken, taints)


def keys_of(spec: TemplateSpec) -> set[str]:
    """The labels that a template's placement depends on."""
    keys = set(spec.node_selector)
    for term in spec.affinity.node_affinity.required.node_selector_terms:
        keys.update(each.key for each in term.match_expressions)
    return keys


def kept_off(spec: TemplateSpec, labels: Mapping[str, str], taints: Iterable[tuple[str, str, str]]) -> KeptOff | None:
    """The first thing that keeps a DaemonSet off such nodes; None where it belongs."""
    for key, value in sorted(spec.node_selector.items()):
        if labels.get(key) != value:
            return KeptOff("label", key, value, labels.get(key))
    terms = spec.affinity.node_affinity.required.node_selector_terms
    if terms and not any(_term(each, labels) for each in terms):
        failing = next((each for term in terms for each in term.match_expressions if not holds(each, labels)), None)
        if failing is not None:
            wanted = f"{failing.operator} {','.join(failing.values)}".strip()
            return KeptOff("label", failing.key, wanted, labels.get(failing.key))
    for key, value, effect in taints:
        if effect in ("NoSchedule", "NoExecute") and key not in DAEMON_TOLERATED:
            taint = Taint(key=key, value=value, effect=effect)
            if not any(tolerates(each, taint) for each in spec.tolerations):
                return KeptOff("taint", key, "", f"{value}:{effect}" if value else effect)
    return None


def _term(term: Term, labels: Mapping[str, str]) -> bool:
    return all(holds(each, labels) for each in term.match_expressions)


def holds(each: Expression, labels: Mapping[str, str]) -> bool:
    """One expression of a selector or of a node affinity."""
    value = labels.get(each.key)
    if each.operator == "In":
        return value is not None and value in each.values
    if each.operator == "NotIn":
        return value is None or value not in each.values
    if each.operator == "Exists":
        return value is not None
    if each.operator == "DoesNotExist":
        return value is None
    try:
        number, limit = int(value or ""), int(each.values[0])
    except (ValueError, IndexError):
        return False
    return number > limit if each.operator == "Gt" else number < limit


def selects(selector: Selector, labels: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.match_labels.items()) and all(
        holds(each, labels) for each in selector.match_expressions
    )


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if not toleration.key:
        return toleration.operator == "Exists"
    if toleration.key != taint.key:
        return False
    return toleration.operator == "Exists" or toleration.value == taint.value
