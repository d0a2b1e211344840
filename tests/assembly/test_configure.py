"""configure() in processes of its own, since OpenTelemetry takes providers once: what each environment gives."""

import subprocess
import sys
import time

import pytest

from examples.demo.processes import inherited
from printobs.testing import OtlpSink

CODE = """
import logging, printobs
from opentelemetry import metrics, trace
logging.basicConfig(level=logging.INFO)
handle = printobs.configure(service_name="till")
with printobs.correlation("order-1"), trace.get_tracer("mine").start_as_current_span("work"):
    logging.getLogger("mine").warning("table nine is ready")
metrics.get_meter("mine").create_counter("receipts").add(3)
recording = [type(each).__module__.startswith("opentelemetry.sdk") for each in
             (trace.get_tracer_provider(), metrics.get_meter_provider())]
handle.force_flush(2)
handle.shutdown(2)
print("works", *recording)
"""


def run(code: str = CODE, **environment: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**inherited(), **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr


def test_all_three_signals_are_exported_where_an_endpoint_is_named(otlp_sink: OtlpSink) -> None:
    run(OTEL_EXPORTER_OTLP_ENDPOINT=otlp_sink.endpoint)
    [span] = otlp_sink.spans
    [record] = [record for record in otlp_sink.logs if record.body == "table nine is ready"]
    [point] = [point for point in otlp_sink.metrics if point.name == "receipts"][-1:]
    assert (span.name, span.resource["service.name"]) == ("work", "till")
    assert span.attributes["correlation.id"] == record.attributes["correlation.id"] == "order-1"
    assert (record.trace_id, record.span_id) == (span.trace_id, span.span_id)
    assert point.value == 3


@pytest.mark.parametrize(
    ("environment", "spans", "points", "records"),
    [
        ({"OTEL_TRACES_EXPORTER": "none"}, 0, 1, 1),
        ({"OTEL_METRICS_EXPORTER": "none"}, 1, 0, 1),
        ({"OTEL_LOGS_EXPORTER": "none"}, 1, 1, 0),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, 0, 1, 1),
        ({"OTEL_SDK_DISABLED": "true"}, 0, 0, 0),
    ],
)
def test_a_signal_is_exported_or_not_by_itself(
    otlp_sink: OtlpSink, environment: dict[str, str], spans: int, points: int, records: int
) -> None:
    run(OTEL_EXPORTER_OTLP_ENDPOINT=otlp_sink.endpoint, **environment)
    assert len(otlp_sink.spans) == spans
    assert len({point.name for point in otlp_sink.metrics if point.name == "receipts"}) == points
    assert len([record for record in otlp_sink.logs if record.body == "table nine is ready"]) == records


def test_the_environments_names_win(otlp_sink: OtlpSink) -> None:
    attributes = {"OTEL_SERVICE_NAME": "bar-till", "OTEL_RESOURCE_ATTRIBUTES": "branch.name=mitte"}
    run(OTEL_EXPORTER_OTLP_ENDPOINT=otlp_sink.endpoint, **attributes)
    assert otlp_sink.spans[0].resource["service.name"] == "bar-till"
    assert otlp_sink.spans[0].resource["branch.name"] == "mitte"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "nonsense"},
        {"OTEL_METRICS_EXPORTER": "nonsense,otlp"},
        {"OTEL_LOGS_EXPORTER": ",,"},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "carrier-pigeon", "OTEL_TRACES_EXPORTER": "otlp"},
        {"OTEL_TRACES_SAMPLER": "sometimes"},
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "many"},
        {"OTEL_BSP_SCHEDULE_DELAY": "soon", "OTEL_TRACES_EXPORTER": "otlp"},
        {"OTEL_METRIC_EXPORT_INTERVAL": "-1", "OTEL_METRICS_EXPORTER": "otlp"},
        {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "minus one"},
        {"OTEL_RESOURCE_ATTRIBUTES": "=,a,==b"},
        {"OTEL_PYTHON_ID_GENERATOR": "nonsense"},
        {"OTEL_EXPORTER_OTLP_HEADERS": "no equals sign", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "not a URL"},
    ],
)
def test_whatever_the_environment_says_the_application_runs(environment: dict[str, str]) -> None:
    began = time.monotonic()
    said, _ = run(**environment)
    assert said.startswith("works")
    assert time.monotonic() - began < 20


def test_what_cannot_be_had_is_said() -> None:
    said, errors = run(OTEL_TRACES_EXPORTER="nonsense")
    assert said == "works True True"
    assert "nonsense" in errors
    assert "Traceback" not in errors


def test_a_signal_that_cannot_be_had_at_all_leaves_the_others(otlp_sink: OtlpSink) -> None:
    # With this the SDK has no provider of traces or logs, with an exporter or without.
    said, errors = run(OTEL_ATTRIBUTE_COUNT_LIMIT="-5", OTEL_EXPORTER_OTLP_ENDPOINT=otlp_sink.endpoint)
    assert said == "works False True"
    assert "OTEL_ATTRIBUTE_COUNT_LIMIT" in errors
    assert [point.value for point in otlp_sink.metrics if point.name == "receipts"][-1:] == [3]


def test_the_build_and_the_process_are_described(otlp_sink: OtlpSink) -> None:
    code = CODE.replace('service_name="till"', 'service_name="till", service_version="1.2.3"')
    run(code, OTEL_EXPORTER_OTLP_ENDPOINT=otlp_sink.endpoint)
    resource = otlp_sink.spans[0].resource
    assert resource["service.version"] == "1.2.3"
    assert resource["process.runtime.version"] == ".".join(map(str, sys.version_info[:3]))
    assert "process.command_line" not in resource
    names = {point.name for point in otlp_sink.metrics}
    assert {name for name in names if name.startswith("process.")} >= {"process.cpu.time", "process.memory.usage"}
    assert not {name for name in names if name.startswith(("system.", "process.runtime.", "cpython."))}


def test_the_deployment_may_do_without(otlp_sink: OtlpSink) -> None:
    sent = {"OTEL_EXPORTER_OTLP_ENDPOINT": otlp_sink.endpoint, "OTEL_RESOURCE_ATTRIBUTES": "service.version=9"}
    run(CODE.replace('"till"', '"till", service_version="1"'), OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="x, *", **sent)
    assert otlp_sink.spans[0].resource["service.version"] == "9"
    assert not {point.name for point in otlp_sink.metrics if point.name.startswith("process.")}
    run(OTEL_PYTHON_SYSTEM_METRICS_EXCLUDED_METRICS="process.cpu.*", **sent)
    names = {point.name for point in otlp_sink.metrics}
    assert "process.memory.usage" in names
    assert "process.cpu.time" not in names


def test_a_process_that_does_nothing_says_nothing(otlp_sink: OtlpSink) -> None:
    for code in ("import printobs; printobs.configure()", "import printobs; printobs.configure().shutdown()"):
        assert run(code, OTEL_EXPORTER_OTLP_ENDPOINT=otlp_sink.endpoint) == ("", "")
