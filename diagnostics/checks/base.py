"""What a check is, and what it is given to judge: a pure function from a `State` to what it found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from diagnostics.checks.expectations import NOTHING_EXPECTED, Expectation
from diagnostics.checks.manifest import Manifest
from diagnostics.checks.memory import Memory
from diagnostics.model import Counter, Device, Evidence, Gid, Layer, NodeSnapshot, Port, Severity
from diagnostics.windows import Delta, Windows

if TYPE_CHECKING:
    from diagnostics.kernel_log import LogEvent

LAYERS: tuple[Layer, ...] = (
    "link",
    "errors",
    "congestion",
    "pcie",
    "host",
    "operator",
    "resources",
    "networks",
    "workloads",
    "benchmarks",
    "fleet",
    "agent",
)

SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "info")
"""Worst first."""


class Threshold(NamedTuple):
    """A number that a check compares with, and who says so."""

    name: str
    value: float
    unit: str
    window_s: float | None
    publisher: str
    link: str | None = None


class Raised(NamedTuple):
    """One thing that a check found, before it has a since and an id."""

    severity: Severity
    message: str
    device: str | None = None
    port: int | None = None
    evidence: tuple[Evidence, ...] = ()
    hint: str | None = None
    """None: the check's own."""
    unread: tuple[str, ...] = ()
    key: str = ""
    """Tells findings of one check on one target apart."""
    causes: tuple[str, ...] | None = None
    """Checks that this one may follow from; None: those of the check's row."""


class Unjudged(NamedTuple):
    """Why a check said nothing: `skip` where there is nothing of the kind, `unknown` where it could not be read."""

    status: Literal["skip", "unknown"]
    reason: str


Judgement = Iterable[Raised | Unjudged]


class Check(NamedTuple):
    """A row of the registry."""

    id: str
    layer: Layer
    title: str
    doc: str
    """Meaning, evidence and next step, as `rdmatop explain` prints it."""
    hint: str
    judge: Callable[[State], Judgement]
    thresholds: tuple[Threshold, ...] = ()
    follows: tuple[str, ...] = ()
    """Checks that may be the cause, the likeliest first."""
    counters: tuple[str, ...] = ()
    """What it reads over time; a single reading leaves it `unknown`."""
    clear_s: float = 10.0
    """A finding ends when its condition has been away for so long."""
    sticky: bool = False
    """Stays until acknowledged, or for as long as the check itself remembers."""


class State:
    """Everything a check may look at; built anew for every sample, never changed by a check."""

    __slots__ = (
        "capabilities",
        "check_id",
        "devices",
        "expectations",
        "gids",
        "kernel_log",
        "kernel_log_unread",
        "manifest",
        "memory",
        "now",
        "ports",
        "snapshot",
        "store_problem",
        "windows",
    )

    def __init__(
        self,
        snapshot: NodeSnapshot,
        windows: Windows | None = None,
        *,
        now: float,
        memory: Memory | None = None,
        expectations: Mapping[tuple[str, int], Expectation] | None = None,
        kernel_log: Sequence[LogEvent] = (),
        kernel_log_unread: str | None = None,
        manifest: Manifest | None = None,
        store_problem: str | None = None,
        capabilities: frozenset[str] = frozenset(),
    ) -> None:
        self.snapshot = snapshot
        self.windows = windows
        """None after a single reading: counters are then not judged."""
        self.now = now
        """Wall clock, seconds since the epoch."""
        if memory is None:
            memory = Memory()
            memory.observe(snapshot, now, now)
        self.memory = memory
        self.expectations = expectations if expectations is not None else {}
        self.kernel_log = kernel_log
        self.kernel_log_unread = kernel_log_unread
        self.manifest = manifest or Manifest()
        self.store_problem = store_problem
        self.capabilities = capabilities
        self.check_id = ""
        self.devices: dict[str, Device] = {device.device: device for device in snapshot.devices}
        self.ports: tuple[Port, ...] = tuple(port for port in snapshot.ports if port.gone_since is None)
        self.gids: dict[tuple[str, int], list[Gid]] = {}
        for gid in snapshot.gids:
            self.gids.setdefault((gid.device, gid.port), []).append(gid)

    def expectation(self, port: Port) -> Expectation:
        return self.expectations.get((port.device, port.port), NOTHING_EXPECTED)

    def moved(self, device: str, port: int | None) -> Mapping[str, float]:
        """The watched counters of a port that changed within the last hour; empty on a quiet port."""
        return self.memory.moved.get((device, port), NOTHING_MOVED)

    def delta(self, device: str, port: int | None, name: str, window_s: float) -> Delta | None:
        return self.windows.delta(device, port, name, window_s) if self.windows is not None else None

    def counter(self, device: str, port: int | None, name: str) -> Counter | None:
        return self.memory.counter(self.snapshot, device, port, name)

    def threshold(self, check: Check, name: str) -> Threshold:
        """The check's row, or what the manifest puts in its place."""
        row = _THRESHOLDS[check.id, name]
        overrides = self.manifest.thresholds
        override = overrides.get(f"{check.id}.{name}") if overrides else None
        if override is None:
            return row
        return row._replace(
            value=override.value,
            window_s=row.window_s if override.window_s is None else override.window_s,
            publisher=f"manifest, in place of {row.value:g} ({row.publisher})",
            link=None,
        )

    def is_active(self, check_id: str, device: str | None, port: int | None) -> bool:
        """Whether the finding stands already: it then needs less to stay than it needed to come."""
        return (check_id, device, port) in self.memory.standing


