"""The objects a verdict is made of, each with only the fields that are read."""

from __future__ import annotations

from typing import Any

import msgspec

from diagnostics.cluster.reflector import Meta

NOTHING = msgspec.Raw(b"")
"""A union of Raw with None takes null alone, so what is absent is empty."""


class Kubernetes(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base: what is not named here is skipped, at little cost."""


class Owner(Kubernetes, frozen=True, kw_only=True):
    kind: str = ""
    name: str = ""


class ObjectMeta(Meta, frozen=True, kw_only=True, rename="camel"):
    generation: int = 0
    owner_references: tuple[Owner, ...] = ()


class NodeMeta(Meta, frozen=True, kw_only=True, rename="camel"):
    managed_fields: msgspec.Raw = NOTHING
    """Who set which field when; looked into only for nodes whose driver is being upgraded."""


class Condition(Kubernetes, frozen=True, kw_only=True):
    type: str
    status: str = "Unknown"
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None


class Taint(Kubernetes, frozen=True, kw_only=True):
    key: str
    value: str = ""
    effect: str = ""


class Toleration(Kubernetes, frozen=True, kw_only=True):
    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""


class NodeSpec(Kubernetes, frozen=True, kw_only=True):
    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()


class NodeInfo(Kubernetes, frozen=True, kw_only=True):
    kernel_version: str = ""


class NodeStatus(Kubernetes, frozen=True, kw_only=True):
    conditions: tuple[Condition, ...] = ()
    node_info: NodeInfo = NodeInfo()
    capacity: dict[str, str] = {}
    allocatable: dict[str, str] = {}


class OperatorNode(Kubernetes, frozen=True, kw_only=True):
    metadata: NodeMeta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


# Pods


class Waiting(Kubernetes, frozen=True, kw_only=True):
    reason: str = ""
    message: str = ""


class Running(Kubernetes, frozen=True, kw_only=True):
    started_at: str | None = None


class Terminated(Kubernetes, frozen=True, kw_only=True):
    reason: str = ""
    message: str = ""
    exit_code: int = 0
    finished_at: str | None = None


class ContainerState(Kubernetes, frozen=True, kw_only=True):
    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(Kubernetes, frozen=True, kw_only=True):
    name: str = ""
    ready: bool = False
    started: bool | None = None
    restart_count: int = 0
    image: str = ""
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class Resources(Kubernetes, frozen=True, kw_only=True):
    limits: dict[str, str] = {}


class Container(Kubernetes, frozen=True, kw_only=True):
    name: str = ""
    image: str = ""
    resources: Resources = Resources()


class PodSpec(Kubernetes, frozen=True, kw_only=True):
    node_name: str = ""
    affinity: msgspec.Raw = NOTHING
    containers: tuple[Container, ...] = ()


class PodStatus(Kubernetes, frozen=True, kw_only=True):
    phase: str = "Unknown"
    reason: str = ""
    message: str = ""
    start_time: str | None = None
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()


class ComponentPod(Kubernetes, frozen=True, kw_only=True):
    metadata: ObjectMeta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


# Workloads


class Expression(Kubernetes, frozen=True, kw_only=True):
    key: str = ""
    operator: str = "In"
    values: tuple[str, ...] = ()


class Term(Kubernetes, frozen=True, kw_only=True):
    match_expressions: tuple[Expression, ...] = ()
    match_fields: tuple[Expression, ...] = ()


class Terms(Kubernetes, frozen=True, kw_only=True):
    node_selector_terms: tuple[Term, ...] = ()


class NodeAffinity(Kubernetes, frozen=True, kw_only=True):
    required: Terms = msgspec.field(name="requiredDuringSchedulingIgnoredDuringExecution", default=Terms())


class Affinity(Kubernetes, frozen=True, kw_only=True):
    node_affinity: NodeAffinity = NodeAffinity()


class TemplateMeta(Kubernetes, frozen=True, kw_only=True):
    labels: dict[str, str] = {}


class TemplateSpec(Kubernetes, frozen=True, kw_only=True):
    node_selector: dict[str, str] = {}
    tolerations: tuple[Toleration, ...] = ()
    affinity: Affinity = Affinity()
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()


class Template(Kubernetes, frozen=True, kw_only=True):
    metadata: TemplateMeta = TemplateMeta()
    spec: TemplateSpec = TemplateSpec()


class Selector(Kubernetes, frozen=True, kw_only=True):
    match_labels: dict[str, str] = {}
    match_expressions: tuple[Expression, ...] = ()


class Strategy(Kubernetes, frozen=True, kw_only=True):
    type: str = ""


class WorkloadSpec(Kubernetes, frozen=True, kw_only=True):
    selector: Selector = Selector()
    template: Template = Template()
    update_strategy: Strategy = Strategy()
    replicas: int | None = None


class WorkloadStatus(Kubernetes, frozen=True, kw_only=True):
    """Of a DaemonSet and of a Deployment: each fills its own."""

    observed_generation: int = 0
    desired_number_scheduled: int = 0
    number_ready: int = 0
    number_available: int = 0
    updated_number_scheduled: int = 0
    number_misscheduled: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    updated_replicas: int = 0
    conditions: tuple[Condition, ...] = ()


class Workload(Kubernetes, frozen=True, kw_only=True):
    """A DaemonSet or a Deployment."""

    metadata: ObjectMeta
    spec: WorkloadSpec = WorkloadSpec()
    status: WorkloadStatus = WorkloadStatus()


class Revision(Kubernetes, frozen=True, kw_only=True):
    """A ControllerRevision: the newest of a DaemonSet is what its pods should be."""

    metadata: ObjectMeta
    revision: int = 0


# Events


class EventTarget(Kubernetes, frozen=True, kw_only=True):
    kind: str = ""
    name: str = ""
    namespace: str = ""


class EventSource(Kubernetes, frozen=True, kw_only=True):
    host: str = ""


class KubeEvent(Kubernetes, frozen=True, kw_only=True):
    metadata: Meta
    reason: str = ""
    message: str = ""
    type: str = ""
    count: int = 1
    involved_object: EventTarget = EventTarget()
    source: EventSource = EventSource()
    last_timestamp: str | None = None


# The operator's own


class AppliedState(Kubernetes, frozen=True, kw_only=True):
    name: str
    state: str = ""
    message: str = ""


class PolicyStatus(Kubernetes, frozen=True, kw_only=True):
    state: str = ""
    reason: str = ""
    applied_states: tuple[AppliedState, ...] = ()


class Policy(Kubernetes, frozen=True, kw_only=True):
    """A NicClusterPolicy or a NicNodePolicy."""

    metadata: ObjectMeta
    spec: dict[str, Any] = {}
    status: PolicyStatus = PolicyStatus()


class SyncStatus(Kubernetes, frozen=True, kw_only=True):
    sync_status: str = ""
    last_sync_error: str = ""
    interfaces: tuple[dict[str, Any], ...] = ()
    system: dict[str, Any] = {}


class SriovSpec(Kubernetes, frozen=True, kw_only=True):
    interfaces: tuple[dict[str, Any], ...] = ()


class SriovNodeState(Kubernetes, frozen=True, kw_only=True):
    metadata: ObjectMeta
    spec: SriovSpec = SriovSpec()
    status: SyncStatus = SyncStatus()


class NicDeviceStatus(Kubernetes, frozen=True, kw_only=True):
    node: str = ""
    serial_number: str = ""
    firmware_version: str = ""
    conditions: tuple[Condition, ...] = ()


class NicDevice(Kubernetes, frozen=True, kw_only=True):
    metadata: ObjectMeta
    status: NicDeviceStatus = NicDeviceStatus()


class MaintenanceSpec(Kubernetes, frozen=True, kw_only=True):
    node_name: str = ""
    requestor_id: str = msgspec.field(name="requestorID", default="")


class MaintenanceStatus(Kubernetes, frozen=True, kw_only=True):
    conditions: tuple[Condition, ...] = ()


class NodeMaintenance(Kubernetes, frozen=True, kw_only=True):
    metadata: ObjectMeta
    spec: MaintenanceSpec = MaintenanceSpec()
    status: MaintenanceStatus = MaintenanceStatus()


class GpuPolicyStatus(Kubernetes, frozen=True, kw_only=True):
    state: str = ""


class GpuPolicy(Kubernetes, frozen=True, kw_only=True):
    """The GPU operator's ClusterPolicy."""

    metadata: ObjectMeta
    spec: dict[str, Any] = {}
    status: GpuPolicyStatus = GpuPolicyStatus()


class Named(Kubernetes, frozen=True, kw_only=True):
    """Where only the name matters."""

    metadata: ObjectMeta


class AttachmentSpec(Kubernetes, frozen=True, kw_only=True):
    config: str = ""


class Attachment(Kubernetes, frozen=True, kw_only=True):
    """A NetworkAttachmentDefinition."""

    metadata: ObjectMeta
    spec: AttachmentSpec = AttachmentSpec()


class DisruptionSpec(Kubernetes, frozen=True, kw_only=True):
    selector: Selector | None = None


class DisruptionStatus(Kubernetes, frozen=True, kw_only=True):
    disruptions_allowed: int = 0
    expected_pods: int = 0


class DisruptionBudget(Kubernetes, frozen=True, kw_only=True):
    metadata: ObjectMeta
    spec: DisruptionSpec = DisruptionSpec()
    status: DisruptionStatus = DisruptionStatus()


class ConfigMap(Kubernetes, frozen=True, kw_only=True):
    metadata: ObjectMeta
    data: dict[str, str] = {}


class _Schema(Kubernetes, frozen=True, kw_only=True):
    properties: dict[str, _Fields] = {}


class _Fields(Kubernetes, frozen=True, kw_only=True):
    properties: dict[str, Any] = {}


class _SchemaHolder(Kubernetes, frozen=True, kw_only=True):
    open_api: _Schema = msgspec.field(name="openAPIV3Schema", default=_Schema())


class CrdVersion(Kubernetes, frozen=True, kw_only=True):
    name: str = ""
    schema: _SchemaHolder = _SchemaHolder()


class CrdSpec(Kubernetes, frozen=True, kw_only=True):
    group: str = ""
    versions: tuple[CrdVersion, ...] = ()


class Crd(Kubernetes, frozen=True, kw_only=True):
    """A CustomResourceDefinition; the list has metadata alone, the policy's own has its schema too."""

    metadata: ObjectMeta
    spec: CrdSpec = CrdSpec()
