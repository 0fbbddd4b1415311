"""Layers host, benchmarks and agent, and the rules of the kernel log on captured lines."""

from __future__ import annotations

from typing import Any

import pytest

from diagnostics.checks import REGISTRY
from diagnostics.checks.docs import section
from diagnostics.checks.engine import Judge
from diagnostics.kernel_log import MOST_EVENTS, MOST_LINES_A_SECOND, RULES, LogEvent, LogFilter, match, message_of
from diagnostics.model import Finding, Host, NodeSnapshot
from tests.shared import shared_path
from tests.unit.made_node import TIME, benchmark, device, down, port, snapshot


def findings(node: NodeSnapshot, judge: Judge | None = None) -> list[tuple[str, str]]:
    return [(each.severity, each.check) for each in (judge or Judge()).step(node, None, 1000.0, 1000.0)[0].findings]


def host(**facts: Any) -> NodeSnapshot:
    return snapshot([port()], host=Host(**facts))


# Kernel log


@pytest.mark.parametrize(
    ("rule", "severity", "pci", "line"),
    [
        ("insufficient-power", "warning", "0000:5c:00.0", None),
        ("high-temperature", "warning", None, None),
        ("access-reg", "warning", "0000:d2:00.0", None),
    ],
)
def test_captured_errors(rule: str, severity: str, pci: str | None, line: None) -> None:
    lines = shared_path("data/captures/kernel-log/kmsg-mlx5-errors.txt").read_text().splitlines()
    events = [event for each in lines if (event := match(each)) is not None]
    assert len(events) == len([each for each in lines if each.strip()])
    found = [event for event in events if event.rule == rule]
    assert found and {event.severity for event in found} == {severity} and pci in {event.pci for event in found}


def test_captured_boot_of_a_healthy_host_has_one_note() -> None:
    """An uncabled spare port says so at boot; available PCIe bandwidth that nothing limits is no complaint."""
    lines = shared_path("data/captures/kernel-log/dmesg-mlx5-cx4lx.txt").read_text().splitlines()
    events = [event for each in lines if (event := match(each)) is not None]
    assert [(event.rule, event.severity, event.pci) for event in events] == [
        ("cable-unplugged", "info", "0000:41:00.1")
    ]


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (
            "mlx5_core 0000:3b:00.0: poll_health:978:(pid 0): device's health compromised - reached miss count",
            "health-compromised",
        ),
        (
            (
                "mlx5_core 0000:3b:00.0: wait_func:1148:(pid 77): ACCESS_REG(0x805) timeout. "
                "Will cause a leak of a command resource"
            ),
            "command-timeout",
        ),
        ("mlx5_core 0000:3b:00.0: health_recover_work:381: unrecoverable hardware error", "firmware-fatal"),
        ("pcieport 0000:37:01.0: AER: Uncorrectable (Fatal) error message received from 0000:3b:00.0", "pcie-fatal"),
        (
            "mlx5_core 0000:3b:00.0: PCIe Bus Error: severity=Corrected, type=Physical Layer, (Receiver ID)",
            "pcie-corrected",
        ),
        (
            "pcieport 0000:37:01.0: PCIe Bus Error: severity=Uncorrected (Non-Fatal), type=Transaction Layer",
            "pcie-uncorrected",
        ),
        (
            (
                "mlx5_core 0000:3b:00.0: 63.008 Gb/s available PCIe bandwidth, limited by 8.0 GT/s PCIe x8 link at "
                "0000:37:01.0 (capable of 252.048 Gb/s with 16.0 GT/s PCIe x16 link)"
            ),
            "pcie-limited",
        ),
        ("NETDEV WATCHDOG: ens3f0 (mlx5_core): transmit queue 5 timed out", "tx-timeout"),
        ("mlx5_core 0000:3b:00.0 ens3f0: TX timeout detected", "tx-timeout"),
        ("mlx5_core 0000:3b:00.0: Port module event[error]: module 0, Cable error, Bus stuck", "module-error"),
        ("watchdog: BUG: soft lockup - CPU#3 stuck for 22s! [napi/ens3f0:77] mlx5e_napi_poll", "soft-lockup"),
        ("mlx5_core 0000:3b:00.0: Port module event: module 0, Cable plugged", None),
        ("mlx5_core 0000:3b:00.0 ens3f0: Link up", None),
        ("usb 1-1: new high-speed USB device number 2", None),
    ],
)
def test_lines_and_their_rules(line: str, rule: str | None) -> None:
    event = match(line)
    assert (event.rule if event is not None else None) == rule


