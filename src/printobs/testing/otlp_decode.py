"""OTLP's protobuf messages as plain frozen records (https://opentelemetry.io/docs/specs/otlp/)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

Attributes = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a span; ``time_ns`` since 1970."""

    name: str
    time_ns: int
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Link:
    """A link of a span; IDs in hexadecimal digits."""

    trace_id: str
    span_id: str
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Span:
    """A span; IDs in hexadecimal digits, ``parent_id`` empty for a root; ``status`` is unset, ok or error."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: str
    start_ns: int
    end_ns: int
    status: str
    attributes: Attributes
    events: tuple[Event, ...]
    links: tuple[Link, ...]
    resource: Attributes
    scope: str


@dataclass(frozen=True, slots=True)
class Exemplar:
    """An example of what a point counts, and the span it was recorded in."""

    value: float
    trace_id: str
    span_id: str


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One data point. ``kind`` is sum, gauge, histogram, exponential_histogram or summary.

    ``value`` is that of a sum or a gauge; the other kinds have ``count`` and ``sum``; a histogram has ``buckets``,
    upper bound to count in that bucket alone. ``start_ns``: since when it counts, from 1970; 0 where nobody says.
    """

    name: str
    unit: str
    kind: str
    start_ns: int
    attributes: Attributes
    value: float | None
    count: int
    sum: float
    buckets: Mapping[float, int]
    exemplars: tuple[Exemplar, ...]
    resource: Attributes
    scope: str


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One log record; IDs in hexadecimal digits, empty outside a span."""

    body: Any
    severity: str
    event_name: str
    time_ns: int
    attributes: Attributes
    trace_id: str
    span_id: str
    resource: Attributes
    scope: str


def spans(body: bytes) -> Iterator[Span]:
    """The spans of an export request; raises google.protobuf.message.DecodeError for what is none."""
    for each in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = _attributes(each.resource.attributes)
        for scope in each.scope_spans:
            for span in scope.spans:
                yield Span(
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    span.status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_").lower(),
                    _attributes(span.attributes),
                    tuple(Event(e.name, e.time_unix_nano, _attributes(e.attributes)) for e in span.events),
                    tuple(Link(k.trace_id.hex(), k.span_id.hex(), _attributes(k.attributes)) for k in span.links),
                    resource,
                    scope.scope.name,
                )


def metrics(body: bytes) -> Iterator[MetricPoint]:
    """The data points of an export request; raises google.protobuf.message.DecodeError for what is none."""
    for each in ExportMetricsServiceRequest.FromString(body).resource_metrics:
        resource = _attributes(each.resource.attributes)
        for scope in each.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                for point in getattr(metric, kind).data_points if kind else ():
                    yield MetricPoint(
                        metric.name,
                        metric.unit,
                        kind or "",
                        point.start_time_unix_nano,
                        _attributes(point.attributes),
                        _number(point) if kind in ("sum", "gauge") else None,
                        getattr(point, "count", 0),
                        getattr(point, "sum", 0.0),
                        dict(zip((*point.explicit_bounds, float("inf")), point.bucket_counts, strict=False))
                        if kind == "histogram"
                        else {},
                        tuple(
                            Exemplar(_number(e), e.trace_id.hex(), e.span_id.hex())
                            for e in getattr(point, "exemplars", ())
                        ),
                        resource,
                        scope.scope.name,
                    )


def logs(body: bytes) -> Iterator[LogRecord]:
    """The log records of an export request; raises google.protobuf.message.DecodeError for what is none."""
    for each in ExportLogsServiceRequest.FromString(body).resource_logs:
        resource = _attributes(each.resource.attributes)
        for scope in each.scope_logs:
            for record in scope.log_records:
                yield LogRecord(
                    _value(record.body),
                    record.severity_text,
                    record.event_name,
                    record.time_unix_nano,
                    _attributes(record.attributes),
                    record.trace_id.hex(),
                    record.span_id.hex(),
                    resource,
                    scope.scope.name,
                )


def _number(point: Any) -> float:
    which = point.WhichOneof("value")
    return getattr(point, which) if which else 0.0


def _attributes(pairs: Iterable[Any]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    which = value.WhichOneof("value")
    if which == "array_value":
        return [_value(each) for each in value.array_value.values]
    if which == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    return getattr(value, which) if which else None
