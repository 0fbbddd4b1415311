"""The last ten minutes at one second and the last hour at one minute, of every counter, in compact arrays.

A counter costs 20 bytes a point: its rate (4), what it has risen since the history began (8) and for how many seconds
that is known (8); 480 counters over 600 points are 5.5 MiB, and as lists of Python numbers would be 40. Sums in place
of increases make any window two look-ups.
"""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from agent.readers.counters import Reading
from diagnostics.counters import CounterSpec
from diagnostics.model import Quality, Series
from diagnostics.timing import rfc3339
from diagnostics.windows import Delta

MINUTE_S = 60.0
MINUTES = 61
"""Points of the coarse ring: one hour and both its ends."""
NAN = float("nan")
KEEP_GONE_S = 24 * 3600.0
UNKNOWN: tuple[Quality, ...] = ("first", "reset", "clamped", "stale", "unknown")
"""Qualities of a step whose increase is not known."""
ROW_S = 0.9
"""Faster sampling than about once a second adds to the sums, but no points."""
JITTER_S = 0.05
"""A tick may be so late and still be the edge of a window."""
FULL = 0.9
"""A window is `ok` when this much of it is covered."""

GroupKey = tuple[str, int | None, str]
"""(device, port, source)."""
Total = tuple[str, int | None, str, str, float]
"""(device, port, source, name, raw increase): one name may be of several sources."""


class Sums(NamedTuple):
    """Totals of one group since the history began, in the order of its counters."""

    at: float
    risen: Sequence[float]
    """Raw increases added up."""
    known: Sequence[float]
    """Seconds for which the increase is known."""


class Ring:
    """Rows of totals, the newest last; a fixed number of them."""

    def __init__(self, capacity: int, width: int, *, with_rates: bool) -> None:
        self.capacity, self.width = capacity, width
        self.count = 0
        """Rows ever added."""
        self._times = array("d", bytes(8 * capacity))
        self._risen = array("d", bytes(8 * capacity * width))
        self._known = array("d", bytes(8 * capacity * width))
        self._rates = array("f", bytes(4 * capacity * width)) if with_rates else None

    def add(self, at: float, risen: array[float], known: array[float], rates: array[float] | None) -> None:
        row = self.count % self.capacity
        start, end = row * self.width, (row + 1) * self.width
        self._times[row] = at
        self._risen[start:end] = risen
        self._known[start:end] = known
        if self._rates is not None and rates is not None:
            self._rates[start:end] = rates
        self.count += 1

    def time_of(self, number: int) -> float:
        return self._times[number % self.capacity]

    def total(self, number: int, index: int) -> tuple[float, float]:
        """(risen, known seconds) of counter `index` in row `number`."""
        place = (number % self.capacity) * self.width + index
        return self._risen[place], self._known[place]

    def totals(self, number: int) -> Sums:
        row = number % self.capacity
        start, end = row * self.width, (row + 1) * self.width
        return Sums(self._times[row], self._risen[start:end], self._known[start:end])

    def rate(self, number: int, index: int) -> float | None:
        if self._rates is None:
            return None
        value = self._rates[(number % self.capacity) * self.width + index]
        return value if value == value else None  # NaN is our None

    @property
    def oldest(self) -> int:
        return max(0, self.count - self.capacity)

    def at_or_before(self, at: float) -> int:
        """Number of the last row not younger than `at`; the oldest there is where all are younger."""
        low, high = self.oldest, self.count - 1
        while low < high:
            middle = (low + high + 1) // 2
            if self._times[middle % self.capacity] <= at:
                low = middle
            else:
                high = middle - 1
        return low


