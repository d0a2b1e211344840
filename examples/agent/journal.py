"""The agent's journal: which jobs it has started and how they ended, in SQLite, durable before the next step is taken.

What it promises is rows 4 to 8 of the life of a print job: a job is started once ever, its start is on the disk before
its first byte leaves, and its end before the service is told. Its methods block: call them off the event loop.
"""

from __future__ import annotations

import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from examples.jobs import states, wire
from examples.jobs.states import JournalEvent, JournalState

INTERRUPTED: Final = "agent_restarted"  # error.type of a job that was being printed when the agent ended
RESTART: Final = "restart"  # its window: from `started` to `done`

_APPLICATION: Final = 0x70726A6C  # PRAGMA application_id: "prjl"
_PRUNE: Final = 3600.0  # seconds between two removals of what is too old

# What leads from each version of the schema (PRAGMA user_version) to the next. Only ever appended to.
_MIGRATIONS: Final = (
    """
    CREATE TABLE journal (identity TEXT NOT NULL, sequence INTEGER NOT NULL, probe INTEGER NOT NULL);
    CREATE TABLE jobs (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        printer TEXT NOT NULL,
        state TEXT NOT NULL,
        at REAL NOT NULL,
        nonce TEXT NOT NULL DEFAULT '',
        size INTEGER NOT NULL DEFAULT 0,
        outcome TEXT NOT NULL DEFAULT '',
        error_type TEXT NOT NULL DEFAULT '',
        partial INTEGER NOT NULL DEFAULT 0,
        window TEXT NOT NULL DEFAULT '',
        evidence TEXT NOT NULL DEFAULT '',
        settled INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX unsettled ON jobs (number) WHERE settled = 0;
    CREATE INDEX proved ON jobs (number) WHERE evidence = 'due';
    """,
)

# Any other error may pass: no room, no permission, a disk that does not answer.
_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_IN_USE: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


class Unusable(Exception):  # noqa: N818 - reads as what is wrong
    """The journal cannot be used as it is: nothing may be printed. Its text says what to do."""


class Unwritable(Exception):  # noqa: N818
    """The journal cannot be written now: what was asked has not been done, and may be tried again."""


