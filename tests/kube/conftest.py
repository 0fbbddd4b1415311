"""One real control plane for the whole folder; the tests run inside its network namespace."""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kube.fleet_fixtures import agents, seen, twenty  # noqa: F401 - fixtures of the whole folder
from tests.lab.kube.control_plane import ControlPlane, LabError
from tests.lab.kube.programs import MissingProgram

ROOT = Path(__file__).parents[2]
BASE = ROOT / "deploy" / "base"


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    plane = ControlPlane(f"rdmatop-test-{os.getpid()}", tmp_path_factory.mktemp("kube"))
    outside = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        plane.up()
        enter(f"/run/netns/{plane.name}")
        for name in ("namespace", "crd", "rbac", "admission"):
            plane.kubectl("apply", "-f", str(BASE / f"{name}.yaml"))
        plane.kubectl("wait", "--for=condition=Established", "crd/rdmanodes.rdmatop.dev", "--timeout=30s")
        yield plane
    except (MissingProgram, LabError) as error:
        assert os.environ.get("CI") != "true", error
        pytest.skip(str(error))
    finally:
        enter_descriptor(outside)
        plane.down()


def enter(path: str) -> None:
    """Move this process into a network namespace; 127.0.0.1 works there too."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        enter_descriptor(descriptor)
    finally:
        os.close(descriptor)


def enter_descriptor(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, 0):
        raise OSError(ctypes.get_errno(), "setns")


class Cluster:
    """What tests do to the cluster again and again."""

    def __init__(self, lab: ControlPlane) -> None:
        self.lab = lab

    def get(self, *what: str) -> dict:
        return json.loads(self.lab.kubectl("get", *what, "-o", "json", "--show-managed-fields"))

    def pod_token(self, pod: str, audience: str | None = None, account: str = "rdmatop-agent") -> str:
        """A token bound to a pod, as the kubelet would give it; it carries the node's name."""
        argv = ["create", "token", account, "-n", "rdmatop", f"--bound-object-name={pod}", "--bound-object-kind=Pod"]
        return self.lab.kubectl(*argv, *([f"--audience={audience}"] if audience else [])).strip()

    def token(self, account: str, audience: str = "rdmatop", seconds: int = 600) -> str:
        return self.lab.kubectl(
            "create", "token", account, "-n", "rdmatop", f"--audience={audience}", f"--duration={seconds}s"
        ).strip()

    def agent_pod(self, node: str) -> str:
        """A pod of the agent's account on a node, as the DaemonSet would place it."""
        name = f"rdmatop-agent-{node}"
        spec = {
            "serviceAccountName": "rdmatop-agent", "nodeName": node, "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "agent", "image": "x"}],
        }  # fmt: skip
        pod = {
            "apiVersion": "v1", "kind": "Pod", "spec": spec,
            "metadata": {"name": name, "namespace": "rdmatop", "labels": {"app.kubernetes.io/name": "rdmatop-agent"}},
        }  # fmt: skip
        self.lab.apply(pod)
        return name

    def kubeconfig(self, token: str, path: Path) -> Path:
        from tests.lab.kube.control_plane import kubeconfig

        path.write_text(json.dumps(kubeconfig(str(self.lab.state / "certs" / "apiserver.crt"), token)))
        path.chmod(0o600)
        return path


@pytest.fixture(scope="session")
def cluster(lab: ControlPlane) -> Cluster:
    lab.nodes(4)
    return Cluster(lab)
