"""What lies over a screen until it is answered: a text to read, a line to type, a form to fill."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tui.keys import Key
from tui.widgets.edit import Edit, Form
from tui.widgets.line import BLANK, Line, fit

if TYPE_CHECKING:
    from tui.screens.session import Session

PAGER_KEYS = (
    Key("back", ("escape",), "esc", "back", "", worth=9),
    Key("down", ("j",), "j k", "scroll", "", worth=8),
    Key("page_down", ("space",), "space", "page", "", worth=7),
)
FORM_KEYS = (
    Key("send", ("enter",), "enter", "start", "", worth=9),
    Key("next", ("tab",), "tab", "next field", "", worth=8),
    Key("back", ("escape",), "esc", "leave", "", worth=9),
)


class Overlay:
    covers = True
    """Takes the body's place; otherwise only the last line."""
    keys: Sequence[Key] = ()

    def __init__(self, session: Session) -> None:
        self.session = session

    def close(self) -> None:
        self.session.overlay = None

    def press(self, key: str) -> None:
        raise NotImplementedError

    def body(self, _width: int, _height: int) -> list[Line]:
        return []

    def line(self, _width: int) -> Line:
        return BLANK

    def scroll(self, by: int) -> None:
        """The mouse wheel."""


class Pager(Overlay):
    """A text to read."""

    keys = PAGER_KEYS

    def __init__(self, session: Session, title: str, text: Callable[[int], list[Line]]) -> None:
        super().__init__(session)
        self.title = title
        self.text = text
        self.top = 0
        self._height, self._length = 1, 1

    def body(self, width: int, height: int) -> list[Line]:
        lines = self.text(width)
        self._height, self._length = height, len(lines)
        self.top = max(0, min(self.top, len(lines) - height))
        return lines[self.top : self.top + height]

    def press(self, key: str) -> None:
        steps = {
            "down": 1,
            "j": 1,
            "up": -1,
            "k": -1,
            "pagedown": self._height,
            "space": self._height,
            " ": self._height,
            "pageup": -self._height,
            "home": -(1 << 30),
            "g": -(1 << 30),
            "end": 1 << 30,
            "G": 1 << 30,
        }
        if key in ("escape", "q", "?", "e", "enter"):
            self.close()
        elif key in steps:
            self.scroll(steps[key])

    def scroll(self, by: int) -> None:
        self.top = max(0, min(self._length - self._height, self.top + by))


class Prompt(Overlay):
    """A line to type at the foot; tab completes."""

    covers = False

    def __init__(
        self,
        session: Session,
        sign: str,
        text: str,
        changed: Callable[[str], None],
        done: Callable[..., None],
        complete: Callable[[str], list[str]] | None = None,
    ) -> None:
        """`done` gets the text, or None where it was given up; `complete` gives the whole texts it may become."""
        super().__init__(session)
        self.sign, self.changed, self.done, self.complete = sign, changed, done, complete
        self.edit = Edit(text)

    def press(self, key: str) -> None:
        if key == "enter":
            self.close()
            self.done(self.edit.text)
        elif key == "escape" or (key == "backspace" and not self.edit.text):
            self.close()
            self.done("" if self.complete else None)
        elif key == "tab" and self.complete:
            self._complete(self.complete(self.edit.text))
        elif self.edit.press(key):
            self.changed(self.edit.text)

    def _complete(self, found: list[str]) -> None:
        if found:
            common = found[0]
            while not all(w.startswith(common) for w in found):
                common = common[:-1]
            self.edit = Edit(common)
            self.changed(common)

    def insert(self, text: str) -> None:
        self.edit.insert(text)
        self.changed(self.edit.text)

    def line(self, width: int) -> Line:
        spans = [(f" {self.sign}", "key"), *self.edit.spans()]
        if self.complete:
            spans.append(("  " + "  ".join(word.rpartition(" ")[2] for word in self.complete(self.edit.text)), "dim"))
        return fit(spans, width)


class FormOverlay(Overlay):
    """A form; `send` returns what is wrong with the values, or None."""

    keys = FORM_KEYS

    def __init__(self, session: Session, form: Form, send: Callable[[dict[str, str]], str | None]) -> None:
        super().__init__(session)
        self.form, self.send = form, send

    def press(self, key: str) -> None:
        answer = self.form.press(key)
        if answer == "cancel":
            self.close()
        elif answer == "send":
            error = self.send(self.form.values)
            if error is None:
                self.close()
            else:
                self.form.error = error

    def insert(self, text: str) -> None:
        field = self.form.fields[self.form.current]
        if not field.choices:
            self.form.edits[field.key].insert(text)

    def body(self, width: int, _height: int) -> list[Line]:
        arrow = self.session.theme.glyphs.arrow
        return [BLANK, *self.form.lines(width, "<" if arrow == ">" else "‹", arrow)]
