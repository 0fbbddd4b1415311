"""The cluster that rows change: the stack put up on it, every change with its way back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from tests.kube.conftest import Cluster
from tests.kube.operator_cases import stack
from tests.kube.operator_cases.stack import NAMESPACE, RESOURCE

Step = Callable[["World"], object]


def node(number: int) -> str:
    return f"gpu-{number:04d}"


class World:
    """The cluster under test; every change knows its way back."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._undo: list[Callable[[], object]] = []

    def kubectl(self, *argv: str, stdin: str | None = None) -> str:
        return self.cluster.lab.kubectl(*argv, stdin=stdin)

    # Setting up

    def raise_up(self, crds: Path | None, nodes: int) -> None:
        self.crds = crds
        if crds is not None:
            for name in (
                "mellanox.com_nicclusterpolicies",
                "nfd.k8s-sigs.io_nodefeatures-groups-rules",
                "sriovnetwork.openshift.io_sriovnetworknodestates",
                "k8s.cni.cncf.io_networkattachmentdefinitions",
            ):
                self.kubectl("apply", "--server-side", "-f", str(crds / f"{name}.yaml"))
            self.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        else:
            self.kubectl("apply", "-f", "-", stdin=json.dumps(small_crd()))
            self.kubectl("wait", "--for=condition=Established", "crd/nicclusterpolicies.mellanox.com", "--timeout=30s")
        have = len(self.kubectl("get", "nodes", "-o", "name").split())
        self.cluster.lab.nodes(nodes - have, first=have + 1)
        labels = [f"{key}={value}" for key, value in stack.node_labels().items()]
        self.kubectl("label", "node", "--all", "--overwrite", *labels)
        for number in range(1, nodes + 1):
            self._resource(node(number), "63")
        self.kubectl("create", "namespace", NAMESPACE)
        self.cluster.lab.apply(stack.policy(), *stack.stack())
        self._status(stack.status())
        if crds is not None:
            rule = {
                "apiVersion": "nfd.k8s-sigs.io/v1alpha1",
                "kind": "NodeFeatureRule",
                "spec": {"rules": []},
                "metadata": {"name": "nvidia-nics-rules"},
            }
            self.cluster.lab.apply(rule)
        self.settle()

    def take_down(self) -> None:
        self.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
        self.kubectl("delete", "nicclusterpolicy", "--all")

    def settle(self, seconds: float = 180) -> None:
        """Until every DaemonSet and Deployment has all its pods."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            items = json.loads(self.kubectl("get", "ds,deploy", "-n", NAMESPACE, "-o", "json"))["items"]
            if items and all(_settled(each) for each in items):
                return
            time.sleep(0.5)
        raise AssertionError("the stack did not settle")

    def change(self, steps: tuple[Step, ...]) -> None:
        for step in steps:
            step(self)

    def restore(self) -> None:
        while self._undo:
            self._undo.pop()()
        self.settle()

    # What a step may do

    def _resource(self, name: str, amount: str) -> None:
        patch = {"status": {"allocatable": {RESOURCE: amount}, "capacity": {RESOURCE: amount}}}
        self.kubectl("patch", "node", name, "--subresource=status", "-p", json.dumps(patch))

    def _status(self, status: dict) -> None:
        self.kubectl(
            "patch",
            "nicclusterpolicy",
            "nic-cluster-policy",
            "--subresource=status",
            "--type=merge",
            "-p",
            json.dumps({"status": status}),
        )

    def status(self, status: dict) -> None:
        self._status(status)
        self._undo.append(lambda: self._status(stack.status()))

    def label(self, names: list[str], key: str, value: str | None) -> None:
        before = stack.node_labels().get(key)
        self.kubectl("label", "node", *names, "--overwrite", f"{key}={value}" if value is not None else f"{key}-")
        self._undo.append(
            lambda: self.kubectl(
                "label", "node", *names, "--overwrite", f"{key}={before}" if before is not None else f"{key}-"
            )
        )

    def resource(self, name: str, amount: str) -> None:
        self._resource(name, amount)
        self._undo.append(lambda: self._resource(name, "63"))

    def taint(self, name: str, taint: str) -> None:
        self.kubectl("taint", "node", name, taint)
        self._undo.append(lambda: self.kubectl("taint", "node", name, f"{taint.split('=')[0]}-"))

    def cordon(self, name: str) -> None:
        self.kubectl("cordon", name)
        self._undo.append(lambda: self.kubectl("uncordon", name))

    def pod_of(self, owner: str, where: str | None = None) -> str:
        items = json.loads(self.kubectl("get", "pods", "-n", NAMESPACE, "-o", "json"))["items"]
        return next(
            each["metadata"]["name"]
            for each in items
            if each["metadata"]["name"].startswith(f"{owner}-")
            and (where is None or each["spec"].get("nodeName") == where)
        )

    def pod(self, owner: str, where: str | None, status: dict) -> None:
        """A pod's status as a kubelet would report it; the pod is replaced afterwards."""
        name = self.pod_of(owner, where)
        conditions = [{"type": "Ready", "status": "False" if not status.pop("ready", False) else "True"}]
        patch = {"status": {"phase": "Running", "conditions": conditions, **status}}
        self.kubectl("patch", "pod", "-n", NAMESPACE, name, "--subresource=status", "-p", json.dumps(patch))
        self._undo.append(
            lambda: self.kubectl(
                "delete", "pod", "-n", NAMESPACE, name, "--ignore-not-found", "--grace-period=0", "--force"
            )
        )

    def make(self, *things: dict) -> None:
        self.cluster.lab.apply(*things)
        for each in things:
            where = ["-n", each["metadata"]["namespace"]] if "namespace" in each["metadata"] else []
            self._undo.append(
                lambda each=each, where=where: self.kubectl(
                    "delete", each["kind"], each["metadata"]["name"], *where, "--ignore-not-found", "--wait=false"
                )
            )

    def patch(self, kind: str, name: str, patch: dict, back: dict | None = None) -> None:
        where = [] if kind == "nicclusterpolicy" else ["-n", NAMESPACE]
        self.kubectl("patch", kind, name, *where, "--type=merge", "-p", json.dumps(patch))
        if back is not None:
            self._undo.append(lambda: self.kubectl("patch", kind, name, *where, "--type=merge", "-p", json.dumps(back)))

    def delete(self, kind: str, name: str, again: dict) -> None:
        where = ["-n", again["metadata"]["namespace"]] if "namespace" in again["metadata"] else []
        self.kubectl("delete", kind, name, *where)

        def back() -> None:
            self.cluster.lab.apply(again)
            if kind == "nicclusterpolicy":
                self._status(stack.status())

        self._undo.append(back)


def _settled(each: dict) -> bool:
    status = each.get("status", {})
    if each["metadata"]["generation"] != status.get("observedGeneration"):
        return False
    if each["kind"] == "Deployment":
        return status.get("availableReplicas", 0) == each["spec"]["replicas"] == status.get("replicas")
    wanted = status.get("desiredNumberScheduled", 0)
    return wanted > 0 and status.get("numberAvailable", 0) == wanted == status.get("updatedNumberScheduled", 0)


def small_crd() -> dict:
    """The policy's CRD, for a checkout without the operator's own."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "nicclusterpolicies.mellanox.com"},
        "spec": {
            "group": "mellanox.com",
            "scope": "Cluster",
            "names": {"kind": "NicClusterPolicy", "plural": "nicclusterpolicies", "singular": "nicclusterpolicy"},
            "versions": [
                {
                    "name": "v1alpha1",
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }
