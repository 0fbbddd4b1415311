"""The ring: windows of known seconds, no memory beyond its bound, and nothing invented for a gap."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import history as module
from agent.history import History, Track
from agent.readers.counters import Reading
from diagnostics.counters import CounterSpec, spec_of
from diagnostics.rates import Block, rates
from diagnostics.windows import Windows

SPECS = tuple(spec_of(name, "counters") for name in ("port_xmit_data", "symbol_error", "link_downed"))
KEY = ("mlx5_0", 1, "counters")


class Feed:
    """Readings one second apart, as a group makes them, on a clock of its own."""

    def __init__(self, specs: tuple[CounterSpec, ...] = SPECS, seconds: int = 600) -> None:
        self.specs = specs
        self.history = History(seconds)
        self.at = 1000.0
        self.before: Block | None = None

    def read(self, *values: int | None, after: float = 1.0) -> None:
        self.at += after
        block = Block(self.specs, list(values), int(self.at * 1e9))
        rated = rates(self.before, block)
        self.before = block
        self.history.add(KEY, Reading(block, rated, {}))

    def delta(self, name: str, window_s: float) -> tuple[float | None, float, str]:
        found = self.history.delta("mlx5_0", 1, name, window_s)
        assert found is not None
        return found.value, round(found.seconds, 3), found.quality


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Feed]:
    feed = Feed()

    class Clock:
        monotonic = staticmethod(lambda: feed.at)
        time = staticmethod(lambda: 1_764_000_000.0 + feed.at)

    monkeypatch.setattr(module, "time", Clock)
    yield feed


def test_it_is_what_the_checks_ask() -> None:
    windows: Windows = History()
    assert windows.delta("mlx5_0", 1, "symbol_error", 60) is None


def test_one_reading_knows_nothing(feed: Feed) -> None:
    feed.read(100, 5, 0)
    assert feed.delta("symbol_error", 60) == (None, 0.0, "first")


def test_a_window_holds_just_its_seconds_scaled(feed: Feed) -> None:
    for second in range(100):
        feed.read(1000 + 10 * second, second, 0)
    assert feed.delta("port_xmit_data", 1) == (40.0, 1.0, "ok")
    assert feed.delta("port_xmit_data", 60) == (40.0 * 60, 60.0, "ok")
    assert feed.delta("symbol_error", 10) == (10.0, 10.0, "ok")
    assert feed.delta("symbol_error", 3600) == (99.0, 99.0, "ok")
    assert feed.delta("symbol_error", float("inf")) == (99.0, 99.0, "ok")


def test_late_ticks_keep_whole_steps(feed: Feed) -> None:
    for second in range(70):
        feed.read(0, second, 0, after=1.0 + 0.02 * (second % 2))
    value, seconds, _ = feed.delta("symbol_error", 1)
    assert value == 1.0
    assert seconds == pytest.approx(1.0, abs=0.03)


def test_a_reset_costs_its_own_second_alone(feed: Feed) -> None:
    for second in range(30):
        feed.read(0, second, 0)
    feed.read(0, 0, 0)
    assert feed.delta("symbol_error", 1)[2] == "reset"
    for second in range(1, 30):
        feed.read(0, second, 0)
    assert feed.delta("symbol_error", 60) == (58.0, 58.0, "ok")


def test_unknown_readings_are_not_counted_as_quiet(feed: Feed) -> None:
    for second in range(10):
        feed.read(0, second, 0)
    for _ in range(20):
        feed.read(0, None, 0)
    value, seconds, quality = feed.delta("symbol_error", 10)
    assert (value, seconds, quality) == (None, 0.0, "unknown")
    assert feed.delta("symbol_error", 60)[:2] == (9.0, 9.0)


def test_a_stale_device_leaves_gaps(feed: Feed) -> None:
    for second in range(5):
        feed.read(0, second, 0)
    reading = Reading(feed.before or Block(SPECS, [], 0), rates(None, feed.before or Block(SPECS, [], 0)), {})
    for _ in range(3):
        feed.at += 1
        feed.history.add(KEY, reading)
    assert feed.delta("symbol_error", 2)[2] == "stale"
    series = feed.history.series("mlx5_0", 1, "symbol_error", 600)
    assert series is not None
    assert series.per_second[-3:] == (None, None, None)
    assert series.per_second[-4] == 1.0


def test_beyond_ten_minutes_the_minutes_answer(feed: Feed) -> None:
    for second in range(4000):
        feed.read(0, second, 0)
    value, seconds, _ = feed.delta("symbol_error", 3600)
    assert value == seconds
    assert 3600 <= seconds <= 3660
    assert feed.delta("symbol_error", 600) == (600.0, 600.0, "ok")
    fine = feed.history.series("mlx5_0", 1, "symbol_error", 600)
    coarse = feed.history.series("mlx5_0", 1, "symbol_error", 3600)
    assert fine is not None
    assert coarse is not None
    assert (len(fine.per_second), fine.interval_s) == (600, 1.0)
    assert coarse.interval_s == 60.0
    assert 59 <= len(coarse.per_second) <= 60
    assert set(coarse.per_second) == {1.0}


def test_series_end_with_the_newest_point(feed: Feed) -> None:
    for second in range(5):
        feed.read(0, second * second, 0)
    series = feed.history.series("mlx5_0", 1, "symbol_error", 3)
    assert series is not None
    assert series.per_second == (3.0, 5.0, 7.0)
    assert series.unit == SPECS[1].unit
    assert feed.history.series("mlx5_0", 1, "no_such", 3) is None


def test_faster_sampling_keeps_ten_minutes(feed: Feed) -> None:
    for step in range(5 * 900):
        feed.read(0, step, 0, after=0.2)
    value, seconds, _ = feed.delta("symbol_error", 600)
    assert seconds == pytest.approx(600, abs=1.1)
    assert value == pytest.approx(seconds * 5, rel=0.001)


def test_a_device_made_anew_goes_on_in_the_same_ring(feed: Feed) -> None:
    for second in range(10):
        feed.read(0, second, 0)
    feed.specs, feed.before = tuple(spec for spec in SPECS), None
    feed.read(0, 0, 0)
    feed.read(0, 1, 0)
    assert feed.delta("symbol_error", 60)[0] == 10.0
    other = (*SPECS, spec_of("port_xmit_wait", "counters"))
    feed.specs, feed.before = other, None
    feed.read(0, 1, 0, 0)
    assert feed.delta("symbol_error", 60) == (None, 0.0, "first")


def test_totals_are_what_a_baseline_adds_up(feed: Feed) -> None:
    for second in range(3):
        feed.read(second, 2 * second, 0)
    assert list(feed.history.totals()) == [
        ("mlx5_0", 1, "counters", "port_xmit_data", 2.0),
        ("mlx5_0", 1, "counters", "symbol_error", 4.0),
        ("mlx5_0", 1, "counters", "link_downed", 0.0),
    ]


def test_a_name_of_two_sources_goes_on_from_the_sum_of_its_own(feed: Feed) -> None:
    feed.history.restore(
        [("mlx5_0", 1, "counters", "symbol_error", 5.0), ("mlx5_0", 1, "ethtool", "symbol_error", 9000.0)]
    )
    feed.read(0, 0, 0)
    feed.read(0, 1, 0)
    assert feed.history.group_since_baseline(KEY, feed.specs)[1] == 6.0


def test_group_answers_agree_with_single_ones(feed: Feed) -> None:
    for second in range(20):
        feed.read(10 * second, second, None)
    assert feed.history.group_delta(KEY, SPECS, 5) == [200.0, 5.0, None]
    assert feed.history.group_sum(KEY, SPECS, [1, 2], 5) == 5.0
    assert feed.history.group_sum(KEY, SPECS, [2], 5) is None
    assert feed.history.group_delta(("x", 1, "counters"), SPECS, 5) == [None, None, None]


def test_a_layout_newer_than_the_ring_is_unknown_and_never_misread(feed: Feed) -> None:
    for second in range(3):
        feed.read(second, second, 0)
    newer = (spec_of("VL15_dropped", "counters"), *SPECS)
    assert feed.history.group_delta(KEY, newer, 60) == [None] * 4
    assert feed.history.group_sum(KEY, newer, [0, 3], 60) is None


def test_480_counters_over_ten_minutes_take_less_than_12_mib() -> None:
    specs = tuple(spec_of(f"made_up_{n}", "hw_counters") for n in range(480))
    track = Track(specs, 601)
    arrays = [
        value for ring in (track.fine, track.coarse) for value in vars(ring).values() if hasattr(value, "buffer_info")
    ]
    assert sum(sys.getsizeof(each) for each in arrays) < 12 << 20


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 1 << 20)), st.floats(0.95, 4.0)), min_size=2, max_size=60),
    st.sampled_from([1.0, 5.0, 60.0, 600.0]),
)
def test_a_window_is_the_sum_of_its_known_steps(steps: list[tuple[int | None, float]], window: float) -> None:
    """Against the plain definition: a row at or before the window's edge, and all known increases since."""
    feed = Feed((SPECS[1],))
    known: list[tuple[float, float, float]] = []
    before: int | None = None
    before_at = 0.0
    for value, after in steps:
        feed.read(value, after=after)
        if value is not None and before is not None and value >= before:
            known.append((feed.at, float(value - before), feed.at - before_at))
        before, before_at = value, feed.at
    times = [t for t in _times(steps) if t <= feed.at - window + 0.05] or [_times(steps)[0]]
    inside = [step for step in known if step[0] > times[-1] + 1e-6]
    found = feed.history.delta("mlx5_0", 1, "symbol_error", window)
    assert found is not None
    quiet_limits = any(v is not None and v >= 65535 for v, _ in steps)
    if not quiet_limits:
        assert found.value == (pytest.approx(sum(s[1] for s in inside)) if inside else None)
        assert found.seconds == pytest.approx(sum(s[2] for s in inside), abs=1e-6)


def _times(steps: list[tuple[int | None, float]]) -> list[float]:
    at, found = 1000.0, []
    for _, after in steps:
        at += after
        found.append(at)
    return found
