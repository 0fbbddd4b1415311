"""The objects a fleet is made of, with the fields that are read: Nodes, RdmaNodes, the agents' DaemonSet and pods."""

from __future__ import annotations

import msgspec

from diagnostics.cluster.rdmanode import RdmaNodeStatus
from diagnostics.cluster.reflector import Meta

NAMESPACE = "rdmatop"
AGENT = "rdmatop-agent"
"""The DaemonSet, and the value of its pods' label `app.kubernetes.io/name`."""
AGENT_LABEL = f"app.kubernetes.io/name={AGENT}"
AGENT_PORT = 9879

NODES = "/api/v1/nodes"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
DAEMONSETS = f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets"


class Kubernetes(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base: fields we do not read are skipped, which is what makes 5,000 objects cheap."""


class Condition(Kubernetes, frozen=True, kw_only=True):
    type: str
    status: str = "Unknown"
    reason: str = ""
    message: str = ""


class Taint(Kubernetes, frozen=True, kw_only=True):
    key: str
    effect: str = ""


class NodeInfo(Kubernetes, frozen=True, kw_only=True):
    kernel_version: str | None = None


class NodeSpec(Kubernetes, frozen=True, kw_only=True):
    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()


class NodeStatus(Kubernetes, frozen=True, kw_only=True):
    conditions: tuple[Condition, ...] = ()
    node_info: NodeInfo = NodeInfo()


class KubeNode(Kubernetes, frozen=True, kw_only=True):
    """A Node of Kubernetes."""

    metadata: Meta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    @property
    def not_ready(self) -> str | None:
        """Why the kubelet is not Ready, in the node's own words; None where it is."""
        for condition in self.status.conditions:
            if condition.type == "Ready":
                return None if condition.status == "True" else condition.message or condition.reason or "not Ready"
        return "its kubelet has not reported yet"

    @property
    def carries_agents(self) -> bool:
        """Whether the agent could run there at all: a Linux machine with a kubelet."""
        labels = self.metadata.labels
        return labels.get("kubernetes.io/os", "linux") == "linux" and labels.get("type") != "virtual-kubelet"


class RdmaNode(Kubernetes, frozen=True, kw_only=True):
    """What the agent of a node wrote last."""

    metadata: Meta
    status: RdmaNodeStatus = RdmaNodeStatus()


class Waiting(Kubernetes, frozen=True, kw_only=True):
    reason: str = ""
    message: str = ""


class Terminated(Kubernetes, frozen=True, kw_only=True):
    reason: str = ""
    message: str = ""
    exit_code: int = 0


class ContainerState(Kubernetes, frozen=True, kw_only=True):
    waiting: Waiting | None = None
    terminated: Terminated | None = None


class ContainerStatus(Kubernetes, frozen=True, kw_only=True):
    name: str
    ready: bool = False
    restart_count: int = 0
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class PodSpec(Kubernetes, frozen=True, kw_only=True):
    node_name: str = ""
    affinity: msgspec.Raw = msgspec.Raw(b"null")
    """A DaemonSet's pod that is not bound yet names its node only in here."""


class PodStatus(Kubernetes, frozen=True, kw_only=True):
    phase: str = "Unknown"
    reason: str = ""
    message: str = ""
    pod_ip: str = msgspec.field(name="podIP", default="")
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(Kubernetes, frozen=True, kw_only=True):
    metadata: Meta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def node(self) -> str:
        """The node it runs on, or is meant for; "" where nothing says so."""
        return self.spec.node_name or _meant_for(self.spec.affinity)


class _PodTemplateSpec(Kubernetes, frozen=True, kw_only=True):
    node_selector: dict[str, str] = {}


class _PodTemplate(Kubernetes, frozen=True, kw_only=True):
    spec: _PodTemplateSpec = _PodTemplateSpec()


class DaemonSetSpec(Kubernetes, frozen=True, kw_only=True):
    template: _PodTemplate = _PodTemplate()


class DaemonSetStatus(Kubernetes, frozen=True, kw_only=True):
    desired_number_scheduled: int = 0
    number_ready: int = 0


class DaemonSet(Kubernetes, frozen=True, kw_only=True):
    metadata: Meta
    spec: DaemonSetSpec = DaemonSetSpec()
    status: DaemonSetStatus = DaemonSetStatus()

    def selects(self, node: KubeNode) -> bool:
        labels = node.metadata.labels
        return all(labels.get(key) == value for key, value in self.spec.template.spec.node_selector.items())


class _Field(Kubernetes, frozen=True, kw_only=True):
    key: str = ""
    values: tuple[str, ...] = ()


class _Term(Kubernetes, frozen=True, kw_only=True):
    match_fields: tuple[_Field, ...] = ()


class _Terms(Kubernetes, frozen=True, kw_only=True):
    node_selector_terms: tuple[_Term, ...] = ()


class _NodeAffinity(Kubernetes, frozen=True, kw_only=True):
    required: _Terms = msgspec.field(name="requiredDuringSchedulingIgnoredDuringExecution", default=_Terms())


class _Affinity(Kubernetes, frozen=True, kw_only=True):
    node_affinity: _NodeAffinity = _NodeAffinity()


def _meant_for(affinity: msgspec.Raw) -> str:
    try:
        found = msgspec.json.decode(affinity, type=_Affinity | None)
        terms = (found or _Affinity()).node_affinity.required.node_selector_terms
    except msgspec.MsgspecError:
        return ""
    names = (value for term in terms for field in term.match_fields if field.key == "metadata.name"
             for value in field.values)  # fmt: skip
    return next(names, "")
