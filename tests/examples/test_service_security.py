"""Who is refused, and how often: tokens, pages, and clients that ask too much; over real wires, and counted."""

import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from starlette.requests import HTTPConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from examples.jobs import wire
from examples.service import throttle
from examples.service.problems import Problem
from examples.service.throttle import Throttle, Windows, address
from printobs.testing import OtlpSink
from tests.conftest import Sdk
from tests.examples.processes import Service, exporting, service, token
from tests.examples.scripted import Scripted
from tests.examples.test_service_care import settings_for

JOBS = "/api/v1/printing/jobs"
PAGE = "https://till.example"
EVIL = "https://evil.example"


def handshake(till: Service, path: str = "/ws/client", bearer: str | None = "", **more: Any) -> ClientConnection:
    headers = {} if bearer is None else {"Authorization": f"Bearer {bearer or till.token}"}
    return connect(till.websocket + path, additional_headers=headers, **more).__enter__()


def refused(opening: Callable[[], ClientConnection]) -> tuple[int, dict[str, Any], dict[str, str]]:
    with pytest.raises(InvalidStatus) as answer:
        opening()
    response = answer.value.response
    return response.status_code, json.loads(response.body), dict(response.headers.raw_items())


# -- tokens ----------------------------------------------------------------------------------------------------------


def test_failures_are_counted_by_reason_on_http_and_websockets() -> None:
    bad = {
        "missing": None,
        "malformed": "junk",
        "expired": token(lifetime=-60),
        "signature": token(secret="another secret, long enough for HS256"),
        "audience": token(audience="another"),
        "scope": token(scope="metrics"),
    }
    with service() as till:
        for number, (reason, bearer) in enumerate(bad.items(), 1):
            assert till.ask("GET", JOBS, bearer=bearer)[0] in (401, 403)
            if bearer is not None:
                assert refused(lambda bearer=bearer: handshake(till, bearer=bearer))[0] in (401, 403)
            expected = 1 if bearer is None else 2
            name = "security_authentication_failures_total"
            assert till.metric(name, authentication_failure_reason=reason) == expected, number
        assert till.ask("GET", "/api/v1/metrics", bearer=token(lifetime=-60))[0] == 401
        assert till.metric("security_authentication_failures_total", authentication_failure_reason="expired") == 3
        assert till.metric("security_events_total", security_event_type="authentication_failure") == 12
        assert till.metric("security_events_total", security_event_severity="high") == 2


def test_a_refused_agent_is_a_security_event() -> None:
    with service() as till, Scripted(till, ["kitchen"], name="first"):
        with Scripted(till, ["kitchen"], name="second", welcome=False) as second:
            assert second.closed() == wire.REFUSED
        assert till.metric("security_events_total", security_event_type="agent_refused") == 1
        with Scripted(till, ["bar"], name="third") as third:
            third.send(wire.Welcome())
            assert third.closed() == wire.PROTOCOL_ERROR
        assert till.metric("security_events_total", security_event_type="protocol_violation") == 1


def test_no_token_is_in_any_signal_log_or_answer(otlp_sink: OtlpSink) -> None:
    good, forged = token("canary"), token("canary", secret="another secret, long enough for HS256")
    answers = []
    with service(**exporting(otlp_sink)) as till:
        for bearer in (good, forged):
            answers.append(till.ask("GET", f"{JOBS}?token={bearer}&limit={bearer}", bearer=bearer, X_Token=bearer))
            answers.append(till.ask("GET", f"/nowhere?{bearer}", bearer=bearer, Cookie=f"token={bearer}"))
            as_subprotocol = {"bearer": None, "subprotocols": [Subprotocol(f"bearer.{bearer}")]}
            for options in ({"bearer": bearer}, as_subprotocol):
                try:
                    handshake(till, f"/ws/client?token={bearer}", **options).close()  # type: ignore[arg-type]
                except InvalidStatus as answer:
                    answers.append(answer.response.body)
        time.sleep(1.2)  # as long as the exports take to come
        said = "".join([*till.process.errors, repr(answers)])
        shown = till.ask("GET", "/api/v1/metrics", bearer=token("prometheus", "metrics"))[1]["text"]
    assert otlp_sink.spans
    told = f"{said}{shown}{otlp_sink.spans}{otlp_sink.logs}{otlp_sink.metrics}{''.join(till.process.errors)}"
    for bearer in (good, forged):
        for part in bearer.split(".")[1:]:
            assert part not in told


