"""What must outlive the agent: events, findings, baselines, benchmark results and acknowledgements, in SQLite.

All writing is done by one thread, so that a disk that hangs or fills never stops the sampling. A write is
acknowledged (its `Future` is done) only after the commit, and a commit survives `kill -9` at any moment (WAL,
`synchronous=FULL`). When the file cannot be used, `problem` says why, everything goes on in memory, and a new try is
made every `RETRY_S`; what was written meanwhile is then put on disk, as far as memory kept it.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import TypeVar

import msgspec

from agent.store_queue import Item, StoreQueue
from agent.store_schema import MAX_BYTES, OLDEST_SHARE, StoreUnusable, open_database, prune, size_bytes
from diagnostics.model import Benchmark, Event, Finding

RETRY_S = 60.0
"""Between two tries to use a state directory that failed."""

NOTE_S = 24 * 3600.0
"""How long a damaged file that was moved aside is told of."""

EVENTS_IN_MEMORY = 2000
BENCHMARKS_IN_MEMORY = 200

Row = TypeVar("Row")

log = logging.getLogger(__name__)


class Store:
    """The agent's memory on disk; `folder=None` keeps all in memory and is no problem."""

    def __init__(self, folder: str | None, *, max_bytes: int = MAX_BYTES, retry_s: float = RETRY_S) -> None:
        self._path = os.path.join(folder, "rdmatop.sqlite") if folder else None
        self._max_bytes = max_bytes
        self._retry_s = retry_s
        self._next_try = 0.0
        self._database: sqlite3.Connection | None = None
        self._queue = StoreQueue()
        self.problem: str | None = None
        """Why nothing is kept on disk now; None while all is well."""
        self._note: tuple[str, float] | None = None
        self._events: deque[Event] = deque(maxlen=EVENTS_IN_MEMORY)
        self._benchmarks: dict[str, Benchmark] = {}
        self._acknowledged: dict[str, str] = {}
        self._facts: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._open()
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Writes that neither disk nor memory could keep."""
        return self._queue.lost

    @property
    def note(self) -> str | None:
        """What happened to the file within the last day, though all may be well now."""
        told = self._note
        return told[0] if told is not None and time.monotonic() - told[1] < NOTE_S else None

    # What is kept

    def add_events(self, events: Iterable[Event]) -> Future[None]:
        """Append events; the order of writing is the order of reading, whatever the wall clock does."""
        events = tuple(events)
        with self._lock:
            self._events.extend(events)
        rows = [(event.time, msgspec.json.encode(event)) for event in events]
        return self._write(lambda database: _many(database, "INSERT INTO events(time, body) VALUES(?, ?)", rows))

    def events(self, limit: int = EVENTS_IN_MEMORY) -> list[Event]:
        """The last events, oldest first."""
        with self._lock:
            return list(self._events)[-limit:]

    def save_benchmark(self, benchmark: Benchmark) -> Future[None]:
        """Keep a result; the same id replaces the earlier one."""
        with self._lock:
            self._benchmarks.pop(benchmark.id, None)
            self._benchmarks[benchmark.id] = benchmark
            while len(self._benchmarks) > BENCHMARKS_IN_MEMORY:
                del self._benchmarks[next(iter(self._benchmarks))]
        row = (benchmark.id, msgspec.json.encode(benchmark))
        return self._write(lambda database: _one(database, "REPLACE INTO benchmarks(id, body) VALUES(?, ?)", row))

    def benchmarks(self) -> list[Benchmark]:
        """Results, newest first."""
        with self._lock:
            return list(self._benchmarks.values())[::-1]

    def save_finding(self, finding: Finding, ended: str | None) -> Future[None]:
        """Keep what was found, with the time of its end once it is over."""
        row = (finding.id, finding.since, ended, msgspec.json.encode(finding))
        sql = "REPLACE INTO findings(id, since, ended, body) VALUES(?, ?, ?, ?)"
        return self._write(lambda database: _one(database, sql, row))

    def acknowledge(self, finding: str, by: str, at: str) -> Future[None]:
        """Remember that a person has seen a finding."""
        with self._lock:
            self._acknowledged[finding] = by
        row = (finding, by, at)
        return self._write(lambda database: _one(database, "REPLACE INTO acknowledgements VALUES(?, ?, ?)", row))

    def acknowledged(self) -> dict[str, str]:
        """Finding id -> who acknowledged it."""
        with self._lock:
            return dict(self._acknowledged)

    def save_fact(self, name: str, body: bytes) -> Future[None]:
        """Keep a named blob: the judge's memory, the baselines of a boot. Cancelled where a newer value is kept."""
        with self._lock:
            self._facts[name] = body
        row = (name, body)
        return self._write(lambda database: _one(database, "REPLACE INTO facts VALUES(?, ?)", row), fact=name)

    def fact(self, name: str) -> bytes | None:
        with self._lock:
            return self._facts.get(name)

    def close(self, timeout_s: float = 1.5) -> None:
        """Put on disk what is waiting, for at most `timeout_s` (the agent has 2 s to end)."""
        self._queue.close()
        self._thread.join(timeout_s)

    # The writing thread

    def _write(self, write: Callable[[sqlite3.Connection], None], fact: str | None = None) -> Future[None]:
        done: Future[None] = Future()
        self._queue.put(Item(fact, write, done))
        return done

    def _run(self) -> None:
        while True:
            blocked = self._path is not None and self._database is None
            self._queue.wait(blocked_s=max(0.0, self._next_try - time.monotonic()) if blocked else None)
            closing = self._queue.closing
            self._flush()
            if closing:
                if self._database is not None:
                    self._database.close()
                return

    def _flush(self) -> None:
        """Commit all that waits, as one transaction; leave it waiting where the disk refuses."""
        if self._path is not None and self._database is None and not self._reopen():
            return
        items = self._queue.take()
        if self._database is not None and items:
            try:
                self._commit(self._database, items)
            except sqlite3.Error as error:
                self._queue.put_back(items)
                self._fail(error)
                return
            self.problem = None
        for item in items:
            item.done.set_result(None)

    def _commit(self, database: sqlite3.Connection, items: list[Item]) -> None:
        """One transaction; where the file has reached its size limit the oldest go first."""
        with database:
            if size_bytes(database) > self._max_bytes * OLDEST_SHARE:
                prune(database)
        with database:
            for item in items:
                item.write(database)

    def _reopen(self) -> bool:
        if time.monotonic() >= self._next_try:
            self._open()
        return self._database is not None

    def _open(self) -> None:
        """Open or make the file and read what it has; on failure say why in `problem`."""
        if self._path is None:
            return
        self._next_try = time.monotonic() + self._retry_s
        try:
            self._database, moved = open_database(self._path, self._max_bytes)
            self._load(self._database)
            self.problem = None
            if moved is not None:
                log.warning("%s", moved)
                self._note = moved, time.monotonic()
        except (OSError, sqlite3.Error, StoreUnusable) as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self.problem = f"{self._path}: {error}; events and results are kept in memory only"
        self._next_try = time.monotonic() + self._retry_s
        database, self._database = self._database, None
        if database is not None:
            try:
                database.close()
            except sqlite3.Error as closing:
                self.problem += f" (and closing failed: {closing})"

    def _load(self, database: sqlite3.Connection) -> None:
        """Fill the memory from disk; what memory already has is newer and stays."""
        last = "SELECT body FROM (SELECT rowid AS n, body FROM {} ORDER BY n DESC LIMIT 2000) ORDER BY n"
        with self._lock:
            if not self._events:
                self._events.extend(_bodies(database, last.format("events"), Event))
            for benchmark in _bodies(database, last.format("benchmarks"), Benchmark):
                self._benchmarks.setdefault(benchmark.id, benchmark)
            for finding, by in database.execute("SELECT id, by FROM acknowledgements"):
                self._acknowledged.setdefault(finding, by)
            for name, body in database.execute("SELECT name, body FROM facts"):
                self._facts.setdefault(name, body)


def _one(database: sqlite3.Connection, sql: str, row: tuple[object, ...]) -> None:
    database.execute(sql, row)


def _many(database: sqlite3.Connection, sql: str, rows: list[tuple[str, bytes]]) -> None:
    database.executemany(sql, rows)


def _bodies(database: sqlite3.Connection, sql: str, kind: type[Row]) -> list[Row]:
    """Decode rows; one that an older or newer version wrote otherwise is left out, not fatal."""
    decoder: msgspec.json.Decoder[Row] = msgspec.json.Decoder(kind)
    found: list[Row] = []
    for (body,) in database.execute(sql):
        try:
            found.append(decoder.decode(body))
        except msgspec.MsgspecError:
            continue
    return found
