"""IDs that wait for an answer: each comes to one end, a flood evicts the oldest, and no count is lost."""

import gc

import pytest

from printobs.signals.correlation_registry import CorrelationRegistry
from tests.conftest import Clock, Sdk


@pytest.fixture
def registry(sdk: Sdk, clock: Clock) -> CorrelationRegistry:
    return CorrelationRegistry(cap=100, ttl=60.0, now=clock)


def states(sdk: Sdk) -> dict[str, int]:
    points = sdk.points("correlation.lifecycle")
    return {point.attributes["correlation.state"]: point.value for point in points if point.value}


def opened(sdk: Sdk) -> list[int]:
    return [sdk.value("correlation.open", correlation__state=state) for state in ("pending", "dispatched")]


def test_an_id_goes_from_pending_to_acknowledged(sdk: Sdk, registry: CorrelationRegistry, clock: Clock) -> None:
    registry.add("order-1")
    registry.add("order-2", age=10)
    assert opened(sdk) == [2, 0]
    for _ in range(2):
        registry.dispatched("order-1")
    assert opened(sdk) == [1, 1]
    clock.time += 4
    assert registry.find("order-1")
    registry.acknowledged("order-1")
    registry.expired("order-2")
    assert not registry.find("order-1")
    for identifier in ("order-1", "never heard of"):
        registry.acknowledged(identifier)
        registry.dispatched(identifier)
    assert states(sdk) == {"pending": 2, "dispatched": 1, "acknowledged": 1, "expired": 1}
    assert opened(sdk) == [0, 0]
    assert [sdk.value("correlation.lookups", correlation__lookup__result=each) for each in ("hit", "miss")] == [1, 1]
    lifetimes = {point.attributes["correlation.state"]: point.sum for point in sdk.points("correlation.lifetime")}
    assert lifetimes == {"acknowledged": 4.0, "expired": 14.0}


def test_an_id_that_waits_for_two_answers_ends_with_the_second(sdk: Sdk, registry: CorrelationRegistry) -> None:
    registry.add("order-1")
    registry.add("order-1")
    registry.acknowledged("order-1")
    assert registry.find("order-1")
    registry.acknowledged("order-1")
    assert not registry.find("order-1")
    assert states(sdk) == {"pending": 1, "acknowledged": 1}


def test_what_waits_too_long_expires(sdk: Sdk, registry: CorrelationRegistry, clock: Clock) -> None:
    registry.add("order-1")
    clock.time += 59.9
    assert registry.find("order-1")
    registry.add("order-2")
    clock.time += 0.2
    assert not registry.find("order-1")
    assert registry.find("order-2")
    clock.time += 60
    registry.expire()
    assert len(registry) == 0
    assert states(sdk) == {"pending": 2, "expired": 2}
    registry.add("order-3", age=-1000)  # of a clock that was set back
    registry.acknowledged("order-3")
    assert min(point.min for point in sdk.points("correlation.lifetime")) == 0.0


def test_a_flood_evicts_the_oldest_and_every_id_comes_to_one_end(sdk: Sdk, registry: CorrelationRegistry) -> None:
    for number in range(5000):
        registry.add(f"order-{number}")
    assert len(registry) == 100
    assert not registry.find("order-4899")
    assert registry.find("order-4900")
    assert states(sdk) == {"pending": 5000, "evicted": 4900}
    for number in range(5000):
        registry.acknowledged(f"order-{number}")
    assert states(sdk) == {"pending": 5000, "evicted": 4900, "acknowledged": 100}


def test_it_raises_nothing_and_its_series_end_with_it(sdk: Sdk) -> None:
    registry = CorrelationRegistry()
    registry.add([])  # type: ignore[arg-type]
    assert registry.find({}) is False  # type: ignore[arg-type]
    del registry
    gc.collect()
    assert sdk.points("correlation.open") == []
