"""Two readings of the same counters -> increase, rate and how far each may be trusted.

Only the monotonic time of the readings counts; a step of the wall clock changes nothing. What cannot be known is None,
never 0, and what a counter could not have done is not stated as a rate:

- `first`: there is no earlier reading to compare with, none of this counter, or none long enough ago.
- `unknown`: not read this time; or it rose by more than the port can carry: it is not the same counter any more.
- `clamped`: at the top of its width, where it sticks: blind to everything since. The step that reaches the top has
  a known increase (at least that many) and no rate.
- `wrapped`: a 32-bit Q counter passed its top; increase and rate are right.
- `reset`: it fell: cleared by perfquery, a driver reload or a firmware reset. What it counted since is not known.

A fall is a wrap only where the row says so, the counter stood in the last eighth below its top, and the time allows
the distance (`MOST_EVENTS_PER_SECOND`). A driver reload at just such a moment cannot be told apart, and a counter that
turns right round between two readings is not seen: that takes 8 s at the highest message rate.
"""

from collections.abc import Iterable
from typing import NamedTuple

from diagnostics.counters import CounterSpec
from diagnostics.model import Quality

MIN_INTERVAL_NS = 1_000_000
"""Readings closer than this are of one moment: the kernel itself caches hw_counters for 10 ms (`lifespan`)."""

MOST_EVENTS_PER_SECOND = 500_000_000
"""No Q counter is faster: NVIDIA states up to 370 million messages a second for ConnectX-7 and 8."""

OVER_LINK = 1.05
"""A port that seems to carry more than this times its rate is being misread, as when a device takes another's name."""

READ_JITTER_S = 0.02
"""Two readings of one file lie up to this further apart or nearer than their time stamps say: one stamp serves all the
files of a port, and drivers cache."""

_NS = 1e9
_TOP_32 = 2**32 - 1
_TOP_64 = 2**64 - 1
_NEVER = -1
_WRAP_REACH = 2**29
_SMALLEST_PACKET_BITS = 8 * 26
"""LRH, BTH, ICRC and VCRC: an acknowledgement on InfiniBand (IBTA 1, 5.2)."""


class Block(NamedTuple):
    """One reading of a port's or device's counters."""

    specs: tuple[CounterSpec, ...]
    """The same object for as long as the same files are read: a new tuple is a new layout."""
    values: list[int | None]
    at_ns: int
    """`time.monotonic_ns()` of the reading."""


class Rates(NamedTuple):
    """What happened between two readings, in the order of `Block.specs`."""

    per_second: list[float | None]
    """In the row's unit, scale applied."""
    quality: list[Quality]
    increase: list[int | None]
    """Raw, without scale; None where unknown."""
    blind: list[bool]
    """The counter is at its clamp and counts no more."""


class _Plan(NamedTuple):
    """What rating needs of a layout, as parallel sequences: a loop over them costs a third of one over rows."""

    specs: tuple[CounterSpec, ...]
    scales: tuple[int, ...]
    tops: tuple[int, ...]
    """Where each sticks; `_NEVER` for those that do not."""
    wraps: tuple[bool, ...]
    bits: tuple[int, ...]
    """What one count of traffic takes of the link at least; 0 for what the link does not bound."""
    gauges: tuple[int, ...]
    """Indexes of rows that are no counts."""


def _top(spec: CounterSpec) -> int:
    # Without the extended counters the 64-bit files hold a 32-bit register, which sticks at its own top.
    return 2 ** min(spec.bits, 32) - 1 if spec.limit == "clamp" else _NEVER


def _bits(spec: CounterSpec) -> int:
    if spec.cls != "traffic":
        return 0
    return {"bytes": 8 * spec.scale, "packets": _SMALLEST_PACKET_BITS}.get(spec.unit, 0)


def _make_plan(specs: tuple[CounterSpec, ...]) -> _Plan:
    return _Plan(
        specs=specs,
        scales=tuple(spec.scale for spec in specs),
        tops=tuple(_top(spec) for spec in specs),
        wraps=tuple(spec.limit == "wrap" for spec in specs),
        bits=tuple(_bits(spec) for spec in specs),
        gauges=tuple(index for index, spec in enumerate(specs) if spec.limit == "gauge"),
    )


