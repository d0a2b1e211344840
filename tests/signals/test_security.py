"""What is refused is counted by why, whatever comes from outside, and by labels that nobody outside can multiply."""

import pytest

from printobs.core.conventions import AuthenticationFailure, Severity
from printobs.signals.security import Security
from tests.conftest import Sdk


@pytest.fixture
def security(sdk: Sdk) -> Security:
    return Security()


def test_failures_are_counted_by_reason_and_as_events(sdk: Sdk, security: Security) -> None:
    for reason in [*AuthenticationFailure, "expired", "what a client has typed"]:
        security.authentication_failed(reason)
    counted = {
        point.attributes["authentication.failure.reason"]: point.value
        for point in sdk.points("security.authentication.failures")
    }
    assert counted == {**dict.fromkeys(AuthenticationFailure, 1), "expired": 2, "_OTHER": 2}

    def events(severity: Severity) -> int:
        kind = {"security__event__type": "authentication_failure"}
        counted: int = sdk.value("security.events", security__event__severity=severity.value, **kind)
        return counted

    assert [events(severity) for severity in Severity] == [3, 5, 1, 0]


def test_origins_are_capped_and_what_is_none_is_never_a_label(sdk: Sdk, security: Security) -> None:
    typed = ["secret token", "https://evil.example/?token=secret", "https://" + "x" * 300, "a\nb", "\udc80", ""]
    for number in range(1000):
        security.origin_refused(f"https://evil-{number}.example", "http" if number % 2 else "websocket")
    for origin in typed:
        security.origin_refused(origin, "carrier pigeon")
    security.origin_refused("HTTPS://EVIL-0.example", "websocket")
    points = sdk.points("security.origins.refused")
    origins = {point.attributes["security.origin"] for point in points}
    assert origins == {*(f"https://evil-{number}.example" for number in range(20)), "_OTHER"}
    assert {point.attributes["network.protocol.name"] for point in points} == {"http", "websocket", "_OTHER"}
    assert sum(point.value for point in points) == 1000 + len(typed) + 1
    assert sdk.value("security.origins.refused", security__origin="https://evil-0.example") == 2
    assert sdk.value("security.events", security__event__type="origin_refused") == 1000 + len(typed) + 1


def test_an_applications_own_events_are_capped(sdk: Sdk, security: Security) -> None:
    for number in range(100):
        security.event(f"event-{number}", "high" if number else "as a client likes it")
    assert len(sdk.points("security.events")) <= 33
    assert sdk.value("security.events") == 100
    assert sdk.value("security.events", security__event__severity="_OTHER") == 1


class Limiter:
    clients = 0


def test_limited_clients_are_read_and_come_down_again(sdk: Sdk, security: Security) -> None:
    limiter = Limiter()
    security.limited_clients(limiter, lambda each: each.clients)
    for limiter.clients in (0, 3, 1, 0):
        assert sdk.value("security.rate_limit.clients") == limiter.clients
    security.rate_limited("message")
    security.rate_limited("of some other kind")
    assert sdk.value("security.rate_limit.triggers", rate_limit__kind="message") == 1
    assert sdk.value("security.rate_limit.triggers", rate_limit__kind="_OTHER") == 1
    del limiter
    assert sdk.points("security.rate_limit.clients") == []


def test_it_raises_nothing(security: Security) -> None:
    security.authentication_failed(None)  # type: ignore[arg-type]
    security.origin_refused(None)  # type: ignore[arg-type]
    security.event(None, None)  # type: ignore[arg-type]
    security.rate_limited(object())  # type: ignore[arg-type]
    security.limited_clients(5, lambda each: each)
