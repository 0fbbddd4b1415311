"""Layers errors, congestion and pcie: which rise of which counter is too much, and who is the cause."""

from __future__ import annotations

import csv
from typing import Any

import msgspec
import pytest

from diagnostics.checks import REGISTRY, THRESHOLDS
from diagnostics.checks.engine import Judge
from diagnostics.checks.manifest import Manifest, ThresholdOverride, parse_manifest
from diagnostics.errors import UserError
from diagnostics.model import Finding, NodeSnapshot
from diagnostics.windows import Delta, PairWindows
from tests.shared import shared_path
from tests.unit.made_node import Rises, counters, device, port, roce, snapshot


def rise(
    seconds: float = 10.0, make: Any = port, manifest: Manifest | None = None, **values: int
) -> tuple[Finding, ...]:
    """What is found when these counters rise by so much within `seconds`."""
    zero = counters("mlx5_0", 1, **dict.fromkeys(values, 1000))
    after = counters("mlx5_0", 1, **{name: 1000 + value for name, value in values.items()})
    judge = Judge(manifest)
    judge.observe(snapshot([make()], counters=zero), 0.0, 0.0)
    windows = Rises({("mlx5_0", 1, name): float(value) for name, value in values.items()}, seconds)
    return judge.step(snapshot([make()], counters=after), windows, seconds, seconds)[0].findings


def verdicts(found: tuple[Finding, ...]) -> list[tuple[str, str]]:
    return [(each.severity, each.check) for each in found]


@pytest.mark.parametrize(
    ("seconds", "values", "want"),
    [
        (10, {"symbol_error": 5}, ("info", "symbol-errors")),
        (10, {"symbol_error": 11}, ("warning", "symbol-errors")),
        (60, {"symbol_error": 700}, ("critical", "symbol-errors")),
        (3600, {"symbol_error": 121}, ("warning", "symbol-errors")),
        (10, {"link_error_recovery": 5}, ("info", "link-errors")),
        (10, {"link_error_recovery": 6}, ("warning", "link-errors")),
        (60, {"port_rcv_errors": 601}, ("warning", "link-errors")),
        (10, {"port_rcv_errors": 20}, ("info", "link-errors")),
        (3600, {"port_rcv_errors": 101}, ("warning", "link-errors")),
        (10, {"rx_icrc_encapsulated": 1}, ("warning", "link-errors")),
        (10, {"module_high_temp": 1}, ("warning", "link-errors")),
        (10, {"local_link_integrity_errors": 1}, ("warning", "integrity-errors")),
        (10, {"excessive_buffer_overrun_errors": 1}, ("warning", "integrity-errors")),
        (10, {"req_transport_retries_exceeded": 1}, ("warning", "transport-retries")),
        (60, {"local_ack_timeout_err": 59}, ("info", "transport-retries")),
        (60, {"local_ack_timeout_err": 61}, ("warning", "transport-retries")),
        (60, {"roce_adp_retrans": 601}, ("warning", "transport-retries")),
        (10, {"rnr_nak_retry_err": 1}, ("info", "rnr")),
        (10, {"req_rnr_retries_exceeded": 1}, ("warning", "rnr")),
        (10, {"out_of_buffer": 1}, ("info", "rnr")),
        (60, {"out_of_buffer": 6001}, ("warning", "rnr")),
        (10, {"req_remote_access_errors": 1}, ("warning", "remote-errors")),
        (10, {"req_cqe_error": 1}, ("info", "remote-errors")),
        (60, {"port_xmit_discards": 6001}, ("warning", "discards")),
        (10, {"port_xmit_discards": 201}, ("warning", "discards")),
        (10, {"port_xmit_discards": 1}, ("info", "discards")),
        (10, {"VL15_dropped": 51}, ("warning", "discards")),
        (10, {"out_of_sequence": 3}, ("info", "out-of-sequence")),
        (10, {"out_of_sequence": 2000}, ("warning", "out-of-sequence")),
        (10, {"tx_pause_storm_error_events": 1}, ("critical", "congestion-host")),
        (10, {"rx_discards_phy": 100}, ("warning", "congestion-host")),
        (10, {"rp_cnp_ignored": 1}, ("warning", "ecn-marked")),
        (10, {"np_cnp_sent": 184}, ("info", "ecn-marked")),
        (10, {"rx_prio3_pause": 20}, ("info", "congestion-fabric")),
        (10, {"rx_prio3_pause": 38500}, ("warning", "congestion-fabric")),
        (10, {"tx_prio3_pause": 38500}, ("warning", "congestion-host")),
        (10, {"tx_global_pause_duration": 200000}, ("warning", "congestion-host")),
        (10, {"tx_pci_signal_integrity": 11}, ("warning", "pcie-errors")),
    ],
)
def test_a_rise_and_its_verdict(seconds: float, values: dict[str, int], want: tuple[str, str]) -> None:
    found = rise(seconds, **values)
    assert verdicts(found) == [want]
    assert all(each.window_s == min(seconds, 3600) or each.window_s in (60.0, 300.0) for each in found[0].evidence)


