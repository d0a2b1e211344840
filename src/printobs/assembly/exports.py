"""What becomes of each export: how much arrived, how much was lost and why, how long it took. Needs the SDK.

The SDK counts this too, where ``OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED`` is set: with a cost for every span, and
with what a server refuses (503, 400) counted as exported. Here an export is counted by what the exporter says of it,
under the names of the semantic conventions; where that variable is set, the SDK's word stands alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.environment_variables import OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED as SDK_METRICS
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from printobs.core import clock, conventions, telemetry
from printobs.core.attributes import clean, error_type
from printobs.core.conventions import COMPONENT_TYPE, ERROR_TYPE, OTHER, Instrument
from printobs.core.guard import Guard

if TYPE_CHECKING:
    from printobs.assembly.otlp_http import Session

_guard: Final = Guard("counting an export")

# What each signal's records are called in the conventions: the instrument, and the middle of the component's type.
_SIGNALS: Final = {
    "traces": (conventions.EXPORTED_SPANS, "span"),
    "metrics": (conventions.EXPORTED_POINTS, "metric"),
    "logs": (conventions.EXPORTED_RECORDS, "log"),
}


class Exports:
    """The exporters of one `configure`: how they are made, and how they are watched."""

    def __init__(self) -> None:
        self._watched = SDK_METRICS not in os.environ
        telemetry.current()  # made by now: the last exports come when the provider gives no meter any more
        self._sessions = _sessions()

    @property
    def arguments(self) -> dict[Any, dict[str, Any]]:
        """What the SDK's configurator is to make exporters with, by class."""
        return {exporter: {"session": session} for exporter, session in self._sessions.items()}

    def spans(self, span_exporter: SpanExporter) -> BatchSpanProcessor:
        """The processor of an exporter of spans."""
        self._watch(span_exporter, "traces", len)
        with self._processor_metrics():
            return BatchSpanProcessor(span_exporter)

    def log_records(self, exporter: LogRecordExporter) -> BatchLogRecordProcessor:
        """The processor of an exporter of log records."""
        self._watch(exporter, "logs", len)
        with self._processor_metrics():
            return BatchLogRecordProcessor(exporter)

    def points(self, provider: MeterProvider) -> None:
        """Watch what the readers of ``provider`` export; the SDK makes them with no way in."""
        for reader in provider._metric_readers:
            exporter = getattr(reader, "_exporter", None)
            if exporter is not None:
                self._watch(exporter, "metrics", _count)

    @contextmanager
    def _processor_metrics(self) -> Iterator[None]:
        # A processor counts what it drops and how long its queue is, if this is set while it is made. It costs
        # nothing for each span, as the rest of what the variable brings would, if it stayed.
        if not self._watched:
            yield
            return
        os.environ[SDK_METRICS] = "true"
        try:
            yield
        finally:
            del os.environ[SDK_METRICS]

    def _watch(self, exporter: Any, signal: str, count: Callable[[Any], int]) -> None:
        if not self._watched:
            return
        exported, noun = _SIGNALS[signal]
        component = _component(type(exporter), noun)
        session = self._sessions.get(type(exporter))
        export = exporter.export

        def counted(batch: Any, *args: Any, **kwargs: Any) -> Any:
            began = clock.monotonic()
            if session is not None:
                session.begin()
            error: str | None = OTHER
            try:
                result = export(batch, *args, **kwargs)
                if result.name == "SUCCESS":
                    error = None
                if session is not None:
                    error = session.error or error
                return result
            except Exception as raised:
                error = error_type(raised)
                raise
            finally:
                with _guard:
                    rejected = 0 if session is None else session.rejected
                    _record(exported, component, count(batch), rejected, error, clock.monotonic() - began)

        exporter.export = counted


def _record(exported: Instrument, component: str, count: int, rejected: int, error: str | None, seconds: float) -> None:
    instruments = telemetry.current().instruments
    attributes = {COMPONENT_TYPE: component}
    failed = attributes | ({ERROR_TYPE: error} if error else {})
    counter = instruments.counter(exported)
    lost = min(max(0, rejected), count) if error is None else 0
    if lost:
        counter.add(lost, {**attributes, ERROR_TYPE: "rejected"})
    if count > lost:
        counter.add(count - lost, failed)
    instruments.histogram(conventions.EXPORT_DURATION).record(seconds, failed)


def _count(data: MetricsData) -> int:
    return sum(
        len(metric.data.data_points)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    )


def _component(kind: type, noun: str) -> str:
    # https://opentelemetry.io/docs/specs/semconv/registry/attributes/otel/: else the name of the class.
    for protocol in ("http", "grpc"):
        if kind.__module__.startswith(f"opentelemetry.exporter.otlp.proto.{protocol}."):
            return f"otlp_{protocol}_{noun}_exporter"
    return clean(f"{kind.__module__}.{kind.__qualname__}", 128)


def _sessions() -> dict[type, Session]:
    # Whoever brings sessions of his own, with credentials, keeps them.
    if any(name.endswith("_CREDENTIAL_PROVIDER") for name in os.environ):
        return {}
    try:
        from printobs.assembly import otlp_http
    except ImportError:  # OTLP over HTTP is not installed
        return {}
    return {exporter: otlp_http.Session() for exporter in otlp_http.EXPORTERS}
