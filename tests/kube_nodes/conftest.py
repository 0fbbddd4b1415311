"""One real cluster of two nodes for the whole folder: manifest applied as it is, agents running from the image.

With RDMATOP_CLUSTER=NAME the tests use the cluster NAME of `python -m tests.lab.kube.cluster`, and leave it running.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from deploy.image import build
from tests.lab import places
from tests.lab.kube.cluster import NodeCluster
from tests.lab.kube.control_plane import LabError
from tests.lab.kube.programs import MissingProgram
from tests.lab.missing import without

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "deploy" / "daemonset.yaml"
NAMES = ("node1", "node2")
T = TypeVar("T")
BARE = "/run/rdmatop-bare"
SLOW_S = 120.0
"""An emulated processor that is shared with the rest of the tests takes its time."""


class Agents:
    """The cluster, and what tests ask of it again and again."""

    def __init__(self, lab: NodeCluster) -> None:
        self.lab = lab

    def get(self, *what: str) -> Any:
        return json.loads(self.lab.kubectl("get", *what, "-o", "json"))

    def pod(self, node: str) -> str:
        """The name of the agent's pod on a node, once there is one that is not ending."""
        select = (
            "-n",
            "rdmatop",
            "-l",
            "app.kubernetes.io/name=rdmatop-agent",
            "--field-selector",
            f"spec.nodeName={node}",
        )

        def found() -> str | None:
            pods = self.get("pods", *select)["items"]
            return next(
                (each["metadata"]["name"] for each in pods if "deletionTimestamp" not in each["metadata"]), None
            )

        return until(found, f"an agent's pod on {node}")

    def run(self, node: str, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command in the agent's container, by `kubectl exec`."""
        return self.run_in("rdmatop", self.pod(node), "agent", *argv, check=check)

    def run_in(
        self, namespace: str, pod: str, container: str, *argv: str, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        command = self.kubectl("exec", "-n", namespace, pod, "-c", container, "--", *argv)
        done = subprocess.run(command, capture_output=True, text=True, timeout=SLOW_S)
        assert not check or done.returncode == 0, f"{argv}: {done.returncode} {done.stdout[-500:]} {done.stderr[-500:]}"
        return done

    def ask(self, node: str, *argv: str) -> Any:
        """`rdmatop … -o json` in the agent's container; exit 1, a failed verdict, is an answer too."""
        done = self.run(node, "rdmatop", *argv, "-o", "json", check=False)
        assert done.returncode in (0, 1, 4), (argv, done.returncode, done.stderr[-500:])
        return json.loads(done.stdout)

    def on_host(self, node: str, *argv: str) -> Any:
        """What the same rdmatop reads in the node itself, without any container: the image as a mere folder."""
        mounted = (
            f"mountpoint -q {BARE} || {{ mkdir -p {BARE}; ctr -n k8s.io images mount --rw {build.image_name()} {BARE};"
            f" for part in dev proc sys; do mount --rbind /$part {BARE}/$part; done; }} >/dev/null"
        )
        words = " ".join(argv)
        done = self.lab.in_node(
            index_of(node), f"{mounted}; chroot {BARE} rdmatop {words} --local --node-name {node} -o json"
        )
        assert done.output.startswith("{"), done.output[-500:]
        return json.loads(done.output)

    def in_node(self, node: str, script: str) -> str:
        done = self.lab.in_node(index_of(node), script)
        assert done.code == 0, (script, done.output[-500:])
        return done.output

    def kubectl(self, *argv: str) -> list[str]:
        from tests.lab.kube import programs

        return self.lab.inside(programs.find("kubectl"), "--kubeconfig", str(self.lab.kubeconfig), *argv)

    def is_ready(self, pod: str, namespace: str = "rdmatop") -> bool:
        statuses = self.get("pod", "-n", namespace, pod)["status"].get("containerStatuses", [])
        return bool(statuses) and all(each["ready"] for each in statuses)


def index_of(node: str) -> int:
    return int(node.removeprefix("node"))


def until(ask: Callable[[], T | None], what: str, limit_s: float = SLOW_S, pause_s: float = 0.5) -> T:
    """The first answer that is true."""
    end = time.monotonic() + limit_s
    while not (answer := ask()):
        assert time.monotonic() < end, f"not within {limit_s:g} s: {what}"
        time.sleep(pause_s)
    return answer


@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeCluster]:
    if os.geteuid():
        without("real nodes need root, for a network namespace and its bridges")
    if running := os.environ.get("RDMATOP_CLUSTER"):
        yield NodeCluster(running, images=(build.ARCHIVE,))
        return
    turn = (places.lab_dir() / "kube-nodes.lock").open("w")
    # one at a time on a machine: four emulated processors on two real ones are Ready late, or never
    fcntl.flock(turn, fcntl.LOCK_EX)
    cluster = NodeCluster(f"rdmatop-nodes-{os.getpid()}", tmp_path_factory.mktemp("nodes"), images=image())
    try:
        cluster.up(len(NAMES))
        yield cluster
    except (MissingProgram, LabError, places.Missing) as error:
        without(str(error))
    finally:
        cluster.down()
        turn.close()


def image() -> tuple[Path, ...]:
    """The image of this checkout, made where it is not yet."""
    try:
        build.build(build.ARCHIVE)
    except (OSError, subprocess.CalledProcessError) as error:
        without(f"no image: {error}")
    return (build.ARCHIVE,)


@pytest.fixture(scope="package")
def agents(lab: NodeCluster) -> Agents:
    """Both agents Ready, from the one file that users apply."""
    lab.kubectl("apply", "-f", str(MANIFEST))
    cluster = Agents(lab)
    for node in NAMES:
        until(lambda node=node: cluster.is_ready(cluster.pod(node)), f"the agent on {node} is Ready", 480)
    return cluster