@pytest.mark.parametrize(
    "name", ["req_cqe_flush_error", "resp_cqe_flush_error", "port_rcv_switch_relay_errors", "rx_write_requests"]
)
def test_ordinary_rises_are_no_finding(name: str) -> None:
    assert rise(**{name: 100000}) == ()


def test_full_use_of_the_link_is_no_finding() -> None:
    at_400 = 400_000_000_000 // 8 * 10
    assert (
        rise(port_xmit_data=at_400, port_rcv_data=at_400, port_xmit_packets=122_000_000, port_rcv_packets=122_000_000)
        == ()
    )


def test_totals_of_the_past_are_not_judged() -> None:
    """Large values that do not move: no finding, however long they have been there."""
    node = snapshot([port()], counters=counters(symbol_error=60000, port_rcv_errors=5000, rnr_nak_retry_err=10**6))
    judge = Judge()
    for second in range(5):
        found = judge.step(node, Rises({("mlx5_0", 1, "symbol_error"): 60000.0}), float(second), float(second))[
            0
        ].findings
    assert found == ()


def test_one_reading_judges_no_counter() -> None:
    judge = Judge()
    node = snapshot([port()], counters=counters(symbol_error=60000, rx_prio3_pause=10**9))
    assert judge.step(node, None, 1.0, 1.0)[0].findings == ()
    assert judge.unjudged["symbol-errors"][0].status == "unknown"


# Who is the cause


def test_the_fabric_is_the_cause_where_pauses_are_received() -> None:
    (found,) = rise(make=roce, rx_prio3_pause=38500, rp_cnp_handled=8120)[:1]
    assert found.check == "congestion-fabric"
    assert "pauses sent 0: not this host" in found.message and "CNP handled" in found.message


def test_this_host_is_the_cause_where_pauses_are_sent() -> None:
    found = rise(make=roce, tx_prio3_pause=38500, rx_discards_phy=2000, rx_prio3_pause=3000)
    assert verdicts(found)[:2] == [("warning", "congestion-host"), ("warning", "congestion-fabric")]
    assert found[1].follows == found[0].id
    assert "packets dropped on receiving" in found[0].message


def test_slow_pcie_comes_before_the_congestion_it_makes() -> None:
    slow = device(
        pcie=device().pcie.__class__(
            speed_gts=32.0, width=8, max_speed_gts=32.0, max_width=16, limit_gbps=230.0, narrowest=None
        )
    )
    judge = Judge()
    judge.observe(snapshot([roce()], [slow], counters(tx_prio3_pause=0)), 0.0, 0.0)
    windows = Rises({("mlx5_0", 1, "tx_prio3_pause"): 38500.0})
    found = judge.step(snapshot([roce()], [slow], counters(tx_prio3_pause=38500)), windows, 10.0, 10.0)[0].findings
    assert verdicts(found) == [("warning", "pcie-slow"), ("warning", "congestion-host")]
    assert found[1].follows == found[0].id


def test_retransmissions_follow_from_congestion() -> None:
    found = rise(make=roce, rx_prio3_pause=38500, roce_adp_retrans=1240)
    assert verdicts(found) == [("warning", "congestion-fabric"), ("warning", "transport-retries")]
    assert found[1].follows == found[0].id


def test_waiting_of_one_port_among_idle_peers_is_a_warning_and_of_all_a_note() -> None:
    def judged(waits: list[int]) -> list[tuple[str, str]]:
        names = [f"mlx5_{number}" for number in range(len(waits))]
        judge = Judge()
        zero = [each for name in names for each in counters(name, 1, port_xmit_wait=0, port_xmit_data=0)]
        after = [
            each
            for name, wait in zip(names, waits, strict=True)
            for each in counters(name, 1, port_xmit_wait=wait, port_xmit_data=10**9)
        ]
        judge.observe(snapshot([port(name) for name in names], counters=zero), 0.0, 0.0)
        rises = {(f"mlx5_{n}", 1, "port_xmit_wait"): float(wait) for n, wait in enumerate(waits)}
        rises |= {(name, 1, "port_xmit_data"): 4e9 for name in names}
        node = snapshot([port(name) for name in names], counters=after)
        return verdicts(judge.step(node, Rises(rises), 10.0, 10.0)[0].findings)

    assert judged([10, 10, 10, 20 * 10**9]) == [("warning", "xmit-wait")]
    assert judged([5 * 10**9] * 3) == [("info", "xmit-wait")] * 3
    assert judged([10**6] * 3) == []


