"""The picture: head line, tabs, the screen's body, banners and footer; and where of it a click means what."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tui.keys import Key, keys_of
from tui.widgets.chrome import Tab, footer, tabs
from tui.widgets.line import BLANK, Line, fit, wrap
from tui.widgets.values import clock

if TYPE_CHECKING:
    from tui.screens.session import Session

BANNER_LINES = 4


class Frame:
    """Paints a session; what did not change since the last picture is taken from it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._tabs: list[tuple[int, int, str]] = []
        self._keys: list[tuple[int, int, str]] = []
        self._body_top = 0
        self._fitted: dict[int, tuple[Line, int, Line]] = {}
        self._made: dict[str, tuple[Any, Any]] = {}

    def lines(self, width: int, height: int) -> list[Line]:
        """Exactly `height` lines of `width` columns."""
        session = self.session
        top = [session.scope.head(session.screen, session.interval_s, session.theme, width)]
        if height >= 16 and width >= 60:
            line, self._tabs = self._kept("tabs", tabs, tuple(self._tab_items()), width)
            top.append(line)
        self._body_top = len(top)
        bottom = self._bottom(width, height)
        room = max(0, height - len(top) - len(bottom))
        painter = session.overlay if session.overlay is not None and session.overlay.covers else session.screen
        body = painter.body(width, room)
        body = list(body[:room]) + [BLANK] * (room - len(body))
        return [self._whole(y, line, width) for y, line in enumerate((top + body + bottom)[:height])]

    def _whole(self, y: int, line: Line, width: int) -> Line:
        """The line in exactly `width` columns; the same one as last time costs nothing."""
        kept = self._fitted.get(y)
        if kept is not None and kept[0] is line and kept[1] == width:
            return kept[2]
        whole = fit(line, width)
        self._fitted[y] = (line, width, whole)
        return whole

    def _kept(self, name: str, make: Callable[[Any, int], Any], given: Any, width: int) -> Any:
        """What `make` gave for the same input last time."""
        kept = self._made.get(name)
        if kept is None or kept[0] != (given, width):
            kept = self._made[name] = ((given, width), make(given, width))
        return kept[1]

    def _bottom(self, width: int, height: int) -> list[Line]:
        session = self.session
        out = self._banners(width, height) if height > 3 else []
        if session.message and height > 3:
            text = wrap(session.message, width - 2)
            out += [((f" {line}", "title"),) for line in text[:2]]
        if session.overlay is not None and not session.overlay.covers:
            return [*out, session.overlay.line(width)]
        if height >= 8:
            keys = session.overlay.keys if session.overlay is not None else self._footer_keys()
            line, self._keys = self._kept("footer", footer, tuple(keys), width)
            out.append(line)
        else:
            self._keys = []
        return out

    def _footer_keys(self) -> tuple[Key, ...]:
        """The screen's keys; on the first screen of a node that was opened, esc leads back to the cluster."""
        session = self.session
        keys = keys_of(session.screen.name)
        if len(session.scopes) > 1 and session.screen.name == session.scope.home:
            return tuple(key._replace(worth=9) if key.action == "back" else key for key in keys)
        return keys

    def _banners(self, width: int, height: int) -> list[Line]:
        session = self.session
        out: list[Line] = []
        if session.store.paused is not None:
            out.append(
                fit([(f" paused at {clock(session.store.time)}, still collecting: Z goes on ", "banner")], width)
            )
        for text in session.scope.banners(session.theme):
            out += [fit([(f" {line} ", "banner")], width) for line in wrap(text, width - 2)[:2]]
        return out[: BANNER_LINES if height >= 16 else 2]

    def _tab_items(self) -> list[Tab]:
        scope = self.session.scope
        current = scope.stack[0].name
        return [Tab(e.digit, e.title, scope.count(e.name), e.name == current) for e in scope.entries]

    def click(self, x: int, y: int, double: bool) -> None:
        """A click: a key of the footer, a tab, or something of the screen."""
        session = self.session
        if y == session.height - 1:
            for start, end, key in self._keys:
                if start <= x < end:
                    session.press(key)
        elif y == 1 and self._body_top == 2:
            for start, end, digit in self._tabs:
                if start <= x < end:
                    session.go_digit(digit)
        elif y >= self._body_top:
            session.screen.click(x, y - self._body_top, double)
