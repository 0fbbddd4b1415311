"""The labels that everything hangs on: those that NFD sets, and mofed.wait that the operator sets."""

from __future__ import annotations

from collections.abc import Iterator

from diagnostics.cluster.operator.inventory import (
    DRIVER,
    NFD,
    NIC_LABEL,
    OPERATOR,
    OS_LABELS,
    WAIT_LABEL,
    row_of,
)
from diagnostics.cluster.operator.objects import OperatorNode
from diagnostics.cluster.operator.placement import kept_off
from diagnostics.cluster.operator.scene import Scene
from diagnostics.cluster.operator.trouble import Cause, Trouble, counted, fact, named, sorted_nodes
from diagnostics.model import Severity

NIC_SIGNS = (
    "feature.node.kubernetes.io/rdma.capable",
    "feature.node.kubernetes.io/custom-rdma.capable",
    "feature.node.kubernetes.io/pci-0200_15b3.present",
    "feature.node.kubernetes.io/pci-0207_15b3.present",
    "nvidia.com/mofed.version",
)
"""Labels that only a node with such a NIC carries."""
RULE = "nvidia-nics-rules"
FROM_NFD = (Cause("component-", NFD, False),)


def label_troubles(scene: Scene) -> Iterator[Trouble]:
    if scene.objects.hidden("nodes"):
        return
    wanted = any("label" in row_of(component).needs for component in scene.asked)
    without = _with_a_nic(scene) - scene.nic_nodes
    if wanted and not scene.nic_nodes:
        yield _none(scene, without)
    elif without and wanted:
        yield _some(scene, without)
    if scene.driver_asked and scene.nic_nodes:
        yield from _of_system(scene)
    yield from wait_troubles(scene)


def _with_a_nic(scene: Scene) -> set[str]:
    """Nodes of which something else says that they have an NVIDIA NIC."""
    found: set[str] = set()
    for name, node in scene.nodes.items():
        if not _linux(node):
            continue
        labels = node.metadata.labels
        if any(labels.get(sign) for sign in NIC_SIGNS):
            found.add(name)
    for name, seen in scene.objects.of("rdmanodes").items():
        if any((each.card or "").startswith(("ConnectX", "BlueField")) for each in seen.status.devices):
            found.add(name)
    for each in scene.objects.of("nic_devices").values():
        found.add(each.status.node)
    for each in scene.objects.of("sriov_states").values():
        if any(one.get("vendor") == "15b3" for one in each.status.interfaces):
            found.add(each.metadata.name)
    return found & scene.nodes.keys()


def _linux(node: OperatorNode) -> bool:
    return node.metadata.labels.get("kubernetes.io/os", "linux") == "linux"


def _none(scene: Scene, without: set[str]) -> Trouble:
    return Trouble(
        "nfd-labels",
        NFD,
        "pci-15b3",
        "critical",
        f"no node carries {NIC_LABEL}: {_why(scene, without or set(scene.nodes))}",
        sorted_nodes(without),
        _hint(scene),
        (fact("nodes with the label", 0, "nodes"),),
        FROM_NFD,
        commands=(f"kubectl get nodes -L {NIC_LABEL}",),
    )


def _some(scene: Scene, without: set[str]) -> Trouble:
    return Trouble(
        "nfd-labels",
        NFD,
        "pci-15b3",
        "warning",
        f"{named(without)} {'has' if len(without) == 1 else 'have'} an NVIDIA NIC and not the label {NIC_LABEL}, so "
        f"nothing of the stack is placed there: {_why(scene, without)}",
        sorted_nodes(without),
        _hint(scene),
        (fact("nodes with the label", len(scene.nic_nodes), "nodes"), fact("without", len(without), "nodes")),
        FROM_NFD,
        commands=(f"kubectl get nodes -L {NIC_LABEL}",),
    )