def test_large_share_of_marked_packets_is_a_warning() -> None:
    found = rise(make=roce, np_ecn_marked_roce_packets=200_000, np_cnp_sent=50_000, port_rcv_packets=1_000_000)
    assert verdicts(found) == [("warning", "ecn-marked")] and "20.0%" in found[0].message


def test_bit_error_ratio_over_the_published_one() -> None:
    assert ("warning", "link-errors") in verdicts(rise(make=roce, rx_corrected_bits_phy=10**6, rx_bits_phy=10**12))
    assert rise(make=roce, rx_corrected_bits_phy=1000, rx_bits_phy=10**12) == ()


# PCIe


def pcie(**changed: Any) -> Any:
    fields = {
        "speed_gts": 32.0,
        "width": 16,
        "max_speed_gts": 32.0,
        "max_width": 16,
        "limit_gbps": 461.0,
        "narrowest": "0000:37:01.0",
    }
    made = device().pcie
    assert made is not None
    return made.__class__(**{**fields, **changed})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"width": 8, "limit_gbps": 230.0}, "x8 of x16"),
        ({"speed_gts": 16.0, "limit_gbps": 230.0}, "16 of 32 GT/s"),
        ({"speed_gts": 8.0, "max_speed_gts": 8.0, "limit_gbps": 115.0}, "PCIe carries 115 Gb/s at 0000:37:01.0"),
    ],
)
def test_slow_pcie(changed: dict[str, Any], said: str) -> None:
    found = Judge().step(snapshot([port()], [device(pcie=pcie(**changed))]), None, 1.0, 1.0)[0].findings
    assert verdicts(found) == [("warning", "pcie-slow")] and said in found[0].message


def test_card_in_an_older_slot_that_still_carries_its_port_is_no_finding() -> None:
    fine = device(pcie=pcie(speed_gts=16.0, max_speed_gts=16.0, limit_gbps=230.0))
    assert Judge().step(snapshot([port(rate_gbps=200.0)], [fine]), None, 1.0, 1.0)[0].findings[:0] == ()
    assert ("warning", "pcie-slow") not in verdicts(
        Judge().step(snapshot([port(rate_gbps=200.0)], [fine]), None, 1.0, 1.0)[0].findings
    )


def test_slot_slower_than_those_of_its_peers() -> None:
    odd = {"speed_gts": 8.0, "max_speed_gts": None, "max_width": None, "limit_gbps": None}
    even = {"max_speed_gts": None, "max_width": None, "limit_gbps": None}
    devices = [device(f"mlx5_{n}", pcie=pcie(**(odd if n == 2 else even))) for n in range(4)]
    found = Judge().step(snapshot([port(each.device) for each in devices], devices), None, 1.0, 1.0)[0].findings
    assert [(each.check, each.device) for each in found] == [("pcie-slow", "mlx5_2")]


@pytest.mark.parametrize(
    ("name", "rises", "want"),
    [
        ("aer_dev_fatal__TOTAL_ERR_FATAL", 1, [("critical", "pcie-errors")]),
        ("aer_dev_nonfatal__TOTAL_ERR_NONFATAL", 1, [("warning", "pcie-errors")]),
        ("aer_dev_correctable__TOTAL_ERR_COR", 5, [("info", "pcie-errors")]),
        ("aer_dev_correctable__TOTAL_ERR_COR", 500, [("warning", "pcie-errors")]),
    ],
)
def test_aer(name: str, rises: int, want: list[tuple[str, str]]) -> None:
    judge = Judge()
    judge.observe(snapshot([port()], counters=counters("mlx5_0", None, **{name: 0})), 0.0, 0.0)
    windows = Rises({("mlx5_0", None, name.replace("__", ".")): float(rises)})
    found = judge.step(snapshot([port()], counters=counters("mlx5_0", None, **{name: rises})), windows, 10.0, 10.0)[
        0
    ].findings
    assert verdicts(found) == want


# Blind counters


