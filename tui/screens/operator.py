"""Screen 3 of a cluster: the Network Operator's stack, what it says and what is true, and on which nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diagnostics.cluster.operator.inventory import OPERATOR
from diagnostics.model import Component
from diagnostics.natural import natural
from tui.operator_picture import HEALTH, SEVERITY, Group, OperatorPicture
from tui.screens.base import ListScreen
from tui.screens.operator_columns import COMPONENT_COLUMNS, matrix_columns
from tui.screens.operator_detail import component_lines, fetched, group_lines
from tui.screens.overlays import Pager
from tui.widgets.chrome import counted
from tui.widgets.grid import Grid
from tui.widgets.line import BLANK, Line, Span, fit, wrap
from tui.widgets.listing import Listing, Traits
from tui.widgets.sentences import sentences

if TYPE_CHECKING:
    from diagnostics.cluster.operator.findings import ClusterFinding
    from tui.screens.session import Session

COMPONENTS = Traits(
    identity=lambda r: r.component,
    severity=lambda r: SEVERITY.get(r.verdict, 0),
    name=lambda r: r.component,
    text=lambda r: f"{r.component} {r.verdict} {r.version} {r.message} {' '.join(r.nodes_failing)}".lower(),
)
GROUPS = Traits(
    identity=lambda r: (r.states, r.nodes[0]) if r.states else (),
    severity=lambda r: r.severity,
    name=lambda r: (len(r.nodes), natural(r.nodes[0])),
    text=lambda r: " ".join((*r.nodes, *(word for state in r.states for word in state))).lower(),
)


class Operator(ListScreen):
    name, title, digit = "operator", "Operator", "3"
    what = "the Network Operator's parts: what its policy says, what is true, and on which nodes"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.components = Listing[Component](COMPONENTS)
        self.groups = Listing[Group](GROUPS)
        self.tables: tuple[tuple[Listing[Any], Grid], ...] = (
            (self.components, Grid(COMPONENT_COLUMNS, self.components)),
            (self.groups, Grid(matrix_columns((), set()), self.groups)),
        )
        self.listing, self.grid = self.tables[0]
        self._offsets = (0, 0)
        self._known: OperatorPicture | None = None
        self._place: dict[str, int] = {}

    @property
    def picture(self) -> OperatorPicture | None:
        found: OperatorPicture | None = self.session.store.operator
        return found

    @property
    def command(self) -> str:
        """The first thing to type about what the cursor is on."""
        return next((each for finding in self._about() for each in finding.commands), "rdmatop get components -o wide")

    @property
    def right(self) -> list[Span]:
        """The operator's release, and how many of its parts are how."""
        picture = self.picture
        if picture is None or not picture.present:
            return []
        counts = dict.fromkeys(("healthy", "warning", "failed", "unknown", "spare"), 0)
        for each in picture.present:
            counts[HEALTH[each.verdict]] += 1
        own = next((each.version for each in picture.present if each.component == OPERATOR and each.version), "")
        return [(f"operator {own}  ".replace("  ", " ") + " ", ""), *counted(counts, self.session.theme, False)]

    # what comes in

    def entered(self) -> None:
        cluster = self.session.cluster
        if cluster is not None:
            cluster.ask_operator()
        self.updated()

    def updated(self) -> None:
        picture = self.picture
        if picture is None or picture is self._known:
            return
        self._known = picture
        if not self._place:
            # The order of the inventory, which is that in which the parts depend on each other.
            self._place = {each.component: number for number, each in enumerate(picture.components)}
            self.components.traits = COMPONENTS._replace(name=lambda r: self._place.get(r.component, 1 << 30))
        self.components.update(picture.components)
        self.groups.update(picture.groups)
        troubled = {component for group in picture.groups for component, _ in group.states}
        self.tables[1][1].columns = matrix_columns(picture.present, troubled)

    # what keys do

    def do_section(self) -> None:
        """The other table."""
        self.listing, self.grid = self.tables[1 if self.listing is self.components else 0]

    def do_open(self) -> None:
        row, picture = self.listing.selected, self.picture
        if row is None or picture is None:
            return
        session, key = self.session, row
        if isinstance(row, Group):
            session.overlay = Pager(session, "Nodes", lambda width: group_lines(picture, key, session, width))
        else:
            name = row.component
            session.overlay = Pager(
                session, "Component", lambda width: component_lines(self.picture or picture, name, session, width)
            )

    def do_explain(self) -> None:
        found = self._about()
        if found:
            self.session.explain(found[0].check, found[0])
        else:
            self.session.notice("nothing is wrong with it: no finding to explain")

    def do_log(self) -> None:
        """The last lines of its failing pod, else of any of its pods."""
        self._fetch("log")

    def do_yaml(self) -> None:
        """Its objects as the cluster has them."""
        self._fetch("yaml")

    def _fetch(self, what: str) -> None:
        component, picture, cluster = self._component(), self.picture, self.session.cluster
        if component is None or picture is None or cluster is None:
            return

        def show(text: str) -> None:
            def lines(width: int) -> list[Line]:
                return [((" ", ""), (part, "")) for line in text.splitlines() for part in _cut(line, width)]

            self.session.message = ""
            self.session.overlay = Pager(self.session, what, lines)

        self.session.notice(f"asking for its {what}")
        self.session.ask(fetched(cluster.source, picture, component, what), show)

    def _component(self) -> str | None:
        """Under the cursor; of nodes, the worst there."""
        row = self.listing.selected
        if isinstance(row, Group):
            worst = max(row.states, key=lambda state: SEVERITY.get(state[1], 0), default=None)
            return worst[0] if worst is not None else None
        return row.component if row is not None else None

    def _about(self) -> list[ClusterFinding]:
        """The findings on what the cursor is on."""
        row, picture = self.listing.selected, self.picture
        if row is None or picture is None:
            return []
        if isinstance(row, Group):
            return [each for each in picture.findings if set(each.nodes) & set(row.nodes)]
        return picture.findings_of(row.component)

    def click(self, x: int, y: int, double: bool) -> None:
        number = 1 if y >= self._offsets[1] else 0
        self.listing, self.grid = self.tables[number]
        self.offset = self._offsets[number]
        super().click(x, y, double)

    # what is seen

    def body(self, width: int, height: int) -> list[Line]:
        picture = self.picture
        if picture is None or not picture.present:
            return [BLANK, *(((" ", ""), (line, "")) for line in wrap(self._nothing(), width - 2))]
        theme = self.session.theme
        below = self._below(picture, width, height)
        narrowed = self.narrowed()
        room = height - len(below) - bool(narrowed)
        parts = sum(each.verdict != "absent" for each in picture.components)
        groups = min(len(self.groups.order) + 1, max(3, room // 3)) if room >= 9 else 0
        if groups:
            upper = min(parts + 1, room - groups - 1)
            groups = min(room - upper - 1, len(self.groups.order) + 1)
        else:
            upper = room
            if self.listing is self.groups:
                upper, groups = 0, room
        lines = self.tables[0][1].paint(theme, width, upper, self.listing is self.components) if upper else []
        lines += [BLANK] * (upper - len(lines) + bool(upper and groups))
        self._offsets = (0, len(lines))
        lines += self.tables[1][1].paint(theme, width, groups, self.listing is self.groups) if groups else []
        lines += [BLANK] * (room - len(lines))
        return [*lines, *([fit(narrowed, width)] if narrowed else []), *below]

    def _nothing(self) -> str:
        if self.session.store.operator_problem:
            return f"The operator's objects could not be read: {self.session.store.operator_problem}"
        if self.picture is None:
            return "Reading the operator's objects."
        told = " ".join(each.message for each in self.picture.problems)
        return f"No part of the Network Operator is in this cluster. {told}".rstrip()

    def _below(self, picture: OperatorPicture, width: int, height: int) -> list[Line]:
        """The findings on what the cursor is on, else the worst of all; and the command to type next."""
        if height < 8:
            return []
        about = self._about()
        told = about or [each for each in picture.findings if not each.acknowledged]
        lines = sentences([_placed(each) for each in told], self.session.theme, width, max(2, height // 3), 3)
        commands = next((each.commands for each in told if each.commands), ())
        if commands and lines:
            lines = [*lines, fit([("   next  ", "dim"), (commands[0], "")], width, self.session.theme.glyphs.ellipsis)]
        if not lines and picture.problems:
            lines = [((" ", ""), (line, "dim")) for line in wrap(picture.problems[0].message, width - 2)[:2]]
        return [BLANK, *lines] if lines else []


def _placed(finding: ClusterFinding) -> Any:
    """Its message says where: the component's own name would only repeat it."""
    import msgspec

    return msgspec.structs.replace(finding, component=None)


def _cut(line: str, width: int) -> list[str]:
    """A line of a file keeps its blanks; what is too long goes on below."""
    text = "".join(ch if ch.isprintable() else " " for ch in line.expandtabs(4))
    room = max(1, width - 2)
    return [text[start : start + room] for start in range(0, max(1, len(text)), room)]
