"""A real small Kubernetes cluster with RDMA nodes: a control plane on this machine, every node a virtual machine.

    python -m tests.lab.kube.cluster up [NODES] [--cards N] [--image X.oci]…
    python -m tests.lab.kube.cluster exec N SCRIPT       root in node N itself, no pod needed
    python -m tests.lab.kube.cluster run CMD…            in the lab's network namespace, with KUBECONFIG set
    python -m tests.lab.kube.cluster kubectl ARG…
    python -m tests.lab.kube.cluster stop N | node N     pull the plug of a node; start it again
    python -m tests.lab.kube.cluster load X.oci          an image into the running nodes
    python -m tests.lab.kube.cluster down

Real: etcd, API server, controllers, scheduler, kubelet, containerd, runc, RDMA between the nodes. No kube-proxy
and no DNS: the API server's Service alone has a working address. Needs root, and what `build-kube` makes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.lab import places
from tests.lab.kube import disk, node, programs, shell
from tests.lab.kube.control_plane import PORT, ControlPlane, LabError, kubeconfig
from tests.lab.kube.node import NETWORK, NodeSpec

BRIDGE = "cluster"
MOST_NODES = 9
READY_S = 240.0
LOAD_S = 900.0
"""An emulated node unpacks 80 MB in minutes."""
GRACE_S = 20
"""A node that is silent for so long is NotReady; beside busy neighbours a lease may come late by seconds."""


class NodeCluster(ControlPlane):
    """A control plane whose nodes are real; two with different names run beside each other."""

    host = f"{NETWORK}.0.1"
    controllers = ("kube-controller-manager", "kube-scheduler")

    def __init__(
        self, name: str = "rdmatop-cluster", state: Path | None = None, cards: int = 1, images: tuple[Path, ...] = ()
    ) -> None:
        super().__init__(name, state)
        self.cards = cards
        self.images = images

    # Life

    def up(self, nodes: int = 0) -> None:
        """Returns when every node is Ready."""
        disk_image = disk.prepare(self.images)
        super().up()
        for index in range(1, nodes + 1):
            self.plug(index, disk_image)
        for index in range(1, nodes + 1):
            self.wait_node(index)

    def plug(self, index: int, disk_image: Path | None = None) -> None:
        """Start a node, also one whose plug was pulled; it begins with the disk as it was made."""
        spec = self.node(index)._replace(disk=disk_image or disk.prepare(self.images))
        spec.folder.mkdir(exist_ok=True)
        self._write_identity(spec)
        node.configure(spec)
        for card, tap in enumerate(spec.taps):
            self._make_tap(tap, card)
        (self.state / f"{spec.name}.pid").write_text(str(node.start(spec).pid))

    def node(self, index: int) -> NodeSpec:
        return NodeSpec(index, self.state / f"node{index}", self.name, Path(), f"{self.host}:{PORT}", self.cards)

    def pull(self, index: int) -> None:
        """The plug: nothing in the node is told."""
        self.kill(self.node(index).name)

    def wait_node(self, index: int, condition: str = "True", limit_s: float = READY_S) -> None:
        """Until the node's Ready is `condition`. Raises LabError."""
        name, end = self.node(index).name, time.monotonic() + limit_s
        while time.monotonic() < end:
            path = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
            if self.kubectl("get", "node", name, "-o", path, check=False) == condition:
                return
            if condition == "True" and not self._alive(name):
                break
            time.sleep(0.5)
        raise LabError(f"{name} is not {condition} in Ready after {limit_s:g} s: see {self.state}/{name}")

    def in_node(self, index: int, script: str, limit_s: float = 120.0) -> shell.Done:
        """A shell script as root in the node. Raises OSError where it does not answer."""
        return node.run(self.node(index), script, limit_s)

    def load(self, image: Path) -> None:
        """An OCI archive into every node that runs; minutes, where `images` at the start cost seconds."""
        for index in self.running():
            spec = self.node(index)
            shutil.copy(image, spec.folder / "load.oci")
            done = self.in_node(
                index, f"ctr -n k8s.io images import --snapshotter overlayfs {spec.folder}/load.oci", LOAD_S
            )
            (spec.folder / "load.oci").unlink()
            if done.code:
                raise LabError(f"{image} into {spec.name}: exit {done.code} {done.output[-500:]}")

    def running(self) -> list[int]:
        return [index for index in range(1, MOST_NODES + 1) if self._alive(f"node{index}")]

    def down(self) -> None:
        for index in self.running():
            self.pull(index)
        super().down()

    # Parts

    def _make_namespace(self) -> None:
        """Everything lives in one network namespace, bridge and taps included: it all goes when that goes."""
        if self.name in subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout.split():
            return
        made = subprocess.run(["ip", "netns", "add", self.name], capture_output=True, text=True)
        if made.returncode:
            raise LabError(f"no network namespace: {made.stderr.strip()} (root is needed)")
        self.run("ip", "link", "set", "lo", "up")
        for number in range(self.cards + 1):
            self.run("ip", "link", "add", f"{BRIDGE}{number}", "mtu", "9000", "type", "bridge")
            self.run("ip", "link", "set", f"{BRIDGE}{number}", "up")
        self.run("ip", "addr", "add", f"{self.host}/24", "dev", f"{BRIDGE}0")

    def _make_tap(self, tap: str, card: int) -> None:
        if tap not in self.run("ip", "-br", "link").split():
            self.run("ip", "tuntap", "add", "dev", tap, "mode", "tap")
        self.run("ip", "link", "set", tap, "mtu", "9000", "master", f"{BRIDGE}{card}", "up")

    def _tokens(self) -> list[str]:
        nodes = [f"node{index}" for index in range(1, MOST_NODES + 1)]
        return [*super()._tokens(), *(f'lab-{name},system:node:{name},{name},"system:nodes"' for name in nodes)]

    def _make_keys(self) -> None:
        """One certificate more than the control plane alone: the API server's, as the kubelets' client."""
        super()._make_keys()
        if (self.state / "kubelet-client.crt").exists():
            return
        subject = "/O=system:masters/CN=kube-apiserver-kubelet-client"
        request = ("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", "kubelet-client.key")
        sign = ("x509", "-req", "-CA", "ca.crt", "-CAkey", "sa.key", "-CAcreateserial", "-days", "30")
        for argv in (
            (*request, "-out", "kubelet-client.csr"),
            (*sign, "-in", "kubelet-client.csr", "-out", "kubelet-client.crt"),
        ):
            subprocess.run(["openssl", *argv], cwd=self.state, check=True, capture_output=True)

    def _write_identity(self, spec: NodeSpec) -> None:
        shutil.copy(self.authority, spec.folder / "apiserver.crt")
        shutil.copy(self.state / "ca.crt", spec.folder / "ca.crt")
        config = kubeconfig(str(spec.folder / "apiserver.crt"), f"lab-{spec.name}", self.server)
        (spec.folder / "kubeconfig").write_text(json.dumps(config))

    def _command_lines(self) -> dict[str, list[str]]:
        lines = super()._command_lines()
        lines.pop("kwok")
        lines["kube-apiserver"] += [
            f"--kubelet-client-certificate={self.state}/kubelet-client.crt",
            f"--kubelet-client-key={self.state}/kubelet-client.key",
            "--kubelet-preferred-address-types=InternalIP",
        ]
        lines["kube-controller-manager"] += [
            f"--root-ca-file={self.authority}", f"--node-monitor-grace-period={GRACE_S}s",
        ]  # fmt: skip
        return lines


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--name", default="rdmatop-cluster", help="of the cluster; several run beside each other")
    commands = made.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up")
    up.add_argument("nodes", type=int, nargs="?", default=2)
    up.add_argument("--cards", type=int, default=1, help="RDMA cards a node")
    up.add_argument("--image", type=Path, action="append", default=[], help="an OCI archive to have on every node")
    execute = commands.add_parser("exec")
    execute.add_argument("index", type=int)
    execute.add_argument("script", nargs=argparse.REMAINDER)
    for verb in ("run", "kubectl"):
        commands.add_parser(verb).add_argument("argv", nargs=argparse.REMAINDER)
    for verb in ("stop", "node"):
        commands.add_parser(verb).add_argument("index", type=int)
    commands.add_parser("load").add_argument("image", type=Path)
    commands.add_parser("down")
    return made


def act(args: argparse.Namespace) -> int:
    lab = NodeCluster(args.name)
    if args.command == "up":
        lab = NodeCluster(args.name, cards=args.cards, images=tuple(path.resolve() for path in args.image))
        started = time.monotonic()
        lab.up(args.nodes)
        print(f"{args.nodes} nodes Ready after {time.monotonic() - started:.1f} s")
    elif args.command == "exec":
        done = lab.in_node(args.index, " ".join(args.script))
        print(done.output, end="")
        return done.code
    elif args.command in ("run", "kubectl"):
        program = [programs.find("kubectl")] if args.command == "kubectl" else []
        argv = lab.inside(*program, *args.argv)
        os.execvpe(argv[0], argv, {**os.environ, "KUBECONFIG": str(lab.kubeconfig)})
    elif args.command == "stop":
        lab.pull(args.index)
    elif args.command == "node":
        lab.plug(args.index)
        lab.wait_node(args.index)
    elif args.command == "load":
        lab.load(args.image)
    else:
        lab.down()
    return 0


def main() -> int:
    try:
        return act(parser().parse_args())
    except (LabError, programs.MissingProgram, places.Missing, OSError) as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
