"""How much a counter rose over a window of time: what every rate-based check asks.

The agent's history answers it from memory; `PairWindows` answers it from two captured readings. A rise that is not
known (reset, clamp, missing reading) is None: never 0.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from diagnostics.counters import CounterSpec, spec_of
from diagnostics.model import Counter, NodeSnapshot, Quality
from diagnostics.rates import Block, rates

SECOND, MINUTE, HOUR = 1.0, 60.0, 3600.0

PortKey = tuple[str, int | None]
Earlier = dict[tuple[str, int | None, str, str], Counter]


class Delta(NamedTuple):
    """The rise of one counter over a window."""

    value: float | None
    """In the counter's unit, scale applied; None where it is not known."""
    seconds: float
    """What the window really covers: less than was asked for while history is short."""
    quality: Quality

    @property
    def rate(self) -> float | None:
        """In units a second."""
        return self.value / self.seconds if self.value is not None and self.seconds > 0 else None


class Windows(Protocol):
    """Answers of a history; `port` is None for a counter of the whole device."""

    def delta(self, device: str, port: int | None, name: str, window_s: float) -> Delta | None:
        """None for a counter that the history does not have."""


class PairWindows:
    """Two readings `interval_s` apart: every window covers just these."""

    def __init__(self, before: NodeSnapshot, after: NodeSnapshot, interval_s: float) -> None:
        self._interval_s = interval_s
        self._deltas: dict[tuple[str, int | None, str], Delta] = {}
        earlier: Earlier = {(c.device, c.port, c.name, c.source): c for c in before.counters}
        by_port: dict[PortKey, list[Counter]] = {}
        for counter in after.counters:
            by_port.setdefault((counter.device, counter.port), []).append(counter)
        for (device, port), counters in by_port.items():
            self._rate_port(device, port, counters, earlier)

    def _rate_port(
        self,
        device: str,
        port: int | None,
        counters: list[Counter],
        earlier: Earlier,
    ) -> None:
        specs = tuple(spec_of(counter.name, counter.source) for counter in counters)
        old = [earlier.get((device, port, counter.name, counter.source)) for counter in counters]
        first = Block(specs, [_raw(counter, spec) for counter, spec in zip(old, specs, strict=True)], 0)
        second = Block(
            specs,
            [_raw(counter, spec) for counter, spec in zip(counters, specs, strict=True)],
            int(self._interval_s * 1e9),
        )
        risen = rates(first, second)
        for spec, increase, quality in zip(specs, risen.increase, risen.quality, strict=True):
            known = increase is not None and quality in ("ok", "wrapped")
            value = float(increase * spec.scale) if known and increase is not None else None
            self._deltas.setdefault((device, port, spec.name), Delta(value, self._interval_s, quality))

    def delta(self, device: str, port: int | None, name: str, window_s: float) -> Delta | None:  # noqa: ARG002
        return self._deltas.get((device, port, name))


def _raw(counter: Counter | None, spec: CounterSpec) -> int | None:
    """As the kernel counts it: widths and tops are those of its number."""
    return counter.value // spec.scale if counter is not None and counter.value is not None else None
