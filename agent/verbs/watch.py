"""What a running loop looks up at, some twenty times a second: the time, a cancel, silence, and who wants progress."""

from __future__ import annotations

from collections.abc import Callable

from agent.verbs.errors import JobError


class Stopped(Exception):
    """The run was cancelled while it waited for a message; what was measured until then counts."""


LOOK_NS = 50_000_000
REPORT_NS = 200_000_000
PRESENCE_NS = 1_000_000_000
"""Without a completion for so long, the port itself is asked whether it is still there."""


class Watch:
    """Decides when a loop is over; the loops themselves only count."""

    def __init__(
        self,
        silence_s: float,
        is_cancelled: Callable[[], bool],
        report: Callable[[float, int, int], None],
        require_present: Callable[[], None],
    ) -> None:
        self._silence_ns = int(silence_s * 1e9)
        self._is_cancelled = is_cancelled
        self._report = report
        """Called with fraction, units done and nanoseconds."""
        self._require_present = require_present
        self.over = False
        """The time has passed or the run was cancelled: post no more."""
        self.cancelled = False
        self._begun = self._changed_at = self._asked_at = self._reported_at = 0
        self._seen = -1
        self._duration_ns: int | None = None
        self._total: int | None = None

    def begin(self, now: int, duration_ns: int | None, total: int | None) -> None:
        """A loop starts now and ends after a time or a number of units."""
        self.over = self.cancelled
        self._begun = self._reported_at = now
        self.stir(now)
        self._duration_ns, self._total = duration_ns, total

    def stir(self, now: int) -> None:
        """Silence is counted from now on."""
        self._changed_at = self._asked_at = now
        self._seen = -1

    def look(self, now: int, done: int, step: int) -> int:
        """Between two completions: sets `over`, reports, and gives the number of units until the next look."""
        elapsed = now - self._begun
        if self._duration_ns is not None and elapsed >= self._duration_ns:
            self.over = True
        if self._is_cancelled():
            self.over = self.cancelled = True
        if now - self._reported_at >= REPORT_NS:
            self._reported_at = now
            self._report(self._fraction(elapsed, done), done, elapsed)
        # at most doubled: the first completions may be much faster than the rest
        return max(1, min(2 * step, done * LOOK_NS // max(1, elapsed)))

    def is_silent(self, now: int, done: int) -> bool:
        """While nothing completes: True when the run was cancelled meanwhile. Raises JobError after too long."""
        if done != self._seen:
            self._seen, self._changed_at, self._asked_at = done, now, now
            return False
        if self._is_cancelled():
            self.over = self.cancelled = True
            return True
        if now - self._changed_at >= self._silence_ns:
            self._require_present()
            raise JobError(
                f"no completion in {self._silence_ns / 1e9:g} s: the device neither finished nor refused the work",
                "look at the kernel log and the port's counters; local_ack_timeout_err rises when nobody answers",
            )
        if now - self._asked_at >= PRESENCE_NS:
            self._asked_at = now
            self._require_present()
            self._report(self._fraction(now - self._begun, done), done, now - self._begun)
        return False

    def _fraction(self, elapsed: int, done: int) -> float:
        if self._total:
            return min(1.0, done / self._total)
        return min(1.0, elapsed / self._duration_ns) if self._duration_ns else 0.0
