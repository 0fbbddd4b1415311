"""What frames every screen: the head line, the tabs and the footer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tui.fleet_view import FleetView
from tui.keys import Key
from tui.store import Store
from tui.theme import HEALTH_ROLE, Theme
from tui.widgets.line import Line, Span, cells, clip, fit, length, spread
from tui.widgets.values import clock, interval

TALLY = (("healthy", "ok"), ("warning", "warning"), ("failed", "failed"), ("unknown", "unknown"), ("spare", "dim"))


class Tab(NamedTuple):
    digit: str
    title: str
    number: str
    current: bool


def tally(store: Store, theme: Theme, compact: bool) -> list[Span]:
    """`✓ 6  ▲ 1  ✗ 1  · 1`: only what there is."""
    return counted(store.tally(), theme, compact)


def counted(counts: Mapping[str, int], theme: Theme, compact: bool) -> list[Span]:
    """The numbers of `TALLY` with their glyphs."""
    out: list[Span] = []
    for name, role in TALLY:
        if not counts[name] or (compact and name in ("unknown", "spare") and len(out) > 1):
            continue
        glyph = theme.glyphs.health(name)
        glyph = "OK" if glyph == " " else glyph
        out.append((f"{glyph} {counts[name]:,}", role))
        out.append((" " if compact else "  ", ""))
    return out


def head(
    store: Store,
    crumb: str,
    seconds: float | None,
    theme: Theme,
    width: int,
    right: Sequence[Span] = (),
    above: str = "",
) -> Line:
    """` rdmatop  gpu-017 › mlx5_1/1      …      every 1 s   12:04:31`, shorter where there is less room.

    `above` is what the node was opened from.
    """
    time = clock(store.time) if store.time else ""
    node = store.node or store.label
    place = f"{node} {theme.glyphs.arrow} {crumb}" if crumb else node
    if above:
        node = store.node or store.label.rpartition(" ")[2]
        place = f"{node} {theme.glyphs.arrow} {crumb}" if crumb else node
    if width < 24:
        line = [*tally(store, theme, True)] or [(clip(place, width - 2), "title")]
        return fit([(" ", ""), *line], width)
    if width < 60:
        ends = [*(right or tally(store, theme, True)), (f" {time[:5]} ", "")]
        begin = [(f" {crumb} ", "title")] if crumb else [(" rdmatop ", "title"), (place, "")]
        return spread(begin, ends, width)
    middle = list(right) if right else [(f"{len(store.rows)} ports  ", ""), *tally(store, theme, False)]
    ends = [*middle, (f"  {interval(seconds)}   {time} ", "")]
    whole = f"{above} {theme.glyphs.arrow} {place}"
    if above and cells(whole) + 12 + length(ends if right else [*tally(store, theme, True), *ends[-1:]]) <= width:
        place = whole
    left: list[Span] = [(" rdmatop  ", "title"), (place, "title" if crumb else "")]
    if store.node and not crumb and not above:
        for label in (store.label, "" if store.label == "this host" else store.label.split(" ")[0]):
            if length(left) + length(ends) + cells(label) + 4 <= width:
                left.append((f"  {label}", "dim"))
                break
    if length(left) + length(ends) + 2 > width and not right:
        ends = [*tally(store, theme, True), *ends[-1:]]
    return spread(left, ends, width)


def fleet_head(
    view: FleetView,
    name: str,
    crumb: str,
    seconds: float,
    theme: Theme,
    width: int,
    own: Sequence[Span] = (),
) -> Line:
    """` rdmatop  prod-h100 · 128 nodes · 1,024 ports   ✓ 1,017  ▲ 5  ✗ 2   every 1 s   12:04:31`; numbers of ports.

    `own` is what the screen shows in their place.
    """
    place = f"{name} {theme.glyphs.arrow} {crumb}" if crumb else name
    counts = view.tally()
    few = counted(counts, theme, True)
    if width < 24:
        return fit([(" ", ""), *(few or [(clip(place, width - 2), "title")])], width)
    time = clock(view.time)
    if width < 60:
        left = [(f" {crumb} ", "title")] if crumb else [(" rdmatop ", "title"), (name, "")]
        return spread(left, [*few, (f" {time[:5]} ", "")], width)
    begin: list[Span] = [(" rdmatop  ", "title"), (place, "title" if crumb else "")]
    if own and length(begin) + length(own) + len(time) + 4 <= width:
        return spread(begin, [*own, (f"  {time} ", "")], width)
    nodes = (f" {theme.glyphs.spare} {len(view.rows):,} node{'s' * (len(view.rows) != 1)}", "dim")
    ports = (f" {theme.glyphs.spare} {sum(counts.values()):,} ports", "dim")
    rate = (f"  {interval(seconds)} ", "")
    stack = _stack(view, theme)
    end = (f"  {time} ", "")
    for more, tail in (
        ([nodes, ports], [*stack, rate, end]),
        ([nodes, ports], [*stack, end]),
        ([nodes], [*stack, end]),
        ([], [*stack, end]),
        ([], [end]),
    ):
        left = [*begin, *(more if view.fleet is not None and not crumb else [])]
        right = [*counted(counts, theme, False), *tail]
        if length(left) + length(right) + 1 <= width:
            return spread(left, right, width)
    return spread(begin, [*few, end], width)


def _stack(view: FleetView, theme: Theme) -> list[Span]:
    """`operator ✓ 8/9`: how many parts of it are ok, of those that are there."""
    found = view.operator.present if view.operator is not None else ()
    if not found:
        return []
    fine = sum(each.verdict == "ok" for each in found)
    worst = "failed" if any(e.verdict == "failed" for e in found) else "healthy" if fine == len(found) else "warning"
    glyph = theme.glyphs.health(worst)
    return [("  operator ", ""), (f"{'OK' if glyph == ' ' else glyph} {fine}/{len(found)}", HEALTH_ROLE[worst])]


def tabs(items: Sequence[Tab], width: int) -> tuple[Line, list[tuple[int, int, str]]]:
    """The line of screens, and where each can be clicked: (from, to, digit)."""
    spans: list[Span] = [(" ", "")]
    places, x = [], 1
    for tab in items:
        text = f"{tab.digit} {tab.title}{' ' + tab.number if tab.number else ''}"
        size = cells(text)
        if x + size > width:
            break
        spans.append((text, "tab" if tab.current else ""))
        spans.append(("  ", ""))
        places.append((x, x + size, tab.digit))
        x += size + 2
    return fit(spans, width), places


def footer(keys: Sequence[Key], width: int) -> tuple[Line, list[tuple[int, int, str]]]:
    """The keys of this screen: as many as fit, the worthiest kept, in the order of the table."""
    wanted = [k for k in keys if k.label]
    chosen: set[int] = set()
    room = width - 1
    for index in sorted(range(len(wanted)), key=lambda i: -wanted[i].worth):
        size = cells(f"{wanted[index].shown} {wanted[index].label}") + 2
        if size - 2 > room or wanted[index].worth == 0:
            continue
        chosen.add(index)
        room -= size
    spans: list[Span] = [(" ", "")]
    places, x = [], 1
    for index in sorted(chosen):
        key = wanted[index]
        spans += [(key.shown, "key"), (f" {key.label}", "dim"), ("  ", "")]
        size = cells(f"{key.shown} {key.label}")
        places.append((x, x + size, key.keys[0]))
        x += size + 2
    return fit(spans, width), places
