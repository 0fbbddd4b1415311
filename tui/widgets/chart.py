"""History as text: a sparkline in a cell and a filled chart of braille dots, or of characters without them."""

from __future__ import annotations

from collections.abc import Sequence

from tui.theme import Glyphs
from tui.widgets.line import Line, pad

# Dots of a braille cell from the bottom up, left and right column (Unicode 16.0, chapter 21.1).
_LEFT = (0x40, 0x04, 0x02, 0x01)
_RIGHT = (0x80, 0x20, 0x10, 0x08)


def sparkline(values: Sequence[float | None], top: float | None, width: int, glyphs: Glyphs) -> str:
    """The last `width` values as heights of one line, `top` being full; blank where nothing moves or is known."""
    if width <= 0:
        return ""
    full = top or max((v for v in values if v is not None), default=0.0) or 1.0
    out = []
    for value in values[-width:]:
        if value is None or value <= 0:
            out.append(" ")
        else:
            out.append(glyphs.levels[max(1, min(8, round(8 * value / full)))])
    return "".join(out).rjust(width)


def chart(values: Sequence[float | None], top: float, width: int, height: int, glyphs: Glyphs, unit: str) -> list[Line]:
    """An axis of `height` lines from 0 to `top` and the values filled below, the newest at the right.

    `values` holds two a column with braille, one without.
    """
    label = max(4, len(unit) + 1)
    body = (
        _braille(values, top, width - label, height) if glyphs.braille else _blocks(values, top, width - label, height)
    )
    lines: list[Line] = []
    for y, text in enumerate(body):
        name = unit if y == 0 else "0" if y == height - 1 else ""
        axis = glyphs.tick if name else glyphs.axis
        lines.append(((pad(name, label - 1, ">") + axis, "dim"), (text, "")))
    return lines


def _dots(value: float | None, top: float, count: int) -> int:
    if value is None or value <= 0:
        return 0
    return max(1, min(count, round(count * value / top)))


def _braille(values: Sequence[float | None], top: float, width: int, height: int) -> list[str]:
    wanted = 2 * width
    points = [_dots(v, top, 4 * height) for v in values[-wanted:]]
    points = [0] * (wanted - len(points)) + points
    lines = []
    for y in range(height):
        base = 4 * (height - 1 - y)
        text = ""
        for x in range(width):
            bits = 0
            for i in range(4):
                bits |= (_LEFT[i] if points[2 * x] > base + i else 0) | (
                    _RIGHT[i] if points[2 * x + 1] > base + i else 0
                )
            text += chr(0x2800 + bits) if bits else " "
        lines.append(text)
    return lines


def _blocks(values: Sequence[float | None], top: float, width: int, height: int) -> list[str]:
    points = [_dots(v, top, 8 * height) for v in values[-width:]]
    points = [0] * (width - len(points)) + points
    lines = []
    for y in range(height):
        base = 8 * (height - 1 - y)
        lines.append("".join("#" if p >= base + 8 else "." if p > base else " " for p in points))
    return lines
