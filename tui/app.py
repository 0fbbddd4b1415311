"""`rdmatop` on a terminal: chooses the source, paints the first frame at once, then lets Textual take over.

Textual takes 120 ms to import, twenty times that in an emulated machine. The first frame, and on this host the first
reading too, are painted before it, by the same painters.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, Any

from tui.screens.session import Session
from tui.sources.base import NoFleetYet, NotYet
from tui.sources.once import Where, where
from tui.theme import choose_theme
from tui.widgets.ansi import ENTER, LEAVE, picture

if TYPE_CHECKING:
    from tui.options import Options

ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT)


def run(options: Options) -> int:
    """Runs the screens until they are left; the exit code. Raises UserError for a source that nobody can mean."""
    before = {number: signal.signal(number, _end) for number in ENDING}
    try:
        _write(ENTER)
        place = where(options)
        session = Session(stand_in(options, place), choose_theme(os.environ), options.interval_s)
        _paint(session)
        from tui.sources.choose import choose

        source = choose(options, place)
        session.take_source(source)
        session.namespace = options.namespace
        session.places.other_cluster = lambda name: choose(
            options._replace(context=name, node=None, selector=None), "cluster"
        )
        _first_reading(session, source)
        from tui.widgets.shell import run_shell

        return run_shell(session)
    except _Ended as ended:
        return ended.code
    finally:
        _write(LEAVE)
        for number, handler in before.items():
            signal.signal(number, handler)


def stand_in(options: Options, place: Where) -> NotYet:
    """What the first frame waits for, before anybody was asked."""
    if place in ("cluster", "perhaps"):
        return NoFleetYet(f"cluster {options.context}" if options.context else "cluster")
    return NotYet(label_of(options))


def label_of(options: Options) -> str:
    if options.local:
        return "this host" if options.root == "/" else f"capture {options.root}"
    return (
        f"agent {options.agent}" if options.agent else f"agent at {options.socket}" if options.socket else "this host"
    )


class _Ended(BaseException):
    """A signal came before Textual was there to handle it."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def _end(number: int, _frame: FrameType | None) -> None:
    raise _Ended(128 + number)


def _first_reading(session: Session, source: Any) -> None:
    """What the source can say at once, on the screen while Textual is imported."""
    first = getattr(source, "first", None)
    if first is not None:
        session.apply(first())
        _paint(session)


def _paint(session: Session) -> None:
    try:
        size = os.get_terminal_size(1)
    except OSError:
        return
    session.resize(size.columns, size.lines)
    _write(picture(session.lines(), session.theme, size.columns))


def _write(text: str) -> None:
    data = text.encode("utf-8", "replace")
    try:
        sys.stdout.flush()
        os.write(1, data)
    except OSError:
        pass  # the terminal is gone; the signal that says so follows
