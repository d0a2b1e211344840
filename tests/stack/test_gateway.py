"""The gateway profile: a Collector in front of two that sample, one of which is killed, and metrics in a real store."""

from __future__ import annotations

import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import set_span_in_context

from collector.stack import binaries
from collector.stack.parts import Part, parts
from collector.stack.pins import COLLECTOR
from collector.stack.ports import Ports
from collector.stack.stack import Running
from tests.stack.backend import get, until

TRACES = 200


@pytest.fixture(scope="module")
def store_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """VictoriaMetrics, of Debian's package: the installed one, or unpacked from it."""
    installed = shutil.which("victoria-metrics")
    if installed:
        return Path(installed)
    folder = tmp_path_factory.mktemp("victoria-metrics")
    if shutil.which("apt-get") is None:
        pytest.fail("install VictoriaMetrics: this machine has no apt-get to fetch Debian's package with")
    download = ["apt-get", "download", "victoria-metrics"]
    if subprocess.run(download, cwd=folder, check=False, capture_output=True).returncode:
        subprocess.run(["apt-get", "update"], check=False, capture_output=True)  # a new machine has no lists yet
        subprocess.run(download, cwd=folder, check=True, capture_output=True)
    [package] = folder.glob("*.deb")
    subprocess.run(["dpkg", "-x", package, folder], check=True)
    return folder / "usr" / "bin" / "victoria-metrics"


class Gateway:
    """All of it, running; by name: jaeger, first, second, store, gateway."""

    def __init__(self, folder: Path, store: Path, stack: ExitStack) -> None:
        self.ports, self.other, front = Ports.free(), Ports.free(), Ports.free()
        self.running: dict[str, Running] = {}
        sampling = {"SAMPLE_WAIT": "2s", "SAMPLE_PERCENT": "100"}
        to_jaeger = {"JAEGER_OTLP": f"127.0.0.1:{self.ports.jaeger_otlp}"}
        of_first = {each.name: each for each in parts(self.ports, folder / "first", "1s", ["sampling"])}
        of_second = {each.name: each for each in parts(self.other, folder / "second", "1s", ["sampling"])}
        wanted = [of_first["jaeger"]]
        for name, part in (("first", of_first["otelcol"]), ("second", of_second["otelcol"])):
            environment = {**part.environment, **sampling, **to_jaeger, "COLLECTOR_INSTANCE": name}
            wanted.append(replace(part, name=name, environment=environment))
        wanted += [
            Part(
                "store",
                "store",
                (f"-storageDataPath={folder / 'store'}", f"-httpListenAddr=127.0.0.1:{front.prometheus}"),
                f"http://127.0.0.1:{front.prometheus}/health",
            ),
            Part(
                "gateway",
                "otelcol",
                ("--config", str(COLLECTOR / "otelcol" / "gateway.yaml")),
                f"http://127.0.0.1:{front.collector_health}/",
                {
                    "GATEWAY_STATE": str(folder / "gateway"),
                    "GATEWAY_GRPC_PORT": str(front.otlp_grpc),
                    "GATEWAY_HTTP_PORT": str(front.otlp_http),
                    "GATEWAY_HEALTH_PORT": str(front.collector_health),
                    "GATEWAY_OWN_PORT": str(front.collector_own),
                    "GATEWAY_FIRST": f"127.0.0.1:{self.ports.otlp_grpc}",
                    "GATEWAY_SECOND": f"127.0.0.1:{self.other.otlp_grpc}",
                    "REMOTE_WRITE_URL": f"http://127.0.0.1:{front.prometheus}/api/v1/write",
                },
            ),
        ]
        for part in wanted:
            program = store if part.command == "store" else binaries.command(part.command)
            running = Running(part, program, folder / "logs" / f"{part.name}.log")
            running.start()
            stack.callback(running.stop)
            running.wait()
            self.running[part.name] = running
        self.otlp = f"http://127.0.0.1:{front.otlp_http}"
        self.store = f"http://127.0.0.1:{front.prometheus}"
        self.jaeger = f"http://127.0.0.1:{self.ports.jaeger}"

    def send(self, operation: str) -> None:
        """So many traces, of two services, each of whose spans comes apart from the other's."""
        services = {}
        for name in ("service", "agent"):
            services[name] = TracerProvider(resource=Resource.create({"service.name": name}))
            services[name].add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{self.otlp}/v1/traces")))
        for _ in range(TRACES):
            request = services["service"].get_tracer("receipts").start_span(operation)
            services["agent"].get_tracer("receipts").start_span("print job", set_span_in_context(request)).end()
            request.end()
        for provider in services.values():
            provider.shutdown()

    def whole(self, operation: str) -> int:
        """How many of those traces Jaeger has with both spans."""
        query = {"service": "service", "operation": operation, "limit": "2000", "lookback": "1h"}
        return sum(len(each["spans"]) == 2 for each in get(f"{self.jaeger}/api/traces", **query)["data"])


@pytest.fixture(scope="module")
def gateway(store_program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with ExitStack() as stack:
        yield Gateway(tmp_path_factory.mktemp("gateway"), store_program, stack)


def received(ports: Ports) -> float:
    """Spans that a Collector has accepted, by its own word."""
    with urllib.request.urlopen(f"http://127.0.0.1:{ports.collector_own}/metrics") as response:
        lines = response.read().decode().splitlines()
    name = "otelcol_receiver_accepted_spans_total{"
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def test_both_halves_of_a_trace_come_to_the_same_collector(gateway: Gateway) -> None:
    gateway.send("well")
    until(lambda: gateway.whole("well") == TRACES, why=lambda: f"{gateway.whole('well')} of {TRACES}")
    assert min(received(gateway.ports), received(gateway.other)) > TRACES / 2


def test_what_is_for_a_collector_that_is_killed_waits_until_it_is_back(gateway: Gateway) -> None:
    gateway.running["second"].kill()
    gateway.send("one gone")
    until(lambda: gateway.whole("one gone") > TRACES / 4)
    assert gateway.whole("one gone") < TRACES
    gateway.running["second"].start()
    gateway.running["second"].wait()
    until(lambda: gateway.whole("one gone") == TRACES, 90, lambda: f"{gateway.whole('one gone')} of {TRACES}")


def test_what_waits_outlives_the_gateway_too(gateway: Gateway) -> None:
    gateway.running["second"].kill()
    gateway.send("both gone")
    until(lambda: gateway.whole("both gone") > TRACES / 4)
    gateway.running["gateway"].kill()
    for name in ("second", "gateway"):
        gateway.running[name].start()
        gateway.running[name].wait()
    until(lambda: gateway.whole("both gone") == TRACES, 90, lambda: f"{gateway.whole('both gone')} of {TRACES}")


def test_metrics_are_written_to_the_store_and_read_back(gateway: Gateway) -> None:
    exporter = OTLPMetricExporter(f"{gateway.otlp}/v1/metrics")
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=500)
    resource = Resource.create({"service.name": "agent", "service.instance.id": "mitte/till"})
    provider = MeterProvider([reader], resource=resource)
    provider.get_meter("printobs").create_counter("printer.jobs", "{job}").add(7, {"printer.name": "mitte-bar"})
    provider.force_flush()

    def found() -> list[dict[str, object]]:
        query = 'printer_jobs_total{printer_name="mitte-bar",job="agent",instance="mitte/till"}'
        result: list[dict[str, object]] = get(f"{gateway.store}/api/v1/query", query=query)["data"]["result"]
        return result

    [series] = until(found, 60)
    assert series["value"][1] == "7"  # type: ignore[index]
    provider.shutdown()
