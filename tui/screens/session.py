"""One sitting at the terminal, without a terminal: screens, overlays, keys in, lines out.

The shell (tui/shell of Textual) feeds keys, clicks, sizes and source items, and paints what `lines` gives. Everything
that waits for a source goes through `spawn`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from diagnostics.errors import EXIT_INTERRUPTED, EXIT_OK, UserError
from diagnostics.model import Finding, NodeSnapshot
from tui.keys import action_of, commands, keys_of, step_interval
from tui.screens.base import ListScreen, Screen
from tui.screens.fabric import Fabric
from tui.screens.overlays import FormOverlay, Overlay, Pager, Prompt
from tui.sources.base import Outage, Source
from tui.store import Identity, Store
from tui.theme import Theme
from tui.widgets.chrome import Tab, footer, head, tabs
from tui.widgets.line import BLANK, Line, fit, plain, wrap
from tui.widgets.listing import Listing
from tui.widgets.values import clock


class Entry(NamedTuple):
    """A screen that a digit opens; made when it is first looked at."""

    digit: str
    name: str
    title: str
    module: str
    made: str
    """The class in `module`."""
    what: str


SCREENS = (
    Entry(
        "1", "fabric", "Fabric", "tui.screens.fabric", "Fabric", "ports, rates, errors, congestion, the worst findings"
    ),
    Entry(
        "2",
        "findings",
        "Findings",
        "tui.screens.findings",
        "Findings",
        "what is wrong, worst first, causes before consequences",
    ),
    Entry("5", "processes", "Processes", "tui.screens.processes", "Processes", "who holds queue pairs"),
    Entry("6", "benchmarks", "Benchmarks", "tui.screens.benchmarks", "Benchmarks", "measure, watch, compare"),
    Entry("7", "events", "Events", "tui.screens.events", "Events", "what began, changed and ended"),
)


class Session:
    def __init__(
        self,
        source: Source,
        theme: Theme,
        interval_s: float = 1.0,
        spawn: Callable[[Coroutine[Any, Any, None]], object] | None = None,
    ) -> None:
        self.source = source
        self.theme = theme
        self.interval_s = interval_s
        self.store = Store(source.label)
        self.spawn = spawn or _close
        self.changed: Callable[[], None] = lambda: None
        """The shell's wish to be told that something changed outside of a key."""
        self.copy: Callable[[str], None] = lambda _text: None
        self.write_file: Callable[[str, str], None] = _write
        self.exit_code: int | None = None
        self.width, self.height = 80, 24
        self.overlay: Overlay | None = None
        self.message = ""
        self._screens: dict[str, Screen] = {"fabric": Fabric(self)}
        self.stack: list[Screen] = [self._screens["fabric"]]
        self._tabs: list[tuple[int, int, str]] = []
        self._keys: list[tuple[int, int, str]] = []
        self._body_top = 0
        self._fitted: dict[int, tuple[Line, int, Line]] = {}
        self._made: dict[str, tuple[Any, Any]] = {}
        self.screen.entered()

    def take_source(self, source: Source) -> None:
        """The source that was waited for."""
        self.source = source
        self.store.label = source.label
        self.screen.entered()

    # what comes in

    @property
    def screen(self) -> Screen:
        return self.stack[-1]

    def apply(self, item: NodeSnapshot | Outage) -> bool:
        """Takes what the source gave; true if the picture may have changed."""
        if isinstance(item, NodeSnapshot) and item.interval_s is not None:
            self.interval_s = item.interval_s
        changed = self.store.apply(item)
        if changed:
            self.screen.updated()
        return changed

    def press(self, key: str) -> None:
        """A key: its character, or its name where it has none."""
        self.message = ""
        if key == "ctrl+c":
            self.do_interrupt()
        elif self.overlay is not None:
            self.overlay.press(key)
        else:
            action = action_of(self.screen.name, key)
            if action is not None:
                self.act(action)
            elif len(key) == 1 and key.isdigit():
                self.go_digit(key)
            elif len(key) == 1 and key.isupper() and isinstance(self.screen, ListScreen):
                self.screen.sort_letter(key)

    def paste(self, text: str) -> None:
        if isinstance(self.overlay, (Prompt, FormOverlay)):
            self.overlay.insert(text)

    def act(self, action: str) -> None:
        """Does what a key, a click or a command asks: the screen's own, else the session's."""
        if action.startswith("go_"):
            self.go(action[3:])
            return
        method = getattr(self.screen, f"do_{action}", None) or getattr(self, f"do_{action}", None)
        if method is not None:
            method()

    def click(self, x: int, y: int, double: bool = False) -> None:
        if self.overlay is not None:
            return
        if y == self.height - 1:
            for start, end, key in self._keys:
                if start <= x < end:
                    self.press(key)
        elif y == 1 and self._body_top == 2:
            for start, end, digit in self._tabs:
                if start <= x < end:
                    self.go_digit(digit)
        elif y >= self._body_top:
            self.screen.click(x, y - self._body_top, double)

    def scroll(self, by: int) -> None:
        (self.overlay or self.screen).scroll(by)

    # where to

    def _get(self, name: str) -> Screen | None:
        if name not in self._screens:
            entry = next((e for e in SCREENS if e.name == name), None)
            if entry is None:
                return None
            from importlib import import_module

            self._screens[name] = getattr(import_module(entry.module), entry.made)(self)
        return self._screens[name]

    def go(self, name: str) -> None:
        screen = self._get(name)
        if screen is not None:
            self.stack = [screen]
            screen.entered()

    def go_digit(self, digit: str) -> None:
        entry = next((e for e in SCREENS if e.digit == digit), None)
        if entry is not None:
            self.go(entry.name)

    def push(self, screen: Screen) -> None:
        self.stack.append(screen)
        screen.entered()

    def open_port(self, identity: Identity) -> None:
        from tui.screens.port import PortScreen

        self.push(PortScreen(self, identity))

    def do_back(self) -> None:
        screen = self.screen
        if isinstance(screen, ListScreen) and screen.leave():
            return
        if len(self.stack) > 1:
            self.stack.pop()
            self.screen.entered()
        elif screen.name != "fabric":
            self.go("fabric")

    # what every screen can do

    def do_quit(self) -> None:
        self.exit_code = EXIT_OK

    def do_interrupt(self) -> None:
        self.exit_code = EXIT_INTERRUPTED

    def do_pause(self) -> None:
        if self.store.paused is None:
            self.store.pause()
        else:
            self.store.resume()
            self.screen.updated()

    def do_faster(self) -> None:
        self._set_interval(-1)

    def do_slower(self) -> None:
        self._set_interval(1)

    def _set_interval(self, by: int) -> None:
        wanted = step_interval(self.interval_s, by)
        try:
            self.source.set_interval(wanted)
        except UserError as error:
            self.notice(error.message)
            return
        self.interval_s = wanted

    def do_check(self) -> None:
        check = getattr(self.source, "check", None)
        if check is None:
            self.notice("findings are judged at each reading; this one is the newest")
        else:
            self.ask(check(), lambda _: self.notice("judged now"))

    def do_copy(self) -> None:
        command = self.screen.command
        if command:
            self.copy(command)
            self.notice(f"copied: {command}")

    def do_save(self) -> None:
        name = f"rdmatop-{self.screen.name}-{clock(self.store.time).replace(':', '')}.txt"
        text = "\n".join(plain(line).rstrip() for line in self.lines()) + "\n"
        try:
            self.write_file(name, text)
        except OSError as error:
            self.notice(f"{name} was not written: {error.strerror}")
        else:
            self.notice(f"saved as {name}")

    def do_help(self) -> None:
        from tui.screens.help import help_lines

        self.overlay = Pager(self, "Help", lambda width: help_lines(self, width))

    def do_command(self) -> None:
        table = commands([(e.name, e.what) for e in SCREENS])
        self.overlay = Prompt(self, ":", "", lambda _text: None, self._run_command, [c.name for c in table])

    def _run_command(self, text: str) -> None:
        table = commands([(e.name, e.what) for e in SCREENS])
        word = text.strip().lower()
        found = [c for c in table if c.name == word] or [c for c in table if c.name.startswith(word)]
        if not word:
            return
        if len(found) != 1:
            names = ", ".join(c.name for c in found) or "help"
            self.notice(f"{word}: no such command; try {names}" if not found else f"{word}: which one? {names}")
            return
        self.act(found[0].action)

    def do_benchmark(self) -> None:
        from tui.screens.benchmark_form import open_form

        open_form(self)

    def ask_filter(self, listing: Listing[Any]) -> None:
        before = listing.filter

        def done(text: str | None) -> None:
            if text is None:
                listing.set_filter(before)

        self.overlay = Prompt(self, "/", before, listing.set_filter, done)

    def explain(self, check: str, finding: Finding | None = None) -> None:
        from tui.screens.help import explain_lines

        self.overlay = Pager(self, check, lambda width: explain_lines(check, finding, self.store.time, width))

    def focus(self, device: str | None, port: int | None) -> None:
        self.source.focus(device, port)

    def notice(self, text: str) -> None:
        """One line above the footer, until the next key."""
        self.message = text
        self.changed()

    def ask(self, request: Coroutine[Any, Any, Any], then: Callable[[Any], None]) -> None:
        """Awaits something of the source; what cannot be done becomes a notice."""

        async def run() -> None:
            try:
                result = await request
            except UserError as error:
                self.notice(f"{error.message}{': ' + error.hint if error.hint else ''}")
            except OSError as error:
                self.notice(str(error))
            else:
                then(result)
                self.changed()

        self.spawn(run())

    # what is seen

    def resize(self, width: int, height: int) -> None:
        self.width, self.height = max(1, width), max(1, height)

    def lines(self) -> list[Line]:
        """The whole picture: exactly `height` lines of `width` columns."""
        width, height = self.width, self.height
        top = [head(self.store, self.screen.crumb, self.interval_s, self.theme, width, self.screen.right)]
        if height >= 16 and width >= 60:
            line, self._tabs = self._kept("tabs", tabs, tuple(self._tab_items()), width)
            top.append(line)
        self._body_top = len(top)
        bottom = self._bottom(width, height)
        room = max(0, height - len(top) - len(bottom))
        if self.overlay is not None and self.overlay.covers:
            body = self.overlay.body(width, room)
        else:
            body = self.screen.body(width, room)
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
        out = self._banners(width) if height > 3 else []
        if self.message and height > 3:
            text = wrap(self.message, width - 2)
            out += [((f" {line}", "title"),) for line in text[:2]]
        if self.overlay is not None and not self.overlay.covers:
            return [*out, self.overlay.line(width)]
        if height >= 8:
            keys = self.overlay.keys if self.overlay is not None else keys_of(self.screen.name)
            line, self._keys = self._kept("footer", footer, tuple(keys), width)
            out.append(line)
        else:
            self._keys = []
        return out

    def _banners(self, width: int) -> list[Line]:
        out: list[Line] = []
        store = self.store
        if store.paused is not None:
            out.append(fit([(f" paused at {clock(store.paused)}, still collecting: Z goes on ", "banner")], width))
        if store.outage is not None and store.snapshot is not None:
            text = f"{self.theme.glyphs.warning} no data since {clock(store.outage.since)}: {store.outage.reason}"
            out += [fit([(f" {line} ", "banner")], width) for line in wrap(text, width - 2)[:2]]
        return out

    def _tab_items(self) -> list[Tab]:
        current = self.stack[0].name
        return [Tab(e.digit, e.title, self._count(e.name), e.name == current) for e in SCREENS]

    def _count(self, name: str) -> str:
        if name == "findings" and self.store.snapshot is not None:
            number = sum(not f.acknowledged for f in self.store.snapshot.findings)
            return str(number) if number else ""
        return ""


def _write(name: str, text: str) -> None:
    with open(name, "x", encoding="utf-8") as file:
        file.write(text)


def _close(coroutine: Coroutine[Any, Any, None]) -> None:
    coroutine.close()
