"""Counter rules: which rise of which counters within which window is too much, as rows.

A rule counts (`more than 10 in 1 min`, true as soon as it is reached, however young the history) or averages (`more
than 10 a second`, over the window, or over ten seconds while history is shorter). Rules without a threshold note any
rise. A finding stands until the rise is under half of what raised it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from diagnostics.checks.base import (
    SEVERITIES,
    Check,
    Raised,
    State,
    Threshold,
    Unjudged,
    label,
    number,
    row_of,
    span,
)
from diagnostics.model import Evidence, Severity
from diagnostics.windows import MINUTE

SHORTEST_AVERAGE_S = 10.0
"""A burst of one sample is spread over at least this, so that a single second never makes a rate."""

STAY = 0.5
"""Part of the threshold at which a standing finding may end."""


def stay(state: State, check: Check, device: str | None, port: int | None) -> float:
    """Part of a threshold that breaks it: all of it, or STAY where the finding stands already."""
    return STAY if state.is_active(check.id, device, port) else 1.0


class Rule(NamedTuple):
    """One row of a check."""

    counters: tuple[str, ...]
    """Added up."""
    what: str
    """What they count, in the plural: `symbol errors`."""
    severity: Severity
    threshold: str | None = None
    """Name of the check's threshold; None: any rise."""
    kind: Literal["count", "rate"] = "count"
    why: str = ""
    """What it means, after the figure."""


class Breach(NamedTuple):
    """A rule that is broken, and by how much."""

    rule: Rule
    figure: float
    """What was compared: a sum, or a rate."""
    covered: float
    """Seconds."""
    parts: list[tuple[str, float]]
    limit: Threshold | None


def counters_of(rules: Iterable[Rule]) -> tuple[str, ...]:
    """Every counter that the rules read, each once."""
    return tuple(dict.fromkeys(name for rule in rules for name in rule.counters))


def judge_rules(state: State, check_id: str, rules: tuple[Rule, ...]) -> Iterator[Raised | Unjudged]:
    """One finding for each port that breaks a rule: the worst rule speaks, all of them are evidence."""
    check = row_of(check_id)
    blocked = not_judged(state, check)
    if blocked is not None:
        yield blocked
        return
    for device, port in targets(state):
        raised = judge_port(state, check, rules, device, port)
        if raised is not None:
            yield raised


def not_judged(state: State, check: Check) -> Unjudged | None:
    """Why counters cannot be judged on this node at all."""
    if not state.ports:
        return Unjudged("skip", "there is no port")
    if state.windows is None:
        return Unjudged("unknown", "one reading alone: counters are judged over time")
    names = set(check.counters)
    if not any(not names.isdisjoint(state.memory.names(port.device, port.port)) for port in state.ports):
        more = " …" if len(check.counters) > 3 else ""
        return Unjudged("unknown", f"no port has {', '.join(check.counters[:3])}{more}")
    return None


def targets(state: State) -> Iterator[tuple[str, int]]:
    """Ports on which a watched counter moved within the hour."""
    for port in state.ports:
        if (port.device, port.port) in state.memory.moved and port.stale_since is None:
            yield port.device, port.port


def judge_port(state: State, check: Check, rules: tuple[Rule, ...], device: str, port: int | None) -> Raised | None:
    moved = state.moved(device, port)
    part = stay(state, check, device, port)
    breaches: list[Breach] = []
    for rule in rules:
        if moved.keys().isdisjoint(rule.counters):
            continue
        if rule.threshold is None and any(breach.rule.counters == rule.counters for breach in breaches):
            continue  # a threshold on the same counters has spoken
        breach = breach_of(state, check, rule, device, port, part)
        if breach is not None:
            breaches.append(breach)
    if not breaches:
        return None
    breaches.sort(key=lambda each: SEVERITIES.index(each.rule.severity))
    evidence: dict[str, Evidence] = {}
    for breach in breaches:
        _add_evidence(evidence, breach)
    return Raised(
        breaches[0].rule.severity,
        f"{label(device, port)}: {_sentence(breaches[0])}",
        device,
        port,
        tuple(evidence.values()),
        unread=unread(state, check, device, port),
    )


def breach_of(state: State, check: Check, rule: Rule, device: str, port: int | None, part: float) -> Breach | None:
    """The breach, if `part` of the rule's threshold is passed."""
    limit = state.threshold(check, rule.threshold) if rule.threshold is not None else None
    window = limit.window_s if limit is not None and limit.window_s is not None else MINUTE
    total, covered, parts = added_up(state, rule.counters, device, port, window)
    if total <= 0:
        return None
    figure = total / max(covered, SHORTEST_AVERAGE_S) if rule.kind == "rate" else total
    if limit is not None and figure <= limit.value * part:
        return None
    return Breach(rule, figure, covered, parts, limit)


def added_up(
    state: State, names: Iterable[str], device: str, port: int | None, window_s: float
) -> tuple[float, float, list[tuple[str, float]]]:
    """(sum of the known rises, seconds covered, the rise of each counter that rose)."""
    total, covered, parts = 0.0, 0.0, []
    moved = state.moved(device, port)
    for name in names:
        if name not in moved:
            continue
        delta = state.delta(device, port, name, window_s)
        if delta is not None and delta.value is not None and delta.value > 0:
            total += delta.value
            covered = max(covered, delta.seconds)
            parts.append((name, delta.value))
    return total, covered, parts


def evidence_of(parts: list[tuple[str, float]], seconds: float, limit: Threshold) -> tuple[Evidence, ...]:
    """What several counters rose by over one window."""
    return tuple(
        Evidence(
            name=name,
            value=value,
            unit="us" if name.endswith("_duration") else "",
            window_s=seconds,
            threshold=limit.value,
            source=limit.publisher,
        )
        for name, value in parts
    )


def unread(state: State, check: Check, device: str, port: int | None) -> tuple[str, ...]:
    """Counters of the check that this port has and that say nothing now."""
    said = []
    clamped = state.memory.clamped
    for name, index in state.memory.places(check.counters, device, port):
        counter = state.snapshot.counters[index]
        if clamped and (device, port, name) in clamped:
            said.append(f"{name} (clamped at {counter.value})")
        elif counter.value is None:
            said.append(f"{name} ({counter.unread or counter.quality})")
    return tuple(said)


def _sentence(breach: Breach) -> str:
    rule, limit, window = breach.rule, breach.limit, span(breach.covered)
    if rule.kind == "rate" and breach.covered >= SHORTEST_AVERAGE_S:
        amount = f"{number(breach.figure)}/s over {window}"
    else:
        amount = f"{number(sum(value for _, value in breach.parts))} in {window}"
    why = f" ({rule.why})" if rule.why else ""
    over = f"; threshold {limit_text(limit, rule.kind)}" if limit is not None and limit.value > 0 else ""
    return f"{rule.what}: {amount}{why}{over}"


def limit_text(limit: Threshold, kind: str) -> str:
    return f"{number(limit.value)}/s" if kind == "rate" else f"{number(limit.value)} in {span(limit.window_s)}"


def _add_evidence(evidence: dict[str, Evidence], breach: Breach) -> None:
    """Each counter once, as the worst rule sees it."""
    threshold = breach.limit.value if breach.limit is not None else None
    publisher = breach.limit.publisher if breach.limit is not None else None
    for name, value in breach.parts:
        if name not in evidence:
            evidence[name] = Evidence(
                name=name, value=value, unit="", window_s=breach.covered, threshold=threshold, source=publisher
            )
