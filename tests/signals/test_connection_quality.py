"""The quality of a connection, as its definition has it, by a clock that the test moves."""

import pytest

from printobs.core import clock
from printobs.core.conventions import WEBSOCKET_SERVER, Level
from printobs.signals import connections
from printobs.signals.connection_quality import UNKNOWN, Losses, RoundTrips, rated
from printobs.signals.connections import Connection, endpoint
from printobs.signals.health import WINDOW
from tests.conftest import Clock, Sdk


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Clock:
    now = Clock()
    monkeypatch.setattr(clock, "monotonic", now)
    monkeypatch.setattr(connections, "_losses", Losses(1000, now))
    return now


@pytest.mark.parametrize(
    ("round_trip", "losses", "score", "name"),
    [(0.0, 0, 100.0, "excellent"), (0.1, 1, 90.0, "excellent"), (0.55, 0, 75.0, "good"), (1.0, 0, 50.0, "fair"),
     (60.0, 0, 50.0, "fair"), (0.05, 3, 70.0, "fair"), (0.1, 9, 50.0, "fair"), (1.0, 5, 25.0, "poor")],
)  # fmt: skip
def test_the_score_is_promptness_times_stability(round_trip: float, losses: int, score: float, name: str) -> None:
    found = rated(round_trip, losses)
    assert (found.score, found.level) == (score, name)


def test_a_round_trip_is_smoothed_and_forgotten(now: Clock) -> None:
    trips = RoundTrips()
    assert trips.smoothed() is None
    trips.heard(0.8)
    assert trips.smoothed() == 0.8
    trips.heard(0.8)  # the same one again
    trips.heard(0.0)
    assert trips.smoothed() == pytest.approx(0.7)
    now.time += WINDOW
    assert trips.smoothed() is not None
    now.time += 1
    assert trips.smoothed() is None


def test_losses_are_those_of_the_client_and_of_the_last_five_minutes(now: Clock) -> None:
    losses = Losses(1000, now)
    for _ in range(7):
        losses.lost("pc")
    assert (losses.recent("pc"), losses.recent("other"), losses.recent(None)) == (5, 0, 0)
    now.time += WINDOW
    losses.lost("pc")
    assert losses.recent("pc") == 1


def test_no_more_clients_are_remembered_than_so_many(now: Clock) -> None:
    losses = Losses(3, now)
    for name in ("a", "b", "c", "a", "d"):
        losses.lost(name)
    assert [losses.recent(name) for name in "abcd"] == [2, 0, 1, 1]
    losses.lost("x" * 1_000_000)
    assert max(map(len, losses._lost)) == 64


def levels(sdk: Sdk) -> dict[str, int]:
    return {
        str(level): found
        for level in Level
        if (found := sdk.value("websocket.server.quality.level", quality__level=level.value))
    }


def test_connections_are_counted_in_the_level_they_are_in_now(sdk: Sdk, now: Clock) -> None:
    where = endpoint(sdk.telemetry, WEBSOCKET_SERVER, {})
    kept = [Connection(where) for _ in range(3)]
    assert levels(sdk) == {}
    for each in kept:
        each.opened()
    assert levels(sdk) == {"unknown": 3}
    assert kept[0].quality() == UNKNOWN
    kept[0].ping(0.01)
    kept[1].ping(2.0)
    assert levels(sdk) == {"excellent": 1, "fair": 1, "unknown": 1}
    for _ in range(60):
        kept[1].ping(0.01)
        kept[1].ping(0.02)
    assert levels(sdk) == {"excellent": 2, "unknown": 1}
    now.time += WINDOW + 1  # nothing was heard since, and nothing has happened
    assert levels(sdk) == {"unknown": 3}
    for each in kept:
        each.closed(1000)
        each.closed(1000)
    assert levels(sdk) == {}
    assert {point.attributes["quality.level"] for point in sdk.points("websocket.server.quality.level")} == {
        "excellent", "fair", "unknown",
    }  # fmt: skip


def test_a_client_that_loses_its_connections_has_poorer_ones(sdk: Sdk, now: Clock) -> None:
    def connected() -> Connection:
        connection = Connection(endpoint(sdk.telemetry, WEBSOCKET_SERVER, {}))
        connection.identify({}, "pc")
        connection.opened()
        connection.ping(0.01)
        return connection

    for code, score in ((1000, 100.0), (None, 100.0), (1011, 90.0), (4009, 80.0), (1001, 80.0)):
        connection = connected()
        assert connection.quality().score == score
        connection.closed(code)
    now.time += WINDOW + 1
    assert connected().quality().score == 100.0


def test_a_connection_that_nobody_has_closed_is_not_kept(sdk: Sdk) -> None:
    connection = Connection(endpoint(sdk.telemetry, WEBSOCKET_SERVER, {}))
    connection.opened()
    del connection
    assert levels(sdk) == {}
