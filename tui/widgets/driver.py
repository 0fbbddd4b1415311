"""Textual's terminal driver without what costs while nothing happens.

Textual's own input thread wakes ten times a second to see whether it should end, asks for every move of the mouse, and
writes each piece of a frame by itself: 2 % of a core in the emulated machine, with nothing on the screen changing.
"""

from __future__ import annotations

import os
import select
from codecs import getincrementaldecoder
from contextlib import suppress
from typing import Any

from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

ESCAPE_WAIT_S = 0.1
"""A lone ESC is the escape key when nothing follows it for so long."""
SLOW_FRAMES = 2
"""So many unwritten frames mean that the terminal does not keep up: the next ones are left out."""


class LeanDriver(LinuxDriver):
    def __init__(self, app: Any, **options: Any) -> None:
        super().__init__(app, **options)
        self._out = self._file = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
        self._parts: list[str] = []
        self._wake_read, self._wake_write = os.pipe()

    @property
    def is_slow(self) -> bool:
        """Whether the terminal has not taken the last frames yet."""
        thread = self._writer_thread
        return thread is not None and thread._queue.qsize() >= SLOW_FRAMES

    def write(self, data: str) -> None:
        """Kept until `flush`: one frame is one write."""
        self._parts.append(data)

    def flush(self) -> None:
        if self._parts and self._writer_thread is not None:
            text, self._parts = "".join(self._parts), []
            self._writer_thread.write(text)

    def start_application_mode(self) -> None:
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self.flush()

    def stop_application_mode(self) -> None:
        super().stop_application_mode()
        self.flush()

    def _enable_mouse_support(self) -> None:
        """Buttons and wheel, with coordinates beyond 223: no report of mere moves."""
        if self._mouse:
            self.write("\x1b[?1000h\x1b[?1006h")

    def _disable_mouse_support(self) -> None:
        if self._mouse:
            self.write("\x1b[?1006l\x1b[?1000l")

    def _enable_mouse_pixels(self) -> None:
        """Cells are exact enough."""

    def disable_input(self) -> None:
        os.write(self._wake_write, b"x")
        super().disable_input()
        os.read(self._wake_read, 64)

    def close(self) -> None:
        super().close()
        with suppress(OSError):  # the terminal is gone
            self._out.close()

    def run_input_thread(self) -> None:
        """Waits for input without a time-out, but after an escape character that may stand alone."""
        parser = XTermParser(self._debug)
        decode = getincrementaldecoder("utf-8")("replace").decode
        wait: float | None = None
        while not self.exit_event.is_set():
            ready, _, _ = select.select([self.fileno, self._wake_read], [], [], wait)
            wait = None
            if self.fileno in ready:
                data = os.read(self.fileno, 4096)
                if not data:
                    self._app.call_later(self._app.exit, 129)
                    return
                for event in parser.feed(decode(data)):
                    self.process_message(event)
                wait = ESCAPE_WAIT_S
            elif self._wake_read in ready:
                return
            for event in parser.tick():
                self.process_message(event)