def test_clamped_counter_is_said_to_be_blind_and_unread_where_it_is_missed() -> None:
    judge = Judge()
    judge.observe(
        snapshot([port()], counters=counters(symbol_error=65535, link_error_recovery=0, port_rcv_errors=65535)),
        0.0,
        0.0,
    )
    node = snapshot([port()], counters=counters(symbol_error=65535, link_error_recovery=9, port_rcv_errors=65535))
    found = judge.step(node, Rises({("mlx5_0", 1, "link_error_recovery"): 9.0}), 10.0, 10.0)[0].findings
    assert verdicts(found) == [("warning", "link-errors"), ("info", "counter-clamped")]
    assert found[0].unread == ("port_rcv_errors (clamped at 65535)",)
    assert "symbol_error at 65,535" in found[1].message


def test_clamp_ends_with_a_reset() -> None:
    judge = Judge()
    for at, value in ((0.0, 255), (1.0, 0), (20.0, 0)):
        found = judge.step(snapshot([port()], counters=counters(link_downed=value)), Rises({}), at, at)[0].findings
    assert found == ()


# Captures


def trials(name: str) -> list[dict[tuple[str, str], tuple[int, int]]]:
    found: list[dict[tuple[str, str], tuple[int, int]]] = []
    for row in csv.reader(shared_path(f"data/captures/counter-deltas/{name}.csv").read_text().splitlines()):
        if row and row[0].startswith("#"):
            found.append({})
        elif row and row[0] in ("client", "server") and row[2].isdigit() and row[3].isdigit():
            found[-1][row[0], row[1]] = (int(row[2]), int(row[3]))
    return found


@pytest.mark.parametrize(("name", "check"), [("RNR_RETRY_EXC", "rnr"), ("REM_ACCESS_RKEY", "remote-errors")])
def test_every_captured_trial_yields_its_fault_on_the_client_first(name: str, check: str) -> None:
    for trial in trials(name):
        names = {"client": "mlx5_0", "server": "mlx5_1"}
        before, after = (
            [counters(names[side], 1, **{key: values[moment]})[0] for (side, key), values in trial.items()]
            for moment in (0, 1)
        )
        nodes = [snapshot([roce("mlx5_0"), roce("mlx5_1")], counters=each) for each in (before, after)]
        judge = Judge()
        judge.observe(nodes[0], 0.0, 0.0)
        found = judge.step(nodes[1], PairWindows(nodes[0], nodes[1], 10.0), 10.0, 10.0)[0].findings
        assert (found[0].severity, found[0].check, found[0].device) == ("warning", check, "mlx5_0")


def pair(before: NodeSnapshot, after: NodeSnapshot) -> list[tuple[str, str]]:
    judge = Judge()
    judge.observe(before, 0.0, 0.0)
    return verdicts(judge.step(after, PairWindows(before, after, 10.0), 10.0, 10.0)[0].findings)


def test_wrap_of_a_q_counter_counts_and_a_reset_does_not() -> None:
    top = 2**32
    wrapped = (
        snapshot([roce()], counters=counters(out_of_sequence=top - 1000)),
        snapshot([roce()], counters=counters(out_of_sequence=1000)),
    )
    assert pair(*wrapped) == [("warning", "out-of-sequence")]
    reset = (
        snapshot([roce()], counters=counters(out_of_sequence=5_000_000)),
        snapshot([roce()], counters=counters(out_of_sequence=3)),
    )
    assert pair(*reset) == []


# Thresholds and manifest


def test_manifest_overrides_a_threshold_and_the_finding_says_so() -> None:
    manifest = Manifest(
        thresholds={
            "symbol-errors.per_minute": ThresholdOverride(value=1000.0),
            "symbol-errors.per_hour": ThresholdOverride(value=50.0),
        }
    )
    (found,) = rise(manifest=manifest, symbol_error=60)
    assert found.severity == "warning" and found.evidence[0].source is not None
    assert found.evidence[0].source.startswith("manifest, in place of 120") and found.evidence[0].threshold == 50.0


@pytest.mark.parametrize(
    "text",
    [
        b"thresholds: {symbol-errors.per_yeer: {value: 1}}",
        b"port: {}",
        b'{"devices": "eight"}',
        b"ports: {mlx5_0: {expected: maybe}}",
        b"- a list",
        b": :",
    ],
)
def test_mistakes_in_a_manifest_are_loud(text: bytes) -> None:
    with pytest.raises(UserError):
        parse_manifest(text, THRESHOLDS)


def test_manifest_in_yaml_and_json_is_the_same() -> None:
    yaml = b"devices: 8\nports:\n  mlx5_0/1: {rate_gbps: 400}\nthresholds:\n  symbol-errors.per_hour: {value: 5}\n"
    json = (
        b'{"devices": 8, "ports": {"mlx5_0/1": {"rate_gbps": 400}}, '
        b'"thresholds": {"symbol-errors.per_hour": {"value": 5}}}'
    )
    assert parse_manifest(yaml, THRESHOLDS) == parse_manifest(json, THRESHOLDS)


