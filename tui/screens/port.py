"""A port: who it is, its path, ten minutes of traffic, counters by class, who uses it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from diagnostics.model import Counter, Device, Port, Process, Series
from tui.rings import RING_SECONDS
from tui.screens.base import Screen
from tui.screens.columns import pcie_text, role_of, state_word
from tui.screens.empty import waiting
from tui.store import Identity, PortRow, row_health
from tui.theme import SEVERITY_ROLE
from tui.widgets.chart import chart
from tui.widgets.line import BLANK, Line, Span, cells, clean, clip, fit, length, pad, spread
from tui.widgets.values import UNKNOWN, clock, epoch, gbps, short, whole

if TYPE_CHECKING:
    from tui.screens.session import Session

CLASSES = (("congestion", "congestion"), ("error", "errors"), ("traffic", "traffic"), ("info", "info"))
LAYERS = {"congestion": ("congestion",), "error": ("errors", "link")}
TRAFFIC = ("port_xmit_data", "port_rcv_data")
SIDE_BY_SIDE = 60
"""Columns from which two charts stand beside each other."""


class PortScreen(Screen):
    name, title = "port", "Port"
    what = "one port with its counters by class"

    def __init__(self, session: Session, identity: Identity) -> None:
        super().__init__(session)
        self.identity = identity
        self.top = 0
        self.open = {"congestion", "error"}
        self._rows = 0
        self._lines = 0

    @property
    def row(self) -> PortRow | None:
        row: PortRow | None = self.session.store.rows.get(self.identity)
        return row

    @property
    def device(self) -> str:
        return self.identity[1]

    @property
    def port(self) -> int | None:
        return int(self.identity[2]) if self.identity[2] else None

    @property
    def crumb(self) -> str:
        return "/".join(part for part in self.identity[1:] if part)

    @property
    def right(self) -> list[Span]:
        row, findings = self.row, self.findings()
        if row is None:
            return []
        if row.gone:
            return [(f"{self.session.theme.glyphs.failed} gone since {clock(row.gone)} ", "failed")]
        if row.stale:
            return [(f"{self.session.theme.glyphs.unknown} stale since {clock(row.stale)} ", "unknown")]
        if findings:
            worst = findings[0]
            return [
                (f"{self.session.theme.glyphs.health(worst.severity)} {worst.check} ", SEVERITY_ROLE[worst.severity])
            ]
        return [(f"{self.session.theme.glyphs.health(row_health(row))} {state_word(row)} ", role_of(row))]

    @property
    def command(self) -> str:
        return f"rdmatop get counters {self.crumb} -o wide"

    def findings(self) -> list:  # type: ignore[type-arg]
        return [f for f in self.session.store.findings if f.device == self.device and f.port in (None, self.port)]

    def entered(self) -> None:
        self.session.focus(self.device, self.port)
        store, names = self.session.store, TRAFFIC

        def fill(series: list[Series]) -> None:
            store.backfill(self.identity, series)

        self.session.ask(self.session.source.history(self.device, self.port, names, RING_SECONDS), fill)

    # keys

    def do_section(self) -> None:
        folded = [key for key, _ in CLASSES if key not in self.open]
        if folded:
            self.open.add(folded[0])
        else:
            self.open = {"congestion", "error"}

    def do_up(self) -> None:
        self.scroll(-1)

    def do_down(self) -> None:
        self.scroll(1)

    def do_page_up(self) -> None:
        self.scroll(-max(1, self._rows))

    def do_page_down(self) -> None:
        self.scroll(max(1, self._rows))

    def do_home(self) -> None:
        self.top = 0

    def do_end(self) -> None:
        self.scroll(1 << 30)

    def scroll(self, by: int) -> None:
        self.top = max(0, min(self._lines - self._rows, self.top + by))

    def do_explain(self) -> None:
        found = self.findings()
        if found:
            self.session.explain(found[0].check, found[0])
        else:
            self.session.notice("nothing is wrong with this port: no finding to explain")

    # what is seen

    def body(self, width: int, height: int) -> list[Line]:
        row = self.row
        if row is None:
            return waiting(self.session.store, width)
        narrow = width < SIDE_BY_SIDE
        lines = identity_lines(row, width)[: max(1, height // 4) if height < 16 else 4]
        if not (narrow and height < 14) and height >= 12:
            lines += self._charts(row, width, 4 if height < 30 else 8)
        below = self._processes(width) if height >= 10 else []
        self._rows = max(0, height - len(lines) - len(below))
        table = self._counters(width, self._rows)
        if len(table) > self._rows > 0:
            head, rows = table[0], table[1:]
            self._lines, self._rows = len(rows), self._rows - 1
            self.scroll(0)
            lines += [head, *rows[self.top : self.top + self._rows]]
        else:
            self._lines, self.top = 0, 0
            lines += table[: self._rows]
        room = height - len(below) - len(lines)
        return lines + [BLANK] * room + below

    def _charts(self, row: PortRow, width: int, height: int) -> list[Line]:
        store, glyphs = self.session.store, self.session.theme.glyphs
        ring = store.rings.get(self.identity)
        top = row.facts.rate_gbps if row.facts and row.facts.rate_gbps else None
        beside = width >= SIDE_BY_SIDE
        size = (width - 4) // 2 if beside else width - 2
        points = (size - 4) * (2 if glyphs.braille else 1)
        step = RING_SECONDS / points
        tx, rx = ring.buckets(epoch(store.time), step, points) if ring else ([], [])
        top = top or max([v for v in (*tx, *rx) if v] or [1.0])
        facts = row.facts
        panes = [
            [_title("TX", facts.tx_gbps if facts else None, top, facts), *_chart(tx, top, size, height, glyphs)],
            [_title("RX", facts.rx_gbps if facts else None, top, facts), *_chart(rx, top, size, height, glyphs)],
        ]
        if not beside:
            return [BLANK, *(fit([(" ", ""), *line], width) for line in panes[0])]
        out: list[Line] = [BLANK]
        for left, right in zip(*panes, strict=True):
            out.append((*fit([(" ", ""), *left], size + 2), *fit([(" ", ""), *right], width - size - 2)))
        out[1] = spread(out[1], [("10 min ", "dim")], width)
        return out

    def _processes(self, width: int) -> list[Line]:
        own = [p for p in self.session.store.processes if p.device == self.device and p.port in (None, self.port)]
        if not own:
            return []
        return [
            BLANK,
            fit([(" " + "   ".join(process_text(p) for p in own), "")], width, self.session.theme.glyphs.ellipsis),
        ]

    def _counters(self, width: int, room: int) -> list[Line]:
        counters = self.session.store.counters(self.device, self.port)
        name = max([cells(c.name) for c in counters] or [7])
        name = min(name, max(12, width - 14))
        wide = width >= 110
        titles = "".join(f"{title:>{size}}" for title, size, _ in _numbers(name, width))
        head: Line = ((f" {pad('COUNTER', name + 2)}{titles}", "title"), ("  MEANING" if wide else "", "title"))
        shown = self.open if len(counters) + len(CLASSES) + 1 > room else {key for key, _ in CLASSES}
        out: list[Line] = [head]
        folded: list[Span] = []
        for key, title in CLASSES:
            rows = sorted((c for c in counters if c.class_ == key), key=lambda c: (_rank(c), c.name))
            if not rows:
                continue
            glyph, role = self._verdict(key)
            if key not in shown:
                folded.append((f" {glyph} {title} {len(rows)}  ", "dim"))
                continue
            out.append(((f" {glyph} {title}", role or "title"),))
            out.extend(counter_line(c, name, width, wide) for c in rows)
        if folded:
            out.append((*folded, ("  tab unfolds", "dim")))
        if not counters:
            out.append(((self._no_counters(), "dim"),))
        return out

    def _no_counters(self) -> str:
        snapshot = self.session.store.snapshot
        unread = [u for u in (snapshot.unread if snapshot else ()) if u.device == self.device]
        why = f": {unread[0].name} {unread[0].reason}" if unread else ""
        return f"   no counter was read{why}"

    def _verdict(self, key: str) -> tuple[str, str]:
        layers = LAYERS.get(key, ())
        found = [f for f in self.findings() if f.layer in layers]
        if not found:
            return self.session.theme.glyphs.spare, ""
        return self.session.theme.glyphs.health(found[0].severity), SEVERITY_ROLE[found[0].severity]


def _chart(values: list[float | None], top: float, size: int, height: int, glyphs) -> list[Line]:  # type: ignore[no-untyped-def]
    return chart(values, top, size, height, glyphs, f"{top:g}"[:4])


def _title(name: str, value: float | None, top: float, facts: Port | None) -> Line:
    quality = facts.rate_quality if facts else "unknown"
    text = f"{gbps(value)} Gb/s of {top:g}" if value is not None else f"{UNKNOWN} ({quality})"
    return ((f"{name} ", "title"), (text, ""))


def _rank(counter: Counter) -> int:
    """What moves first, then what is blind or unread, then what ever moved."""
    if counter.per_second or counter.delta_1m:
        return 0
    if counter.unread or counter.quality in ("clamped", "stale", "unknown", "reset"):
        return 1
    return 2 if counter.value else 3


def counter_line(counter: Counter, name: int, width: int, wide: bool) -> Line:
    """A counter with rate, one minute, total and the reason where one of them is missing."""
    reason = why(counter, width >= 100)
    moving = bool(counter.per_second or counter.delta_1m) and counter.class_ in ("error", "congestion")
    role = "title" if moving else "" if counter.value else "dim"
    spans: list[Span] = [(f"   {pad(clip(counter.name, name, '~'), name)}", role)]
    spans += [(f"{_number(get(counter), size):>{size}}", role) for _, size, get in _numbers(name, width)]
    if reason:
        spans.append((f"  {reason}", "unknown"))
    elif wide and counter.meaning:
        spans.append((f"  {counter.meaning}", "dim"))
    return fit(spans, width)


NUMBERS: tuple[tuple[str, int, Callable[[Counter], float | None]], ...] = (
    ("/s", 10, lambda c: c.per_second),
    ("1 min", 11, lambda c: c.delta_1m),
    ("total", 13, lambda c: c.value),
)


def _numbers(name: int, width: int) -> list[tuple[str, int, Callable[[Counter], float | None]]]:
    """The columns of numbers that fit beside the names: the rate first, then the total, then the last minute."""
    room = width - 3 - name
    if room >= 34:
        return list(NUMBERS)
    return [NUMBERS[0], NUMBERS[2]] if room >= 23 else [NUMBERS[0]]


def _number(value: float | None, size: int) -> str:
    """In full where that fits, else shortened."""
    text = whole(value if value is None or value < 10 else round(value))
    return text if len(text) < size else short(value)


def why(counter: Counter, long: bool = True) -> str:
    """`blind: clamped since 11:58:04`, `not read: EPERM`, `reset`; empty for a good reading."""
    if counter.unread:
        return f"not read: {clean(counter.unread)}"
    since = f" since {clock(counter.since)}" if counter.since and long else ""
    texts = {
        "clamped": f"blind: clamped{since}",
        "stale": f"stale{since}",
        "unknown": f"not read{since}",
        "reset": "reset",
        "wrapped": "wrapped",
    }
    return texts.get(counter.quality, "")


def process_text(process: Process) -> str:
    """`512 QPs  python3 41233  ml/train-0/worker`."""
    if process.pid is None:
        return f"{process.qps} QPs  others (their process is not visible from here)"
    pod = "/".join(clean(p) for p in (process.namespace, process.pod, process.container) if p)
    return f"{process.qps} QPs  {clean(process.command or '?')} {process.pid}{'  ' + pod if pod else ''}"


def identity_lines(row: PortRow, width: int) -> list[Line]:
    """Card and place; port and address; PCIe: three lines, each cut at its end."""
    lines: list[Line] = []
    if row.device is not None:
        lines.append(fit([(" " + _join(card_words(row.device), width), "")], width))
    if row.facts is not None:
        lines.append(fit([(" " + _join(port_words(row.facts), width), "")], width))
    if row.device is not None and row.device.pcie is not None:
        lines.append(_pcie(row.device, row.facts, width))
    return lines


def _join(words: list[str], width: int) -> str:
    """As many words as fit whole."""
    text = ""
    for word in words:
        if text and cells(text) + cells(word) + 3 > width:
            break
        text += ("  " if text else "") + word
    return text


def card_words(device: Device) -> list[str]:
    words = [device.card or device.hca_type or device.driver or "unknown card"]
    for name, value in (
        ("fw", device.firmware),
        ("PSID", device.board_id),
        ("pci", device.pci_address),
        ("NUMA", device.numa_node),
    ):
        if value is not None:
            words.append(f"{name} {value}")
    if device.function:
        words.append(device.function.upper() if device.function != "virtual" else "virtual")
    if device.node_guid:
        words.append(f"GUID {device.node_guid}")
    return [clean(w) for w in words]


def port_words(port: Port) -> list[str]:
    words = [port.link_layer or "unknown link layer", port.state or "unknown state", port.phys_state or "unknown phys"]
    if port.rate_gbps is not None:
        lanes = f" ({port.lanes}X {port.speed})" if port.lanes and port.speed else ""
        words.append(f"{port.rate_gbps:g} Gb/s{lanes}")
    if port.link_layer == "InfiniBand":
        words += [
            f"LID {port.lid if port.lid is not None else UNKNOWN}",
            f"SM {port.sm_lid if port.sm_lid is not None else UNKNOWN}",
        ]
    if port.gid:
        words.append(f"GID {port.gid_index if port.gid_index is not None else ''} {port.gid}".replace("  ", " "))
    if port.netdev:
        words.append(f"{port.netdev} {port.netdev_state or ''}".strip())
    if port.mtu_bytes:
        words.append(f"MTU {port.mtu_bytes}")
    return [clean(w) for w in words]


def _pcie(device: Device, port: Port | None, width: int) -> Line:
    pcie = device.pcie
    assert pcie is not None
    words = [f"PCIe {pcie_text(pcie) or UNKNOWN}"]
    if pcie.limit_gbps is not None:
        words.append(f"{pcie.limit_gbps:g} Gb/s usable")
    if pcie.narrowest:
        words.append(f"narrowest hop {pcie.narrowest}")
    rate = port.rate_gbps if port else None
    if pcie.limit_gbps is None or rate is None:
        return fit([(" " + ", ".join(words), "")], width)
    limiting = pcie.limit_gbps < rate
    end: Span = ("limits the link ", "warning") if limiting else ("not limiting ", "dim")
    left: list[Span] = [(" " + ", ".join(words), "")]
    return spread(left, [end], width) if length(left) + len(end[0]) <= width else fit(left, width)
