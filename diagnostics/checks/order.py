"""Cause before consequence: which finding follows from which, in what order they are told, and the health of it all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from diagnostics.checks.base import SEVERITIES, Check
from diagnostics.checks.lifecycle import Standing
from diagnostics.model import Finding, FindingCounts, Health
from diagnostics.natural import natural

HEALTH: dict[str, Health] = {"critical": "failed", "warning": "warning"}


def linked(standing: list[Standing], check_of: Callable[[str], Check]) -> list[Finding]:
    """Findings with `follows` filled in: the likeliest cause on the same port, else device, else node."""
    by_target: dict[tuple[str, str | None, int | None], Finding] = {}
    for each in standing:
        finding = each.finding
        by_target.setdefault((finding.check, finding.device, finding.port), finding)
    causes: dict[str, str] = {}
    for each in standing:
        cause = _cause(each, check_of(each.finding.check), by_target, causes)
        if cause is not None:
            causes[each.finding.id] = cause
    return [
        each.finding if each.finding.follows == causes.get(each.finding.id)
        else msgspec.structs.replace(each.finding, follows=causes.get(each.finding.id))
        for each in standing
    ]  # fmt: skip


def _cause(
    standing: Standing,
    check: Check,
    by_target: Mapping[tuple[str, str | None, int | None], Finding],
    causes: dict[str, str],
) -> str | None:
    finding = standing.finding
    candidates = check.follows if standing.raised.causes is None else standing.raised.causes
    for cause_id in candidates:
        for device, port in ((finding.device, finding.port), (finding.device, None), (None, None)):
            cause = by_target.get((cause_id, device, port))
            if cause is None or cause.id == finding.id or _leads_to(cause.id, finding.id, causes):
                continue
            if cause.severity == "info" and finding.severity != "info":
                continue  # a note explains no warning
            return cause.id
    return None


def _leads_to(start: str, end: str, causes: Mapping[str, str]) -> bool:
    seen = set()
    while start in causes and start not in seen:
        seen.add(start)
        start = causes[start]
        if start == end:
            return True
    return False


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Groups of a cause and all that follows from it; groups by their worst severity, then by node and device."""
    findings = list(findings)
    known = {finding.id for finding in findings}
    children: dict[str | None, list[Finding]] = {}
    for finding in findings:
        children.setdefault(finding.follows if finding.follows in known else None, []).append(finding)
    groups = [_group(root, children) for root in children.get(None, [])]
    groups.sort(key=lambda group: (min(map(_rank, group)), *_place(group[0])))
    return tuple(finding for group in groups for finding in group)


def _group(root: Finding, children: Mapping[str | None, list[Finding]]) -> list[Finding]:
    group = [root]
    for child in sorted(children.get(root.id, []), key=lambda each: (_rank(each), *_place(each))):
        group.extend(_group(child, children))
    return group


def _rank(finding: Finding) -> int:
    return SEVERITIES.index(finding.severity)


def _place(finding: Finding) -> tuple[object, ...]:
    """A finding of the whole node stands after those of its devices."""
    return (
        natural(finding.node),
        finding.device is None,
        natural(finding.device),
        finding.port or 0,
        _LAYER.get(finding.layer, 99),
        finding.check,
        finding.message,
    )


_LAYER = {"link": 0, "pcie": 1, "congestion": 2, "errors": 3, "host": 4, "benchmarks": 5, "agent": 6}
"""Nearer to the hardware is nearer to the cause."""


def counts(findings: Iterable[Finding]) -> FindingCounts:
    tally = dict.fromkeys(SEVERITIES, 0)
    for finding in findings:
        tally[finding.severity] += 1
    return FindingCounts(critical=tally["critical"], warning=tally["warning"], info=tally["info"])


def health_of(findings: Iterable[Finding], judged: bool) -> Health:
    """The worst finding decides; without one, healthy if anything could be judged."""
    worst = min((_rank(finding) for finding in findings), default=len(SEVERITIES))
    if worst >= SEVERITIES.index("info"):
        return "healthy" if judged else "unknown"
    return HEALTH[SEVERITIES[worst]]
