"""One sitting at the terminal, without a terminal: screens, overlays, keys in, lines out.

The shell (tui/shell of Textual) feeds keys, clicks, sizes and source items, and paints what `lines` gives. Everything
that waits for a source goes through `spawn`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from diagnostics.errors import EXIT_INTERRUPTED, EXIT_OK, UserError
from diagnostics.model import Finding, NodeSnapshot
from diagnostics.timing import now
from tui.keys import action_of, step_interval
from tui.screens.base import ListScreen, Screen
from tui.screens.frame import Frame
from tui.screens.overlays import FormOverlay, Overlay, Pager, Prompt
from tui.screens.places import Places
from tui.screens.scope import FleetScope, HostScope, Scope
from tui.sources.base import Outage
from tui.store import Identity
from tui.theme import Theme
from tui.widgets.line import Line, plain
from tui.widgets.listing import Listing
from tui.widgets.values import clock


class Session:
    def __init__(
        self,
        source: Any,
        theme: Theme,
        interval_s: float = 1.0,
        spawn: Callable[[Coroutine[Any, Any, None]], object] | None = None,
    ) -> None:
        """`source` is one node's (tui.sources.base.Source), or a cluster's: one that has `fleet`."""
        self.theme = theme
        self.interval_s = interval_s
        self.spawn = spawn or _close
        self.changed: Callable[[], None] = lambda: None
        """The shell's wish to be told that something changed outside of a key."""
        self.copy: Callable[[str], None] = lambda _text: None
        self.write_file: Callable[[str, str], None] = _write
        self.exit_code: int | None = None
        self.width, self.height = 80, 24
        self.overlay: Overlay | None = None
        self.message = ""
        self.namespace: str | None = None
        """What belongs to pods is narrowed to it; None: all."""
        self.frame = Frame(self)
        self.places: Places = Places(self)
        self._top: Screen | None = None
        self.take_source(source)

    def take_source(self, source: Any) -> None:
        """The source to begin with; one that was waited for takes the place of its stand-in."""
        self.scopes: list[Scope] = [FleetScope(self, source) if hasattr(source, "fleet") else HostScope(self, source)]
        self.begin(self.scope)

    def change_cluster(self, source: Any) -> None:
        """Another cluster takes the place of everything."""
        for scope in reversed(self.scopes):
            self._end(scope)
        self.namespace = None
        self.take_source(source)
        self.start(self.scope)
        self.changed()

    def begin(self, scope: Scope) -> None:
        """Its first screen is looked at."""
        home = scope.get(scope.home)
        assert home is not None
        scope.stack = [home]
        self.enter()

    def start(self, scope: Scope) -> None:
        """Its source is followed from now on."""
        scope.task = self.spawn(self.follow(scope))

    def _end(self, scope: Scope) -> None:
        for screen in scope.stack[-1:]:
            screen.left()
        for task in (scope.task, getattr(scope, "operator_task", None)):
            if task is not None:
                task.cancel()
        self.spawn(scope.source.close())

    # what comes in

    @property
    def cluster(self) -> FleetScope | None:
        first = self.scopes[0]
        return first if isinstance(first, FleetScope) else None

    @property
    def scope(self) -> Scope:
        return self.scopes[-1]

    @property
    def screen(self) -> Screen:
        return self.scope.stack[-1]

    @property
    def source(self) -> Any:
        """Of what is looked at: the node's that is open, else the cluster's."""
        return self.scope.source

    @property
    def store(self) -> Any:
        return self.scope.store

    def apply(self, item: Any) -> bool:
        """Takes what the source gave; true if the picture may have changed."""
        return self.take(self.scope, item)

    def take(self, scope: Scope, item: Any) -> bool:
        """The same of a source whose screens need not be the ones that are looked at."""
        if isinstance(item, NodeSnapshot) and item.interval_s is not None:
            self.interval_s = item.interval_s
        changed: bool = scope.store.apply(item)
        scope.taken()
        if changed and scope is self.scope:
            self.screen.updated()
        return changed and scope is self.scope

    async def follow(self, scope: Scope) -> None:
        """Source to store to picture; a source that fails is an outage, never the end of the screen."""
        import asyncio  # 60 ms: not before the first frame

        try:
            async for item in scope.items():
                if self.take(scope, item):
                    self.changed()
                if scope.pace_s:
                    await asyncio.sleep(scope.pace_s)
        except UserError as error:
            self._lose(scope, error.message, error.hint)
        except OSError as error:
            self._lose(scope, str(error), "")

    def _lose(self, scope: Scope, reason: str, hint: str) -> None:
        if self.take(scope, Outage(reason, now(), hint)):
            self.changed()

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
        if self.overlay is None:
            self.frame.click(x, y, double)

    def scroll(self, by: int) -> None:
        (self.overlay or self.screen).scroll(by)

    # where to

    def enter(self) -> None:
        """Tells the screens which of them is looked at now."""
        if self._top is not None and self._top is not self.screen:
            self._top.left()
        self._top = self.screen
        self.screen.entered()

    def go(self, name: str) -> None:
        screen = self.scope.get(name)
        if screen is not None:
            self.scope.stack = [screen]
            self.enter()

    def go_digit(self, digit: str) -> None:
        entry = next((e for e in self.scope.entries if e.digit == digit), None)
        if entry is not None:
            self.go(entry.name)

    def push(self, screen: Screen) -> None:
        self.scope.stack.append(screen)
        self.enter()

    def open_port(self, identity: Identity) -> None:
        from tui.screens.port import PortScreen

        self.push(PortScreen(self, identity))

    def do_back(self) -> None:
        screen = self.screen
        if isinstance(screen, ListScreen) and screen.leave():
            return
        if len(self.scope.stack) > 1:
            self.scope.stack.pop()
            self.enter()
        elif screen.name != self.scope.home:
            self.go(self.scope.home)
        elif len(self.scopes) > 1:
            self.leave_node()

    def open_node(self, name: str) -> HostScope | None:
        """The screens of one node, over those of the cluster."""
        if self.cluster is None:
            return None
        scope = HostScope(self, self.cluster.source.node(name), self.cluster.name)
        self.scopes.append(scope)
        self.begin(scope)
        self.start(scope)
        return scope

    def leave_node(self) -> None:
        """Back to the cluster's screens."""
        if len(self.scopes) > 1:
            self._end(self.scopes.pop())
            self.interval_s = getattr(self.source, "interval_s", self.interval_s)
            self.enter()

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
        from tui.screens.commands import prompt

        self.overlay = prompt(self)

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
        return self.frame.lines(self.width, self.height)


def _write(name: str, text: str) -> None:
    with open(name, "x", encoding="utf-8") as file:
        file.write(text)


def _close(coroutine: Coroutine[Any, Any, None]) -> None:
    coroutine.close()
