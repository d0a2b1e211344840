"""The service's promises, row by row of docs/job-states.md, over real wires; the agent does as the test says."""

import json
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from examples.jobs import wire
from examples.service.jobs import MAX_SENT
from tests.examples.processes import Service, service, token
from tests.examples.scripted import Scripted

JOBS = "/api/v1/printing/jobs"
PRINTERS = "/api/v1/printing/printers"
RECEIPT = {"elements": [{"type": "text", "text": "2 x Ramen\n"}, {"type": "cut"}]}
OPERATOR = token("boss", "operate")


@pytest.fixture(scope="module")
def till() -> Iterator[Service]:
    with service(SERVICE_ORIGINS="https://till.example") as till:
        yield till
    assert "Ramen" not in "".join(till.process.errors)


@pytest.fixture
def printer() -> str:
    """A printer that no other test has."""
    return f"p{uuid.uuid4().hex}"


@pytest.fixture
def agent(till: Service, printer: str) -> Iterator[Scripted]:
    with Scripted(till, [printer], name=f"{printer}-pc") as agent:
        yield agent


def post(till: Service, path: str, body: Any = None, **more: Any) -> tuple[int, dict[str, Any]]:
    return till.ask("POST", path, body, **more)[:2]


# -- row 1: accepted is on the disk ----------------------------------------------------------------------------------


def test_what_was_accepted_outlives_a_killed_service_and_its_trace_goes_on(tmp_path: Path) -> None:
    database = str(tmp_path / "service.db")
    trace = "0af7651916cd43dd8448eb211c80319c"
    with service(SERVICE_DATABASE=database) as till:
        with Scripted(till):
            pass
        job = till.submit("kitchen")
        headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01", "X_Correlation_ID": "order-4711"}
        status, traced, _ = till.ask("POST", JOBS, {"printer": "kitchen", "receipt": RECEIPT}, **headers)
        assert status == 202
        till.process.process.kill()
        till.process.process.wait(10)
    with service(SERVICE_DATABASE=database) as till, Scripted(till, sequence=11) as agent:
        printed = agent.job()
        assert (printed.id, printed.receipt["elements"][0]["text"]) == (job["id"], "2 x Ramen\n")
        agent.finish(printed.id)
        assert agent.job().id == traced["id"]
        assert trace in agent.last["traceparent"]
        assert "order-4711" in agent.last["baggage"]
        assert till.ended(job["id"])["outcome"] == "confirmed"


