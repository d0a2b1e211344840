"""``python -m examples.service.backup TARGET``: copy the database of SERVICE_DATABASE to a new file, while it is used.

A backup is older than the world it is restored into: what was open may have been printed since. So every job that has
no outcome is *unknown* in the copy, and held: nothing in it is ever printed again by itself.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

from examples.environment import Environment, stop
from examples.jobs.states import SERVICE, Event, State, advance
from examples.service import schema
from examples.service.totals import OUTCOMES, Total, Totals


def main() -> None:
    """Copy; status 2 and one line where that is not possible, and then there is no target."""
    parser = argparse.ArgumentParser("python -m examples.service.backup")
    parser.add_argument("target", type=Path, help="a file that does not exist yet")
    target: Path = parser.parse_args().target
    environment = Environment()
    source = Path(environment.text("SERVICE_DATABASE", "printobs-service.db"))
    environment.check()
    if not source.is_file():
        stop(f"there is no database {source}: say in SERVICE_DATABASE where it is")
    if target.exists():
        stop(f"{target} exists: name a new file")
    partial = target.with_name(target.name + ".partial")
    try:
        partial.unlink(missing_ok=True)
        with closing(schema.connect(source)) as connection:
            schema.copy(connection, partial)
        jobs = _close_open_jobs(partial)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.rename(target)
    except (sqlite3.Error, schema.Unusable, OSError) as error:
        partial.unlink(missing_ok=True)
        stop(f"the database {source} cannot be copied to {target}: {error}")
    sys.stdout.write(f"{target}: {jobs} jobs\n")


def _close_open_jobs(path: Path) -> int:
    """Make what has no outcome unknown; how many jobs there are."""
    unknown = advance(SERVICE, advance(SERVICE, State.QUEUED, Event.SENT), Event.JOURNAL_LOST)
    with closing(schema.open_database(path)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        totals = Totals(connection)
        for branch, printer, kind in connection.execute(
            "SELECT branch, printer, kind FROM jobs JOIN printers ON printers.id = printer WHERE finished_at IS NULL"
        ).fetchall():
            totals.add(Total(OUTCOMES, branch, printer, kind, unknown, Event.JOURNAL_LOST))
        connection.execute(
            "UPDATE jobs SET state = ?, error_type = ?, window = ?, held = 1, finished_at = ?"
            " WHERE finished_at IS NULL",
            (unknown, Event.JOURNAL_LOST, Event.JOURNAL_LOST, time.time()),
        )
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = DELETE")  # one file, with nothing beside it
        (jobs,) = connection.execute("SELECT count(*) FROM jobs").fetchone()
        return int(jobs)


if __name__ == "__main__":
    main()
