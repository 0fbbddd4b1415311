"""A real Kubernetes control plane: etcd, API server, controllers and scheduler, with nodes made up by kwok.

Everything listens inside one network namespace, in which every address of 10.98.0.0/16 is local: a server started
there answers on any node's or pod's address, so the API server's pod proxy (which refuses loopback and link-local
addresses) reaches it as it would reach a real pod. kwok keeps the made-up nodes Ready and their pods Running.

    python -m tests.lab.kube.control_plane up [--nodes N]
    python -m tests.lab.kube.control_plane exec CMD…
    python -m tests.lab.kube.control_plane kill|start NAME
    python -m tests.lab.kube.control_plane down

The binaries come from $RDMATOP_KUBE, else PATH, else the cache that `build-kube` fills. Needs root, for the namespace.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.lab.kube import programs

HOST = "10.98.0.1"
NETWORK = "10.98.0.0/16"
POD_NETWORK = "10.98.128.0/17"
PORT = 6443
TOKEN = "lab-admin"
READY_S = 90.0


class LabError(Exception):
    """A part of the lab is missing or did not start, and what to do."""


class ControlPlane:
    """One control plane; two with different names run beside each other."""

    host = HOST
    """Where the API server listens."""
    controllers: tuple[str, ...] = ("kube-controller-manager", "kube-scheduler", "kwok")
    """What is started once the API server answers."""

    def __init__(self, name: str = "rdmatop-kube", state: Path | None = None) -> None:
        self.name = name
        self.state = state or Path("/tmp") / name
        self.kubeconfig = self.state / "kubeconfig"

    # Commands inside

    def inside(self, *argv: str) -> list[str]:
        """The command line that runs `argv` in the lab's network namespace."""
        return ["ip", "netns", "exec", self.name, *argv]

    def run(self, *argv: str, stdin: str | None = None, check: bool = True) -> str:
        done = subprocess.run(self.inside(*argv), input=stdin, text=True, capture_output=True)
        if check and done.returncode:
            raise LabError(f"{' '.join(argv[:6])}: {done.stderr.strip()}")
        return done.stdout

    def kubectl(self, *argv: str, stdin: str | None = None, check: bool = True) -> str:
        return self.run(programs.find("kubectl"), "--kubeconfig", str(self.kubeconfig), *argv, stdin=stdin, check=check)

    def apply(self, *objects: dict[str, Any]) -> None:
        """Create or change objects, status included where it has no sub-resource of its own."""
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    # Life

    def up(self) -> None:
        """Start all; returns when the API server answers and the controllers run."""
        self.state.mkdir(parents=True, exist_ok=True)
        self._make_namespace()
        self._make_keys()
        self.start("etcd")
        self.start("kube-apiserver")
        self._write_kubeconfig()
        self.wait_ready()
        for name in self.controllers:
            self.start(name)

    def down(self) -> None:
        for name in reversed(self._command_lines()):
            self.kill(name)
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)
        shutil.rmtree(self.state, ignore_errors=True)

    def start(self, name: str) -> None:
        """Start a component, also again after `kill`, on the data it had."""
        if self._alive(name):
            return
        argv = [programs.find(name), *self._command_lines()[name]]
        with (self.state / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(self.inside(*argv), stdout=log, stderr=log, start_new_session=True)
        (self.state / f"{name}.pid").write_text(str(process.pid))

    def kill(self, name: str) -> None:
        """SIGKILL, as a crash would end it."""
        pid_file = self.state / f"{name}.pid"
        if self._alive(name):
            os.kill(int(pid_file.read_text()), signal.SIGKILL)
        pid_file.unlink(missing_ok=True)

    def wait_ready(self) -> None:
        end = time.monotonic() + READY_S
        while time.monotonic() < end:
            if "ok" in self.kubectl("get", "--raw", "/readyz", check=False):
                return
            time.sleep(0.1)
        raise LabError(f"the API server is not ready after {READY_S:g} s: see {self.state}/kube-apiserver.log")

    def _alive(self, name: str) -> bool:
        try:
            pid = int((self.state / f"{name}.pid").read_text())
            return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
        except (OSError, ValueError):
            return False

    # Made-up nodes

    def nodes(self, count: int, resource: str = "rdma/hca_shared_devices_a", first: int = 1) -> None:
        """Create `gpu-0001` … as NFD and the device plugins would have labelled them; kwok keeps them Ready."""
        if count < 1:
            return  # kubectl takes an empty list for a mistake
        items = [node_object(number, resource) for number in range(first, first + count)]
        self.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))

    # Parts

    def _make_namespace(self) -> None:
        if self.name in subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout.split():
            return
        made = subprocess.run(["ip", "netns", "add", self.name], capture_output=True, text=True)
        if made.returncode:
            raise LabError(f"no network namespace: {made.stderr.strip()} (root is needed)")
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "addr", "add", f"{HOST}/32", "dev", "lo")
        self.run("ip", "route", "add", "local", NETWORK, "dev", "lo")
        self.run("ip", "route", "add", "default", "dev", "lo")

    def _make_keys(self) -> None:
        (self.state / "tokens.csv").write_text("".join(f"{line}\n" for line in self._tokens()))
        if (self.state / "sa.key").exists():
            return
        for argv in (
            ("genrsa", "-out", "sa.key", "2048"),
            ("rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub"),
            ("req", "-x509", "-new", "-key", "sa.key", "-subj", "/CN=rdmatop-lab", "-days", "30", "-out", "ca.crt"),
        ):
            subprocess.run(["openssl", *argv], cwd=self.state, check=True, capture_output=True)

    def _tokens(self) -> list[str]:
        """Who is known from the start: token, name, uid, groups."""
        return [f'{TOKEN},admin,admin,"system:masters"']

    @property
    def server(self) -> str:
        return f"https://{self.host}:{PORT}"

    @property
    def authority(self) -> Path:
        """The certificate of the API server, which is made when it first starts."""
        return self.state / "certs" / "apiserver.crt"

    def _write_kubeconfig(self) -> None:
        end = time.monotonic() + READY_S
        while not self.authority.exists():
            if time.monotonic() > end or not self._alive("kube-apiserver"):
                raise LabError(f"the API server does not start: see {self.state}/kube-apiserver.log")
            time.sleep(0.05)
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(json.dumps(kubeconfig(str(self.authority), TOKEN, self.server)))

    def _command_lines(self) -> dict[str, list[str]]:
        state, config = self.state, str(self.kubeconfig)
        controller = [
            f"--kubeconfig={config}", f"--authentication-kubeconfig={config}", f"--authorization-kubeconfig={config}",
            f"--bind-address={self.host}", "--leader-elect=false", "--kube-api-qps=500", "--kube-api-burst=1000",
        ]  # fmt: skip
        return {
            "etcd": [
                f"--data-dir={state}/etcd", "--listen-client-urls=http://127.0.0.1:2379",
                "--advertise-client-urls=http://127.0.0.1:2379", "--listen-peer-urls=http://127.0.0.1:2380",
                "--unsafe-no-fsync", "--log-level=warn",
            ],
            "kube-apiserver": [
                "--etcd-servers=http://127.0.0.1:2379",
                f"--bind-address={self.host}", f"--advertise-address={self.host}",
                f"--secure-port={PORT}", f"--cert-dir={state}/certs", "--service-cluster-ip-range=10.96.0.0/16",
                f"--service-account-key-file={state}/sa.pub", f"--service-account-signing-key-file={state}/sa.key",
                "--service-account-issuer=https://kubernetes.default.svc", "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction", f"--token-auth-file={state}/tokens.csv",
                f"--client-ca-file={state}/ca.crt", "--allow-privileged", *self._audit(),
            ],
            "kube-controller-manager": [
                *controller, f"--cert-dir={state}/certs/controllers", "--use-service-account-credentials",
                f"--service-account-private-key-file={state}/sa.key",
            ],
            "kube-scheduler": [*controller, f"--cert-dir={state}/certs/scheduler"],
            "kwok": [
                f"--kubeconfig={config}", f"--config={programs.find('kwok-stages.yaml')}",
                "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake", f"--cidr={POD_NETWORK}",
                "--node-lease-duration-seconds=200",
            ],
        }  # fmt: skip

    def _audit(self) -> list[str]:
        """Who used which right, for the test that compares the rights granted with those used."""
        policy = self.state / "audit-policy.yaml"
        if self.state.exists():
            policy.write_text(json.dumps(AUDIT_POLICY))
        return [f"--audit-policy-file={policy}", f"--audit-log-path={self.state}/audit.log"]


AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "userGroups": ["system:serviceaccounts:rdmatop"]},
        {"level": "None"},
    ],
}


def kubeconfig(authority: str, token: str, server: str = f"https://{HOST}:{PORT}") -> dict[str, Any]:
    return {
        "apiVersion": "v1", "kind": "Config", "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": {"server": server, "certificate-authority": authority}}],
        "users": [{"name": "lab", "user": {"token": token}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
    }  # fmt: skip


def node_object(number: int, resource: str) -> dict[str, Any]:
    name = f"gpu-{number:04d}"
    amounts = {"cpu": "128", "memory": "2Ti", "pods": "250", "nvidia.com/gpu": "8", resource: "64"}
    return {
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {
                "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
                "feature.node.kubernetes.io/pci-15b3.present": "true",
                "feature.node.kubernetes.io/rdma.capable": "true", "nvidia.com/gpu.present": "true",
            },
        },
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": f"10.98.{1 + number // 250}.{number % 250 + 1}"},
                {"type": "Hostname", "address": name},
            ],
            "capacity": amounts, "allocatable": amounts,
        },
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up").add_argument("--nodes", type=int, default=0)
    commands.add_parser("exec").add_argument("argv", nargs=argparse.REMAINDER)
    for verb in ("kill", "start"):
        commands.add_parser(verb).add_argument("name")
    commands.add_parser("down")
    args = parser.parse_args()
    lab = ControlPlane()
    try:
        if args.command == "up":
            lab.up()
            if args.nodes:
                lab.nodes(args.nodes)
        elif args.command == "exec":
            argv = lab.inside(*args.argv)
            os.execvpe(argv[0], argv, {**os.environ, "KUBECONFIG": str(lab.kubeconfig)})
        elif args.command == "down":
            lab.down()
        else:
            getattr(lab, args.command)(args.name)
    except (LabError, programs.MissingProgram) as error:
        print(f"control_plane: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