def test_a_repeated_request_is_the_same_job(tmp_path: Path) -> None:
    database = str(tmp_path / "service.db")
    order = {"printer": "kitchen", "receipt": RECEIPT}
    other = {"printer": "kitchen", "receipt": RECEIPT, "kind": "bar"}
    with service(SERVICE_DATABASE=database) as till:
        with Scripted(till):
            pass
        answers: list[tuple[int, dict[str, Any]]] = []
        threads = [
            threading.Thread(target=lambda: answers.append(post(till, JOBS, order, Idempotency_Key="4711")))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {status for status, _ in answers} == {202}
        [identifier] = {job["id"] for _, job in answers}
        status, problem = post(till, JOBS, other, Idempotency_Key="4711")
        assert (status, problem["field"]) == (422, "idempotency-key")
        assert "new key" in problem["detail"]
        assert post(till, JOBS, order, Idempotency_Key="4711", bearer=token("another"))[1]["id"] != identifier
        assert post(till, JOBS, order)[1]["id"] != identifier
    with service(SERVICE_DATABASE=database) as till:
        assert post(till, JOBS, order, Idempotency_Key="4711")[1]["id"] == identifier
        status, problem = post(till, JOBS, order, Idempotency_Key="two words")
        assert (status, problem["field"]) == (400, "idempotency-key")


def test_too_many_jobs_of_one_printer_leave_room_for_another() -> None:
    with service(SERVICE_PRINTER_QUEUE_LIMIT="2") as till, Scripted(till, ["kitchen", "bar"]):
        for _ in range(2):
            till.submit("kitchen")
        status, problem, headers = till.ask("POST", JOBS, {"printer": "kitchen", "receipt": RECEIPT})
        assert (status, problem["field"], headers["retry-after"]) == (503, "printer", "5")
        assert till.submit("bar")["state"] == "queued"


# -- rows 2 and 3: order, expiry, cancellation -----------------------------------------------------------------------


def test_a_printer_is_sent_one_job_at_a_time_in_their_order(till: Service, agent: Scripted, printer: str) -> None:
    jobs = [till.submit(printer)["id"] for _ in range(3)]
    for number, job in enumerate(jobs):
        message = agent.job()
        assert (message.id, message.printer, message.reprint_of) == (job, printer, "")
        assert 0 < message.expires_in <= 300
        if number == 0:
            assert agent.silent()
        agent.finish(job)
    assert [till.ended(job)["outcome"] for job in jobs] == ["confirmed"] * 3


def test_what_waits_too_long_has_failed_and_is_never_sent(till: Service, agent: Scripted, printer: str) -> None:
    first = agent_gets(till, agent, printer)
    job = till.submit(printer, expires_in=1)["id"]
    ended = till.ended(job, 5)
    assert (ended["outcome"], ended["error_type"]) == ("failed", "expired")
    agent.finish(first)
    assert agent.silent()


def agent_gets(till: Service, agent: Scripted, printer: str) -> str:
    """A job that the agent has been sent."""
    job: str = till.submit(printer)["id"]
    assert agent.job().id == job
    return job


def test_a_queued_job_is_cancelled_at_once(till: Service, agent: Scripted, printer: str) -> None:
    first = agent_gets(till, agent, printer)
    job = till.submit(printer)["id"]
    status, cancelled = post(till, f"{JOBS}/{job}/cancel")
    assert (status, cancelled["outcome"]) == (200, "cancelled")
    assert post(till, f"{JOBS}/{job}/cancel")[0] == 200
    agent.finish(first)
    assert agent.silent()


def cancelling(till: Service, job: str) -> tuple[threading.Thread, list[tuple[int, dict[str, Any]]]]:
    answers: list[tuple[int, dict[str, Any]]] = []
    thread = threading.Thread(target=lambda: answers.append(post(till, f"{JOBS}/{job}/cancel")))
    thread.start()
    return thread, answers


@pytest.mark.parametrize(("cancelled", "status"), [(True, 200), (False, 409)])
def test_the_agent_decides_whether_a_dispatched_job_is_cancelled(
    till: Service, agent: Scripted, printer: str, cancelled: bool, status: int
) -> None:
    job = agent_gets(till, agent, printer)
    thread, answers = cancelling(till, job)
    assert agent.hear() == wire.Cancel(job)
    assert till.ask("GET", f"{JOBS}/{job}")[1]["state"] == "dispatched"  # not before its agent has said so
    agent.send(wire.Cancelled(job, cancelled))
    thread.join(10)
    [(answered, body)] = answers
    assert answered == status
    if cancelled:
        assert body["outcome"] == "cancelled"
    else:
        assert body["field"] == "id"
        assert "too late" in body["detail"]
        agent.finish(job)
        assert till.ended(job)["outcome"] == "confirmed"
    assert post(till, f"{JOBS}/{job}/cancel")[0] == status


@pytest.mark.parametrize(("known", "outcome"), [("", "cancelled"), ("started", "written")])
def test_a_cancellation_that_nobody_could_be_asked_about_is_decided_by_the_next_hello(
    till: Service, agent: Scripted, printer: str, known: str, outcome: str
) -> None:
    job = agent_gets(till, agent, printer)
    agent.close()
    till.until(job, lambda job: job["waiting_for"] == "agent")
    status, body = post(till, f"{JOBS}/{job}/cancel")
    assert (status, body["state"], body["cancel_asked"]) == (202, "dispatched", True)
    with agent.rejoin({job: known} if known else {}) as again:
        if known:
            again.finish(job, "written")
        assert till.ended(job)["outcome"] == outcome


# -- rows 7 to 11: results, and agents that come back ----------------------------------------------------------------


def test_a_result_is_taken_once(till: Service, agent: Scripted, printer: str) -> None:
    job = agent_gets(till, agent, printer)
    agent.finish(job, "failed", error_type="write_timeout", partial=True)
    ended = till.ended(job)
    assert (ended["outcome"], ended["error_type"], ended["partial"]) == ("failed", "write_timeout", True)
    agent.finish(job, "confirmed")  # settled again, and nothing changes
    assert till.ask("GET", f"{JOBS}/{job}")[1] == ended


def test_a_job_that_its_agent_never_started_is_sent_again(till: Service, agent: Scripted, printer: str) -> None:
    job = agent_gets(till, agent, printer)
    with agent.rejoin() as again:
        assert again.job().id == job
        again.finish(job)
    assert till.ended(job)["outcome"] == "confirmed"


@pytest.mark.parametrize("state", ["started", "done"])
def test_a_job_that_its_agent_has_begun_is_not_sent_again(
    till: Service, agent: Scripted, printer: str, state: str
) -> None:
    job = agent_gets(till, agent, printer)
    following = till.submit(printer)["id"]
    with agent.rejoin({job: state}) as again:
        assert again.silent()
        assert till.ask("GET", f"{JOBS}/{job}")[1]["state"] == "dispatched"
        again.finish(job, "unknown", error_type="interrupted", window="restart")
        ended = till.ended(job)
        assert (ended["outcome"], ended["window"], ended["held"]) == ("unknown", "restart", True)
        assert again.job().id == following  # a held job keeps nobody waiting


@pytest.mark.parametrize(("journal", "grown"), [("2" * 32, 1), ("", 0), ("", -5)])
def test_a_journal_that_cannot_know_is_not_trusted(
    till: Service, agent: Scripted, printer: str, journal: str, grown: int
) -> None:
    job = agent_gets(till, agent, printer)
    with agent.rejoin(journal=journal, grown=grown) as again:
        ended = till.ended(job)
        assert (ended["outcome"], ended["error_type"], ended["held"]) == ("unknown", "journal_lost", True)
        assert again.silent()
        following = agent_gets(till, again, printer)
        with again.rejoin() as third:  # from here on it is an agent like any other
            assert third.job().id == following


def test_results_let_the_known_age_of_a_journal_grow(till: Service, agent: Scripted, printer: str) -> None:
    for _ in range(3):
        agent.finish(agent_gets(till, agent, printer))
    job = agent_gets(till, agent, printer)
    with agent.rejoin(grown=3):  # put back to just after its hello, and started three times since
        assert till.ended(job)["error_type"] == "journal_lost"


def test_a_job_that_breaks_whoever_takes_it_does_not_block_its_printer(
    till: Service, agent: Scripted, printer: str
) -> None:
    poison = till.submit(printer)["id"]
    following = till.submit(printer)["id"]
    for _ in range(MAX_SENT):
        assert agent.job().id == poison
        agent = agent.rejoin()
    ended = till.ended(poison)
    assert (ended["outcome"], ended["error_type"]) == ("failed", "undeliverable")
    assert agent.job().id == following
    agent.finish(following, "failed", error_type="rejected")
    assert till.ended(following)["error_type"] == "rejected"
    agent.close()


def test_what_a_replaced_connection_says_is_not_heard(till: Service, agent: Scripted, printer: str) -> None:
    job = agent_gets(till, agent, printer)
    twin = Scripted(till, [printer], name=f"{printer}-pc", sequence=11)
    assert agent.closed() == wire.REPLACED
    assert twin.job().id == job
    twin.finish(job)
    twin.close()


# -- row 13: whose printer it is -------------------------------------------------------------------------------------


def refusal(till: Service, printers: Any, **more: Any) -> str:
    with Scripted(till, printers, welcome=False, **more) as rogue:
        answer = rogue.hear()
        assert isinstance(answer, wire.Refuse)
        assert rogue.closed() == wire.REFUSED
        return answer.why


def test_a_second_agent_is_refused_until_an_operator_reassigns_the_printer(
    till: Service, agent: Scripted, printer: str
) -> None:
    job = agent_gets(till, agent, printer)
    assert f"{printer}-pc" in refusal(till, [printer], name="second")
    assert agent.silent()  # and is not disturbed
    path = f"{PRINTERS}/{printer}/reassign"
    assert post(till, path, {"agent": "second"})[0] == 403
    assert post(till, path, {"agent": "second"}, bearer=OPERATOR) == (200, {"agent": "second"})
    assert agent.closed() == wire.REPLACED
    ended = till.ended(job)
    assert (ended["outcome"], ended["error_type"], ended["held"]) == ("unknown", "journal_lost", True)
    assert "second" in refusal(till, [printer], name=f"{printer}-pc", sequence=11)
    with Scripted(till, [printer], name="second") as second:
        second.finish(agent_gets(till, second, printer))
    status, problem = post(till, f"{PRINTERS}/nobodys/reassign", {"agent": "second"}, bearer=OPERATOR)
    assert (status, problem["field"]) == (404, "id")


def test_another_device_is_sent_nothing_until_an_operator_says_so(till: Service, printer: str) -> None:
    name, other = f"{printer}-pc", f"{printer}-b"
    with Scripted(till, {printer: "X4AB", other: ""}, name=name):
        pass
    with Scripted(till, {printer: "X4AC", other: ""}, name=name, sequence=11) as agent:
        assert list(agent.refused) == [printer]
        assert "another serial number" in agent.refused[printer]
        job = till.submit(printer)["id"]
        agent.finish(agent_gets(till, agent, other))  # which its neighbour does not suffer from
        assert agent.silent()
        assert {each["id"]: each["online"] for each in listed_printers(till)}[printer] is False
        assert post(till, f"{PRINTERS}/{printer}/reassign", {"agent": name}, bearer=OPERATOR)[0] == 200
        assert agent.closed() == wire.REPLACED  # so that it comes again
    with Scripted(till, {printer: "X4AC", other: ""}, name=name, sequence=12) as agent:
        assert agent.refused == {}
        assert agent.job().id == job
        agent.finish(job)
        [shown] = [each for each in listed_printers(till) if each["id"] == printer]
        assert (shown["serial"], shown["online"]) == ("X4AC", True)
    with Scripted(till, {printer: ""}, name=name, sequence=13) as agent:  # it is off, and does not say
        assert agent.refused == {}


def test_one_printer_under_two_names_is_used_under_one(till: Service, printer: str) -> None:
    twin = f"{printer}-b"
    with Scripted(till, {printer: "X4AD", twin: "X4AD"}, name=f"{printer}-pc") as agent:
        assert list(agent.refused) == [twin]
        assert f"serial number of {printer}" in agent.refused[twin]
        till.submit(twin)
        assert agent.silent()
    with Scripted(till, {printer: "X4AD", twin: "X4AE"}, name=f"{printer}-pc", sequence=11) as agent:
        assert agent.refused == {}
        assert agent.job().printer == twin


def listed_printers(till: Service) -> list[dict[str, Any]]:
    printers: list[dict[str, Any]] = till.ask("GET", PRINTERS)[1]["printers"]
    return printers


def test_printers_and_agents_are_listed_as_they_are(till: Service, agent: Scripted, printer: str) -> None:
    def shown() -> dict[str, Any]:
        return next(each for each in listed_printers(till) if each["id"] == printer)

    assert (shown()["state"], shown()["score"], shown()["waiting"]) == ("unknown", None, 0)
    agent.send(wire.State(printer, "paper_end", 40))
    agent.send(wire.State("not-its-own", "ready", 100))
    agent_gets(till, agent, printer)
    assert (shown()["state"], shown()["score"], shown()["waiting"]) == ("paper_end", 40, 1)
    status, problem, _ = till.ask("GET", "/api/v1/printing/agents")
    assert (status, problem["field"]) == (403, "authorization")

    def listed() -> dict[str, Any]:
        agents = till.ask("GET", "/api/v1/printing/agents", bearer=OPERATOR)[1]["agents"]
        return next(each for each in agents if each["name"] == f"{printer}-pc")

    assert (listed()["branch"], listed()["online"], listed()["printers"]) == ("mitte", True, [printer])
    assert (listed()["score"], listed()["level"]) == (None, "unknown")  # before the first ping
    agent.close()
    deadline = time.monotonic() + 5
    while listed()["online"]:
        assert time.monotonic() < deadline
    assert shown()["state"] == "unknown"


# -- rows 14 and 15: held jobs, late proof, reprints -----------------------------------------------------------------


def held(till: Service, printer: str) -> list[str]:
    answer = till.ask("GET", f"{JOBS}?held=true&printer={printer}", bearer=OPERATOR)[1]
    return [job["id"] for job in answer["jobs"]]


def test_a_held_job_is_released_or_printed_again_with_a_mark(till: Service, agent: Scripted, printer: str) -> None:
    jobs = [agent_gets(till, agent, printer)]
    status, problem = post(till, f"{JOBS}/{jobs[0]}/reprint")
    assert (status, problem["field"]) == (409, "id")
    agent.finish(jobs[0], "unknown", window="printing")
    jobs.append(agent_gets(till, agent, printer))
    agent.finish(jobs[1], "unknown", window="printing")
    assert held(till, printer) == jobs[::-1]

    assert post(till, f"{JOBS}/{jobs[0]}/release")[0] == 403
    status, released = post(till, f"{JOBS}/{jobs[0]}/release", bearer=OPERATOR)
    assert (status, released["outcome"], released["held"]) == (200, "unknown", False)
    assert post(till, f"{JOBS}/{jobs[0]}/release", bearer=OPERATOR)[0] == 409

    answers = [post(till, f"{JOBS}/{jobs[1]}/reprint", Idempotency_Key="again") for _ in range(2)]
    assert answers[0][0] == 202
    [copy] = {answer["id"] for _, answer in answers}
    message = agent.job()
    assert (message.id, message.reprint_of, message.receipt) == (copy, jobs[1], RECEIPT)
    assert held(till, printer) == []
    agent.finish(copy, "unknown", window="printing")
    assert held(till, printer) == [copy]
    assert till.ended(jobs[1])["outcome"] == "unknown"


def test_proof_that_comes_late_closes_the_hold_and_changes_no_outcome(
    till: Service, agent: Scripted, printer: str
) -> None:
    jobs = [agent_gets(till, agent, printer)]
    agent.finish(jobs[0], "unknown", window="printing")
    jobs.append(agent_gets(till, agent, printer))
    agent.finish(jobs[1], "unknown", window="printing")
    agent.send(wire.Evidence(jobs[0]))
    agent.send(wire.Evidence("f" * 32))
    agent.finish(jobs[1], "confirmed")
    assert held(till, printer) == []
    for job in jobs:
        ended = till.ended(job)
        assert (ended["outcome"], ended["evidence_at"] is not None) == ("unknown", True)


def test_a_branch_may_have_unknown_jobs_printed_again_once() -> None:
    with service(SERVICE_REPRINT_BRANCHES="wedding, mitte") as till, Scripted(till) as agent:
        job = agent_gets(till, agent, "kitchen")
        agent.finish(job, "unknown", window="printing")
        message = agent.job()
        assert (message.reprint_of, message.receipt) == (job, RECEIPT)
        assert till.ended(job)["held"] is False
        agent.finish(message.id, "unknown", window="printing")
        assert agent.silent()
        assert held(till, "kitchen") == [message.id]


# -- who may do what -------------------------------------------------------------------------------------------------


def test_raw_bytes_take_a_permission_of_their_own(till: Service, agent: Scripted, printer: str) -> None:
    order = {"printer": printer, "raw": "G0BSYW1lbgo="}
    status, problem = post(till, JOBS, order)
    assert (status, problem["field"]) == (403, "authorization")
    assert "raw" in problem["detail"]
    assert post(till, JOBS, order, bearer=token(scope="print raw"))[0] == 202
    message = agent.job()
    assert (message.raw, message.receipt) == ("G0BSYW1lbgo=", {})
    for wrong in ({"raw": "?"}, {"raw": "G0B"}, {"raw": "G0A=", "receipt": RECEIPT}):
        status, problem = post(till, JOBS, {"printer": printer, **wrong}, bearer=token(scope="print raw"))
        assert (status, problem["field"]) == (400, "raw")


def test_jobs_are_listed_in_pages_to_those_whose_they_are(till: Service, agent: Scripted, printer: str) -> None:
    jobs = [till.submit(printer)["id"] for _ in range(5)]
    agent.finish(agent.job().id)
    mine, path = till.token, f"{JOBS}?printer={printer}"
    first = till.ask("GET", f"{path}&limit=3", bearer=mine)[1]
    assert [job["id"] for job in first["jobs"]] == jobs[:1:-1]
    rest = till.ask("GET", f"{path}&limit=3&before={first['next']}", bearer=mine)[1]
    assert ([job["id"] for job in rest["jobs"]], rest["next"]) == (jobs[1::-1], None)
    assert [job["id"] for job in till.ask("GET", f"{path}&state=confirmed")[1]["jobs"]] == jobs[:1]
    assert till.ask("GET", path, bearer=token("another"))[1]["jobs"] == []
    assert len(till.ask("GET", path, bearer=OPERATOR)[1]["jobs"]) == 5
    assert till.ask("GET", f"{JOBS}/{jobs[0]}", bearer=OPERATOR)[0] == 200
    assert post(till, f"{JOBS}/{jobs[4]}/cancel", bearer=token("another"))[0] == 404
    for query, field in (
        ("limit=0", "query.limit"),
        ("limit=x", "query.limit"),
        ("state=lost", "query.state"),
        ("held=1", "query.held"),
        ("before=-1", "query.before"),
        ("wanted=1", "query.wanted"),
        ("limit=1&limit=2", "query"),
    ):
        status, problem, _ = till.ask("GET", f"{JOBS}?{query}")
        assert (status, problem["field"]) == (400, field)


def test_pages_from_elsewhere_may_not_connect(till: Service) -> None:
    def handshake(origin: str) -> ClientConnection:
        headers = {"Authorization": f"Bearer {till.token}", "Origin": origin}
        return connect(till.websocket + "/ws/client", additional_headers=headers).__enter__()

    with pytest.raises(InvalidStatus) as refused:
        handshake("https://evil.example")
    assert refused.value.response.status_code == 403
    assert json.loads(refused.value.response.body)["field"] == "origin"
    handshake("https://till.example").close()
    [line] = metric_lines(till, "handshake_refusals_total", 'reason="origin"')
    assert 'client_type="web"' in line
    assert line.endswith(" 1.0")


def metric_lines(till: Service, name: str, *parts: str) -> list[str]:
    _, metrics, _ = till.ask("GET", "/api/v1/metrics", bearer=token(scope="metrics"))
    lines = [line for line in metrics["text"].splitlines() if line.startswith(f"websocket_server_{name}{{")]
    return [line for line in lines if all(part in line for part in parts)]


def test_desktop_applications_are_told_from_web_clients(till: Service) -> None:
    desktop = ('branch_name="nord"', 'client_type="desktop"')
    web = ('client_type="web"',)
    with Scripted(till, ["of-nord"], name="nord-pc", branch="nord"):
        headers = {"Authorization": f"Bearer {till.token}"}
        with connect(till.websocket + "/ws/client", additional_headers=headers):
            assert [line[-4:] for line in metric_lines(till, "active_connections", *desktop)] == [" 1.0"]
            assert [line[-4:] for line in metric_lines(till, "active_connections", *web)] == [" 1.0"]
            assert [line[-4:] for line in metric_lines(till, "quality_level", 'level="unknown"', *desktop)] == [" 1.0"]
    received = metric_lines(till, "messages_total", 'direction="receive"', 'type="text"', *desktop)
    assert [line[-4:] for line in received] == [" 1.0"]  # its hello
    deadline = time.monotonic() + 5
    while [line[-4:] for line in metric_lines(till, "active_connections", *desktop)] != [" 0.0"]:
        assert time.monotonic() < deadline
    assert metric_lines(till, "disconnections_total", *desktop)
    assert metric_lines(till, "connection_duration_seconds_count", *desktop)


def test_every_4xx_names_its_field_and_what_to_do(till: Service, agent: Scripted, printer: str) -> None:
    job = till.submit(printer)["id"]
    for method, path, status, field in (
        ("GET", "/nothing/here", 404, "path"),
        ("DELETE", JOBS, 405, "method"),
        ("GET", f"{JOBS}/unknown", 404, "id"),
        ("POST", f"{JOBS}/{job}/reprint", 409, "id"),
        ("POST", f"{PRINTERS}/nobodys/test", 404, "id"),
    ):
        answered, problem, headers = till.ask(method, path)
        assert (answered, problem["field"]) == (status, field), path
        assert len(problem["detail"]) > 10
        assert headers["content-type"] == "application/problem+json"
    assert post(till, f"{JOBS}/{job}/cancel", {"why": "x"})[1]["field"] == "body"


# -- web clients -----------------------------------------------------------------------------------------------------


def listening(till: Service, after: int | None = None, bearer: str = "") -> ClientConnection:
    query = "" if after is None else f"?after={after}"
    headers = {"Authorization": f"Bearer {bearer or till.token}"}
    return connect(f"{till.websocket}/ws/client{query}", additional_headers=headers).__enter__()


def events(client: ClientConnection, number: int) -> list[dict[str, Any]]:
    return [json.loads(client.recv(timeout=10)) for _ in range(number)]


def test_a_web_client_catches_up_with_what_it_has_missed(till: Service, agent: Scripted, printer: str) -> None:
    mine = token(printer)
    with listening(till, bearer=mine) as client, listening(till, bearer=token("stranger")) as stranger:
        job = post(till, JOBS, {"printer": printer, "receipt": RECEIPT}, bearer=mine)[1]["id"]
        seen = events(client, 2)
        assert agent.job().id == job
        with pytest.raises(TimeoutError):
            stranger.recv(timeout=0)
    agent.finish(job)
    with listening(till, seen[-1]["seq"], mine) as client:
        [missed] = events(client, 1)
        assert (missed["id"], missed["state"], missed["outcome"]) == (job, "confirmed", "confirmed")
        again = post(till, JOBS, {"printer": printer, "receipt": RECEIPT}, bearer=mine)[1]["id"]
        following = events(client, 2)
        assert [event["state"] for event in following] == ["queued", "dispatched"]
        assert {event["id"] for event in following} == {again}
    numbers = [event["seq"] for event in [*seen, missed, *following]]
    assert numbers == sorted(set(numbers))
    with listening(till, seen[0]["seq"] - 1, OPERATOR) as operator:  # hears of everybody's
        assert {event["seq"] for event in events(operator, 5)} >= {*numbers}
    with listening(till, 10**15, mine) as client:  # of a database that is no more
        [gap] = events(client, 1)
        assert gap["type"] == "missed"
        assert gap["seq"] >= numbers[-1]


# -- how it is -------------------------------------------------------------------------------------------------------


def test_it_says_whether_it_lives_and_whether_it_is_ready(till: Service) -> None:
    for path in ("/health", "/health/ready", "/health/live"):
        status, body, _ = till.ask("GET", path, bearer=None)
        assert (status, body["status"]) == (200, "ok")
