"""What a set of screens is about: one node, or a cluster of them. Each has its source, its state and its screens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

from diagnostics.errors import UserError
from tui.fleet_view import FleetView
from tui.screens.base import Screen
from tui.screens.registry import FLEET_SCREENS, SCREENS, Entry
from tui.store import Store
from tui.theme import Theme
from tui.widgets.chrome import fleet_head, head
from tui.widgets.line import Line
from tui.widgets.values import clock

if TYPE_CHECKING:
    from tui.screens.session import Session

OPERATOR_NODES = 1000
"""In a cluster of more, the pods of the stack are read when somebody looks at them."""
FLEET_PACE_S = 0.25
"""Between two pictures of a fleet at least: its rows are read a second apart, each at its own moment."""


class Scope:
    """Base: screens by name, and the stack of those that are open."""

    entries: tuple[Entry, ...] = ()
    pace_s = 0.0
    source: Any
    store: Any

    def __init__(self, session: Session) -> None:
        self.session = session
        self._screens: dict[str, Screen] = {}
        self.stack: list[Screen] = []
        self.task: Any = None
        """Follows the source."""

    @property
    def home(self) -> str:
        return self.entries[0].name

    def get(self, name: str) -> Screen | None:
        if name not in self._screens:
            entry = next((e for e in self.entries if e.name == name), None)
            if entry is None:
                return None
            self._screens[name] = getattr(import_module(entry.module), entry.made)(self.session)
        return self._screens[name]

    def taken(self) -> None:
        """The source has given something."""

    def items(self) -> AsyncIterator[Any]:
        """What the source gives, newest first where it is slow to be taken."""
        raise NotImplementedError

    def head(self, screen: Screen, seconds: float, theme: Theme, width: int) -> Line:
        raise NotImplementedError

    def banners(self, theme: Theme) -> list[str]:
        """Sentences above the footer: what is in the way of a newer picture."""
        raise NotImplementedError

    def count(self, name: str) -> str:
        """A number behind a screen's tab."""
        raise NotImplementedError


class HostScope(Scope):
    """One node: this host, an agent, or a node of a cluster."""

    entries = SCREENS

    def __init__(self, session: Session, source: Any, above: str = "") -> None:
        """`above` is the cluster that the node was opened from."""
        super().__init__(session)
        self.source = source
        self.store = Store(source.label)
        self.above = above

    def items(self) -> AsyncIterator[Any]:
        return self.source.snapshots()  # type: ignore[no-any-return]

    def head(self, screen: Screen, seconds: float, theme: Theme, width: int) -> Line:
        return head(self.store, screen.crumb, seconds, theme, width, screen.right, self.above)

    def banners(self, theme: Theme) -> list[str]:
        outage = self.store.outage
        if outage is None or self.store.snapshot is None:
            return []
        return [f"{theme.glyphs.warning} no data since {clock(outage.since)}: {outage.reason}"]

    def count(self, name: str) -> str:
        if name != "findings" or self.store.snapshot is None:
            return ""
        return str(sum(not f.acknowledged for f in self.store.snapshot.findings) or "")


class FleetScope(Scope):
    """A cluster."""

    entries = FLEET_SCREENS
    pace_s = FLEET_PACE_S

    def __init__(self, session: Session, source: Any) -> None:
        super().__init__(session)
        self.source = source
        self.store = FleetView(source.label)
        self.operator_task: Any = None

    @property
    def name(self) -> str:
        """The context."""
        return str(self.source.label).removeprefix("cluster ")

    def items(self) -> AsyncIterator[Any]:
        return self.source.fleet()  # type: ignore[no-any-return]

    def taken(self) -> None:
        """Once the nodes are known, the stack on them is read; in a large cluster only when its screen is opened."""
        fleet = self.store.fleet
        if self.operator_task is None and fleet is not None and fleet.complete and len(fleet.rows) <= OPERATOR_NODES:
            self.ask_operator()

    def ask_operator(self) -> None:
        """The stack is followed from now on."""
        if self.operator_task is None and hasattr(self.source, "operator"):
            self.operator_task = self.session.spawn(self._follow_operator())

    async def _follow_operator(self) -> None:
        try:
            async for picture in self.source.operator():
                self.store.take_operator(picture)
                if self.session.scope is self:
                    self.session.screen.updated()
                    self.session.changed()
        except (UserError, OSError) as error:
            self.store.operator_problem = str(error)
            self.session.changed()

    def head(self, screen: Screen, seconds: float, theme: Theme, width: int) -> Line:
        return fleet_head(self.store, self.name, screen.crumb, seconds, theme, width, screen.right)

    def banners(self, theme: Theme) -> list[str]:
        view = self.store
        if view.fleet is None:
            return []
        if view.outage is not None:
            return [f"{theme.glyphs.warning} no data since {clock(view.outage.since)}: {view.outage.reason}"]
        return notices(view, theme)

    def count(self, name: str) -> str:
        if name != "findings":
            return ""
        number = sum(group.nodes for group in self.store.groups if not group.first.acknowledged)
        return f"{number:,}" if number else ""


def notices(view: FleetView, theme: Theme) -> list[str]:
    """What of the cluster does not come, and what that hides; lists that are away for one reason are one sentence."""
    fleet = view.fleet
    if fleet is None:
        return []
    glyph = theme.glyphs.warning
    away = [n for n in fleet.notices if n.state == "away"]
    out = []
    if fleet.complete and fleet.installed is False:
        out.append(f"{glyph} rdmatop has no agent in this cluster: kubectl apply -f deploy/daemonset.yaml")
    if away:
        since = view_clock(min(n.since for n in away))
        what = "the API server does not answer" if len(away) > 1 else f"{away[0].source} do not come"
        out.append(f"{glyph} {what} since {since}: the last picture stands. {away[0].message}")
    for notice in fleet.notices:
        if notice.state == "forbidden":
            out.append(f"{glyph} not allowed to read {notice.source}: {notice.hides}. {notice.message}")
        elif notice.state == "absent" and notice.source == "rdmanodes" and fleet.installed:
            out.append(f"{glyph} the kind RdmaNode is not in this cluster: {notice.hides}")
    return out


def view_clock(epoch_s: float) -> str:
    from diagnostics.timing import rfc3339

    return clock(rfc3339(epoch_s))
