"""Kernel log lines: both forms the kernel gives them in, and whatever else may come."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from agent.readers.kernel_log import LINES_A_POLL, KernelLog, LogLine, parse_record, parse_syslog


def test_a_record_of_kmsg() -> None:
    record = b"4,1021,2608284,-;mlx5_core 0000:41:00.1: Cable unplugged\n SUBSYSTEM=pci\n DEVICE=+pci:0000:41:00.1\n"
    assert parse_record(record) == LogLine(2.608284, 4, "mlx5_core 0000:41:00.1: Cable unplugged")


def test_a_facility_is_not_taken_for_a_level() -> None:
    line = parse_record(b"30,7,1000000,-;systemd[1]: hello")
    assert line is not None
    assert line.level == 6


def test_a_line_of_syslog() -> None:
    assert parse_syslog(b"<3>[   12.500000] mlx5_core 0000:5c:00.0: health") == LogLine(
        12.5, 3, "mlx5_core 0000:5c:00.0: health"
    )


@given(st.binary(max_size=200))
def test_garbage_is_no_line_and_no_crash(garbage: bytes) -> None:
    for parse in (parse_record, parse_syslog):
        line = parse(garbage)
        assert line is None or 0 <= line.level <= 7


def test_only_new_lines_come_and_a_storm_is_split(tmp_path: Path) -> None:
    fifo = str(tmp_path / "kmsg")
    os.mkfifo(fifo)
    log = KernelLog(fifo)
    writer = os.open(fifo, os.O_WRONLY)
    assert log.poll() == []
    os.write(writer, b"6,1,1000000,-;one\n")
    assert [line.text for line in log.poll()] == ["one"]
    assert log.poll() == []
    log.close()
    os.close(writer)
    assert LINES_A_POLL <= 1000


def test_what_cannot_be_read_is_said_or_read_by_syslog(tmp_path: Path) -> None:
    log = KernelLog(str(tmp_path / "missing"))
    lines = log.poll()
    assert (log.unread is None) or ("ENOENT" in log.unread and lines == [])
    log.close()