@pytest.mark.parametrize(
    "line",
    [
        "<4>[  2.9] mlx5_core 0000:41:00.1: x",
        "4,1234,5678901,-;mlx5_core 0000:41:00.1: x",
        "[Sun Dec  1 14:54:40 2024] h kernel: mlx5_core 0000:41:00.1: x",
        "h kernel: mlx5_core 0000:41:00.1: x",
        "mlx5_core 0000:41:00.1: x",
    ],
)
def test_every_form_of_a_line_has_the_same_message(line: str) -> None:
    assert message_of(line) == "mlx5_core 0000:41:00.1: x"


def access(pci: str = "d2") -> str:
    return f"mlx5_core 0000:{pci}:00.0: mlx5_cmd_out_err:838:(pid 1): ACCESS_REG(0x805) op_mod(0x1) failed"


def test_repeats_are_one_event_and_each_function_has_its_own() -> None:
    events = LogFilter()
    new = [events.feed(access(pci), float(second), float(second)) for second in range(500) for pci in ("d2", "d3")]
    assert len([each for each in new if each is not None]) == 2
    assert [(each.pci, each.repeats, each.first, each.last) for each in events.events()] == [
        ("0000:d2:00.0", 500, 0.0, 499.0),
        ("0000:d3:00.0", 500, 0.0, 499.0),
    ]


def test_other_rules_count_anew_after_five_minutes() -> None:
    events, line = LogFilter(), "mlx5_core 0000:5c:00.0: Detected insufficient power on the PCIe slot (27W)."
    assert events.feed(line, 0.0, 0.0) is not None
    assert events.feed(line, 299.0, 299.0) is None
    assert events.feed(line, 700.0, 700.0) is not None


def test_storm_is_bounded_in_lines_and_in_events() -> None:
    events = LogFilter()
    for number in range(MOST_LINES_A_SECOND * 3):
        events.feed(f"mlx5_core {number:04x}:3b:00.0: TX timeout detected", 1.0, 1.0)
    assert events.dropped == MOST_LINES_A_SECOND * 2 and len(events.events()) == MOST_EVENTS
    assert events.feed(access(), 2.0, 2.1) is not None


def test_line_becomes_a_finding_on_its_device_for_an_hour() -> None:
    judge = Judge()
    judge.kernel_log_unread = None
    judge.kernel_log = (
        LogEvent("insufficient-power", "warning", "0000:10:00.0", None, 900.0, 950.0, 3, "Detected insufficient power"),
    )
    (found,) = judge.step(snapshot([port()]), None, 1000.0, 1000.0)[0].findings
    assert (found.severity, found.check, found.device) == (
        "warning",
        "kernel-log",
        "mlx5_0",
    ) and "3 times" in found.message
    assert judge.step(snapshot([port()]), None, 5000.0, 5000.0)[0].findings == ()


def test_unreadable_kernel_log_is_unknown() -> None:
    judge = Judge()
    judge.kernel_log_unread = "/dev/kmsg: EPERM"
    judge.step(snapshot([port()]), None, 1.0, 1.0)
    assert judge.unjudged["kernel-log"][0].status == "unknown" and "EPERM" in judge.unjudged["kernel-log"][0].reason


