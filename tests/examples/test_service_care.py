"""The care of the service's database: versions, damage, a full disk, age, backups; and how time is told."""

import asyncio
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from examples.jobs import wire
from examples.jobs.states import State
from examples.service import clock, schema
from examples.service.clock import Clock
from examples.service.database import Database
from examples.service.jobs import Jobs, TooLate
from examples.service.opening import OpeningHours
from examples.service.records import Order
from examples.service.registry import Registry
from examples.service.schema import MIGRATIONS, Unusable, open_database
from examples.service.settings import Settings
from examples.service.views import CAUGHT_UP, Views
from examples.service.writer import Unavailable
from tests.examples.processes import SECRET, Process, service, token
from tests.examples.scripted import JOURNAL, Scripted
from tests.nursery import ROOT

JOBS = "/api/v1/printing/jobs"
RECEIPT = {"elements": [{"type": "text", "text": "2 x Ramen\n"}, {"type": "cut"}]}
VERSION_1 = Path(__file__).parent / "data" / "service_schema_1.sql"


def refused(database: Path) -> str:
    """The one line with which a service refuses to start."""
    process = Process(
        "examples.service",
        {"SERVICE_PORT": "0", "SERVICE_JWT_SECRET": SECRET, "SERVICE_DATABASE": str(database)},
    )
    assert process.process.wait(20) == 2
    process.stop()
    [line] = process.errors
    assert str(database) in line
    return line


def version_1(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_1.read_text())


def layout(path: Path) -> dict[str, str]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite%'"
        )
        return {name: " ".join(sql.split()) for name, sql in rows}


# -- versions --------------------------------------------------------------------------------------------------------


def test_a_database_of_version_1_is_served_on(tmp_path: Path) -> None:
    path = tmp_path / "service.db"
    version_1(path)
    with service(SERVICE_DATABASE=str(path)) as till:
        for letter, outcome in (("a", "confirmed"), ("b", "unknown"), ("c", None), ("d", None)):
            assert till.ask("GET", f"{JOBS}/{letter * 32}")[1]["outcome"] == outcome
        with Scripted(till, jobs={"c" * 32: "started"}, sequence=11) as agent:
            agent.finish("c" * 32)
            queued = agent.job()
            assert (queued.id, queued.receipt["elements"][0]["text"]) == ("d" * 32, "No. 4\n")
            agent.finish("d" * 32)
            fresh = till.submit("kitchen")["id"]
            assert agent.job().id == fresh


def test_what_was_published_of_the_schema_has_not_changed(tmp_path: Path) -> None:
    version_1(tmp_path / "old.db")
    open_database(tmp_path / "new.db", MIGRATIONS[:1]).close()
    assert layout(tmp_path / "old.db") == layout(tmp_path / "new.db")


def test_migrations_are_taken_one_after_the_other_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "service.db"
    version_1(path)
    more = ("ALTER TABLE printers ADD COLUMN model TEXT NOT NULL DEFAULT ''", "UPDATE printers SET model = 'TM'")
    broken = ("ALTER TABLE printers ADD COLUMN place TEXT NOT NULL DEFAULT ''", "UPDATE nobody SET x = 1")
    with pytest.raises(Unusable, match="no such table"):
        open_database(path, (*MIGRATIONS, more, broken))
    with closing(open_database(path, (*MIGRATIONS, more))) as connection:  # the first of them has been taken
        assert connection.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS) + 1
        assert [row["model"] for row in connection.execute("SELECT * FROM printers")] == ["TM"]
        assert "place" not in connection.execute("SELECT * FROM printers").fetchone().keys()  # noqa: SIM118
    assert "run the newer version" in refused(path)


