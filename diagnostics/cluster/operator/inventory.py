"""The parts of the stack: one row each; everything else iterates over these rows.

Names, labels and images are of the operator's manifests (Mellanox/network-operator, manifests/ and the charts that it
bundles), old names by release beside them.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import NamedTuple

from diagnostics.cluster.operator.objects import Workload

STATE_LABEL = "nvidia.network-operator.state"
OWNER_LABEL = "ds-owner"
NIC_LABEL = "feature.node.kubernetes.io/pci-15b3.present"
WAIT_LABEL = "network.nvidia.com/operator.mofed.wait"
OS_LABELS = (
    "feature.node.kubernetes.io/system-os_release.ID",
    "feature.node.kubernetes.io/system-os_release.VERSION_ID",
    "feature.node.kubernetes.io/kernel-version.full",
)
UPGRADE_LABEL = "nvidia.com/ofed-driver-upgrade-state"
DRIVER_LABEL = "nvidia.com/ofed-driver"
POLICY_NAME = "nic-cluster-policy"
"""The only NicClusterPolicy that the operator honours."""

DRIVER, RDMA_PLUGIN, SRIOV_PLUGIN = "state-OFED", "state-RDMA-device-plugin", "state-SRIOV-device-plugin"
MULTUS, CNI_PLUGINS, IPOIB = "state-multus-cni", "state-container-networking-plugins", "state-ipoib-cni"
IB_KUBERNETES, NV_IPAM = "state-ib-kubernetes", "state-nv-ipam-cni"
NFD, OPERATOR, POLICY = "node-feature-discovery", "network-operator", "nic-cluster-policy"
SRIOV_OPERATOR, SRIOV_DAEMON = "sriov-network-operator", "sriov-network-config-daemon"
SRIOV_STATES, NIC_DEVICES, MAINTENANCE = "sriov-network-node-states", "nic-devices", "maintenance-operator"
GPU_DRIVER = "gpu-driver"


class Match(NamedTuple):
    """How a workload is known that carries no label of the operator."""

    kind: str
    name: str = "*"
    labels: tuple[tuple[str, str], ...] = ()
    """Of its pods; "*" is any value."""


class Row(NamedTuple):
    component: str
    """The operator's state name where it has one."""
    title: str
    field: str | None = None
    """In the spec of a policy: `secondaryNetwork.multus`."""
    images: tuple[tuple[str, str], ...] = ()
    """Container -> where in `field` its image is named ("" is the field itself)."""
    matches: tuple[Match, ...] = ()
    needs: tuple[str, ...] = ()
    """What it is kept off a node without: `label` (NFD's) and `driver` (mofed.wait=false)."""
    starts_s: float = 300.0
    """How long a pod may take from its creation to Ready."""
    on_delete: bool = False
    removed: str | None = None
    """The release that has it no more."""


DRIVER_START_S = 25 * 60.0
"""The operator's startup probe allows 10 s + 120 x 10 s for building and loading modules; images are large."""

