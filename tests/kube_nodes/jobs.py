"""Real RDMA jobs: unprivileged pods with one share of an HCA from the device plugin, and traffic between them."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from typing import Any

from tests.kube_nodes.conftest import NAMES, Agents, until
from tests.lab.kube import images

RESOURCE = "rdma/hca_shared_devices_a"
GID_INDEX = 1
"""Of the node's own address, RoCE v2; a pod's address has none on this device."""


def plugin() -> list[dict[str, Any]]:
    """Mellanox' k8s-rdma-shared-dev-plugin as its own deployment has it, image and configuration apart."""
    config = (
        '{"periodicUpdateInterval": 30, "configList": '
        '[{"resourceName": "hca_shared_devices_a", "rdmaHcaMax": 100, "selectors": {"ifNames": ["eth1"]}}]}'
    )
    kubelet = "/var/lib/kubelet"
    paths = {"plugin": f"{kubelet}/device-plugins", "registry": f"{kubelet}/plugins_registry", "dev": "/dev"}
    labels = {"name": "rdma-shared-dp"}
    container = {
        "name": "plugin", "image": images.PLUGIN, "imagePullPolicy": "Never", "securityContext": {"privileged": True},
        "volumeMounts": [
            *({"name": name, "mountPath": path} for name, path in paths.items()),
            {"name": "config", "mountPath": "/k8s-rdma-shared-dev-plugin"},
        ],
    }  # fmt: skip
    pod = {
        "hostNetwork": True, "terminationGracePeriodSeconds": 1, "containers": [container],
        "volumes": [
            *({"name": name, "hostPath": {"path": path}} for name, path in paths.items()),
            {"name": "config", "configMap": {"name": "rdma-devices"}},
        ],
    }  # fmt: skip
    return [
        {
            "apiVersion": "v1", "kind": "ConfigMap", "data": {"config.json": config},
            "metadata": {"name": "rdma-devices", "namespace": "kube-system"},
        },
        {
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": "rdma-shared-dp-ds", "namespace": "kube-system"},
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
        },
    ]  # fmt: skip


def job(node: str) -> dict[str, Any]:
    container = {
        "name": "trainer", "image": images.JOB, "imagePullPolicy": "Never", "command": ["sleep", "infinity"],
        "securityContext": {"capabilities": {"add": ["IPC_LOCK"]}}, "resources": {"limits": {RESOURCE: 1}},
    }  # fmt: skip
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"job-{node}", "namespace": "default"},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node}, "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False, "containers": [container],
        },
    }  # fmt: skip


def start(agents: Agents) -> dict[str, str]:
    """The plugin and a job on each node; node -> the pod's address."""
    agents.lab.apply(*plugin(), *(job(node) for node in NAMES))

    def address(node: str) -> str | None:
        status = agents.get("pod", f"job-{node}")["status"]
        return status.get("podIP") if status["phase"] == "Running" else None

    return {node: until(lambda node=node: address(node), f"the job on {node} runs", 240) for node in NAMES}


@contextlib.contextmanager
def traffic(agents: Agents, addresses: dict[str, str], seconds: int = 300) -> Iterator[None]:
    """RDMA writes from the job on node2 to the one on node1, by ib_write_bw, once bytes move."""
    words = ["ib_write_bw", "-d", "mlx5_0", "-x", str(GID_INDEX), "-F", "-s", "65536", "-D", str(seconds), "-u", "18"]
    server = spawn(agents, "job-node1", *words)
    client = None
    try:
        until(
            lambda: ":4853 " in agents.run_in("default", "job-node1", "trainer", "cat", "/proc/net/tcp").stdout,
            "a server",
        )
        client = spawn(agents, "job-node2", *words, addresses["node1"])
        yield
    finally:
        for process in (client, server):
            if process:
                process.kill()
                process.wait()
        for node in NAMES:
            agents.run_in("default", f"job-{node}", "trainer", "pkill", "-9", "ib_write_bw", check=False)


def spawn(agents: Agents, pod: str, *words: str) -> subprocess.Popen[bytes]:
    argv = agents.kubectl("exec", pod, "-c", "trainer", "--", *words)
    quiet = subprocess.DEVNULL
    return subprocess.Popen(argv, stdin=quiet, stdout=quiet, stderr=quiet)
