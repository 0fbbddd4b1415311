"""Rows of what is changed in a healthy cluster and what has to be found: component and nodes, cause first."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from diagnostics.cluster.operator.judge import Verdict
from tests.kube.operator_cases import stack
from tests.kube.operator_cases.stack import DRIVER_DS, MULTUS_DS, NAMESPACE, NFD_DS, NIC, PLUGIN_DS, WAIT
from tests.kube.operator_cases.world import World, node

UPGRADE = "nvidia.com/ofed-driver-upgrade-state"
Expected = tuple[str, str, "tuple[str, ...] | None"]


class Case(NamedTuple):
    name: str
    steps: tuple[Callable[[World], object], ...]
    expected: tuple[Expected, ...]
    """Check, component and nodes of the first findings, in order; nodes None: any."""
    says: str = ""
    """Words of the first finding."""

    def met_by(self, seen: Verdict) -> bool:
        found = seen.findings
        if len(found) < len(self.expected):
            return False
        for (check, component, nodes), each in zip(self.expected, found, strict=False):
            if (check, component) != (each.check, each.component) or (nodes is not None and nodes != each.nodes):
                return False
        roots = {each.id for each in found}
        extra = [each for each in found[len(self.expected) :] if each.follows not in roots]
        return not extra and (not self.says or self.says in found[0].message)


def waiting(container: str, reason: str, message: str = "", *, last: dict | None = None, restarts: int = 5) -> dict:
    return {
        "containerStatuses": [
            {
                "name": container,
                "ready": False,
                "restartCount": restarts,
                "image": "x",
                "imageID": "",
                "state": {"waiting": {"reason": reason, "message": message}},
                "lastState": {"terminated": last} if last else {},
            }
        ]
    }


def crash(container: str, message: str = "", code: int = 1, reason: str = "Error") -> dict:
    return waiting(container, "CrashLoopBackOff", last={"exitCode": code, "reason": reason, "message": message})


DRIVER, PLUGIN, MULTUS = "state-OFED", "state-RDMA-device-plugin", "state-multus-cni"
NFD, OPERATOR, POLICY = "node-feature-discovery", "network-operator", "nic-cluster-policy"
EVERY = [node(number) for number in range(1, 21)]
ONE = (node(3),)
MOFED = "mofed-container"


def event(world: World, message: str) -> None:
    world.make(
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": "sandbox.1", "namespace": "default"},
            "reason": "FailedCreatePodSandBox",
            "type": "Warning",
            "message": message,
            "source": {"host": node(3)},
            "involvedObject": {"kind": "Pod", "name": "job-0", "namespace": "default"},
        }
    )


def sriov(world: World, status: dict, spec: dict | None = None) -> None:
    world.make(
        {
            "apiVersion": "sriovnetwork.openshift.io/v1",
            "kind": "SriovNetworkNodeState",
            "metadata": {"name": node(3), "namespace": NAMESPACE},
            "spec": spec or {},
        }
    )
    world.kubectl(
        "patch",
        "sriovnetworknodestate",
        node(3),
        "-n",
        NAMESPACE,
        "--subresource=status",
        "--type=merge",
        "-p",
        json.dumps({"status": status}),
    )


def step(method: str, *given: Any) -> Callable[[World], object]:
    return lambda world: getattr(world, method)(*given)


FAILED, DEGRADED, WAITS = "component-failed", "component-degraded", "mofed-wait"
LEFT = ("state-container-networking-plugins", DRIVER, MULTUS, PLUGIN, "state-nv-ipam-cni")
CASES: tuple[Case, ...] = (
    # The policy's status
    Case(
        "policy: driver notReady and all is well",
        (step("status", stack.status(state_OFED="notReady")),),
        (("component-ok", DRIVER, ()),),
        "all is well",
    ),
    Case(
        "policy: precompiled tag missing (FM04)",
        (
            lambda world: world.status(
                {
                    **stack.status(),
                    "state": "notReady",
                    "appliedStates": [
                        {
                            "name": DRIVER,
                            "state": "error",
                            "message": "ForcePrecompiled is enabled and precompiled tag was not found: x",
                        }
                    ],
                }
            ),
        ),
        ((FAILED, DRIVER, ()),),
        "precompiled tag was not found",
    ),
    Case(
        "policy: stale state",
        (step("status", stack.status(state_whereabouts_cni="ready")),),
        (("version-drift", "state-whereabouts-cni", ()),),
    ),
    Case(
        "FM08 policy of another name",
        (step("make", {**stack.policy(), "metadata": {"name": "my-policy"}}),),
        (("component-drift", POLICY, ()),),
        "my-policy",
    ),
    Case(
        "policy deleted, components left",
        (step("delete", "nicclusterpolicy", "nic-cluster-policy", stack.policy()),),
        tuple(("component-unmanaged", name, ()) for name in LEFT),
    ),
    # The driver
    Case(
        "FM01 driver crash-loops",
        (
            step("label", [node(3)], WAIT, "true"),
            step("pod", DRIVER_DS, node(3), crash(MOFED, "Module ib_core is in use")),
        ),
        ((FAILED, DRIVER, ONE), (WAITS, DRIVER, ONE), (DEGRADED, PLUGIN, ONE)),
        "the policy says ready",
    ),
    Case(
        "FM03 no driver image",
        (step("pod", DRIVER_DS, node(3), waiting(MOFED, "ImagePullBackOff", "manifest unknown")),),
        ((FAILED, DRIVER, ONE),),
        "no such image",
    ),
    Case(
        "FM03 an OS without a driver",
        (step("label", [node(3)], "feature.node.kubernetes.io/system-os_release.VERSION_ID", "24.04"),),
        ((DEGRADED, DRIVER, ONE),),
        "ubuntu 24.04",
    ),
    Case(
        "driver runs and is not ready",
        (
            step(
                "pod",
                DRIVER_DS,
                node(3),
                {
                    "containerStatuses": [
                        {
                            "name": MOFED,
                            "ready": False,
                            "started": True,
                            "restartCount": 0,
                            "image": "x",
                            "imageID": "",
                            "state": {"running": {}},
                        }
                    ]
                },
            ),
        ),
        ((DEGRADED, DRIVER, ONE),),
    ),
    # Labels
    Case("FM05 one node lost its label", (step("label", [node(3)], NIC, None),), (("nfd-labels", NFD, ONE),)),
    Case(
        "FM05 no node has the label, NFD crash-loops",
        (step("label", EVERY, NIC, None), *(step("pod", NFD_DS, node(n), crash("worker")) for n in (1, 2, 3))),
        (
            (FAILED, NFD, (node(1), node(2), node(3))),
            ("nfd-labels", NFD, tuple(EVERY)),
            ("component-no-nodes", DRIVER, ()),
            ("component-no-nodes", PLUGIN, ()),
        ),
    ),
    Case(
        "FM06 stale mofed.wait",
        (step("label", [node(3)], WAIT, "true"),),
        ((WAITS, DRIVER, ONE), (DEGRADED, PLUGIN, ONE)),
        "stale",
    ),
    Case(
        "label mofed.wait missing",
        (step("label", [node(3)], WAIT, None),),
        ((WAITS, DRIVER, ONE), (DEGRADED, PLUGIN, ONE)),
    ),
    Case(
        "node lacks the labels of OS and kernel",
        (step("label", [node(3)], "feature.node.kubernetes.io/kernel-version.full", None),),
        (("nfd-labels", NFD, ONE),),
    ),
    # The upgrade
    Case(
        "FM07 upgrade failed",
        (
            step("label", [node(3)], UPGRADE, "upgrade-failed"),
            step("cordon", node(3)),
            step("pod", DRIVER_DS, node(3), crash(MOFED)),
        ),
        ((FAILED, DRIVER, ONE), ("driver-upgrade", DRIVER, ONE)),
    ),
    Case(
        "upgrade on its way is a note",
        (step("label", [node(3)], UPGRADE, "drain-required"),),
        (("driver-upgrade", DRIVER, ONE),),
        "on its way",
    ),
    Case(
        "a failed upgrade holds the slot",
        (
            step("label", [node(3)], UPGRADE, "upgrade-failed"),
            step("label", [node(4), node(5)], UPGRADE, "upgrade-required"),
        ),
        (("driver-upgrade", DRIVER, ONE), ("driver-upgrade", DRIVER, (node(4), node(5)))),
    ),
    # Deployments
    Case(
        "FM09 a controller is down, the policy says ready",
        (step("pod", "nv-ipam-controller", None, crash("nv-ipam-controller")),),
        ((FAILED, "state-nv-ipam-cni", None),),
        "the policy says ready",
    ),
    Case(
        "nothing is there of what is asked for",
        (
            step(
                "patch",
                "nicclusterpolicy",
                "nic-cluster-policy",
                {
                    "spec": {
                        "nicFeatureDiscovery": {
                            "image": "nic-feature-discovery",
                            "repository": stack.REPOSITORY,
                            "version": stack.TAG,
                        }
                    }
                },
                {"spec": {"nicFeatureDiscovery": None}},
            ),
        ),
        ((FAILED, "state-nic-feature-discovery", ()),),
    ),
    # Plugins
    Case(
        "FM10 the selectors match nothing on a node",
        (step("resource", node(3), "0"),),
        (("resource-missing", PLUGIN, ONE),),
    ),
    Case(
        "FM11 exclusive namespace mode",
        (step("pod", PLUGIN_DS, node(3), crash("rdma-shared-dp", "incorrect RDMA subsystem network namespace")),),
        ((FAILED, PLUGIN, ONE),),
        "exclusive",
    ),
    Case(
        "plugin: a Secret or key is missing",
        (
            step(
                "pod",
                PLUGIN_DS,
                node(3),
                waiting("rdma-shared-dp", "CreateContainerConfigError", 'configmap "x" not there'),
            ),
        ),
        ((FAILED, PLUGIN, ONE),),
    ),
    # Networks
    Case(
        "FM15 CNI plugin missing",
        (lambda world: event(world, 'failed to find plugin "ipoib" in path [/opt/cni/bin]'),),
        (("component-absent", "state-ipoib-cni", ONE),),
    ),
    Case(
        "FM16 Multus unauthorized",
        (lambda world: event(world, 'plugin type="multus" failed: error getting pod: Unauthorized'),),
        ((DEGRADED, MULTUS, ONE),),
    ),
    Case(
        "FM17 Multus out of memory",
        (step("pod", MULTUS_DS, node(3), crash("kube-multus", code=137, reason="OOMKilled")),),
        ((FAILED, MULTUS, ONE),),
        "50Mi",
    ),
    Case(
        "FM23 SR-IOV sync failed",
        (
            lambda world: sriov(
                world, {"syncStatus": "Failed", "lastSyncError": "device detected when in lockdown mode"}
            ),
        ),
        (("sriov-sync", "sriov-network-node-states", ONE),),
        "locked down",
    ),
    # Drift
    Case(
        "an image that nobody asked for",
        (
            step(
                "patch",
                "nicclusterpolicy",
                "nic-cluster-policy",
                {"spec": {"secondaryNetwork": {"multus": {"version": "network-operator-v26.7.1"}}}},
                {"spec": {"secondaryNetwork": {"multus": {"version": stack.TAG}}}},
            ),
        ),
        (("component-drift", MULTUS, ()),),
    ),
    Case(
        "multus restarts again and again",
        (step("pod", MULTUS_DS, node(3), waiting("kube-multus", "RunContainerError")),),
        ((FAILED, MULTUS, ONE),),
    ),
)
