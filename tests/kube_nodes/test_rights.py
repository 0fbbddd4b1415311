"""Each right of the manifest is one that something is lost without: taken away one by one, on a real kubelet."""

from __future__ import annotations

import copy
import json
import shlex
import subprocess
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import yaml

from tests.kube_nodes.conftest import MANIFEST, Agents, until

NODE = "node1"
Pod = dict[str, Any]


class Right(NamedTuple):
    """`take` removes it from the container `of`; `works` asks in that container for what it is for."""

    name: str
    of: str
    take: Callable[[Pod], None]
    works: Callable[[Trial], bool]


class Trial:
    """A container like the agent's or the verbs worker's, in which nothing runs until it is asked."""

    def __init__(self, agents: Agents, pod: str, container: str) -> None:
        self.agents = agents
        self.pod = pod
        self.container = container

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return self.agents.run_in("rdmatop", self.pod, self.container, *argv, check=False)

    def read(self, *argv: str) -> Any:
        """What rdmatop reads there by itself."""
        done = self.run("rdmatop", *argv, "--local", "-o", "json")
        assert done.stdout.startswith("{"), done.stderr[-500:]
        return json.loads(done.stdout)

    def writes(self, folder: str) -> bool:
        return self.run("touch", f"{folder}/probe").returncode == 0


def container(pod: Pod, name: str) -> Any:
    return next(each for each in pod["containers"] if each["name"] == name)


def without_volume(name: str) -> Callable[[Pod], None]:
    def take(pod: Pod) -> None:
        for each in pod["containers"]:
            each["volumeMounts"] = [mount for mount in each["volumeMounts"] if mount["name"] != name]

    return take


def without_key(*path: str, of: str | None = None) -> Callable[[Pod], None]:
    def take(pod: Pod) -> None:
        place = pod if of is None else container(pod, of)
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]

    return take


def as_nobody(pod: Pod) -> None:
    container(pod, "agent")["securityContext"]["runAsUser"] = 65534


def unprivileged_with_everything(pod: Pod) -> None:
    """It is not capabilities that make the difference."""
    container(pod, "verbs")["securityContext"] = {"privileged": False, "capabilities": {"add": ["ALL"]}}


def has_counters(trial: Trial) -> bool:
    """Bytes and errors of the port; the driver's own counters come by netlink, in any namespace."""
    items = trial.read("get", "counters")["items"]
    return any(item["source"] == "counters" and item["value"] is not None for item in items)


# 2 is IBV_QPT_RC in every version
HOLD_A_QUEUE_PAIR = """
import time
from pyverbs.cq import CQ
from pyverbs.device import Context
from pyverbs.pd import PD
from pyverbs.qp import QP, QPCap, QPInitAttr
context = Context(name="mlx5_0")
completions = CQ(context, 8)
held = QP(PD(context), QPInitAttr(qp_type=2, scq=completions, rcq=completions, cap=QPCap()))
time.sleep(3600)
"""


def names_pids(trial: Trial) -> bool:
    """Of a queue pair of a process on the node itself."""
    hold = f"python3 -c {shlex.quote(HOLD_A_QUEUE_PAIR)} >/tmp/held 2>&1 & echo $! >/run/holder"
    trial.agents.in_node(NODE, f"[ -e /run/holder ] || {{ {hold}; }}")
    until(lambda: "comm python3" in trial.agents.in_node(NODE, "rdma resource show qp; cat /tmp/held"), "a queue pair")
    return any(item["pid"] for item in trial.read("get", "processes")["items"])


def reads_kernel_log(trial: Trial) -> bool:
    checks = {each["check"]: each["status"] for each in trial.read("check")["checks"]}
    return checks["kernel-log"] in ("pass", "warn", "fail")


def has_token(trial: Trial) -> bool:
    return trial.run("cat", "/var/run/secrets/kubernetes.io/serviceaccount/token").returncode == 0


