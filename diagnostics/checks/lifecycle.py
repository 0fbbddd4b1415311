"""From what a check raises now to findings that last: ids, since, hysteresis, acknowledgement, events.

A finding begins with the first sample that raises it and ends when nothing has raised it for its hold; its severity
rises at once and falls only after the same hold. So it changes at most twice in a hold, however the condition flickers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

import msgspec

from diagnostics.checks.base import SEVERITIES, Check, Raised
from diagnostics.model import Event, Finding, Severity
from diagnostics.timing import rfc3339

MOST_EPISODES = 2000
"""Targets of which the number of episodes is kept, so that an id is not used again."""

Key = tuple[str, str | None, int | None, str]


class Standing:
    """A finding that lasts."""

    __slots__ = ("acknowledged", "finding", "hold_s", "raised", "seen", "severities", "sticky")

    def __init__(self, finding: Finding, raised: Raised, check: Check, clock: float) -> None:
        self.finding = finding
        self.raised = raised
        self.hold_s = check.clear_s
        self.sticky = check.sticky
        self.seen = clock
        """Monotonic time at which it was raised last."""
        self.severities: dict[Severity, float] = {raised.severity: clock}
        """The same, of each severity."""
        self.acknowledged = False


class Stepped(NamedTuple):
    standing: list[Standing]
    events: list[Event]


class Lifecycle:
    """The findings of one node."""

    def __init__(self, on_acknowledge: Callable[[Finding], None] = lambda _finding: None) -> None:
        self._standing: dict[Key, Standing] = {}
        self._episodes: dict[Key, int] = {}
        self._on_acknowledge = on_acknowledge

    def step(
        self,
        node: str,
        raised: Iterable[tuple[Check, Raised]],
        now: float,
        clock: float,
        keep: Collection[str] = (),
    ) -> Stepped:
        """Take in what the checks raised in one sample; `keep` are checks that could not say whether theirs is over."""
        events: list[Event] = []
        for check, each in raised:
            key = (check.id, each.device, each.port, each.key)
            known = self._standing.get(key)
            if known is None:
                known = self._begin(node, key, check, each, now, clock)
                events.append(_event(known.finding, "started", now))
            else:
                self._go_on(known, check, each, now, clock, events)
        for key, standing in self._standing.items() if keep else ():
            if key[0] in keep:
                standing.seen = clock
        for key in [key for key, each in self._standing.items() if clock - each.seen >= _hold(each)]:
            ended = self._standing.pop(key)
            events.append(_event(ended.finding, "ended", now))
        return Stepped(list(self._standing.values()), events)

    def _begin(self, node: str, key: Key, check: Check, raised: Raised, now: float, clock: float) -> Standing:
        episode = self._episodes.pop(key, 0) + 1
        self._episodes[key] = episode
        while len(self._episodes) > MOST_EPISODES:
            del self._episodes[next(iter(self._episodes))]
        finding = Finding(
            id=finding_id(node, key, episode),
            node=node,
            device=raised.device,
            port=raised.port,
            component=None,
            check=check.id,
            layer=check.layer,
            severity=raised.severity,
            message=raised.message,
            evidence=raised.evidence,
            since=rfc3339(now),
            hint=raised.hint or check.hint,
            follows=None,
            acknowledged=False,
            unread=raised.unread,
        )
        standing = self._standing[key] = Standing(finding, raised, check, clock)
        return standing

    def _go_on(
        self, known: Standing, check: Check, raised: Raised, now: float, clock: float, events: list[Event]
    ) -> None:
        known.seen = clock
        known.severities[raised.severity] = clock
        old = known.finding.severity
        severity = next(each for each in SEVERITIES if clock - known.severities.get(each, -1e18) < known.hold_s)
        if raised == known.raised and severity == old:
            return
        known.raised = raised
        known.finding = msgspec.structs.replace(
            known.finding,
            severity=severity,
            message=raised.message,
            evidence=raised.evidence,
            hint=raised.hint or check.hint,
            unread=raised.unread,
        )
        if severity != old:
            events.append(_event(known.finding, "changed", now))

    def acknowledge(self, finding_id: str, now: float) -> Event | None:
        """A person has seen it: a sticky finding that is over then ends. The event, or None for an unknown id."""
        for standing in self._standing.values():
            if standing.finding.id == finding_id:
                standing.acknowledged = True
                standing.finding = msgspec.structs.replace(standing.finding, acknowledged=True)
                self._on_acknowledge(standing.finding)
                return _event(standing.finding, "changed", now)
        return None

    def keys(self) -> set[tuple[str, str | None, int | None]]:
        """(check, device, port) of what stands."""
        return {key[:3] for key in self._standing}

    def export(self) -> dict[str, Any]:
        return {
            "standing": [[list(key), msgspec.to_builtins(each.finding)] for key, each in self._standing.items()],
            "episodes": [[list(key), count] for key, count in self._episodes.items()],
        }

    def restore(self, data: dict[str, Any], checks: Callable[[str], Check | None], clock: float) -> None:
        """Findings go on where they were: one that is not raised again within its hold ends as usual."""
        for key_list, body in data["standing"]:
            key: Key = (key_list[0], key_list[1], key_list[2], key_list[3])
            finding = msgspec.convert(body, Finding)
            check = checks(finding.check)
            if check is None:
                continue
            raised = Raised(
                finding.severity, finding.message, finding.device, finding.port, finding.evidence, key=key[3]
            )
            standing = self._standing[key] = Standing(finding, raised, check, clock)
            standing.acknowledged = finding.acknowledged
        for key_list, count in data["episodes"]:
            self._episodes[key_list[0], key_list[1], key_list[2], key_list[3]] = count


def _hold(standing: Standing) -> float:
    return 0.001 if standing.acknowledged and standing.sticky else standing.hold_s


def finding_id(node: str, key: Key, episode: int) -> str:
    """`link-down-3f2a9c1e`, and `-2` behind it when the same comes a second time."""
    import hashlib  # 3 ms, for whoever has a finding

    digest = hashlib.blake2s(repr((node, *key)).encode(), digest_size=4).hexdigest()
    return f"{key[0]}-{digest}" + (f"-{episode}" if episode > 1 else "")


def _event(finding: Finding, kind: Any, now: float) -> Event:
    return Event(
        node=finding.node,
        time=rfc3339(now),
        check=finding.check,
        device=finding.device,
        port=finding.port,
        kind=kind,
        message=finding.message,
    )
