"""How many jobs have ended how, ever: counted in the transaction that ends each, so that no kill makes it forget one.

Totals outlive the jobs, which are pruned. What others choose (kinds, and what agents give as reasons) is bounded.
"""

from __future__ import annotations

import sqlite3
from typing import Final, NamedTuple

from examples.jobs.states import State

OUTCOMES: Final = "outcomes"
REPRINTS: Final = "reprints"

OTHER: Final = "_OTHER"  # what is over a bound, as in the library's own labels
ROWS: Final = 1600  # of one name; the library shows 2,000 series at most
KINDS: Final = 16
ERRORS: Final = 48

_THIS: Final = "name = ? AND branch = ? AND printer = ? AND kind = ? AND outcome = ? AND error_type = ?"


class Total(NamedTuple):
    """What is counted: jobs of a printer by ``kind``, ``outcome`` and ``error_type``; empty where that says nothing."""

    name: str
    branch: str
    printer: str
    kind: str = ""
    outcome: str = ""
    error_type: str = ""


class Totals:
    """The totals in the database; its methods run inside transactions."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._changed: dict[Total, int] = {}

    def begin(self, branch: str, printer: str, kind: str) -> None:
        """Have a total for each way that a job may end, from the first on: a rate needs a zero to rise from."""
        ways = [Total(OUTCOMES, branch, printer, kind, state) for state in State if state.final]
        # What is over a bound has been begun as others are: it is not looked for in vain once for each of them.
        if not self._there(ways[0]) and not self._there(self._bounded(ways[0])):
            for total in (*ways, Total(REPRINTS, branch, printer)):
                self.add(total, 0)

    def _there(self, total: Total) -> bool:
        return self._connection.execute(f"SELECT 1 FROM totals WHERE {_THIS}", total).fetchone() is not None

    def add(self, total: Total, more: int = 1) -> None:
        """One more; or none, where it is to be shown from now on."""
        count = self._more(total, more)
        if count is None:
            total = self._bounded(total)
            count = self._more(total, more)
        if count is None:
            count = more
            self._connection.execute("INSERT INTO totals VALUES (?, ?, ?, ?, ?, ?, ?)", (*total, more))
        self._changed[total] = count

    def _more(self, total: Total, more: int) -> int | None:
        rows = self._connection.execute(
            f"UPDATE totals SET count = count + ? WHERE {_THIS} RETURNING count", (more, *total)
        ).fetchall()
        return rows[0]["count"] if rows else None

    def drain(self) -> dict[Total, int]:
        """Those that the last transaction has changed, as they are now."""
        changed, self._changed = self._changed, {}
        return changed

    def all(self) -> dict[Total, int]:
        """Every one."""
        rows = self._connection.execute("SELECT * FROM totals").fetchall()
        return {Total(*row[:-1]): row["count"] for row in rows}

    def _bounded(self, total: Total) -> Total:
        known = [each for each in self.all() if each.name == total.name]
        for column, most in (("kind", KINDS), ("error_type", ERRORS)):
            values = {getattr(each, column) for each in known}
            if getattr(total, column) not in values and len(values) >= most:
                total = total._replace(**{column: OTHER})
        if total in known or len(known) < ROWS:
            return total
        kind, error_type = OTHER if total.kind else "", OTHER if total.error_type else ""
        return Total(total.name, OTHER, OTHER, kind, total.outcome, error_type)
