"""The agent's log: lines for people or JSON for machines, on stderr, and never a flood."""

from __future__ import annotations

import logging
import sys
import time

import msgspec

from diagnostics.timing import rfc3339

WINDOW_S = 10.0
BURST = 10


class TextLines(logging.Formatter):
    """`2026-11-24T12:00:00.000Z info agent.main: listening on ...`"""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{rfc3339(record.created)} {record.levelname.lower()} {record.name}: {_one_line(record.getMessage())}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonLines(logging.Formatter):
    """One object a line: time, level, logger, message, and trace where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


class Repeats(logging.Filter):
    """Lets one place in the code warn `BURST` times in `WINDOW_S`: a client cannot fill the log."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[tuple[str, int], tuple[float, int]] = {}
        """Place -> when its window began, and how often it warned since."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        place = (record.pathname, record.lineno)
        began, times = self._told.get(place, (record.created, 0))
        if not 0 <= record.created - began < WINDOW_S:  # a clock that was set back begins anew
            began, times = record.created, 0
        self._told[place] = (began, times + 1)
        return times < BURST


def start_log(level: str, form: str) -> None:
    """Sends everything logged to stderr, from now on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    handler.addFilter(Repeats())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for library in ("asyncio", "aiohttp"):
        logging.getLogger(library).setLevel("DEBUG" if level == "debug" else "ERROR")
    logging.Formatter.converter = time.gmtime


def _one_line(text: str) -> str:
    """What a client sent cannot forge a second line."""
    return text.replace("\r", "\\r").replace("\n", "\\n")
