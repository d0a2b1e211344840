"""What every test may use: an SDK of its own that keeps what was emitted."""

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from printobs.core import telemetry
from printobs.core.telemetry import Telemetry

# What doctor has saved for this machine's own printers is not the tests' to use.
os.environ["PRINTOBS_PRINTERS"] = str(Path(tempfile.gettempdir(), "no-such-printobs", "printers.json"))

# A shell that runs this in the background has its processes ignore Ctrl-C, and theirs; the tests send it to some.
signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass
class Sdk:
    """Providers of a test, and what they were given."""

    telemetry: Telemetry
    tracer_provider: TracerProvider
    meter_provider: MeterProvider
    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader

    def spans(self, name: str | None = None) -> list[ReadableSpan]:
        """The ended spans, oldest first."""
        return [span for span in self.exporter.get_finished_spans() if name in (None, span.name)]

    def span(self, name: str) -> ReadableSpan:
        """The only span of this name."""
        [span] = self.spans(name)
        return span

    def points(self, name: str) -> list[Any]:
        """The data points of an instrument."""
        data = self.reader.get_metrics_data()
        if data is None:
            return []
        return [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def value(self, name: str, **attributes: object) -> Any:
        """The sum (or the count, of a histogram) over the points that have these attributes, dots as ``__``."""
        wanted = {key.replace("__", "."): value for key, value in attributes.items()}
        return sum(
            getattr(point, "value", getattr(point, "count", None))
            for point in self.points(name)
            if wanted.items() <= dict(point.attributes).items()
        )


class Clock:
    """A clock that stands still until a test sets its ``time``, in seconds."""

    def __init__(self) -> None:
        self.time = 1_000_000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    """For what takes a clock."""
    return Clock()


@contextmanager
def in_memory() -> Iterator[Sdk]:
    """Telemetry bound to providers in memory."""
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracer_provider = TracerProvider()
    tracer_provider.add_span_processor(SimpleSpanProcessor(exporter))
    meter_provider = MeterProvider([reader])
    bound = telemetry.telemetry(tracer_provider, meter_provider)
    telemetry.bind(bound)
    yield Sdk(bound, tracer_provider, meter_provider, exporter, reader)
    telemetry.bind(None)
    tracer_provider.shutdown()
    meter_provider.shutdown()


@pytest.fixture
def sdk() -> Iterator[Sdk]:
    """`in_memory`, for one test."""
    with in_memory() as made:
        yield made


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"
