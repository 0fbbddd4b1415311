"""Screen 6 of a cluster: the last benchmarks of each node, as its last state has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diagnostics.natural import natural
from tui.screens.base import ListScreen
from tui.sources.cluster_asks import NodeRun, last_runs
from tui.theme import VERDICT_ROLE, Theme
from tui.widgets.grid import Cell, Column, Grid
from tui.widgets.line import BLANK, Line, clean, fit, wrap
from tui.widgets.listing import Listing, Traits
from tui.widgets.values import UNKNOWN, duration, epoch, gbps

if TYPE_CHECKING:
    from tui.screens.session import Session

SEVERITY = {"fail": 4, "warn": 3, "unknown": 2, "note": 1, "pass": 0}


def place(row: NodeRun) -> str:
    run = row.run
    return (run.device or UNKNOWN) + (f"/{run.port}" if run.port is not None else "")


def percent(row: NodeRun) -> float | None:
    run = row.run
    return (
        100 * run.bandwidth_gbps / run.expected_gbps if run.bandwidth_gbps is not None and run.expected_gbps else None
    )


def _text(get: Any) -> Any:
    def cell(row: NodeRun, _theme: Theme, _width: int) -> Cell:
        value = get(row)
        return ((UNKNOWN, "unknown"),) if value in (None, "") else ((clean(str(value)), ""),)

    return cell


def _verdict(row: NodeRun, theme: Theme, _width: int) -> Cell:
    verdict = row.run.verdict
    return ((f"{theme.glyphs.health(verdict)} {verdict}", VERDICT_ROLE.get(verdict, "unknown")),)


RUNS = Traits(
    identity=lambda r: (r.node, r.run.started, r.run.device, r.run.port, r.run.kind),
    severity=lambda r: SEVERITY.get(r.run.verdict, 2),
    name=lambda r: (natural(r.node), natural(place(r)), r.run.started or ""),
    text=lambda r: f"{r.node} {place(r)} {r.run.kind} {r.run.verdict}".lower(),
)


class Runs(ListScreen):
    name, title, digit = "runs", "Benchmarks", "6"
    what = "the last benchmarks of each node and what they should have given"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.listing = Listing[NodeRun](RUNS)
        self.grid = Grid(self._columns(), self.listing)

    def _columns(self) -> tuple[Column, ...]:
        view = self.session.store
        return (
            Column("node", "NODE", _text(lambda r: r.node), 7, frozen=True, letter="N", value=lambda r: natural(r.node),
                   measure=lambda r: r.node, what="where"),
            Column("where", "WHERE", _text(place), 8, frozen=True, letter="W", value=lambda r: natural(place(r)),
                   measure=place, what="device and port"),
            Column("kind", "KIND", _text(lambda r: r.run.kind), 8, "<", 3, what="loopback, pair or tcp"),
            Column("result", "Gb/s", _text(lambda r: gbps(r.run.bandwidth_gbps)), 7, ">", 9, letter="R",
                   value=lambda r: r.run.bandwidth_gbps, what="mean over the run"),
            Column("expected", "EXPECT", _text(lambda r: gbps(r.run.expected_gbps)), 6, ">", 6,
                   what="what it should give"),
            Column("percent", "%", _text(lambda r: None if percent(r) is None else f"{percent(r):.0f}"), 3, ">", 6,
                   letter="P", value=percent, what="of expected"),
            Column("verdict", "VERDICT", _verdict, 9, "<", 8, letter="V", value=lambda r: SEVERITY.get(r.run.verdict),
                   what="pass, note, warn, fail"),
            Column("age", "AGO", _text(lambda r: duration(view.now - epoch(r.run.started)) if r.run.started else None),
                   6, ">", 7, letter="A", value=lambda r: r.run.started, what="since its start"),
        )  # fmt: skip

    @property
    def command(self) -> str:
        return "rdmatop get benchmarks"

    def entered(self) -> None:
        self.updated()

    def updated(self) -> None:
        self.listing.update(last_runs(self.session.source))

    def do_open(self) -> None:
        row = self.listing.selected
        if row is not None and self.session.open_node(row.node) is not None:
            self.session.go("benchmarks")

    def body(self, width: int, height: int) -> list[Line]:
        if not self.listing.items:
            text = "No node has told of a benchmark yet: open a node and press b there."
            return [BLANK, *(((" ", ""), (line, "")) for line in wrap(text, width - 2))]
        narrowed = self.narrowed()
        lines = self.grid.paint(self.session.theme, width, height - bool(narrowed))
        lines += [BLANK] * (height - bool(narrowed) - len(lines))
        return [*lines, fit(narrowed, width)] if narrowed else lines
