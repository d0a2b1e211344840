"""What becomes of each export is counted: what arrived, what was lost and why, and how long it took."""

import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from printobs.testing import OtlpSink
from tests.assembly.bad_collectors import bad_collector
from tests.assembly.installs import WITHOUT_OTLP

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


def run(
    endpoint: str, spans: int = 5, flush: float = 10.0, *, application: str = APPLICATION, **environment: str
) -> Points:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", application, str(spans), str(flush)],
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_TIMEOUT": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [tuple(each) for each in json.loads(done.stdout.splitlines()[-1])]


def exported(points: Points, noun: str) -> dict[str | None, float]:
    """How many, by error.type."""
    name = f"otel.sdk.exporter.{noun}.exported"
    return {attributes.get("error.type"): value or 0 for each, _, attributes, value, _ in points if each == name}


def inflight(points: Points, noun: str) -> list[float | None]:
    return [value for name, _, _, value, _ in points if name == f"otel.sdk.exporter.{noun}.inflight"]


def errors(points: Points, component: str) -> set[str | None]:
    """How its attempts have ended."""
    return {
        attributes.get("error.type")
        for name, _, attributes, *_ in points
        if name == "otel.sdk.exporter.operation.duration" and attributes["otel.component.type"] == component
    }


def test_what_a_collector_refuses_for_good_is_lost(otlp_sink: OtlpSink) -> None:
    otlp_sink.refuse(400)
    points = run(otlp_sink.endpoint)
    assert exported(points, "span") == {"400": 5}
    assert exported(points, "log")["400"] >= 4
    assert list(exported(points, "metric_data_point")) == ["400"]
    assert inflight(points, "span") == [0]


@pytest.mark.parametrize("status", [302, 503])
def test_what_a_collector_refuses_for_now_waits(otlp_sink: OtlpSink, status: int) -> None:
    otlp_sink.refuse(status)
    points = run(otlp_sink.endpoint)
    assert (exported(points, "span"), exported(points, "log")) == ({}, {})
    assert inflight(points, "span") == [5]
    assert inflight(points, "log")[0] >= 4  # type: ignore[operator]
    assert errors(points, "otlp_http_span_exporter") == {str(status)}
    # Of metrics the next export says all that the last one would have.
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
    ("how", "expected"),
    [
        ("rejects more than there was", {"rejected": 5}),
        ("rejects less than nothing", {None: 5}),
        ("other type", {None: 5}),  # nothing in it says that anything is lost
    ],
)
def test_no_more_is_lost_than_there_was(how: str, expected: dict[str | None, float]) -> None:
    with bad_collector(how) as endpoint:
        points = run(endpoint)
    assert exported(points, "span") == expected


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("dead", "ConnectionError"),
        ("close", "ConnectionError"),
        ("cut before its body", "ConnectionError"),
        ("hang", "ReadTimeout"),
        ("flood", "invalid_response"),
        ("cut in its body", "invalid_response"),
        ("portal", "invalid_response"),
    ],
)
def test_why_nothing_arrives_is_said(how: str, error: str) -> None:
    with bad_collector(how) as endpoint:
        points = run(endpoint)
    [said] = errors(points, "otlp_http_span_exporter")
    assert said is not None
    assert said.endswith(error)
    assert inflight(points, "span") == [5]


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


# A distribution of somebody else's, installed beside printobs.
THEIRS = """
import requests
from opentelemetry.sdk.trace.export import SpanExporter

class Raising(SpanExporter):
    def export(self, spans):
        raise LookupError("no such table")

def session():
    made = requests.Session()
    made.headers["Authorization"] = "Bearer 4711"
    return made
"""
ENTRY_POINTS = """
[opentelemetry_traces_exporter]
raising = theirs:Raising

[opentelemetry_otlp_credential_provider]
ours = theirs:session
"""


@pytest.fixture
def theirs(tmp_path: Path) -> dict[str, str]:
    """The environment in which that distribution is found."""
    about = tmp_path / "theirs-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    (tmp_path / "theirs.py").write_text(THEIRS)
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))}


def components(points: Points, noun: str) -> set[str]:
    name = f"otel.sdk.exporter.{noun}.exported"
    return {attributes["otel.component.type"] for each, _, attributes, *_ in points if each == name}


def test_an_exporter_that_is_not_otlp_is_counted_by_its_class() -> None:
    points = run("", OTEL_TRACES_EXPORTER="console", OTEL_LOGS_EXPORTER="console")
    assert (exported(points, "span"), exported(points, "log")) == ({None: 5}, {None: 4})
    assert components(points, "span") == {"opentelemetry.sdk.trace.export.ConsoleSpanExporter"}


def test_an_exporter_that_raises_loses_what_it_was_given(theirs: dict[str, str]) -> None:
    points = run("", OTEL_TRACES_EXPORTER="raising", **theirs)
    assert exported(points, "span") == {"LookupError": 5}
    assert components(points, "span") == {"theirs.Raising"}


def test_without_otlp_over_http_the_other_exporters_are_counted_all_the_same() -> None:
    points = run("", application=WITHOUT_OTLP + APPLICATION, OTEL_TRACES_EXPORTER="console")
    assert exported(points, "span") == {None: 5}


class Locked(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200 if self.headers["Authorization"] == "Bearer 4711" else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_a_session_with_credentials_stays_the_deployments(theirs: dict[str, str]) -> None:
    with HTTPServer(("127.0.0.1", 0), Locked) as server:
        serving = Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        locked_out = run(endpoint)
        let_in = run(endpoint, OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER="ours", **theirs)
        server.shutdown()
        serving.join()
    assert (exported(locked_out, "span"), exported(let_in, "span")) == ({"401": 5}, {None: 5})
