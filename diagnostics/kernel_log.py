"""What lines of the kernel log mean for RDMA: rules as rows, and a filter that a storm of messages cannot flood.

The text comes from any reader (kmsg, syslog, a dmesg file); nothing is read here.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from diagnostics.model import Severity

DAY_S = 86400.0
MINUTES_5_S = 300.0

MOST_EVENTS = 256
"""Kept; the oldest go first."""

MOST_LINES_A_SECOND = 1000
"""Looked at; the rest of a storm is counted and dropped."""


class LogRule(NamedTuple):
    """One row: which text, how bad, and what it means."""

    id: str
    pattern: re.Pattern[str]
    severity: Severity
    meaning: str
    next: str
    publisher: str
    quiet_s: float = MINUTES_5_S
    """The same rule on the same device is one event within this time (gpud: 24 h for ACCESS_REG, else 5 min)."""


class LogEvent(NamedTuple):
    """A line that a rule knows, with its repeats."""

    rule: str
    severity: Severity
    pci: str | None
    netdev: str | None
    first: float
    """Wall clock, seconds since the epoch."""
    last: float
    repeats: int
    text: str


def _rule(
    rule: str, pattern: str, severity: Severity, meaning: str, after: str, publisher: str, quiet_s: float = MINUTES_5_S
) -> LogRule:
    return LogRule(rule, re.compile(pattern, re.IGNORECASE), severity, meaning, after, publisher, quiet_s)


RULES: tuple[LogRule, ...] = (
    _rule(
        "health-compromised",
        r"device's health compromised|reached miss count",
        "critical",
        "the firmware of the HCA no longer answers its health poll",
        "drain the node; reset the card (devlink dev reload, power cycle); send mstdump to the vendor",
        "NVSentinel: fatal",
    ),
    _rule(
        "firmware-fatal",
        r"mlx[45]_core.*(?:unrecoverable|fatal (?:fw|firmware|hardware) error|firmware fatal error|assert_var\[|"
        r"synd(?:rome)? 0x[0-9a-f]+\): (?:firmware internal error|irisc not responding))|fatal_reporter.*error",
        "critical",
        "the HCA reports an error that its firmware cannot recover from",
        "drain the node; reset the card; update its firmware if it comes back",
        "NVSentinel: fatal",
    ),
    _rule(
        "command-timeout",
        r"mlx[45]_core.*(?:timeout\. will cause a leak of a command resource|command .*timed? ?out)",
        "critical",
        "a firmware command was never answered",
        "drain the node; reset the card",
        "NVSentinel: fatal",
    ),
    _rule(
        "soft-lockup",
        r"soft lockup.*|napi.*lockup",
        "critical",
        "a CPU was stuck, which stalls completions of this host",
        "see the stack in dmesg; update the driver",
        "NVSentinel: fatal",
    ),
    _rule(
        "pcie-fatal",
        r"(?:PCIe Bus Error: severity=Uncorrect(?:ed|able) \(Fatal\)|AER:.*(?:uncorrect(?:ed|able)).*\(?\bfatal\b)",
        "critical",
        "a fatal PCIe error",
        "reseat the card or riser; see pcie-errors",
        "Linux PCIe AER",
    ),
    _rule(
        "pcie-uncorrected",
        r"(?:PCIe Bus Error: severity=Uncorrect(?:ed|able)|AER:.*uncorrect(?:ed|able))",
        "warning",
        "an uncorrected PCIe error",
        "reseat the card or riser; see pcie-errors",
        "Linux PCIe AER",
    ),
    _rule(
        "pcie-corrected",
        r"(?:PCIe Bus Error: severity=Corrected|AER:.*\bcorrected\b)",
        "info",
        "corrected PCIe errors: harmless singly, a failing link when they go on",
        "see pcie-errors",
        "Linux PCIe AER",
    ),
    _rule(
        "insufficient-power",
        r"Detected insufficient power on the PCIe slot",
        "warning",
        "the slot gives the card less power than it asks for",
        "check the power cable and the slot's power class; see the card's manual",
        "gpud; NVSentinel: non-fatal",
    ),
    _rule(
        "high-temperature",
        r"Port module event.*High Temperature|module.*high temp",
        "warning",
        "an optical module is too hot",
        "check air flow and the module; high temperature raises bit errors",
        "gpud; NVSentinel: non-fatal",
    ),
    _rule(
        "module-error",
        r"Port module event\[error\](?!.*High Temperature)|"
        r"Port module event.*(?:Bus stuck|Bad or shorted|unsupported|Unknown error)",
        "warning",
        "a cable or module cannot be used",
        "reseat or replace the cable",
        "mlx5 driver",
    ),
    _rule(
        "pcie-limited",
        r"available PCIe bandwidth, limited by",
        "warning",
        "a link on the way to the root carries less than the card could",
        "see pcie-slow",
        "Linux PCI core",
    ),
    _rule(
        "access-reg",
        r"ACCESS_REG\([^)]*\).*failed",
        "warning",
        "the firmware refuses a register: often a function with limited rights that something reads too often",
        "find who reads it (an exporter on a limited PF floods the log); update the firmware",
        "gpud; NVSentinel: non-fatal",
        DAY_S,
    ),
    _rule(
        "tx-timeout",
        r"NETDEV WATCHDOG.*(?:mlx[45]|timed out)|mlx[45].*(?:TX|RX) timeout",
        "warning",
        "a transmit or receive queue of the netdev stood still",
        "see pause and PCIe counters; update the driver",
        "NVSentinel: non-fatal",
    ),
    _rule(
        "command-failed",
        r"mlx[45]_cmd_(?:out_err|check).*(?:bad system state|internal error|no resources|bad resource)",
        "warning",
        "the firmware failed a command",
        "see the lines around it in dmesg",
        "mlx5 driver",
    ),
    _rule(
        "cable-unplugged",
        r"Port module event.*Cable unplugged",
        "info",
        "no cable in a port: normal for a spare one",
        "nothing for a spare port; else see link-down",
        "NVSentinel: non-fatal",
    ),
)
"""The first that matches counts."""

RULE: dict[str, LogRule] = {rule.id: rule for rule in RULES}

RELEVANT = re.compile(
    r"mlx[45]|infiniband|PCIe Bus Error|AER|soft lockup|NETDEV WATCHDOG|Port module|hfi1|irdma|bnxt_re", re.IGNORECASE
)
"""Looked for first: most lines of a kernel log are of other things."""

_PCI = re.compile(r"\b([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])\b", re.IGNORECASE)
_NETDEV = re.compile(r"\b(?:NETDEV WATCHDOG: (?:CPU: \d+: )?|mlx5_core [0-9a-f:.]+ )([a-z][\w.-]{1,14})(?: \(|:)")
_PREFIX = re.compile(r"^(?:<\d+>|\d+,\d+,\d+,[^;]*;|\[[^\]]*\]\s*|\S+\s+kernel:\s+)+")


def message_of(line: str) -> str:
    """The text without priority, time and host: `<6>[ 2.6] host kernel: mlx5_core …` -> `mlx5_core …`."""
    return _PREFIX.sub("", line.strip())


def match(line: str, at: float = 0.0) -> LogEvent | None:
    """The event that a line is, or None for the lines that say nothing about RDMA."""
    if RELEVANT.search(line) is None:
        return None
    text = message_of(line)
    for rule in RULES:
        if rule.pattern.search(text) is not None:
            pci = _PCI.search(text)
            netdev = _NETDEV.search(text)
            return LogEvent(
                rule.id,
                rule.severity,
                pci[1].lower() if pci else None,
                netdev[1] if netdev else None,
                at,
                at,
                1,
                text[:300],
            )
    return None


class LogFilter:
    """Lines in, events out: repeats are counted into one event, and a storm costs a bounded time."""

    def __init__(self) -> None:
        self._events: dict[tuple[str, str | None], LogEvent] = {}
        self._second = -1.0
        self._looked_at = 0
        self.dropped = 0
        """Lines of a storm that nobody looked at."""

    def feed(self, line: str, at: float, clock: float) -> LogEvent | None:
        """Take in one line of wall time `at`; `clock` is monotonic. The event if it is a new one, else None."""
        if clock - self._second >= 1.0 or clock < self._second:
            self._second, self._looked_at = clock, 0
        self._looked_at += 1
        if self._looked_at > MOST_LINES_A_SECOND:
            self.dropped += 1
            return None
        event = match(line, at)
        if event is None:
            return None
        key = (event.rule, event.pci)
        known = self._events.pop(key, None)
        if known is not None and at - known.last <= RULE[event.rule].quiet_s:
            self._events[key] = known._replace(last=max(at, known.last), repeats=known.repeats + 1)
            return None
        self._events[key] = event
        while len(self._events) > MOST_EVENTS:
            del self._events[next(iter(self._events))]
        return event

    def events(self) -> tuple[LogEvent, ...]:
        """What happened, oldest first."""
        return tuple(self._events.values())
