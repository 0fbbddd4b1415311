"""The file behind the store: opening, schema version, damage, size."""

from __future__ import annotations

import os
import sqlite3

VERSION = 1
"""Of the tables; in `PRAGMA user_version`."""

MAX_BYTES = 64 * 1024 * 1024
OLDEST_SHARE = 0.9
"""Above this share of the size limit the oldest events, findings and results go."""

BUSY_MS = 2000
"""How long another process may hold the file before it counts as locked."""

TABLES = """
CREATE TABLE IF NOT EXISTS events(sequence INTEGER PRIMARY KEY, time TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS findings(id TEXT PRIMARY KEY, since TEXT NOT NULL, ended TEXT, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS benchmarks(id TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS acknowledgements(id TEXT PRIMARY KEY, by TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS facts(name TEXT PRIMARY KEY, body BLOB NOT NULL);
"""

GROWING = ("events", "findings", "benchmarks")
"""Tables that grow with time."""


class StoreUnusable(Exception):
    """The state directory cannot be used, and why."""


def open_database(path: str, max_bytes: int) -> tuple[sqlite3.Connection, str | None]:
    """Open or make the file; a damaged one is moved aside, and the second value says so.

    Raises OSError, sqlite3.Error or StoreUnusable where it cannot be used and must not be touched.
    """
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    try:
        return _connect(path, max_bytes), None
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) or not os.path.exists(path):
            raise
        aside = _move_aside(path)
        return _connect(path, max_bytes), f"{path} was damaged ({error}); it lies at {aside}, a new one was begun"


def _connect(path: str, max_bytes: int) -> sqlite3.Connection:
    # The agent's thread opens it, the store's thread uses it: never both at once.
    # SQLite gives -wal and -shm the mode of the file: it must be right before they are made.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    for name in (path, f"{path}-wal", f"{path}-shm"):
        if os.path.exists(name):
            os.chmod(name, 0o600)
    database = sqlite3.connect(path, timeout=BUSY_MS / 1000, check_same_thread=False)
    try:
        _prepare(database, max_bytes)
    except BaseException:
        database.close()
        raise
    return database


def _prepare(database: sqlite3.Connection, max_bytes: int) -> None:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise StoreUnusable(f"written by a newer rdmatop (tables version {version}, known {VERSION})")
    database.execute("PRAGMA auto_vacuum=INCREMENTAL")
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute(f"PRAGMA journal_size_limit={max_bytes // 8}")
    (page_bytes,) = database.execute("PRAGMA page_size").fetchone()
    database.execute(f"PRAGMA max_page_count={max(64, max_bytes // page_bytes)}")
    (state,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if state != "ok":
        raise sqlite3.DatabaseError(state)
    database.executescript(TABLES)
    database.execute(f"PRAGMA user_version={VERSION}")
    database.commit()


def _move_aside(path: str) -> str:
    """Keep the damaged file (one only, so that damage in a loop cannot fill the disk)."""
    aside = path + ".damaged"
    os.replace(path, aside)
    for suffix in ("-wal", "-shm"):
        if os.path.exists(path + suffix):
            os.unlink(path + suffix)
    return aside


def size_bytes(database: sqlite3.Connection) -> int:
    """What the rows take, free pages left out."""
    pages, free, page = (
        database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * page)


def prune(database: sqlite3.Connection) -> None:
    """Drop the oldest tenth of all that grows."""
    for table in GROWING:
        database.execute(
            f"DELETE FROM {table} WHERE rowid IN"  # noqa: S608 - the names stand above
            f" (SELECT rowid FROM {table} ORDER BY rowid LIMIT (SELECT count(*) / 10 + 1 FROM {table}))"
        )
    database.execute("PRAGMA incremental_vacuum")