def step(judge: Judge, second: float, value: int, by_window: dict[float, float]) -> list[tuple[str, str]]:
    """A sample of one counter whose rise depends on the window that is asked for."""

    class ByWindow:
        def delta(self, device: str, port: int | None, name: str, window_s: float) -> Delta | None:
            rise_ = by_window.get(window_s)
            return None if rise_ is None or name != "symbol_error" else Delta(rise_, window_s, "ok")

    node = snapshot([port()], counters=counters(symbol_error=value))
    return verdicts(judge.step(node, ByWindow(), second, second)[0].findings)


@pytest.mark.parametrize(("in_an_hour", "severity"), [(120.0, "info"), (121.0, "warning")])
def test_slow_trickle_is_judged_over_the_hour(in_an_hour: float, severity: str) -> None:
    judge = Judge()
    step(judge, 0.0, 0, {})
    assert step(judge, 1.0, 2, {60.0: 2.0, 3600.0: in_an_hour}) == [(severity, "symbol-errors")]


def test_clamped_counter_of_a_device_that_is_away_is_not_told_of() -> None:
    """Away for a reading, or gone: a sentence without a counter would say nothing."""
    stuck = counters("mlx5_1", 1, port_rcv_errors=65535)
    both, judge = [port("mlx5_0"), port("mlx5_1")], Judge()
    judge.observe(snapshot(both, counters=stuck), 0.0, 0.0)
    unread = tuple(msgspec.structs.replace(each, value=None) for each in stuck)
    found = judge.step(snapshot(both, counters=unread), Rises({}), 1.0, 1.0)[0].findings
    assert [each.message for each in found if each.check == "counter-clamped"] == []
    judge.step(snapshot([port("mlx5_0")], counters=counters("mlx5_0", 1, port_rcv_errors=1)), Rises({}), 2.0, 2.0)
    assert judge.memory.clamped == {}


def test_what_a_share_needs_to_mean_anything_is_a_threshold_like_any_other() -> None:
    few = {"np_ecn_marked_roce_packets": 900, "port_rcv_packets": 1000}
    assert rise(make=roce, **few)[0].severity == "info"
    manifest = Manifest(thresholds={"ecn-marked.marked": ThresholdOverride(value=100)})
    assert rise(make=roce, manifest=manifest, **few)[0].severity == "warning"
    slow = {"port_xmit_wait": 10_000_000, "port_xmit_data": 400_000}
    assert rise(**slow) == ()
    manifest = Manifest(thresholds={"xmit-wait.least_words_per_s": ThresholdOverride(value=100)})
    assert verdicts(rise(manifest=manifest, **slow)) == [("info", "xmit-wait")]


def test_standing_finding_needs_less_to_stay_than_it_needed_to_come() -> None:
    """Between half the threshold and the threshold: it stays where it stood, and does not come where it did not."""
    fresh, standing = Judge(), Judge()
    step(fresh, 0.0, 0, {})
    step(standing, 0.0, 0, {})
    assert step(standing, 1.0, 20, {60.0: 20.0}) == [("warning", "symbol-errors")]
    assert step(standing, 500.0, 27, {60.0: 7.0}) == [("warning", "symbol-errors")]
    assert step(fresh, 500.0, 27, {60.0: 7.0}) == [("info", "symbol-errors")]
    assert step(standing, 1000.0, 30, {60.0: 3.0}) == [("info", "symbol-errors")]


def test_note_is_no_cause_of_a_warning() -> None:
    found = rise(make=roce, rx_prio3_pause=20, roce_adp_retrans=1240)
    assert verdicts(found) == [("warning", "transport-retries"), ("info", "congestion-fabric")]
    assert found[0].follows is None


def test_every_threshold_that_a_rule_names_exists_and_has_a_publisher() -> None:
    for check in REGISTRY.values():
        for threshold in check.thresholds:
            assert threshold.publisher and threshold.unit is not None
            assert f"{check.id}.{threshold.name}" in THRESHOLDS


def test_burst_in_a_young_history_is_told_as_what_it_is() -> None:
    """Two seconds are no rate: the sum is told, and judged as if it were spread over ten seconds."""
    (found,) = rise(2.0, rnr_nak_retry_err=2000)
    assert found.severity == "warning" and "2,000 in 2 s" in found.message
    assert rise(2.0, rnr_nak_retry_err=90)[0].severity == "info"
    assert "19,250 pauses received/s" in rise(2.0, make=roce, rx_prio3_pause=38500)[0].message
