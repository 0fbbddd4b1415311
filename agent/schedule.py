"""When the next sample is due: a fixed grid on the monotonic clock, so that neither load nor clock steps drift it."""

from __future__ import annotations

import asyncio


def next_due(due: float, now: float, interval: float) -> tuple[float, int]:
    """The grid point after `due`, and how many before it can no longer be met.

    A sample that is late by less than an interval is taken late, at once; whole intervals that passed are missed.
    All in seconds of one monotonic clock.
    """
    following = due + interval
    missed = max(0, int((now - following) // interval))
    return following + missed * interval, missed


class Alarm:
    """A sleep that can be ended from outside."""

    def __init__(self) -> None:
        self._sleeper: asyncio.Future[bool] | None = None
        self._rung = False

    async def sleep_until(self, due: float) -> bool:
        """True when it was rung before `due` (a ring that came between two sleeps counts), False at `due`."""
        if self._rung:
            self._rung = False
            return True
        loop = asyncio.get_running_loop()
        self._sleeper = loop.create_future()
        timer = loop.call_at(due, _wake, self._sleeper, False)
        try:
            return await self._sleeper
        finally:
            timer.cancel()
            self._sleeper = None

    def ring(self) -> None:
        if self._sleeper is None:
            self._rung = True
        else:
            _wake(self._sleeper, True)


def _wake(sleeper: asyncio.Future[bool], rung: bool) -> None:
    if not sleeper.done():
        sleeper.set_result(rung)
