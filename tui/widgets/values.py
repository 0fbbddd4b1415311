"""Numbers as a person reads them: one unit each, short, `-` for what is not known."""

from __future__ import annotations

import calendar
import time

UNKNOWN = "-"


def gbps(value: float | None) -> str:
    """Gb/s in at most five characters up to 9,999: `372.4`, `0.02`, `2,741`."""
    if value is None:
        return UNKNOWN
    if value == 0:
        return "0.0"
    if value < 0.005:
        return "<0.01"
    if value < 9.995:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 999.95 else f"{value:,.0f}"


def short(value: float | None) -> str:
    """A count in at most five characters: `812`, `3,912`, `231k`, `1.9M`."""
    if value is None:
        return UNKNOWN
    if value != 0 and abs(value) < 0.95:
        return f"{value:.1f}" if value >= 0.05 else "<0.1"
    if abs(value) < 9999.5:
        return f"{value:,.0f}"
    for unit in "kMGTPE":
        value /= 1000
        if abs(value) < 999.5:
            return f"{value:.1f}{unit}" if abs(value) < 99.95 else f"{value:.0f}{unit}"
    return f"{value:.0e}"


def whole(value: float | None) -> str:
    """A count in full: `8,812,331`."""
    if value is None:
        return UNKNOWN
    if isinstance(value, float) and value != 0 and abs(value) < 10 and value != int(value):
        return f"{value:.1f}"
    return f"{value:,.0f}"


def link_rate(value: float | None) -> str:
    """`400G`."""
    return UNKNOWN if value is None else f"{value:g}G"


def size(value: int | None) -> str:
    """Bytes in binary units: `1 Mi`, `128 Ki`, `64 B`."""
    if value is None:
        return UNKNOWN
    for unit, name in ((1 << 20, "Mi"), (1 << 10, "Ki")):
        if value >= unit and value % unit == 0:
            return f"{value // unit} {name}"
    return f"{value} B"


def interval(seconds: float | None) -> str:
    """`every 1 s`."""
    return "" if seconds is None else f"every {seconds:g} s"


def duration(seconds: float) -> str:
    """The largest unit that says it: `6 s`, `6 min`, `3 h`, `2 d`."""
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds // unit:.0f} {name}"
    return f"{max(0.0, seconds):.0f} s"


def age(seconds: float) -> str:
    """In at most four characters: `2s`, `59s`, `6m`, `3h`, `12d`, `>3y`."""
    for unit, name in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= unit:
            number = int(seconds // unit)
            return f"{number}{name}" if number < 1000 else ">3y"
    return f"{max(0.0, seconds):.0f}s" if seconds < 59.5 else "59s"


def epoch(rfc3339: str) -> float:
    """Seconds since 1970 of an RFC 3339 time in UTC; 0.0 where it is not one."""
    try:
        parts = [int(rfc3339[a:b]) for a, b in ((0, 4), (5, 7), (8, 10), (11, 13), (14, 16), (17, 19))]
    except ValueError:
        return 0.0
    fraction = rfc3339[19:].rstrip("Z")
    return calendar.timegm((*parts, 0, 0, 0)) + (float(fraction) if fraction[1:].isdigit() else 0.0)


def clock(rfc3339: str | None) -> str:
    """The local time of day, `12:04:31`; the date where it was not in the last day."""
    if not rfc3339:
        return UNKNOWN
    at = epoch(rfc3339)
    return time.strftime("%H:%M:%S", time.localtime(at)) if at else UNKNOWN


def since(rfc3339: str | None, now: str) -> str:
    """`11:58:04 (6 min)`."""
    if not rfc3339:
        return UNKNOWN
    age = epoch(now) - epoch(rfc3339)
    when = clock(rfc3339) if age < 86400 else rfc3339[:10]
    return f"{when} ({duration(age)})" if age >= 1 else when
