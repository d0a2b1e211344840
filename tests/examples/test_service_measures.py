"""What the service says of its jobs: totals that no kill makes it forget, how long they took, and what waits."""

import asyncio
import signal
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from examples.jobs import wire
from examples.jobs.states import State
from examples.service import totals
from examples.service.database import Database
from examples.service.schema import open_database
from examples.service.totals import OUTCOMES, Total, Totals
from examples.service.writer import Unavailable
from printobs.testing import OtlpSink
from tests.examples.processes import Service, exporting, service, token
from tests.examples.scripted import Scripted
from tests.examples.test_service_care import backup, hello, order, settings_for, version_1

JOBS = "/api/v1/printing/jobs"
PRINTERS = "/api/v1/printing/printers"
OPERATOR = token("boss", "operate")


def outcomes(till: Service, outcome: str, **labels: str) -> float:
    return till.metric("job_outcomes_total", printer_job_outcome=outcome, **labels)


def test_how_jobs_end_is_counted_and_a_killed_service_forgets_none(tmp_path: Path) -> None:
    database = str(tmp_path / "service.db")
    with service(SERVICE_DATABASE=database) as till, Scripted(till, ["kitchen"]) as agent:
        for outcome, error in (("confirmed", ""), ("confirmed", ""), ("failed", "paper_end"), ("unknown", "timeout")):
            job = till.submit("kitchen")["id"]
            assert agent.job().id == job
            agent.finish(job, outcome, error_type=error)
        assert till.ask("POST", f"{JOBS}/{job}/reprint", bearer=OPERATOR)[0] == 202
        agent.finish(agent.job().id)
        assert till.ask("POST", f"{PRINTERS}/kitchen/test")[0] == 202
        test = agent.job()
        cancelled = till.submit("kitchen")["id"]
        assert till.ask("POST", f"{JOBS}/{cancelled}/cancel")[0] == 200
        expired = till.submit("kitchen", expires_in=1)["id"]
        till.ended(expired)
        agent.finish(test.id)
        waiting = till.submit("kitchen")["id"]
        assert agent.job().id == waiting
        # As soon as it is known, and before anything else is written.
        agent.send(wire.Done(waiting, "written"))
        assert agent.hear() == wire.Settled(waiting)
        before = told(till)
        till.process.process.send_signal(signal.SIGKILL)
        till.process.process.wait(10)
    assert before == {
        "confirmed": 4,
        "written": 1,
        "failed": 2,
        "unknown": 1,
        "cancelled": 1,
        "test": 1,
        "expired": 1,
        "paper_end": 1,
        "reprints": 1,
        "queue": 0,
        "held": 0,
    }
    with service(SERVICE_DATABASE=database) as till, Scripted(till, ["kitchen"], sequence=30) as agent:
        assert told(till) == before
        agent.finish(agent_gets(till, agent))
        assert told(till) == {**before, "confirmed": 5}


def test_every_outcome_is_there_at_zero_once_a_job_is_taken(tmp_path: Path) -> None:
    with service() as till, Scripted(till, ["kitchen"]) as agent:
        job = agent_gets(till, agent)

        def series() -> set[str]:
            text = till.ask("GET", "/api/v1/metrics", bearer=token("prometheus", "metrics"))[1]["text"]
            return {line for line in text.splitlines() if line.startswith(("job_outcomes_total{", "job_reprints_"))}

        before = series()
        assert {line.rpartition(" ")[2] for line in before} == {"0.0"}
        assert [sum(f'outcome="{state}"' in line for line in before) for state in State if state.final] == [1] * 5
        assert sum("job_reprints_total" in line for line in before) == 1
        agent.finish(job)
        assert len(series()) == len(before)


def test_what_was_counted_before_a_restart_is_not_told_as_new(tmp_path: Path, otlp_sink: OtlpSink) -> None:
    database = str(tmp_path / "service.db")

    def starts(*awaited: tuple[str, str]) -> dict[tuple[str, str], bool]:
        """Whether a series is said to have begun in this process; what arrives first may have been read before."""
        seen = len(otlp_sink.metrics)

        def arrived() -> dict[tuple[str, str], bool]:
            return {
                (point.attributes["printer.job.outcome"], point.attributes.get("error.type", "")): point.start_ns > 0
                for point in otlp_sink.metrics[seen:]
                if point.name == "job.outcomes"
            }

        otlp_sink.wait_for(lambda _: bool(found := arrived()) and found.keys() >= {*awaited}, 10.0)
        return arrived()

    environment = {"SERVICE_DATABASE": database, **exporting(otlp_sink)}
    with service(**environment) as till, Scripted(till, ["kitchen"]) as agent:
        agent.finish(agent_gets(till, agent), "failed", error_type="paper_end")
        first = starts(("failed", "paper_end"))
        assert first["failed", "paper_end"]
        assert all(first.values())
    with service(**environment) as till, Scripted(till, ["kitchen"], sequence=20) as agent:
        assert not any(starts().values())
        agent.finish(agent_gets(till, agent), "failed", error_type="cutter")
        assert starts(("failed", "cutter"))["failed", "cutter"]
        assert [key for key, new in starts().items() if new] == [("failed", "cutter")]


