"""One node of the real cluster: a guest of tests/lab/vm with containerd, kubelet and RDMA devices on PCI cards."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.lab import places
from tests.lab.kube import programs, shell
from tests.lab.kube.namespace import inside

HERE = Path(__file__).resolve().parent
NETWORK = "10.99"
"""NETWORK.0.0/24 joins the nodes and the API server (.1); NETWORK.N.0/24 the Nth RDMA card of every node."""
MEMORY_MIB = 1536
LIFE_S = 24 * 3600
RXE_PARAMETERS = "force_speed=64 force_width=2"
"""HDR, 4X: "200 Gb/sec (4X HDR)" where the kernel has the lab's module."""


class NodeSpec(NamedTuple):
    """`number` counts from 1: node1 has address NETWORK.0.11."""

    number: int
    folder: Path
    """Its configuration and its logs; the guest sees it at the same path."""
    namespace: str
    disk: Path
    api: str
    """Host:port of the API server."""
    cards: int = 1

    @property
    def name(self) -> str:
        return f"node{self.number}"

    @property
    def address(self) -> str:
        return f"{NETWORK}.0.{10 + self.number}"

    @property
    def taps(self) -> list[str]:
        """The first leads to the cluster's network, each further one to a network of RDMA cards."""
        return [f"n{self.number}c{card}" for card in range(self.cards + 1)]


def configure(node: NodeSpec) -> None:
    """Write what containerd and kubelet read; kubeconfig and ca.crt are the control plane's to write."""
    (node.folder / "kubelet.json").write_text(json.dumps(kubelet_configuration(node)))
    (node.folder / "containerd.toml").write_text(CONTAINERD.format(bin=programs.folder()))


def start(node: NodeSpec) -> subprocess.Popen[bytes]:
    """Plug it in. The process ends when the guest does, and the guest with it."""
    words = qemu_words(node)
    command = [sys.executable, "-m", "tests.lab.vm", "--machine", "q35", "--cpus", "1", "--mem", str(MEMORY_MIB)]
    command += ["--timeout", str(LIFE_S), "--rw", str(node.folder), "--qemu", shlex.join(words)]
    command += ["--console", str(node.folder / "console"), "--cwd", "/"]
    for hidden in (places.PROJECT, programs.folder()):
        command += ["--show", str(hidden)] if str(hidden).startswith(("/tmp/", "/run/")) else []
    variables = {
        "DIR": node.folder, "NAME": node.name, "INDEX": node.number, "NETWORK": NETWORK, "NICS": node.cards,
        "API": node.api, "BIN": programs.folder(), "PROJECT": places.PROJECT, "RXE_PARAMETERS": RXE_PARAMETERS,
        "LABELS": "feature.node.kubernetes.io/rdma.capable=true", "PYTHONDONTWRITEBYTECODE": 1,
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    }  # fmt: skip
    for name, value in variables.items():
        command += ["--env", f"{name}={value}"]
    with (node.folder / "vm.log").open("ab") as log:
        return subprocess.Popen(
            ["ip", "netns", "exec", node.namespace, *command, "--", "bash", str(HERE / "node.sh")],
            cwd=places.PROJECT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


def run(node: NodeSpec, script: str, limit_s: float = 120.0) -> shell.Done:
    """A shell script, as root in the node itself. Raises OSError where the node does not answer."""
    with inside(node.namespace):
        return shell.run(node.address, script, limit_s)


def qemu_words(node: NodeSpec) -> list[str]:
    """The disk, and a card for each tap: virtio for the cluster, e1000e (a plain PCI netdev) for RDMA."""
    words = ["-drive", f"file={node.disk},format=raw,if=none,id=disk,snapshot=on,cache=unsafe"]
    words += ["-device", "virtio-blk-pci,drive=disk"]
    for card, tap in enumerate(node.taps):
        model = "e1000e" if card else "virtio-net-pci"
        words += ["-netdev", f"tap,id=c{card},ifname={tap},script=no,downscript=no"]
        words += ["-device", f"{model},netdev=c{card},romfile=,mac=52:54:00:99:{node.number:02x}:{card:02x}"]
    return words


def kubelet_configuration(node: NodeSpec) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False}, "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(node.folder / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"}, "cgroupDriver": "cgroupfs", "failSwapOn": False,
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "clusterDNS": ["10.96.0.10"], "makeIPTablesUtilChains": False, "resolvConf": "",
        "imageGCHighThresholdPercent": 100, "imageMinimumGCAge": "24h",
        "evictionHard": {
            "memory.available": "32Mi", "nodefs.available": "1%", "imagefs.available": "1%", "nodefs.inodesFree": "1%",
        },
        # a silent node is noticed within seconds, see cluster.py's grace period
        "nodeStatusUpdateFrequency": "4s", "nodeStatusReportFrequency": "1m", "nodeLeaseDurationSeconds": 20,
        "syncFrequency": "1m",
    }  # fmt: skip


# each container's counters once a second, as containerd has it, take an emulated processor by themselves
CONTAINERD = """\
version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins.'io.containerd.cri.v1.images']
  stats_collect_period = 3600
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "localhost/lab/pause:1"
[plugins.'io.containerd.cri.v1.runtime']
  stats_collect_period = "10m"
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["{bin}/cni"]
  conf_dir = "/etc/cni/net.d"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
    BinaryName = "{bin}/runc"
    SystemdCgroup = false
"""
