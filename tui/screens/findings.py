"""Screen 2: what is wrong, the worst group first, a cause before what follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diagnostics.model import Finding
from tui.screens.base import ListScreen
from tui.screens.empty import waiting
from tui.store import FINDING_ORDER
from tui.theme import SEVERITY_ROLE, Theme
from tui.widgets.grid import Cell, Column, Grid
from tui.widgets.line import BLANK, Line, clean, fit, wrap
from tui.widgets.listing import Listing, Traits
from tui.widgets.sentences import detail, where
from tui.widgets.values import duration, epoch

if TYPE_CHECKING:
    from tui.screens.session import Session


class Placed:
    """A finding with its place in the order and its age."""

    __slots__ = ("age", "finding", "place")

    def __init__(self, place: int, finding: Finding, age: str) -> None:
        self.place, self.finding, self.age = place, finding, age

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Placed) and (self.place, self.finding, self.age) == (
            other.place,
            other.finding,
            other.age,
        )

    __hash__ = None  # type: ignore[assignment]


def _check(row: Placed, theme: Theme, _width: int) -> Cell:
    finding = row.finding
    role = "dim" if finding.acknowledged else SEVERITY_ROLE[finding.severity]
    indent = f"{theme.glyphs.corner}{' '}" if finding.follows else ""
    return ((f"{theme.glyphs.health(finding.severity)} {indent}{finding.check}", role),)


def _text(get: Any) -> Any:
    def cell(row: Placed, _theme: Theme, _width: int) -> Cell:
        return ((clean(get(row)), "dim" if row.finding.acknowledged else ""),)

    return cell


COLUMNS = (
    Column(
        "check",
        "CHECK",
        _check,
        12,
        frozen=True,
        letter="C",
        value=lambda r: r.finding.check,
        measure=lambda r: f"xx{'xx' if r.finding.follows else ''}{r.finding.check}",
        what="its id",
    ),
    Column(
        "where",
        "WHERE",
        _text(lambda r: where(r.finding)),
        8,
        "<",
        9,
        letter="W",
        value=lambda r: where(r.finding),
        measure=lambda r: where(r.finding),
        what="device and port",
    ),
    Column(
        "age",
        "FOR",
        _text(lambda r: r.age),
        6,
        ">",
        8,
        letter="F",
        value=lambda r: r.finding.since,
        what="how long already",
    ),
    Column("message", "WHAT", _text(lambda r: r.finding.message), 16, "<", 7, grow=400, what="the sentence"),
)


FINDINGS = Traits(
    identity=lambda r: r.finding.id,
    severity=lambda r: -r.place,
    name=lambda r: r.place,
    text=lambda r: f"{r.finding.check} {where(r.finding)} {r.finding.message} {r.finding.layer}".lower(),
    fault_from=-(1 << 30),
)


class Findings(ListScreen):
    name, title, digit = "findings", "Findings", "2"
    what = "what is wrong, since when, how we know and what to do next"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.traits = FINDINGS
        self.listing = Listing[Placed](FINDINGS)
        self.grid = Grid(COLUMNS, self.listing)

    @property
    def command(self) -> str:
        return "rdmatop get findings"

    def entered(self) -> None:
        self.updated()

    def updated(self) -> None:
        store = self.session.store
        now = epoch(store.time) if store.time else 0.0
        self.listing.update(Placed(place, f, duration(now - epoch(f.since))) for place, f in enumerate(store.findings))

    def do_faults(self) -> None:
        """Hides what is only information."""
        if self.listing.faults_only:
            self.leave()
        else:
            self.listing.traits = self.traits._replace(
                severity=lambda r: FINDING_ORDER[r.finding.severity], fault_from=FINDING_ORDER["warning"]
            )
            self.listing.toggle_faults()
            self.updated()

    def leave(self) -> bool:
        self.listing.traits = self.traits
        left = super().leave()
        self.updated()
        return left

    def do_open(self) -> None:
        self.do_explain()

    def do_explain(self) -> None:
        row = self.listing.selected
        if row is not None:
            self.session.explain(row.finding.check, row.finding)

    def do_acknowledge(self) -> None:
        row = self.listing.selected
        acknowledge = getattr(self.session.source, "acknowledge", None)
        if row is None:
            return
        if acknowledge is None:
            self.session.notice("this source cannot acknowledge findings")
        else:
            self.session.ask(
                acknowledge(row.finding.id), lambda _: self.session.notice(f"acknowledged: {row.finding.check}")
            )

    def body(self, width: int, height: int) -> list[Line]:
        store = self.session.store
        if store.snapshot is None:
            return waiting(store, width)
        if not self.listing.items:
            unread = len(store.snapshot.unread)
            text = "Nothing is wrong, as far as was judged." + (
                f" {unread} counters and files could not be read." if unread else ""
            )
            return [BLANK, fit([(f" {self.session.theme.glyphs.ok} ", "ok"), (text, "")], width)]
        return self.table(width, height)

    def table(self, width: int, height: int) -> list[Line]:
        """The list, and all about the finding under the cursor."""
        below = self._selected(width) if height >= 10 else []
        narrowed = self.narrowed()
        below = below[: height // 2]
        table = height - len(below) - bool(narrowed)
        lines = self.grid.paint(self.session.theme, width, table)
        lines += [BLANK] * (table - len(lines))
        return [*lines, *([fit(narrowed, width)] if narrowed else []), *below]

    def place(self, finding: Finding) -> str:
        """Where the finding under the cursor is, in its detail."""
        return where(finding)

    def _selected(self, width: int) -> list[Line]:
        row = self.listing.selected
        if row is None:
            return []
        theme, finding = self.session.theme, row.finding
        head: Line = (
            (f" {theme.glyphs.health(finding.severity)} {finding.check}", SEVERITY_ROLE[finding.severity]),
            (f"  {self.place(finding)}", "title"),
        )
        body: list[Line] = [((f"   {text}", ""),) for text in wrap(finding.message, width - 5)]
        return [head, *body, *detail(finding, self.session.store.time, width)]
