"""A judge whose memory outlives the agent: what it concludes goes into the store, what it knew comes out of it.

It also feeds the judge what is no part of a snapshot: the kernel log, and whether the store itself is well.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

import msgspec

from agent.history import History, Total
from agent.readers.kernel_log import KernelLog
from agent.store import Store
from diagnostics.checks.engine import Judge
from diagnostics.kernel_log import LogFilter
from diagnostics.model import Event, Finding, NodeSnapshot, Problem
from diagnostics.timing import now as time_now
from diagnostics.windows import Windows

SAVE_S = 30.0
"""The judge's memory is saved with each event, and at least this often."""
FACT = "judge"
BASELINE = "baseline"
BASELINE_S = 300.0
"""The counters' sums are saved this often, and at the end: a crash loses five minutes of them."""
ACKNOWLEDGED_S = 3.0
"""How long an acknowledgement may take to reach the disk; it stands in memory anyway."""

log = logging.getLogger(__name__)


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """Sums of the counters' rises since a time, good for one boot: a driver's counters begin anew with the next."""

    boot_id: str | None
    since: str
    totals: list[Total]


class Keeper:
    """Steps a judge and keeps what must not be lost; everything but `close` happens in the sampler's thread."""

    def __init__(self, judge: Judge, store: Store, kernel_log: KernelLog | None = None) -> None:
        self._judge = judge
        self._store = store
        self._kernel_log = kernel_log
        self._lines = LogFilter()
        self._standing: dict[str, Finding] = {}
        self._saved = self._summed = time.monotonic()
        self._history: History | None = None
        self._boot_id: str | None = None
        self._since = time_now()
        self._restore()

    def restore_baseline(self, history: History, boot_id: str | None) -> str | None:
        """Sums of before the restart go on; since when, or None where the node has booted meanwhile."""
        self._history, self._boot_id = history, boot_id
        body = self._store.fact(BASELINE)
        try:
            kept = msgspec.json.decode(body, type=Baseline) if body is not None else None
        except msgspec.MsgspecError as error:
            log.warning("the baseline of before cannot be read and begins anew: %s", error)
            kept = None
        if kept is None or boot_id is None or kept.boot_id != boot_id:
            return None
        history.restore(kept.totals)
        self._since = kept.since
        return kept.since

    def step(self, snapshot: NodeSnapshot, windows: Windows | None) -> tuple[NodeSnapshot, list[Event]]:
        """Judge a sample, and hand what is new to the store."""
        self._read_kernel_log()
        self._judge.store_problem = self._store.problem
        judged, events = self._judge.step(snapshot, windows)
        self._save(judged, events)
        told = tuple(self._problems())
        return msgspec.structs.replace(judged, errors=judged.errors + told) if told else judged, events

    def _problems(self) -> Iterator[Problem]:
        """What was lost on the way, of events and of the kernel's log."""
        if self._store.note is not None:
            yield Problem(source="store", message=self._store.note)
        if self._store.lost:
            yield Problem(source="store", message=f"{self._store.lost} writes were lost while the disk took nothing")
        if self._kernel_log is not None and self._kernel_log.overrun:
            message = f"the kernel's log ran over {self._kernel_log.overrun} times before it was read"
            yield Problem(source="kernel-log", message=message)
        if self._lines.dropped:
            message = f"{self._lines.dropped} lines of storms in the kernel's log were not looked at"
            yield Problem(source="kernel-log", message=message)

    def acknowledge(self, finding: str, by: str) -> Event | None:
        """A person has seen a finding; None for an id that does not stand. On disk before the caller hears of it."""
        event = self._judge.acknowledge(finding)
        if event is None:
            return None
        self._store.add_events([event])
        written = self._store.acknowledge(finding, by, time_now())
        if self._store.problem is None:
            with contextlib.suppress(FutureTimeout):
                written.result(ACKNOWLEDGED_S)
        return event

    def close(self) -> None:
        """Save the last of it, within the time that the end of the agent leaves."""
        self._save_memory()
        self._save_baseline()
        self._store.close()
        if self._kernel_log is not None:
            self._kernel_log.close()

    def _restore(self) -> None:
        body = self._store.fact(FACT)
        try:
            if body is not None:
                self._judge.restore(msgspec.json.decode(body, type=dict[str, Any]))
        except (msgspec.MsgspecError, KeyError, TypeError, ValueError, IndexError) as error:
            log.warning("what the judge knew before cannot be read and is left: %r", error)
        self._judge.acknowledged_before(self._store.acknowledged())

    def _read_kernel_log(self) -> None:
        if self._kernel_log is None:
            return
        boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        clock = time.monotonic()
        for line in self._kernel_log.poll():
            self._lines.feed(line.text, boot + line.boot_s, clock)
        self._judge.kernel_log = self._lines.events()
        self._judge.kernel_log_unread = self._kernel_log.unread

    def _save(self, judged: NodeSnapshot, events: Iterable[Event]) -> None:
        events = list(events)
        if events:
            self._store.add_events(events)
            self._save_findings(judged.findings)
        if events or time.monotonic() - self._saved >= SAVE_S:
            self._save_memory()
        if time.monotonic() - self._summed >= BASELINE_S:
            self._save_baseline()

    def _save_findings(self, findings: tuple[Finding, ...]) -> None:
        standing = {finding.id: finding for finding in findings}
        for finding in findings:
            if self._standing.get(finding.id) != finding:
                self._store.save_finding(finding, None)
        for number, finding in self._standing.items():
            if number not in standing:
                self._store.save_finding(finding, time_now())
        self._standing = standing

    def _save_memory(self) -> None:
        self._saved = time.monotonic()
        self._store.save_fact(FACT, msgspec.json.encode(self._judge.export()))

    def _save_baseline(self) -> None:
        self._summed = time.monotonic()
        if self._history is not None:
            kept = Baseline(boot_id=self._boot_id, since=self._since, totals=list(self._history.totals()))
            self._store.save_fact(BASELINE, msgspec.json.encode(kept))
