"""Screen 1: the ports of this host, the worst findings below."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from agent.readers.traffic import SUMS
from diagnostics.model import Finding
from diagnostics.natural import natural
from tui.screens.base import ListScreen
from tui.screens.columns import PORT_COLUMNS
from tui.screens.empty import no_device, waiting
from tui.store import PortRow, row_health
from tui.theme import Theme
from tui.widgets.grid import Cell, Grid
from tui.widgets.line import BLANK, Line, Span, fit
from tui.widgets.listing import Listing, Traits
from tui.widgets.sentences import sentences
from tui.widgets.values import clock, short, whole


def _text(row: PortRow) -> str:
    facts, device = row.facts, row.device
    words = [*row.identity, row.name]
    if facts is not None:
        words += [
            facts.state or "",
            facts.netdev or "",
            facts.health,
            facts.expected,
            facts.link_layer or "",
            facts.gid or "",
        ]
    if device is not None:
        words += [device.card or "", device.pci_address or "", device.node_guid or ""]
    return " ".join(words).lower()


def _note(row: PortRow, theme: Theme) -> Cell:
    if row.gone:
        return ((f"{theme.glyphs.failed} gone since {clock(row.gone)}", "failed"),)
    if row.stale:
        return ((f"{theme.glyphs.unknown} stale since {clock(row.stale)}: a read hangs", "unknown"),)
    return ()


PORTS = Traits(
    identity=lambda row: row.identity,
    severity=lambda row: row.severity,
    name=lambda row: natural(row.name),
    text=_text,
    stable=True,
)


class Fabric(ListScreen):
    name, title, digit = "fabric", "Fabric", "1"
    what = "the ports of this host and what is wrong with them"

    def __init__(self, session) -> None:  # type: ignore[no-untyped-def]
        super().__init__(session)
        self.listing = Listing[PortRow](PORTS)
        self.grid = Grid(PORT_COLUMNS, self.listing, _note)
        self._total: tuple[Any, Line] = (None, BLANK)
        self._said: tuple[Any, list[Line]] = (None, [])
        """Findings and their lines: made anew when they change."""

    @property
    def crumb(self) -> str:
        return ""

    @property
    def command(self) -> str:
        return "rdmatop get ports -o wide"

    def entered(self) -> None:
        self.updated()
        self.moved()

    def updated(self) -> None:
        self.listing.update(self.session.store.rows.values())
        if self.listing.selected is not None and not self._focused:
            self.moved()

    _focused = False

    def moved(self) -> None:
        row = self.listing.selected
        if row is not None:
            self._focused = True
            self.session.focus(row.identity[1], int(row.identity[2]) if row.identity[2] else None)

    def do_open(self) -> None:
        row = self.listing.selected
        if row is not None:
            self.session.open_port(row.identity)

    def do_explain(self) -> None:
        found = self.worst()
        if found is None:
            self.session.notice("nothing is wrong here: no finding to explain")
        else:
            self.session.explain(found.check, found)

    def worst(self) -> Finding | None:
        """The first finding of the selected port, else of all."""
        row, findings = self.listing.selected, self.session.store.findings
        if row is not None:
            own = [f for f in findings if f.device == row.identity[1] and str(f.port or "") in ("", row.identity[2])]
            findings = own or findings
        return findings[0] if findings else None

    def body(self, width: int, height: int) -> list[Line]:
        store = self.session.store
        if store.snapshot is None:
            return waiting(store, width)
        if not store.rows:
            return no_device(store.snapshot, width)
        theme = self.session.theme
        below = self._below(width, height)
        strip = [self._totals(width)] if width >= 60 and height >= 16 else []
        narrowed = self.narrowed()
        table = height - len(below) - len(strip) - bool(narrowed)
        lines = self.grid.paint(theme, width, table)
        left = len(self.listing.order) - self.grid.height
        if left > 0 and table > 3:
            # The last line says what is hidden rather than one row more.
            lines = self.grid.paint(theme, width, table - 1)
            lines.append(((self._more(), "dim"),))
        lines += [BLANK] * (table - len(lines))
        if narrowed:
            lines.append(fit(narrowed, width))
        return lines + strip + below

    def _more(self) -> str:
        """How many rows there is no room for, and whether one of them needs a look."""
        window = self.listing.window(self.grid.height)
        rows = [row for index, row in enumerate(self.listing.shown()) if index not in window]
        fine = all(row_health(row) in ("healthy", "spare") for row in rows)
        return f"   {len(rows)} more" + (", all fine" if fine else "")

    def _below(self, width: int, height: int) -> list[Line]:
        """The worst findings; they may take half of the body, and on a small one only what the table leaves."""
        rows = len(self.listing.order) + 1
        room = max(height // 2 if height >= 12 else height // 3, height - rows - 3)
        findings = self.session.store.findings
        given = (width, height, room, self.session.theme, findings)
        if self._said[0] != given:
            open_ = [f for f in findings if not f.acknowledged]
            lines = sentences(open_, self.session.theme, width, room, 3 if height >= 8 else 1) if height >= 3 else []
            self._said = (given, [BLANK, *lines] if lines and height >= 8 else lines)
        return self._said[1]

    def _totals(self, width: int) -> Line:
        """The selected port in a line: errors, discards, ECN and PFC, total and rate, whatever columns there are."""
        row = self.listing.selected
        if row is None or row.facts is None:
            return BLANK
        counters = self.session.store.counters(row.identity[1], row.facts.port)
        spans: list[Span] = [(f" {row.name}", "title"), (" in total", "dim")]
        values = tuple((c.name, c.class_, c.value) for c in counters)
        if self._total[0] != (row.name, width, values):
            self._total = ((row.name, width, values), fit([*spans, *totals(values)], width))
        return self._total[1]


TOTALS = (
    ("errors", "errors_per_minute"),
    ("discards", "discards_per_second"),
    ("ECN", "ecn_per_second"),
    ("PFC", "pause_per_second"),
    ("CNP", "cnp_per_second"),
)
"""What the columns show a second, as totals of the selected port."""


@lru_cache(4096)
def _sums_of(name: str, class_: str) -> tuple[str, ...]:
    """The columns that a counter is added to."""
    found = [column for column, counts in SUMS.items() if counts(name)]
    return (*found, "errors_per_minute") if class_ == "error" else tuple(found)


def totals(values: Iterable[tuple[str, str, int | None]]) -> list[Span]:
    """`errors 48,331  discards 12 …` of (name, class, value) of counters; `-` where none is known."""
    sums: dict[str, int] = {}
    for name, class_, value in values:
        if value is not None:
            for column in _sums_of(name, class_):
                sums[column] = sums.get(column, 0) + value
    out: list[Span] = []
    for title, column in TOTALS:
        text = whole(sums.get(column))
        out += [(f"  {title} ", "dim"), (text if len(text) < 10 else short(sums[column]), "")]
    return out
