"""A virtual table: columns as data, key columns that never scroll away, and only the rows on screen are made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tui.widgets.line import Line, Span, cells, fit, length, over, pad
from tui.widgets.listing import Listing

Cell = tuple[Span, ...]


class Column(NamedTuple):
    """One column: what a cell holds, how wide it is, and what it is worth where there is no room for all."""

    key: str
    title: str
    cell: Callable[[Any, Any, int], Cell]
    """(row, theme, width) -> spans."""
    width: int
    align: str = "<"
    worth: int = 5
    """9 is kept longest. Key columns are always kept."""
    frozen: bool = False
    letter: str = ""
    """shift+letter that sorts by it."""
    value: Callable[[Any], Any] | None = None
    """What sorting compares; None sorts last."""
    measure: Callable[[Any], str] | None = None
    """The text that must never be cut: the column is as wide as the longest."""
    least: int = 0
    """Where there is no room for its width: it may be cut to this one. 0: it is left out."""
    grow: int = 0
    """Up to so many more columns where there is room."""
    what: str = ""
    """For the help."""


class Placed(NamedTuple):
    column: Column
    x: int
    width: int


def place(columns: Sequence[Column], sizes: Mapping[str, int], width: int, first: int = 0) -> list[Placed]:
    """The columns that fit into `width`, in their order.

    With `first` the table is scrolled: key columns stay, `first` others are skipped and the rest follows while it fits.
    """
    sizes = dict(sizes)
    frozen = [c for c in columns if c.frozen]
    others = [c for c in columns if not c.frozen]
    room = width  # a blank at the left, one between columns: a column takes its width and one more
    chosen: list[Column] = []
    for column in frozen:
        if chosen and sizes[column.key] + 1 > room:
            break
        chosen.append(column)
        room -= sizes[column.key] + 1
    candidates = others[first:] if first else sorted(others, key=lambda c: -c.worth)
    for column in candidates:
        if sizes[column.key] + 1 > room and not 0 < column.least < room:
            break
        sizes[column.key] = min(sizes[column.key], room - 1)
        chosen.append(column)
        room -= sizes[column.key] + 1
    kept = {c.key for c in chosen}
    out, x = [], 1
    growing = [c for c in columns if c.key in kept and c.grow]
    if growing and all(c.grow == growing[0].grow for c in growing):
        room -= room % len(growing)  # like columns stay alike
    extra = max(0, room)
    for column in columns:
        if column.key not in kept:
            continue
        size = sizes[column.key]
        if column.grow:
            more = min(column.grow, extra // len(growing))
            growing.remove(column)
            extra -= more
            size += more
        out.append(Placed(column, x, size))
        x += size + 1
    return out


def hidden(columns: Sequence[Column], placed: Sequence[Placed]) -> int:
    return len(columns) - len(placed)


def measured(columns: Sequence[Column], rows: Iterable[Any], known: Mapping[str, int] | None = None) -> dict[str, int]:
    """How wide each column must be for `rows`, and for those that `known` comes from."""
    sizes = dict(known) if known else {c.key: max(c.width, cells(c.title)) for c in columns}
    texts = [(c.key, c.measure) for c in columns if c.measure is not None]
    for row in rows:
        for key, measure in texts:
            size = cells(measure(row))
            if size > sizes[key]:
                sizes[key] = size
    return sizes


class Grid:
    """Paints a Listing as a table; lines of unchanged rows come from the last time."""

    def __init__(
        self,
        columns: Sequence[Column],
        listing: Listing[Any],
        note: Callable[[Any, Any], Cell] | None = None,
        dress: Callable[[Any], Any] | None = None,
    ) -> None:
        self.columns = tuple(columns)
        self.listing = listing
        self.dress = dress
        """What cells are made of, from an item on the screen: with its age and its past; None: the item itself."""
        self.note = note
        """Spans that take the place of all columns behind the key columns (`gone since …`); empty: none."""
        self.first = 0
        self.placed: list[Placed] = []
        self.height = 0
        self._bar: tuple[Line, Line] = ((), ())
        self._measured = -1
        self._sizes: dict[str, int] = {}
        self._layout: tuple[Any, ...] = ()
        self._lines: dict[Any, tuple[Any, Line]] = {}

    def paint(self, theme: Any, width: int, height: int, focused: bool = True) -> list[Line]:
        """A head line and up to `height` - 1 rows."""
        if height <= 0:
            return []
        self.height = max(0, height - 1)
        order = self.listing.order
        window = self.listing.window(self.height)
        rows = [self.listing.get(order[index]) for index in window]
        self._lay_out(theme, rows, width)
        lines = [self.head(theme, width)]
        old, self._lines = self._lines, {}
        cursor = self.listing.index if focused else -1
        for index, item in zip(window, rows, strict=True):
            key = order[index]
            row = item if self.dress is None else self.dress(item)
            kept = old.get(key)
            line = kept[1] if kept is not None and kept[0] == row else self._row(row, theme, width)
            self._lines[key] = (row, line)
            lines.append(self._under_cursor(line, width) if index == cursor else line)
        return lines

    def _under_cursor(self, line: Line, width: int) -> Line:
        if self._bar[0] is not line:
            self._bar = (line, over(line, width))
        return self._bar[1]

    def _lay_out(self, theme: Any, visible: Sequence[Any], width: int) -> None:
        """Key columns fit all rows; the others those on the screen, so that nothing on it is cut."""
        if self._measured != self.listing.shape:
            self._measured = self.listing.shape
            keys = measured([c for c in self.columns if c.frozen], self.listing.shown())
            self._sizes = measured(self.columns, ()) | keys
        self._sizes = measured(self.columns, visible, self._sizes)
        placed = place(self.columns, self._sizes, width, self.first)
        layout = (width, id(theme), tuple((p.column.key, p.width) for p in placed))
        if layout != self._layout:
            self._layout, self._lines = layout, {}
        self.placed = placed

    def head(self, theme: Any, width: int) -> Line:
        spans: list[Span] = [(" ", "")]
        for placed in self.placed:
            title = placed.column.title
            sort = self.listing.sort
            if sort is not None and sort[0] == placed.column.key:
                title = f"{title}{theme.glyphs.down if sort[2] else theme.glyphs.up}"[-placed.width :]
            spans.append((pad(title, placed.width, placed.column.align), "title"))
            spans.append((" ", ""))
        return fit(spans, width)

    def _row(self, row: Any, theme: Any, width: int) -> Line:
        spans: list[Span] = [(" ", "")]
        note = self.note(row, theme) if self.note is not None else ()
        for placed in self.placed:
            if note and not placed.column.frozen:
                spans.extend(note)
                break
            cell = placed.column.cell(row, theme, placed.width)
            blank = placed.width - length(cell)
            if blank < 0:
                cell, blank = fit(cell, placed.width), 0
            if placed.column.align == ">":
                spans.append((" " * blank, ""))
                spans.extend(cell)
                spans.append((" ", ""))
            else:
                spans.extend(cell)
                spans.append((" " * (blank + 1), ""))
        return fit(spans, width)

    def scroll_columns(self, by: int) -> None:
        """Scrolls sideways by columns, as long as there is something to bring in."""
        others = [c for c in self.columns if not c.frozen]
        self.first = max(0, min(len(others) - 1, self.first + by))

    def column_at(self, x: int) -> Column | None:
        return next((p.column for p in self.placed if p.x <= x < p.x + p.width), None)

    def row_at(self, y: int) -> int | None:
        """The index of the row on line `y` of the painted table (0 is the head)."""
        index = self.listing.top + y - 1
        return index if 1 <= y <= self.height and index < len(self.listing.order) else None
