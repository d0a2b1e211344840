"""OtlpSink receives what the real SDK exports, and refuses what is no export."""

import gzip
import http.client
import logging
import socket
import struct
import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import StatusCode

from printobs.testing import OtlpSink, VirtualPrinter

CONTENT_TYPE = b"application/x-protobuf"


def tracing(sink: OtlpSink, compression: Compression = Compression.NoCompression) -> TracerProvider:
    provider = TracerProvider(resource=Resource.create({"service.name": "till"}))
    exporter = OTLPSpanExporter(sink.endpoint + "/v1/traces", compression=compression, timeout=2)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


@pytest.mark.parametrize("compression", list(Compression))
def test_spans_arrive_whole(otlp_sink: OtlpSink, compression: Compression) -> None:
    provider = tracing(otlp_sink, compression)
    tracer = provider.get_tracer("mine")
    with tracer.start_as_current_span("outer") as outer, tracer.start_as_current_span("inner", links=[]) as inner:
        inner.set_attributes({"a": 1, "b": [True, False], "c": 0.5})
        inner.add_event("happened", {"x": "y"})
        inner.add_link(outer.get_span_context())
    otlp_sink.wait_for(lambda sink: len(sink.spans) == 2)
    provider.shutdown()
    child, root = otlp_sink.spans
    assert (root.name, root.parent_id, root.resource["service.name"], root.scope) == ("outer", "", "till", "mine")
    assert (child.trace_id, child.parent_id) == (root.trace_id, root.span_id)
    assert child.trace_id == f"{outer.get_span_context().trace_id:032x}"
    assert child.attributes == {"a": 1, "b": [True, False], "c": 0.5}
    assert (child.events[0].name, child.links[0].span_id, child.kind) == ("happened", root.span_id, "internal")
    otlp_sink.clear()
    assert otlp_sink.spans == []


def test_metrics_arrive_with_buckets_and_exemplars(otlp_sink: OtlpSink) -> None:
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(otlp_sink.endpoint + "/v1/metrics", timeout=2))
    provider = MeterProvider([reader])
    meter = provider.get_meter("mine")
    provider_of_spans = tracing(otlp_sink)
    with provider_of_spans.get_tracer("mine").start_as_current_span("work") as span:
        meter.create_counter("jobs").add(3, {"kind": "kitchen"})
        meter.create_histogram("took", "s", explicit_bucket_boundaries_advisory=[1.0, 2.0]).record(1.5)
    provider.force_flush()
    jobs, took = (next(p for p in otlp_sink.metrics if p.name == name) for name in ("jobs", "took"))
    assert (jobs.kind, jobs.value, jobs.attributes) == ("sum", 3, {"kind": "kitchen"})
    assert (took.kind, took.unit, took.count, took.sum) == ("histogram", "s", 1, 1.5)
    assert took.buckets == {1.0: 0, 2.0: 1, float("inf"): 0}
    assert took.exemplars[0].trace_id == trace.format_trace_id(span.get_span_context().trace_id)
    provider.shutdown()
    provider_of_spans.shutdown()