class Track:
    """One group's history, as long as its layout stays."""

    def __init__(self, specs: tuple[CounterSpec, ...], capacity: int) -> None:
        self.specs = specs
        self.index = {spec.name: place for place, spec in enumerate(specs)}
        width = len(specs)
        self.fine = Ring(capacity, width, with_rates=True)
        self.coarse = Ring(MINUTES, width, with_rates=False)
        self.quality: list[Quality] = []
        self.last_at_ns = 0
        self.risen = array("d", bytes(8 * width))
        self.known = array("d", bytes(8 * width))
        self._none_known = array("f", [NAN]) * width
        self._starts: dict[float, int] = {}
        """Window -> row in which it begins; until the next reading."""

    def adopt(self, specs: tuple[CounterSpec, ...]) -> Track | None:
        """Go on with a new layout of the same counters, of a device that came back; None where they are others."""
        if specs != self.specs:
            return None
        self.specs = specs
        return self

    def add(self, reading: Reading) -> None:
        at_ns = reading.block.at_ns
        at = at_ns / 1e9
        step = at - self.last_at_ns / 1e9 if self.last_at_ns else 0.0
        self.last_at_ns = at_ns
        self.quality = reading.rates.quality
        risen, known = self.risen, self.known
        for place, increase in enumerate(reading.rates.increase):
            if increase is not None:
                known[place] += step
                if increase:
                    risen[place] += increase
        self._starts.clear()
        if self.fine.count and at - self.fine.time_of(self.fine.count - 1) < ROW_S:
            return
        rates = array("f", [NAN if rate is None else rate for rate in reading.rates.per_second])
        self.fine.add(at, risen, known, rates)
        if not self.coarse.count or at - self.coarse.time_of(self.coarse.count - 1) >= MINUTE_S:
            self.coarse.add(at, risen, known, None)

    def gap(self, at: float) -> None:
        """A tick at which the device could not be read: a point without a rate."""
        self.quality = ["stale"] * len(self.specs)
        self._starts.clear()
        if at - self.fine.time_of(self.fine.count - 1) >= ROW_S:
            self.fine.add(at, self.risen, self.known, self._none_known)

    def window(self, window_s: float) -> tuple[Ring, int]:
        """The ring that reaches far enough back, and the row in it where the window begins."""
        ring = self.fine
        now = max(self.last_at_ns / 1e9, ring.time_of(ring.count - 1))
        if ring.count > ring.capacity and now - ring.time_of(ring.oldest) < window_s - 1:
            ring = self.coarse
        number = self._starts.get(window_s)
        if number is None:
            number = self._starts[window_s] = ring.at_or_before(now - window_s + JITTER_S)
        return ring, number

    def delta(self, place: int, window_s: float) -> Delta:
        risen, known = self.risen[place], self.known[place]
        spec = self.specs[place]
        if window_s == float("inf"):
            before_risen = before_known = 0.0
            asked = known
        else:
            ring, number = self.window(window_s)
            before_risen, before_known = ring.total(number, place)
            asked = min(window_s, self.last_at_ns / 1e9 - ring.time_of(number))
        seconds = known - before_known
        quality = self._quality(place, seconds, asked)
        if seconds <= 0:
            return Delta(None, 0.0, quality if quality != "ok" else "first")
        return Delta((risen - before_risen) * spec.scale, seconds, quality)

    def _quality(self, place: int, seconds: float, asked: float) -> Quality:
        """Of a window: its last reading's where that is blind now, `reset` where a part of the window is lost."""
        last = self.quality[place] if place < len(self.quality) else "first"
        if last in UNKNOWN:
            return last
        return "ok" if seconds >= FULL * asked else "reset"


