"""The pods of a workload that are not well, put together by what ails them."""

from __future__ import annotations

from typing import Literal, NamedTuple

from diagnostics.cluster.operator import signatures
from diagnostics.cluster.operator.index import WorkloadRef
from diagnostics.cluster.operator.inventory import MULTUS, Row
from diagnostics.cluster.operator.pods import (
    FAILED,
    MANY_RESTARTS,
    OOM_RECENT_S,
    RECENT_S,
    PodCard,
    alike,
)
from diagnostics.cluster.operator.scene import Scene
from diagnostics.cluster.operator.trouble import first_line, named

Grade = Literal["failed", "degraded", "rolling"]


class Ailment(NamedTuple):
    """Pods that ail from the same."""

    grade: Grade
    kind: str
    cards: tuple[PodCard, ...]
    words: str
    hint: str
    command: str

    @property
    def nodes(self) -> set[str]:
        return {card.node for card in self.cards if card.node}


def ailments(scene: Scene, row: Row, ref: WorkloadRef) -> list[Ailment]:
    """Worst first; pods on nodes whose kubelet is silent are left to the node's own trouble."""
    groups: dict[tuple[Grade, str, str], list[PodCard]] = {}
    pods = scene.index.pods[ref.kind, ref.key]
    for card in pods.bad.values():
        if card.node in scene.not_ready and card.phase not in FAILED:
            continue
        graded = _graded(scene, row, card)
        if graded is not None:
            grade, kind = graded
            words = alike(_said(scene, card)) if grade == "failed" else ""
            groups.setdefault((grade, kind, words), []).append(card)
    order = ("failed", "degraded", "rolling")
    found = [_ailment(scene, ref, grade, kind, cards) for (grade, kind, _), cards in groups.items()]
    return sorted(found, key=lambda each: (order.index(each.grade), -len(each.cards), each.kind))


def _graded(scene: Scene, row: Row, card: PodCard) -> tuple[Grade, str] | None:
    age = scene.age(card.created)
    slow = age is not None and age > row.starts_s
    if card.phase in FAILED:
        return "failed", "oom" if card.reason == "OOMKilled" else card.phase
    if card.phase == "starting" or card.phase == "waiting":
        return ("degraded", f"slow-{card.phase}") if slow else ("rolling", "starting")
    if card.phase == "unplaced":
        return "degraded", "unplaced"
    if card.phase == "ending":
        return "rolling", "ending"
    if card.phase in ("unready", "lost"):
        return "degraded", "unready"
    recent = scene.age(card.ended)
    if card.killed_by_memory and (recent is None or recent < OOM_RECENT_S):
        return "degraded", "oom"
    if card.restarts >= MANY_RESTARTS and recent is not None and recent < RECENT_S:
        return "degraded", "restarts"
    return None


def _said(scene: Scene, card: PodCard) -> str:
    """Its own words: of its end or its log, whichever is known to mean something."""
    log = scene.objects.logs.get(card.key, "")
    if log and signatures.read(log) is not None and signatures.read(card.words) is None:
        row = signatures.read(log)
        assert row is not None
        return next((line for line in reversed(log.splitlines()) if row.pattern.search(line)), log)
    return card.words or log.strip().rpartition("\n")[2]


def _ailment(scene: Scene, ref: WorkloadRef, grade: Grade, kind: str, cards: list[PodCard]) -> Ailment:
    cards = sorted(cards, key=lambda each: each.name)
    first = cards[0]
    said = _said(scene, first)
    known = signatures.read(said)
    head = _head(kind, cards)
    where = named({card.node for card in cards if card.node}) if any(card.node for card in cards) else "no node"
    words = f"{where}: {head}"
    if known is not None:
        words += f": {known.says}"
    if kind == "oom":
        words += f"; {_memory(ref, first)}"
    elif said and kind not in ("ending", "starting"):
        words += f' ("{first_line(said)}")'
    return Ailment(grade, kind, tuple(cards), words, _hint(kind, known, ref), _command(kind, first))


def _head(kind: str, cards: list[PodCard]) -> str:
    first = cards[0]
    container = f"{first.container}: " if first.container else ""
    restarts = max(card.restarts for card in cards)
    times = f", {restarts} restarts" if restarts > 1 else ", 1 restart" if restarts else ""
    code = f", exit code {first.exit_code}" if first.exit_code is not None else ""
    if kind == "oom":
        return f"{container}killed for want of memory (OOMKilled){times}"
    if kind == "image":
        image = dict(first.images).get(first.container, "")
        return f"{container}{first.reason}{f' of {image}' if image else ''}"
    if kind == "restarts":
        return f"{container}runs, but restarted {restarts} times"
    if kind == "unready":
        return f"{container}runs and is not ready"
    if kind == "unplaced":
        return "its pod is not placed on the node"
    if kind == "ending":
        return "its pod is being deleted"
    if kind in ("starting", "slow-starting", "slow-waiting"):
        return f"{container}{'still ' if kind != 'starting' else ''}starting ({first.reason})"
    return f"{container}{first.reason}{code}{times}"


def _memory(ref: WorkloadRef, card: PodCard) -> str:
    for each in ref.object.spec.template.spec.containers:
        limit = each.resources.limits.get("memory")
        if limit and (not card.container or each.name == card.container):
            return f"its limit is {limit}"
    return "no limit of its own: the node ran out"


def _hint(kind: str, known: signatures.Signature | None, ref: WorkloadRef) -> str:
    if kind == "oom":
        field = "secondaryNetwork.multus.containerResources" if ref.component == MULTUS else "containerResources"
        return f"raise the memory limit of {ref.name} ({field} in the policy)"
    if known is not None:
        return known.hint
    return {
        "image": "see the tag, the registry and imagePullSecrets",
        "config": "a Secret, ConfigMap or key that the container needs is missing",
        "unplaced": "see the pod's events: resources, taints and ports of the node",
        "unready": "see the readiness probe and the log of that container",
    }.get(kind, "see the log of its last run")


def _command(kind: str, card: PodCard) -> str:
    if kind in ("crash", "oom", "restarts", "exited"):
        container = f" -c {card.container}" if card.container else ""
        return f"kubectl logs -n {card.namespace} {card.name}{container} --previous"
    if kind in ("unready", "starting", "slow-starting"):
        return f"kubectl logs -n {card.namespace} {card.name}{f' -c {card.container}' if card.container else ''}"
    return f"kubectl describe pod -n {card.namespace} {card.name}"
