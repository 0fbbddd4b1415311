"""Troubles that custom resources, nodes and events tell of."""

from __future__ import annotations

import re
from collections.abc import Iterator

from diagnostics.cluster.operator import signatures
from diagnostics.cluster.operator.inventory import (
    CNI_PLUGINS,
    DRIVER,
    GPU_DRIVER,
    IB_KUBERNETES,
    IPOIB,
    MULTUS,
    NIC_DEVICES,
    NV_IPAM,
    RDMA_PLUGIN,
    SRIOV_DAEMON,
    SRIOV_OPERATOR,
    SRIOV_STATES,
    title_of,
)
from diagnostics.cluster.operator.scene import Scene
from diagnostics.cluster.operator.trouble import Cause, Trouble, fact, first_line, named, sorted_nodes

MAINTENANCES = "node-maintenances"
INSTALLS = {
    "ipoib": IPOIB,
    "nv-ipam": NV_IPAM,
    "whereabouts": "state-whereabouts-cni",
    "multus": MULTUS,
    "multus-shim": MULTUS,
    **dict.fromkeys(
        (
            "macvlan",
            "ipvlan",
            "bridge",
            "host-device",
            "vlan",
            "tuning",
            "sbr",
            "vrf",
            "static",
            "host-local",
            "dhcp",
            "ptp",
            "loopback",
            "portmap",
            "bandwidth",
            "firewall",
        ),
        CNI_PLUGINS,
    ),
    **dict.fromkeys(("sriov", "ib-sriov", "rdma", "ovs"), SRIOV_DAEMON),
}
"""CNI plugin -> the component whose DaemonSet puts it on the node."""
NO_PLUGIN = re.compile(r'failed to find plugin \\?"([\w.-]+)\\?"')


def node_troubles(scene: Scene) -> Iterator[Trouble]:
    """A kubelet that is silent: what its pods do is not known, of every component at once."""
    silent = {name for name in scene.not_ready if _of_stack(scene, name)}
    if not silent:
        return
    driver = {
        card.node
        for ref in scene.index.of(DRIVER)
        for card in scene.index.pods[ref.kind, ref.key].cards.values()
        if card.phase != "ok"
    }
    for loading, nodes in ((True, silent & driver), (False, silent - driver)):
        if nodes:
            words = scene.not_ready[min(nodes)]
            yield Trouble(
                "component-unknown",
                DRIVER if loading else "nodes",
                "loading" if loading else "not-ready",
                "warning",
                f"{named(nodes)} is not Ready ({first_line(words, 80)}): what runs there is not known"
                + (
                    "; the driver there is being loaded: is its management interface on the same NIC?"
                    if loading
                    else ""
                ),
                sorted_nodes(nodes),
                "keep management off the NVIDIA NIC, or use upgradePolicy.safeLoad"
                if loading
                else "see the kubelet on that node",
                (fact("nodes not Ready", len(nodes), "nodes"),),
                commands=(f"kubectl describe node {min(nodes)}",),
            )


def _of_stack(scene: Scene, name: str) -> bool:
    return name in scene.nic_nodes or any(name in pods.nodes for pods in scene.index.pods.values())


def sriov_troubles(scene: Scene) -> Iterator[Trouble]:
    groups: dict[tuple[str, str], set[str]] = {}
    for each in scene.objects.of("sriov_states").values():
        sync, error = each.status.sync_status, each.status.last_sync_error
        desired = each.metadata.annotations.get("sriovnetwork.openshift.io/desired-state", "Idle")
        problem = _interfaces(each)
        if sync == "Failed" or (sync != "Succeeded" and error):
            groups.setdefault(("failed", error or "no reason given"), set()).add(each.metadata.name)
        elif sync == "InProgress":
            groups.setdefault(("progress", desired), set()).add(each.metadata.name)
        elif problem:
            groups.setdefault(("differs", problem), set()).add(each.metadata.name)
    for (kind, words), nodes in sorted(groups.items()):
        known = signatures.read(words)
        said = {
            "failed": f"failed: {first_line(words)}",
            "progress": f"is on its way ({words})",
            "differs": f"says Succeeded, and {words}",
        }[kind]
        yield Trouble(
            "sriov-sync",
            SRIOV_STATES,
            f"{kind}.{words[:60]}",
            "info" if kind == "progress" else "critical" if kind == "failed" else "warning",
            f"SR-IOV of {named(nodes)} {said}" + (f": {known.says}" if known else ""),
            sorted_nodes(nodes),
            known.hint if known else "see the config daemon's log on that node, and what holds up its drain",
            (fact("nodes", len(nodes), "nodes"),),
            (Cause("component-", SRIOV_DAEMON), Cause("component-failed", SRIOV_OPERATOR, False)),
            layer="resources",
            verdict={"failed": "failed", "progress": "rolling", "differs": "degraded"}[kind],
            commands=(f"kubectl get sriovnetworknodestates -A -o wide | grep {min(nodes)}",),
        )
    yield from _exclusive(scene)


