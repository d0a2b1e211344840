"""Who serves which printer, as transactions: every method runs inside one of `examples.service.writer.Writer`."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from examples.jobs import wire
from examples.service.clock import Clock
from examples.service.jobs import Jobs, UnknownPrinter
from examples.service.records import Job


class Refused(Exception):  # noqa: N818 - reads as what happened
    """An agent that cannot be had as it presents itself; says why, to its operator."""


class UnknownAgent(Exception):  # noqa: N818 - reads as what is wrong
    """No agent of this name has ever been here."""


@dataclass(frozen=True, slots=True)
class Joined:
    """An agent that was taken: the number of its session, its printers that were not, the jobs that have changed."""

    session: int
    refused: tuple[wire.Refused, ...]
    changed: list[Job]


class Registry:
    """The agents and printers in the database."""

    def __init__(self, connection: sqlite3.Connection, clock: Clock, jobs: Jobs) -> None:
        self._connection = connection
        self._clock = clock
        self._jobs = jobs

    def join(self, hello: wire.Hello) -> Joined:
        """Rows 9, 10 and 13: take an agent, and see what has become of its jobs; raises `Refused`."""
        claims = [(printer.id, self._claim(hello, printer)) for printer in hello.printers]
        refused = tuple(wire.Refused(printer, why) for printer, why in claims if why)
        session, gone_back = self._journal(hello)
        trusted = None if gone_back else identity(hello.branch, hello.agent, hello.journal)
        changed = self._jobs.reconcile(
            self._printers(hello.branch, hello.agent), trusted, {job.id for job in hello.jobs}
        )
        return Joined(session, refused, changed)

    def _claim(self, hello: wire.Hello, printer: wire.Printer) -> str:
        """Why the printer is not served, or nothing: another device must not keep the branch's others from printing."""
        row = self._connection.execute("SELECT * FROM printers WHERE id = ?", (printer.id,)).fetchone()
        if row is not None:
            if row["branch"] != hello.branch:
                raise Refused(f"printer {printer.id} belongs to another branch")
            if row["agent"] != hello.agent:
                raise Refused(
                    f"printer {printer.id} is served by another agent of its branch, {row['agent']}:"
                    f" take it out of this one's configuration, or have an operator reassign it to {hello.agent}"
                )
        why, serial = "", printer.serial
        twin = self._connection.execute(
            "SELECT id FROM printers WHERE serial = ? AND serial != '' AND id != ?", (serial, printer.id)
        ).fetchone()
        if row is not None and row["serial"] and serial and row["serial"] != serial:
            why = (
                f"printer {printer.id} has another serial number than before:"
                f" check its address, or have an operator reassign it to {hello.agent}"
            )
        elif twin is not None:
            why, serial = f"printer {printer.id} has the serial number of {twin['id']}: it is one printer", ""
        self._connection.execute(
            "INSERT INTO printers (id, branch, agent, serial, changed_at) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET serial = iif(serial = '', excluded.serial, serial), expected = 1",
            (printer.id, hello.branch, hello.agent, serial, self._clock.now()),
        )
        return why

    def _journal(self, hello: wire.Hello) -> tuple[int, bool]:
        """The number of the agent's new session, and whether its journal has gone back in time."""
        row = self._connection.execute(
            "SELECT * FROM agents WHERE branch = ? AND name = ?", (hello.branch, hello.agent)
        ).fetchone()
        session = 1 if row is None else row["session"] + 1
        self._connection.execute(
            "INSERT OR REPLACE INTO agents VALUES (?, ?, ?, ?, ?, ?, 1)",
            (hello.branch, hello.agent, hello.journal, hello.sequence, session, self._clock.now()),
        )
        # It grows before every hello: one that has not is of a journal that was put back.
        return session, row is not None and row["journal"] == hello.journal and hello.sequence <= row["sequence"]

    def _printers(self, branch: str, agent: str) -> list[str]:
        # All that it may serve, whether it still claims them or not: what was sent there was sent to its journal.
        rows = self._connection.execute("SELECT id FROM printers WHERE branch = ? AND agent = ?", (branch, agent))
        return [identifier for (identifier,) in rows.fetchall()]

    def seen(self, branch: str, agent: str) -> None:
        """An agent is gone."""
        self._connection.execute(
            "UPDATE agents SET seen_at = ? WHERE branch = ? AND name = ?", (self._clock.now(), branch, agent)
        )
        self._connection.execute(
            "UPDATE printers SET state = 'unknown', score = -1, changed_at = ? WHERE branch = ? AND agent = ?",
            (self._clock.now(), branch, agent),
        )
        self._jobs.announce(self._printers(branch, agent))

    def reported(self, branch: str, agent: str, message: wire.State) -> None:
        """How a printer is now; ignored where it is not this agent's."""
        self._connection.execute(
            "UPDATE printers SET state = ?, score = ?, changed_at = ? WHERE id = ? AND branch = ? AND agent = ?",
            (message.state, message.score, self._clock.now(), message.printer, branch, agent),
        )

    def probe(self) -> None:
        """Write something, to find out whether the database can be written."""
        self._connection.execute("UPDATE probe SET at = ?", (self._clock.now(),))

    def reassign(self, printer: str, agent: str) -> list[Job]:
        """Rows 10 and 13: let ``agent`` claim a printer, as a new one; raises `UnknownPrinter`."""
        done = self._connection.execute(
            "UPDATE printers SET agent = ?, serial = '', state = 'unknown', score = -1, changed_at = ? WHERE id = ?",
            (agent, self._clock.now(), printer),
        )
        if done.rowcount == 0:
            raise UnknownPrinter(printer)
        return self._jobs.reconcile([printer], None, ())

    def retire_printer(self, printer: str) -> str:
        """Expect it no more, until an agent claims it again; its branch. Raises `UnknownPrinter`."""
        rows = self._connection.execute(
            "UPDATE printers SET expected = 0 WHERE id = ? RETURNING branch", (printer,)
        ).fetchall()
        if not rows:
            raise UnknownPrinter(printer)
        branch: str = rows[0]["branch"]
        return branch

    def retire_agent(self, branch: str, agent: str) -> list[str]:
        """Expect it and its printers no more, until it comes again; these printers. Raises `UnknownAgent`."""
        done = self._connection.execute("UPDATE agents SET expected = 0 WHERE branch = ? AND name = ?", (branch, agent))
        if done.rowcount == 0:
            raise UnknownAgent(agent)
        rows = self._connection.execute(
            "UPDATE printers SET expected = 0 WHERE branch = ? AND agent = ? RETURNING id", (branch, agent)
        )
        return [identifier for (identifier,) in rows.fetchall()]


def identity(branch: str, agent: str, journal: str) -> str:
    """An agent's journal by its full name, as jobs are dispatched to it."""
    return f"{branch}/{agent}/{journal}"
