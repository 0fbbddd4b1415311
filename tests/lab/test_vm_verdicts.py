"""Faults made for real on kernel devices: each found within two samples, on its port, and cleared as designed."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from agent.sampler import Sampler
from diagnostics.checks.engine import Judge
from diagnostics.model import Event, Finding, NodeSnapshot
from tests.lab import devices

pytestmark = pytest.mark.vm

SAMPLE_S = 0.5


class Watch:
    """The agent's core, a sample at a time, on a clock that a test can turn forward."""

    def __init__(self) -> None:
        self.sampler = Sampler()
        self.judge = Judge()
        self.ahead_s = 0.0
        self.snapshot: NodeSnapshot | None = None
        self.sampler.refresh()
        for _ in range(3):
            self.sample()

    def sample(self) -> tuple[dict[tuple[str, str | None], Finding], list[Event]]:
        """Findings by check and device, and what began or ended with this sample."""
        time.sleep(SAMPLE_S)
        self.sampler.tick()
        now = time.time() + self.ahead_s
        clock = time.monotonic() + self.ahead_s
        self.snapshot, events = self.judge.step(self.sampler.snapshot(), self.sampler.history, now, clock)
        return {(each.check, each.device): each for each in self.snapshot.findings}, events

    def found(self, check: str, device: str | None) -> Finding:
        """The finding, within two samples."""
        seen: dict[tuple[str, str | None], Finding] = {}
        for _ in range(2):
            seen, _ = self.sample()
            if (check, device) in seen:
                return seen[check, device]
        raise AssertionError(f"no {check} on {device} within two samples: {sorted(map(str, seen))}")

    def ends(self, check: str, device: str | None, after_s: float) -> bool:
        """Whether it ends once its hold has passed without the condition."""
        self.sample()
        self.ahead_s += after_s
        seen, events = self.sample()
        return (check, device) not in seen and ("ended", check) in {(each.kind, each.check) for each in events}


@pytest.fixture
def watch(lab: None) -> Iterator[Watch]:
    watch = Watch()
    yield watch
    watch.sampler.close()


class Rise(NamedTuple):
    counter: str
    by: int
    check: str
    severity: str
    folder: str = "counters"


RISES = (
    Rise("link_downed", 1, "link-drop", "warning"),
    Rise("symbol_error", 30, "symbol-errors", "warning"),
    Rise("symbol_error", 3000, "symbol-errors", "critical"),
    Rise("link_error_recovery", 20, "link-errors", "warning"),
    Rise("port_rcv_errors", 2000, "link-errors", "warning"),
    Rise("local_link_integrity_errors", 2, "integrity-errors", "warning"),
    Rise("port_xmit_discards", 5000, "discards", "warning"),
    Rise("rnr_nak_retry_err", 2000, "rnr", "warning", "hw_counters"),
    Rise("local_ack_timeout_err", 500, "transport-retries", "warning", "hw_counters"),
    Rise("req_remote_access_errors", 3, "remote-errors", "warning", "hw_counters"),
    Rise("out_of_sequence", 50000, "out-of-sequence", "warning", "hw_counters"),
    Rise("np_ecn_marked_roce_packets", 5000, "ecn-marked", "info", "hw_counters"),
    Rise("rp_cnp_ignored", 10, "ecn-marked", "warning", "hw_counters"),
)


@pytest.mark.parametrize("rise", RISES, ids=lambda rise: f"{rise.counter}+{rise.by}")
def test_a_counter_that_rises_is_found(watch: Watch, inject: Callable[[str, str, int], None], rise: Rise) -> None:
    inject("mlx5_1", rise.counter, devices.counter("mlx5_1", rise.counter, rise.folder) + rise.by)
    finding = watch.found(rise.check, "mlx5_1")
    assert finding.severity == rise.severity, finding.message
    assert finding.port == 1
    assert any(each.window_s for each in finding.evidence), "the window is always named"
    assert watch.snapshot
    assert not [each for each in watch.snapshot.findings if each.device == "mlx5_0"]
    inject("mlx5_1", rise.counter, 0)