# -- pages -----------------------------------------------------------------------------------------------------------


def test_only_allowed_pages_may_send_requests_and_others_are_counted() -> None:
    asked = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "authorization,content-type"}
    with service(SERVICE_ORIGINS=PAGE) as till:
        status, _, headers = till.ask("OPTIONS", JOBS, bearer=None, Origin=PAGE, **asked)
        assert (status, headers["access-control-allow-origin"]) == (200, PAGE)
        _, _, headers = till.ask("GET", JOBS, Origin=PAGE)
        assert headers["access-control-allow-origin"] == PAGE
        assert till.metric("security_origins_refused_total") == 0

        status, problem, headers = till.ask("OPTIONS", JOBS, bearer=None, Origin=EVIL, **asked)
        assert (status, problem["field"]) == (400, "origin")
        assert "SERVICE_ORIGINS" in problem["detail"]
        assert "access-control-allow-origin" not in headers
        _, _, headers = till.ask("GET", JOBS, Origin=EVIL)
        assert "access-control-allow-origin" not in headers
        assert refused(lambda: handshake(till, origin=Origin(EVIL)))[0] == 403
        name = "security_origins_refused_total"
        assert till.metric(name, security_origin=EVIL, network_protocol_name="http") == 2
        assert till.metric(name, security_origin=EVIL, network_protocol_name="websocket") == 1


# -- too often -------------------------------------------------------------------------------------------------------


def test_one_client_is_limited_and_told_what_to_do() -> None:
    with service(SERVICE_RATE_REQUESTS="20") as till:
        answers = [till.ask("GET", JOBS) for _ in range(25)]
        assert [status for status, _, _ in answers] == [200] * 20 + [429] * 5
        _, problem, headers = answers[-1]
        assert headers["content-type"] == "application/problem+json"
        assert 1 <= int(headers["retry-after"]) <= 60
        assert problem["field"] == "address"
        assert "SERVICE_RATE_REQUESTS" in problem["detail"]
        # Another address, as the proxy on this machine tells it.
        assert till.ask("GET", JOBS, X_Forwarded_For="10.0.0.9")[:2][1]["field"] == "token"
        other = token("another")
        assert till.ask("GET", JOBS, bearer=other, X_Forwarded_For="10.0.0.9")[0] == 200
        assert till.ask("GET", "/nowhere", bearer=None, Origin=PAGE)[0] == 429
        bearer = token("prometheus", "metrics")
        shown = till.ask("GET", "/api/v1/metrics", bearer=bearer, X_Forwarded_For="10.0.0.1")[1]["text"]
        assert re.search(r'security_rate_limit_triggers_total\{.*rate_limit_kind="request".*\} 7\.0', shown)
        assert re.search(r"security_rate_limit_clients(\{.*\})? 2\.0", shown)


def test_handshakes_are_limited_by_address_and_by_token() -> None:
    with service(SERVICE_RATE_HANDSHAKES="3") as till:
        for _ in range(3):
            handshake(till).close()
        status, problem, headers = refused(lambda: handshake(till))
        assert (status, problem["field"]) == (429, "address")
        assert int({name.lower(): value for name, value in headers.items()}["retry-after"]) >= 1
        assert till.ask("GET", JOBS)[0] == 200
        assert till.metric("security_rate_limit_triggers_total", rate_limit_kind="handshake") == 1


