"""What the service and the agent answer to what they should not be sent, and to what goes wrong."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from examples.jobs import wire
from printobs.testing import VirtualPrinter
from tests.examples.processes import SECRET, Process, Service, agent, free_port, service, start_agent, token

JOBS = "/api/v1/printing/jobs"
SECRET_TEXT = "Ramen for Table Nine"
GOOD = {"elements": [{"type": "text", "text": SECRET_TEXT}, {"type": "cut"}]}


@pytest.fixture(scope="module")
def printer() -> Iterator[VirtualPrinter]:
    with VirtualPrinter() as printer:
        yield printer


@pytest.fixture(scope="module")
def till(printer: VirtualPrinter) -> Iterator[Service]:
    with service(SERVICE_MAX_BODY="20000") as till, agent(till.url, {"kitchen": f"tcp://127.0.0.1:{printer.port}"}):
        yield till
    assert SECRET_TEXT not in "".join(till.process.errors)


def receipt(*elements: Any) -> dict[str, Any]:
    return {"printer": "kitchen", "receipt": {"elements": list(elements)}}


TEXT = {"type": "text", "text": "x"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"\xff\xfe", "body"),
        (b"[" * 100_00, "body"),
        (b'{"printer": NaN}', "body"),
        (b'{"printer": "kitchen", "printer": "bar"}', "body"),
        (b"[]", "body"),
        ({}, "printer"),
        ({"printer": 7}, "printer"),
        ({"printer": ""}, "printer"),
        ({"printer": "k" * 65}, "printer"),
        ({"printer": "kitchen\x00"}, "printer"),
        ({"printer": "kitchen"}, "receipt"),
        ({"printer": "kitchen", "receipt": []}, "receipt"),
        ({"printer": "kitchen", "receipt": {}}, "receipt.elements"),
        ({"printer": "kitchen", "receipt": GOOD, "kind": "A B"}, "kind"),
        ({"printer": "kitchen", "receipt": GOOD, "timeout": "soon"}, "timeout"),
        ({"printer": "kitchen", "receipt": GOOD, "timeout": True}, "timeout"),
        ({"printer": "kitchen", "receipt": GOOD, "timeout": 0}, "timeout"),
        ({"printer": "kitchen", "receipt": GOOD, "surprise": 1}, "surprise"),
        (receipt(), "receipt.elements"),
        (receipt(*[TEXT] * 501), "receipt.elements"),
        (receipt("text"), "receipt.elements[0]"),
        (receipt(TEXT, {"type": "raw", "data": "x"}), "receipt.elements[1].type"),
        (receipt({"type": "text", "text": "x" * 2001}), "receipt.elements[0].text"),
        (receipt({"type": "text", "text": "\ud800"}), "receipt.elements[0].text"),
        (receipt({"type": "text", "text": "x", "bold": 1}), "receipt.elements[0].bold"),
        (receipt({"type": "text", "text": "x", "width": 9}), "receipt.elements[0].width"),
        (receipt({"type": "image", "png": "!"}), "receipt.elements[0].png"),
        (receipt({"type": "image", "png": "\xd7"}), "receipt.elements[0].png"),
        (receipt({"type": "image", "png": "AAAA"}), "receipt.elements[0].png"),
        (receipt({"type": "barcode", "kind": "EAN13", "data": "12"}), "receipt.elements[0].data"),
        (receipt({"type": "qr", "data": "x" * 513}), "receipt.elements[0].data"),
        (receipt({"type": "feed", "lines": 1000}), "receipt.elements[0].lines"),
    ],
)
def test_a_bad_request_is_told_its_field(till: Service, body: Any, field: str) -> None:
    status, problem, headers = till.ask("POST", JOBS, body)
    assert (status, problem["field"]) == (400, field), problem
    assert headers["content-type"] == "application/problem+json"
    assert problem["correlation_id"] == headers["x-correlation-id"]


def test_an_unknown_printer_is_named(till: Service) -> None:
    for status, problem, headers in (
        till.ask("POST", JOBS, {"printer": "bar", "receipt": GOOD}),
        till.ask("POST", "/api/v1/printing/printers/bar/test"),
    ):
        assert status == 404
        assert "bar" in problem["detail"]
        assert headers["content-type"] == "application/problem+json"


def test_a_body_over_the_limit_is_refused_however_it_comes(till: Service) -> None:
    large = json.dumps(receipt(*[{"type": "text", "text": "x" * 1999}] * 20)).encode()
    status, problem, _ = till.ask("POST", JOBS, large)
    assert (status, problem["field"]) == (413, "body")
    with socket.create_connection(("127.0.0.1", int(till.url.rpartition(":")[2])), 10) as raw:
        head = f"POST {JOBS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {till.token}\r\n"
        raw.sendall(f"{head}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        raw.sendall(f"{len(large):x}\r\n".encode() + large + b"\r\n0\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 413")


def test_only_json_is_taken(till: Service) -> None:
    assert till.ask("POST", JOBS, b"hello", Content_Type="text/plain")[0] == 415


@pytest.mark.parametrize(
    ("bearer", "status"),
    [
        (None, 401),
        ("nonsense", 401),
        (token(secret="another secret that is long enough too"), 401),
        (token(audience="somebody-else"), 401),
        (token(lifetime=-10), 401),
        (token(scope="metrics"), 403),
        ("eyJhbGciOiJub25lIn0.eyJzdWIiOiJ0aWxsIn0.", 401),
    ],
)
def test_who_has_no_good_token_gets_nothing(till: Service, bearer: str | None, status: int) -> None:
    for method, path in (("POST", JOBS), ("GET", JOBS + "/1"), ("GET", "/api/v1/printing/printers")):
        answer, problem, headers = till.ask(method, path, bearer=bearer)
        assert (answer, problem["status"]) == (status, status)
        assert headers["www-authenticate"].startswith("Bearer")
    assert till.ask("GET", "/health", bearer=None)[0] == 200


def test_a_job_is_shown_to_its_owner_only(till: Service) -> None:
    job = till.submit("kitchen", SECRET_TEXT)
    assert till.ended(job["id"])["outcome"] == "written"
    assert till.ask("GET", f"{JOBS}/{job['id']}", bearer=token("somebody"))[0] == 404
    assert till.ask("GET", f"{JOBS}/unknown")[0] == 404
    assert till.ask("DELETE", f"{JOBS}/{job['id']}")[0] == 405


def test_a_test_print_prints(till: Service, printer: VirtualPrinter) -> None:
    status, job, _ = till.ask("POST", "/api/v1/printing/printers/kitchen/test")
    assert status == 202
    assert till.ended(job["id"])["outcome"] == "written"
    assert "it prints" in printer.receipts[-1].text


def test_an_agent_with_a_bad_token_is_refused_at_the_handshake_and_counted(till: Service) -> None:
    for bearer, status in ((token(), 403), ("nonsense", 401), (None, 401)):
        headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
        with pytest.raises(InvalidStatus) as refused:
            connect(till.websocket + "/ws/agent", additional_headers=headers).__enter__()
        assert refused.value.response.status_code == status
    _, metrics, _ = till.ask("GET", "/api/v1/metrics", bearer=token(scope="metrics"))
    lines = [line for line in metrics["text"].splitlines() if "connection_errors_total{" in line]
    assert any(
        'error_type="401"' in line and 'http_route="/ws/agent"' in line and line.endswith(" 2.0") for line in lines
    )
    assert any('error_type="403"' in line for line in lines)


def hello(**changes: Any) -> str:
    message = wire.Hello("other-pc", "mitte", "0" * 32, 0, (wire.Printer("bar"),))
    return json.dumps({**wire.dump(message), **changes})


def agent_headers(branch: str = "mitte") -> dict[str, str]:
    return {"Authorization": f"Bearer {token('agent', 'agent', branch)}"}


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (b"\x00", 4000),
        ("{", 4000),
        ("x" * 100_000, 4000),
        (hello(printers=[]), 4000),
        (hello(printers=[{"id": "bar"}, {"id": "bar"}]), 4000),
        (hello(printers=[{"id": "a b"}]), 4000),
        (hello(agent="x" * 65), 4000),
        (json.dumps(wire.dump(wire.Settled("0" * 32))), 4000),
        (hello(branch="wedding"), 4003),
        (hello(printers=[{"id": "kitchen"}]), 4003),
    ],
)
def test_an_agent_that_does_not_speak_the_protocol_is_sent_away(till: Service, first: str | bytes, code: int) -> None:
    with connect(till.websocket + "/ws/agent", additional_headers=agent_headers()) as rogue:
        rogue.send(first)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                rogue.recv(timeout=5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == code


def test_a_printer_of_another_branch_is_not_given_away(till: Service) -> None:
    rogue = start_agent(till.url, {"kitchen": "tcp://127.0.0.1:9100"}, "wedding")
    assert rogue.process.wait(10) == 2
    rogue.stop()
    assert "belongs to another branch" in "".join(rogue.errors)


def test_a_result_for_a_job_that_is_not_the_agents_changes_nothing(till: Service) -> None:
    with (
        connect(till.websocket + "/ws/agent", additional_headers=agent_headers()) as honest,
        connect(till.websocket + "/ws/agent", additional_headers=agent_headers("wedding")) as rogue,
    ):
        honest.send(hello(printers=[{"id": "mitte-bar"}]))
        rogue.send(hello(branch="wedding", printers=[{"id": "wedding-bar"}]))
        for each in (honest, rogue):
            assert json.loads(each.recv(timeout=5))["type"] == "welcome"
        job = till.submit("mitte-bar")
        assert json.loads(honest.recv(timeout=5))["id"] == job["id"]
        for outcome, teller in (("failed", rogue), ("written", honest)):
            teller.send(json.dumps(wire.dump(wire.Done(job["id"], outcome, "", False))))
            assert json.loads(teller.recv(timeout=5))["type"] == "settled"
        assert till.ended(job["id"])["outcome"] == "written"


def test_a_web_client_with_a_token_in_its_subprotocol(till: Service) -> None:
    protocol: Any = f"bearer.{till.token}"
    with connect(till.websocket + "/ws/client", subprotocols=[protocol]) as client:
        assert client.subprotocol == protocol
        job = till.submit("kitchen")
        assert json.loads(client.recv(timeout=5))["id"] == job["id"]


def test_a_web_client_that_sends_bytes_is_sent_away(till: Service) -> None:
    with connect(till.websocket + "/ws/client", additional_headers={"Authorization": f"Bearer {till.token}"}) as client:
        client.send(b"\x00")
        with pytest.raises(ConnectionClosed) as closed:
            while True:  # events of the jobs of other tests may come first
                client.recv(timeout=5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1003


def test_a_printer_that_cannot_be_reached_fails_the_job_in_time(
    virtual_printers: Callable[..., VirtualPrinter],
) -> None:
    refusing = socket.socket()
    refusing.bind(("127.0.0.1", 0))  # and does not listen
    mute = virtual_printers(receive_buffer=64, speed=1.0)
    printers = {
        "refusing": f"tcp://127.0.0.1:{refusing.getsockname()[1]}",
        "mute": f"tcp://127.0.0.1:{mute.port}",
        "nameless": "tcp://printer.invalid:9100",
    }
    with service() as till, agent(till.url, printers):
        expected = {"refusing": ("failed", "connect_refused"), "nameless": ("failed", "resolve")}
        for name, (outcome, error) in expected.items():
            job = till.ended(till.submit(name, timeout=3)["id"], 6)
            assert (job["outcome"], job["error_type"], job["partial"]) == (outcome, error, False)
        before = time.monotonic()
        elements = [{"type": "text", "text": "x" * 2000}] * 100
        job = till.submit("mute", timeout=2, receipt={"elements": [*elements, {"type": "cut"}]})
        ended = till.ended(job["id"], 8)
        assert ended["outcome"] in ("failed", "unknown")
        assert ended["error_type"] in ("write_timeout", "timeout")
        assert time.monotonic() - before < 5
    refusing.close()


def test_a_printer_on_ipv6_works(virtual_printers: Callable[..., VirtualPrinter]) -> None:
    try:
        printer = virtual_printers(host="::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    with service() as till, agent(till.url, {"kitchen": f"tcp://[::1]:{printer.port}"}):
        assert till.ended(till.submit("kitchen")["id"])["outcome"] == "written"
    assert len(printer.receipts) == 1


def test_jobs_wait_for_an_agent_that_is_gone_and_the_client_is_told(virtual_printer: VirtualPrinter) -> None:
    printers = {"kitchen": f"tcp://127.0.0.1:{virtual_printer.port}"}
    with service() as till:
        with agent(till.url, printers):
            pass
        headers = {"Authorization": f"Bearer {till.token}"}
        with connect(till.websocket + "/ws/client", additional_headers=headers) as client:
            job = till.submit("kitchen")
            assert (job["state"], job["waiting_for"]) == ("queued", "agent")
            assert json.loads(client.recv(timeout=5))["waiting_for"] == "agent"
            assert len(virtual_printer.receipts) == 0
            with agent(till.url, printers):
                assert till.ended(job["id"])["outcome"] == "written"
                states = [json.loads(client.recv(timeout=5))["state"] for _ in range(2)]
                assert states == ["dispatched", "written"]
    assert len(virtual_printer.receipts) == 1


def test_a_job_that_waits_too_long_has_failed(virtual_printer: VirtualPrinter) -> None:
    with service(SERVICE_JOB_LIFETIME="1") as till:
        with agent(till.url, {"kitchen": f"tcp://127.0.0.1:{virtual_printer.port}"}):
            pass
        job = till.ended(till.submit("kitchen")["id"], 5)
        assert (job["outcome"], job["error_type"]) == ("failed", "expired")


def test_an_agent_that_is_killed_while_it_prints_leaves_the_job_unknown(
    virtual_printers: Callable[..., VirtualPrinter],
) -> None:
    printer = virtual_printers(receive_buffer=64, speed=10.0)
    printers = {"kitchen": f"tcp://127.0.0.1:{printer.port}"}
    with service() as till:
        with agent(till.url, printers) as desktop:
            long = {"elements": [{"type": "text", "text": "x" * 2000}] * 100}
            job = till.submit("kitchen", receipt=long)
            till.until(job["id"], lambda job: job["state"] == "dispatched")
            desktop.process.kill()
            desktop.process.wait(10)
            till.until(job["id"], lambda job: job["waiting_for"] == "agent")
        with agent(till.url, printers):
            ended = till.ended(job["id"], 5)
            assert (ended["outcome"], ended["error_type"]) == ("unknown", "journal_lost")


def test_the_service_comes_back_and_the_agent_with_it(virtual_printer: VirtualPrinter) -> None:
    port = str(free_port())
    with service(SERVICE_PORT=port) as till:
        desktop = start_agent(till.url, {"kitchen": f"tcp://127.0.0.1:{virtual_printer.port}"})
        desktop.event("joined")
    with service(SERVICE_PORT=port) as till:
        desktop.event("joined")
        assert till.ended(till.submit("kitchen")["id"])["outcome"] == "written"
    desktop.stop()


def test_a_full_queue_says_so(virtual_printer: VirtualPrinter) -> None:
    with service(SERVICE_QUEUE_LIMIT="2") as till:
        with agent(till.url, {"kitchen": f"tcp://127.0.0.1:{virtual_printer.port}"}):
            pass
        till.submit("kitchen")
        till.submit("kitchen")
        status, problem, headers = till.ask("POST", JOBS, {"printer": "kitchen", "receipt": GOOD})
        assert (status, headers["retry-after"]) == (503, "5")
        assert "later" in problem["detail"]


@pytest.mark.parametrize(
    ("module", "environment", "said"),
    [
        ("examples.service", {}, "SERVICE_JWT_SECRET is not set"),
        ("examples.service", {"SERVICE_JWT_SECRET": "short"}, "32 bytes"),
        ("examples.service", {"SERVICE_JWT_SECRET": SECRET, "SERVICE_PORT": "many"}, "SERVICE_PORT must be"),
        (
            "examples.service",
            {"SERVICE_JWT_SECRET": SECRET, "SERVICE_OPENING_HOURS": "none.toml"},
            "SERVICE_OPENING_HOURS cannot be used: none.toml: ",
        ),
        ("examples.agent", {}, "AGENT_CONFIG is not set"),
    ],
)
def test_wrong_settings_are_named(module: str, environment: dict[str, str], said: str) -> None:
    process = Process(module, environment)
    assert process.process.wait(20) == 2
    process.stop()
    [line] = process.errors
    assert said in line
    assert "short" not in line
