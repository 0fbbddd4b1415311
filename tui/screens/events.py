"""Screen 7: what began, changed and ended, the newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diagnostics.model import Event
from diagnostics.natural import natural
from tui.screens.base import ListScreen
from tui.theme import Theme
from tui.widgets.grid import Cell, Column, Grid
from tui.widgets.line import BLANK, Line, clean, fit, wrap
from tui.widgets.listing import Listing, Traits
from tui.widgets.values import clock

if TYPE_CHECKING:
    from tui.screens.session import Session

_ROLE = {"started": "warning", "changed": "", "ended": "ok"}
_GLYPH = {"started": "warning", "changed": "spare", "ended": "healthy"}


def _kind(row: Event, theme: Theme, _width: int) -> Cell:
    return ((f"{theme.glyphs.health(_GLYPH[row.kind])} {row.kind}", _ROLE[row.kind]),)


def _text(get: Any) -> Any:
    def cell(row: Event, _theme: Theme, _width: int) -> Cell:
        return ((clean(get(row) or "-"), ""),)

    return cell


def _where(row: Event) -> str:
    return f"{row.device}/{row.port}" if row.device and row.port is not None else row.device or ""


COLUMNS = (
    Column(
        "time",
        "TIME",
        _text(lambda r: clock(r.time)),
        8,
        frozen=True,
        letter="T",
        value=lambda r: r.time,
        what="local time",
    ),
    Column("kind", "", _kind, 9, "<", 8),
    Column(
        "check",
        "CHECK",
        _text(lambda r: r.check),
        8,
        "<",
        6,
        letter="C",
        value=lambda r: r.check,
        measure=lambda r: r.check,
        what="its id",
    ),
    Column(
        "where",
        "WHERE",
        _text(_where),
        8,
        "<",
        7,
        letter="W",
        value=lambda r: natural(_where(r)),
        measure=_where,
        what="device and port",
    ),
    Column("message", "WHAT", _text(lambda r: r.message), 16, "<", 9, grow=400, what="what was seen"),
)

EVENTS = Traits(
    identity=lambda r: (r.time, r.check, r.device, r.port, r.kind, r.message),
    severity=lambda _r: 0,
    name=lambda r: _Newest(r.time),
    text=lambda r: f"{r.check} {_where(r)} {r.kind} {r.message}".lower(),
    fault_from=0,
)


class _Newest(str):
    """Sorts the greatest time first."""

    __slots__ = ()

    def __lt__(self, other: str) -> bool:
        return str.__gt__(self, other)


class Events(ListScreen):
    name, title, digit = "events", "Events", "7"
    what = "what began, changed and ended"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.listing = Listing[Event](EVENTS)
        self.grid = Grid(COLUMNS, self.listing)
        self._told: tuple[Event, ...] = ()

    @property
    def command(self) -> str:
        return "rdmatop get events"

    @property
    def nothing(self) -> str:
        return "No event since this screen was opened: nothing appeared, vanished, changed its state or was reset."

    def entered(self) -> None:
        self._ask()
        self.updated()

    def updated(self) -> None:
        self._ask()
        self._list()

    def _list(self) -> None:
        self.listing.update([*self.session.store.events, *self._told])

    def _ask(self) -> None:
        events = getattr(self.session.source, "events", None)
        if events is not None:
            self.session.ask(events(), self._take)

    def _take(self, events: tuple[Event, ...]) -> None:
        if events != self._told:
            self._told = events
            self._list()

    def body(self, width: int, height: int) -> list[Line]:
        if not self.listing.items:
            return [BLANK, *(((" ", ""), (line, "")) for line in wrap(self.nothing, width - 2))]
        narrowed = self.narrowed()
        lines = self.grid.paint(self.session.theme, width, height - bool(narrowed))
        lines += [BLANK] * (height - bool(narrowed) - len(lines))
        return [*lines, fit(narrowed, width)] if narrowed else lines
