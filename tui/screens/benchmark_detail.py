"""A benchmark in full: the result against what was expected and why, how clean it ran, and the runs before it."""

from __future__ import annotations

from collections.abc import Sequence

from diagnostics.model import Benchmark, Latency
from tui.theme import VERDICT_ROLE, Theme
from tui.widgets.line import BLANK, Line, clean, wrap
from tui.widgets.values import clock, gbps, size, whole


def detail_lines(row: Benchmark, past: Sequence[Benchmark], theme: Theme, width: int, chart_height: int) -> list[Line]:
    """The block below the list: head, result, reasons, then earlier runs of the same port, size and operation."""
    role = "failed" if row.state == "failed" else VERDICT_ROLE[row.verdict]
    glyph = theme.glyphs.health("failed" if row.state == "failed" else row.verdict)
    where = f"{row.device}/{row.port}" if row.port is not None else row.device or ""
    what = f"RDMA {row.operation} {size(row.size_bytes)}{'B' if row.size_bytes >= 1024 else ''}, {row.qps} QPs"
    if row.duration_s is not None:
        what += f", {row.duration_s:g} s"
    what += f", {row.chain} in flight" + (", both directions" if row.bidirectional else "")
    lines: list[Line] = [
        ((f" {glyph} ", role), (f"{clock(row.started)} {row.kind} {where}", "title"), (f", {what}", ""))
    ]
    for name, text in _rows(row):
        for index, part in enumerate(wrap(clean(text), width - 13)):
            lines.append(((f"   {name if index == 0 else '':<8} ", "dim"), (part, "")))
    before = [b for b in past if _same(b, row) and b.id != row.id and b.bandwidth_gbps is not None][:6]
    if before:
        text = ", ".join(f"{gbps(b.bandwidth_gbps)} at {_when(b, row)}" for b in before)
        for index, part in enumerate(wrap(text, width - 13)):
            lines.append(((f"   {'before' if index == 0 else '':<8} ", "dim"), (part, "")))
        if chart_height >= 3 and row.bandwidth_gbps is not None:
            lines += [BLANK, *_dots([*reversed(before), row], theme, width, chart_height)]
    return lines


def _rows(row: Benchmark) -> list[tuple[str, str]]:
    out: list[tuple[str, str]] = [("result", _result(row))]
    reason = row.error or row.reason
    if reason:
        out.append(("why", reason))
    clean_run = _clean(row)
    if clean_run:
        out.append(("clean", clean_run))
    if row.latency_us is not None:
        out.append(("latency", _latency(row.latency_us)))
    facts = [f"CPU {row.cpu_percent:.0f} %" if row.cpu_percent is not None else "", row.memory or ""]
    facts += [f"MTU {row.mtu_bytes}" if row.mtu_bytes else "", f"GID {row.gid_index} {row.gid}" if row.gid else ""]
    text = ", ".join(f for f in facts if f)
    if text:
        out.append(("with", text))
    return out


def _result(row: Benchmark) -> str:
    if row.bandwidth_gbps is None:
        if row.state == "running":
            return f"running, {100 * (row.progress or 0):.0f} %"
        return {"queued": "waits for its turn", "cancelled": "cancelled before there was one"}.get(row.state, "none")
    text = f"{gbps(row.bandwidth_gbps)} Gb/s ({row.bandwidth_gbps / 8:.2f} GB/s)"
    if row.expected_gbps:
        text += f" of {gbps(row.expected_gbps)} expected, {100 * row.bandwidth_gbps / row.expected_gbps:.0f} %"
    if row.limited_by:
        text += f", limited by the {'PCIe path' if row.limited_by == 'pcie' else row.limited_by}"
    if row.messages_per_s is not None:
        text += f"; {whole(row.messages_per_s)} messages/s"
    return text


def _clean(row: Benchmark) -> str:
    parts = []
    if row.counters is not None:
        moved = ", ".join(f"{name} +{value:,}" for name, value in row.counters.items() if value)
        parts.append(f"moved: {moved}" if moved else "no error counter moved")
    if row.verified is not None:
        parts.append("bytes verified on both ends" if row.verified else "the bytes differ")
    return "; ".join(parts)


def _latency(value: Latency) -> str:
    names = (("min", value.min), ("p50", value.p50), ("p99", value.p99), ("max", value.max))
    return "  ".join(f"{name} {number:.1f}" for name, number in names if number is not None) + " us"


def _same(a: Benchmark, b: Benchmark) -> bool:
    keys = ("kind", "device", "port", "operation", "size_bytes", "bidirectional")
    return all(getattr(a, key) == getattr(b, key) for key in keys)


def _when(row: Benchmark, now: Benchmark) -> str:
    if row.started and now.started and row.started[:10] != now.started[:10]:
        return row.started[:10]
    return clock(row.started)


def _dots(rows: Sequence[Benchmark], theme: Theme, width: int, height: int) -> list[Line]:
    """Runs as dots from the oldest to this one, on an axis from 0."""
    values = [row.bandwidth_gbps or 0.0 for row in rows]
    top = max(values) or 1.0
    step = max(2, min(10, (width - 14) // max(1, len(values))))
    lines: list[Line] = []
    for y in range(height):
        level = height - 1 - y
        label = gbps(top) if y == 0 else "0" if level == 0 else ""
        axis = theme.glyphs.tick if label else theme.glyphs.axis
        marks = "".join(
            (theme.glyphs.dot if round((height - 1) * v / top) == level else " ").center(step) for v in values
        )
        lines.append(((f"   {label:>6}{axis}", "dim"), (marks, "")))
    return lines
