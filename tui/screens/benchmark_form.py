"""The form that asks what to measure, and the request that it becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diagnostics.model import Benchmark, BenchmarkRequest
from tui.screens.base import ListScreen
from tui.screens.benchmarks import Benchmarks, place
from tui.screens.overlays import FormOverlay
from tui.widgets.edit import Field, Form

if TYPE_CHECKING:
    from tui.screens.session import Session

UNITS = {"": 1, "b": 1, "k": 1 << 10, "ki": 1 << 10, "kib": 1 << 10, "m": 1 << 20, "mi": 1 << 20, "mib": 1 << 20}
ALL_SIZES = tuple(1 << n for n in range(1, 24))
"""2 B to 8 MiB, as `--size all`."""

FIELDS = (
    Field("operation", "operation", "write", "write, read or send", ("write", "read", "send")),
    Field("size", "size", "1Mi", "bytes: 64, 4Ki, 1Mi, a list, or all"),
    Field("qps", "queue pairs", "2", "1 to 64"),
    Field("duration", "seconds", "5", "a size; 1 to 300"),
    Field("latency", "measure", "bandwidth", "bandwidth or latency", ("bandwidth", "latency")),
    Field("directions", "directions", "one", "one, or both at once", ("one", "both")),
    Field("force", "busy port", "refuse", "refuse, or measure beside its traffic", ("refuse", "measure")),
)


def open_form(session: Session, target: str = "") -> None:
    """Asks what to measure; the selected port is the default, and empty means every active port."""
    screen = session.screen
    target = target or (getattr(screen, "crumb", "") if screen.name == "port" else "")
    if not target and isinstance(screen, ListScreen) and screen.listing.selected is not None:
        row = screen.listing.selected
        target = place(row) if isinstance(row, Benchmark) and row.device else getattr(row, "name", "")
    fields = (Field("where", "port", target.split(" ")[0], "DEVICE or DEVICE/PORT; empty: every active port"), *FIELDS)

    def send(values: dict[str, str]) -> str | None:
        try:
            request = read_form(values)
        except ValueError as error:
            return str(error)
        session.ask(session.source.start_benchmark(request), lambda _: _started(session))
        return None

    session.overlay = FormOverlay(session, Form("Loopback benchmark: enter starts it", fields), send)


def _started(session: Session) -> None:
    session.go("benchmarks")
    screen = session.screen
    if isinstance(screen, Benchmarks):
        screen.listing.cursor = None
        screen.look()


def read_form(values: dict[str, str]) -> BenchmarkRequest:
    """The request of a filled form. Raises ValueError with what is wrong."""
    device, _, port = values["where"].partition("/")
    if port and not port.isdigit():
        raise ValueError(f"port {port}: not a number")
    sizes = (
        ALL_SIZES if values["size"] == "all" else tuple(read_size(s) for s in values["size"].replace(",", " ").split())
    )
    if not sizes:
        raise ValueError("size: say how many bytes, 64 or 1Mi")
    qps = int(values["qps"]) if values["qps"].isdigit() else 0
    if not 1 <= qps <= 64:
        raise ValueError(f"queue pairs {values['qps']}: 1 to 64")
    try:
        duration = float(values["duration"])
    except ValueError:
        duration = 0.0
    if not 1 <= duration <= 300:
        raise ValueError(f"seconds {values['duration']}: 1 to 300")
    return BenchmarkRequest(
        device=device or None,
        port=int(port) if port else None,
        operation=values["operation"],  # type: ignore[arg-type]
        sizes=sizes,
        qps=qps,
        duration_s=duration,
        latency=values["latency"] == "latency",
        bidirectional=values["directions"] == "both",
        force=values["force"] == "measure",
    )


def read_size(text: str) -> int:
    """`64`, `4Ki`, `1MiB` -> bytes. Raises ValueError outside 2 B to 8 MiB."""
    digits = text.rstrip("bBkKmMiI")
    unit = UNITS.get(text[len(digits) :].lower())
    if not digits.isdigit() or unit is None:
        raise ValueError(f"size {text}: write bytes, 64, 4Ki or 1Mi")
    value = int(digits) * unit
    if not 2 <= value <= 8 << 20:
        raise ValueError(f"size {text}: 2 bytes to 8Mi")
    return value
