"""A line of the screen as data: runs of text with a role. Every painter makes them, only the terminal knows escapes."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

Span = tuple[str, str]
"""Text and its role."""
Line = tuple[Span, ...]
BLANK: Line = ()


def clean(text: str) -> str:
    """`text` without anything that could move the cursor or change the terminal: a process may be named by anybody."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(ch if ch.isprintable() else "?" for ch in text)


@lru_cache(8192)
def cells(text: str) -> int:
    """How many columns `text` takes."""
    if text.isascii():
        return len(text)
    return sum(_cell(ch) for ch in text)


def _cell(ch: str) -> int:
    if unicodedata.combining(ch) or unicodedata.category(ch) in ("Cf", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(ch) in "WF" else 1


def clip(text: str, width: int, mark: str = "") -> str:
    """At most `width` columns of `text`, ending in `mark` where something was cut."""
    if cells(text) <= width:
        return text
    room = width - len(mark)
    if room <= 0:
        return mark[: max(0, width)]
    if text.isascii():
        return text[:room] + mark
    out, used = [], 0
    for ch in text:
        used += _cell(ch)
        if used > room:
            break
        out.append(ch)
    return "".join(out) + mark


def pad(text: str, width: int, align: str = "<") -> str:
    """`text` in exactly `width` columns."""
    text = clip(text, width)
    blank = " " * (width - cells(text))
    return blank + text if align == ">" else text + blank


def length(spans: Iterable[Span]) -> int:
    return sum(cells(text) for text, _ in spans)


def fit(spans: Iterable[Span], width: int, mark: str = "") -> Line:
    """The spans in exactly `width` columns: cut at the end, or filled with blanks."""
    out: list[Span] = []
    left = width
    for text, role in spans:
        size = cells(text)
        if size > left:
            out.append((clip(text, left, mark), role))
            left -= cells(out[-1][0])
            break
        if size:
            out.append((text, role))
            left -= size
    if left > 0:
        out.append((" " * left, ""))
    return tuple(out)


def spread(left: Sequence[Span], right: Sequence[Span], width: int) -> Line:
    """`left` and `right` at the two ends of a line; `left` is cut where they would meet."""
    size = length(right)
    if size > width:
        return fit(left, width)
    return (*fit(left, width - size), *right)


def plain(line: Iterable[Span]) -> str:
    return "".join(text for text, _ in line)


def over(line: Line, width: int) -> Line:
    """The line with the cursor's bar over it."""
    return tuple((text, f"cursor+{role}") for text, role in fit(line, width))


def wrap(text: str, width: int, first: int = 0) -> list[str]:
    """`text` broken at blanks into lines of at most `width` columns, the first one `first` columns shorter."""
    width = max(1, width)
    lines: list[str] = []
    room, line = max(1, width - first), ""
    for word in clean(text).split():
        while True:
            joined = f"{line} {word}" if line else word
            if cells(joined) <= room:
                line = joined
                break
            if line:
                lines.append(line)
                line, room = "", width
                continue
            head = clip(word, room)
            lines.append(head)
            word, room = word[len(head) :], width
    if line or not lines:
        lines.append(line)
    return lines


def changed_runs(old: Line, new: Line, bridge: int = 6) -> list[tuple[int, Line]]:
    """What must be written to turn `old` into `new`: (column, spans) runs.

    Runs nearer than `bridge` columns are joined, since moving the cursor costs about as many bytes. A line with
    characters that are not one column wide is written whole.
    """
    head, start = 0, 0
    most = min(len(old), len(new))
    while head < most and old[head] == new[head]:
        start += cells(new[head][0])
        head += 1
    tail = 0
    while tail < most - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    before, after = _grid(old[head : len(old) - tail]), _grid(new[head : len(new) - tail])
    if before is None or after is None or len(before) != len(after):
        return [(0, new)]
    runs: list[list[int]] = []
    for x, (a, b) in enumerate(zip(before, after, strict=True)):
        if a != b:
            if runs and x - runs[-1][1] <= bridge:
                runs[-1][1] = x + 1
            else:
                runs.append([x, x + 1])
    return [(start + first, _spans(after[first:end])) for first, end in runs]


def _grid(line: Line) -> list[Span] | None:
    out: list[Span] = []
    for text, role in line:
        if not text.isascii() and cells(text) != len(text):
            return None
        out.extend((ch, role) for ch in text)
    return out


def _spans(chars: list[Span]) -> Line:
    out: list[Span] = []
    text, role = "", chars[0][1]
    for ch, now in chars:
        if now != role:
            out.append((text, role))
            text, role = "", now
        text += ch
    out.append((text, role))
    return tuple(out)
