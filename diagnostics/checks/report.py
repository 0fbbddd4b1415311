"""The report of `rdmatop check`: every check with its status, and a reason for each that could not run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from diagnostics.checks import REGISTRY
from diagnostics.checks.base import Check, Unjudged
from diagnostics.checks.engine import Judge
from diagnostics.checks.order import ordered
from diagnostics.model import SCHEMA, Finding, Health, Layer, NodeSnapshot, Problem, Wire
from diagnostics.windows import Delta

Status = Literal["pass", "warn", "fail", "skip", "unknown"]
STATUS: dict[str, Status] = {"critical": "fail", "warning": "warn", "info": "pass"}


class CheckStatus(Wire, kw_only=True, frozen=True):
    """One check of one node."""

    check: str
    layer: Layer
    node: str
    status: Status
    reason: str | None
    """The worst finding's message, or why nothing was said; None where all is well."""


class CheckReport(Wire, kw_only=True, frozen=True):
    """What `rdmatop check -o json` prints."""

    schema: str = SCHEMA
    kind: str = "CheckReport"
    time: str
    passed: bool
    health: dict[str, Health]
    checks: tuple[CheckStatus, ...]
    findings: tuple[Finding, ...]
    errors: tuple[Problem, ...]


class Judged(NamedTuple):
    """A snapshot with its findings, and what its checks could not judge."""

    snapshot: NodeSnapshot
    unjudged: Mapping[str, Sequence[Unjudged]]


class _Watched:
    """Stands for the history of an agent that judged already: only which counters there are is asked then."""

    def delta(self, device: str, port: int | None, name: str, window_s: float) -> Delta | None:  # noqa: ARG002
        return None


def of_agent(snapshot: NodeSnapshot) -> Judged:
    """A snapshot whose findings an agent made: what it could not judge is worked out from the same snapshot."""
    judge = Judge(capabilities=frozenset({"store"}))
    judge.kernel_log_unread = None
    judge.observe(snapshot, 0.0, 0.0)
    judge.step(snapshot, _Watched(), 0.0, 0.0)
    return Judged(snapshot, judge.unjudged)


def report(judged: Iterable[Judged], time: str, *, strict: bool = False, errors: Iterable[Problem] = ()) -> CheckReport:
    """All nodes in one report; it has passed when nothing is critical, with `strict` nothing a warning either."""
    nodes = list(judged)
    findings = ordered(finding for each in nodes for finding in each.snapshot.findings)
    bad = {"critical", "warning"} if strict else {"critical"}
    return CheckReport(
        time=time,
        passed=bool(nodes) and not any(finding.severity in bad for finding in findings),
        health={each.snapshot.node.node: each.snapshot.node.health for each in nodes},
        checks=tuple(_status(check, each) for each in nodes for check in REGISTRY.values()),
        findings=findings,
        errors=(*(problem for each in nodes for problem in each.snapshot.errors), *errors),
    )


def _status(check: Check, judged: Judged) -> CheckStatus:
    status, reason = _verdict(check, judged)
    return CheckStatus(check=check.id, layer=check.layer, node=judged.snapshot.node.node, status=status, reason=reason)


def _verdict(check: Check, judged: Judged) -> tuple[Status, str | None]:
    found = [finding for finding in judged.snapshot.findings if finding.check == check.id]
    for severity, status in STATUS.items():
        worst = [finding for finding in found if finding.severity == severity]
        if worst and severity != "info":
            more = f" (and {len(worst) - 1} more)" if len(worst) > 1 else ""
            return status, worst[0].message + more
    for each in judged.unjudged.get(check.id, ()):
        return each.status, each.reason
    return "pass", found[0].message if found else None


def summary(report_: CheckReport) -> str:
    """`2 critical, 1 warning, 4 info; 31 checks: 20 passed, 2 failed, 9 not judged`."""
    tally = {name: sum(1 for finding in report_.findings if finding.severity == name) for name in STATUS}
    states = {
        name: sum(1 for check in report_.checks if check.status == name)
        for name in (*STATUS.values(), "skip", "unknown")
    }
    verdict = "passed" if report_.passed else "failed"
    return (
        f"{verdict}: {tally['critical']} critical, {tally['warning']} warnings, {tally['info']} notes; "
        f"{len(report_.checks)} checks: {states['pass']} passed, {states['fail']} failed, {states['warn']} warned, "
        f"{states['skip']} not applicable, {states['unknown']} could not be judged"
    )
