"""Instruments are made once for each meter provider, and the global one may come late."""

import subprocess
import sys

import pytest
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

from printobs.core import conventions, telemetry
from printobs.core.conventions import INSTRUMENTS, PAIRS, Kind


def points(reader: InMemoryMetricReader) -> dict[str, list[object]]:
    data = reader.get_metrics_data()
    return {
        metric.name: list(metric.data.data_points)
        for resource in (data.resource_metrics if data else [])
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def test_instruments_are_made_once_for_a_provider() -> None:
    provider = MeterProvider()
    assert telemetry.telemetry(None, provider).instruments is telemetry.telemetry(None, provider).instruments
    assert telemetry.telemetry(None, MeterProvider()).instruments is not telemetry.telemetry(None, provider).instruments


def test_every_instrument_of_the_conventions_reaches_a_reader_with_its_unit() -> None:
    reader = InMemoryMetricReader()
    instruments = telemetry.telemetry(None, MeterProvider([reader])).instruments
    paired = {each for pair in PAIRS for each in pair}
    for count, _size in PAIRS:
        instruments.pairs(count).cell({}).add(5)
    for instrument in INSTRUMENTS:
        if instrument in paired:
            continue
        if instrument.kind is Kind.COUNTER:
            instruments.counter(instrument).add(1)
        elif instrument.kind is Kind.HISTOGRAM:
            instruments.histogram(instrument).record(0.5)
        elif instrument.kind in (Kind.STATES, Kind.AMOUNTS, Kind.GAUGE):
            instruments.readings(instrument).add(reader, lambda _: [Observation(1)])
        else:
            instruments.cells(instrument).cell({}).add()
    found = points(reader)
    assert set(found) == {instrument.name for instrument in INSTRUMENTS}
    for instrument in INSTRUMENTS:
        point = found[instrument.name][0]
        if instrument.kind is Kind.HISTOGRAM:
            assert isinstance(point, HistogramDataPoint)
            assert tuple(point.explicit_bounds) == instrument.buckets


def test_names_follow_the_rules_of_opentelemetry() -> None:
    assert len({instrument.name for instrument in INSTRUMENTS}) == len(INSTRUMENTS)
    for instrument in INSTRUMENTS:
        assert instrument.name == instrument.name.lower()
        assert not instrument.name.endswith((".total", "_total", ".seconds", ".bytes"))
        assert all(isinstance(bound, float) for bound in instrument.buckets)
        assert bool(instrument.buckets) is (instrument.kind is Kind.HISTOGRAM)
        assert not {conventions.CORRELATION_ID, conventions.JOB_ID, conventions.CONNECTION_ID} & set(
            instrument.attributes
        ), "identifiers never go on metrics"


def test_bind_changes_what_is_current_and_none_goes_back() -> None:
    before = telemetry.current()
    bound = telemetry.telemetry(TracerProvider(), MeterProvider())
    telemetry.bind(bound)
    assert telemetry.current() is bound
    telemetry.bind(None)
    assert telemetry.current().instruments is before.instruments


LATE = """
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from printobs.core import telemetry
from printobs.core.conventions import PRINTER_IO, PRINTER_JOBS
early = telemetry.current().instruments
early.cells(PRINTER_IO).cell({"n": "early"}).add(7)
reader = InMemoryMetricReader()
provider = MeterProvider([reader])
metrics.set_meter_provider(provider)
assert telemetry.telemetry().instruments is early
assert telemetry.telemetry(None, provider).instruments is early, "made twice, the observables would lose callbacks"
early.cells(PRINTER_IO).cell({"n": "early"}).add(1)
early.counter(PRINTER_JOBS).add(1)
metric = {m.name: m for s in reader.get_metrics_data().resource_metrics[0].scope_metrics for m in s.metrics}
assert [p.value for p in metric["printer.io"].data.data_points] == [8]
assert [p.value for p in metric["printer.jobs"].data.data_points] == [1]
"""


def test_a_provider_set_later_reports_what_was_counted_before() -> None:
    done = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("instrument", INSTRUMENTS, ids=lambda each: each.name)
def test_each_instrument_says_what_it_is(instrument: conventions.Instrument) -> None:
    assert instrument.description.endswith(".")
    assert instrument.unit
