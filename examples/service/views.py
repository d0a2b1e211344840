"""What the interfaces show, read beside the writer."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any, Final

from examples.service.records import Happening, Job

CAUGHT_UP: Final = 1000  # events at most that a client catches up with


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs: of an owner, on a printer, in a state, held or not, before a position; ``None`` is any."""

    owner: str | None
    printer: str | None
    state: str | None
    held: bool | None
    before: int | None


class Views:
    """Queries on one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def job(self, identifier: str) -> Job | None:
        """The job of this ID."""
        row = self._connection.execute("SELECT * FROM jobs WHERE id = ?", (identifier,)).fetchone()
        return None if row is None else Job.of(row)

    def jobs(self, wanted: Filter, limit: int) -> list[Job]:
        """The newest jobs that ``wanted`` lets through."""
        conditions: list[str] = ["1"]
        values: list[str | int] = []
        for column, value in (("owner", wanted.owner), ("printer", wanted.printer), ("state", wanted.state)):
            if value is not None:
                conditions.append(f"{column} = ?")
                values.append(value)
        if wanted.held is not None:
            conditions.append("held = 1" if wanted.held else "held = 0")  # literals: the partial index is used
        if wanted.before is not None:
            conditions.append("position < ?")
            values.append(wanted.before)
        rows = self._connection.execute(
            f"SELECT * FROM jobs WHERE {' AND '.join(conditions)} ORDER BY position DESC LIMIT ?", (*values, limit)
        )
        return [Job.of(row) for row in rows.fetchall()]

    def printers(self) -> list[dict[str, Any]]:
        """Every printer with its waiting jobs."""
        rows = self._connection.execute(
            "SELECT *, (SELECT count(*) FROM jobs WHERE printer = printers.id AND finished_at IS NULL) AS waiting"
            " FROM printers ORDER BY id"
        )
        return [dict(row) for row in rows.fetchall()]

    def printer(self, identifier: str) -> dict[str, Any] | None:
        """One printer."""
        row = self._connection.execute("SELECT * FROM printers WHERE id = ?", (identifier,)).fetchone()
        return None if row is None else dict(row)

    def agents(self) -> list[dict[str, Any]]:
        """Every agent."""
        rows = self._connection.execute("SELECT * FROM agents ORDER BY branch, name")
        return [dict(row) for row in rows.fetchall()]

    def missed(self, owner: str | None, after: int) -> tuple[list[Happening], int | None]:
        """The events after ``after``, of ``owner`` or all; or none, and the last one's number, where there is a gap."""
        self._connection.execute("BEGIN")
        try:
            (first, last) = self._connection.execute("SELECT min(seq), max(seq) FROM events").fetchone()
            (ever,) = self._connection.execute(
                "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)"
            ).fetchone()
            rows = self._connection.execute(
                "SELECT * FROM events WHERE seq > ? AND (? IS NULL OR owner = ?) ORDER BY seq LIMIT ?",
                (after, owner, owner, CAUGHT_UP + 1),
            ).fetchall()
        finally:
            self._connection.execute("COMMIT")
        # Pruned, of a database that was replaced, or too many.
        if after > ever or after + 1 < (first or ever + 1) or len(rows) > CAUGHT_UP:
            return [], last or ever
        return [Happening(row["seq"], row["owner"], json.loads(row["body"])) for row in rows], None
