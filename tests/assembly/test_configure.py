"""configure() in processes of its own, since OpenTelemetry takes providers once: what each environment gives."""

import socket
import subprocess
import sys
import time

import pytest

from examples.demo.processes import inherited
from printobs.testing import OtlpSink
from tests.assembly.installs import WITHOUT_OTLP

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


def test_without_psutil_the_process_is_not_measured_and_the_rest_is(otlp_sink: OtlpSink) -> None:
    said, errors = run(
        'import sys; sys.modules["psutil"] = None' + CODE, OTEL_EXPORTER_OTLP_ENDPOINT=otlp_sink.endpoint
    )
    assert said == "works True True"
    assert "telemetry failed" not in errors
    names = {point.name for point in otlp_sink.metrics}
    assert "receipts" in names
    assert not {name for name in names if name.startswith("process.")}


def test_without_otlp_an_endpoint_that_is_named_is_said_to_be_no_use(otlp_sink: OtlpSink) -> None:
    said, errors = run(WITHOUT_OTLP + CODE, OTEL_EXPORTER_OTLP_ENDPOINT=otlp_sink.endpoint)
    assert said == "works True True"
    assert "'otlp" in errors
    assert "Traceback" not in errors
    assert otlp_sink.requests == 0


OWN = """
import printobs
from opentelemetry import _logs as logs, metrics, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
reader = InMemoryMetricReader()
setters = {{
    "traces": lambda: trace.set_tracer_provider(TracerProvider()),
    "metrics": lambda: metrics.set_meter_provider(MeterProvider([reader])),
    "logs": lambda: logs.set_logger_provider(LoggerProvider()),
}}
def there():
    return {{
        "traces": trace.get_tracer_provider(), "metrics": metrics.get_meter_provider(),
        "logs": logs.get_logger_provider(),
    }}
own = {own!r}
for signal in own:
    setters[signal]()
before = there()
handle = printobs.configure(service_name="till")
made = {{"traces": handle.tracer_provider, "metrics": handle.meter_provider, "logs": handle.logger_provider}}
assert all(there()[signal] is before[signal] and made[signal] is None for signal in own)
if "metrics" in own:
    assert "process." not in str(reader.get_metrics_data()), "it was not asked for on this provider"
print([signal for signal in made if made[signal] is there()[signal]], handle.force_flush(5))
handle.shutdown(5)
"""


@pytest.mark.parametrize(
    ("own", "made"),
    [
        (["metrics"], ["traces", "logs"]),
        (["logs"], ["traces", "metrics"]),
        (["traces", "metrics", "logs"], []),
    ],
)
def test_a_provider_of_the_application_is_left_and_the_others_are_made(own: list[str], made: list[str]) -> None:
    assert run(OWN.format(own=own)) == (f"{made} True", "")


SCRAPED = """
import urllib.request, printobs
from opentelemetry import metrics
handle = printobs.configure(service_name="till")
metrics.get_meter("mine").create_counter("receipts").add(3)
print(urllib.request.urlopen("http://127.0.0.1:%d/metrics").read().decode())
handle.shutdown(2)
"""


def test_metrics_can_be_scraped_and_sent_at_once(otlp_sink: OtlpSink) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    said, errors = run(
        SCRAPED % port,
        OTEL_METRICS_EXPORTER="prometheus,otlp",
        OTEL_EXPORTER_PROMETHEUS_HOST="127.0.0.1",
        OTEL_EXPORTER_PROMETHEUS_PORT=str(port),
        OTEL_EXPORTER_OTLP_ENDPOINT=otlp_sink.endpoint,
    )
    assert errors == ""
    [line] = [line for line in said.splitlines() if line.startswith("receipts_total{")]
    assert line.endswith(" 3.0")
    assert [point.value for point in otlp_sink.metrics if point.name == "receipts"] == [3]


FORKED = """
import logging, os, sys, threading, printobs
from opentelemetry import trace
logging.basicConfig()
tracer = trace.get_tracer("mine")
handle = printobs.configure(service_name="till")
tracer.start_span("before the fork").end()
child = os.fork()
if not child:
    again = printobs.configure() is handle
    tracer.start_span("of the child").end()
    threading.stack_size(1 << 46)  # no thread can be had
    threadless = handle.force_flush(5)
    threading.stack_size(0)
    print("child", again, threadless, handle.force_flush(5), flush=True)
    sys.exit()
_, status = os.waitpid(child, 0)
print("parent", status, handle.force_flush(5))
"""


def test_a_forked_child_is_warned_and_can_flush_where_a_thread_can_be_had(otlp_sink: OtlpSink) -> None:
    began = time.monotonic()
    said, errors = run(FORKED, OTEL_EXPORTER_OTLP_ENDPOINT=otlp_sink.endpoint)
    assert said.splitlines() == ["child True False True", "parent 0 True"]
    assert time.monotonic() - began < 20
    assert errors.count("call it in each worker") == 1
    assert errors.count("telemetry failed while flushing telemetry: RuntimeError") == 1
    assert sorted(span.name for span in otlp_sink.spans) == ["before the fork", "of the child"]


def test_a_forked_child_that_ends_leaves_its_parents_telemetry_alone(otlp_sink: OtlpSink) -> None:
    code = """
import os, sys, printobs
from opentelemetry import trace
handle = printobs.configure(service_name="till")
trace.get_tracer("mine").start_span("before the fork").end()
child = os.fork()
if not child:
    sys.exit()
_, status = os.waitpid(child, 0)
trace.get_tracer("mine").start_span("after it").end()
print(status)
"""
    assert run(code, OTEL_EXPORTER_OTLP_ENDPOINT=otlp_sink.endpoint) == ("0", "")
    assert [span.name for span in otlp_sink.spans] == ["before the fork", "after it"]
