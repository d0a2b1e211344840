"""Real SDK providers for the benchmarks: spans are batched and counted by an exporter, metrics kept by a reader."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, MetricsData, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, Sampler


class Counting(SpanExporter):
    """Keeps nothing of the spans but how many they were."""

    def __init__(self) -> None:
        self.exported = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.exported += len(spans)
        return SpanExportResult.SUCCESS


class Providers:
    """A tracer provider that batches and counts, a meter provider that aggregates; nothing is sent."""

    def __init__(self, sampler: Sampler = DEFAULT_ON) -> None:
        self._exporter = Counting()
        self._reader = InMemoryMetricReader()
        self.traces = TracerProvider(sampler=sampler)
        # Never full: a span that is dropped is cheaper than one that is kept.
        self.traces.add_span_processor(BatchSpanProcessor(self._exporter, max_queue_size=1 << 20))
        self.metrics = MeterProvider([self._reader])

    def spans(self) -> float:
        """How many spans have been exported."""
        self.traces.force_flush()
        return self._exporter.exported

    def collected(self) -> MetricsData | None:
        """All metrics, as they are now."""
        return self._reader.get_metrics_data()

    def points(self, *names: str) -> Callable[[], float]:
        """Reads the sum of the metrics with these names: of a histogram, how much it has recorded."""

        def read() -> float:
            data = self.collected()
            return sum(
                _value(point)
                for resource in (data.resource_metrics if data else ())
                for scope in resource.scope_metrics
                for metric in scope.metrics
                if metric.name in names
                for point in metric.data.data_points
            )

        return read

    def shutdown(self) -> None:
        """End their threads."""
        self.traces.shutdown()
        self.metrics.shutdown()


def _value(point: object) -> float:
    if isinstance(point, HistogramDataPoint):
        return point.count
    assert isinstance(point, NumberDataPoint)
    return point.value
