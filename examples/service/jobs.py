"""What happens to jobs, as transactions: every method runs inside one of `examples.service.writer.Writer`.

The numbers in comments are the rows of the table in docs/job-states.md.
"""

from __future__ import annotations

import json
import re
import sqlite3
import uuid
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any, Final

from examples.jobs import wire
from examples.jobs.states import SERVICE, Event, IllegalTransition, State, advance
from examples.service.clock import Clock
from examples.service.records import Changes, Happening, Job, Order
from examples.service.totals import OTHER, OUTCOMES, REPRINTS, Total, Totals

MAX_SENT: Final = 5  # times that a job is given to an agent which breaks down before it starts it
EVENTS_AGE: Final = 86_400.0  # seconds: a client that was away for longer asks for its jobs over HTTP
SWEPT: Final = 200  # jobs at most that one transaction gives up or prunes: others wait for it


class Full(Exception):  # noqa: N818 - reads as what is wrong
    """As many jobs are open as may be: in all, or of one printer."""


class KeyReused(Exception):  # noqa: N818 - reads as what happened
    """The client has used this Idempotency-Key with another request."""


class UnknownPrinter(Exception):  # noqa: N818 - reads as what is wrong
    """No agent has registered this printer; says which, where its name is a possible one."""

    def __init__(self, printer: str) -> None:
        shown = printer if re.fullmatch(wire.NAME, printer) else "of this name"
        super().__init__(f"no agent has registered a printer {shown}")


class TooLate(Exception):  # noqa: N818 - reads as what happened
    """The job is in no state for this; carries the job."""

    def __init__(self, job: Job) -> None:
        super().__init__(job.id)
        self.job = job


