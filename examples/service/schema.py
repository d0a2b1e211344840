"""The database's tables, by version: what this program opens, brings up to date, or refuses."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

APPLICATION: Final = 0x50524F42  # "PROB", in the file's header: no other program's database is taken for ours
BUSY: Final = 5.0  # seconds to wait for another connection's lock

# MIGRATIONS[n] takes a database from version n to n + 1. What has been published is never changed: append.
MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """
        CREATE TABLE printers (
            id TEXT PRIMARY KEY,
            branch TEXT NOT NULL,
            agent TEXT NOT NULL,  -- who may serve it
            serial TEXT NOT NULL,
            state TEXT NOT NULL DEFAULT 'unknown',
            score INTEGER NOT NULL DEFAULT -1,
            changed_at REAL NOT NULL
        ) STRICT
        """,
        """
        CREATE TABLE agents (
            branch TEXT NOT NULL,
            name TEXT NOT NULL,
            journal TEXT NOT NULL,
            sequence INTEGER NOT NULL,  -- of the journal, at its last hello
            session INTEGER NOT NULL,  -- grows with every hello: a dispatch belongs to one of them
            seen_at REAL NOT NULL,
            PRIMARY KEY (branch, name)
        ) STRICT
        """,
        """
        CREATE TABLE jobs (
            position INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            printer TEXT NOT NULL REFERENCES printers (id),
            kind TEXT NOT NULL,
            timeout REAL NOT NULL,
            owner TEXT NOT NULL,
            key TEXT,  -- the owner's Idempotency-Key
            request TEXT NOT NULL,  -- hash of what the key was sent with
            correlation_id TEXT NOT NULL,
            carrier TEXT NOT NULL,  -- trace context of the request, as JSON
            state TEXT NOT NULL CHECK (
                state IN ('queued', 'dispatched', 'confirmed', 'written', 'failed', 'unknown', 'cancelled')
            ),
            journal TEXT NOT NULL DEFAULT '',  -- that it was last dispatched to: branch/agent/journal
            sent INTEGER NOT NULL DEFAULT 0,  -- how many times it was dispatched
            cancel_asked INTEGER NOT NULL DEFAULT 0,
            error_type TEXT NOT NULL DEFAULT '',
            partial INTEGER NOT NULL DEFAULT 0,
            window TEXT NOT NULL DEFAULT '',
            held INTEGER NOT NULL DEFAULT 0,
            evidence_at REAL,  -- when the proof of an unknown job came
            reprint_of TEXT NOT NULL DEFAULT '',
            created_at REAL NOT NULL,
            expires_at REAL NOT NULL,
            finished_at REAL,
            CHECK ((finished_at IS NULL) = (state IN ('queued', 'dispatched'))),
            CHECK (held = 0 OR state = 'unknown')
        ) STRICT
        """,
        "CREATE UNIQUE INDEX jobs_by_key ON jobs (owner, key) WHERE key IS NOT NULL",
        "CREATE UNIQUE INDEX jobs_one_at_a_time ON jobs (printer) WHERE state = 'dispatched'",
        "CREATE INDEX jobs_open ON jobs (printer, position) WHERE finished_at IS NULL",
        "CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL",
        "CREATE INDEX jobs_held ON jobs (position) WHERE held = 1",
        "CREATE INDEX jobs_by_owner ON jobs (owner, position)",
        # Apart from the jobs, whose rows are written again at every change of state.
        "CREATE TABLE contents (job TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT",
        """
        CREATE TABLE events (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            owner TEXT NOT NULL,
            at REAL NOT NULL,
            body TEXT NOT NULL
        ) STRICT
        """,
        # Written to find out whether it can be.
        "CREATE TABLE probe (at REAL NOT NULL) STRICT",
        "INSERT INTO probe VALUES (0)",
        "CREATE INDEX events_by_owner ON events (owner, seq)",
        "CREATE INDEX events_by_time ON events (at)",
    ),
    (
        """
        CREATE TABLE totals (
            name TEXT NOT NULL,  -- of what is counted
            branch TEXT NOT NULL,
            printer TEXT NOT NULL,
            kind TEXT NOT NULL,
            outcome TEXT NOT NULL,
            error_type TEXT NOT NULL,
            count INTEGER NOT NULL,
            PRIMARY KEY (name, branch, printer, kind, outcome, error_type)
        ) STRICT, WITHOUT ROWID
        """,
        """
        INSERT INTO totals SELECT 'outcomes', branch, printer, kind, jobs.state, error_type, count(*)
        FROM jobs JOIN printers ON printers.id = printer WHERE finished_at IS NOT NULL GROUP BY 2, 3, 4, 5, 6
        """,
        """
        INSERT INTO totals SELECT 'reprints', branch, printer, '', '', '', count(*)
        FROM jobs JOIN printers ON printers.id = printer WHERE reprint_of != '' GROUP BY 2, 3
        """,
    ),
    (
        # Whether it should be there: until an operator retires it.
        "ALTER TABLE printers ADD COLUMN expected INTEGER NOT NULL DEFAULT 1",
        "ALTER TABLE agents ADD COLUMN expected INTEGER NOT NULL DEFAULT 1",
    ),
)


class Unusable(Exception):  # noqa: N818 - reads as what is wrong
    """A database that this program must not use; says why, and what to do, in one line."""


def connect(path: Path) -> sqlite3.Connection:
    """A connection for any one thread at a time, without implicit transactions."""
    connection = sqlite3.connect(path, timeout=BUSY, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    return connection


def open_database(path: Path, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> sqlite3.Connection:
    """The database at ``path``, made or brought up to date, every commit of which is on the disk; raises `Unusable`."""
    try:
        connection = connect(path)
        try:
            _open(connection, migrations)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise Unusable(f"the database {path} cannot be used: {error}; {_advice(error)}") from None
    except Unusable as unusable:
        raise Unusable(f"the database {path} {unusable}") from None
    return connection


def _open(connection: sqlite3.Connection, migrations: Sequence[Sequence[str]]) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != APPLICATION and (application or tables):
        raise Unusable("belongs to another program: name another file in SERVICE_DATABASE")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(migrations):
        raise Unusable(
            f"has schema version {version}, this program knows {len(migrations)}: run the newer version of it"
        )
    (health,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if health != "ok":
        raise Unusable(f"is damaged ({' '.join(health.split())[:200]}): move it away, or put a backup in its place")
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise Unusable("is on a file system that cannot hold it (no write-ahead log): use a local disk")
    connection.execute("PRAGMA synchronous = FULL")  # a commit that has returned outlives a power cut
    connection.execute("PRAGMA foreign_keys = ON")
    _migrate(connection, version, migrations)


def _migrate(connection: sqlite3.Connection, version: int, migrations: Sequence[Sequence[str]]) -> None:
    for number, statements in enumerate(migrations[version:], version + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise


def _advice(error: sqlite3.Error) -> str:
    match getattr(error, "sqlite_errorname", ""):
        case "SQLITE_FULL":
            return "make room on its disk"
        case "SQLITE_BUSY" | "SQLITE_LOCKED":
            return "another program is using it"
        case "SQLITE_NOTADB" | "SQLITE_CORRUPT":
            return "move it away, or put a backup in its place"
        case _:
            return "check its folder, its permissions and its disk"


class Lock:
    """That one process serves from a database: held until it ends, however it ends."""

    def __init__(self, path: Path) -> None:
        # A lock of SQLite's own on a file beside it: released by the system when the process is killed, everywhere.
        try:
            self._connection = sqlite3.connect(path.with_name(path.name + ".lock"), timeout=0, isolation_level=None)
            try:
                self._connection.execute("BEGIN EXCLUSIVE")
            except BaseException:
                self._connection.close()
                raise
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorname", "") == "SQLITE_BUSY":
                raise Unusable(f"the database {path} is in use by another process of this service") from None
            raise Unusable(f"the database {path} cannot be locked: {error}; {_advice(error)}") from None

    def release(self) -> None:
        """Let another process serve."""
        self._connection.close()


def copy(source: sqlite3.Connection, target: Path) -> None:
    """Copy a database in use to a new file, in one consistent state; raises sqlite3.Error."""
    with closing(connect(target)) as connection:
        source.backup(connection)  # in one go: it reads a snapshot, and keeps nobody from writing
        connection.execute("PRAGMA journal_mode = DELETE")  # one file, with nothing beside it
