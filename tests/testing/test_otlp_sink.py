"""OtlpSink receives what the real SDK exports, and refuses what is no export."""

import gzip
import http.client
import logging
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from printobs.testing import OtlpSink, VirtualPrinter

EMPTY = gzip.compress(b"")


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


def test_the_plugin_gives_printers(virtual_printer: VirtualPrinter, virtual_printers: Callable[..., Any]) -> None:
    assert virtual_printer.port != virtual_printers(name="bar").port
