"""Plays a script into a session, without a terminal."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable
from typing import Any

from tests.frames.scripted import START, Scripted
from tui.screens.session import Session
from tui.theme import Theme
from tui.widgets.line import plain

os.environ["TZ"] = "UTC"
time.tzset()


async def played(
    items: Iterable[Any],
    keys: Iterable[str] = (),
    size: tuple[int, int] = (80, 24),
    theme: Theme | None = None,
    source: Any = None,
) -> Session:
    """A session that has seen `items` and then `keys`; of one node, unless `source` is a cluster."""
    session = Session(source or Scripted(), theme or Theme(), spawn=asyncio.ensure_future)
    if session.cluster is not None:
        session.store.clock = lambda: START
    session.resize(*size)
    for item in items:
        session.apply(item)
    session.lines()
    for key in keys:
        await press(session, key)
    return session


async def press(session: Session, *keys: str) -> None:
    """Presses keys and lets what they ask for happen."""
    for key in keys:
        session.press(key)
        session.lines()
        for _ in range(4):
            await asyncio.sleep(0)


def text(session: Session) -> str:
    """The frame as lines without trailing blanks."""
    return "".join(plain(line).rstrip() + "\n" for line in session.lines())
