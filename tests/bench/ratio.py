"""One measurement against its peer: the only figures that mean the same on another machine are ratios of one run."""

from typing import NamedTuple


class Ratio(NamedTuple):
    """A row of docs/performance.md."""

    what: str
    ours: float
    peer: float
    """What ours is held against: another program's figure of the same run, or the budget itself."""
    unit: str
    ratio: float
    """ours / peer"""
    budget: float
    """What the ratio has to keep: a ceiling of costs, a floor of throughput."""
    ok: bool

    @property
    def bound(self) -> str:
        """`<= 1.4`; which way it holds follows from whether it is kept."""
        is_ceiling = (self.ratio <= self.budget) == self.ok
        return f"{'<=' if is_ceiling else '>='} {self.budget:g}"


class CannotMeasure(Exception):
    """A peer or a part of the lab is not here; the message says which and why."""


def at_most(what: str, ours: float, peer: float, unit: str, limit: float = 1.0) -> Ratio:
    """Less is better: time, memory, bytes."""
    ratio = ours / peer if peer else float("inf")
    return Ratio(what, ours, peer, unit, ratio, limit, ratio <= limit)


def at_least(what: str, ours: float, peer: float, unit: str, limit: float = 1.0) -> Ratio:
    """More is better: messages a second."""
    ratio = ours / peer if peer else 0.0
    return Ratio(what, ours, peer, unit, ratio, limit, ratio >= limit)


def median(values: list[float]) -> float:
    """The middle one, of turns taken one after the other; the upper of two."""
    return sorted(values)[len(values) // 2]