def test_every_commit_is_synced(tmp_path: Path) -> None:
    with closing(open_database(tmp_path / "service.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2


# -- files that are not to be used -----------------------------------------------------------------------------------


def damaged(path: Path) -> None:
    version_1(path)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 8192)


def torn(path: Path) -> None:
    version_1(path)
    os.truncate(path, path.stat().st_size // 2)


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE orders (x)")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (damaged, "put a backup in its place"),
        (torn, "put a backup in its place"),
        (lambda path: path.write_text("not a database, but long enough to be looked at" * 100), "not a database"),
        (foreign, "belongs to another program"),
        (lambda path: path.mkdir(), "check its folder"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused_in_one_line(
    tmp_path: Path, make: Callable[[Path], None], said: str
) -> None:
    path = tmp_path / "service.db"
    make(path)
    assert said in refused(path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "check its folder" in refused(tmp_path / "nowhere" / "service.db")


def test_one_process_serves_a_database(tmp_path: Path) -> None:
    path = tmp_path / "service.db"
    with service(SERVICE_DATABASE=str(path)) as till:
        assert "another process" in refused(path)
        till.process.process.send_signal(signal.SIGKILL)
        till.process.process.wait(10)
        with service(SERVICE_DATABASE=str(path)):
            pass


# -- a disk that is full ---------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits the file size of a running process")
def test_on_a_full_disk_nothing_is_promised_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "service.db"
    with service(SERVICE_DATABASE=str(path)) as till, Scripted(till, sequence=10) as agent:
        job = till.submit("kitchen")["id"]
        assert agent.job().id == job
        process = till.process.process.pid
        before = resource.prlimit(process, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        order = {"printer": "kitchen", "receipt": RECEIPT}
        for _ in range(3):
            status, problem, headers = till.ask("POST", JOBS, order, Idempotency_Key="4711")
            assert (status, problem["field"], headers["retry-after"]) == (503, "database", "5")
            assert headers["content-type"] == "application/problem+json"
        agent.send(wire.Done(job, "confirmed"))
        assert agent.closed() == 1013  # not settled: it will say it again
        time.sleep(1.1)
        assert till.ask("GET", "/health/ready", bearer=None)[0] == 503
        assert till.ask("GET", "/health/live", bearer=None)[0] == 200
        assert till.ask("GET", f"{JOBS}/{job}")[1]["state"] == "dispatched"

        resource.prlimit(process, resource.RLIMIT_FSIZE, before)
        with agent.rejoin({job: "done"}) as again:
            again.finish(job)
            assert till.ended(job)["outcome"] == "confirmed"
            status, accepted, _ = till.ask("POST", JOBS, order, Idempotency_Key="4711")
            assert status == 202
            assert again.job().id == accepted["id"]
            assert len(till.ask("GET", JOBS)[1]["jobs"]) == 2
        deadline = time.monotonic() + 5
        while till.ask("GET", "/health/ready", bearer=None)[0] != 200:
            assert time.monotonic() < deadline
    assert any("does not take a change" in line for line in till.process.errors)


def test_a_database_that_may_not_grow_takes_nothing_half(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "service.db")
    with Database(settings) as database:
        pages = database.jobs._connection.execute("PRAGMA page_count").fetchone()[0]
        database.jobs._connection.execute(f"PRAGMA max_page_count = {pages}")

        async def fill() -> None:
            await database.write(database.registry.join, hello())
            for _ in range(100):
                await database.write(database.jobs.submit, order(text="x" * 2000))

        with pytest.raises(Unavailable, match="full"):
            asyncio.run(fill())
        connection = database.jobs._connection
        [jobs], [contents] = (
            connection.execute(f"SELECT count(*) FROM {name}").fetchone() for name in ("jobs", "contents")
        )
        assert jobs == contents


# -- time and age ----------------------------------------------------------------------------------------------------


class FakeClock(Clock):
    """A clock that a test sets."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 1_000_000.0

    def now(self) -> float:
        return self.time


def hello(**changes: Any) -> wire.Hello:
    values = {
        "agent": "pc",
        "branch": "mitte",
        "journal": JOURNAL,
        "sequence": 1,
        "printers": (wire.Printer("kitchen"),),
    }
    return wire.Hello(**{**values, **changes})


def order(text: str = "x", **changes: Any) -> Order:
    values = {
        "printer": "kitchen",
        "kind": "receipt",
        "timeout": 30.0,
        "lifetime": 300.0,
        "content": {"receipt": {"elements": [{"type": "text", "text": text}]}},
        "owner": "till",
        "key": None,
        "request": "",
        "correlation_id": "order-1",
        "carrier": {},
    }
    return Order(**{**values, **changes})


def settings_for(path: Path, **changes: Any) -> Settings:
    settings = Settings(
        host="",
        port=0,
        database=str(path),
        secret=SECRET,
        audience="",
        origins=frozenset(),
        max_body=1,
        queue_limit=1000,
        printer_queue_limit=1000,
        job_timeout=30,
        job_lifetime=300,
        answer_grace=30,
        ping=20,
        keep_days=30,
        trace_seconds=0,
        rate_requests=0,
        rate_handshakes=0,
        rate_messages=0,
        reprint_branches=frozenset(),
        opening_hours=OpeningHours(),
    )
    return replace(settings, **changes)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with closing(open_database(tmp_path / "service.db")) as connection:
        time_of_day = FakeClock()
        jobs = Jobs(connection, time_of_day, limit=2000, printer_limit=2000)
        yield jobs, Registry(connection, time_of_day, jobs), time_of_day, connection


def test_silence_after_dispatch_is_unknown_and_never_failed(store: Any) -> None:
    jobs, registry, time_of_day, _ = store
    session = registry.join(hello()).session
    job = jobs.submit(order())
    following = jobs.submit(order())
    assert jobs.claim("kitchen", session)[0].id == job.id
    time_of_day.time += 301
    assert [(each.id, each.error_type) for each in jobs.overdue(30.0)] == [(following.id, "expired")]
    assert jobs.get(job.id).state is State.DISPATCHED
    time_of_day.time += 60
    [lost] = jobs.overdue(30.0)
    assert (lost.state, lost.error_type, lost.held) == (State.UNKNOWN, "agent_lost", True)
    late = jobs.done(lost.journal, wire.Done(job.id, "written"), since_hello=True)
    assert late is None
    proof = jobs.done(lost.journal, wire.Done(job.id, "confirmed"), since_hello=True)
    assert (proof.state, proof.held, proof.evidence_at) == (State.UNKNOWN, False, time_of_day.time)


def test_a_job_whose_time_is_over_is_not_sent_even_before_anybody_has_looked(store: Any) -> None:
    jobs, registry, time_of_day, _ = store
    session = registry.join(hello()).session
    jobs.submit(order())
    time_of_day.time += 300
    last = jobs.submit(order())
    assert jobs.claim("kitchen", session)[0].id == last.id


def test_a_connection_that_was_replaced_is_sent_nothing(store: Any) -> None:
    jobs, registry, _, _ = store
    old = registry.join(hello()).session
    new = registry.join(hello(sequence=2)).session
    jobs.submit(order())
    assert jobs.claim("kitchen", old) is None
    assert jobs.claim("kitchen", new) is not None
    assert jobs.claim("kitchen", new) is None  # one at a time


def test_what_is_old_is_forgotten_and_what_is_open_is_not(store: Any) -> None:
    jobs, registry, time_of_day, connection = store
    session = registry.join(hello()).session
    done = jobs.submit(order(key="4711"))
    journal = jobs.claim("kitchen", session)[0].journal
    jobs.done(journal, wire.Done(done.id, "unknown"), since_hello=True)
    waiting = jobs.submit(order(lifetime=10**7))
    time_of_day.time += 86_400.0
    assert jobs.prune(86_400.0) == 0
    time_of_day.time += 1
    assert jobs.prune(86_400.0) == 1
    assert jobs.get(done.id) is None
    assert jobs.get(waiting.id) is not None
    assert connection.execute("SELECT count(*) FROM contents").fetchone()[0] == 1
    assert connection.execute("SELECT count(*) FROM events").fetchone()[0] == 0
    for change in (jobs.release, jobs.cancel):
        with pytest.raises(TooLate):
            change(done)


def test_what_a_client_can_catch_up_with_is_bounded_and_a_gap_is_said(store: Any) -> None:
    jobs, registry, time_of_day, connection = store
    registry.join(hello())
    connection.execute("BEGIN")
    for number in range(CAUGHT_UP + 1):
        jobs.submit(order(owner="till" if number else "another", lifetime=10**7))
    connection.execute("COMMIT")
    views = Views(connection)
    assert views.missed(None, 0) == ([], CAUGHT_UP + 1)
    happenings, gap = views.missed("till", 0)
    assert ([each.seq for each in happenings], gap) == ([*range(2, CAUGHT_UP + 2)], None)
    assert views.missed("till", CAUGHT_UP + 1) == ([], None)
    assert views.missed("till", CAUGHT_UP + 2) == ([], CAUGHT_UP + 1)  # of another database
    time_of_day.time += 86_401.0
    jobs.prune(10**7)
    assert views.missed("till", 700) == ([], CAUGHT_UP + 1)  # some of it is forgotten
    assert len(views.missed("till", 900)[0]) == CAUGHT_UP + 1 - 900


def test_the_time_of_day_follows_its_clock_but_does_not_jump_with_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = time.time
    told = Clock()

    def off(seconds: float) -> float:
        monkeypatch.setattr(clock.time, "time", lambda: real() + seconds)
        told.follow()
        return told.now() - real()

    assert abs(off(1.0) - 1.0) < 0.1
    assert abs(off(3600.0) - 1.0) < 0.1
    assert abs(off(3600.5) - 1.0) < 0.1
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert abs(off(0.5) - 0.5) < 0.1


# -- backups ---------------------------------------------------------------------------------------------------------


def backup(database: Path, target: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "examples.service.backup", str(target)],
        cwd=ROOT,
        env={**os.environ, "SERVICE_DATABASE": str(database)},
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_a_backup_is_made_while_it_runs_and_nothing_in_it_is_printed_again(tmp_path: Path) -> None:
    path, copy = tmp_path / "service.db", tmp_path / "backup.db"
    with service(SERVICE_DATABASE=str(path)) as till, Scripted(till, sequence=10) as agent:
        done = till.submit("kitchen")["id"]
        agent.finish(agent.job().id)
        jobs = [till.submit("kitchen")["id"] for _ in range(2)]
        assert agent.job().id == jobs[0]
        made = backup(path, copy)
        assert (made.returncode, made.stdout, made.stderr) == (0, f"{copy}: 3 jobs\n", "")
        agent.finish(jobs[0])  # it goes on
        assert agent.job().id == jobs[1]
        agent.finish(jobs[1])
    assert sorted(each.name for each in tmp_path.iterdir() if "backup" in each.name) == ["backup.db"]
    with service(SERVICE_DATABASE=str(copy)) as till, Scripted(till, sequence=20) as agent:
        assert till.ended(done)["outcome"] == "confirmed"
        for job in jobs:
            restored = till.ended(job)
            assert (restored["outcome"], restored["error_type"], restored["held"]) == ("unknown", "journal_lost", True)
        assert agent.silent()
        status, again, _ = till.ask("POST", f"{JOBS}/{jobs[0]}/reprint", bearer=token("boss", "operate"))
        assert status == 202
        assert agent.job() == wire.load(json.dumps(agent.last))
        assert agent.last["reprint_of"] == jobs[0]
        assert agent.last["id"] == again["id"]


def test_a_backup_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    path, copy = tmp_path / "service.db", tmp_path / "backup.db"
    assert "SERVICE_DATABASE" in backup(path, copy).stderr
    damaged(path)
    made = backup(path, copy)
    assert made.returncode == 2
    assert len(made.stderr.splitlines()) == 1
    path.unlink()
    open_database(path).close()
    copy.write_text("precious")
    assert "name a new file" in backup(path, copy).stderr
    assert copy.read_text() == "precious"
    assert sorted(each.name for each in tmp_path.iterdir() if "partial" in each.name) == []


def test_the_lock_beside_a_database_goes_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "service.db"
    lock = schema.Lock(path)
    with pytest.raises(Unusable, match="in use"):
        schema.Lock(path)
    lock.release()
    schema.Lock(path).release()
