"""What becomes of each export is counted: what arrived, what was lost and why, and how long it took."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from printobs.testing import OtlpSink
from tests.assembly.bad_collectors import bad_collector

# Five spans and four log records; then what the metrics say of them.
APPLICATION = """
import json, logging, sys, printobs
from opentelemetry import trace
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
handle = printobs.configure(service_name="till")
handle.tracer_provider.force_flush(), handle.logger_provider.force_flush()
reader = InMemoryMetricReader()
handle.meter_provider.add_metric_reader(reader)
for _ in range(int(sys.argv[1])):
    trace.get_tracer("mine").start_span("work").end()
for _ in range(4):
    logging.getLogger("mine").warning("table nine is ready")
handle.force_flush(float(sys.argv[2]))
said = [
    [metric.name, scope.scope.name, dict(point.attributes), getattr(point, "value", None), getattr(point, "count", 0)]
    for resource in getattr(reader.get_metrics_data(), "resource_metrics", ()) for scope in resource.scope_metrics
    for metric in scope.metrics for point in metric.data.data_points if metric.name.startswith("otel.sdk.")
]
print(json.dumps(said))
handle.shutdown(0)
"""
Points = list[tuple[str, str, dict[str, Any], float | None, int]]


def run(endpoint: str, spans: int = 5, flush: float = 10.0, **environment: str) -> Points:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", APPLICATION, str(spans), str(flush)],
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_TIMEOUT": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [tuple(each) for each in json.loads(done.stdout)]


def exported(points: Points, noun: str) -> dict[str | None, float]:
    """How many, by error.type."""
    name = f"otel.sdk.exporter.{noun}.exported"
    return {attributes.get("error.type"): value or 0 for each, _, attributes, value, _ in points if each == name}


@pytest.mark.parametrize("status", [302, 400, 503])
def test_what_a_collector_refuses_is_lost(otlp_sink: OtlpSink, status: int) -> None:
    otlp_sink.refuse(status)
    points = run(otlp_sink.endpoint)
    assert exported(points, "span") == {str(status): 5}
    assert exported(points, "log")[str(status)] >= 4
    assert list(exported(points, "metric_data_point")) == [str(status)]


def test_what_arrives_is_counted_and_timed(otlp_sink: OtlpSink) -> None:
    points = run(otlp_sink.endpoint)
    assert exported(points, "span") == {None: 5}
    assert exported(points, "log") == {None: 4}
    assert sum(exported(points, "metric_data_point").values()) > 0
    timed = {
        attributes["otel.component.type"]: count
        for name, _, attributes, _, count in points
        if name == "otel.sdk.exporter.operation.duration"
    }
    assert timed == {"otlp_http_span_exporter": 1, "otlp_http_log_exporter": 1, "otlp_http_metric_exporter": 1}


def test_what_is_rejected_in_part_is_lost_in_part(otlp_sink: OtlpSink) -> None:
    otlp_sink.reject(2)
    points = run(otlp_sink.endpoint)
    assert exported(points, "span") == {None: 3, "rejected": 2}
    assert exported(points, "log") == {None: 2, "rejected": 2}
    assert len(otlp_sink.spans) == 3


@pytest.mark.parametrize(
    ("how", "error"),
    [("dead", "ConnectionError"), ("close", "ConnectionError"), ("hang", "ReadTimeout"), ("flood", "invalid_response")],
)
def test_why_nothing_arrives_is_said(how: str, error: str) -> None:
    with bad_collector(how) as endpoint:
        [said] = exported(run(endpoint), "span")
    assert said is not None
    assert said.endswith(error)


def test_what_a_full_queue_drops_is_counted_by_the_sdk() -> None:
    with bad_collector("hang") as endpoint:
        points = run(endpoint, 50, 0.2, OTEL_BSP_MAX_QUEUE_SIZE="10", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="10")
    dropped = [
        (scope, value)
        for name, scope, attributes, value, _ in points
        if name == "otel.sdk.processor.span.processed" and attributes.get("error.type") == "queue_full"
    ]
    # Ten wait, and ten may be on their way.
    assert dropped in [[("opentelemetry-sdk", each)] for each in range(30, 41)]


def test_the_sdks_own_word_is_not_doubled(otlp_sink: OtlpSink) -> None:
    def scopes(points: Points) -> set[str]:
        return {scope for name, scope, *_ in points if name.startswith("otel.sdk.exporter.")}

    assert scopes(run(otlp_sink.endpoint, OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED="true")) == {"opentelemetry-sdk"}
    assert run(otlp_sink.endpoint, OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED="false") == []
    names = {name for name, *_ in run(otlp_sink.endpoint)}
    assert "otel.sdk.span.started" not in names, "it would cost something for every span"