class Jobs:
    """The jobs in the database.

    ``limit`` and ``printer_limit`` bound how many may be open, in all and of one printer. Where it is unknown whether a
    receipt came out, a person decides (`Job.held`), but in ``reprinting`` branches it is printed again, marked, once.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        clock: Clock,
        *,
        limit: int,
        printer_limit: int,
        reprinting: Collection[str] = (),
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._limit = limit
        self._printer_limit = printer_limit
        self._reprinting = frozenset(reprinting)
        self._totals = Totals(connection)
        self._changes = Changes()

    def drain(self) -> Changes:
        """What the last transaction has done."""
        changes, self._changes = self._changes, Changes()
        changes.totals.update(self._totals.drain())
        return changes

    def standing(self) -> Changes:
        """How things stand, for who follows changes from now on: all totals, and the jobs that are open or held."""
        rows = self._connection.execute(
            "SELECT jobs.*, branch FROM jobs JOIN printers ON printers.id = printer"
            " WHERE finished_at IS NULL OR held = 1"
        ).fetchall()
        return Changes(jobs=[(row["branch"], Job.of(row)) for row in rows], totals=self._totals.all())

    def get(self, identifier: str) -> Job | None:
        """The job of this ID."""
        row = self._connection.execute("SELECT * FROM jobs WHERE id = ?", (identifier,)).fetchone()
        return None if row is None else Job.of(row)

    def content(self, job: Job) -> dict[str, Any]:
        """What is to be printed: ``{"receipt": …}`` or ``{"raw": …}``."""
        (body,) = self._connection.execute("SELECT body FROM contents WHERE job = ?", (job.id,)).fetchone()
        content: dict[str, Any] = json.loads(body)
        return content

    # -- clients -----------------------------------------------------------------------------------------------------

    def submit(self, order: Order) -> Job:
        """Row 1: queue a job, or find the one of this key; raises `KeyReused`, `UnknownPrinter`, `Full`."""
        known = self._by_key(order)
        if known is not None:
            return known
        if not self._count("SELECT count(*) FROM printers WHERE id = ?", order.printer):
            raise UnknownPrinter(order.printer)
        self._admit(order.printer)
        return self._insert(order, json.dumps(order.content))

    def missed(self) -> None:
        """A test print was asked of a printer that there is not: a test that has failed."""
        self._totals.add(Total(OUTCOMES, "", OTHER, "test", State.FAILED, "not_found"))

    def reprint(self, job: Job, order: Order) -> Job:
        """Row 15: a new job, marked as a copy of ``job``, whose hold is closed; raises as `submit`, and `TooLate`."""
        known = self._by_key(order)
        if known is not None:
            return known
        current = self._current(job)
        if not current.state.final:
            raise TooLate(current)
        self._admit(order.printer)
        self._close_hold(current)
        return self._insert(order, json.dumps(self.content(current)), current.id)

    def release(self, job: Job) -> Job:
        """Close the hold on a job: a person has seen to it; raises `TooLate` where it is not held."""
        current = self._current(job)
        if not current.held:
            raise TooLate(current)
        return self._close_hold(current)

    def cancel(self, job: Job) -> Job:
        """Row 2: cancelled, if it is queued. Row 12: its agent is to be asked. Raises `TooLate`."""
        current = self._current(job)
        if current.state is State.QUEUED:
            return self.happened(current, Event.CANCELLED)
        if current.state is State.DISPATCHED:
            if current.cancel_asked:
                return current
            return self._set(current, cancel_asked=True)
        if current.state is State.CANCELLED:
            return current
        raise TooLate(current)

    # -- agents ------------------------------------------------------------------------------------------------------

    def claim(self, printer: str, session: int) -> tuple[Job, dict[str, Any], float] | None:
        """Row 3: the job that ``printer`` is to be sent now, what is on it, and the seconds left to begin it.

        One at a time, in their order; none where ``session`` is not its agent's any more.
        """
        journal = self._connection.execute(
            "SELECT agents.branch || '/' || name || '/' || journal AS identity"
            " FROM agents JOIN printers ON agents.branch = printers.branch AND name = agent"
            " WHERE printers.id = ? AND session = ?",
            (printer, session),
        ).fetchone()
        if journal is None:
            return None
        while (job := self._oldest(printer)) is not None and job.state is State.QUEUED:
            left = job.expires_at - self._clock.now()
            if left <= 0:
                self.happened(job, Event.EXPIRED)
                continue
            job = self.happened(job, Event.SENT, journal=journal["identity"], sent=job.sent + 1)
            return job, self.content(job), min(left, wire.MAX_LIFETIME)  # a clock may have been set back
        return None

    def done(self, journal: str, result: wire.Done, *, since_hello: bool) -> Job | None:
        """Row 7: the result of a job that was sent to this journal; ``None`` where it changes nothing.

        ``since_hello``: it was written into the journal after the last hello, which has therefore grown.
        """
        job = self.get(result.id)
        if job is None or job.journal != journal:
            self._changes.strays.append(result.id)
            return None
        if job.state is State.UNKNOWN and result.outcome == "confirmed":
            return self.evidence(journal, job.id)
        try:
            job = self.happened(
                job,
                Event(result.outcome),
                error_type=result.error_type,
                partial=result.partial,
                window=result.window if result.outcome == "unknown" else "",
            )
        except IllegalTransition:
            self._changes.strays.append(result.id)
            return None
        if since_hello:
            self._connection.execute(
                "UPDATE agents SET sequence = sequence + 1 WHERE branch = ? AND name = ? AND journal = ?",
                journal.split("/"),
            )
        return job

    def evidence(self, journal: str, identifier: str) -> Job | None:
        """Row 14: an unknown job is on paper after all. Its outcome stays, its hold is closed."""
        job = self.get(identifier)
        if job is None or job.journal != journal or job.state is not State.UNKNOWN or job.evidence_at is not None:
            return None
        return self._set(job, held=False, evidence_at=self._clock.now())

    def cancelled(self, journal: str, answer: wire.Cancelled) -> Job | None:
        """Row 12: the agent's answer to a cancellation; ``None`` where it changes nothing."""
        job = self.get(answer.id)
        if job is None or job.journal != journal or job.state is not State.DISPATCHED or not job.cancel_asked:
            return None
        return self.happened(job, Event.CANCELLED) if answer.cancelled else self._set(job, cancel_asked=False)

    def reconcile(self, printers: Iterable[str], journal: str | None, known: Collection[str]) -> list[Job]:
        """Rows 9 and 10: what has become of the dispatched jobs of an agent that has come (back).

        ``journal`` is ``None`` where none is to be trusted; ``known`` are the jobs in it.
        """
        changed = []
        for printer in printers:
            job = self._oldest(printer)
            if job is None or job.state is not State.DISPATCHED:
                continue
            if job.journal != journal:
                changed.append(self.happened(job, Event.JOURNAL_LOST))
            elif job.id not in known:
                event = Event.ABSENT
                if job.cancel_asked:
                    event = Event.CANCELLED
                elif job.sent >= MAX_SENT:
                    event = Event.UNDELIVERABLE
                changed.append(self.happened(job, event))
        return changed

    # -- time --------------------------------------------------------------------------------------------------------

    def overdue(self, grace: float) -> list[Job]:
        """Rows 2 and 11: give up what has waited too long; ``grace`` in seconds, for an agent's answer."""
        now = self._clock.now()
        rows = self._connection.execute(
            "SELECT * FROM jobs WHERE finished_at IS NULL AND"
            " (state = 'queued' AND expires_at < ? OR state = 'dispatched' AND expires_at + timeout + ? < ?)"
            " ORDER BY position LIMIT ?",
            (now, grace, now, SWEPT),
        ).fetchall()
        return [
            self.happened(job, Event.EXPIRED if job.state is State.QUEUED else Event.AGENT_LOST)
            for job in map(Job.of, rows)
        ]

    def prune(self, age: float) -> int:
        """Forget jobs that ended ``age`` seconds ago, and events after a day at most, some at a time; how many jobs."""
        before = self._clock.now() - age
        rows = self._connection.execute(
            "SELECT id FROM jobs WHERE finished_at < ? ORDER BY finished_at LIMIT ?", (before, SWEPT)
        ).fetchall()
        for (identifier,) in rows:
            self._connection.execute("DELETE FROM contents WHERE job = ?", (identifier,))
            self._connection.execute("DELETE FROM jobs WHERE id = ?", (identifier,))
            self._changes.pruned.append(identifier)
        self._connection.execute(
            "DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE at < ? ORDER BY at LIMIT ?)",
            (max(before, self._clock.now() - EVENTS_AGE), 4 * SWEPT),
        )
        return len(rows)

    def waiting(self) -> list[str]:
        """The printers that could be sent a job: one is queued, none is dispatched."""
        rows = self._connection.execute(
            "SELECT printer FROM jobs WHERE finished_at IS NULL GROUP BY printer HAVING max(state = 'dispatched') = 0"
        )
        return [printer for (printer,) in rows]

    def announce(self, printers: Iterable[str]) -> None:
        """Tell of the open jobs of ``printers`` as they are: what they wait for has changed."""
        for printer in printers:
            rows = self._connection.execute(
                "SELECT * FROM jobs WHERE printer = ? AND finished_at IS NULL ORDER BY position LIMIT ?",
                (printer, SWEPT),
            ).fetchall()
            for row in rows:
                self._tell(Job.of(row))

    # -- rows --------------------------------------------------------------------------------------------------------

    def happened(self, job: Job, event: Event, **details: Any) -> Job:
        """Take the job to its next state; raises `IllegalTransition`, and then nothing has changed."""
        state = advance(SERVICE, job.state, event)
        if state.final:
            details["finished_at"] = self._clock.now()
            if event in (Event.EXPIRED, Event.UNDELIVERABLE, Event.JOURNAL_LOST, Event.AGENT_LOST):
                details["error_type"] = details["window"] = event.value
                if state is not State.UNKNOWN:
                    details["window"] = ""
        branch = self._branch(job.printer)
        again = state is State.UNKNOWN and not job.reprint_of and branch in self._reprinting
        if state is State.UNKNOWN:
            details["held"] = not again
        job = self._set(job, state=state, **details)
        if event is Event.SENT:
            self._changes.events.append(("job.dispatched", branch, job))
        if state.final:
            self._changes.events.append(("job.done", branch, job))
            if job.held:
                self._changes.events.append(("job.held", branch, job))
            self._totals.add(Total(OUTCOMES, branch, job.printer, job.kind, state, job.error_type))
        if again:
            self._insert(
                Order(
                    printer=job.printer,
                    kind=job.kind,
                    timeout=job.timeout,
                    lifetime=job.expires_at - job.created_at,
                    content={},
                    owner=job.owner,
                    key=None,
                    request="",
                    correlation_id=job.correlation_id,
                    carrier=job.carrier,
                ),
                json.dumps(self.content(job)),
                job.id,
            )
        return job

    def _set(self, job: Job, **values: Any) -> Job:
        names = ", ".join(f"{name} = :{name}" for name in values)  # names of ours, never a caller's
        done = self._connection.execute(
            f"UPDATE jobs SET {names} WHERE id = :the_id AND state = :the_state",
            {**values, "the_id": job.id, "the_state": job.state},
        )
        assert done.rowcount == 1, "nobody else writes"
        job = replace(job, **values)
        self._tell(job)
        return job

    def _insert(self, order: Order, content: str, reprint_of: str = "") -> Job:
        now = self._clock.now()
        identifier = uuid.uuid4().hex
        self._connection.execute(
            "INSERT INTO jobs (id, printer, kind, timeout, owner, key, request, correlation_id, carrier, state,"
            " reprint_of, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                identifier,
                order.printer,
                order.kind,
                order.timeout,
                order.owner,
                order.key,
                order.request,
                order.correlation_id,
                json.dumps(order.carrier),
                State.QUEUED,
                reprint_of,
                now,
                now + order.lifetime,
            ),
        )
        self._connection.execute("INSERT INTO contents VALUES (?, ?)", (identifier, content))
        job = self.get(identifier)
        assert job is not None
        branch = self._branch(job.printer)
        self._totals.begin(branch, job.printer, job.kind)
        if reprint_of:
            self._totals.add(Total(REPRINTS, branch, job.printer))
        self._changes.events.append(("job.accepted", branch, job))
        self._tell(job)
        return job

    def _tell(self, job: Job) -> None:
        body = {**job.describe(), **job.carrier}
        cursor = self._connection.execute(
            "INSERT INTO events (owner, at, body) VALUES (?, ?, ?)", (job.owner, self._clock.now(), json.dumps(body))
        )
        assert cursor.lastrowid is not None
        self._changes.happenings.append(Happening(cursor.lastrowid, job.owner, body))
        self._changes.jobs.append((self._branch(job.printer), job))

    def _by_key(self, order: Order) -> Job | None:
        if order.key is None:
            return None
        row = self._connection.execute(
            "SELECT * FROM jobs WHERE owner = ? AND key = ?", (order.owner, order.key)
        ).fetchone()
        if row is None:
            return None
        if row["request"] != order.request:
            raise KeyReused
        return Job.of(row)

    def _admit(self, printer: str) -> None:
        """Raise `Full` where one more job would be too many."""
        if (
            self._count("SELECT count(*) FROM jobs WHERE finished_at IS NULL") >= self._limit
            or self._count("SELECT count(*) FROM jobs WHERE printer = ? AND finished_at IS NULL", printer)
            >= self._printer_limit
        ):
            raise Full

    def _count(self, query: str, *values: str) -> int:
        (count,) = self._connection.execute(query, values).fetchone()
        return int(count)

    def _current(self, job: Job) -> Job:
        current = self.get(job.id)
        if current is None:  # pruned meanwhile
            raise TooLate(job)
        return current

    def _close_hold(self, job: Job) -> Job:
        return self._set(job, held=False) if job.held else job

    def _oldest(self, printer: str) -> Job | None:
        row = self._connection.execute(
            "SELECT * FROM jobs WHERE printer = ? AND finished_at IS NULL ORDER BY position LIMIT 1", (printer,)
        ).fetchone()
        return None if row is None else Job.of(row)

    def _branch(self, printer: str) -> str:
        (branch,) = self._connection.execute("SELECT branch FROM printers WHERE id = ?", (printer,)).fetchone()
        return str(branch)