@pytest.mark.parametrize(
    ("path", "headers", "body", "status"),
    [
        ("/v1/else", {"Content-Type": "application/x-protobuf"}, b"", 404),
        ("/v1/traces", {"Content-Type": "application/json"}, b"{}", 415),
        ("/v1/traces", {"Content-Type": "application/x-protobuf"}, b"\xff\xff", 400),
        ("/v1/logs", {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}, b"no", 400),
        ("/v1/logs", {"Content-Type": "application/x-protobuf", "Content-Encoding": "br"}, b"", 400),
        (
            "/v1/metrics",
            {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"},
            gzip.compress(b"", mtime=0),
            200,
        ),
        ("/v1/logs", {"Content-Type": "application/x-protobuf"}, b"", 200),
    ],
)
def test_what_is_no_export_is_refused(
    otlp_sink: OtlpSink, path: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    connection = http.client.HTTPConnection(otlp_sink.endpoint.removeprefix("http://"))
    connection.request("POST", path, body, headers)
    assert connection.getresponse().status == status
    connection.close()


def test_an_outage_can_be_played(otlp_sink: OtlpSink, caplog: pytest.LogCaptureFixture) -> None:
    provider = tracing(otlp_sink)
    otlp_sink.refuse(400)
    with caplog.at_level(logging.CRITICAL):
        provider.get_tracer("mine").start_span("lost").end()
    otlp_sink.accept()
    provider.get_tracer("mine").start_span("kept").end()
    provider.shutdown()
    assert [span.name for span in otlp_sink.spans] == ["kept"]


def test_memory_is_bounded_and_the_loss_is_counted() -> None:
    with OtlpSink(limit=2) as sink:
        provider = tracing(sink)
        for name in "abc":
            provider.get_tracer("mine").start_span(name).end()
        provider.shutdown()
        assert [span.name for span in sink.spans] == ["b", "c"]
        assert sink.dropped == 1


def test_waiting_in_vain_says_what_arrived(otlp_sink: OtlpSink) -> None:
    provider = tracing(otlp_sink)
    provider.get_tracer("mine").start_span("work").end()
    provider.shutdown()
    with pytest.raises(TimeoutError, match="1 spans, 0 metric points, 0 log records; names: work"):
        otlp_sink.wait_for(lambda sink: sink.logs, timeout=0.01)


def test_log_records_arrive_with_their_span(otlp_sink: OtlpSink) -> None:
    exporter = OTLPLogExporter(otlp_sink.endpoint + "/v1/logs", timeout=2)
    provider = LoggerProvider(resource=Resource.create({"service.name": "till"}))
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    logger, provider_of_spans = provider.get_logger("mine"), tracing(otlp_sink)
    logger.emit(body={"said": ["a", 1, {"deep": None}]}, event_name="alone", timestamp=7)
    with provider_of_spans.get_tracer("mine").start_as_current_span("work") as span:
        logger.emit(body="text", severity_text="WARN", attributes={"raw": b"\x00\xff"})
    provider.shutdown()
    provider_of_spans.shutdown()
    alone, within = otlp_sink.logs
    assert alone.body == {"said": ["a", 1, {"deep": None}]}
    assert (alone.event_name, alone.time_ns, alone.trace_id, alone.span_id) == ("alone", 7, "", "")
    assert (within.body, within.severity, within.scope, within.resource["service.name"]) == (
        "text",
        "WARN",
        "mine",
        "till",
    )
    assert within.attributes == {"raw": b"\x00\xff"}
    context = span.get_span_context()
    assert within.trace_id == trace.format_trace_id(context.trace_id)
    assert within.span_id == trace.format_span_id(context.span_id)


@pytest.mark.parametrize(
    ("code", "status"), [(StatusCode.UNSET, "unset"), (StatusCode.OK, "ok"), (StatusCode.ERROR, "error")]
)
def test_a_span_has_its_status(otlp_sink: OtlpSink, code: StatusCode, status: str) -> None:
    provider = tracing(otlp_sink)
    with provider.get_tracer("mine").start_as_current_span("work", kind=trace.SpanKind.CLIENT) as span:
        span.set_status(code)
    provider.shutdown()
    assert [(each.status, each.kind) for each in otlp_sink.spans] == [(status, "client")]


def test_other_kinds_of_metrics_arrive_too(otlp_sink: OtlpSink) -> None:
    views = [View(instrument_name="sizes", aggregation=ExponentialBucketHistogramAggregation())]
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(otlp_sink.endpoint + "/v1/metrics", timeout=2))
    provider = MeterProvider([reader], views=views)
    meter = provider.get_meter("mine")
    meter.create_gauge("level", "1").set(0.25, {"roll": "left"})
    meter.create_histogram("sizes", "By").record(3)
    meter.create_histogram("sizes", "By").record(5)
    provider.shutdown()
    level, sizes = (next(point for point in otlp_sink.metrics if point.name == name) for name in ("level", "sizes"))
    assert (level.kind, level.value, level.unit, level.attributes) == ("gauge", 0.25, "1", {"roll": "left"})
    assert (sizes.kind, sizes.value, sizes.count, sizes.sum, sizes.buckets) == (
        "exponential_histogram",
        None,
        2,
        8.0,
        {},
    )


def test_points_without_a_value_and_metrics_without_points_are_no_error(otlp_sink: OtlpSink) -> None:
    metrics = [Metric(name="empty"), Metric(name="gauge", gauge=Gauge(data_points=[NumberDataPoint(flags=1)]))]
    scopes = [ScopeMetrics(metrics=metrics)]
    request = ExportMetricsServiceRequest(resource_metrics=[ResourceMetrics(scope_metrics=scopes)])
    assert post(otlp_sink, "/v1/metrics", request.SerializeToString())[0] == 200
    assert [(point.name, point.value) for point in otlp_sink.metrics] == [("gauge", 0.0)]


def wire(sink: OtlpSink) -> socket.socket:
    host, port = sink.endpoint.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=5)