ROWS: tuple[Row, ...] = (
    Row(
        OPERATOR,
        "Network Operator",
        matches=(
            Match("Deployment", "*", (("app.kubernetes.io/name", "network-operator"),)),
            Match("Deployment", "*network-operator-controller-manager"),
            Match("Deployment", "network-operator"),
        ),
    ),
    Row(
        NFD,
        "NFD",
        matches=(
            Match("DaemonSet", "*", (("app.kubernetes.io/name", "node-feature-discovery"),)),
            Match("Deployment", "*", (("app.kubernetes.io/name", "node-feature-discovery"),)),
            Match("DaemonSet", "*", (("app", "nfd-worker"),)),
            Match("Deployment", "*", (("app", "nfd-master"),)),
            Match("DaemonSet", "nfd-worker"),
            Match("Deployment", "nfd-master"),
            Match("Deployment", "nfd-gc"),
            Match("DaemonSet", "*node-feature-discovery-worker"),
            Match("Deployment", "*node-feature-discovery-master"),
            Match("Deployment", "*node-feature-discovery-gc"),
        ),
    ),
    Row(
        DRIVER,
        "DOCA driver",
        "ofedDriver",
        (("mofed-container", ""),),
        needs=("label",),
        matches=(Match("DaemonSet", "*", ((DRIVER_LABEL, "*"),)), Match("DaemonSet", "mofed-*-ds")),
        starts_s=DRIVER_START_S,
        on_delete=True,
    ),
    Row(
        RDMA_PLUGIN,
        "RDMA shared plugin",
        "rdmaSharedDevicePlugin",
        (("rdma-shared-dp", ""),),
        needs=("label", "driver"),
        matches=(
            Match("DaemonSet", "rdma-shared-dp-ds*"),
            Match("DaemonSet", "*", (("app", "rdma-shared-dp"),)),
            Match("DaemonSet", "*", (("name", "rdma-shared-dp-ds"),)),
        ),
    ),
    Row(
        SRIOV_PLUGIN,
        "SR-IOV device plugin",
        "sriovDevicePlugin",
        (("kube-sriovdp", ""),),
        needs=("label", "driver"),
        matches=(
            Match("DaemonSet", "network-operator-sriov-device-plugin*"),
            Match("DaemonSet", "*", (("name", "network-operator-sriov-device-plugin"),)),
            Match("DaemonSet", "kube-sriov-device-plugin*"),
        ),
    ),
    Row(
        MULTUS,
        "Multus",
        "secondaryNetwork.multus",
        (("kube-multus", ""),),
        matches=(
            Match("DaemonSet", "kube-multus-ds*"),
            Match("DaemonSet", "*", (("name", "multus"),)),
            Match("DaemonSet", "*", (("app", "multus"),)),
        ),
    ),
    Row(
        CNI_PLUGINS,
        "CNI plugins",
        "secondaryNetwork.cniPlugins",
        (("cni-plugins", ""),),
        matches=(Match("DaemonSet", "cni-plugins-ds"), Match("DaemonSet", "*", (("name", "cni-plugins"),))),
    ),
    Row(
        IPOIB,
        "IPoIB CNI",
        "secondaryNetwork.ipoib",
        (("ipoib-cni", ""),),
        matches=(Match("DaemonSet", "kube-ipoib-cni-ds"), Match("DaemonSet", "*", (("name", "ipoib-cni"),))),
    ),
    Row(
        IB_KUBERNETES,
        "IB Kubernetes",
        "ibKubernetes",
        (("ib-kubernetes", ""),),
        matches=(Match("Deployment", "ib-kubernetes"),),
    ),
    Row(
        NV_IPAM,
        "nv-ipam",
        "nvIpam",
        (("nv-ipam-controller", ""), ("nv-ipam-node", "")),
        matches=(Match("Deployment", "nv-ipam-controller"), Match("DaemonSet", "nv-ipam-node")),
    ),
    Row(
        "state-whereabouts-cni",
        "whereabouts",
        "secondaryNetwork.ipamPlugin",
        (("whereabouts", ""),),
        matches=(Match("DaemonSet", "whereabouts"),),
        removed="25.10",
    ),
    Row(
        "state-nic-feature-discovery",
        "NIC feature discovery",
        "nicFeatureDiscovery",
        (("nic-feature-discovery", ""),),
        matches=(Match("DaemonSet", "nic-feature-discovery-ds"),),
    ),
    Row(
        "state-doca-telemetry-service",
        "DOCA telemetry",
        "docaTelemetryService",
        (("doca-telemetry-service", ""),),
        needs=("label", "driver"),
        matches=(Match("DaemonSet", "doca-telemetry-service"),),
    ),
    Row(
        "state-nic-configuration-operator",
        "NIC configuration",
        "nicConfigurationOperator",
        (("manager", "operator"), ("nic-configuration-daemon", "configurationDaemon")),
        needs=("driver",),
        matches=(Match("Deployment", "nic-configuration-operator"), Match("DaemonSet", "nic-configuration-daemon")),
    ),
    Row(
        "state-spectrum-x-operator",
        "Spectrum-X",
        "spectrumXOperator",
        (("spectrum-x-flowcontroller", ""),),
        needs=("label",),
        matches=(Match("DaemonSet", "spectrum-x-flowcontroller"),),
    ),
    Row(
        "state-NV-Peer",
        "NV peer memory",
        "nvPeerDriver",
        matches=(Match("DaemonSet", "nv-peer-mem-*"),),
        removed="23.7",
    ),
    Row("state-pod-security-policy", "pod security policy", "psp", removed="24.1"),
    Row(
        SRIOV_OPERATOR,
        "SR-IOV operator",
        matches=(
            Match("Deployment", "*", (("name", "sriov-network-operator"),)),
            Match("Deployment", "*sriov-network-operator"),
        ),
    ),
    Row(
        SRIOV_DAEMON,
        "SR-IOV config daemon",
        needs=("driver",),
        matches=(Match("DaemonSet", "sriov-network-config-daemon"),),
    ),
    Row("sriov-device-plugin", "SR-IOV operator's plugin", matches=(Match("DaemonSet", "sriov-device-plugin"),)),
    Row(
        "network-resources-injector",
        "resources injector",
        matches=(Match("DaemonSet", "network-resources-injector"), Match("Deployment", "network-resources-injector")),
    ),
    Row("sriov-operator-webhook", "SR-IOV webhook", matches=(Match("DaemonSet", "operator-webhook"),)),
    Row(
        "sriov-network-metrics-exporter",
        "SR-IOV metrics",
        matches=(Match("DaemonSet", "sriov-network-metrics-exporter"),),
    ),
    Row(MAINTENANCE, "Maintenance operator", matches=(Match("Deployment", "*maintenance-operator"),)),
    Row(
        GPU_DRIVER,
        "GPU driver",
        matches=(
            Match("DaemonSet", "nvidia-driver-daemonset*"),
            Match("DaemonSet", "*", (("app.kubernetes.io/component", "nvidia-driver"),)),
        ),
        starts_s=DRIVER_START_S,
        on_delete=True,
    ),
)
ROW = {row.component: row for row in ROWS}

EXTRA_TITLES = {
    POLICY: "NicClusterPolicy",
    SRIOV_STATES: "SR-IOV node states",
    NIC_DEVICES: "NIC devices",
    "node-maintenances": "Node maintenances",
}
"""Components without a workload of their own."""


def row_of(component: str) -> Row:
    """The row; of a state that this version does not know, one made of its name."""
    return ROW.get(component) or Row(component, component.removeprefix("state-"))


def title_of(component: str | None) -> str:
    if component is None:
        return "the stack"
    return EXTRA_TITLES.get(component) or row_of(component).title


def component_of(kind: str, workload: Workload) -> str | None:
    """Which component a workload belongs to: by the operator's own label, else by what is known of it; None: none."""
    state = workload.metadata.labels.get(STATE_LABEL)
    if state:
        return state
    labels = {**workload.metadata.labels, **workload.spec.template.metadata.labels}
    for row in ROWS:
        for match in row.matches:
            if match.kind == kind and fnmatchcase(workload.metadata.name, match.name) and _has(labels, match.labels):
                return row.component
    return None


def _has(labels: dict[str, str], wanted: tuple[tuple[str, str], ...]) -> bool:
    return all(key in labels and value in ("*", labels[key]) for key, value in wanted)
