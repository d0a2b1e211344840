"""Who is at the other end of a connection: labels that come late, and counts that stay whole."""

import threading

import pytest

from printobs.core.conventions import WEBSOCKET_CLIENT, WEBSOCKET_SERVER, Refusal
from printobs.signals import connections
from printobs.signals.connections import Connection, endpoint, labels, refusal
from tests.conftest import Sdk


def value(sdk: Sdk, name: str, **attributes: str) -> int:
    return int(sdk.value(f"websocket.server.{name}", **attributes))


DESKTOP = {"branch__name": "mitte", "client__type": "desktop"}


def test_labels_that_come_late_move_the_connection_and_leave_what_was_counted(sdk: Sdk) -> None:
    where = endpoint(sdk.telemetry, WEBSOCKET_SERVER, {"http.route": "/ws"})
    one, two = Connection(where), Connection(where)
    for each in (one, two):
        each.opened()
        each.endpoint.received_text.add(10)
    one.identify(labels("desktop", "mitte"))
    one.endpoint.received_text.add(7)
    assert value(sdk, "active_connections") == 2
    assert value(sdk, "active_connections", http__route="/ws", **DESKTOP) == 1
    assert (value(sdk, "messages"), value(sdk, "io")) == (3, 27)
    assert (value(sdk, "messages", **DESKTOP), value(sdk, "io", **DESKTOP)) == (1, 7)
    one.identify(labels(None, "nord"))  # the type stays
    assert value(sdk, "active_connections", branch__name="nord", client__type="desktop") == 1
    assert value(sdk, "active_connections", **DESKTOP) == 0
    one.identify(labels("desktop", "mitte"))
    one.ping(0.1)
    one.closed(1011)
    one.closed(1011)
    one.identify(labels("web", "nord"))  # too late
    two.closed(1000)
    for name in ("active_connections", "quality.level"):
        assert {point.value for point in sdk.points(f"websocket.server.{name}")} == {0}
    for name in ("disconnections", "connection.duration", "connection.errors", "ping.duration"):
        assert value(sdk, name, **DESKTOP) == 1
    assert value(sdk, "disconnections") == 2
    assert value(sdk, "disconnections", client__type="web") == 0


def test_labels_before_the_accept_are_on_everything(sdk: Sdk) -> None:
    connection = Connection(endpoint(sdk.telemetry, WEBSOCKET_SERVER, {}))
    connection.identify(labels("desktop", "mitte"))
    connection.opened()
    assert value(sdk, "active_connections", **DESKTOP) == value(sdk, "active_connections") == 1
    connection.closed(1000)


def test_the_client_side_has_no_such_labels(sdk: Sdk) -> None:
    connection = Connection(endpoint(sdk.telemetry, WEBSOCKET_CLIENT, {"server.address": "till"}))
    connection.identify(labels("desktop", "mitte"))
    connection.opened()
    [point] = [each for each in sdk.points("websocket.client.active_connections") if each.value]
    assert dict(point.attributes) == {"server.address": "till"}
    connection.closed(1000)


def test_whatever_a_client_chooses_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_branches", connections.Bounded(connections.BRANCH, 500))
    found = [labels(f"type {number}\n", f"branch {number}\n" + "x" * 1_000_000) for number in range(2000)]
    assert {each["client.type"] for each in found} == {"other"}
    assert len({each["branch.name"] for each in found}) == 501
    assert all(len(each["branch.name"]) <= 64 and each["branch.name"].isprintable() for each in found)
    assert labels("", None) == {}
    assert [labels(kind, "")["client.type"] for kind in ("desktop", "web", "other")] == ["desktop", "web", "other"]


@pytest.mark.parametrize(
    ("status", "reason"),
    [(401, "unauthorized"), (403, "forbidden"), (404, "not_found"), (429, "rate_limited"), (400, "protocol_error"),
     (426, "protocol_error"), (500, "error"), (503, "unavailable"), (302, "_OTHER"), (99999, "_OTHER")],
)  # fmt: skip
def test_a_status_says_why(status: int, reason: str) -> None:
    assert refusal(status) == reason


def test_a_refused_handshake_is_counted_by_reason_and_as_an_error(sdk: Sdk) -> None:
    where = endpoint(sdk.telemetry, WEBSOCKET_SERVER, {})
    told = Connection(where)
    told.because(Refusal.ORIGIN)
    told.refused(403)
    Connection(where).refused(403, Refusal.NOT_FOUND)
    Connection(where).refused(403)
    for reason in ("origin", "not_found", "forbidden"):
        assert value(sdk, "handshake.refusals", websocket__refusal__reason=reason) == 1
    assert value(sdk, "connection.errors", error__type="403") == 3
    assert value(sdk, "active_connections") == 0


def test_labels_and_ends_from_many_threads_leave_nothing_open(sdk: Sdk) -> None:
    where = endpoint(sdk.telemetry, WEBSOCKET_SERVER, {})

    def live(number: int) -> None:
        for turn in range(50):
            connection = Connection(where)
            connection.opened()
            others = [
                threading.Thread(target=connection.identify, args=(labels("desktop", f"b{number}"),)),
                threading.Thread(target=connection.closed, args=(1000,)),
            ]
            for thread in others[:: 1 if turn % 2 else -1]:
                thread.start()
            for thread in others:
                thread.join()

    threads = [threading.Thread(target=live, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        sdk.points("websocket.server.active_connections")  # collected meanwhile
    assert {point.value for point in sdk.points("websocket.server.active_connections")} == {0}
    assert value(sdk, "disconnections") == 200
