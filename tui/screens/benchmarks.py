"""Screen 6: measure a port, watch it, compare it with what it should give and with what it gave before."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from diagnostics.errors import UserError
from diagnostics.model import Benchmark
from diagnostics.natural import natural
from tui.screens.base import ListScreen
from tui.screens.benchmark_detail import detail_lines
from tui.screens.overlays import Pager
from tui.theme import VERDICT_ROLE, Theme
from tui.widgets.grid import Cell, Column, Grid
from tui.widgets.line import BLANK, Line, Span, clean, fit, wrap
from tui.widgets.listing import Listing, Traits
from tui.widgets.values import UNKNOWN, clock, gbps, size

if TYPE_CHECKING:
    from tui.screens.session import Session

WATCH_S = 0.5
"""Between two looks at a run; nobody looks while nothing runs."""


def alive(row: Benchmark) -> bool:
    return row.state in ("queued", "running")


def percent(row: Benchmark) -> float | None:
    if row.bandwidth_gbps is None or not row.expected_gbps:
        return None
    return 100 * row.bandwidth_gbps / row.expected_gbps


def place(row: Benchmark) -> str:
    here = row.device or "every port" if row.port is None else f"{row.device}/{row.port}"
    return f"{here} > {row.peer_node}" if row.peer_node and row.peer_node != row.node else here


def bar(progress: float, width: int, theme: Theme) -> str:
    """`━━━━╸   ` of `progress` 0 to 1."""
    halves = round(2 * width * max(0.0, min(1.0, progress)))
    return (theme.glyphs.full * (halves // 2) + (theme.glyphs.half if halves % 2 else "")).ljust(width)


def _text(get: Any, role: str = "") -> Any:
    def cell(row: Benchmark, _theme: Theme, _width: int) -> Cell:
        value = get(row)
        return ((UNKNOWN, "unknown"),) if value in (None, "") else ((clean(str(value)), role),)

    return cell


def _result(row: Benchmark, theme: Theme, width: int) -> Cell:
    """Gb/s of a finished one, the bar of a running one."""
    if row.state == "running" and row.progress is not None:
        return ((bar(row.progress, width, theme), ""),)
    value = gbps(row.bandwidth_gbps) if row.state != "queued" else ""
    return ((value.rjust(width), ""),)


def _latency(row: Benchmark) -> str | None:
    return None if row.latency_us is None or row.latency_us.p50 is None else f"{row.latency_us.p50:.1f}"


def _verdict(row: Benchmark, theme: Theme, _width: int) -> Cell:
    if alive(row):
        left = (
            "" if row.progress is None or not row.duration_s else f" {row.duration_s * (1 - row.progress):.0f} s left"
        )
        return ((f"{row.state}{left}" if row.state == "queued" or not left else left.strip(), "dim"),)
    if row.state == "cancelled":
        return ((f"{theme.glyphs.spare} cancelled", "dim"),)
    word = "failed" if row.state == "failed" else row.verdict
    role = "failed" if row.state == "failed" else VERDICT_ROLE[row.verdict]
    glyph = theme.glyphs.health("failed" if row.state == "failed" else row.verdict)
    return ((f"{glyph} {word}", role),)


COLUMNS = (
    Column(
        "time",
        "TIME",
        _text(lambda r: clock(r.started)),
        8,
        frozen=True,
        letter="T",
        value=lambda r: r.started,
        what="local time of the start",
    ),
    Column(
        "where",
        "WHERE",
        _text(place),
        8,
        frozen=True,
        letter="W",
        value=lambda r: natural(place(r)),
        measure=place,
        what="device and port, peer",
    ),
    Column(
        "kind",
        "KIND",
        _text(lambda r: r.kind),
        8,
        "<",
        3,
        letter="K",
        value=lambda r: r.kind,
        what="loopback, pair or tcp",
    ),
    Column("operation", "OP", _text(lambda r: r.operation), 5, "<", 4, what="write, read or send"),
    Column(
        "size",
        "SIZE",
        _text(lambda r: size(r.size_bytes)),
        6,
        ">",
        7,
        letter="B",
        value=lambda r: r.size_bytes,
        what="bytes a message",
    ),
    Column("qps", "QP", _text(lambda r: r.qps), 3, ">", 2, what="queue pairs"),
    Column(
        "result",
        "Gb/s",
        _result,
        7,
        ">",
        9,
        letter="R",
        value=lambda r: r.bandwidth_gbps,
        grow=4,
        what="mean over the run",
    ),
    Column(
        "expected",
        "EXPECT",
        _text(lambda r: None if r.expected_gbps is None else gbps(r.expected_gbps)),
        6,
        ">",
        6,
        what="what it should give",
    ),
    Column(
        "percent",
        "%",
        _text(lambda r: None if percent(r) is None else f"{percent(r):.0f}"),
        3,
        ">",
        6,
        letter="P",
        value=percent,
        what="of expected",
    ),
    Column(
        "verdict", "VERDICT", _verdict, 11, "<", 8, letter="V", value=lambda r: r.verdict, what="pass, note, warn, fail"
    ),
    Column("latency", "p50 us", _text(_latency), 6, ">", 1, what="latency"),
    Column(
        "rate",
        "Mmsg/s",
        _text(lambda r: None if r.messages_per_s is None else f"{r.messages_per_s / 1e6:.2f}"),
        6,
        ">",
        1,
        what="messages",
    ),
    Column(
        "reason", "WHY", _text(lambda r: r.error or r.reason), 12, "<", 1, grow=80, what="the reason of the verdict"
    ),
)

BENCHMARKS = Traits(
    identity=lambda r: r.id,
    severity=lambda r: 1 if alive(r) else 0,
    name=lambda r: _Newest((r.started or "9999", r.id)),
    text=lambda r: " ".join(
        str(v) for v in (place(r), r.kind, r.operation, r.state, r.verdict, size(r.size_bytes))
    ).lower(),
    fault_from=1 << 30,
)


class _Newest(tuple):  # type: ignore[type-arg]
    """Sorts the greatest first."""

    __slots__ = ()

    def __lt__(self, other: Any) -> bool:
        return tuple.__gt__(self, other)


class Benchmarks(ListScreen):
    name, title, digit = "benchmarks", "Benchmarks", "6"
    what = "loopback runs of this host and what they should have given"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.listing = Listing[Benchmark](BENCHMARKS)
        self.grid = Grid(COLUMNS, self.listing)
        self.known = False
        self._watching = False

    @property
    def command(self) -> str:
        row = self.listing.selected
        return again(row) if row is not None else "rdmatop get benchmarks"

    @property
    def right(self) -> list[Span]:
        running = sum(alive(r) for r in self.listing.items.values())
        return [(f"{running} running ", "title")] if running else []

    def entered(self) -> None:
        self.look()

    def updated(self) -> None:
        """A snapshot holds the running ones: one that somebody else started is watched too."""
        snapshot = self.session.store.snapshot
        if snapshot is not None and not self._watching and any(alive(b) for b in snapshot.benchmarks):
            self.look()

    def look(self) -> None:
        """Asks for the list, and goes on asking while something runs."""
        if not self._watching:
            self._watching = True
            self.session.spawn(self._watch())

    async def _watch(self) -> None:
        try:
            while True:
                rows = await self.session.source.benchmarks()
                self.take(rows)
                self.session.changed()
                if not any(alive(row) for row in rows):
                    return
                await asyncio.sleep(WATCH_S)
        except UserError as error:
            self.session.notice(error.message)
        finally:
            self._watching = False

    def take(self, rows: tuple[Benchmark, ...]) -> None:
        self.known = True
        self.listing.update(rows)

    def do_open(self) -> None:
        row = self.listing.selected
        if row is not None:
            key = row.id
            past = list(self.listing.items.values())
            self.session.overlay = Pager(
                self.session,
                place(row),
                lambda width: detail_lines(self.listing.items.get(key, row), past, self.session.theme, width, 10),
            )

    def do_cancel(self) -> None:
        row = self.listing.selected
        running = [r for r in self.listing.items.values() if alive(r)]
        if row is None or not alive(row):
            row = running[0] if running else None
        if row is None:
            self.session.notice("nothing runs: nothing to cancel")
        else:
            self.session.ask(self.session.source.cancel_benchmark(row.id), lambda _: self.look())

    def body(self, width: int, height: int) -> list[Line]:
        theme = self.session.theme
        if not self.listing.items:
            text = "No benchmark has run yet: b starts one." if self.known else "Asking for the benchmarks …"
            return [
                BLANK,
                *(((" ", ""), (line, "")) for line in wrap(text.replace("…", theme.glyphs.ellipsis), width - 2)),
            ]
        row = self.listing.selected
        below: list[Line] = []
        if row is not None and height >= 12:
            below = [
                BLANK,
                *detail_lines(row, list(self.listing.items.values()), theme, width, 5 if height >= 18 else 0),
            ]
            below = below[: height - min(len(self.listing.items) + 1, height // 3)]
        narrowed = self.narrowed()
        table = height - len(below) - bool(narrowed)
        lines = self.grid.paint(theme, width, table)
        lines += [BLANK] * (table - len(lines))
        return [*lines, *([fit(narrowed, width)] if narrowed else []), *below]


def again(row: Benchmark) -> str:
    """The command that measures the same again."""
    where = "" if row.device is None else f" {row.device}" if row.port is None else f" {row.device}/{row.port}"
    text = f"rdmatop bench {row.kind}{where} --operation {row.operation} --size {row.size_bytes} --qps {row.qps}"
    if row.latency_us is not None and row.bandwidth_gbps is None:
        text += " --latency"
    return text + (" --bidirectional" if row.bidirectional else "")
