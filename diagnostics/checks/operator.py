"""Layer operator: what its checks mean. They are judged where a cluster is asked (diagnostics/cluster/operator)."""

from __future__ import annotations

from diagnostics.checks.base import Judgement, State, Unjudged, check

ELSEWHERE = Unjudged("skip", "judged where a cluster is asked: this node was read directly")


def _row(
    check_id: str, title: str, hint: str, doc: str, *, follows: tuple[str, ...] = (), layer: str = "operator"
) -> None:
    """Register a check whose judgement is made of the cluster's objects."""

    def judge(state: State) -> Judgement:  # noqa: ARG001  a node alone says nothing of the stack
        yield ELSEWHERE

    judge.__doc__ = doc
    check(check_id, layer=layer, title=title, hint=hint, follows=follows)(judge)  # type: ignore[arg-type]


POD = "kubectl logs --previous of the failing container, and kubectl describe of its pod"

_row(
    "component-failed",
    "A part of the operator's stack does not run",
    POD,
    """Meaning: its pods crash, cannot get their image or are refused by the node, the operator says error for it, or
     nothing is there of what a policy asks for. The policy may say ready: it looks at DaemonSets alone, and not at
     what happens on a node.

     Evidence: pods ready and desired, restarts, exit code, the container's own last words.

     Next: the finding's command; then what the words say.""",
    follows=("nfd-labels", "component-unknown"),
)

_row(
    "component-degraded",
    "A part of the operator's stack is missing on some nodes",
    POD,
    """Meaning: fewer pods are available than should be, a pod runs and is not ready, was killed for want of memory,
     has restarted again and again, or is kept off nodes by a taint or a label.

     Evidence: pods ready and desired, and the nodes.

     Next: the pod on the nodes that are named.""",
    follows=("mofed-wait", "component-failed", "nfd-labels", "component-unknown"),
)

_row(
    "component-no-nodes",
    "A DaemonSet of the stack matches no node",
    "compare its nodeSelector with the nodes' labels",
    """Meaning: the policy asks for it and no node has what its selector wants, so it stays notReady for ever.

     Evidence: the label that no node has.

     Next: NFD, which sets the labels; then nodeAffinity of the policy.""",
    follows=("nfd-labels", "mofed-wait"),
)

_row(
    "component-drift",
    "A part of the stack is not what its policy asks for",
    "see the operator's log",
    """Meaning: the image that runs is not that of the policy, old driver pods wait to be deleted, or two settings that
     belong together do not fit.

     Evidence: what runs, and what is asked for.

     Next: why the operator has not brought it there.""",
    follows=("component-failed",),
)

_row(
    "component-rolling",
    "A part of the stack is on its way",
    "wait; kubectl rollout status",
    """Meaning: pods start, or are being replaced by those of a newer revision. A note, not a fault.

     Evidence: how many are of the newest revision.

     Next: nothing, unless it lasts.""",
    follows=("driver-upgrade",),
)

_row(
    "component-unmanaged",
    "A part of the stack is left behind",
    "make the policy again, or remove the workload",
    """Meaning: it carries the operator's label and no policy asks for it: the operator neither raises nor repairs it.
     What was installed without the operator is unmanaged too, and no finding.

     Evidence: the workload.

     Next: decide who owns it.""",
)

_row(
    "component-absent",
    "Something that pods need is not deployed",
    "add the component to the policy",
    """Meaning: pods cannot start because a CNI plugin is missing on the node, and no component is there to install it.

     Evidence: the kubelet's events.

     Next: the policy's secondaryNetwork, nvIpam and the like.""",
)

_row(
    "component-unknown",
    "What runs on a node cannot be known",
    "see the kubelet on that node",
    """Meaning: the node's kubelet is silent, so the state of every component on it is an old one. If the driver is
     being loaded there, its management interface may be on the same NIC.

     Evidence: the nodes that are not Ready.

     Next: kubectl describe node; reach the node by another way.""",
)

_row(
    "component-ok",
    "The policy says notReady, and all is well",
    "see the operator's log",
    """Meaning: every pod that should be there is ready; the operator's status is old or its reconciling is held up.

     Evidence: pods ready.

     Next: the operator's own deployment.""",
    follows=("component-failed",),
)

_row(
    "mofed-wait",
    "The label mofed.wait keeps RDMA off a node",
    "repair the driver there; then the label follows",
    """Meaning: network.nvidia.com/operator.mofed.wait is not false, so device plugins, telemetry and the SR-IOV daemon
     leave the node and its rdma/* resources go to 0. Either the driver pod there is not ready, or the label is stale.

     Evidence: the nodes that wait.

     Next: the driver pod; where it is ready or there is none, restart the operator, which computes the label anew.""",
    follows=("component-failed", "component-degraded", "driver-upgrade"),
)

_row(
    "driver-upgrade",
    "The driver's rolling upgrade",
    "see the node's driver pod and what holds up its drain",
    """Meaning: a node is in a step of the upgrade; a warning where it is stuck (longer than the policy's time-out and
     two minutes, or visibly held up), critical where a step failed.

     Evidence: nodes done and in all, time in the state.

     Next: PodDisruptionBudgets, drain.force and deleteEmptyDir; the driver pod.""",
    follows=("component-failed",),
)

_row(
    "nfd-labels",
    "Labels that everything hangs on are missing",
    "see NFD's workers and the NodeFeatureRule",
    """Meaning: a node with an NVIDIA NIC does not carry feature.node.kubernetes.io/pci-15b3.present, or lacks NFD's
     labels of OS and kernel: driver, device plugins and telemetry are not placed there.

     Evidence: nodes with and without the label; what else says that there is such a NIC.

     Next: NFD's worker on that node, its tolerations, and the rule nvidia-nics-rules.""",
    follows=("component-failed",),
)

_row(
    "version-drift",
    "Releases that do not belong together",
    "raise the versions in the policy; apply the chart's CRDs",
    """Meaning: components are of another release than the operator, CRDs are older or of two bundles, the policy has
     fields that this release does not know, or the module that is loaded is not the one of the driver pod.

     Evidence: both versions.

     Next: the release notes; a Helm upgrade raises neither CRDs nor versions in a policy.""",
    follows=("component-drift",),
)

_row(
    "resource-missing",
    "A device plugin runs and its resource is 0",
    "compare its selectors with the node",
    """Meaning: the plugin runs on the node and nothing is registered: its selectors match nothing, character devices
     are missing, or the kubelet was restarted and the plugin did not register again.

     Evidence: the nodes without the resource.

     Next: selectors; modprobe rdma_ucm ib_umad; delete the plugin's pod.""",
    follows=("component-failed",),
    layer="resources",
)

_row(
    "sriov-sync",
    "SR-IOV of a node is not as it should be",
    "follow lastSyncError; see the config daemon's log",
    """Meaning: the SR-IOV operator could not configure a node, is at it, or says Succeeded while VFs are missing.

     Evidence: syncStatus and lastSyncError, numVfs asked for and there.

     Next: the config daemon; firmware limits; secure boot.""",
    layer="resources",
)

_row(
    "guid-missing",
    "VFs get no GUID",
    "repair IB Kubernetes and its connection to UFM",
    """Meaning: InfiniBand VFs without a GUID stay Down: IB Kubernetes does not run, or UFM is out of reach.

     Evidence: networks that want a GUID, events of pods that got none.

     Next: IB Kubernetes; or the static GUID file of the SR-IOV operator.""",
    follows=("component-failed",),
    layer="networks",
)
