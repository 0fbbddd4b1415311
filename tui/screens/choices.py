"""A list of names to choose one of: contexts, namespaces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from diagnostics.natural import natural
from tui.screens.base import ListScreen
from tui.theme import Theme
from tui.widgets.grid import Cell, Column, Grid
from tui.widgets.line import BLANK, Line, clean, fit
from tui.widgets.listing import Listing, Traits

if TYPE_CHECKING:
    from tui.screens.session import Session


class Choice(NamedTuple):
    name: str
    place: int
    current: bool


def _name(row: Choice, _theme: Theme, _width: int) -> Cell:
    return ((clean(row.name), ""),)


def _current(row: Choice, theme: Theme, _width: int) -> Cell:
    return ((f"{theme.glyphs.dot} current", "ok"),) if row.current else ()


COLUMNS = (
    Column("name", "NAME", _name, 12, frozen=True, letter="N", value=lambda r: natural(r.name),
           measure=lambda r: r.name, what="its name"),
    Column("current", "", _current, 9, "<", 9),
)  # fmt: skip
CHOICES = Traits(
    identity=lambda r: r.name,
    severity=lambda _r: 0,
    name=lambda r: r.place,
    text=lambda r: r.name.lower(),
    fault_from=0,
)


class Choices(ListScreen):
    name, digit = "choices", ""
    what = "enter takes one of these"

    def __init__(
        self, session: Session, title: str, names: Sequence[str], current: str, chosen: Callable[[str], None]
    ) -> None:
        super().__init__(session)
        self.title = title
        self._chosen = chosen
        self.listing = Listing[Choice](CHOICES)
        self.grid = Grid(COLUMNS, self.listing)
        self.listing.update(Choice(name, place, name == current) for place, name in enumerate(names))

    def do_open(self) -> None:
        row = self.listing.selected
        if row is not None:
            self._chosen(row.name)

    def body(self, width: int, height: int) -> list[Line]:
        narrowed = self.narrowed()
        lines = self.grid.paint(self.session.theme, width, height - bool(narrowed))
        lines += [BLANK] * (height - bool(narrowed) - len(lines))
        return [*lines, fit(narrowed, width)] if narrowed else lines
