"""The kinds of objects that are read, where they come from, and all of them together."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from diagnostics.cluster.nodes import RdmaNode
from diagnostics.cluster.operator.objects import (
    Attachment,
    ComponentPod,
    ConfigMap,
    Crd,
    DisruptionBudget,
    GpuPolicy,
    KubeEvent,
    Named,
    NicDevice,
    NodeMaintenance,
    OperatorNode,
    Policy,
    Revision,
    SriovNodeState,
    Workload,
)
from diagnostics.cluster.rdmanode import PATH as RDMANODES
from diagnostics.cluster.reflector import State


class KindRow(NamedTuple):
    """One kind of object that is read."""

    name: str
    """The field's name in ClusterObjects, and the word in messages."""
    path: str
    type: type[Any]
    hides: str
    """What is not known while it cannot be read."""
    optional: bool = False
    """A cluster without this kind lacks nothing: the part that has it is not installed."""
    query: Mapping[str, str] = MappingProxyType({})


APPS, CORE = "/apis/apps/v1", "/api/v1"
MELLANOX = "/apis/mellanox.com/v1alpha1"

KINDS: tuple[KindRow, ...] = (
    KindRow("daemonsets", f"{APPS}/daemonsets", Workload, "what runs on each node"),
    KindRow("deployments", f"{APPS}/deployments", Workload, "the operators and controllers themselves"),
    KindRow("nodes", f"{CORE}/nodes", OperatorNode, "labels, taints and the state of nodes"),
    KindRow("pods", f"{CORE}/pods", ComponentPod, "which nodes fail, and why"),
    KindRow("revisions", f"{APPS}/controllerrevisions", Revision, "which driver pods are of an old revision"),
    KindRow("policies", f"{MELLANOX}/nicclusterpolicies", Policy, "what is asked for and what the operator says", True),
    KindRow("node_policies", f"{MELLANOX}/nicnodepolicies", Policy, "what is asked for on pools of nodes", True),
    KindRow(
        "events",
        f"{CORE}/events",
        KubeEvent,
        "why pods are not placed or not started",
        False,
        {"fieldSelector": "type=Warning"},
    ),
    KindRow("crds", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", Crd, "versions of the CRDs"),
    KindRow(
        "configmaps",
        f"{CORE}/configmaps",
        ConfigMap,
        "a stand-alone device plugin's configuration",
        False,
        {"fieldSelector": "metadata.name=rdma-devices"},
    ),
    KindRow("budgets", "/apis/policy/v1/poddisruptionbudgets", DisruptionBudget, "what holds up a drain"),
    KindRow("rdmanodes", RDMANODES, RdmaNode, "what the agents see on the nodes", True),
    KindRow(
        "feature_rules",
        "/apis/nfd.k8s-sigs.io/v1alpha1/nodefeaturerules",
        Named,
        "which labels NFD is told to set",
        True,
    ),
    KindRow(
        "sriov_states",
        "/apis/sriovnetwork.openshift.io/v1/sriovnetworknodestates",
        SriovNodeState,
        "the state of SR-IOV on nodes",
        True,
    ),
    KindRow(
        "nic_devices",
        "/apis/configuration.net.nvidia.com/v1alpha1/nicdevices",
        NicDevice,
        "the configuration of NICs",
        True,
    ),
    KindRow(
        "maintenances",
        "/apis/maintenance.nvidia.com/v1alpha1/nodemaintenances",
        NodeMaintenance,
        "maintenance of nodes",
        True,
    ),
    KindRow(
        "gpu_policies", "/apis/nvidia.com/v1/clusterpolicies", GpuPolicy, "how the GPU driver finds the NICs'", True
    ),
    KindRow(
        "attachments",
        "/apis/k8s.cni.cncf.io/v1/network-attachment-definitions",
        Attachment,
        "which plugins networks need",
        True,
    ),
)
KIND = {row.name: row for row in KINDS}


class Unseen(NamedTuple):
    """A kind that could not be read."""

    state: State
    message: str


class ClusterObjects:
    """What was read of a cluster: kind -> `namespace/name` -> object, and the kinds that could not be read."""

    __slots__ = ("kinds", "logs", "unseen")

    def __init__(self, kinds: dict[str, dict[str, Any]] | None = None, unseen: dict[str, Unseen] | None = None) -> None:
        self.kinds: dict[str, dict[str, Any]] = {row.name: {} for row in KINDS}
        self.kinds.update(kinds or {})
        self.unseen: dict[str, Unseen] = dict(unseen or {})
        self.logs: dict[str, str] = {}
        """Pod -> its last lines, of pods that fail and were asked for them."""

    def of(self, kind: str) -> dict[str, Any]:
        return self.kinds[kind]

    def hidden(self, kind: str) -> bool:
        """Whether this kind is there (or may be) and could not be read: forbidden, away, not asked yet."""
        unseen = self.unseen.get(kind)
        return unseen is not None and (unseen.state != "absent" or not KIND[kind].optional)
