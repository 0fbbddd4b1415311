"""The texts to read: the keys of the screen, and what a check means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diagnostics.model import Finding
from tui.keys import EVERYWHERE, keys_of
from tui.screens.base import ListScreen
from tui.widgets.line import Line, pad, wrap
from tui.widgets.sentences import detail

if TYPE_CHECKING:
    from tui.screens.session import Session


def help_lines(session: Session, width: int) -> list[Line]:
    """The footer's own table: this screen's keys, the columns it sorts by, what holds everywhere, the signs."""
    screen = session.screen
    own = [k for k in keys_of(screen.name) if k.where != (EVERYWHERE,)]
    rest = [k for k in keys_of(screen.name) if k.where == (EVERYWHERE,)]
    out: list[Line] = [((f" {screen.title or screen.name}", "title"), (f"  {screen.what}", "dim"))]
    out += [_row(k.shown if k.action != "slower" else "<", k.help) for k in own]
    if isinstance(screen, ListScreen):
        letters = [c for c in screen.grid.columns if c.letter and c.value is not None]
        if letters:
            out += [(), ((" Sort by a column", "title"), ("  again: the other way round; S: by severity", "dim"))]
            out += [_row(c.letter, f"{c.title}  {c.what}") for c in letters]
        told = [c for c in screen.grid.columns if not c.letter and c.what and c.title]
        if told:
            out += [(), ((" Columns of a wider terminal", "title"), ("  right and left bring them in", "dim"))]
            out += [_row(c.title, c.what) for c in told]
    out += [(), ((" Everywhere", "title"),)]
    out += [
        _row(" ".join(e.digit for e in session.scope.entries), "the screens"),
        *(_row(k.shown if k.action != "slower" else "<", k.help) for k in rest),
    ]
    out += [_row("mouse", "click a row, a tab, a column's head or a key below; double click opens; the wheel scrolls")]
    out += [(), ((" Signs", "title"),)]
    glyphs = session.theme.glyphs
    signs = (
        (glyphs.ok, "healthy"),
        (glyphs.warning, "warning"),
        (glyphs.failed, "failed"),
        (glyphs.unknown, "not judged, not known"),
        (glyphs.spare, "spare: not in use, no alarm"),
        ("-", "not known, never zero"),
        ("first", "one reading: no rate yet"),
        ("reset", "the counter fell: no rate"),
        ("blind", "the counter is at its end and counts no more"),
    )
    out += [_row(sign if sign.strip() else "(blank)", text) for sign, text in signs]
    return [line for row in out for line in _fold(row, width)]


def _row(left: str, right: str) -> Line:
    return ((f"   {pad(left, 10)} ", "key"), (right, ""))


def _fold(line: Line, width: int) -> list[Line]:
    if len(line) != 2 or len(line[0][0]) + len(line[1][0]) <= width:
        return [line]
    indent = len(line[0][0])
    if indent > width // 2:
        return [line]
    first, *more = wrap(line[1][0], width - indent - 1)
    return [(line[0], (first, line[1][1])), *(((" " * indent, ""), (text, line[1][1])) for text in more)]


def explain_lines(check: str, finding: Finding | None, now: str, width: int) -> list[Line]:
    """What `rdmatop explain CHECK` says, and the evidence of one finding."""
    out: list[Line] = [((f" {check}", "title"),), ()]
    if finding is not None:
        out += [((" ", ""), (text, "")) for text in wrap(finding.message, width - 2)]
        out += [(), *detail(finding, now, width), ()]
    for text in explanation(check).splitlines():
        out += [((" ", ""), (line, "")) for line in wrap(text, width - 2)] if text.strip() else [()]
    return out


def explanation(check: str) -> str:
    """The text of `rdmatop explain CHECK`."""
    from diagnostics.checks import REGISTRY
    from tui.commands.explain import check_text

    found = REGISTRY.get(check)
    return f"{check} is not a check of this version." if found is None else check_text(found)
