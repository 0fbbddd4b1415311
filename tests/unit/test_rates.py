"""Rates are checked against a simulated device: a true count behind a register of some width and behaviour."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from diagnostics.counters import CounterSpec, spec_of
from diagnostics.rates import MOST_EVENTS_PER_SECOND, OVER_LINK, READ_JITTER_S, Block, Rates, rates

SECOND = 1_000_000_000
EVENTS = CounterSpec("events", "hw_counters", "events", 1, 64, None, "info", None, "")
Q_COUNTER = spec_of("out_of_sequence", "hw_counters")
XMIT = spec_of("port_xmit_data", "counters")
CLAMPS = {4: "local_link_integrity_errors", 8: "link_downed", 16: "symbol_error", 32: "port_xmit_wait"}

values = st.one_of(st.none(), st.integers(0, 2**64 - 1), st.sampled_from([0, 15, 255, 65535, 2**32 - 1, 2**64 - 1]))
any_spec = st.sampled_from(
    [EVENTS, Q_COUNTER, XMIT, spec_of("outbound_pci_stalled_rd", "ethtool")]
    + [spec_of(name, "counters") for name in CLAMPS.values()]
)


def one(spec: CounterSpec, old: int | None, new: int | None, ns: int = SECOND, link: float | None = None) -> Rates:
    specs = (spec,)
    return rates(Block(specs, [old], 7 * SECOND), Block(specs, [new], 7 * SECOND + ns), link)


def answer(rated: Rates) -> tuple[float | None, str, int | None, bool]:
    return rated.per_second[0], rated.quality[0], rated.increase[0], rated.blind[0]


def test_a_plain_rise_is_a_rate_in_the_rows_unit() -> None:
    assert answer(one(XMIT, 100, 350, SECOND // 2)) == (2000.0, "ok", 250, False)  # words of 4 octets


def test_standing_still_is_a_rate_of_zero() -> None:
    assert answer(one(EVENTS, 5, 5)) == (0.0, "ok", 0, False)


def test_the_first_reading_has_no_rate() -> None:
    specs = (EVENTS, EVENTS)
    rated = rates(None, Block(specs, [1, None], 0))
    assert rated.per_second == [None, None]
    assert rated.quality == ["first", "unknown"]
    assert rated.increase == [None, None]


def test_the_first_reading_sees_what_sticks_at_its_top() -> None:
    assert rates(None, Block((spec_of("link_downed", "counters"),), [255], 0)).blind == [True]


def test_another_layout_is_a_first_reading_though_the_names_be_the_same() -> None:
    before, after = Block((EVENTS, XMIT), [1, 1], 0), Block((EVENTS, XMIT), [9, 9], SECOND)
    assert before.specs is not after.specs
    assert rates(before, after).quality == ["first", "first"]


def test_a_missed_reading_is_unknown_and_the_one_after_it_first() -> None:
    assert answer(one(EVENTS, 5, None)) == (None, "unknown", None, False)
    assert answer(one(EVENTS, None, 5)) == (None, "first", None, False)
    assert answer(one(EVENTS, None, None)) == (None, "unknown", None, False)


def test_a_fall_is_a_reset() -> None:
    assert answer(one(EVENTS, 2**63, 3)) == (None, "reset", None, False)
    assert answer(one(Q_COUNTER, 1_000_000, 3)) == (None, "reset", None, False)
    assert answer(one(XMIT, 2**32 - 2, 3)) == (None, "reset", None, False)


def test_a_q_counter_near_its_top_wraps() -> None:
    assert answer(one(Q_COUNTER, 2**32 - 6, 4)) == (10.0, "wrapped", 10, False)
    assert answer(one(Q_COUNTER, 2**32 - 1, 0)) == (1.0, "wrapped", 1, False)


def test_a_q_counter_at_all_ones_is_not_blind() -> None:
    assert answer(one(Q_COUNTER, 2**32 - 1, 2**32 - 1)) == (0.0, "ok", 0, False)


def test_a_wrap_that_the_time_does_not_allow_is_a_reset() -> None:
    old = 2**32 - 400_000_000
    assert one(Q_COUNTER, old, 0, SECOND).quality == ["wrapped"]
    assert one(Q_COUNTER, old, 0, SECOND // 100).quality == ["reset"]


def test_only_the_last_eighth_below_the_top_is_near_it_however_long_the_time() -> None:
    assert one(Q_COUNTER, 2**32 - 2**29, 0, 600 * SECOND).quality == ["wrapped"]
    assert one(Q_COUNTER, 2**32 - 2**29 - 1, 0, 600 * SECOND).quality == ["reset"]


def test_a_q_counter_that_leaps_is_another_ones() -> None:
    assert answer(one(Q_COUNTER, 0, 600_000_000)) == (None, "unknown", None, False)
    assert one(Q_COUNTER, 0, 600_000_000, 2 * SECOND).quality == ["ok"]


def test_a_q_counter_of_another_driver_may_be_wider() -> None:
    assert answer(one(Q_COUNTER, 2**40, 2**40 + 7)) == (7.0, "ok", 7, False)
    assert one(Q_COUNTER, 2**40, 7).quality == ["reset"]


def test_clamped_at_4_8_16_and_32_bits() -> None:
    for bits, name in CLAMPS.items():
        top, spec = 2**bits - 1, spec_of(name, "counters")
        assert answer(one(spec, top, top)) == (None, "clamped", None, True), name
        assert answer(one(spec, top - 2, top)) == (None, "clamped", 2, True), name
        assert answer(one(spec, top - 2, top - 1)) == (1.0, "ok", 1, False), name
        assert answer(one(spec, top, 0)) == (None, "reset", None, False), name


def test_a_file_wider_than_the_register_it_is_named_for_just_counts() -> None:
    assert answer(one(spec_of("link_downed", "counters"), 300, 301)) == (1.0, "ok", 1, False)


def test_data_counters_without_the_extended_set_stick_at_32_bits() -> None:
    assert answer(one(XMIT, 2**32 - 1, 2**32 - 1)) == (None, "clamped", None, True)
    assert answer(one(XMIT, 2**32, 2**32 + 5)) == (20.0, "ok", 5, False)
    assert one(XMIT, 2**64 - 1, 2**64 - 1).quality == ["clamped"]


def test_more_than_the_link_carries_is_no_rate() -> None:
    words = 200e9 / 32
    assert one(XMIT, 0, int(words), link=200.0).quality == ["ok"]
    assert answer(one(XMIT, 0, int(words * 3.75), link=200.0)) == (None, "unknown", None, False)
    assert one(XMIT, 0, int(words * 3.75)).quality == ["ok"]  # nobody told the link's rate


def test_a_gauge_has_no_rate() -> None:
    stalled = spec_of("outbound_pci_stalled_rd", "ethtool")
    assert answer(one(stalled, 90, 3)) == (None, "ok", None, False)
    assert answer(one(stalled, 90, None)) == (None, "unknown", None, False)


def test_two_readings_of_one_moment_have_an_increase_and_no_rate() -> None:
    for ns in (0, 1, 999_999):
        assert answer(one(EVENTS, 5, 9, ns)) == (None, "first", 4, False)


def test_a_reading_from_before_the_earlier_one_is_a_first_one() -> None:
    assert answer(one(EVENTS, 5, 9, -1)) == (None, "first", None, False)


@given(spec=any_spec, old=values, new=values, ns=st.integers(0, 10**12), link=st.none() | st.floats(1, 800))
def test_whatever_is_read_no_rate_is_impossible(
    spec: CounterSpec, old: int | None, new: int | None, ns: int, link: float | None
) -> None:
    per_second, quality, increase, blind = answer(one(spec, old, new, ns, link))
    assert (per_second is None) == (quality not in ("ok", "wrapped") or spec.limit == "gauge")
    assert increase is None or increase >= 0
    if new is None:
        assert quality == "unknown"
    assert not blind or quality in ("clamped", "first", "reset")
    if per_second is None:
        return
    seconds = ns / SECOND
    assert per_second >= 0
    assert increase is not None
    assert abs(per_second * seconds - increase * spec.scale) <= 1e-6 * increase * spec.scale
    if spec is XMIT and link is not None:
        assert per_second * 8 <= 1.000001 * link * 1e9 * (OVER_LINK + READ_JITTER_S / seconds)
    if spec.limit == "wrap":
        assert per_second <= 1.000001 * MOST_EVENTS_PER_SECOND * (1 + READ_JITTER_S / seconds)


steps = st.lists(st.tuples(st.integers(0, 400_000_000), st.integers(SECOND, 5 * SECOND)), min_size=1, max_size=30)


@given(start=st.integers(0, 2**32 - 1), steps=steps)
def test_a_32_bit_counter_that_wraps_loses_nothing(start: int, steps: list[tuple[int, int]]) -> None:
    specs, true, at = (Q_COUNTER,), start, 0
    before, total = Block(specs, [start], 0), 0
    for moved, ns in steps:
        true, at = true + moved, at + ns
        after = Block(specs, [true % 2**32], at)
        rated = rates(before, after)
        assert rated.increase[0] == moved
        assert rated.quality[0] in ("ok", "wrapped")
        assert rated.per_second[0] is not None
        assert abs(rated.per_second[0] - moved * SECOND / ns) <= 1e-6 * moved
        total, before = total + moved, after
    assert total == true - start


@given(bits=st.sampled_from(list(CLAMPS)), steps=st.lists(st.integers(0, 2**31), min_size=1, max_size=30))
def test_a_clamping_counter_never_states_more_than_happened_and_says_when_it_is_blind(
    bits: int, steps: list[int]
) -> None:
    specs, top = (spec_of(CLAMPS[bits], "counters"),), 2**bits - 1
    true, stated, before = 0, 0, Block(specs, [0], 0)
    for number, moved in enumerate(steps, 1):
        true += moved
        after = Block(specs, [min(true, top)], number * SECOND)
        rated = rates(before, after)
        assert rated.blind == [true >= top]
        assert (rated.quality[0] == "clamped") == (true >= top)
        stated += rated.increase[0] or 0
        before = after
    assert stated == min(true, top)


@given(
    steps=st.lists(
        st.one_of(st.integers(0, 2**40), st.just("reset"), st.just("missed"), st.just("moved")), min_size=1, max_size=40
    )
)
def test_what_is_stated_is_exactly_what_happened_between_two_good_readings(steps: list[int | str]) -> None:
    """Resets, missed readings and changed layouts lose their own interval and no other."""
    specs: tuple[CounterSpec, ...] = (EVENTS,)
    register, before = 1, Block(specs, [1], 0)
    for number, step in enumerate(steps, 1):
        shown: int | None
        if step == "reset":
            register = shown = 0
        elif step == "missed":
            shown = None
        elif step == "moved":
            specs, shown = (EVENTS,), register
        else:
            assert isinstance(step, int)
            register += step
            shown = register
        after = Block(specs, [shown], number * SECOND)
        rated = rates(before, after)
        old = before.values[0]
        if shown is None:
            assert rated.quality == ["unknown"]
        elif old is None or specs is not before.specs:
            assert rated.quality == ["first"]
        elif shown < old:
            assert rated.quality == ["reset"]
        else:
            assert (rated.quality, rated.increase) == (["ok"], [shown - old])
        before = after
