"""Lines as bytes for the terminal: the whole picture, or what changed in it."""

from __future__ import annotations

from collections.abc import Sequence

from tui.theme import Look, Theme, sgr
from tui.widgets.line import Line, changed_runs, fit

ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"
"""Alternate screen, no cursor, no wrapping (xterm control sequences, DECSET 1049, 25, 7)."""
LEAVE = "\x1b[0m\x1b[?7h\x1b[?1049l\x1b[?25h"
_RESET = "\x1b[0m"
_PLAIN = Look()


def spans_text(spans: Line, theme: Theme) -> str:
    """A run of spans with their looks; ends without one."""
    out, current = [], _PLAIN
    for text, role in spans:
        look = theme.look(role)
        if look != current and (text.strip() or look.reverse or look.underline or current.reverse or current.underline):
            if current != _PLAIN:
                out.append(_RESET)
            out.append(sgr(look))
            current = look
        out.append(text)
    if current != _PLAIN:
        out.append(_RESET)
    return "".join(out)


def picture(lines: Sequence[Line], theme: Theme, width: int) -> str:
    """Everything, line by line."""
    return "".join(f"\x1b[{y + 1};1H{spans_text(fit(line, width), theme)}" for y, line in enumerate(lines))


def difference(old: Sequence[Line], new: Sequence[Line], theme: Theme) -> str:
    """What turns a screen that shows `old` into `new`; both have the same size. Empty where they are equal."""
    out = []
    for y, (before, after) in enumerate(zip(old, new, strict=True)):
        if before is after or before == after:
            continue
        for x, spans in changed_runs(before, after):
            out.append(f"\x1b[{y + 1};{x + 1}H{spans_text(spans, theme)}")
    return "".join(out)