def post(sink: OtlpSink, path: str, body: bytes, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(sink.endpoint.removeprefix("http://"), timeout=5)
    connection.request("POST", path, body, {"Content-Type": "application/x-protobuf"} | headers)
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


def spans(*names: str) -> bytes:
    scope = ScopeSpans(spans=[Span(name=name) for name in names])
    return ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[scope])]).SerializeToString()


def test_some_records_can_be_rejected(otlp_sink: OtlpSink) -> None:
    otlp_sink.reject(2)
    status, answer = post(otlp_sink, "/v1/traces", spans("a", "b", "c"))
    assert (status, ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans) == (200, 2)
    status, answer = post(otlp_sink, "/v1/traces", spans("d"))
    assert ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans == 1, "there were no more"
    otlp_sink.accept()
    assert post(otlp_sink, "/v1/traces", spans("e")) == (200, b"")
    assert [span.name for span in otlp_sink.spans] == ["c", "e"]
    assert otlp_sink.requests == 3


def test_answers_can_be_late(otlp_sink: OtlpSink) -> None:
    otlp_sink.delay(0.2)
    start = time.monotonic()
    assert post(otlp_sink, "/v1/traces", spans("a"))[0] == 200
    assert time.monotonic() - start >= 0.19
    otlp_sink.delay(60)
    with wire(otlp_sink) as connection:
        connection.sendall(
            b"POST /v1/logs HTTP/1.1\r\nContent-Type: " + CONTENT_TYPE + b"\r\nContent-Length: 0\r\n\r\n"
        )
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        otlp_sink.close()
        connection.settimeout(5)
        with connection.makefile("rb") as answer:
            assert answer.read(12) == b"HTTP/1.1 200", "closing does not wait for the delay"


@pytest.mark.parametrize(
    ("length", "status"),
    [
        (b"", b"411"),
        (b"Content-Length: -1\r\n", b"411"),
        (b"Content-Length: many\r\n", b"411"),
        (b"Content-Length: \xb2\r\n", b"411"),
        (b"Content-Length: " + b"9" * 5000 + b"\r\n", b"413"),
        (b"Content-Length: %d\r\n" % ((64 << 20) + 1), b"413"),
    ],
)
def test_a_body_of_unknown_or_absurd_length_is_not_read(otlp_sink: OtlpSink, length: bytes, status: bytes) -> None:
    with wire(otlp_sink) as connection, connection.makefile("rb") as answer:
        connection.sendall(b"POST /v1/traces HTTP/1.1\r\nContent-Type: " + CONTENT_TYPE + b"\r\n" + length + b"\r\n")
        assert answer.read().split(b"\r\n")[0].split()[1] == status, "and the connection is closed"


@pytest.mark.parametrize("cut", [1, 8, 12])
def test_a_compressed_body_that_is_cut_short_is_refused(otlp_sink: OtlpSink, cut: int) -> None:
    body = gzip.compress(spans("a"))
    assert post(otlp_sink, "/v1/traces", body[:-cut], **{"Content-Encoding": "gzip"})[0] == 400
    assert post(otlp_sink, "/v1/traces", zlib.compress(spans("b")), **{"Content-Encoding": "deflate"})[0] == 200
    assert [span.name for span in otlp_sink.spans] == ["b"]


def test_a_body_that_would_fill_the_memory_is_refused(otlp_sink: OtlpSink) -> None:
    bomb = zlib.compress(bytes((64 << 20) + 1))
    assert post(otlp_sink, "/v1/traces", bomb, **{"Content-Encoding": "deflate"})[0] == 400


def test_an_exporter_that_goes_away_is_not_reported(otlp_sink: OtlpSink, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        connection = wire(otlp_sink)
        connection.sendall(b"POST /v1/traces HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc")
        time.sleep(0.02)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    assert post(otlp_sink, "/v1/traces", spans("a"))[0] == 200
    time.sleep(0.05)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("span", [Span(kind=99), Span(status={"code": 99})], ids=["kind", "status"])  # type: ignore[arg-type]
def test_a_value_that_otlp_does_not_know_is_refused(
    otlp_sink: OtlpSink, capfd: pytest.CaptureFixture[str], span: Span
) -> None:
    request = ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=[span])])])
    assert post(otlp_sink, "/v1/traces", request.SerializeToString())[0] == 400
    assert capfd.readouterr().err == ""


def test_the_plugin_gives_printers(virtual_printer: VirtualPrinter, virtual_printers: Callable[..., Any]) -> None:
    assert virtual_printer.port != virtual_printers(name="bar").port
