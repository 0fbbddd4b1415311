"""How the agent of a node is: it runs, or why it does not, in the words of its pod, its DaemonSet or its node."""

from __future__ import annotations

from typing import Literal

import msgspec

from diagnostics.cluster.nodes import NAMESPACE, ContainerStatus, DaemonSet, KubeNode, Pod

AgentState = Literal["running", "starting", "failing", "pending", "missing", "unwanted", "unknown"]
"""`starting`: nothing is wrong yet; `failing`: it cannot start or keeps ending; `pending`: no place on the node;
`missing`: it should be there and is not; `unwanted`: nobody asked for one there; `unknown`: the pods cannot be read."""

STARTING = ("ContainerCreating", "PodInitializing", "")
WORDS = 300
"""Characters of a pod's message: a container's termination message may have 4 KiB."""


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """The agent of one node."""

    state: AgentState
    reason: str | None = None
    """Why it is not running."""
    pod: str | None = None
    """Name of its pod, in the namespace `rdmatop`."""
    uid: str | None = None
    ready: bool = False
    restarts: int = 0

    @property
    def wanted(self) -> bool:
        """Whether its absence is a fault."""
        return self.state not in ("unwanted", "unknown")


def newest(pods: list[Pod]) -> Pod | None:
    """Of two pods on one node, while the DaemonSet replaces one: the one that stays."""
    if not pods:
        return None
    return max(pods, key=lambda pod: (pod.metadata.deletion_timestamp is None, pod.metadata.creation_timestamp or ""))


def agent_of(
    node: KubeNode | None,
    pod: Pod | None,
    *,
    pods_state: str = "current",
    daemonset: DaemonSet | None = None,
    daemonset_state: str = "current",
) -> Agent:
    """What is known of a node's agent; `pods_state` and `daemonset_state` are those of their reflectors."""
    if pod is not None:
        return _of_pod(node, pod)
    if pods_state == "forbidden":
        return Agent(state="unknown", reason=f"the pods of namespace {NAMESPACE} may not be read")
    if pods_state in ("waiting", "away"):
        return Agent(state="unknown", reason="the agents' pods are not known yet")
    if daemonset is None:
        if daemonset_state == "current":
            return Agent(state="unwanted", reason=f"no DaemonSet rdmatop-agent in namespace {NAMESPACE}")
        return Agent(state="unknown", reason=f"no agent's pod on this node; the DaemonSet is {daemonset_state}")
    if node is not None and not daemonset.selects(node):
        return Agent(state="unwanted", reason="not selected by the DaemonSet's nodeSelector")
    away = node.not_ready if node is not None else None
    why = f"the node is not Ready: {away}" if away else "the DaemonSet has placed no pod on this node"
    return Agent(state="missing", reason=why)


def _of_pod(node: KubeNode | None, pod: Pod) -> Agent:
    state, reason = _state(node, pod)
    statuses = pod.status.container_statuses
    agent = next((each for each in statuses if each.name == "agent"), None)
    return Agent(
        state=state,
        reason=reason,
        pod=pod.metadata.name,
        uid=pod.metadata.uid,
        ready=any(each.type == "Ready" and each.status == "True" for each in pod.status.conditions),
        restarts=agent.restart_count if agent is not None else 0,
    )


def _state(node: KubeNode | None, pod: Pod) -> tuple[AgentState, str | None]:
    if pod.metadata.deletion_timestamp is not None:
        return "starting", "its pod is being deleted"
    scheduled = next((each for each in pod.status.conditions if each.type == "PodScheduled"), None)
    if scheduled is not None and scheduled.status == "False":
        return "pending", _cut(f"{scheduled.reason or 'Unschedulable'}: {scheduled.message}")
    away = node.not_ready if node is not None else None
    if away is not None:
        return "missing", _cut(f"the node is not Ready: {away}")
    if pod.status.phase in ("Failed", "Succeeded"):
        words = ": ".join(filter(None, (pod.status.reason, pod.status.message))) or f"its pod has {pod.status.phase}"
        return "failing", _cut(words)
    for container in sorted(pod.status.container_statuses, key=lambda each: each.name != "agent"):
        said = _trouble(container)
        if said is not None:
            # The verbs container may fail while the agent reads all the rest.
            return ("failing" if container.name == "agent" else "running"), _cut(said)
    if pod.status.phase == "Running":
        return "running", None
    return "starting", "its containers are being made"


def _trouble(container: ContainerStatus) -> str | None:
    """Why a container does not run, with what it said when it last ended."""
    waiting, ended = container.state.waiting, container.state.terminated
    if waiting is not None and waiting.reason not in STARTING:
        before = container.last_state.terminated
        last = f"; it last ended with {before.exit_code}: {before.message.strip() or before.reason}" if before else ""
        return f"{container.name}: {waiting.reason}: {waiting.message}{last}"
    if ended is not None and ended.exit_code:
        return f"{container.name}: ended with {ended.exit_code}: {ended.message.strip() or ended.reason}"
    return None


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= WORDS else text[: WORDS - 1] + "…"