NOTHING_MOVED: Mapping[str, float] = {}

_CHECKS: dict[str, Check] = {}
_THRESHOLDS: dict[tuple[str, str], Threshold] = {}


def check(
    check_id: str,
    *,
    layer: Layer,
    title: str,
    hint: str,
    thresholds: tuple[Threshold, ...] = (),
    follows: tuple[str, ...] = (),
    counters: tuple[str, ...] = (),
    clear_s: float = 10.0,
    sticky: bool = False,
) -> Callable[[Callable[[State], Judgement]], Callable[[State], Judgement]]:
    """Register a function as a check; its docstring is what `rdmatop explain` prints."""

    def register(judge: Callable[[State], Judgement]) -> Callable[[State], Judgement]:
        doc = _document(judge.__doc__ or "", follows)
        row = Check(check_id, layer, title, doc, hint, judge, thresholds, follows, counters, clear_s, sticky)
        if check_id in _CHECKS:
            raise ValueError(f"two checks have the id {check_id}")
        _CHECKS[check_id] = row
        _THRESHOLDS.update({(check_id, each.name): each for each in thresholds})
        return judge

    return register


def _document(text: str, follows: tuple[str, ...]) -> str:
    """The docstring, and what the finding may follow from."""
    lines = [line.strip() for line in text.strip().splitlines()]
    if follows:
        lines += ["", f"May follow from: {', '.join(follows)}."]
    return "\n".join(lines)


def registered() -> dict[str, Check]:
    """All checks known so far, ordered by layer, within a layer as they stand in its file."""
    return {row.id: row for layer in LAYERS for row in _CHECKS.values() if row.layer == layer}


def row_of(check_id: str) -> Check:
    return _CHECKS[check_id]


def label(device: str | None, port: int | None) -> str:
    """`mlx5_3/1`, `mlx5_3`, or `this node`."""
    if device is None:
        return "this node"
    return f"{device}/{port}" if port is not None else device


def span(seconds: float | None) -> str:
    """A window in words: `10 s`, `1 min`, `1 h`."""
    if seconds is None:
        return "now"
    if seconds < 90:
        return "1 min" if 59 <= seconds <= 61 else f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 3540 else f"{seconds / 3600:.3g} h"


def number(value: float) -> str:
    """`1,234`, `0.5`."""
    return f"{value:,.0f}" if abs(value) >= 10 or value == int(value) else f"{value:.2g}"


def fact(
    name: str, value: float | None, unit: str = "", *, against: float | None = None, source: str | None = None
) -> Evidence:
    """Evidence without a window: a state."""
    return Evidence(name=name, value=value, unit=unit, window_s=None, threshold=against, source=source)
