"""Natural order of names: mlx5_2 before mlx5_10, rx2_packets before rx10_packets."""

from __future__ import annotations

from functools import lru_cache

Key = tuple[tuple[int, int, str], ...]

KNOWN = 16384
"""Names whose key is kept: a sample sorts the same few hundred again and again."""

DIGITS = frozenset("0123456789")


@lru_cache(maxsize=KNOWN)
def natural(name: str | None) -> Key:
    """A sort key; numbers come before text, None before all."""
    parts: list[tuple[int, int, str]] = []
    digits = text = ""
    for char in name or "":
        if char in DIGITS:
            if text:
                parts.append((1, 0, text))
                text = ""
            digits += char
        else:
            if digits:
                parts.append(_number(digits))
                digits = ""
            text += char
    if digits or text:
        parts.append(_number(digits) if digits else (1, 0, text))
    return tuple(parts)


def _number(digits: str) -> tuple[int, int, str]:
    # Python refuses to make a number of a thousand digits, and hostile names have them.
    return (0, int(digits[:18]), "")
