"""The columns of a port, one row each: the Fabric screen iterates over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from diagnostics.model import Pcie, Port
from tui.store import PortRow, row_health
from tui.theme import HEALTH_ROLE, Theme
from tui.widgets.chart import sparkline
from tui.widgets.grid import Cell, Column
from tui.widgets.values import UNKNOWN, gbps, link_rate, short

_QUALITY = {"first": "first", "reset": "reset", "clamped": "blind", "stale": "stale"}
"""What stands where there is no rate for a reason."""


def role_of(row: PortRow) -> str:
    health = row_health(row)
    return "dim" if health == "spare" else HEALTH_ROLE[health]


def _name(row: PortRow, _theme: Theme, _width: int) -> Cell:
    return ((row.name, ""),)


def state_word(row: PortRow) -> str:
    """`active`, `down`, `init`, `spare`: the state in a word."""
    if row.facts is None:
        return "no port"
    if row_health(row) == "spare":
        return "spare"
    return (row.facts.state or UNKNOWN).lower()


def _state(row: PortRow, theme: Theme, _width: int) -> Cell:
    health = row_health(row)
    return (
        (f"{theme.glyphs.health(health)} ", role_of(row)),
        (state_word(row), role_of(row) if health != "healthy" else ""),
    )


def _rate(row: PortRow, _theme: Theme, _width: int) -> Cell:
    return ((link_rate(row.facts.rate_gbps if row.facts else None), ""),)


def _traffic(row: PortRow, value: float | None) -> Cell:
    facts = row.facts
    if facts is None:
        return ((UNKNOWN, "unknown"),)
    if value is None:
        return ((_QUALITY.get(facts.rate_quality, UNKNOWN), "unknown"),)
    return ((gbps(value), ""),)


def _spark(values: tuple[float | None, ...], row: PortRow, theme: Theme, width: int) -> Cell:
    top = row.facts.rate_gbps if row.facts else None
    return ((sparkline(values, top, width, theme.glyphs), ""),)


def _count(get: Callable[[Port], float | None]) -> Callable[[PortRow, Theme, int], Cell]:
    def cell(row: PortRow, _theme: Theme, _width: int) -> Cell:
        text = short(get(row.facts) if row.facts else None)
        return ((text, "unknown" if text in (UNKNOWN, "0") else "title"),)

    return cell


def _text(get: Callable[[PortRow], Any]) -> Callable[[PortRow, Theme, int], Cell]:
    def cell(row: PortRow, _theme: Theme, _width: int) -> Cell:
        value = get(row)
        return ((UNKNOWN, "unknown") if value in (None, "") else (str(value), ""),)

    return cell


def _port(get: Callable[[Port], Any]) -> Callable[[PortRow], Any]:
    return lambda row: get(row.facts) if row.facts else None


def _device(name: str) -> Callable[[PortRow], Any]:
    return lambda row: getattr(row.device, name) if row.device else None


def _longest(name: str) -> Callable[[PortRow], str]:
    return lambda row: str(getattr(row.device, name) or "") if row.device else ""


def pcie_text(pcie: Pcie | None) -> str | None:
    """`5.0 x16`, the generation of the PCIe speed and the lanes."""
    if pcie is None or pcie.speed_gts is None or pcie.width is None:
        return None
    generation = {2.5: "1.0", 5.0: "2.0", 8.0: "3.0", 16.0: "4.0", 32.0: "5.0", 64.0: "6.0"}.get(pcie.speed_gts)
    return f"{generation or f'{pcie.speed_gts:g}GT'} x{pcie.width}"


def lid_text(port: Port) -> int | None:
    return port.lid if port.link_layer == "InfiniBand" else None


PORT_COLUMNS: tuple[Column, ...] = (
    Column(
        "port",
        "PORT",
        _name,
        4,
        frozen=True,
        letter="P",
        value=lambda r: r.name,
        measure=lambda r: r.name,
        what="device and port",
    ),
    Column(
        "state",
        "STATE",
        _state,
        8,
        worth=9,
        least=5,
        letter="T",
        value=lambda r: -r.severity,
        measure=lambda r: f"x {state_word(r)}",
        what="health and state",
    ),
    Column("rate", "RATE", _rate, 4, ">", 4, letter="R", value=_port(lambda p: p.rate_gbps), what="link rate"),
    Column("tx_past", "", lambda r, t, w: _spark(r.tx, r, t, w), 3, "<", 3, grow=17, what="TX of the last minutes"),
    Column(
        "tx",
        "TX Gb",
        lambda r, _t, _w: _traffic(r, r.facts.tx_gbps if r.facts else None),
        5,
        ">",
        8,
        letter="X",
        value=_port(lambda p: p.tx_gbps),
        what="sent, Gb/s",
    ),
    Column("rx_past", "", lambda r, t, w: _spark(r.rx, r, t, w), 3, "<", 3, grow=17, what="RX of the last minutes"),
    Column(
        "rx",
        "RX Gb",
        lambda r, _t, _w: _traffic(r, r.facts.rx_gbps if r.facts else None),
        5,
        ">",
        8,
        letter="V",
        value=_port(lambda p: p.rx_gbps),
        what="received, Gb/s",
    ),
    Column(
        "errors",
        "ERR/m",
        _count(lambda p: p.errors_per_minute),
        5,
        ">",
        6,
        letter="E",
        value=_port(lambda p: p.errors_per_minute),
        what="counters of class error, a minute",
    ),
    Column(
        "discards",
        "DSC/s",
        _count(lambda p: p.discards_per_second),
        5,
        ">",
        5,
        letter="D",
        value=_port(lambda p: p.discards_per_second),
        what="discards a second",
    ),
    Column(
        "ecn",
        "ECN/s",
        _count(lambda p: p.ecn_per_second),
        5,
        ">",
        5,
        letter="N",
        value=_port(lambda p: p.ecn_per_second),
        what="ECN marks a second",
    ),
    Column(
        "pause",
        "PFC/s",
        _count(lambda p: p.pause_per_second),
        5,
        ">",
        5,
        letter="F",
        value=_port(lambda p: p.pause_per_second),
        what="pause frames a second",
    ),
    Column(
        "cnp",
        "CNP/s",
        _count(lambda p: p.cnp_per_second),
        5,
        ">",
        5,
        letter="C",
        value=_port(lambda p: p.cnp_per_second),
        what="congestion notifications a second",
    ),
    Column(
        "netdev",
        "NETDEV",
        _text(_port(lambda p: p.netdev)),
        8,
        "<",
        2,
        measure=lambda r: (r.facts and r.facts.netdev) or "",
        what="its network interface",
    ),
    Column("phys", "PHYS", _text(_port(lambda p: p.phys_state)), 8, "<", 2, what="physical state"),
    Column("lid", "LID", _text(_port(lid_text)), 5, ">", 1, what="of InfiniBand"),
    Column("mtu", "MTU", _text(_port(lambda p: p.mtu_bytes)), 4, ">", 1, what="of the path, bytes"),
    Column(
        "gid",
        "GID",
        _text(_port(lambda p: p.gid)),
        15,
        "<",
        1,
        measure=lambda r: (r.facts and r.facts.gid) or "",
        what="the default one",
    ),
    Column("card", "CARD", _text(_device("card")), 10, "<", 1, measure=_longest("card"), what="model"),
    Column("firmware", "FW", _text(_device("firmware")), 10, "<", 1, measure=_longest("firmware"), what="firmware"),
    Column(
        "pcie",
        "PCIE",
        _text(lambda r: pcie_text(r.device.pcie) if r.device else None),
        7,
        "<",
        1,
        what="generation and lanes",
    ),
    Column("numa", "NUMA", _text(_device("numa_node")), 4, ">", 1, what="node of the card"),
)
