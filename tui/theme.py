"""What a frame looks like: four meanings in sixteen colours, two sets of glyphs, and when to use which.

Painters name a role ("ok", "failed", "dim", …) and a glyph; only this file knows colours and characters. Colour is
the verdict and never carries it alone: a glyph and a word stand beside it. The sixteen colours are the terminal's
own, so that a light and a dark background both work.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import NamedTuple


class Look(NamedTuple):
    """How a role is drawn."""

    colour: int | None = None
    """0 to 7: the terminal's own colour."""
    bold: bool = False
    dim: bool = False
    reverse: bool = False
    underline: bool = False


ROLES: dict[str, Look] = {
    "": Look(),
    "ok": Look(2),
    "warning": Look(3, bold=True),
    "failed": Look(1, bold=True),
    "unknown": Look(dim=True),
    "dim": Look(dim=True),
    "title": Look(bold=True),
    "tab": Look(bold=True, reverse=True),
    "head": Look(underline=True),
    "key": Look(bold=True),
    "cursor": Look(reverse=True),
    "field": Look(underline=True),
    "banner": Look(bold=True, reverse=True),
}
"""Role -> look. `cursor` lies over a row's own roles."""

MONOCHROME = {name: look._replace(colour=None) for name, look in ROLES.items()}

HEALTH_ROLE = {"healthy": "ok", "warning": "warning", "failed": "failed", "unknown": "unknown"}
SEVERITY_ROLE = {"critical": "failed", "warning": "warning", "info": "unknown"}
VERDICT_ROLE = {"pass": "ok", "note": "ok", "warn": "warning", "fail": "failed", "unknown": "unknown"}


class Glyphs(NamedTuple):
    """The characters beyond words; one cell each."""

    ok: str
    warning: str
    failed: str
    unknown: str
    spare: str
    levels: str
    """Nine heights, from nothing to full."""
    arrow: str
    ellipsis: str
    full: str
    half: str
    axis: str
    tick: str
    corner: str
    floor: str
    dot: str
    down: str
    up: str
    braille: bool

    def health(self, name: str) -> str:
        """`warning` -> the glyph of it; of a severity and a benchmark's verdict too."""
        return getattr(self, _MEANING.get(name, "unknown"))  # type: ignore[no-any-return]


_MEANING = {
    "healthy": "ok",
    "pass": "ok",
    "note": "ok",
    "ok": "ok",
    "warning": "warning",
    "warn": "warning",
    "failed": "failed",
    "critical": "failed",
    "fail": "failed",
    "info": "spare",
    "spare": "spare",
}

UNICODE = Glyphs("✓", "▲", "✗", "?", "·", " ▁▂▃▄▅▆▇█", "›", "…", "━", "╸", "│", "┤", "└", "─", "●", "▾", "▴", True)
ASCII = Glyphs(" ", "!", "X", "?", ".", " ._-=+*%#", ">", "~", "=", "-", "|", "+", "+", "-", "o", "v", "^", False)


class Theme(NamedTuple):
    """The looks and glyphs of one run."""

    glyphs: Glyphs = UNICODE
    looks: Mapping[str, Look] = ROLES

    def look(self, role: str) -> Look:
        """The look of `role`; of `cursor+role` the role's attributes turned around."""
        if role.startswith("cursor+"):
            # Reversed coloured text is unreadable on half of the terminals' palettes: the bar is plain.
            return self.looks["cursor"]._replace(bold=self.looks.get(role[7:], Look()).bold)
        return self.looks.get(role, self.looks[""])


def sgr(look: Look) -> str:
    """The escape sequence that starts `look` after a reset; empty for plain text."""
    codes = [code for code, on in (("1", look.bold), ("2", look.dim), ("4", look.underline), ("7", look.reverse)) if on]
    if look.colour is not None:
        codes.append(str(30 + look.colour))
    return f"\x1b[{';'.join(codes)}m" if codes else ""


def is_utf8(environ: Mapping[str, str]) -> bool:
    """Whether the user's locale is UTF-8, looking through Python's own coercion of the C locale (PEP 538, 540)."""
    if sys.flags.utf8_mode and not environ.get("PYTHONUTF8"):
        return False
    locale = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or ""
    return "utf8" in locale.lower().replace("-", "")


def is_dumb(environ: Mapping[str, str]) -> bool:
    return environ.get("TERM", "") in ("dumb", "")


def choose_theme(environ: Mapping[str, str], ascii_only: bool = False) -> Theme:
    """The theme for this terminal: NO_COLOR, TERM=dumb and the locale decide, FORCE_COLOR overrides the first two."""
    plain = bool(environ.get("NO_COLOR")) or is_dumb(environ)
    if environ.get("FORCE_COLOR", "0") not in ("", "0"):
        plain = False
    glyphs = ASCII if ascii_only or is_dumb(environ) or not is_utf8(environ) else UNICODE
    return Theme(glyphs, MONOCHROME if plain else ROLES)
