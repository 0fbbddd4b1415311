"""The terminal's side: Textual owns it, reads keys and mouse and lays out one canvas; the session paints.

The source's task, the keys and the sizes meet here, and nowhere else. A frame is compared with the one on the screen
and only the columns that differ are written. That goes past Textual's compositor, which repaints whole lines, through
eight messages and a timer.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

from diagnostics.errors import EXIT_UNREACHABLE, UserError
from tui.screens.session import Session
from tui.theme import Look
from tui.widgets.ansi import difference
from tui.widgets.driver import LeanDriver
from tui.widgets.line import Line

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT)
SYNC_FROM = 400
"""Bytes from which a frame is wrapped into a synchronized update, where the terminal knows that."""
CLOSE_S = 2.0
"""A source that hangs does not keep the terminal."""
COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")


class Page(Screen[None], inherit_bindings=False):
    """The one Textual screen."""

    def on_key(self, event: events.Key) -> None:
        character = event.character
        key = character if character is not None and len(character) == 1 and character.isprintable() else event.key
        event.stop()
        event.prevent_default()
        self.app.press("space" if key == " " else key)  # type: ignore[attr-defined]

    def on_paste(self, event: events.Paste) -> None:
        self.app.paste(event.text)  # type: ignore[attr-defined]


class Canvas(Widget):
    """All lines of the terminal."""

    DEFAULT_CSS = "Canvas { width: 100%; height: 100%; }"

    def render_lines(self, crop: Region) -> list[Strip]:
        strips = self.app.strips(crop.y, crop.bottom)  # type: ignore[attr-defined]
        if crop.x == 0 and crop.width == self.size.width:
            return strips  # type: ignore[no-any-return]
        return [strip.crop(crop.x, crop.right) for strip in strips]

    def on_resize(self, event: events.Resize) -> None:
        self.app.resize(event.size.width, event.size.height)  # type: ignore[attr-defined]

    def on_click(self, event: events.Click) -> None:
        self.app.click(event.x, event.y, event.chain > 1)  # type: ignore[attr-defined]

    def on_mouse_scroll_down(self, _event: events.MouseScrollDown) -> None:
        self.app.scroll(3)  # type: ignore[attr-defined]

    def on_mouse_scroll_up(self, _event: events.MouseScrollUp) -> None:
        self.app.scroll(-3)  # type: ignore[attr-defined]


class Shell(App[int], inherit_bindings=False):
    ENABLE_COMMAND_PALETTE = False
    CSS = "Page { overflow: hidden; }"

    def __init__(self, session: Session) -> None:
        super().__init__(driver_class=LeanDriver, ansi_color=True)
        self.animation_level = "none"
        self.session = session
        self.shown: list[Line] = []
        """What is on the terminal."""
        self._styles_of: dict[Look, Style] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        session.spawn = self._spawn
        session.changed = self.repaint
        session.copy = self.copy_to_clipboard

    def get_default_screen(self) -> Screen[Any]:
        return Page()

    def compose(self) -> ComposeResult:
        self._canvas = Canvas()
        yield self._canvas

    def on_mount(self) -> None:
        loop = asyncio.get_running_loop()
        for number in SIGNALS if not self.is_headless else ():
            loop.add_signal_handler(number, self.exit, 128 + number)
        self.session.start(self.session.scope)

    async def on_unmount(self) -> None:
        for task in self._tasks:
            task.cancel()
        with suppress(asyncio.TimeoutError, UserError, OSError):
            await asyncio.wait_for(self._close(), CLOSE_S)

    async def _close(self) -> None:
        for scope in reversed(self.session.scopes):
            await scope.source.close()

    # the source's side

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> object:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # the terminal's side

    def press(self, key: str) -> None:
        self.session.press(key)
        self._after()

    def paste(self, text: str) -> None:
        self.session.paste(text)
        self._after()

    def click(self, x: int, y: int, double: bool) -> None:
        self.session.click(x, y, double)
        self._after()

    def scroll(self, by: int) -> None:
        self.session.scroll(by)
        self._after()

    def _after(self) -> None:
        if self.session.exit_code is not None:
            self.exit(self.session.exit_code)
        else:
            self.repaint()

    def resize(self, width: int, height: int) -> None:
        self.session.resize(width, height)
        self.shown = self.session.lines()
        self._canvas.refresh()

    def repaint(self) -> None:
        """Writes what changed; a terminal that does not keep up gets the newest picture later."""
        driver = self._driver
        if not self.shown or driver is None or (isinstance(driver, LeanDriver) and driver.is_slow):
            return
        lines = self.session.lines()
        if len(lines) != len(self.shown):
            return
        old, self.shown = self.shown, lines
        if self.is_headless or not self._running:
            return
        text = difference(old, lines, self.session.theme)
        if not text:
            return
        synchronized = len(text) > SYNC_FROM
        if synchronized:
            self._begin_update()
        driver.write(text)
        if synchronized:
            self._end_update()
        driver.flush()

    def strips(self, top: int, bottom: int) -> list[Strip]:
        """Lines of the picture for Textual's own full repaints."""
        return [self._strip(self.shown[y]) if y < len(self.shown) else Strip([]) for y in range(top, bottom)]

    def _strip(self, line: Line) -> Strip:
        look = self.session.theme.look
        return Strip([Segment(text, self._style(look(role))) for text, role in line])

    def _style(self, look: Look) -> Style:
        style = self._styles_of.get(look)
        if style is None:
            colour = None if look.colour is None else COLOURS[look.colour]
            on = {name: True for name in ("bold", "dim", "reverse", "underline") if getattr(look, name)}
            style = self._styles_of[look] = Style(color=colour, **on)  # type: ignore[arg-type]
        return style


def run_shell(session: Session) -> int:
    """Runs until a key or a signal ends it; the exit code. The terminal is as before afterwards."""
    os.environ.pop("NO_COLOR", None)  # the theme has honoured it; Textual's filter would cost a pass over each line
    shell = Shell(session)
    code = shell.run()
    return EXIT_UNREACHABLE if code is None else code
