"""Screen 5: the processes that hold queue pairs, one row a process and port."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diagnostics.model import Process
from diagnostics.natural import natural
from tui.screens.base import ListScreen
from tui.screens.empty import waiting
from tui.theme import Theme
from tui.widgets.grid import Cell, Column, Grid
from tui.widgets.line import BLANK, Line, clean, fit, wrap
from tui.widgets.listing import Listing, Traits
from tui.widgets.values import UNKNOWN

if TYPE_CHECKING:
    from tui.screens.session import Session


def _cell(get: Any) -> Any:
    def cell(row: Process, _theme: Theme, _width: int) -> Cell:
        value = get(row)
        return ((UNKNOWN, "unknown"),) if value in (None, "") else ((clean(str(value)), ""),)

    return cell


def _port(row: Process) -> str:
    return row.device if row.port is None else f"{row.device}/{row.port}"


def _pod(row: Process) -> str | None:
    if row.pod is None:
        return row.pod_uid
    return "/".join(part for part in (row.namespace, row.pod, row.container) if part)


def _types(row: Process) -> str:
    return " ".join(f"{kind} {count}" for kind, count in row.qp_types.items())


def _command(row: Process) -> str:
    return row.command or ("(not visible)" if row.pid is None else UNKNOWN)


COLUMNS = (
    Column(
        "pid", "PID", _cell(lambda r: r.pid), 7, ">", frozen=True, letter="P", value=lambda r: r.pid, what="process"
    ),
    Column(
        "command",
        "COMMAND",
        _cell(_command),
        15,
        "<",
        9,
        letter="C",
        value=lambda r: r.command,
        grow=30,
        what="its name",
    ),
    Column(
        "port",
        "PORT",
        _cell(_port),
        8,
        "<",
        8,
        letter="D",
        value=lambda r: natural(_port(r)),
        measure=_port,
        what="device and port",
    ),
    Column("qps", "QPS", _cell(lambda r: r.qps), 5, ">", 7, letter="Q", value=lambda r: r.qps, what="queue pairs"),
    Column("user", "USER", _cell(lambda r: r.user), 8, "<", 5, letter="U", value=lambda r: r.user, what="whose"),
    Column(
        "pod",
        "POD",
        _cell(_pod),
        12,
        "<",
        6,
        measure=lambda r: _pod(r) or "",
        value=_pod,
        what="namespace/pod/container",
    ),
    Column("types", "TYPES", _cell(_types), 12, "<", 4, what="of the queue pairs"),
)


PROCESSES = Traits(
    identity=lambda r: (r.pid, r.command, r.device, r.port, r.pod_uid),
    severity=lambda _r: 0,
    name=lambda r: (r.pid is None, natural(r.device), -r.qps, r.pid or 0),
    text=lambda r: " ".join(str(v) for v in (r.pid, r.command, r.user, _port(r), _pod(r))).lower(),
)


class Processes(ListScreen):
    name, title, digit = "processes", "Processes", "5"
    what = "who holds queue pairs, on which port, from which pod"
    offset = 0

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.listing = Listing[Process](PROCESSES)
        self.grid = Grid(COLUMNS, self.listing)

    @property
    def command(self) -> str:
        return "rdmatop get processes"

    def entered(self) -> None:
        self.updated()

    def updated(self) -> None:
        space = self.session.namespace
        rows = self.session.store.processes
        self.listing.update(row for row in rows if space is None or row.namespace == space)

    def do_open(self) -> None:
        row = self.listing.selected
        if row is None:
            return
        for identity in self.session.store.rows:
            if identity[1] == row.device and (row.port is None or identity[2] == str(row.port)):
                self.session.open_port(identity)
                return

    def body(self, width: int, height: int) -> list[Line]:
        store = self.session.store
        if store.snapshot is None:
            return waiting(store, width)
        if not self.listing.items:
            return [BLANK, *(((" ", ""), (text, "")) for text in wrap(self._none(), width - 2))]
        narrowed = self.narrowed()
        lines = self.grid.paint(self.session.theme, width, height - bool(narrowed))
        lines += [BLANK] * (height - bool(narrowed) - len(lines))
        return [*lines, fit(narrowed, width)] if narrowed else lines

    def _none(self) -> str:
        snapshot = self.session.store.snapshot
        told = [e for e in (snapshot.errors if snapshot else ()) if "process" in e.source or "netlink" in e.source]
        if told:
            return f"Queue pairs could not be read: {told[0].message} {told[0].hint or ''}"
        space = self.session.namespace
        whose = f"No process of namespace {space}" if space is not None else "No process"
        return f"{whose} holds a queue pair on {self.session.store.node}."
