"""What becomes of each export: how much arrived, how much was lost and why, how long it took. Needs the SDK.

The SDK counts this too, where ``OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED`` is set: with a cost for every span, and
with what a server refuses (503, 400) counted as exported. Here an export is counted by what the exporter says of it,
under the names of the semantic conventions; where that variable is set, the SDK's word stands alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.environment_variables import OTEL_BLRP_MAX_QUEUE_SIZE, OTEL_BSP_MAX_QUEUE_SIZE
from opentelemetry.sdk.environment_variables import OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED as SDK_METRICS
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricsData, Sum
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from printobs.assembly.outbox import Attempt, Outbox
from printobs.core import clock, conventions, telemetry
from printobs.core.attributes import clean, error_type
from printobs.core.conventions import COMPONENT_TYPE, ERROR_TYPE, OTHER, Instrument
from printobs.core.guard import Guard

if TYPE_CHECKING:
    from printobs.assembly.otlp_http import Session

_QUEUE: Final = 2048  # https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/

_guard: Final = Guard("counting an export")

_TOTALS: Final = {each.name: each for each in conventions.INSTRUMENTS if each.kind is conventions.Kind.TOTALS}

# What each signal's records are called in the conventions: exported ones, those on their way (points are sent anew with
# each export, and never wait), and the middle of the component's type.
_SIGNALS: Final[Mapping[str, tuple[Instrument, Instrument | None, str]]] = {
    "traces": (conventions.EXPORTED_SPANS, conventions.INFLIGHT_SPANS, "span"),
    "metrics": (conventions.EXPORTED_POINTS, None, "metric"),
    "logs": (conventions.EXPORTED_RECORDS, conventions.INFLIGHT_RECORDS, "log"),
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
        kept = self._kept(span_exporter, "traces", _whole(OTEL_BSP_MAX_QUEUE_SIZE))
        with self._processor_metrics():
            return BatchSpanProcessor(kept)

    def log_records(self, exporter: LogRecordExporter) -> BatchLogRecordProcessor:
        """The processor of an exporter of log records."""
        kept = self._kept(exporter, "logs", _whole(OTEL_BLRP_MAX_QUEUE_SIZE))
        with self._processor_metrics():
            return BatchLogRecordProcessor(kept)

    def points(self, provider: MeterProvider) -> None:
        """Watch what the readers of ``provider`` export; the SDK makes them with no way in."""
        for reader in provider._metric_readers:
            exporter = getattr(reader, "_exporter", None)
            if exporter is not None:
                self._watch(exporter, "metrics", _count)
                _tell_what_stands(exporter)

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

    def _kept(self, exporter: Any, signal: str, limit: int) -> Any:
        """``exporter`` behind an outbox, where it can be told what it may be given again."""
        session = self._sessions.get(type(exporter))
        if session is None:
            self._watch(exporter, signal, len)
            return exporter
        return Outbox(exporter, _Watch(exporter, signal, session, self._watched), limit)

    def _watch(self, exporter: Any, signal: str, count: Callable[[Any], int]) -> None:
        if not self._watched:
            return
        watch = _Watch(exporter, signal, self._sessions.get(type(exporter)), True)

        def counted(batch: Any, *args: Any, **kwargs: Any) -> Any:
            watch.taken(count(batch))
            try:
                return watch.export(batch, *args, **kwargs)
            finally:
                watch.settled(count(batch), watch.error)

        exporter.export = counted


class _Watch:
    """An exporter of which each attempt is timed, and each record counted once it is settled.

    After an attempt, ``error`` is its ``error.type`` or ``None``.
    """

    def __init__(self, exporter: Any, signal: str, session: Session | None, counted: bool) -> None:
        self._exported, self._way, noun = _SIGNALS[signal]
        self._component = {COMPONENT_TYPE: _component(type(exporter), noun)}
        self._session = session
        self._counted = counted
        self._export = exporter.export
        self._rejected = 0
        self.error: str | None = None

    def export(self, batch: Any, *args: Any, **kwargs: Any) -> Any:
        """Make an attempt; what the exporter raises passes."""
        began = clock.monotonic()
        session = self._session
        if session is not None:
            session.begin()
        self.error = OTHER
        try:
            result = self._export(batch, *args, **kwargs)
            if result.name == "SUCCESS":
                self.error = None
            if session is not None:
                self.error = session.error or self.error
            return result
        except Exception as raised:
            self.error = error_type(raised)
            raise
        finally:
            self._rejected = 0 if session is None else session.rejected
            if self._counted:
                with _guard:
                    duration = telemetry.current().instruments.histogram(conventions.EXPORT_DURATION)
                    duration.record(clock.monotonic() - began, self._failed(self.error))

    def attempt(self, batch: Any) -> Attempt:
        """Export ``batch``; what is raised has become its error."""
        with suppress(Exception):
            self.export(batch)
        return Attempt(self.error, self._session is not None and self._session.sent)

    def taken(self, count: int) -> None:
        """So many records are on their way."""
        self._inflight(count)

    def settled(self, count: int, error: str | None) -> None:
        """Count so many records: as exported (but for those that were rejected then), or as lost for ``error``."""
        self._inflight(-count)
        if not self._counted:
            return
        with _guard:
            counter = telemetry.current().instruments.counter(self._exported)
            lost = min(max(0, self._rejected), count) if error is None else 0
            if lost:
                counter.add(lost, {**self._component, ERROR_TYPE: "rejected"})
            if count > lost:
                counter.add(count - lost, self._failed(error))

    def _inflight(self, count: int) -> None:
        if self._counted and self._way is not None:
            with _guard:
                telemetry.current().instruments.cells(self._way).cell(self._component).add(count)

    def _failed(self, error: str | None) -> dict[str, str]:
        return self._component | ({ERROR_TYPE: error} if error else {})


def _whole(variable: str) -> int:
    """How much may wait, as the SDK reads it: no more than in its own queue."""
    try:
        return max(1, int(os.environ.get(variable, _QUEUE)))
    except ValueError:
        return _QUEUE


def _count(data: MetricsData) -> int:
    return sum(
        len(metric.data.data_points)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    )


def _tell_what_stands(exporter: Any) -> None:
    """Have no beginning exported with totals that began before this process; the SDK gives them its own.

    Zero is the data model's word for not known. A backend takes a beginning for a reset, and all there is for new:
    https://opentelemetry.io/docs/specs/otel/metrics/data-model/#cumulative-streams-handling-unknown-start-time
    """
    export = exporter.export

    def told(data: MetricsData, *args: Any, **kwargs: Any) -> Any:
        with _guard:
            _forget_beginnings(data)
        return export(data, *args, **kwargs)

    exporter.export = told


def _forget_beginnings(data: MetricsData) -> None:
    instruments = telemetry.current().instruments
    for metric in (each for found in data.resource_metrics for scope in found.scope_metrics for each in scope.metrics):
        if metric.name in _TOTALS and isinstance(metric.data, Sum):
            standing = instruments.readings(_TOTALS[metric.name]).standing
            points = metric.data.data_points  # a list, made for this export
            for index, point in enumerate(points):
                if frozenset((point.attributes or {}).items()) in standing:
                    points[index] = replace(point, start_time_unix_nano=0)  # type: ignore[index]


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