def agent_gets(till: Service, agent: Scripted) -> str:
    job: str = till.submit("kitchen")["id"]
    assert agent.job().id == job
    return job


def told(till: Service) -> dict[str, float]:
    where = {"branch_name": "mitte", "printer_name": "kitchen"}
    return {
        **{
            outcome: outcomes(till, outcome, **where)
            for outcome in ("confirmed", "written", "failed", "unknown", "cancelled")
        },
        "test": outcomes(till, "confirmed", printer_job_kind="test", **where),
        "expired": outcomes(till, "failed", error_type="expired", **where),
        "paper_end": outcomes(till, "failed", error_type="paper_end", **where),
        "reprints": till.metric("job_reprints_total", **where),
        "queue": till.metric("job_queue_length", branch_name="mitte"),
        "held": till.metric("job_held", branch_name="mitte"),
    }


def test_what_waits_is_seen_by_branch_and_outlives_a_restart(tmp_path: Path) -> None:
    database = str(tmp_path / "service.db")
    with service(SERVICE_DATABASE=database) as till:
        with Scripted(till, ["kitchen"]) as agent, Scripted(till, ["bar"], name="bar-pc", branch="wedding"):
            held = agent_gets(till, agent)
            agent.finish(held, "unknown", window="printing")
            for printer in ("kitchen", "kitchen", "bar"):
                till.submit(printer)
            assert till.metric("job_held", branch_name="mitte") == 1
        assert till.metric("job_duration_seconds_count", printer_job_outcome="unknown") == 1
    with service(SERVICE_DATABASE=database) as till:
        assert till.metric("job_queue_length", branch_name="mitte") == 2
        assert till.metric("job_queue_length", branch_name="wedding") == 1
        assert 0 < till.metric("job_queue_age_seconds", branch_name="mitte") < 120
        assert till.ask("POST", f"{JOBS}/{held}/release", bearer=OPERATOR)[0] == 200
        assert till.metric("job_held", branch_name="mitte") == 0


def test_answers_are_matched_with_the_ids_that_wait_for_them(tmp_path: Path) -> None:
    database = str(tmp_path / "service.db")

    def states(till: Service) -> list[float]:
        name = "correlation_lifecycle_total"
        return [
            till.metric(name, correlation_state=state)
            for state in ("pending", "dispatched", "acknowledged", "expired", "evicted")
        ]

    def lookups(till: Service) -> list[float]:
        return [till.metric("correlation_lookups_total", correlation_lookup_result=each) for each in ("hit", "miss")]

    order = {"printer": "kitchen", "receipt": {"elements": [{"type": "text", "text": "x"}]}}
    with service(SERVICE_DATABASE=database) as till, Scripted(till) as agent:
        for _ in range(2):  # two receipts of one order
            assert till.ask("POST", JOBS, order, X_Correlation_ID="order-4711")[0] == 202
        first = agent.job().id
        assert till.metric("correlation_open", correlation_state="dispatched") == 1
        agent.finish(first)
        second = agent.job().id
        agent.finish(first)  # again: nobody waits for it any more
        agent.finish(second)
        expired = till.submit("kitchen")["id"]
        assert agent.job().id == expired
        agent.finish(expired, "failed", error_type="expired")
        assert states(till) == [2, 2, 1, 1, 0]
        assert lookups(till) == [2, 1]
        open_one = till.submit("kitchen")["id"]
        assert agent.job().id == open_one
    with service(SERVICE_DATABASE=database) as till:
        with Scripted(till, sequence=20, jobs={open_one: "started"}) as agent:
            agent.finish(open_one)
            agent.finish("f" * 32)
        assert states(till) == [1, 1, 1, 0, 0]
        assert lookups(till) == [1, 1]


def test_a_test_print_on_a_printer_that_there_is_not_is_a_test_that_failed() -> None:
    with service() as till:
        for name in ("invalid-id", "canary-4711", "no name at all"):
            assert till.ask("POST", f"{PRINTERS}/{name.replace(' ', '%20')}/test")[0] == 404
        failed = outcomes(till, "failed", error_type="not_found", printer_job_kind="test", printer_name="_OTHER")
        assert failed == 3
        assert till.metric("job_outcomes_total") == 3