def _interfaces(each: object) -> str:
    real = {one.get("pciAddress"): one for one in each.status.interfaces}  # type: ignore[attr-defined]
    for wanted in each.spec.interfaces:  # type: ignore[attr-defined]
        has = real.get(wanted.get("pciAddress"))
        number = wanted.get("numVfs", 0)
        if has is None:
            return f"{wanted.get('name') or wanted.get('pciAddress')} is not there"
        total = has.get("totalvfs")
        if isinstance(total, int) and number > total:
            return f"{has.get('name')}: {number} VFs are asked for, the firmware allows {total}"
        if has.get("numVfs", 0) != number:
            return f"{has.get('name')} has {has.get('numVfs', 0)} of {number} VFs"
    return ""


def _exclusive(scene: Scene) -> Iterator[Trouble]:
    """The shared plugin refuses a node whose RDMA subsystem is in exclusive namespace mode."""
    shared = set().union(*(scene.index.pods[ref.kind, ref.key].nodes for ref in scene.index.of(RDMA_PLUGIN)), set())
    nodes = {
        each.metadata.name
        for each in scene.objects.of("sriov_states").values()
        if each.status.system.get("rdmaMode") == "exclusive"
    } & shared
    if nodes:
        yield Trouble(
            "netns-mode",
            RDMA_PLUGIN,
            "exclusive",
            "warning",
            f"{named(nodes)}: the RDMA subsystem is in exclusive network-namespace mode, "
            "which the shared plugin refuses",
            sorted_nodes(nodes),
            "do not mix the shared plugin and SR-IOV with the rdma CNI on one node",
            (fact("nodes", len(nodes), "nodes"),),
            layer="host",
        )


BAD_NIC = {
    "IncorrectSpec",
    "SpecValidationFailed",
    "NonVolatileConfigUpdateFailed",
    "RuntimeConfigUpdateFailed",
    "FirmwareError",
    "FirmwareUpdateFailed",
    "FirmwareSourceFailed",
    "DeviceFirmwareConfigMismatch",
}
BUSY_NIC = {
    "UpdateStarted",
    "PendingReboot",
    "PendingNodeMaintenance",
    "PendingFirmwareUpdate",
    "FirmwareUpdateStarted",
}


def device_troubles(scene: Scene) -> Iterator[Trouble]:
    groups: dict[tuple[str, str], set[str]] = {}
    for each in scene.objects.of("nic_devices").values():
        for condition in each.status.conditions:
            if condition.reason in BAD_NIC:
                groups.setdefault((condition.reason, first_line(condition.message)), set()).add(each.status.node)
            elif condition.reason in BUSY_NIC:
                groups.setdefault((condition.reason, ""), set()).add(each.status.node)
    for (reason, words), nodes in sorted(groups.items()):
        grade = "degraded" if reason in BAD_NIC else "rolling"
        yield Trouble(
            f"component-{grade}",
            NIC_DEVICES,
            reason,
            "warning" if grade == "degraded" else "info",
            f"NIC of {named(nodes)}: {reason}{f': {words}' if words else ''}",
            sorted_nodes(nodes),
            "kubectl describe nicdevices -A",
            (fact("nodes", len(nodes), "nodes"),),
            (Cause("component-", "state-nic-configuration-operator"),),
            verdict=grade,
        )
    for each in scene.objects.of("maintenances").values():
        for condition in each.status.conditions:
            if condition.type in ("Ready", "Failed") and (
                condition.reason == "RequestorFailed" or (condition.type == "Failed" and condition.status == "True")
            ):
                node = each.spec.node_name
                yield Trouble(
                    "component-degraded",
                    MAINTENANCES,
                    f"failed.{node}",
                    "warning",
                    f"maintenance of {node} for {each.spec.requestor_id} failed: "
                    f"{first_line(condition.message) or condition.reason}",
                    (node,),
                    "kubectl describe nodemaintenances -A",
                    (),
                    (Cause("component-", "maintenance-operator", False),),
                    verdict="degraded",
                )