def _why(scene: Scene, nodes: set[str]) -> str:
    workers = [ref for ref in scene.index.of(NFD) if ref.kind == "DaemonSet"]
    if not workers:
        hidden = scene.objects.hidden("daemonsets")
        return "whether NFD runs may not be read" if hidden else "NFD is not deployed"
    failing = scene.failing.get(NFD, set())
    if failing:
        return f"NFD does not run well on {counted(len(failing), 'node')}"
    masters = [ref for ref in scene.index.of(NFD) if ref.kind == "Deployment" and "gc" not in ref.name]
    if masters and not any(ref.object.status.available_replicas for ref in masters):
        return "NFD's master does not run"
    placed = set().union(*(scene.index.pods[ref.kind, ref.key].nodes for ref in workers))
    refused = _refused(scene, nodes - placed)
    if refused:
        return refused
    if not scene.objects.hidden("feature_rules") and RULE not in scene.objects.of("feature_rules"):
        return f"the NodeFeatureRule {RULE} is missing"
    if nodes - placed:
        return f"NFD has no worker on {named(nodes - placed)}"
    return "NFD runs there and does not set it"


def _refused(scene: Scene, nodes: set[str]) -> str | None:
    for name in sorted_nodes(nodes):
        node = scene.nodes.get(name)
        for ref in scene.index.of(NFD) if node is not None else ():
            if ref.kind == "DaemonSet" and node is not None:
                taints = [(each.key, each.value, each.effect) for each in node.spec.taints]
                why = kept_off(ref.object.spec.template.spec, node.metadata.labels, taints)
                if why is not None and why.kind == "taint":
                    return f"NFD's worker does not tolerate the taint {why.key} of {name}"
                if why is not None:
                    return f"NFD's worker is only for nodes with {why.key}={why.wanted}"
    return None


def _hint(scene: Scene) -> str:
    if not scene.index.of(NFD):
        return "deploy NFD (nfd.enabled and nfd.deployNodeFeatureRules of the chart), or label the nodes"
    return "see NFD's worker on that node, its tolerations, and: kubectl get nodefeaturerules"


def _of_system(scene: Scene) -> Iterator[Trouble]:
    """The driver's DaemonSets are made by OS and kernel as NFD names them."""
    lacking: set[str] = set()
    for each, names in scene.index.classes.items():
        keys = {key for key, _ in each.labels}
        if (NIC_LABEL, "true") in each.labels and not keys.issuperset(OS_LABELS):
            lacking |= names
    if lacking and lacking != scene.nic_nodes:
        yield Trouble(
            "nfd-labels",
            NFD,
            "system",
            "warning",
            f"{named(lacking)} {'lacks' if len(lacking) == 1 else 'lack'} NFD's labels of OS and kernel: no driver is "
            "made for it",
            sorted_nodes(lacking),
            "see NFD's worker on that node",
            (),
            FROM_NFD,
        )
    stale = {
        name
        for name in scene.nic_nodes
        if (real := scene.nodes[name].status.node_info.kernel_version)[:1].isdigit()
        and scene.nodes[name].metadata.labels.get(OS_LABELS[2], real) != real
    }
    if stale:
        yield Trouble(
            "nfd-labels",
            NFD,
            "kernel",
            "warning",
            f"{named(stale)}: NFD's label says another kernel than the one that runs: a driver for the wrong kernel is "
            "placed",
            sorted_nodes(stale),
            "see NFD's worker on that node",
            (),
            FROM_NFD,
        )
    yield from _without_driver(scene, lacking)


