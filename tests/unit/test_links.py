"""What links, slots and cards carry, against published figures and every form that sysfs has been seen to print."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.links import (
    LANE_GBPS,
    Rate,
    benchmark_verdict,
    card_max_gbps,
    card_name,
    data_gbps,
    expected_benchmark,
    parse_pcie_speed,
    parse_rate,
    pcie_limit_gbps,
    traffic_ceiling_gbps,
)

SHARED = Path(os.environ.get("RDMATOP_SHARED", Path(__file__).resolve().parents[2].parent / "shared"))
MIB = 1 << 20

RATES = {
    "200 Gb/sec (4X HDR)": Rate(200.0, 4, "HDR"),
    "200 Gb/sec (4X HDR)\n": Rate(200.0, 4, "HDR"),
    "2.5 Gb/sec (1X SDR)": Rate(2.5, 1, "SDR"),
    "10 Gb/sec (1X FDR10)": Rate(10.0, 1, "FDR10"),
    "800 Gb/sec (4X XDR)": Rate(800.0, 4, "XDR"),
    "300 Gb/sec (12X EDR)": Rate(300.0, 12, "EDR"),
    "200 Gb/sec (2X NDR)": Rate(200.0, 2, "NDR"),
    # old kernels leave the name out, fixtures the width too
    "10 Gb/sec (4X)": Rate(10.0, 4, None),
    "400 Gb/sec": Rate(400.0, None, None),
}


@pytest.mark.parametrize(("text", "rate"), RATES.items())
def test_a_rate_as_sysfs_prints_it(text: str, rate: Rate) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    "text",
    ["", "\n", "0 Gb/sec", "0.0 Gb/sec (4X SDR)", "N/A (no PMA)", "lid", "Gb/sec", "-5 Gb/sec", "nan Gb/sec",
     "1e9 Gb/sec", "inf Gb/sec", "200 Gb/sec (HDR)", "200 Gb/sec (X HDR)", "200 Gb/sec 4X HDR", "2.5.5 Gb/sec",
     "9" * 400 + " Gb/sec", "² Gb/sec"],
)  # fmt: skip
def test_what_is_no_rate_is_unknown(text: str) -> None:
    assert parse_rate(text) is None


@given(st.text() | st.from_regex(r"[0-9.]{0,9} Gb/sec( \([0-9]*X?[A-Z0-9 ]*\)?)?"))
def test_no_text_breaks_the_parsers(text: str) -> None:
    rate = parse_rate(text)
    assert rate is None or 0 < rate.gbps < float("inf")
    speed = parse_pcie_speed(text)
    assert speed is None or 0 < speed < float("inf")


@given(st.sampled_from(sorted(LANE_GBPS)), st.sampled_from([1, 2, 4, 8, 12]))
def test_width_times_lane_comes_back(speed: str, lanes: int) -> None:
    gbps = LANE_GBPS[speed] * lanes
    assert parse_rate(f"{gbps:g} Gb/sec ({lanes}X {speed})") == Rate(gbps, lanes, speed)


def test_every_captured_rate_is_understood() -> None:
    packed = SHARED / "data" / "sysfs" / "trees.tar.zst"
    if not packed.exists():
        pytest.skip(f"no captures at {SHARED} (RDMATOP_SHARED)")
    shown = subprocess.run(
        ["tar", "--zstd", "-x", "-O", "--wildcards", "*/ports/*/rate", "-f", packed],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    # files without an end of line run into the next one
    rates = [line for line in shown.replace(")", ")\n").splitlines() if line.strip()]
    assert len(rates) > 30
    assert [line for line in rates if parse_rate(line) is None] in ([], ["0 Gb/sec"])


@pytest.mark.parametrize(
    ("text", "gbps"),
    [
        ("10 Gb/sec (4X SDR)", 8),
        ("20 Gb/sec (4X DDR)", 16),
        ("40 Gb/sec (4X QDR)", 32),
        ("40 Gb/sec (4X FDR10)", 40),
        ("56 Gb/sec (4X FDR)", 54.5),
        ("100 Gb/sec (4X EDR)", 100),
        ("400 Gb/sec (4X NDR)", 400),
    ],
)
def test_data_rate_after_line_encoding(text: str, gbps: float) -> None:
    rate = parse_rate(text)
    assert rate is not None
    assert data_gbps(rate) == pytest.approx(gbps, abs=0.1)


def test_an_ethernet_label_says_nothing_of_encoding() -> None:
    assert data_gbps(Rate(40.0, 4, "QDR"), "Ethernet") == 40.0


@pytest.mark.parametrize(
    ("text", "speed"),
    [("32.0 GT/s PCIe", 32.0), ("16 GT/s", 16.0), ("2.5GT/s", 2.5), ("Unknown", None), ("Unknown speed", None),
     ("0 GT/s", None), ("", None), ("8", None)],
)  # fmt: skip
def test_pcie_speed(text: str, speed: float | None) -> None:
    assert parse_pcie_speed(text) == speed


@pytest.mark.parametrize(
    ("speed", "width", "gbps"),
    [
        (2.5, 8, 2.5 * 8 * 0.8 * 256 / 280),
        (5.0, 8, 5.0 * 8 * 0.8 * 256 / 280),
        (8.0, 16, 115),
        (16.0, 16, 230),
        (32.0, 16, 461),
        (16.0, 8, 115),
        (64.0, 16, 888),
    ],
)
def test_pcie_limit(speed: float, width: int, gbps: float) -> None:
    assert pcie_limit_gbps(speed, width) == pytest.approx(gbps, abs=0.6)


@pytest.mark.parametrize(("speed", "width"), [(None, 16), (16.0, None), (0.0, 16), (16.0, 0), (-1.0, 16)])
def test_an_unknown_slot_has_no_limit(speed: float | None, width: int | None) -> None:
    assert pcie_limit_gbps(speed, width) is None


@pytest.mark.parametrize(
    ("card", "name"),
    [("MT4099", "ConnectX-3"), ("MT4115", "ConnectX-4"), ("MT4117", "ConnectX-4 Lx"), ("MT4118", "ConnectX-4 Lx"),
     ("MT4119", "ConnectX-5"), ("MT4121", "ConnectX-5 Ex"), ("MT4123", "ConnectX-6"), ("MT4124", "ConnectX-6"),
     ("MT4125", "ConnectX-6 Dx"), ("MT4127", "ConnectX-6 Lx"), ("MT4129", "ConnectX-7"), ("MT4131", "ConnectX-8"),
     ("MT41682", "BlueField"), ("MT41686", "BlueField-2"), ("MT41692", "BlueField-3"), ("MT41695", "BlueField-4"),
     ("0x1021", "ConnectX-7"), ("4129\n", "ConnectX-7"), (4129, "ConnectX-7"), ("", None), ("rxe", None),
     ("MT", None), (None, None), (1, None)],
)  # fmt: skip
def test_card_names(card: int | str | None, name: str | None) -> None:
    assert card_name(card) == name


def test_a_shared_virtual_function_id_is_told_by_its_firmware() -> None:
    assert card_name("MT4126") == "ConnectX-6 Dx or later"
    assert card_name("MT4126", "28.41.1000") == "ConnectX-7"
    assert card_name("MT4126", "99.1.1") == "ConnectX-6 Dx or later"
    assert card_max_gbps("MT4126") is None


def test_the_most_a_card_does_by_its_ports() -> None:
    assert card_max_gbps("MT4129") == 400
    assert card_max_gbps("MT4129", 2) == 200
    assert card_max_gbps("MT4123", 2) == 200
    assert card_max_gbps("MT41692", 2) == 400
    assert card_max_gbps("MT4117", 2) == 25
    assert card_max_gbps("") is None


def test_what_traffic_counters_may_at_most_show() -> None:
    assert traffic_ceiling_gbps(Rate(200.0, 4, "HDR")) == 200
    assert traffic_ceiling_gbps(200.0, 460.0, "InfiniBand") == 200
    # two functions of one Ethernet card talk past the wire
    assert traffic_ceiling_gbps(25.0, 115.0, "Ethernet") == 115
    assert traffic_ceiling_gbps(25.0, None, "Ethernet") == 25
    assert traffic_ceiling_gbps(None, 115.0, "Ethernet") is None


def test_a_large_message_should_fill_the_narrower_of_link_and_slot() -> None:
    assert expected_benchmark(400.0, 460.9, False, MIB) == (400.0, "link")
    assert expected_benchmark(200.0, 115.2, False, MIB) == (115.2, "pcie")
    assert expected_benchmark(200.0, None, False, MIB) == (200.0, "link")


def test_both_ways_double_between_nodes_and_share_the_port_in_a_loopback() -> None:
    assert expected_benchmark(400.0, 460.9, True, MIB, loopback=False) == (800.0, "link")
    assert expected_benchmark(400.0, 460.9, True, MIB) == (400.0, "link")


def test_what_the_link_does_not_bound_is_not_held_against_it() -> None:
    for size in (2, 64, 4096, 65535):
        assert expected_benchmark(100.0, 115.0, False, size) == (None, "host")
    assert expected_benchmark(100.0, 115.0, False, 65536) == (100.0, "link")
    # 64 KiB on one queue pair at NDR looks slow on sound links
    assert expected_benchmark(400.0, 460.0, False, 65536, qps=1) == (None, "host")
    assert expected_benchmark(400.0, 460.0, False, 65536, qps=2) == (400.0, "link")
    # soft-RoCE prints a rate that no wire has
    assert expected_benchmark(200.0, None, False, MIB, software=True) == (None, "host")


def test_no_rate_no_expectation() -> None:
    assert expected_benchmark(None, 115.0, False, MIB) == (None, None)


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [(400.0, "pass"), (390.0, "pass"), (380.0, "pass"), (379.9, "note"), (360.0, "note"), (359.9, "warn"),
     (320.0, "warn"), (319.9, "fail"), (0.0, "fail"), (440.0, "pass"), (None, "unknown")],
)  # fmt: skip
def test_verdict_by_share(measured: float | None, verdict: str) -> None:
    assert benchmark_verdict(measured, 400.0) == verdict


def test_published_floors_pass() -> None:
    """Azure and OCI accept these of sound nodes; so must we."""
    for link, floor in ((100, 95), (200, 190), (200, 180), (400, 390), (400, 380), (400, 360), (200, 192), (400, 384)):
        assert benchmark_verdict(floor, expected_benchmark(link, 461.0).gbps) in ("pass", "note")


def test_without_an_expectation_there_is_no_verdict_but_by_the_own_baseline() -> None:
    assert benchmark_verdict(50.0, None) == "unknown"
    assert benchmark_verdict(94.0, None, 100.0) == "warn"
    assert benchmark_verdict(96.0, None, 100.0) == "pass"
    assert benchmark_verdict(385.0, 400.0, 398.0) == "pass"
    assert benchmark_verdict(362.0, 400.0, 398.0) == "warn"
    assert benchmark_verdict(300.0, 400.0, 398.0) == "fail"
