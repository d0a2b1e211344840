"""The telemetry, and what it says."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

from opentelemetry.sdk.environment_variables import OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    HistogramDataPoint,
    InMemoryMetricReader,
    MetricsData,
    NumberDataPoint,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from benchmarks.providers import Counting


class Providers:
    """The SDK as an application sets it up: a queue of the usual length, which may overflow, and says so."""

    def __init__(self) -> None:
        self._exporter = Counting()
        self._own = InMemoryMetricReader()  # of the SDK's own metrics
        self._own_provider = MeterProvider([self._own])
        self.reader = InMemoryMetricReader()
        self.metrics = MeterProvider([self.reader])
        self.traces = TracerProvider()
        with patch.dict(os.environ, {OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED: "true"}):
            self.traces.add_span_processor(BatchSpanProcessor(self._exporter, meter_provider=self._own_provider))

    def spans(self) -> tuple[int, int]:
        """How many were exported, and how many the full queue has dropped."""
        self.traces.force_flush()
        processed = points(self._own.get_metrics_data(), "otel.sdk.processor.span.processed")
        return self._exporter.exported, sum(value for attributes, value in processed if "error.type" in attributes)

    def shutdown(self) -> None:
        """End their threads."""
        for each in (self.traces, self.metrics, self._own_provider):
            each.shutdown()


def points(data: MetricsData | None, *names: str) -> list[tuple[Mapping[str, Any], int]]:
    """Of each series its attributes and its value: of a histogram, how much it has recorded. All without a name."""
    found: list[tuple[Mapping[str, Any], int]] = []
    for resource_metrics in data.resource_metrics if data else ():
        for scope in resource_metrics.scope_metrics:
            for metric in scope.metrics:
                if names and metric.name not in names:
                    continue
                for point in metric.data.data_points:
                    assert isinstance(point, HistogramDataPoint | NumberDataPoint)
                    value = point.count if isinstance(point, HistogramDataPoint) else point.value
                    found.append((point.attributes or {}, value))  # type: ignore[arg-type]
    return found


def said(data: MetricsData | None) -> dict[str, int]:
    """What the metrics say, under the names of `ledger.together`."""
    found: Counter[str] = Counter()
    for side in ("server", "client"):
        for name, metric in (("messages", "messages"), ("payload", "io")):
            for attributes, value in points(data, f"websocket.{side}.{metric}"):
                found[f"{name}, {side} {attributes['network.io.direction']}"] += value
        found[f"opened, {side}"] += sum(v for _, v in points(data, f"websocket.{side}.disconnections"))
    for attributes, value in points(data, "printer.jobs"):
        found[f"jobs, {attributes['printer.job.outcome']}"] += value
    found["refused"] = sum(v for _, v in points(data, "websocket.server.handshake.refusals"))
    found["printed"] = sum(v for _, v in points(data, "printer.io"))
    return dict(found)
