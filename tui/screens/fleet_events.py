"""Screen 7 of a cluster: what this screen saw, and what the agents told Kubernetes of their nodes before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diagnostics.errors import UserError
from diagnostics.model import Event
from diagnostics.natural import natural
from tui.screens.events import COLUMNS, EVENTS, Events
from tui.theme import Theme
from tui.widgets.grid import Cell, Column, Grid
from tui.widgets.listing import Listing

if TYPE_CHECKING:
    from tui.screens.session import Session


def _node(row: Event, _theme: Theme, _width: int) -> Cell:
    return ((row.node, ""),)


NODE = Column(
    "node", "NODE", _node, 7, frozen=True, letter="N", value=lambda r: natural(r.node), measure=lambda r: r.node,
    what="where",
)  # fmt: skip
TRAITS = EVENTS._replace(
    identity=lambda r: (r.node, r.time, r.check, r.kind, r.message),
    text=lambda r: f"{r.node} {EVENTS.text(r)}",
)


class FleetEvents(Events):
    what = "what began, changed and ended on which node"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.listing = Listing[Event](TRAITS)
        columns = (c for c in COLUMNS if c.key != "where")
        self.grid = Grid((next(columns), NODE, *columns), self.listing)
        self._refused = ""

    @property
    def nothing(self) -> str:
        text = "No event since this screen was opened, and none that an agent told Kubernetes."
        return f"{text} {self._refused}" if self._refused else text

    def updated(self) -> None:
        self._list()

    def _ask(self) -> None:
        """Kubernetes is asked when the screen is opened: what comes later is seen as it comes."""
        self.session.spawn(self._told_before())

    async def _told_before(self) -> None:
        from tui.sources.cluster_asks import node_events

        try:
            self._take(await node_events(self.session.source))
        except UserError as error:
            self._refused = f"Kubernetes' own could not be read: {error.message}"
        self.session.changed()
