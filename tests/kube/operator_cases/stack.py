"""A small Network Operator of our own: the manifests of its parts, cut to what placement and verdicts depend on."""

from __future__ import annotations

from typing import Any

NAMESPACE = "nvidia-network-operator"
KERNEL = "5.15.0-139-generic"
REPOSITORY = "nvcr.io/nvidia/mellanox"
TAG = "network-operator-v26.7.0"
DRIVER_TAG = "doca3.5.0-26.07-0.7.0.0-0"
NIC = "feature.node.kubernetes.io/pci-15b3.present"
WAIT = "network.nvidia.com/operator.mofed.wait"
RESOURCE = "rdma/rdma_shared_device_a"
OS = {
    "feature.node.kubernetes.io/system-os_release.ID": "ubuntu",
    "feature.node.kubernetes.io/system-os_release.VERSION_ID": "22.04",
    "feature.node.kubernetes.io/kernel-version.full": KERNEL,
}
CONFIG = (
    '{"configList": [{"resourceName": "rdma_shared_device_a", "rdmaHcaMax": 63, "selectors": {"vendors": ["15b3"]}}]}'
)


def policy(**spec: Any) -> dict[str, Any]:
    image = {"repository": REPOSITORY, "version": TAG}
    return {
        "apiVersion": "mellanox.com/v1alpha1",
        "kind": "NicClusterPolicy",
        "metadata": {"name": "nic-cluster-policy"},
        "spec": {
            "ofedDriver": {
                "image": "doca-driver",
                "repository": REPOSITORY,
                "version": DRIVER_TAG,
                "upgradePolicy": {"autoUpgrade": True, "drain": {"enable": True, "timeoutSeconds": 300}},
            },
            "rdmaSharedDevicePlugin": {"image": "k8s-rdma-shared-dev-plugin", **image, "config": CONFIG},
            "secondaryNetwork": {
                "multus": {"image": "multus-cni", **image},
                "cniPlugins": {"image": "plugins", **image},
            },
            "nvIpam": {"image": "nvidia-k8s-ipam", **image},
            **spec,
        },
    }


STATES = (
    "state-multus-cni",
    "state-container-networking-plugins",
    "state-OFED",
    "state-RDMA-device-plugin",
    "state-nv-ipam-cni",
)


def status(**states: str) -> dict[str, Any]:
    """Of the policy: all ready, but those named (`state_OFED="notReady"`)."""
    given = {name.replace("_", "-"): state for name, state in states.items()}
    applied = [{"name": name, "state": given.pop(name, "ready")} for name in STATES]
    applied += [{"name": name, "state": state} for name, state in given.items()]
    whole = "ready" if all(each["state"] in ("ready", "ignore") for each in applied) else "notReady"
    return {"state": whole, "appliedStates": applied}


def daemonset(
    name: str, state: str | None, image: str, container: str, labels: dict[str, Any], **more: Any
) -> dict[str, Any]:
    spec = {
        "containers": [
            {
                "name": container,
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "resources": more.pop("resources", {}),
            }
        ],
        "nodeSelector": more.pop("selector", {}),
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    }
    own = {"nvidia.network-operator.state": state} if state else {}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": more.pop("namespace", NAMESPACE), "labels": own},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
            **more,
        },
    }


def deployment(
    name: str,
    state: str | None,
    image: str,
    labels: dict[str, Any],
    replicas: int = 1,
    own: dict[str, Any] | None = None,
) -> dict[str, Any]:
    metadata = {"nvidia.network-operator.state": state} if state else {}
    spec = {"containers": [{"name": name, "image": image}], "terminationGracePeriodSeconds": 0}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {**metadata, **(own or {})}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


DRIVER_DS, PLUGIN_DS, MULTUS_DS = "mofed-ubuntu22.04-6f5877cd6d-ds", "rdma-shared-dp-ds", "kube-multus-ds"
NFD_DS = "network-operator-node-feature-discovery-worker"


def stack() -> list[dict[str, Any]]:
    """Everything that a healthy cluster has, but the policy and its nodes."""
    nfd = {"app.kubernetes.io/name": "node-feature-discovery"}
    driver = {"app": "mofed-ubuntu22.04-6f5877cd6d", "nvidia.com/ofed-driver": ""}
    return [
        deployment(
            "network-operator",
            None,
            f"{REPOSITORY}/network-operator:v26.7.0",
            {"app.kubernetes.io/name": "network-operator"},
            own={"helm.sh/chart": "network-operator-26.7.0"},
        ),
        daemonset(NFD_DS, None, f"{REPOSITORY}/node-feature-discovery:{TAG}", "worker", {**nfd, "role": "worker"}),
        deployment(
            "network-operator-node-feature-discovery-master",
            None,
            f"{REPOSITORY}/node-feature-discovery:{TAG}",
            {**nfd, "role": "master"},
        ),
        daemonset(
            DRIVER_DS,
            "state-OFED",
            f"{REPOSITORY}/doca-driver:{DRIVER_TAG}-ubuntu22.04-amd64",
            "mofed-container",
            driver,
            selector={NIC: "true", **OS},
            updateStrategy={"type": "OnDelete"},
        ),
        daemonset(
            PLUGIN_DS,
            "state-RDMA-device-plugin",
            f"{REPOSITORY}/k8s-rdma-shared-dev-plugin:{TAG}",
            "rdma-shared-dp",
            {"app": "rdma-shared-dp"},
            selector={NIC: "true", WAIT: "false"},
        ),
        daemonset(
            MULTUS_DS,
            "state-multus-cni",
            f"{REPOSITORY}/multus-cni:{TAG}",
            "kube-multus",
            {"name": "multus"},
            resources={"limits": {"memory": "50Mi"}},
        ),
        daemonset(
            "cni-plugins-ds",
            "state-container-networking-plugins",
            f"{REPOSITORY}/plugins:{TAG}",
            "cni-plugins",
            {"name": "cni-plugins"},
        ),
        daemonset(
            "nv-ipam-node",
            "state-nv-ipam-cni",
            f"{REPOSITORY}/nvidia-k8s-ipam:{TAG}",
            "nv-ipam-node",
            {"name": "nv-ipam-node"},
        ),
        deployment(
            "nv-ipam-controller",
            "state-nv-ipam-cni",
            f"{REPOSITORY}/nvidia-k8s-ipam:{TAG}",
            {"name": "nv-ipam-controller"},
            replicas=2,
        ),
    ]


def node_labels() -> dict[str, str]:
    """What NFD and the operator set on a node that is well."""
    return {NIC: "true", WAIT: "false", **OS}
