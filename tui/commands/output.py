"""Where a command writes: data on stdout alone, talk on stderr, and what the terminal can show."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from diagnostics.errors import UserError
from diagnostics.model import Problem
from diagnostics.report import Look


def write(data: bytes | str) -> None:
    """Data to stdout, at once. Raises BrokenPipeError where the reader has left, UserError where the disk is full."""
    if isinstance(data, str):
        data = data.encode(sys.stdout.encoding or "utf-8", "replace")
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(
            f"cannot write the output: {error.strerror}", "free some space, or write elsewhere", 3
        ) from error


class ReaderLeft(Exception):
    """Whoever read stdout has left when the answer, and so the exit code, was already known."""

    def __init__(self, code: int) -> None:
        self.code = code


@contextmanager
def answering(code: int) -> Iterator[None]:
    """Around the writing of an answer that ends with `code`: `| head` takes lines away, not the verdict."""
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderLeft(code) from error


def say(text: str) -> None:
    """A line for the person at the terminal; a closed stderr is no reason to fail."""
    try:
        sys.stderr.write(text.encode(sys.stderr.encoding or "utf-8", "replace").decode(sys.stderr.encoding or "utf-8"))
        sys.stderr.write("\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        return


def say_error(error: UserError, prog: str) -> None:
    message = error.message if error.message.startswith(prog) else f"{prog}: {error.message}"
    say(message if not error.hint else f"{message}\n  {error.hint}")


def say_problems(problems: Iterable[Problem]) -> None:
    for problem in problems:
        say(problem_text(problem))


def problem_text(problem: Problem) -> str:
    hint = f"\n  {problem.hint}" if problem.hint else ""
    return f"{problem.source}: {problem.message}{hint}"


def look(headers: bool = True, cut: bool = False) -> Look:
    """What stdout can show."""
    terminal = sys.stdout is not None and sys.stdout.isatty()
    return Look(
        colour=wants_colour(os.environ, terminal),
        ascii=is_ascii(os.environ, sys.stdout.encoding),
        width=terminal_size()[0] if terminal else None,
        headers=headers,
        cut=cut,
    )


def wants_colour(environment: Mapping[str, str], terminal: bool) -> bool:
    """https://no-color.org and https://force-color.org; a dumb terminal has none."""
    if environment.get("NO_COLOR"):
        return False
    if environment.get("FORCE_COLOR", "0") != "0":
        return True
    return terminal and environment.get("TERM", "dumb") != "dumb"


def is_ascii(environment: Mapping[str, str], encoding: str | None) -> bool:
    """Whether glyphs outside ASCII would come out as rubbish.

    Python turns the C locale into UTF-8 for itself (PEP 538 sets LC_CTYPE), whatever the terminal shows: so a locale
    that names something else than UTF-8 counts, and so does `LANG=C`, but no locale at all (a container) does not.
    """
    if "utf" not in (encoding or "").lower():
        return True
    locale = environment.get("LC_ALL") or environment.get("LC_CTYPE") or environment.get("LANG") or ""
    if locale == "C.UTF-8" and not environment.get("LC_ALL"):
        locale = environment.get("LANG") or locale
    return bool(locale) and "utf" not in locale.lower()


def terminal_size() -> tuple[int | None, int | None]:
    """Columns and lines of the terminal on stdout, None where it does not say."""
    try:
        columns, lines = os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):
        columns = lines = 0
    named = os.environ.get("COLUMNS", "")
    return int(named) if named.isdecimal() and int(named) else columns or None, lines or None


def can_repaint() -> bool:
    return sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


class Frame:
    """Paints a block of lines over the one before; the last stays on the screen when the command ends."""

    def __init__(self) -> None:
        self._lines = 0

    def paint(self, text: str) -> None:
        lines = text.splitlines()
        room = terminal_size()[1]
        if room is not None and len(lines) >= room:
            hidden = len(lines) - (room - 2)
            lines = [*lines[: max(1, room - 2)], f"({hidden} more: a taller terminal shows them)"]
        up = f"\x1b[{self._lines}A" if self._lines else ""
        write(up + "".join(f"\r{line}\x1b[K\n" for line in lines) + "\x1b[J")
        self._lines = len(lines)


def stderr_is_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def talk_in_place(text: str) -> None:
    """Replaces the last line of talk; an empty text takes it away."""
    try:
        sys.stderr.write(f"\r{text}\x1b[K")
        sys.stderr.flush()
    except (OSError, ValueError):
        return
