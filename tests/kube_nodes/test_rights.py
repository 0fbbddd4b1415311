"""Each right of the manifest is one that something is lost without: taken away one by one, on a real kubelet."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import yaml

from tests.kube_nodes.conftest import MANIFEST, Agents, until

NODE = "node2"
Pod = dict[str, Any]


class Right(NamedTuple):
    """`take` removes it from a pod's spec; `lost` says of a pod without it whether what it is for is gone."""

    name: str
    take: Callable[[Pod], None]
    lost: Callable[[Trial], bool]


class Trial:
    """A pod like the agent's, but for one right, beside the real one."""

    def __init__(self, agents: Agents, name: str) -> None:
        self.agents = agents
        self.name = name

    def ask(self, *argv: str) -> Any:
        done = self.agents.run_in("rdmatop", self.name, "agent", "rdmatop", *argv, "-o", "json", check=False)
        return json.loads(done.stdout) if done.stdout else {"items": [], "errors": [{"message": done.stderr}]}

    def items(self, *argv: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("get", *argv)["items"]
        return found

    def check(self, name: str) -> dict[str, Any]:
        return next(each for each in self.ask("check")["checks"] if each["check"] == name)

    def benchmark_error(self) -> str:
        done = self.ask("bench", "loopback", "mlx5_0", "--size", "4096", "--duration", "1", "--force")
        items = done.get("items") or []
        return str((items[0]["error"] or "") if items else done["errors"])

    def has_ended(self, container: str) -> bool:
        """It ran and ended by itself, with an error."""
        statuses = self.agents.get("pod", "-n", "rdmatop", self.name)["status"].get("containerStatuses", [])
        states = [each["state"] for each in statuses if each["name"] == container]
        return bool(states) and (states[0].get("terminated") or {}).get("exitCode", 0) != 0


def container(pod: Pod, name: str) -> Any:
    return next(each for each in pod["containers"] if each["name"] == name)


def without_volume(name: str, only_in: str | None = None) -> Callable[[Pod], None]:
    def take(pod: Pod) -> None:
        for each in pod["containers"]:
            if only_in in (None, each["name"]):
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
    """No capability is what makes the difference."""
    container(pod, "verbs")["securityContext"] = {"privileged": False, "capabilities": {"add": ["ALL"]}}


def sees_no_later_device(trial: Trial) -> bool:
    """The node gets one more device while the pod runs."""
    later = "rdma link add mlx5_9 type rxe netdev eth0"
    if "mlx5_9" not in trial.agents.in_node(NODE, "rdma link"):
        trial.agents.in_node(NODE, later)
    paths = trial.agents.in_node(NODE, "ls /dev/infiniband").split()
    listed = trial.agents.run_in("rdmatop", trial.name, "verbs", "ls", "/dev/infiniband").stdout.split()
    return len([path for path in paths if path.startswith("uverbs")]) > len(
        [path for path in listed if path.startswith("uverbs")]
    )


RIGHTS = (
    Right(
        "host-network",
        without_key("hostNetwork"),
        lambda trial: (
            not [item for item in trial.items("counters") if item["source"] in ("counters", "hw_counters")]
            and trial.items("ports")[0]["netdev"] is None
        ),
    ),
    Right(
        "host-pid",
        without_key("hostPID"),
        lambda trial: all(item["pid"] is None for item in trial.items("processes")),
    ),
    Right(
        "syslog",
        without_key("securityContext", "capabilities", "add", of="agent"),
        lambda trial: trial.check("kernel-log")["status"] in ("skip", "unknown"),
    ),
    Right(
        "root", as_nobody, lambda trial: trial.has_ended("agent") or trial.check("store-degraded")["status"] != "pass"
    ),
    Right(
        "state",
        without_volume("state"),
        lambda trial: trial.has_ended("agent") or trial.check("store-degraded")["status"] != "pass",
    ),
    Right("sockets", without_volume("run"), lambda trial: trial.has_ended("agent")),
    Right("token", without_volume("account"), lambda trial: trial.has_ended("agent")),
    Right("privileged", unprivileged_with_everything, lambda trial: bool(trial.benchmark_error())),
    Right("devices", without_volume("infiniband"), sees_no_later_device),
)


def spec_of(right: Right) -> Pod:
    """The DaemonSet's pod without it: on a port of its own, and with no probe that would end it."""
    daemonset = next(each for each in yaml.safe_load_all(MANIFEST.read_text()) if each["kind"] == "DaemonSet")
    pod: Pod = copy.deepcopy(daemonset["spec"]["template"]["spec"])
    agent = container(pod, "agent")
    for key in ("ports", "livenessProbe", "readinessProbe"):
        agent.pop(key)
    agent["args"] = [word for word in agent["args"] if not word.startswith("--listen")] + ["--interval=5"]
    for volume in pod["volumes"]:
        if volume["name"] == "state":
            volume["hostPath"]["path"] = f"/var/lib/rdmatop-{right.name}"
    right.take(pod)
    return pod | {"nodeName": NODE, "restartPolicy": "Never"}


@pytest.fixture(scope="module")
def trials(agents: Agents) -> Iterator[dict[str, Trial]]:
    """All at once: starting them is what takes the time."""
    names = {right.name: f"without-{right.name}" for right in RIGHTS}
    metadata = {right.name: {"name": names[right.name], "namespace": "rdmatop"} for right in RIGHTS}
    agents.lab.apply(
        *(
            {"apiVersion": "v1", "kind": "Pod", "metadata": metadata[right.name], "spec": spec_of(right)}
            for right in RIGHTS
        )
    )
    yield {name: Trial(agents, pod) for name, pod in names.items()}
    agents.lab.kubectl("delete", "pod", "-n", "rdmatop", "--grace-period=1", "--wait=false", *names.values())
    agents.lab.in_node(2, "rdma link delete mlx5_9")


@pytest.mark.parametrize("right", RIGHTS, ids=lambda right: right.name)
def test_something_is_lost_without_it(trials: dict[str, Trial], right: Right) -> None:
    trial = trials[right.name]
    until(lambda: trial.has_ended("agent") or answers(trial), f"{trial.name} runs, or has ended", 240)
    assert until(lambda: right.lost(trial), f"something is lost without {right.name}", 20)


def answers(trial: Trial) -> bool:
    """The agent has a first sample."""
    return bool(trial.items("devices"))


def test_nothing_of_it_is_lost_with_all_rights(agents: Agents) -> None:
    """The same questions, asked of the agent as the manifest has it: each would pass in an agent that never answers."""
    trial = Trial(agents, agents.pod(NODE))
    for right in RIGHTS:
        if right.name not in ("host-pid", "devices"):
            assert not right.lost(trial), right.name