_plans: dict[int, _Plan] = {}
_MOST_PLANS = 1024


def _plan(specs: tuple[CounterSpec, ...]) -> _Plan:
    # Keyed by identity: hashing 60 rows costs more than rating them. The plan holds the tuple, so the id stays its own.
    plan = _plans.get(id(specs))
    if plan is None:
        if len(_plans) >= _MOST_PLANS:
            _plans.clear()
        plan = _plans[id(specs)] = _make_plan(specs)
    return plan


def _is_blind(value: int, top: int) -> bool:
    return value in (top, _TOP_64)


def _first(values: list[int | None], tops: Iterable[int]) -> Rates:
    """No earlier reading: nothing is known but what sticks at its top."""
    return Rates(
        per_second=[None] * len(values),
        quality=["unknown" if value is None else "first" for value in values],
        increase=[None] * len(values),
        blind=[value is not None and _is_blind(value, top) for value, top in zip(values, tops, strict=True)],
    )


def _exception(old: int | None, new: int | None, top: int, wrap_reach: float) -> tuple[int | None, Quality]:
    """Increase and quality of a counter that neither stood still nor plainly rose."""
    if new is None:
        return None, "unknown"
    if old is None:
        return None, "first"
    if _is_blind(new, top):
        return (new - old or None) if new >= old else None, "clamped"
    through_top = new - old + _TOP_32 + 1
    if old <= _TOP_32 and through_top <= wrap_reach:
        return through_top, "wrapped"
    return None, "reset"


def _without_rate(rated: Rates) -> Rates:
    """Readings of one moment: increases hold, and a rate would divide by nothing."""
    quality: list[Quality] = ["first" if each in ("ok", "wrapped") else each for each in rated.quality]
    return rated._replace(per_second=[None] * len(quality), quality=quality)


def rates(before: Block | None, after: Block, link_gbps: float | None = None) -> Rates:
    """Rate `after` against `before`; `link_gbps` is the most the port can carry (`links.traffic_ceiling_gbps`)."""
    plan = _plan(after.specs)
    if before is None or before.specs is not after.specs or after.at_ns < before.at_ns:
        return _first(after.values, plan.tops)
    interval_ns = after.at_ns - before.at_ns
    seconds = interval_ns / _NS
    a_second = _NS / max(interval_ns, MIN_INTERVAL_NS)
    most_bits = float("inf") if link_gbps is None else link_gbps * _NS * (OVER_LINK * seconds + READ_JITTER_S)
    most_events = MOST_EVENTS_PER_SECOND * (seconds + READ_JITTER_S)
    wrap_reach = min(_WRAP_REACH, most_events)

    count = len(after.values)
    # An idle counter, which most are, costs nothing but the comparison: its answers are here already.
    per_second: list[float | None] = [0.0] * count
    quality: list[Quality] = ["ok"] * count
    increases: list[int | None] = [0] * count
    blind = [False] * count
    index = -1
    for old, new, top, wraps, bits in zip(before.values, after.values, plan.tops, plan.wraps, plan.bits, strict=True):
        index += 1
        if new is not None and old is not None and new != top and new != _TOP_64:
            if new == old:
                continue
            if new > old:
                increase = new - old
                if increase * bits <= most_bits and not (wraps and increase > most_events):
                    increases[index] = increase
                    per_second[index] = increase * plan.scales[index] * a_second
                else:
                    increases[index] = per_second[index] = None
                    quality[index] = "unknown"
                continue
        known, quality[index] = _exception(old, new, top, wrap_reach if wraps else _NEVER)
        increases[index] = known
        blind[index] = new is not None and _is_blind(new, top)
        if quality[index] == "wrapped" and known is not None:
            per_second[index] = known * plan.scales[index] * a_second
        else:
            per_second[index] = None
    for index in plan.gauges:
        per_second[index] = increases[index] = None
        quality[index] = "unknown" if after.values[index] is None else "ok"
    rated = Rates(per_second, quality, increases, blind)
    return rated if interval_ns >= MIN_INTERVAL_NS else _without_rate(rated)
