"""What is the matter with one pod of a component: read once a version of the pod, judged against the clock later."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Literal, NamedTuple

import msgspec

from diagnostics.cluster.operator.objects import Affinity, ComponentPod, ContainerStatus

Phase = Literal[
    "ok", "crash", "image", "config", "exited", "starting", "waiting", "unready", "unplaced", "ending", "lost"
]

CRASH_REASONS = {"CrashLoopBackOff", "RunContainerError", "StartError", "PostStartHookError"}
IMAGE_REASONS = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
}
CONFIG_REASONS = {"CreateContainerConfigError", "CreateContainerError", "PreCreateHookError"}
FAILED: frozenset[Phase] = frozenset(("crash", "image", "config", "exited"))
"""It does not run and will not by waiting."""
RECENT_S = 600.0
"""A restart is news for so long."""
OOM_RECENT_S = 3600.0
MANY_RESTARTS = 3


class PodCard(NamedTuple):
    """A pod in a few words."""

    name: str
    namespace: str
    node: str
    phase: Phase
    reason: str
    """`CrashLoopBackOff`, `OOMKilled`, `Unschedulable`."""
    container: str
    words: str
    """The kubelet's or the container's own."""
    exit_code: int | None
    restarts: int
    created: float | None
    ended: float | None
    """When a container of it last ended."""
    started: float | None
    """When its first container began, or the pod itself."""
    revision: str
    images: tuple[tuple[str, str], ...]
    """Container -> image, as the pod's own spec has it."""
    killed_by_memory: bool
    ready_to_judge: bool
    """Nothing at all to say of it: not even a restart."""

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"


def card_of(pod: ComponentPod) -> PodCard:
    """Read a pod; the costs are paid by those that are not well."""
    meta, status = pod.metadata, pod.status
    phase, reason, container, words, code = _found(pod)
    restarts, ended, memory = 0, None, False
    for each in status.container_statuses or ():
        restarts += each.restart_count
        if each.restart_count or each.last_state.terminated is not None:
            ended, memory = _last_end(each, ended, memory)
    for each in status.init_container_statuses:
        if each.last_state.terminated is not None or each.restart_count:
            restarts += each.restart_count
            ended, memory = _last_end(each, ended, memory)
    memory = memory or reason == "OOMKilled"
    running = status.container_statuses[0].state.running if status.container_statuses else None
    return PodCard(
        meta.name,
        meta.namespace,
        pod.spec.node_name or _meant_for(pod.spec.affinity),
        phase,
        reason,
        container,
        words,
        code,
        restarts,
        epoch(meta.creation_timestamp),
        ended,
        epoch((running.started_at if running else None) or status.start_time),
        meta.labels.get("controller-revision-hash", ""),
        tuple((each.name, each.image) for each in pod.spec.containers),
        memory,
        phase == "ok" and not restarts and not memory,
    )


_Found = tuple[Phase, str, str, str, "int | None"]


def _found(pod: ComponentPod) -> _Found:
    status = pod.status
    for each in (*status.init_container_statuses, *status.container_statuses):
        found = _of_container(each)
        if found is not None:
            return found
    if pod.metadata.deletion_timestamp is not None:
        return "ending", "Terminating", "", f"deleted at {pod.metadata.deletion_timestamp}", None
    if status.reason == "NodeLost":
        return "lost", status.reason, "", status.message, None
    if status.phase == "Failed":
        return "exited", status.reason or "Failed", "", status.message, None
    if status.phase == "Pending":
        return _pending(pod)
    conditions = {each.type: each for each in status.conditions}
    ready = conditions.get("Ready")
    if ready is not None and ready.status == "True":
        return "ok", "", "", "", None
    slow = next((each for each in status.container_statuses if not each.ready), None)
    if ready is None and slow is None and status.phase == "Running":
        return "ok", "", "", "", None
    name = slow.name if slow else ""
    words = ready.message if ready is not None else ""
    if slow is not None and slow.started is False:
        return "starting", "Starting", name, words, None
    return "unready", (ready.reason if ready is not None and ready.reason else "NotReady"), name, words, None


def _of_container(each: ContainerStatus) -> _Found | None:
    waiting, ended, last = each.state.waiting, each.state.terminated, each.last_state.terminated
    if waiting is not None:
        if waiting.reason in IMAGE_REASONS:
            return "image", waiting.reason, each.name, waiting.message or each.image, None
        if waiting.reason in CONFIG_REASONS:
            return "config", waiting.reason, each.name, waiting.message, None
        if waiting.reason in CRASH_REASONS:
            reason = "OOMKilled" if last is not None and last.reason == "OOMKilled" else waiting.reason
            words = (last.message if last is not None else "") or waiting.message
            return "crash", reason, each.name, words, last.exit_code if last is not None else None
    if ended is not None and (ended.exit_code or ended.reason in ("OOMKilled", "Error", "ContainerCannotRun")):
        return "crash", ended.reason or "Error", each.name, ended.message, ended.exit_code
    return None


def _pending(pod: ComponentPod) -> _Found:
    for condition in pod.status.conditions:
        if condition.type == "PodScheduled" and condition.status == "False":
            return "unplaced", condition.reason or "Unschedulable", "", condition.message, None
    waiting = next(
        (
            (each.name, each.state.waiting)
            for each in (*pod.status.init_container_statuses, *pod.status.container_statuses)
            if each.state.waiting is not None
        ),
        None,
    )
    if waiting is not None:
        return "waiting", waiting[1].reason or "Pending", waiting[0], waiting[1].message, None
    return "waiting", "Pending", "", pod.status.message, None


def _last_end(each: ContainerStatus, ended: float | None, memory: bool) -> tuple[float | None, bool]:
    last = each.last_state.terminated or each.state.terminated
    if last is None:
        return ended, memory
    at = epoch(last.finished_at)
    newest = max((value for value in (ended, at) if value is not None), default=None)
    return newest, memory or last.reason == "OOMKilled"


def epoch(text: str | None) -> float | None:
    """Seconds of an RFC 3339 time; None for what is none."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc).timestamp()
    except ValueError:
        return None


def _meant_for(affinity: msgspec.Raw) -> str:
    """The node that a DaemonSet's pod is for before the scheduler has bound it."""
    if not bytes(affinity):
        return ""
    try:
        terms = msgspec.json.decode(affinity, type=Affinity).node_affinity.required.node_selector_terms
    except msgspec.MsgspecError:
        return ""
    return next(
        (
            value
            for term in terms
            for field in term.match_fields
            if field.key == "metadata.name"
            for value in field.values
        ),
        "",
    )


_VARIABLE = re.compile(r"0x[0-9a-f]+|[0-9a-f]{8,}|\d+(\.\d+)*|\"[^\"]*\"")


def alike(words: str) -> str:
    """The words without what differs from pod to pod: two crashes of one cause are one finding."""
    return _VARIABLE.sub("#", words)[:120]
