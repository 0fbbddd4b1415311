"""The columns of the fleet, one row each: a node's cell, and that of a port below it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from diagnostics.model import PortBrief
from diagnostics.natural import natural
from tui.rings import Values
from tui.theme import HEALTH_ROLE, Theme
from tui.widgets.chart import sparkline
from tui.widgets.grid import Cell, Column
from tui.widgets.line import clean
from tui.widgets.values import UNKNOWN, gbps, link_rate, short

if TYPE_CHECKING:
    from diagnostics.cluster.fleet import FleetRow

RAILS = 16
"""Rails that get columns at most."""
SEVERITY_OF = {"failed": 4, "warning": 3, "unknown": 2, "healthy": 1}
BENCH_FINE = 90.0
"""Percent of what was expected: the budget of a benchmark that passes."""


class PortLine(NamedTuple):
    """A port below its node."""

    row: FleetRow
    port: PortBrief

    @property
    def name(self) -> str:
        return f"{self.port.device}/{self.port.port}"


class Dressed(NamedTuple):
    """A row as it is shown: with its age now and its past."""

    row: FleetRow
    port: PortBrief | None
    age: str
    """Of its agent's last word: `2s`."""
    open: bool
    tx: Values = ()
    rx: Values = ()


def port_health(port: PortBrief) -> str:
    spare = port.expected == "spare" and port.health in ("healthy", "unknown")
    return "spare" if spare else port.health


def role_of(health: str) -> str:
    return "dim" if health == "spare" else HEALTH_ROLE[health]


def is_old(row: FleetRow) -> bool:
    """Whether its figures are from before: they are shown, but not as what is."""
    return row.missing or row.rates_from is None


def node_word(row: FleetRow) -> str:
    """`healthy`, `warning`, `failed`, `unknown`; `silent` where the agent is the only thing wrong."""
    return "silent" if row.missing and row.health != "failed" else row.health


def is_unwanted(row: FleetRow) -> bool:
    """Nobody asked for an agent there: no fault, and nothing to look at."""
    return row.agent.state == "unwanted" and row.health == "unknown"


def severity(row: FleetRow) -> int:
    return 0 if is_unwanted(row) else SEVERITY_OF[row.health]


def rate_text(row: FleetRow) -> str:
    """The rate of the ports that are in use, `mixed` where they differ."""
    rates = {port.rate_gbps for port in row.ports if port.expected == "up" and port.rate_gbps}
    if not rates:
        return UNKNOWN
    return link_rate(rates.pop()) if len(rates) == 1 else "mixed"


def _name(row: Dressed, theme: Theme, _width: int) -> Cell:
    if row.port is not None:
        return ((f"  {theme.glyphs.corner} {row.port.device}/{row.port.port}", ""),)
    mark = f"{theme.glyphs.down} " if row.open else ""
    return ((f"{mark}{row.row.name}", "dim" if row.row.unschedulable else ""),)


def _health(row: Dressed, theme: Theme, _width: int) -> Cell:
    if row.port is not None:
        health = port_health(row.port)
        word = "spare" if health == "spare" else (row.port.state or UNKNOWN).lower()
    else:
        health, word = row.row.health, node_word(row.row)
    return (
        (f"{theme.glyphs.health(health)} ", role_of(health)),
        (word, "" if health == "healthy" else role_of(health)),
    )


def _ports(row: Dressed, _theme: Theme, _width: int) -> Cell:
    if row.port is not None:
        return ()
    item = row.row.item
    if row.row.rates_from is None:
        return ((UNKNOWN, "unknown"),)
    fewer = item.ports_up < item.ports_expected
    return ((f"{item.ports_up}/{item.ports_expected}", "failed" if fewer else ""),)


def _rate(row: Dressed, _theme: Theme, _width: int) -> Cell:
    return ((link_rate(row.port.rate_gbps) if row.port is not None else rate_text(row.row), ""),)


def _traffic(row: Dressed, name: str) -> Cell:
    value = getattr(row.row.item if row.port is None else row.port, name)
    if value is None:
        return ((UNKNOWN, "unknown"),)
    return ((gbps(value), "unknown" if is_old(row.row) else ""),)


def _count(name: str) -> Callable[[Dressed, Theme, int], Cell]:
    def cell(row: Dressed, _theme: Theme, _width: int) -> Cell:
        if row.port is not None:
            return ()
        text = short(getattr(row.row.item, name))
        return ((text, "unknown" if text in (UNKNOWN, "0") or is_old(row.row) else "title"),)

    return cell


def _spark(values: Values, row: Dressed, theme: Theme, width: int) -> Cell:
    return ((sparkline(values, row.row.item.rate_gbps, width, theme.glyphs), ""),)


def _driver(row: Dressed, _theme: Theme, _width: int) -> Cell:
    if row.port is not None:
        return ((clean(row.port.netdev or ""), "dim"),)
    return ((clean(row.row.item.driver_version), ""),) if row.row.item.driver_version else ((UNKNOWN, "unknown"),)


