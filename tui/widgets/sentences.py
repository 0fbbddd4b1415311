"""Findings as sentences: what, where, since when, evidence, window; wrapped, the second one indented."""

from __future__ import annotations

from collections.abc import Iterable

from diagnostics.model import Evidence, Finding
from tui.theme import SEVERITY_ROLE, Theme
from tui.widgets.line import Line, cells, clean, wrap
from tui.widgets.values import clock, duration, epoch, whole


def where(finding: Finding) -> str:
    """`mlx5_3/1`, the device, the component or nothing."""
    if finding.device is None:
        return finding.component or ""
    return f"{finding.device}/{finding.port}" if finding.port is not None else finding.device


def sentence(finding: Finding, theme: Theme, width: int, most: int = 3) -> list[Line]:
    """` ✗ link-down  mlx5_3/1  down since …` in at most `most` lines."""
    role = SEVERITY_ROLE[finding.severity]
    glyph = theme.glyphs.health(finding.severity)
    place = clean(where(finding))
    message = finding.message
    if place and message.startswith(place):
        message = message[len(place) :].lstrip(" :,")
    head = f" {glyph} {finding.check}  " + (f"{place}  " if place else "")
    if cells(head) > width - 8:
        head = f" {glyph} {place or finding.check} "
    text = message + (" (acknowledged)" if finding.acknowledged else "")
    lines = wrap(text, width - 4, max(0, cells(head) - 3))
    cut = lines[:most]
    if len(lines) > most:
        cut[-1] = cut[-1][: max(0, width - 5)] + theme.glyphs.ellipsis
    start = 3 + len(finding.check) + 2
    out: list[Line] = [((head[:3], role), (head[3:start], role), (head[start:], "title"), (cut[0], ""))]
    out.extend((("   ", ""), (line, "")) for line in cut[1:])
    return out


def sentences(findings: Iterable[Finding], theme: Theme, width: int, height: int, most: int = 3) -> list[Line]:
    """As many findings as fit into `height` lines, whole ones; then how many more there are."""
    out: list[Line] = []
    todo = list(findings)
    while todo:
        lines = sentence(todo[0], theme, width, most)
        room = height - len(out) - (1 if len(todo) > 1 and height > 1 else 0)
        if len(lines) > room and out:
            break
        if room <= 0:
            break
        if len(lines) > room:
            lines = sentence(todo[0], theme, width, room)
        out.extend(lines)
        todo.pop(0)
    if todo and len(out) < height:
        out.append(((f"   {len(todo)} more{'  2 Findings' if width >= 30 else ''}", "dim"),))
    return out


def evidence(item: Evidence) -> str:
    """`rx_prio3_pause 3,912/s over 1 min, threshold 100 (NVIDIA …)`."""
    value = "-" if item.value is None else whole(item.value)
    text = f"{item.name} {value}{' ' + item.unit if item.unit else ''}"
    if item.window_s is not None:
        text += f" over {duration(item.window_s)}"
    if item.threshold is not None:
        text += f", threshold {whole(item.threshold)}"
    return text + (f" ({item.source})" if item.source else "")


def detail(finding: Finding, now: str, width: int) -> list[Line]:
    """Everything a finding stands on, below its sentence."""
    age = epoch(now) - epoch(finding.since)
    rows = [("since", f"{clock(finding.since)}, {duration(age)} ago")]
    rows += [("evidence" if i == 0 else "", evidence(e)) for i, e in enumerate(finding.evidence)]
    if finding.follows:
        rows.append(("follows", finding.follows))
    if finding.unread:
        rows.append(("unread", ", ".join(finding.unread)))
    if finding.hint:
        rows.append(("next", finding.hint))
    out: list[Line] = []
    for name, text in rows:
        for index, line in enumerate(wrap(text, width - 14)):
            out.append(((f"   {name if index == 0 else '':<9} ", "dim"), (line, "")))
    return out