def test_unplugged_cable_of_a_port_that_is_wanted_is_a_warning() -> None:
    judge = Judge()
    judge.kernel_log_unread = None
    judge.kernel_log = (LogEvent("cable-unplugged", "info", "0000:13:00.0", None, 990.0, 990.0, 1, "Cable unplugged"),)
    ports = [down(port(f"mlx5_{n}")) if n == 3 else port(f"mlx5_{n}") for n in range(8)]
    found = judge.step(snapshot(ports), None, 1000.0, 1000.0)[0].findings
    assert [(each.severity, each.check) for each in found] == [("warning", "kernel-log"), ("critical", "link-down")]
    assert found[1].follows == found[0].id


def test_rules_have_ids_of_their_own_and_publishers() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES) and all(rule.publisher and rule.next for rule in RULES)


# Host


@pytest.mark.parametrize(
    ("facts", "want"),
    [
        ({"modules": {"mlx5_core": "24.10-0.7.0", "mlx5_ib": "24.10-0.7.0", "ib_core": None}}, []),
        ({"modules": {"mlx5_core": "24.10-0.7.0", "mlx5_ib": "23.10-1.1.9"}}, [("warning", "driver-mismatch")]),
        ({"modules": {"mlx5_core": None, "mlx5_ib": None}}, []),
        ({"memlock_bytes": 65536, "memlock_unlimited": False}, [("info", "memlock")]),
        ({"memlock_bytes": None, "memlock_unlimited": True}, []),
        ({"iommu": "passthrough", "gpus": 8, "peer_memory": "nvidia_peermem"}, []),
        ({"iommu": "translated"}, [("info", "iommu")]),
        (
            {"iommu": "translated", "gpus": 8, "peer_memory": "nvidia_peermem"},
            [("warning", "iommu"), ("warning", "gpudirect")],
        ),
        ({"netns_mode": "exclusive"}, [("info", "netns-mode")]),
        ({"netns_mode": "shared"}, []),
        ({"gpus": 8, "kernel": "6.8.0-40-generic"}, [("info", "gpudirect")]),
        ({"gpus": 8, "kernel": "5.4.0-150-generic"}, [("warning", "gpudirect")]),
        ({"gpus": 8, "kernel": "5.4.0", "peer_memory": "nvidia_peermem"}, []),
    ],
)
def test_host(facts: dict[str, Any], want: list[tuple[str, str]]) -> None:
    assert findings(host(**facts)) == want


@pytest.mark.parametrize("gpus", [0, None])
def test_gpudirect_is_unknown_without_a_gpu(gpus: int | None) -> None:
    judge = Judge()
    judge.step(host(gpus=gpus), None, 1.0, 1.0)
    assert judge.unjudged["gpudirect"][0].status == "unknown"


def test_mixed_firmware_of_one_product_alone_is_a_note() -> None:
    ports = [port("mlx5_0"), port("mlx5_1")]
    same = [device("mlx5_0"), device("mlx5_1", firmware="28.39.1002")]
    other = [device("mlx5_0"), device("mlx5_1", firmware="28.39.1002", board_id="MT_Y")]
    assert findings(snapshot(ports, same)) == [("info", "firmware-mixed")]
    assert findings(snapshot(ports, other)) == []


# Benchmarks


def measured(*runs: Any, ports: Any = None) -> NodeSnapshot:
    return snapshot(ports or [port()], benchmarks=tuple(runs))


@pytest.mark.parametrize(
    ("changed", "want"),
    [
        ({}, []),
        ({"bandwidth_gbps": 360.0}, []),
        ({"bandwidth_gbps": 340.0}, [("warning", "benchmark-slow")]),
        ({"bandwidth_gbps": 223.0}, [("critical", "benchmark-slow")]),
        ({"bandwidth_gbps": None, "expected_gbps": None}, []),
        ({"state": "cancelled", "bandwidth_gbps": 10.0}, []),
        ({"state": "running", "bandwidth_gbps": 10.0}, []),
        ({"counters": {"packet_seq_err": 4, "port_xmit_data": 10**9}}, [("warning", "benchmark-errors")]),
        ({"counters": {"req_cqe_flush_error": 128, "resp_cqe_flush_error": 128}}, []),
        ({"verified": False}, [("critical", "benchmark-errors")]),
    ],
)
def test_benchmark(changed: dict[str, Any], want: list[tuple[str, str]]) -> None:
    assert findings(measured(benchmark(**changed))) == want


