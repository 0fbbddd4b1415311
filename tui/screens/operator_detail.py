"""What an entry of the Operator screen stands on: evidence, pods in their own words, events, logs and objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from diagnostics.cluster.operator.inventory import title_of
from tui.operator_picture import Group, OperatorPicture
from tui.screens.operator_columns import role_of
from tui.widgets.line import Line, wrap
from tui.widgets.sentences import detail, evidence, sentence

if TYPE_CHECKING:
    from diagnostics.cluster.operator.findings import ClusterFinding
    from diagnostics.cluster.operator.pods import PodCard
    from tui.screens.session import Session
    from tui.sources.cluster import ClusterSource

PODS = 8
"""Failing pods that are told one by one; the rest is counted."""
LOG_LINES = 40


def _rows(rows: list[tuple[str, str]], width: int) -> list[Line]:
    out: list[Line] = []
    for name, text in rows:
        for number, line in enumerate(wrap(text, width - 14)):
            out.append(((f"   {name if number == 0 else '':<9} ", "dim"), (line, "")))
    return out


def component_lines(picture: OperatorPicture, name: str, session: Session, width: int) -> list[Line]:
    """All about one component."""
    each = next((c for c in picture.components if c.component == name), None)
    if each is None:
        return [((f" {name} is gone", "dim"),)]
    out: list[Line] = [((f" {title_of(name)}", "title"), (f"  {each.verdict}", role_of(each.verdict))), ()]
    rows = [("says", f"the operator says {each.operator_state or 'nothing of it'}; it is {each.verdict}")]
    if each.message:
        rows.append(("why", each.message))
    if each.version or each.expected_version:
        asked = f"; asked for {each.expected_version}" if each.expected_version else ""
        rows.append(("version", f"{each.version or 'not known'}{asked}"))
    if each.workload:
        rows.append(("objects", f"{each.workload} in namespace {each.namespace}"))
    if each.desired is not None:
        rows.append(("pods", f"{each.ready} of {each.desired} ready"))
    if each.nodes_failing:
        rows.append(("failing", ", ".join(each.nodes_failing)))
    rows += [("evidence" if number == 0 else "", evidence(fact)) for number, fact in enumerate(each.evidence)]
    out += _rows(rows, width)
    out += _findings(picture.findings_of(name), session, width)
    cards = picture.failing_pods(name)
    if cards:
        out += [(), ((" Pods", "title"),)]
        out += [line for card in cards[:PODS] for line in _pod(picture, card, width)]
        if len(cards) > PODS:
            out.append(((f"   {len(cards) - PODS:,} more", "dim"),))
    return out


def group_lines(picture: OperatorPicture, group: Group, session: Session, width: int) -> list[Line]:
    """All about nodes that are alike."""
    count = f"{len(group.nodes):,} node{'s' * (len(group.nodes) != 1)}"
    out: list[Line] = [((f" {count}", "title"),), ()]
    out += [((f"   {title_of(component)}  ", ""), (word, role_of(word))) for component, word in group.states]
    if not group.states:
        out.append((("   every component is ok there", ""),))
    about = [each for each in picture.findings if set(each.nodes) & set(group.nodes)]
    out += _findings(about, session, width)
    out += [(), ((" Nodes", "title"),)]
    return [*out, *(((f"   {line}", ""),) for line in wrap(", ".join(group.nodes), width - 4))]


def _findings(found: list[ClusterFinding], session: Session, width: int) -> list[Line]:
    out: list[Line] = []
    for each in found:
        placed = msgspec.structs.replace(each, component=None)  # its message begins with the title
        out += [(), *sentence(placed, session.theme, width, 6), *detail(each, session.store.time, width)]
        out += _rows([("type" if number == 0 else "", text) for number, text in enumerate(each.commands)], width)
    return out


def _pod(picture: OperatorPicture, card: PodCard, width: int) -> list[Line]:
    """Where it is, what is wrong with it in the kubelet's words, its last words and its events."""
    count = f", {card.restarts} restart{'s' * (card.restarts != 1)}" if card.restarts else ""
    head = f"{card.name} on {card.node or 'no node'}: {card.reason or card.phase}{count}"
    rows = [("", head)]
    if card.words:
        rows.append(("says", f"{card.container}: {card.words}" if card.container else card.words))
    last = picture.stack.objects.logs.get(card.key, "").strip().splitlines()[-3:]
    rows += [("log" if number == 0 else "", line) for number, line in enumerate(last)]
    told = [e for e in picture.stack.objects.of("events").values() if e.involved_object.name == card.name]
    rows += [("event", f"{event.reason}: {event.message}") for event in told[-3:]]
    return _rows(rows, width)


async def fetched(source: ClusterSource, picture: OperatorPicture, component: str, what: str) -> str:
    """The log of a pod, or the objects as YAML, asked now. Raises UserError where that is refused or there is none."""
    from tui.sources import cluster_asks

    if what == "yaml":
        return await cluster_asks.objects_yaml(
            source, [(r.kind, r.namespace, r.name) for r in picture.workloads(component)]
        )
    cards = picture.failing_pods(component) or [
        card
        for key, pods in picture.stack.pods.items()
        if key in picture.stack.workloads and picture.stack.workloads[key].component == component
        for card in list(pods.cards.values())[:1]
    ]
    return await cluster_asks.pod_log(source, cards[0] if cards else None, LOG_LINES)
