"""A line of text being typed, and a form of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tui.widgets.line import Line, Span, clean, fit, pad


class Edit:
    """One line of text with a cursor."""

    def __init__(self, text: str = "") -> None:
        self.text = text
        self.at = len(text)

    def press(self, key: str) -> bool:
        """Handles a key; false if it is none of an editor's."""
        text, at = self.text, self.at
        if key == "space":
            key = " "
        if len(key) == 1 and key.isprintable():
            self.text, self.at = text[:at] + key + text[at:], at + 1
        elif key in ("backspace", "ctrl+h"):
            self.text, self.at = text[: max(0, at - 1)] + text[at:], max(0, at - 1)
        elif key == "delete":
            self.text = text[:at] + text[at + 1 :]
        elif key == "left":
            self.at = max(0, at - 1)
        elif key == "right":
            self.at = min(len(text), at + 1)
        elif key in ("home", "ctrl+a"):
            self.at = 0
        elif key in ("end", "ctrl+e"):
            self.at = len(text)
        elif key == "ctrl+u":
            self.text, self.at = text[at:], 0
        elif key == "ctrl+w":
            start = len(text[:at].rstrip().rpartition(" ")[0])
            self.text, self.at = text[:start] + text[at:], start
        else:
            return False
        return True

    def insert(self, text: str) -> None:
        for ch in clean(text.replace("\n", " ")):
            self.press(ch)

    def spans(self) -> list[Span]:
        text = self.text + " "
        return [(text[: self.at], ""), (text[self.at], "cursor"), (text[self.at + 1 :], "")]


class Field(NamedTuple):
    """A field of a form: typed freely, or one of `choices` by left and right."""

    key: str
    label: str
    default: str
    hint: str
    choices: tuple[str, ...] = ()


class Form:
    """Labelled fields, one above the other; up, down and tab move, enter sends."""

    def __init__(self, title: str, fields: Sequence[Field]) -> None:
        self.title = title
        self.fields = tuple(fields)
        self.edits = {f.key: Edit(f.default) for f in fields}
        self.current = 0
        self.error = ""

    @property
    def values(self) -> dict[str, str]:
        return {key: edit.text.strip() for key, edit in self.edits.items()}

    def press(self, key: str) -> str | None:
        """`send` or `cancel` when it is done."""
        field = self.fields[self.current]
        edit = self.edits[field.key]
        if key == "enter":
            return "send"
        if key == "escape":
            return "cancel"
        if key in ("down", "tab"):
            self.current = (self.current + 1) % len(self.fields)
        elif key in ("up", "shift+tab"):
            self.current = (self.current - 1) % len(self.fields)
        elif field.choices:
            if key in ("left", "right", "space"):
                index = field.choices.index(edit.text) if edit.text in field.choices else 0
                edit.text = field.choices[(index + (-1 if key == "left" else 1)) % len(field.choices)]
            else:
                found = [c for c in field.choices if c.startswith(key)]
                edit.text = found[0] if found else edit.text
        else:
            edit.press(key)
        return None

    def lines(self, width: int, left: str, right: str) -> list[Line]:
        out: list[Line] = [((f" {self.title}", "title"),), ()]
        size = max(len(f.label) for f in self.fields)
        for index, field in enumerate(self.fields):
            here = index == self.current
            edit = self.edits[field.key]
            value: list[Span]
            if field.choices:
                value = [(f"{left} {edit.text} {right}" if here else f"  {edit.text}  ", "title" if here else "")]
            else:
                value = [("  ", ""), *edit.spans()] if here else [(f"  {edit.text}", "")]
            spans: list[Span] = [
                (f" {'>' if here else ' '} {pad(field.label, size)} ", "title" if here else "dim"),
                *value,
            ]
            used = sum(len(t) for t, _ in spans)
            spans.append((" " * max(2, 36 - used) + field.hint, "dim"))
            out.append(fit(spans, width))
        out.append(())
        if self.error:
            out.append(fit([(f"   {self.error}", "failed")], width))
        out.append(
            fit(
                [
                    ("   ", ""),
                    ("enter", "key"),
                    (" start  ", "dim"),
                    ("tab", "key"),
                    (" next field  ", "dim"),
                    ("esc", "key"),
                    (" leave", "dim"),
                ],
                width,
            )
        )
        return out