def gpu_troubles(scene: Scene) -> Iterator[Trouble]:
    """The GPU driver waits for the NICs' driver in one of two ways; the wrong one waits for ever."""
    if scene.policies_hidden:
        return
    for each in scene.objects.of("gpu_policies").values():
        driver = each.spec.get("driver")
        rdma = driver.get("rdma") if isinstance(driver, dict) else None
        if not isinstance(rdma, dict) or not rdma.get("enabled"):
            continue
        host = bool(rdma.get("useHostMofed"))
        if host == scene.driver_asked:
            said = (
                "useHostMofed is true, though a policy deploys the driver as a container"
                if host
                else "useHostMofed is false, and no policy deploys the driver: its pods wait for ever"
            )
            yield Trouble(
                "component-drift",
                GPU_DRIVER,
                "host-mofed",
                "warning",
                f"GPU driver: driver.rdma.{said}",
                (),
                f"set driver.rdma.useHostMofed={str(not host).lower()} in ClusterPolicy {each.metadata.name}",
                verdict="drift",
            )


def guid_troubles(scene: Scene) -> Iterator[Trouble]:
    """Networks that want a GUID for each VF, and nobody who gives it."""
    wanting = sorted(
        key
        for key, each in scene.objects.of("attachments").items()
        if re.search(r'"infinibandGUID"\s*:\s*true', each.spec.config)
    )
    refs = scene.index.of(IB_KUBERNETES)
    if wanting and refs and not any(ref.object.status.available_replicas for ref in refs):
        yield Trouble(
            "guid-missing",
            IB_KUBERNETES,
            "nobody",
            "warning",
            f"{', '.join(wanting[:3])}: VFs get no GUID while IB Kubernetes does not run",
            (),
            "repair IB Kubernetes, or give static GUIDs",
            (fact("networks", len(wanting)),),
            (Cause("component-", IB_KUBERNETES, False),),
            layer="networks",
        )


def event_troubles(scene: Scene) -> Iterator[Trouble]:
    """Sandboxes that could not be made: the part of the stack that is missing on that node."""
    if not scene.objects.of("events"):
        return
    groups: dict[tuple[str, str, str], set[str]] = {}
    for each in scene.objects.of("events").values():
        if each.reason != "FailedCreatePodSandBox":
            continue
        node = each.source.host or _node_of(scene, each.involved_object.namespace, each.involved_object.name)
        lacks = NO_PLUGIN.search(each.message)
        if lacks:
            component = INSTALLS.get(lacks.group(1), CNI_PLUGINS)
            groups.setdefault(
                (component, f"plugin.{lacks.group(1)}", f"the CNI plugin {lacks.group(1)} is missing"), set()
            ).add(node)
        elif re.search(r"multus.*Unauthorized|error getting pod: Unauthorized", each.message):
            groups.setdefault((MULTUS, "unauthorized", "Multus' token is not accepted (Unauthorized)"), set()).add(node)
        elif re.search(r"GUID", each.message):
            groups.setdefault(
                (IB_KUBERNETES, "guid", f"a VF has no valid GUID ({first_line(each.message, 80)})"), set()
            ).add(node)
    for (component, kind, words), nodes in sorted(groups.items()):
        yield _sandbox(scene, component, kind, words, nodes - {""})


def _sandbox(scene: Scene, component: str, kind: str, words: str, nodes: set[str]) -> Trouble:
    refs = scene.index.of(component)
    absent = not refs and kind.startswith("plugin.")
    check = "guid-missing" if kind == "guid" else "component-absent" if absent else "component-degraded"
    without = "" if refs or not absent else f": {title_of(component)} is not deployed"
    if refs and kind.startswith("plugin."):
        bare = {node for node in nodes if not any(node in scene.index.pods[ref.kind, ref.key].nodes for ref in refs)}
        without = f": {title_of(component)} has no pod on {named(bare)}" if bare else ""
    hint = {
        "unauthorized": "restart kube-multus-ds: its token is then made anew",
        "guid": "see IB Kubernetes and UFM",
    }.get(kind, "add the component to the policy, or correct its tolerations and nodeAffinity")
    return Trouble(
        check,
        component,
        kind,
        "warning",
        f"pods cannot start{f' on {named(nodes)}' if nodes else ''}: {words}{without}",
        sorted_nodes(nodes),
        hint,
        (fact("nodes", len(nodes), "nodes"),),
        (
            Cause("component-failed", component),
            Cause("component-degraded", component),
            Cause("component-", component, False),
        ),
        layer="networks" if kind == "guid" else "operator",
        verdict=None if kind == "guid" or absent else "degraded",
        commands=("kubectl get events -A --field-selector reason=FailedCreatePodSandBox",),
    )


def _node_of(scene: Scene, namespace: str, name: str) -> str:
    pod = scene.objects.of("pods").get(f"{namespace}/{name}")
    return pod.spec.node_name if pod is not None else ""