class Journal:
    """The journal in one file, which it keeps for itself as long as it is open.

    ``identity`` is made with the file. Jobs that were settled more than ``keep`` seconds ago are removed. Raises
    `Unusable` where the file is no journal, damaged, of a newer version, in use, or cannot be written.
    """

    def __init__(self, path: Path, keep: float = 30 * 86_400.0) -> None:
        self._path = path
        self._keep = keep
        self._pruned = 0.0
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(path, timeout=1.0, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise Unusable(f"the journal {path} cannot be opened ({error}): it needs a folder that exists") from None
        try:
            self._open()
            self.identity: str = self._db.execute("SELECT identity FROM journal").fetchone()[0]
            self._prune()
        except BaseException as error:
            self._db.close()
            raise self._refusal(error) from None

    def _open(self) -> None:
        db = self._db
        # Another agent with this journal is kept out: two would print each other's jobs again.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        version: int = db.execute("PRAGMA user_version").fetchone()[0]
        application: int = db.execute("PRAGMA application_id").fetchone()[0]
        if application != _APPLICATION and (version or db.execute("SELECT 1 FROM sqlite_master").fetchone()):
            raise Unusable(f"{self._path} is no agent's journal: name another file")
        if version > len(_MIGRATIONS):
            raise Unusable(f"the journal {self._path} was made by a newer agent (version {version}): run that one")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("BEGIN EXCLUSIVE")
        db.execute("COMMIT")
        for number, statements in enumerate(_MIGRATIONS[version:], version + 1):
            made = f"INSERT INTO journal VALUES ('{uuid.uuid4().hex}', 0, 0);" if number == 1 else ""
            marks = f"PRAGMA application_id = {_APPLICATION}; PRAGMA user_version = {number};"
            db.executescript(f"BEGIN; {statements} {made} {marks} COMMIT")
        [[check]] = db.execute("PRAGMA quick_check(1)").fetchall()
        if check != "ok":
            raise Unusable(self._damaged())
        # Row 8: what was being printed when the agent ended may have come out, or not.
        with self._change():
            for (identifier,) in db.execute("SELECT id FROM jobs WHERE state = 'started'").fetchall():
                done = wire.Done(identifier, "unknown", INTERRUPTED, window=RESTART)
                self._end(done, "", JournalEvent.INTERRUPTED)

    def _refusal(self, error: BaseException) -> BaseException:
        if isinstance(error, sqlite3.Error):
            if _code(error) in _IN_USE:
                return Unusable(f"the journal {self._path} is in use: is another agent running?")
            error = self._trouble(error)
        if isinstance(error, Unwritable):
            return Unusable(f"the journal {self._path} cannot be written ({error}): nothing is printed without it")
        return error

    def _damaged(self) -> str:
        return (
            f"the journal {self._path} is damaged: move it aside with its -wal file; "
            "a new one is made, and the service calls the jobs that were under way unknown"
        )

    def close(self) -> None:
        """Give the file back."""
        with self._lock:
            self._db.close()

    # -- what is written -------------------------------------------------------------------------------------------

    def probe(self) -> None:
        """Write, to see whether it can be. Raises `Unwritable`."""
        with self._change(grows=False):
            pass

    def touch(self) -> None:
        """Let the sequence number grow. Raises `Unwritable`."""
        with self._change():
            pass

    def begin(self, job: str, printer: str, nonce: str, size: int) -> None:
        """A job starts: after this returns, and not before, its bytes may leave. Once ever.

        ``size`` is how many of them a printer may wait for at most, if it does not get them all.
        ``nonce`` is the attempt's own number, by which its spans and log records are found. Raises
        `states.IllegalTransition` for a job that is known already, and `Unwritable`.
        """
        with self._change() as now:
            state = states.advance(states.AGENT, self._state(job), JournalEvent.STARTED)
            self._db.execute(
                "INSERT INTO jobs (id, printer, state, at, nonce, size) VALUES (?, ?, ?, ?, ?, ?)",
                (job, printer, state, now, nonce, size),
            )

    def end(self, done: wire.Done, printer: str) -> None:
        """A job has ended, started or not: after this returns the service may be told. Raises `Unwritable`.

        Raises `states.IllegalTransition` for one that had ended already.
        """
        with self._change():
            started = self._state(done.id) is JournalState.STARTED
            self._end(done, printer, JournalEvent.ENDED if started else JournalEvent.REFUSED)

    def _end(self, done: wire.Done, printer: str, event: JournalEvent) -> None:
        state = states.advance(states.AGENT, self._state(done.id), event)
        if event is JournalEvent.REFUSED:
            self._db.execute(
                "INSERT INTO jobs (id, printer, state, at) VALUES (?, ?, ?, ?)", (done.id, printer, state, time.time())
            )
        self._db.execute(
            "UPDATE jobs SET state = ?, outcome = ?, error_type = ?, partial = ?, window = ? WHERE id = ?",
            (state, done.outcome, done.error_type, done.partial, done.window, done.id),
        )

    def settle(self, job: str) -> None:
        """The service has the outcome: it is not repeated any more. That the job was started stays known.

        Nothing happens to a job that is unknown or has not ended. Raises `Unwritable`.
        """
        with self._change():
            self._db.execute("UPDATE jobs SET settled = 1 WHERE id = ? AND state = 'done'", (job,))
        if time.monotonic() - self._pruned > _PRUNE:
            self._prune()

    def prove(self, job: str) -> None:
        """The proof of an unknown job has come late (row 14). Raises `Unwritable`."""
        with self._change():
            self._db.execute("UPDATE jobs SET evidence = 'due' WHERE id = ? AND outcome = 'unknown'", (job,))

    def told(self, job: str) -> None:
        """The service was told of a late proof. Raises `Unwritable`."""
        with self._change():
            self._db.execute("UPDATE jobs SET evidence = 'told' WHERE id = ?", (job,))

    def _prune(self) -> None:
        self._pruned = time.monotonic()
        with self._change(grows=False) as now:
            self._db.execute("DELETE FROM jobs WHERE settled = 1 AND at < ?", (now - self._keep,))

    @contextmanager
    def _change(self, *, grows: bool = True) -> Iterator[float]:
        """A transaction; its end is its durable write. Gives the time of day."""
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield time.time()
                # Something changes in any case: SQLite writes nothing where nothing does.
                self._db.execute("UPDATE journal SET sequence = sequence + ?, probe = 1 - probe", (int(grows),))
                self._db.execute("COMMIT")
            except BaseException as error:
                with suppress(sqlite3.Error):
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise self._trouble(error) from None
                raise

    def _trouble(self, error: sqlite3.Error) -> Exception:
        return Unusable(self._damaged()) if _code(error) in _DAMAGE else Unwritable(str(error))

    # -- what is read ----------------------------------------------------------------------------------------------

    def _state(self, job: str) -> JournalState:
        row = self._db.execute("SELECT state FROM jobs WHERE id = ?", (job,)).fetchone()
        return JournalState.ABSENT if row is None else JournalState(row[0])

    def find(self, job: str) -> wire.Done | JournalState:
        """How a job ended; or that it is absent, or started and has not."""
        found = self._rows("id = ?", job)
        if not found:
            return JournalState.ABSENT
        [(state, done)] = found
        return done if state is JournalState.DONE else state

    def known(self) -> tuple[int, tuple[wire.Known, ...]]:
        """The sequence number, and the jobs that are not settled, oldest first."""
        with self._reading():
            [[sequence]] = self._db.execute("SELECT sequence FROM journal").fetchall()
            rows = self._db.execute(
                "SELECT id, state FROM jobs WHERE settled = 0 ORDER BY number LIMIT ?", (wire.MAX_OPEN,)
            ).fetchall()
        return sequence, tuple(wire.Known(*row) for row in rows)

    def unsettled(self) -> list[wire.Done]:
        """The outcomes that the service has not taken yet, oldest first."""
        return [done for state, done in self._rows("settled = 0") if state is JournalState.DONE]

    def evidence(self) -> list[str]:
        """The jobs whose late proof the service has not been told of."""
        with self._reading():
            return [job for (job,) in self._db.execute("SELECT id FROM jobs WHERE evidence = 'due' ORDER BY number")]

    def torn(self, printer: str) -> int | None:
        """The size in bytes of a receipt that a printer may not have got whole; 0 where there is none.

        Only what came after the last receipt that was whole counts. ``None``: nothing is known of the printer.
        """
        with self._reading():
            rows = self._db.execute(
                "SELECT size, outcome, partial, evidence FROM jobs WHERE printer = ? AND size > 0 ORDER BY number DESC",
                (printer,),
            )
            largest = None
            for size, outcome, partial, evidence in rows:
                if outcome in ("confirmed", "written") or evidence:
                    return largest or 0
                if outcome != "failed" or partial:
                    largest = max(largest or 0, size)
        return largest

    def _rows(self, condition: str, *values: str) -> list[tuple[JournalState, wire.Done]]:
        with self._reading():
            rows = self._db.execute(
                f"SELECT state, id, outcome, error_type, partial, window FROM jobs WHERE {condition} ORDER BY number",
                values,
            ).fetchall()
        return [
            (JournalState(state), wire.Done(job, outcome, error_type, bool(partial), window))
            for state, job, outcome, error_type, partial, window in rows
        ]

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                raise self._trouble(error) from None


def _code(error: sqlite3.Error) -> int:
    # Without the extended part; an error of the module itself has none.
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
