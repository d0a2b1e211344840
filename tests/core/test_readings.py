"""Readings are worked out at each collection, of the sources that are still there."""

import gc
from collections.abc import Iterable

from opentelemetry.metrics import CallbackOptions, Observation

from printobs.core.readings import Readings


class Source:
    def __init__(self, name: str, value: float) -> None:
        self.name = name
        self.value = value

    def read(self) -> Iterable[Observation]:
        return [Observation(self.value, {"name": self.name})]

    def fail(self) -> Iterable[Observation]:
        raise RuntimeError("no")


def observed(readings: Readings) -> dict[object, float]:
    return {(each.attributes or {}).get("name"): each.value for each in readings.observe(CallbackOptions())}


def test_what_is_read_is_what_the_sources_give_now() -> None:
    readings, source = Readings(sum, "test.metric"), Source("a", 1)
    readings.add(source, Source.read)
    assert observed(readings) == {"a": 1}
    source.value = 2
    assert observed(readings) == {"a": 2}
    readings.remove(source)
    assert observed(readings) == {}


def test_a_source_that_is_gone_has_no_series() -> None:
    readings, source = Readings(sum, "test.metric"), Source("a", 1)
    readings.add(source, Source.read)
    del source
    gc.collect()
    assert observed(readings) == {}


def test_one_that_fails_leaves_the_others() -> None:
    readings, bad, good = Readings(sum, "test.metric"), Source("bad", 1), Source("good", 2)
    readings.add(bad, Source.fail)
    readings.add(good, Source.read)
    assert observed(readings) == {"good": 2}


def test_beyond_the_cap_there_is_one_series_for_all_others() -> None:
    sources = [Source(str(number), float(number)) for number in range(1, 6)]
    for others, expected in ((sum, 12.0), (min, 3.0)):
        readings = Readings(others, "test.metric", cap=2)
        for source in sources:
            readings.add(source, Source.read)
        found = list(readings.observe(CallbackOptions()))
        assert [each.value for each in found] == [1, 2, expected]
        assert found[-1].attributes == {"otel.metric.overflow": True}


def test_a_hall_of_printers_has_all_its_states() -> None:
    states = [f"state {number}" for number in range(11)]

    class Printer:
        def __init__(self, name: str) -> None:
            self.name = name

        def read(self) -> Iterable[Observation]:
            return [Observation(int(each == "state 0"), {"printer": self.name, "state": each}) for each in states]

    readings, printers = Readings(sum, "test.metric"), [Printer(str(number)) for number in range(150)]
    for printer in printers:
        readings.add(printer, Printer.read)
    found = list(readings.observe(CallbackOptions()))
    assert len(found) == 150 * 11
    assert sum(each.value for each in found) == 150