def test_a_database_of_version_1_is_counted_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "service.db"
    version_1(path)
    with service(SERVICE_DATABASE=str(path)) as till:
        assert outcomes(till, "confirmed", branch_name="mitte", printer_name="kitchen") == 1
        assert outcomes(till, "unknown", error_type="timeout") == 1
        assert till.metric("job_held") == 1
        assert till.metric("job_queue_length", branch_name="mitte") == 2


def test_what_a_backup_makes_unknown_is_counted_in_it(tmp_path: Path) -> None:
    path, copy = tmp_path / "service.db", tmp_path / "backup.db"
    version_1(path)
    made = backup(path, copy)
    assert (made.returncode, made.stderr) == (0, "")
    with closing(open_database(copy)) as connection:
        counted = Totals(connection).all()
    assert counted == {
        Total(OUTCOMES, "mitte", "kitchen", "receipt", "confirmed"): 1,
        Total(OUTCOMES, "mitte", "kitchen", "receipt", "unknown", "timeout"): 1,
        Total(OUTCOMES, "mitte", "kitchen", "receipt", "unknown", "journal_lost"): 2,
    }


@pytest.fixture
def database(tmp_path: Path) -> Any:
    with Database(settings_for(tmp_path / "service.db")) as database:
        yield database


def test_an_outcome_that_was_not_committed_is_not_counted(database: Database) -> None:
    jobs = database.jobs
    seen = []
    database.committed = seen.append

    def interrupted(journal: str, done: wire.Done) -> None:
        jobs.done(journal, done, since_hello=True)
        jobs._connection.execute("INSERT INTO nowhere VALUES (1)")

    async def scenario() -> None:
        joined = await database.write(database.registry.join, hello())
        job = await database.write(jobs.submit, order())
        claimed = await database.write(jobs.claim, "kitchen", joined.session)
        assert claimed is not None
        done = wire.Done(job.id, "confirmed")
        with pytest.raises(Unavailable):
            await database.write(interrupted, claimed[0].journal, done)
        assert all(not any(changes.totals.values()) for changes in seen)
        await database.write(jobs.done, claimed[0].journal, done, since_hello=True)

    asyncio.run(scenario())
    assert [changes.totals for changes in seen if any(changes.totals.values())] == [
        {Total(OUTCOMES, "mitte", "kitchen", "receipt", "confirmed"): 1}
    ]
    assert sum(jobs.standing().totals.values()) == 1


def test_what_clients_and_agents_choose_is_counted_under_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(totals, "ROWS", 100)
    with closing(open_database(tmp_path / "service.db")) as connection:
        counted = Totals(connection)
        for number in range(300):
            counted.add(Total(OUTCOMES, "mitte", "kitchen", f"kind-{number}", "failed", f"error-{number}"))
            counted.add(Total(OUTCOMES, "mitte", f"printer-{number}", "receipt", "confirmed"))
        found = counted.all()
        assert counted.drain() == found
        assert counted.drain() == {}
    assert len(found) <= 100 + 10
    assert len({total.kind for total in found}) <= totals.KINDS + 1
    assert len({total.error_type for total in found}) <= totals.ERRORS + 1
    assert sum(found.values()) == 600


def test_what_is_over_a_bound_is_begun_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(totals, "ROWS", 100)
    with closing(open_database(tmp_path / "service.db")) as connection:
        counted = Totals(connection)
        for number in range(300):
            counted.begin("mitte", f"printer-{number}", f"kind-{number}")
        found = counted.drain()
        counted.begin("mitte", "printer-0", "kind-0")
        counted.begin("mitte", "printer-300", "kind-300")
        assert counted.drain() == {}
    assert len([each for each in found if each.name == OUTCOMES]) <= 100 + 10
    assert set(found.values()) == {0}


def test_a_held_job_that_is_pruned_is_held_no_more(database: Database) -> None:
    jobs = database.jobs
    pruned: list[str] = []
    database.committed = lambda changes: pruned.extend(changes.pruned)

    async def scenario() -> str:
        joined = await database.write(database.registry.join, hello())
        job = await database.write(jobs.submit, order())
        claimed = await database.write(jobs.claim, "kitchen", joined.session)
        assert claimed is not None
        await database.write(jobs.done, claimed[0].journal, wire.Done(job.id, "unknown"), since_hello=True)
        assert await database.write(jobs.prune, -1.0) == 1
        return job.id

    assert [asyncio.run(scenario())] == pruned
