"""The same stack as objects in memory, as the controllers would have placed it: for what needs no API server."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from diagnostics.cluster.operator.kinds import KIND, ClusterObjects
from diagnostics.cluster.reflector import key_of
from tests.kube.operator_cases import stack

NOW = 1_800_000_000.0
LONG_AGO = "2026-12-01T00:00:00Z"


def decoded(kind: str, thing: dict[str, Any]) -> tuple[str, Any]:
    made = msgspec.json.decode(json.dumps(thing).encode(), type=KIND[kind].type)
    return key_of(made.metadata), made


def node(name: str, **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **stack.node_labels(), **labels}},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "allocatable": {stack.RESOURCE: "63"},
            "capacity": {stack.RESOURCE: "63"},
        },
    }


def pod(owner: dict[str, Any], where: str, number: int = 0) -> dict[str, Any]:
    name, kind = owner["metadata"]["name"], owner["kind"]
    template = owner["spec"]["template"]
    reference = (
        {"kind": "DaemonSet", "name": name} if kind == "DaemonSet" else {"kind": "ReplicaSet", "name": f"{name}-7c9"}
    )
    return {
        "metadata": {
            "name": f"{name}-{where}-{number}",
            "namespace": owner["metadata"]["namespace"],
            "labels": {**template["metadata"]["labels"], "controller-revision-hash": "one"},
            "ownerReferences": [reference],
            "creationTimestamp": LONG_AGO,
        },
        "spec": {"nodeName": where, "containers": template["spec"]["containers"]},
        "status": {
            "phase": "Running",
            "startTime": LONG_AGO,
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [
                {
                    "name": template["spec"]["containers"][0]["name"],
                    "ready": True,
                    "started": True,
                    "state": {"running": {"startedAt": LONG_AGO}},
                }
            ],
        },
    }


def cluster(nodes: int = 20) -> dict[str, dict[str, dict[str, Any]]]:
    """kind -> key -> object as JSON has it: all well."""
    names = [f"gpu-{number:04d}" for number in range(1, nodes + 1)]
    kinds: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in KIND}
    kinds["nodes"] = {name: node(name) for name in names}
    kinds["policies"]["nic-cluster-policy"] = {**stack.policy(), "status": stack.status()}
    kinds["feature_rules"]["nvidia-nics-rules"] = {"metadata": {"name": "nvidia-nics-rules"}}
    for each in stack.stack():
        key = f"{each['metadata']['namespace']}/{each['metadata']['name']}"
        if each["kind"] == "DaemonSet":
            places = names
            each["status"] = dict.fromkeys(
                ("desiredNumberScheduled", "numberReady", "numberAvailable", "updatedNumberScheduled"), nodes
            )
            kinds["daemonsets"][key] = each
            kinds["revisions"][f"{key}-one"] = {
                "metadata": {
                    "name": f"{each['metadata']['name']}-one",
                    "namespace": each["metadata"]["namespace"],
                    "labels": {"controller-revision-hash": "one"},
                    "ownerReferences": [{"kind": "DaemonSet", "name": each["metadata"]["name"]}],
                },
                "revision": 1,
            }
        else:
            places = names[: each["spec"]["replicas"]]
            each["status"] = dict.fromkeys(("readyReplicas", "availableReplicas", "updatedReplicas"), len(places))
            kinds["deployments"][key] = each
        for where in places:
            made = pod(each, where)
            kinds["pods"][f"{made['metadata']['namespace']}/{made['metadata']['name']}"] = made
    return kinds


def objects(kinds: dict[str, dict[str, dict[str, Any]]]) -> ClusterObjects:
    return ClusterObjects({kind: dict(decoded(kind, each) for each in kept.values()) for kind, kept in kinds.items()})
