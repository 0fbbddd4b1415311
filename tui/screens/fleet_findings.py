"""Screen 2 of a cluster: what is wrong on which node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diagnostics.model import Finding
from diagnostics.natural import natural
from tui.fleet_view import MISSING
from tui.screens.empty import waiting_fleet
from tui.screens.findings import COLUMNS, FINDINGS, Findings, Placed
from tui.theme import Theme
from tui.widgets.grid import Cell, Column, Grid
from tui.widgets.line import BLANK, Line, fit
from tui.widgets.sentences import where
from tui.widgets.values import UNKNOWN, duration, epoch

if TYPE_CHECKING:
    from tui.screens.session import Session


def _node(row: Placed, _theme: Theme, _width: int) -> Cell:
    return ((row.finding.node, ""),)


NODE = Column(
    "node",
    "NODE",
    _node,
    7,
    frozen=True,
    letter="N",
    value=lambda r: natural(r.finding.node),
    measure=lambda r: r.finding.node,
    what="where",
)
TRAITS = FINDINGS._replace(
    identity=lambda r: (r.finding.node, r.finding.id),
    text=lambda r: (
        f"{r.finding.node} {r.finding.check} {where(r.finding)} {r.finding.message} {r.finding.layer}".lower()
    ),
)


class FleetFindings(Findings):
    what = "what is wrong on which node, the worst check first"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.listing.traits = self.traits = TRAITS
        self.grid = Grid((COLUMNS[0], NODE, *COLUMNS[1:]), self.listing)

    @property
    def command(self) -> str:
        """What to type about the finding under the cursor, where it says so."""
        row = self.listing.selected
        commands = getattr(row.finding, "commands", ()) if row is not None else ()
        return commands[0] if commands else "rdmatop get findings"

    def updated(self) -> None:
        view = self.session.store
        self.listing.update(
            Placed(place, f, duration(view.now - epoch(f.since)) if f.since else UNKNOWN)
            for place, f in enumerate(view.findings)
        )

    def do_acknowledge(self) -> None:
        """Asks the node's agent, under the operator's account."""
        row, cluster = self.listing.selected, self.session.cluster
        if row is None or cluster is None:
            return
        finding = row.finding
        acknowledge = getattr(cluster.source.node(finding.node), "acknowledge", None)
        if acknowledge is None or finding.check == MISSING or finding.node not in self.session.store.rows:
            self.session.notice("there is no agent that could note it")
        else:
            self.session.ask(
                acknowledge(finding.id), lambda _: self.session.notice(f"acknowledged: {finding.check} {finding.node}")
            )

    def place(self, finding: Finding) -> str:
        return f"{finding.node} {where(finding)}"

    def body(self, width: int, height: int) -> list[Line]:
        view = self.session.store
        if view.fleet is None:
            return waiting_fleet(view, width)
        if not self.listing.items:
            text = "Nothing is wrong on any node that speaks."
            return [BLANK, fit([(f" {self.session.theme.glyphs.ok} ", "ok"), (text, "")], width)]
        return self.table(width, height)
