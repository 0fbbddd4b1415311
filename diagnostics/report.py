"""Items -> text: table, wide, json, yaml, name. The bytes are what scripts read, so goldens hold them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from diagnostics.columns import ESSENTIAL, NAMES, UNKNOWN, Column
from diagnostics.kinds import LIST_KINDS
from diagnostics.model import Envelope, Problem

FORMATS = ("table", "wide", "json", "yaml", "name")

MEANINGS = {
    "healthy": "ok", "pass": "ok", "note": "ok", "ok": "ok", "done": "ok",
    "warning": "warning", "warn": "warning", "cancelled": "warning",
    "failed": "failed", "critical": "failed", "fail": "failed",
}  # fmt: skip
"""Word -> one of the palette's four meanings; a word that is not here means `unknown`."""

GLYPHS = {"ok": "✓", "warning": "▲", "failed": "✗", "unknown": "·"}
ASCII_GLYPHS = {"ok": " ", "warning": "!", "failed": "X", "unknown": "."}
COLOURS = {"ok": "32", "warning": "33", "failed": "31", "unknown": "2"}
"""SGR parameters: green, yellow, red, dim."""

GAP = "  "
PROSE_ROOM = 24


class Look(NamedTuple):
    """What the place a table goes to can show."""

    colour: bool = False
    ascii: bool = False
    width: int | None = None
    """Columns of the terminal; None: as wide as it comes."""
    headers: bool = True
    cut: bool = False
    """Whether lines must end at the width: a repainted screen; else the terminal wraps the last column's prose."""


# What machines read


def envelope(kind: str, items: Iterable[Any], errors: Iterable[Problem], time: str) -> Envelope:
    return Envelope(kind=LIST_KINDS[kind], time=time, items=tuple(items), errors=tuple(errors))


def as_line(answer: Any) -> bytes:
    """One JSON object on one line."""
    return msgspec.json.encode(answer) + b"\n"


def as_json(answer: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(answer), indent=2) + b"\n"


def as_yaml(answer: Any) -> bytes:
    import yaml  # 18 ms that only this format pays

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    plain = msgspec.to_builtins(answer)
    text = yaml.dump(plain, Dumper=dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=4096)
    return str(text).encode()


def as_names(kind: str, items: Iterable[Any], many: bool = False) -> str:
    """A name a line; of `many` nodes with the node's name before it: `gpu-017/mlx5_0/1`."""
    before = many and kind != "nodes"
    return "".join(
        f"{item.node}/{NAMES[kind].name(item)}\n" if before else f"{NAMES[kind].name(item)}\n" for item in items
    )


# What people read


def table(items: Sequence[Any], columns: Sequence[Column], look: Look) -> str:
    """Lines of a table, each ended by a newline; numbers to the right, `-` for what is not known.

    Where the look has a width, columns leave by their worth until the rest fits.
    """
    cells = {column: [_cell(column, item, look) for item in items] for column in columns}
    heads = {column: [column.heading] if look.headers else [] for column in columns}
    widths = {column: max(map(len, heads[column] + cells[column]), default=0) for column in columns}
    shown = fitting(columns, widths, look.width)
    rows = [heads, *({column: [cells[column][row]] for column in columns} for row in range(len(items)))]
    if not look.headers:
        rows.pop(0)
    return "".join(_line([(row[column][0], column, widths[column]) for column in shown], look) for row in rows)


def fitting(columns: Sequence[Column], widths: dict[Column, int], room: int | None) -> list[Column]:
    """The columns that are worth most and stand side by side in `room` characters; of equals the right one goes."""
    shown = list(columns)
    while room is not None and _together(shown, widths) > room:
        least = min(reversed(shown), key=lambda column: column.worth)
        if least.worth >= ESSENTIAL:
            break
        shown.remove(least)
    return shown


def _together(shown: Sequence[Column], widths: dict[Column, int]) -> int:
    """The room they need; prose at the end may wrap or be cut, down to a few words."""
    needed = [min(widths[column], PROSE_ROOM) if column.prose else widths[column] for column in shown]
    return sum(needed) + len(GAP) * (len(shown) - 1)


def _cell(column: Column, item: Any, look: Look) -> str:
    text = column.text(item)
    if not text.isprintable():  # a process names itself as it likes, escape sequences included
        text = "".join(character if character.isprintable() else "?" for character in text)
    if column.marked and text != UNKNOWN:
        glyphs = ASCII_GLYPHS if look.ascii else GLYPHS
        text = f"{glyphs[meaning(text)]} {text}"
    return text


def meaning(word: str) -> str:
    """`healthy` -> `ok`: the meaning that gives the word its glyph and colour."""
    return MEANINGS.get(word, "unknown")


def _line(cells: Sequence[tuple[str, Column, int]], look: Look) -> str:
    padded = [text.rjust(width) if column.right else text.ljust(width) for text, column, width in cells]
    padded[-1] = padded[-1].rstrip()
    if look.cut and look.width is not None:
        padded = _cut(padded, look)
    if look.colour:
        padded = [_coloured(text, column) for text, (_, column, _) in zip(padded, cells, strict=False)]
    return GAP.join(padded).rstrip() + "\n"


def _cut(cells: Sequence[str], look: Look) -> list[str]:
    """The cells up to the look's width, the one that crosses it shortened."""
    room, kept = look.width or 0, []
    for text in cells:
        if len(text) > room:
            kept.append(text[: max(0, room - 1)] + ("~" if look.ascii else "…") * (room > 0))
            break
        kept.append(text)
        room -= len(text) + len(GAP)
    return kept


def _coloured(text: str, column: Column) -> str:
    words = text.split() if column.marked else []
    return f"\x1b[{COLOURS[meaning(words[-1])]}m{text}\x1b[0m" if words and words[-1] != column.title else text