def test_an_agent_that_says_too_much_is_sent_away_and_its_jobs_are_not_lost() -> None:
    with service(SERVICE_RATE_MESSAGES="10") as till, Scripted(till) as agent:
        job = till.submit("kitchen")["id"]
        assert agent.job().id == job
        with suppress(ConnectionClosed):  # before the last of them, maybe
            for _ in range(15):
                agent.send(wire.State("kitchen", "ready"))
        assert agent.closed() == 1013
        assert till.ask("GET", f"{JOBS}/{job}")[1]["state"] == "dispatched"
        with handshake(till) as client:
            with pytest.raises(ConnectionClosed) as closed:
                for _ in range(12):
                    client.send("hello")
                while True:
                    client.recv(timeout=10)  # what becomes of the job may come before
            assert closed.value.rcvd is not None
            assert "SERVICE_RATE_MESSAGES" in closed.value.rcvd.reason


def test_nothing_is_limited_by_default_or_where_it_is_turned_off() -> None:
    off = {f"SERVICE_RATE_{kind}": "0" for kind in ("REQUESTS", "HANDSHAKES", "MESSAGES")}
    for settings in ({}, off):
        with service(**settings) as till, Scripted(till) as agent:
            for _ in range(200):
                agent.send(wire.State("kitchen", "ready"))
            assert {till.ask("GET", JOBS)[0] for _ in range(200)} == {200}
            assert till.metric("security_rate_limit_triggers_total") == 0


class Clock:
    time = 100.0

    def __call__(self) -> float:
        return self.time


def limiter(tmp_path: Any, clock: Clock, **rates: int) -> Throttle:
    return Throttle(settings_for(tmp_path / "x", **rates), clock)


def test_a_limited_client_is_let_in_again_and_the_gauge_comes_down(tmp_path: Any, sdk: Sdk) -> None:
    clock = Clock()
    till = limiter(tmp_path, clock, rate_requests=2)
    for _ in range(2):
        till.admit("request", "address", "10.0.0.9")
    for wait in ("60", "60", "59"):
        with pytest.raises(Problem) as refusal:
            till.admit("request", "address", "10.0.0.9")
        assert refusal.value.headers == {"Retry-After": wait}
        clock.time += 0.5
    till.admit("request", "token", "10.0.0.9")
    till.admit("handshake", "address", "10.0.0.9")  # 0: no limit
    assert sdk.value("security.rate_limit.clients") == 1
    clock.time += 60
    assert sdk.value("security.rate_limit.clients") == 0
    till.admit("request", "address", "10.0.0.9")


def test_a_flood_of_addresses_is_remembered_in_part(tmp_path: Any, sdk: Sdk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "CLIENTS", 100)
    clock = Clock()
    till = limiter(tmp_path, clock, rate_requests=1)
    for number in range(1000):
        till.admit("request", "address", f"10.0.{number // 256}.{number % 256}")
        with pytest.raises(Problem):
            till.admit("request", "address", f"10.0.{number // 256}.{number % 256}")
    assert sdk.value("security.rate_limit.clients") == 100
    windows = till._limiter.storage
    assert isinstance(windows, Windows)
    assert windows.reset() == 100


@pytest.mark.parametrize(
    ("client", "shown"),
    [
        (("10.0.0.9", 5), "10.0.0.9"),
        (("::ffff:10.0.0.9", 5), "10.0.0.9"),
        (("2001:db8:1:2:3:4:5:6", 5), "2001:db8:1:2::/64"),
        (("2001:db8:1:2::9", 5), "2001:db8:1:2::/64"),
        (("whatever a proxy sends", 5), "unknown"),
        (None, "unknown"),
    ],
)
def test_a_client_is_an_address_or_the_network_it_has_for_itself(client: Any, shown: str) -> None:
    assert address(HTTPConnection({"type": "http", "client": client, "headers": []})) == shown