def _bench(row: Dressed, _theme: Theme, _width: int) -> Cell:
    if row.port is not None:
        return ()
    value = row.row.item.benchmark
    if value is None:
        return ((UNKNOWN, "unknown"),)
    return ((f"{value:.0f} %", "" if value >= BENCH_FINE else "warning"),)


def _age(row: Dressed, _theme: Theme, _width: int) -> Cell:
    if row.port is not None:
        return ()
    return ((row.age, "warning" if row.row.missing else "unknown" if row.age == UNKNOWN else ""),)


def note_of(row: FleetRow) -> str:
    """Why its agent is silent, else the worst of what it says."""
    return row.note or (f"{row.findings[0].check}: {row.findings[0].message}" if row.findings else "")


def _note(row: Dressed, _theme: Theme, _width: int) -> Cell:
    return ((clean(note_of(row.row)), "dim"),) if row.port is None else ()


def _rail(number: int) -> Callable[[Dressed, Theme, int], Cell]:
    def cell(row: Dressed, theme: Theme, _width: int) -> Cell:
        if row.port is not None or number >= len(row.row.ports):
            return ()
        port = row.row.ports[number]
        health = port_health(port)
        if health in ("healthy", "spare"):
            return ((gbps(port.tx_gbps), "unknown" if is_old(row.row) or health == "spare" else ""),)
        role = role_of(health)
        return ((f"{theme.glyphs.health(health)} {short(port.tx_gbps) if port.state == 'ACTIVE' else 'down'}", role),)

    return cell


def _item(name: str) -> Callable[[FleetRow], float | None]:
    return lambda row: getattr(row.item, name)


NODE_COLUMNS: tuple[Column, ...] = (
    Column(
        "node",
        "NODE",
        _name,
        7,
        frozen=True,
        letter="N",
        value=lambda r: natural(r.name),
        measure=lambda r: f"    {r.name}" if isinstance(r, PortLine) else f"  {r.name}",
        what="node, and below it device and port",
    ),
    Column(
        "health",
        "HEALTH",
        _health,
        9,
        worth=9,
        least=5,
        letter="H",
        value=severity,
        what="the worst finding; silent: its agent does not speak",
    ),
    Column(
        "ports",
        "PORTS",
        _ports,
        5,
        ">",
        8,
        letter="P",
        value=lambda r: r.item.ports_up - r.item.ports_expected,
        what="up of those in use",
    ),
    Column("rate", "RATE", _rate, 5, ">", 4, letter="R", value=_item("rate_gbps"), what="of a port in use"),
    Column("tx_past", "", lambda r, t, w: _spark(r.tx, r, t, w), 3, "<", 3, grow=17, what="TX of the last minutes"),
    Column(
        "tx",
        "TX Gb",
        lambda r, _t, _w: _traffic(r, "tx_gbps"),
        6,
        ">",
        8,
        letter="X",
        value=_item("tx_gbps"),
        what="sent by all ports, Gb/s",
    ),
    Column("rx_past", "", lambda r, t, w: _spark(r.rx, r, t, w), 3, "<", 3, grow=17, what="RX of the last minutes"),
    Column(
        "rx",
        "RX Gb",
        lambda r, _t, _w: _traffic(r, "rx_gbps"),
        6,
        ">",
        8,
        letter="V",
        value=_item("rx_gbps"),
        what="received by all ports, Gb/s",
    ),
    Column(
        "errors",
        "ERR/m",
        _count("errors_per_minute"),
        5,
        ">",
        6,
        letter="E",
        value=_item("errors_per_minute"),
        what="counters of class error, a minute",
    ),
    Column(
        "cnp",
        "CNP/s",
        _count("cnp_per_second"),
        5,
        ">",
        5,
        letter="C",
        value=_item("cnp_per_second"),
        what="congestion notifications a second",
    ),
    Column(
        "driver",
        "DRIVER",
        _driver,
        7,
        "<",
        4,
        letter="D",
        value=lambda r: r.item.driver_version,
        measure=lambda r: (r.port.netdev if isinstance(r, PortLine) else r.item.driver_version) or "",
        what="version of the driver that is loaded",
    ),
    Column(
        "bench", "BENCH", _bench, 5, ">", 4, letter="B", value=_item("benchmark"), what="last loopback, of expected"
    ),
    Column(
        "age",
        "AGE",
        _age,
        4,
        ">",
        7,
        letter="A",
        value=lambda r: None if r.seen is None else -r.seen,
        what="since its agent's last word",
    ),
)

NOTE_COLUMN = Column("note", "NOTE", _note, 20, "<", 1, grow=80, what="why it is silent, or the worst finding")


def columns(rails: int) -> tuple[Column, ...]:
    """All columns for nodes of so many ports."""
    found = tuple(
        Column(f"rail{n}", f"R{n}", _rail(n), 6, ">", 2, what=f"TX of the node's port {n}, Gb/s; its state where bad")
        for n in range(min(rails, RAILS))
    )
    return (*NODE_COLUMNS, *found, NOTE_COLUMN)