def _without_driver(scene: Scene, lacking: set[str]) -> Iterator[Trouble]:
    """Nodes whose OS and kernel no driver DaemonSet is for."""
    refs = scene.index.of(DRIVER)
    if not refs or scene.objects.hidden("daemonsets"):
        return
    left: dict[tuple[str, ...], set[str]] = {}
    for each, names in scene.index.classes.items():
        labels = dict(each.labels)
        here = names & scene.nic_nodes - lacking
        if here and all(_elsewhere(ref.object.spec.template.spec, labels) for ref in refs):
            left.setdefault(tuple(labels.get(key, "?") for key in OS_LABELS), set()).update(here)
    for system, nodes in left.items():
        yield Trouble(
            "component-degraded",
            DRIVER,
            f"no-daemonset.{'-'.join(system)}",
            "warning",
            f"DOCA driver: no DaemonSet is for {named(nodes)} ({system[0]} {system[1]}, kernel {system[2]})",
            sorted_nodes(nodes),
            "see whether this OS and kernel are supported, and the operator's log",
            (fact("nodes", len(nodes), "nodes"),),
            (Cause("component-failed", OPERATOR, False),),
            verdict="degraded",
        )


def _elsewhere(spec: object, labels: dict[str, str]) -> bool:
    selector: dict[str, str] = spec.node_selector  # type: ignore[attr-defined]
    return any(labels.get(key) != value for key, value in selector.items() if key in OS_LABELS)


# mofed.wait


def wait_troubles(scene: Scene) -> Iterator[Trouble]:
    pods = {
        card.node: card for ref in scene.index.of(DRIVER) for card in scene.index.pods[ref.kind, ref.key].cards.values()
    }
    pods.update({card.node: card for card in scene.index.orphans.values()})
    if not scene.objects.hidden("pods"):
        ready = {node for node in scene.waiting if node in pods and pods[node].phase == "ok"}
        orphaned = {node for node in scene.waiting if node not in pods}
    else:
        ready, orphaned = set(), set()
    held = scene.waiting - ready - orphaned
    if held:
        severity: Severity = "info" if held <= scene.rolling_driver else "warning"
        yield _wait(
            "held",
            severity,
            held,
            "the driver there is not ready; every consumer of RDMA is kept off",
            "repair the driver pod first; the operator then sets the label false",
        )
    if ready:
        yield _wait(
            "stale",
            "warning",
            ready,
            "the driver there is ready: the label is stale",
            "restart the operator's pod: it computes the label anew",
        )
    if orphaned:
        why = "no driver pod is there" if scene.driver_asked else "no driver pod is there and no policy asks for one"
        yield _wait(
            "orphaned",
            "warning",
            orphaned,
            f"{why}: the label is stale",
            "restart the operator's pod: it computes the label anew",
        )
    if scene.unlabelled and _consumers(scene):
        yield _missing(scene)


def _consumers(scene: Scene) -> bool:
    return any("driver" in row_of(component).needs for component in scene.asked)


def _wait(kind: str, severity: Severity, nodes: set[str], why: str, hint: str) -> Trouble:
    return Trouble(
        "mofed-wait",
        DRIVER,
        kind,
        severity,
        f"mofed.wait is true on {named(nodes)}: {why}",
        sorted_nodes(nodes),
        hint,
        (fact("nodes that wait", len(nodes), "nodes"),),
        (
            Cause("component-unknown"),
            Cause("component-", DRIVER),
            Cause("driver-upgrade"),
            Cause("component-failed", OPERATOR, False),
        ),
        commands=(f"kubectl get nodes -L {WAIT_LABEL}",),
    )


def _missing(scene: Scene) -> Trouble:
    why = "no driver pod was ever placed there" if scene.driver_asked else "the operator has not set it"
    return Trouble(
        "mofed-wait",
        DRIVER,
        "missing",
        "warning",
        f"{named(scene.unlabelled)} {'has' if len(scene.unlabelled) == 1 else 'have'} no label mofed.wait ({why}): "
        "every consumer of RDMA needs it to be false",
        sorted_nodes(scene.unlabelled),
        "see the driver on that node; then the operator's log",
        (fact("nodes without the label", len(scene.unlabelled), "nodes"),),
        (
            Cause("component-unknown"),
            Cause("component-", DRIVER),
            Cause("nfd-labels"),
            Cause("component-", DRIVER, False),
            Cause("component-failed", OPERATOR, False),
        ),
        commands=(f"kubectl get nodes -L {WAIT_LABEL}",),
    )
