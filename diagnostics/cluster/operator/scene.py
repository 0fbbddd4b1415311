"""What all rules look at: what is asked for, what the operator says, and how the nodes stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from diagnostics.cluster.operator.index import Index, WorkloadRef
from diagnostics.cluster.operator.inventory import (
    DRIVER,
    NIC_LABEL,
    OPERATOR,
    OWNER_LABEL,
    POLICY_NAME,
    ROWS,
    WAIT_LABEL,
)
from diagnostics.cluster.operator.objects import OperatorNode, Policy

STATE_RANK = {"error": 3, "notReady": 2, "ready": 1, "ignore": 0}


class Scene:
    """One moment of the cluster; made anew for each judgement, at a cost that grows with classes, not with nodes."""

    def __init__(self, index: Index, now: float) -> None:
        self.index = index
        self.objects = index.objects
        self.now = now
        policies: dict[str, Policy] = self.objects.of("policies")
        self.policy = policies.get(POLICY_NAME)
        self.other_policies = [each for name, each in policies.items() if name != POLICY_NAME]
        self.node_policies: dict[str, Policy] = self.objects.of("node_policies")
        self.asked: dict[str, list[dict[str, Any]]] = {}
        """Component -> the part of each policy that asks for it."""
        for policy in self._policies():
            for row in ROWS:
                part = _at(policy.spec, row.field)
                if part is not None:
                    self.asked.setdefault(row.component, []).append(part)
        self.says: dict[str, tuple[str, str]] = {}
        """Component -> what the operator says of it (the worst of all policies) and its message."""
        for policy in self._policies():
            for each in policy.status.applied_states:
                before = self.says.get(each.name)
                if before is None or STATE_RANK.get(each.state, 2) > STATE_RANK.get(before[0], 2):
                    self.says[each.name] = (each.state, each.message)
        self.nic_nodes: set[str] = set()
        self.waiting: set[str] = set()
        self.unlabelled: set[str] = set()
        """NIC nodes without the label mofed.wait: consumers need it to be false."""
        for each_class, names in index.classes.items():
            labels = dict(each_class.labels)
            wait = labels.get(WAIT_LABEL)
            if wait == "true":
                self.waiting |= names
            if labels.get(NIC_LABEL) == "true":
                self.nic_nodes |= names
                if wait is None:
                    self.unlabelled |= names
        self.nodes: dict[str, OperatorNode] = self.objects.of("nodes")
        self.not_ready = index.not_ready
        self.rolling_driver: set[str] = set()
        """Nodes whose driver is on its way; filled when the driver has been judged, which is first."""
        self.failing: dict[str, set[str]] = {}
        """Component -> nodes on which it does not run; filled as components are judged."""

    def _policies(self) -> Iterator[Policy]:
        if self.policy is not None:
            yield self.policy
        yield from self.node_policies.values()

    @property
    def policies_hidden(self) -> bool:
        return self.objects.hidden("policies")

    @property
    def driver_asked(self) -> bool:
        return DRIVER in self.asked

    def parts_for(self, ref: WorkloadRef) -> tuple[dict[str, Any], dict[str, Any]]:
        """The part of the policy that made a workload, and that policy's `global`."""
        owner = ref.object.metadata.labels.get(OWNER_LABEL, "")
        policy = self.node_policies.get(owner.removeprefix("nnp-")) if owner.startswith("nnp-") else self.policy
        row = next((row for row in ROWS if row.component == ref.component), None)
        if policy is None or row is None:
            return {}, {}
        return _at(policy.spec, row.field) or {}, policy.spec.get("global") or {}

    def release(self) -> str | None:
        """The operator's release, `26.7.0-rc.1`: of the chart's label, else of its image."""
        for ref in self.index.of(OPERATOR):
            labels = ref.object.metadata.labels
            for text in (
                labels.get("helm.sh/chart", ""),
                labels.get("app.kubernetes.io/version", ""),
                *(tag_of(each.image) for each in ref.object.spec.template.spec.containers),
            ):
                found = RELEASE.search(text)
                if found:
                    return found.group(1)
        return None

    def age(self, since: float | None) -> float | None:
        return None if since is None else max(0.0, self.now - since)


RELEASE = re.compile(r"(\d{2}\.\d{1,2}\.\d+(?:-(?:rc|beta|alpha)[.\d]*)?)")


def _at(spec: dict[str, Any], path: str | None) -> dict[str, Any] | None:
    found: Any = spec
    for name in (path or "").split("."):
        if not isinstance(found, dict) or name not in found:
            return None
        found = found[name]
    return found if isinstance(found, dict) else {}


def part_at(spec: dict[str, Any], path: str) -> dict[str, Any]:
    """A part of a part; the part itself for the empty path."""
    return spec if not path else (_at(spec, path) or {})


def tag_of(image: str) -> str:
    """`repo/name:tag` -> `tag`; the digest where there is no tag."""
    if "@" in image:
        return image.rpartition("@")[2]
    name = image.rpartition("/")[2]
    return name.partition(":")[2]


def month(release: str) -> tuple[int, int] | None:
    """`26.7.0` and `26.07` -> (26, 7): releases of a month belong together."""
    found = re.match(r"v?(\d{2})\.(\d{1,2})(?:\.|$|-)", release + ".")
    return (int(found.group(1)), int(found.group(2))) if found else None