def test_last_run_counts() -> None:
    old = benchmark(id="b0", bandwidth_gbps=100.0, started="2026-11-23T12:00:00.000Z")
    assert findings(measured(old, benchmark(started=TIME))) == []


def test_run_under_the_nodes_own_baseline() -> None:
    judge = Judge()
    for number, (gbps, want) in enumerate([(390.0, []), (389.0, []), (365.0, [("warning", "benchmark-slow")])]):
        run = benchmark(id=f"b{number}", bandwidth_gbps=gbps, started=f"2026-11-2{number}T12:00:00.000Z")
        node = measured(run)
        judge.step(node, None, float(number * 100), float(number * 100))
        found = judge.step(node, None, number * 100 + 50.0, number * 100 + 50.0)[0].findings
        assert [(each.severity, each.check) for each in found] == want, gbps


def test_benchmark_of_a_port_that_is_down_follows_from_it() -> None:
    ports = [down(port(f"mlx5_{n}")) if n == 3 else port(f"mlx5_{n}") for n in range(8)]
    run = benchmark(
        "mlx5_3", state="failed", verdict="fail", reason="mlx5_3/1 is down: no carrier", bandwidth_gbps=None
    )
    found = Judge().step(measured(run, ports=ports), None, 1.0, 1.0)[0].findings
    assert [each.check for each in found] == ["link-down", "benchmark-slow"] and found[1].follows == found[0].id


# Agent


def test_read_that_hangs() -> None:
    stale = snapshot([port(stale_since=TIME)], [device(stale_since=TIME)])
    assert findings(stale) == [("warning", "device-stale")]


def test_store_that_cannot_be_written() -> None:
    judge = Judge(capabilities=frozenset({"store"}))
    assert findings(snapshot([port()]), judge) == []
    judge.store_problem = "/var/lib/rdmatop: ENOSPC"
    assert findings(snapshot([port()]), judge) == [("warning", "store-degraded")]


def test_silent_agent_is_judged_in_a_cluster_alone() -> None:
    import msgspec

    made = snapshot([port()])
    old = msgspec.structs.replace(made, node=msgspec.structs.replace(made.node, age_s=600.0))
    assert findings(old) == []
    assert findings(old, Judge(capabilities=frozenset({"cluster"}))) == [("warning", "agent-missing")]


# All of them

CONTRACT = [
    "link-down",
    "link-not-active",
    "link-flap",
    "link-drop",
    "link-slow",
    "device-missing",
    "netdev-down",
    "gid-missing",
    "mtu-mismatch",
    "link-errors",
    "symbol-errors",
    "integrity-errors",
    "transport-retries",
    "rnr",
    "remote-errors",
    "discards",
    "counter-clamped",
    "congestion-fabric",
    "congestion-host",
    "xmit-wait",
    "ecn-marked",
    "out-of-sequence",
    "pcie-slow",
    "pcie-errors",
    "driver-mismatch",
    "firmware-mixed",
    "memlock",
    "iommu",
    "netns-mode",
    "kernel-log",
    "gpudirect",
    "benchmark-slow",
    "benchmark-errors",
    "device-stale",
    "store-degraded",
    "agent-missing",
]


def test_registry_holds_the_contracts_checks() -> None:
    assert set(CONTRACT) <= set(REGISTRY)


@pytest.mark.parametrize("name", CONTRACT)
def test_every_check_explains_itself(name: str) -> None:
    row = REGISTRY[name]
    assert row.title and row.hint and all(part in row.doc for part in ("Meaning:", "Evidence:", "Next:"))
    assert all(cause in REGISTRY for cause in row.follows)
    assert all(each.publisher in section(row) for each in row.thresholds)


def test_healthy_node_is_silent() -> None:
    found: tuple[Finding, ...] = (
        Judge().step(snapshot([port(f"mlx5_{n}") for n in range(8)]), None, 1.0, 1.0)[0].findings
    )
    assert found == ()
