"""Screen 1 of a cluster: its nodes, which unfold to their ports, and the worst findings below."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from diagnostics.model import Finding
from diagnostics.natural import natural
from tui.fleet_view import Group
from tui.screens.base import ListScreen
from tui.screens.empty import no_fleet, waiting_fleet
from tui.screens.fleet_columns import Dressed, PortLine, columns, is_unwanted, note_of, severity
from tui.theme import Theme
from tui.widgets.grid import Cell, Grid
from tui.widgets.line import BLANK, Line, clean, fit
from tui.widgets.listing import Traits
from tui.widgets.sentences import sentences
from tui.widgets.tree import Tree
from tui.widgets.values import UNKNOWN, age

if TYPE_CHECKING:
    from diagnostics.cluster.fleet import FleetRow
    from tui.screens.session import Session

SETTLE_S = 0.2
"""Rows that are scrolled past are not asked for."""
AGES_S = 1.0


def _text(row: FleetRow) -> str:
    item, agent = row.item, row.agent
    words = [row.name, item.health, item.driver_version or "", item.kernel or "", agent.state, row.note or ""]
    words += [finding.check for finding in row.findings]
    words += row.labels.values()
    return " ".join(words).lower()


NODES = Traits(
    identity=lambda row: row.name,
    severity=severity,
    name=lambda row: natural(row.name),
    text=_text,
    stable=True,
)


def _parts(row: FleetRow) -> Iterable[tuple[Hashable, PortLine]]:
    for port in row.ports:
        yield (row.name, port.device, port.port), PortLine(row, port)


class Nodes(ListScreen):
    name, title, digit = "nodes", "Fabric", "1"
    what = "the nodes of this cluster, their ports and what is wrong with them"
    listing: Tree

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.listing = Tree(NODES, _parts)
        self.grid = Grid(columns(0), self.listing, self._silent, self._dress)
        self._rails = 0
        self._wanted: frozenset[str] = frozenset()
        self._watched: frozenset[str] = frozenset()
        self._on_top = False
        self._telling = self._ticking = False
        self._said: tuple[Any, list[Line]] = (None, [])

    @property
    def crumb(self) -> str:
        return ""

    @property
    def command(self) -> str:
        return "rdmatop get nodes -o wide"

    # what comes in

    def entered(self) -> None:
        self._on_top = True
        self.updated()
        if not self._ticking:
            self._ticking = True
            self.session.spawn(self._tick())

    def left(self) -> None:
        """Nobody's live rates are needed."""
        self._on_top = False
        self._wanted = frozenset()
        self._tell_later()

    def updated(self) -> None:
        view = self.session.store
        rows = view.rows
        changed, same = view.take_changes()
        if same:
            self.listing.change(rows, changed)
        else:
            self.listing.update(rows.values())
        rails = max((len(row.ports) for row in changed), default=0)
        if rails > self._rails:
            self._rails = rails
            self.grid.columns = columns(rails)

    async def _tick(self) -> None:
        """Ages rise also while nothing comes."""
        import asyncio  # 60 ms: not before the first frame

        try:
            while self._on_top:
                await asyncio.sleep(AGES_S)
                if self._on_top:
                    self.session.changed()
        finally:
            self._ticking = False

    def _tell_later(self) -> None:
        if not self._telling and self._wanted != self._watched:
            self._telling = True
            self.session.spawn(self._tell())

    async def _tell(self) -> None:
        """Says which rows are on the screen, once that has settled."""
        import asyncio

        cluster = self.session.cluster
        try:
            while cluster is not None and self._wanted != self._watched:
                wanted = self._wanted
                await asyncio.sleep(SETTLE_S)
                if wanted == self._wanted:
                    cluster.source.watch_rows(set(wanted))
                    self._watched = wanted
        finally:
            self._telling = False

    # what keys do

    def do_open(self) -> None:
        row = self.listing.selected
        if isinstance(row, PortLine):
            scope = self.session.open_node(row.row.name)
            if scope is not None:
                self.session.open_port((row.row.name, row.port.device, str(row.port.port)))
        elif row is not None:
            self.session.open_node(row.name)

    def do_unfold(self) -> None:
        if not self.listing.unfold() and not self.listing.fold():
            self.session.notice("no port of this node is known")

    def do_fold(self) -> None:
        self.listing.fold()

    def do_benchmark(self) -> None:
        from tui.screens.benchmark_form import open_form

        row = self.listing.selected
        item = self.listing.item
        if item is not None:
            self.session.open_node(item.name)
            open_form(self.session, row.name if isinstance(row, PortLine) else "")

    def do_explain(self) -> None:
        found = self.worst()
        if found is None:
            self.session.notice("nothing is wrong here: no finding to explain")
        else:
            self.session.explain(found.check, found)

    def worst(self) -> Finding | None:
        """The first finding of the node under the cursor, else of all."""
        item, groups = self.listing.item, self.session.store.groups
        if item is not None:
            own = self.session.store.findings_on(item.name)
            if own:
                return own[0]  # type: ignore[no-any-return]
        return groups[0].first if groups else None

    # what is seen

    def _dress(self, row: Any) -> Dressed:
        view = self.session.store
        if isinstance(row, PortLine):
            return Dressed(row.row, row.port, "", False)
        seconds = row.age_s(view.now)
        spark = view.spark(row.name)
        tx, rx = spark.spark() if spark is not None and not row.missing else ((), ())
        return Dressed(row, None, UNKNOWN if seconds is None else age(seconds), row.name in self.listing.open, tx, rx)

    def _silent(self, row: Dressed, theme: Theme) -> Cell:
        """A node of which nothing was ever known says why in place of figures."""
        if row.row.rates_from is not None or row.port is not None:
            return ()
        health = "spare" if is_unwanted(row.row) else row.row.health
        word = "no agent" if row.row.agent.state != "running" else "no word yet"
        role = {"warning": "warning", "failed": "failed"}.get(health, "unknown")
        return ((f"{theme.glyphs.health(health)} {word}", role), (f"  {clean(row.row.note or '')}", ""))

    def body(self, width: int, height: int) -> list[Line]:
        view = self.session.store
        if view.fleet is None:
            return waiting_fleet(view, width)
        if not view.rows:
            return no_fleet(view, width)
        theme = self.session.theme
        below = self._below(width, height)
        strip = [self._strip(width)] if width >= 60 and height >= 16 else []
        narrowed = self.narrowed()
        table = height - len(below) - len(strip) - bool(narrowed)
        more = len(self.listing.order) > table - 1 and table > 3
        lines = self.grid.paint(theme, width, table - more)
        if more:
            lines.append(((self._more(), "dim"),))
        lines += [BLANK] * (table - len(lines))
        self._see()
        return [*lines, *([fit(narrowed, width)] if narrowed else []), *strip, *below]

    def _more(self) -> str:
        """How many rows there is no room for, and how many of them need a look."""
        listing = self.listing
        text = f"   {len(listing.order) - self.grid.height:,} more"
        if listing.filter or listing.faults_only or listing.open:
            return text
        shown = (listing.get(listing.order[index]) for index in listing.window(self.grid.height))
        faults = self.session.store.faults - sum(row.health in ("failed", "warning") for row in shown)
        return f"{text}, {faults:,} with a fault" if faults else f"{text}, none with a fault"

    def _see(self) -> None:
        """Notes which nodes are on the screen."""
        listing = self.listing
        keys = [listing.order[index] for index in listing.window(self.grid.height)]
        self._wanted = frozenset(key if isinstance(key, str) else str(key[0]) for key in keys)  # type: ignore[index]
        if self._on_top:
            self._tell_later()

    def _strip(self, width: int) -> Line:
        """The node under the cursor in words."""
        row = self.listing.item
        if row is None:
            return BLANK
        said = note_of(row)
        facts = [f"agent {row.item.agent_version}" if row.item.agent_version else "", row.item.kernel or ""]
        if row.unschedulable:
            facts.insert(0, "cordoned")
        if row.not_ready and row.not_ready not in said:
            facts.insert(0, f"node not Ready: {row.not_ready}")
        text = clean(said or "nothing is wrong, as far as was judged")
        dim = "  ".join(clean(fact) for fact in facts if fact)
        return fit(
            [(f" {row.name}", "title"), (f"  {text}", ""), (f"  {dim}", "dim")],
            width,
            self.session.theme.glyphs.ellipsis,
        )

    def _below(self, width: int, height: int) -> list[Line]:
        """The worst checks with how many nodes they concern; half of the body at most, unless the table leaves more."""
        groups = self.session.store.groups
        rows = len(self.listing.order) + 1
        room = max(height // 2 if height >= 12 else height // 3, height - rows - 3)
        given = (width, height, room, self.session.theme, groups)
        if self._said[0] != given:
            open_ = [_told(g, self.session.theme) for g in groups if not g.first.acknowledged]
            lines = sentences(open_, self.session.theme, width, room, 2 if height >= 8 else 1) if height >= 3 else []
            self._said = (given, [BLANK, *lines] if lines and height >= 8 else lines)
        return self._said[1]


def _told(group: Group, theme: Theme) -> Finding:
    """One sentence for a check: on one node where and what, on many how many, which, and what the first says."""
    finding = group.first
    if not group.of_nodes:
        return msgspec.structs.replace(finding, component=None)
    port = (finding.device or "") + (f"/{finding.port}" if finding.port is not None else "")
    message = finding.message
    if port and message.startswith(port):
        message = message[len(port) :].lstrip(" :,")
    place = f"{finding.node} {port}".rstrip()
    if group.nodes > 1:
        names = ", ".join(group.names[:3]) + (f", {theme.glyphs.ellipsis}" if group.nodes > 3 else "")
        place, message = f"{group.nodes:,} nodes", f"{names}; {place}: {message}"
    return msgspec.structs.replace(finding, device=None, port=None, component=place, message=message)