def opens_devices(trial: Trial) -> bool:
    code = "import pyverbs.device as d; d.Context(name='mlx5_0')"
    return trial.run("python3", "-c", code).returncode == 0


def sees_later_device(trial: Trial) -> bool:
    """The node gets one more while the container runs."""
    node = trial.agents.get("pod", "-n", "rdmatop", trial.pod)["spec"]["nodeName"]
    trial.agents.in_node(node, "[ -e /sys/class/infiniband/mlx5_9 ] || rdma link add mlx5_9 type rxe netdev eth0")
    there = trial.agents.in_node(node, "ls /dev/infiniband").split()
    return set(there) <= set(trial.run("ls", "/dev/infiniband").stdout.split())


RIGHTS = (
    Right("host-network", "agent", without_key("hostNetwork"), has_counters),
    Right("host-pid", "agent", without_key("hostPID"), names_pids),
    Right("syslog", "agent", without_key("securityContext", "capabilities", "add", of="agent"), reads_kernel_log),
    Right("root", "agent", as_nobody, lambda trial: trial.writes("/var/lib/rdmatop")),
    Right("state", "agent", without_volume("state"), lambda trial: trial.writes("/var/lib/rdmatop")),
    Right("run", "agent", without_volume("run"), lambda trial: trial.writes("/run/rdmatop")),
    Right("account", "agent", without_volume("account"), has_token),
    Right("privileged", "verbs", unprivileged_with_everything, opens_devices),
    Right("infiniband", "verbs", without_volume("infiniband"), sees_later_device),
)


def spec_of(right: Right) -> Pod:
    """The DaemonSet's pod without it, with the one container that it is for, asleep."""
    daemonset = next(each for each in yaml.safe_load_all(MANIFEST.read_text()) if each["kind"] == "DaemonSet")
    pod: Pod = copy.deepcopy(daemonset["spec"]["template"]["spec"])
    right.take(pod)
    asleep = container(pod, right.of)
    for key in ("args", "ports", "livenessProbe", "readinessProbe", "startupProbe"):
        asleep.pop(key, None)
    asleep |= {"name": right.name, "command": ["sleep", "infinity"]}
    # nothing that sleeps as process 1 hears SIGTERM
    return pod | {"nodeName": NODE, "containers": [asleep], "terminationGracePeriodSeconds": 1}


def pods() -> list[Pod]:
    """As few as can be, for an emulated node: containers that differ in nothing of their pod share one."""
    shared: dict[str, Pod] = {}
    for right in RIGHTS:
        spec = spec_of(right)
        containers = spec.pop("containers")
        shared.setdefault(json.dumps(spec), spec | {"containers": []})["containers"] += containers
    return [
        {
            "apiVersion": "v1", "kind": "Pod", "spec": spec,
            "metadata": {"name": f"without-{number}", "namespace": "rdmatop"},
        }
        for number, spec in enumerate(shared.values())
    ]  # fmt: skip


@pytest.fixture(scope="module")
def trials(agents: Agents) -> Iterator[dict[str, Trial]]:
    made = pods()
    names = [pod["metadata"]["name"] for pod in made]
    agents.lab.apply(*made)
    for name in names:
        until(lambda name=name: agents.is_ready(name), f"{name} runs", 240)
    yield {
        each["name"]: Trial(agents, pod["metadata"]["name"], each["name"])
        for pod in made
        for each in pod["spec"]["containers"]
    }
    agents.lab.kubectl("delete", "pod", "-n", "rdmatop", "--wait=false", *names)
    agents.in_node(NODE, "kill $(cat /run/holder); rdma link delete mlx5_9")


@pytest.mark.parametrize("right", RIGHTS, ids=lambda right: right.name)
def test_something_is_lost_without_it_and_nothing_with_it(
    agents: Agents, trials: dict[str, Trial], right: Right
) -> None:
    assert right.works(Trial(agents, agents.pod(NODE), right.of)), "with every right of the manifest"
    assert not right.works(trials[right.name])