def test_a_netdev_switched_off(watch: Watch) -> None:
    subprocess.run(["ip", "link", "set", "v1", "down"], check=True)
    try:
        finding = watch.found("link-down", "mlx5_1")
        assert finding.severity == "critical"
        assert watch.snapshot is not None
        assert watch.snapshot.node.health == "failed"
    finally:
        subprocess.run(["ip", "link", "set", "v1", "up"], check=True)
    devices.until(devices.are_up, "the port is back")
    assert watch.ends("link-down", "mlx5_1", 60)


def test_a_device_taken_away_and_brought_back(watch: Watch) -> None:
    devices.remove("mlx5_1")
    finding = watch.found("device-missing", "mlx5_1")
    assert finding.severity in ("critical", "warning")
    devices.add("mlx5_1", "v1")
    watch.sampler.refresh()
    assert watch.ends("device-missing", "mlx5_1", 60)


def test_a_drop_stays_until_somebody_has_seen_it(watch: Watch, inject: Callable[[str, str, int], None]) -> None:
    inject("mlx5_1", "link_downed", devices.counter("mlx5_1", "link_downed") + 1)
    finding = watch.found("link-drop", "mlx5_1")
    watch.ahead_s += 3600
    seen, _ = watch.sample()
    assert ("link-drop", "mlx5_1") in seen
    assert watch.judge.acknowledge(finding.id) is not None
    watch.ahead_s += 60
    watch.sample()
    seen, _ = watch.sample()
    assert ("link-drop", "mlx5_1") not in seen


def test_a_flap_faster_than_the_samples_is_caught(watch: Watch, inject: Callable[[str, str, int], None]) -> None:
    for _ in range(3):
        inject("mlx5_1", "link_downed", devices.counter("mlx5_1", "link_downed") + 1)
        watch.sample()
    assert watch.found("link-flap", "mlx5_1").severity in ("critical", "warning")


def test_a_counter_at_its_maximum_is_said_to_be_blind(watch: Watch, inject: Callable[[str, str, int], None]) -> None:
    inject("mlx5_1", "excessive_buffer_overrun_errors", 15)
    assert watch.found("counter-clamped", "mlx5_1").severity == "info"
    inject("mlx5_1", "excessive_buffer_overrun_errors", 0)


def test_a_wrap_is_counted_and_a_reset_is_no_rise(watch: Watch, inject: Callable[[str, str, int], None]) -> None:
    inject("mlx5_1", "local_ack_timeout_err", 2**32 - 50)
    watch.sample()
    watch = Watch()
    inject("mlx5_1", "local_ack_timeout_err", 450)
    finding = watch.found("transport-retries", "mlx5_1")
    assert any(each.value is not None and each.value < 1e6 for each in finding.evidence)
    watch = Watch()
    inject("mlx5_1", "local_ack_timeout_err", 0)
    seen, _ = watch.sample()
    assert ("transport-retries", "mlx5_1") not in seen


def test_a_read_that_hangs_makes_one_device_stale(watch: Watch, inject: Callable[[str, str, int], None]) -> None:
    inject("mlx5_1", "hang", 1)
    try:
        finding = None
        for _ in range(3):
            seen, _ = watch.sample()
            finding = finding or seen.get(("device-stale", "mlx5_1"))
        assert finding is not None
        assert ("device-stale", "mlx5_0") not in seen
    finally:
        inject("mlx5_1", "hang", 0)


def test_a_port_that_came_up_slower_than_it_was(watch: Watch, inject: Callable[[str, str, int], None]) -> None:
    inject("mlx5_1", "speed", 32)
    finding = watch.found("link-slow", "mlx5_1")
    assert "100" in finding.message
    assert "200" in finding.message
    inject("mlx5_1", "speed", 0)
    assert watch.ends("link-slow", "mlx5_1", 60)


def test_a_quiet_and_a_busy_machine_are_silent(watch: Watch) -> None:
    seen, _ = watch.sample()
    assert not [each for each in seen.values() if each.severity != "info"]
    with devices.traffic(30):
        for _ in range(4):
            seen, _ = watch.sample()
    # Soft-RoCE under emulation really retransmits by time-out: that, and nothing else, may be said.
    assert {check for check, _ in seen} <= {"transport-retries", "out-of-sequence", "memlock", "discards", "rnr"}