class History:
    """All groups' histories. Implements `diagnostics.windows.Windows`; any thread may ask."""

    def __init__(self, seconds: int = 600, interval_s: float = 1.0) -> None:
        self.seconds = seconds
        self.interval_s = interval_s
        self._lock = threading.Lock()
        self._tracks: dict[GroupKey, Track] = {}
        self._finds: dict[tuple[str, int | None, str], tuple[Track, int] | None] = {}
        self._seen: dict[GroupKey, float] = {}
        self._baseline: dict[tuple[GroupKey, str], float] = {}

    def add(self, key: GroupKey, reading: Reading) -> None:
        """Take a group's reading; one that was taken already leaves a gap, for its device is stale."""
        with self._lock:
            track = self._tracks.get(key)
            if track is not None and track.specs is not reading.block.specs:
                track = track.adopt(reading.block.specs)
            if track is None:
                track = self._tracks[key] = Track(reading.block.specs, self.seconds + 1)
                for place, spec in enumerate(track.specs):
                    track.risen[place] = self._baseline.get((key, spec.name), 0.0)
                self._finds.clear()
            if track.last_at_ns == reading.block.at_ns:
                track.gap(time.monotonic())
            else:
                track.add(reading)
            self._seen[key] = time.monotonic()

    def forget(self, alive: Iterable[GroupKey]) -> None:
        """Drop the groups that have had no reading for a day and are not `alive`."""
        oldest = time.monotonic() - KEEP_GONE_S
        keep = set(alive)
        with self._lock:
            for key in [key for key, seen in self._seen.items() if seen < oldest and key not in keep]:
                del self._tracks[key], self._seen[key]
                self._finds.clear()

    def delta(self, device: str, port: int | None, name: str, window_s: float) -> Delta | None:
        """How much a counter rose within the last `window_s` seconds: to the second up to the ring's length, to the
        minute up to an hour; `inf` since the baseline. None for a counter that it does not have."""
        with self._lock:
            found = self._find(device, port, name)
            return found[0].delta(found[1], window_s) if found is not None else None

    def totals(self) -> Iterator[Total]:
        """(device, port, source, name, raw increase since the baseline) of every counter: what a store keeps over
        restarts."""
        with self._lock:
            rows = [
                (*key, spec.name, track.risen[place])
                for key, track in self._tracks.items()
                for place, spec in enumerate(track.specs)
            ]
        return iter(rows)

    def restore(self, totals: Iterable[Total]) -> None:
        """Go on from the totals of before a restart; to be called before the first reading."""
        with self._lock:
            self._baseline = {((device, port, source), name): risen for device, port, source, name, risen in totals}

    def group_since_baseline(self, key: GroupKey, specs: tuple[CounterSpec, ...]) -> list[float | None]:
        """How much each counter of a group rose since the baseline, scale applied; None where nothing is known."""
        with self._lock:
            track = self._tracks.get(key)
            if track is None or track.specs is not specs:
                return [None] * len(specs)
            columns = zip(specs, track.risen, track.known, strict=True)
            return [risen * spec.scale if risen or known > 0 else None for spec, risen, known in columns]

    def group_delta(self, key: GroupKey, specs: tuple[CounterSpec, ...], window_s: float) -> list[float | None]:
        """Delta of a whole group, in the order of `specs`, scale applied; None where nothing is known."""
        with self._lock:
            track = self._tracks.get(key)
            if track is None or track.specs is not specs or not track.fine.count:
                return [None] * len(specs)
            ring, number = track.window(window_s)
            before = ring.totals(number)
            columns = zip(track.specs, track.risen, before.risen, track.known, before.known, strict=True)
            return [
                (risen - was) * spec.scale if known > was_known else None
                for spec, risen, was, known, was_known in columns
            ]

    def group_sum(
        self, key: GroupKey, specs: tuple[CounterSpec, ...], places: Sequence[int], window_s: float
    ) -> float | None:
        """The raw rises of the counters at these places of a group added up; None where none is known."""
        with self._lock:
            track = self._tracks.get(key)
            if track is None or track.specs is not specs or not track.fine.count or not places:
                return None
            ring, number = track.window(window_s)
            before = ring.totals(number)
            known = [place for place in places if track.known[place] > before.known[place]]
            return sum(track.risen[place] - before.risen[place] for place in known) if known else None

    def series(self, device: str, port: int | None, name: str, seconds: float) -> Series | None:
        """The points of the last `seconds`, oldest first; beyond the fine ring one point a minute. None for a counter
        that the history does not have."""
        with self._lock:
            found = self._find(device, port, name)
            if found is None:
                return None
            track, place = found
            ring, number = track.window(seconds)
            if ring is track.coarse:
                points, interval = self._coarse_points(track, place, number), MINUTE_S
            else:
                points = [ring.rate(row, place) for row in range(number + 1, ring.count)]
                interval = self.interval_s
            age = time.monotonic() - ring.time_of(ring.count - 1)
            unit = track.specs[place].unit
        end = rfc3339(time.time() - age)
        return Series(
            device=device, port=port, name=name, unit=unit, interval_s=interval, per_second=tuple(points), end=end
        )

    def _coarse_points(self, track: Track, place: int, number: int) -> list[float | None]:
        rows = [track.coarse.total(row, place) for row in range(number, track.coarse.count)]
        scale = track.specs[place].scale
        return [
            (risen - was) * scale / (known - was_known) if known > was_known else None
            for (was, was_known), (risen, known) in pairwise(rows)
        ]

    def _find(self, device: str, port: int | None, name: str) -> tuple[Track, int] | None:
        """The counter of this name; where two sources have it, the first that was read (counters before ethtool)."""
        asked = (device, port, name)
        if asked not in self._finds:
            self._finds[asked] = next(
                (
                    (track, track.index[name])
                    for key, track in self._tracks.items()
                    if key[0] == device and key[1] == port and name in track.index and track.fine.count
                ),
                None,
            )
        return self._finds[asked]
