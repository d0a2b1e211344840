"""What one machine's backend can take: more and more receipts a second, until the Collector refuses or falls behind.

``python -m tests.stack.capacity`` prints it as tables. What is sent are the spans and log records of one real receipt
of the reference deployment, as service and agent exported them, over and over with new IDs and times: at these rates
the deployment itself would take the processors that are to be measured.
"""

from __future__ import annotations

import argparse
import re
import secrets
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import psutil
import requests
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.stack.ports import Ports
from collector.stack.stack import Stack
from examples.demo.stage import Stage
from tests.stack.backend import JOBS, submit, telemetry, until

TICK: Final = 0.5  # seconds between two exports
STEADY: Final = 10.0  # receipts a second of a restaurant group at dinner: fifty branches
RATES: Final = (STEADY, 50.0, 100.0, 200.0, 400.0, 800.0)
BEHIND: Final = 3.0  # seconds after the last receipt in which all of them must have reached Jaeger
IDS: Final = {"correlation.id", "job.id", "printer.job.id"}


class Receipt:
    """What service and agent export of one receipt."""

    def __init__(self, traces: Iterable[bytes], logs: Iterable[bytes]) -> None:
        spans = ExportTraceServiceRequest()
        for body in traces:
            spans.MergeFromString(body)
        [trace] = {s.trace_id for s in _records(spans) if s.name == "print job"}
        records = ExportLogsServiceRequest()
        for body in logs:
            records.MergeFromString(body)
        self._spans = _only(spans, trace)
        self._records = _only(records, trace)
        self._end = max(span.end_time_unix_nano for span in _records(self._spans))
        self.spans = sum(1 for _ in _records(self._spans))
        self.records = sum(1 for _ in _records(self._records))

    def again(self, number: int) -> tuple[bytes, bytes]:
        """``number`` such receipts that end now, as one export of each signal."""
        shift = time.time_ns() - self._end
        traces, logs = ExportTraceServiceRequest(), ExportLogsServiceRequest()
        for _ in range(number):
            trace, salt, identity = secrets.token_bytes(16), secrets.token_bytes(8), secrets.token_hex(16)
            for found, into in ((self._spans, traces), (self._records, logs)):
                fresh = type(found)()
                fresh.CopyFrom(found)
                for record in _records(fresh):
                    _renew(record, trace, salt, identity, shift)
                into.MergeFrom(fresh)
        return traces.SerializeToString(), logs.SerializeToString()


# Of a request: its resources, their scopes, and what these hold.
_NAMES: Final = {
    ExportTraceServiceRequest: ("resource_spans", "scope_spans", "spans"),
    ExportLogsServiceRequest: ("resource_logs", "scope_logs", "log_records"),
}


def _records(request: Any) -> Iterator[Any]:
    resources, scopes, records = _NAMES[type(request)]
    for resource in getattr(request, resources):
        for scope in getattr(resource, scopes):
            yield from getattr(scope, records)


def _only(request: Any, trace: bytes) -> Any:
    """What of it is in a trace."""
    resources, scopes, records = _NAMES[type(request)]
    for resource in getattr(request, resources):
        for scope in getattr(resource, scopes):
            _keep(getattr(scope, records), lambda each: each.trace_id == trace)
        _keep(getattr(resource, scopes), lambda each: len(getattr(each, records)) > 0)
    _keep(getattr(request, resources), lambda each: len(getattr(each, scopes)) > 0)
    return request


def _keep(repeated: Any, wanted: Callable[[Any], bool]) -> None:
    kept = [each for each in repeated if wanted(each)]
    del repeated[:]
    repeated.extend(kept)


def _renew(record: Any, trace: bytes, salt: bytes, identity: str, shift: int) -> None:
    record.trace_id, record.span_id = trace, _salted(record.span_id, salt)
    for name in ("start_time_unix_nano", "end_time_unix_nano", "time_unix_nano", "observed_time_unix_nano"):
        if getattr(record, name, 0):
            setattr(record, name, getattr(record, name) + shift)
    if getattr(record, "parent_span_id", b""):
        record.parent_span_id = _salted(record.parent_span_id, salt)
    for attribute in record.attributes:
        if attribute.key in IDS:
            attribute.value.string_value = identity


def _salted(span: bytes, salt: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(span, salt, strict=True)) if span else span


def real_receipt() -> Receipt:
    """One of the reference deployment."""
    bodies: dict[str, list[bytes]] = {}
    with _recording(bodies) as endpoint, Stage(telemetry(endpoint)) as stage:
        job = submit(stage.till)
        until(lambda: stage.till.ask("GET", f"{JOBS}/{job['id']}")["outcome"] == "confirmed")
        time.sleep(2)
    return Receipt(bodies["/v1/traces"], bodies["/v1/logs"])


@contextmanager
def _recording(bodies: dict[str, list[bytes]]) -> Iterator[str]:
    """An endpoint that keeps what it is sent, by path."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            bodies.setdefault(self.path, []).append(body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass(frozen=True, slots=True)
class Step:
    """What a rate did: seconds, share of one processor by part, most memory by part in MB."""

    rate: float
    receipts: int
    spans: int
    refused: int
    dropped: int
    behind: float
    queued: int
    processor: Mapping[str, float]
    memory: Mapping[str, float]

    @property
    def holds(self) -> bool:
        """Whether the backend keeps up with it."""
        return not self.refused and not self.dropped and self.behind <= BEHIND


class Load:
    """Receipts to a running stack."""

    def __init__(self, stack: Stack, receipt: Receipt) -> None:
        self._stack = stack
        self._receipt = receipt
        self._endpoint = f"http://127.0.0.1:{stack.ports.otlp_http}"
        self._own = f"http://127.0.0.1:{stack.ports.collector_own}/metrics"
        self._session = requests.Session()
        self._session.trust_env = False
        self._processes = {
            name: psutil.Process(running.pid) for name, running in stack.running.items() if name != "alertmanager"
        }

    def step(self, rate: float, seconds: float, patience: float = 60.0) -> Step:
        """Send ``rate`` receipts a second for so long, then wait until all are passed on, or out of ``patience``."""
        number = max(1, round(rate * TICK))
        refused = sent = queued = 0
        already = self._collector("otelcol_exporter_sent_spans")
        failed = self._failed()
        used = {name: sum(process.cpu_times()[:2]) for name, process in self._processes.items()}
        memory = dict.fromkeys(self._processes, 0.0)
        began = time.monotonic()
        bodies = self._receipt.again(number)
        while time.monotonic() - began < seconds:
            due = began + (sent // number) * TICK
            for path, body in zip(("/v1/traces", "/v1/logs"), bodies, strict=True):
                refused += self._send(path, body) != 200
            sent += number
            queued = max(queued, int(self._collector("otelcol_exporter_queue_size")))
            for name, process in self._processes.items():
                memory[name] = max(memory[name], process.memory_info().rss / 1e6)
            bodies = self._receipt.again(number)
            time.sleep(max(0.0, due + TICK - time.monotonic()))
        last = time.monotonic()
        spans = sent * self._receipt.spans
        while self._passed(already) < spans and time.monotonic() < last + patience and not refused:
            time.sleep(0.1)
        end = time.monotonic()
        return Step(
            rate=sent / (last - began),
            receipts=sent,
            spans=spans,
            refused=refused,
            dropped=int(self._failed() - failed),
            behind=end - last,
            queued=queued,
            processor={
                name: (sum(process.cpu_times()[:2]) - used[name]) / (end - began)
                for name, process in self._processes.items()
            },
            memory=memory,
        )

    def _send(self, path: str, body: bytes) -> int:
        headers = {"Content-Type": "application/x-protobuf"}
        return self._session.post(self._endpoint + path, body, headers=headers, timeout=30).status_code

    def _passed(self, already: float) -> float:
        return self._collector("otelcol_exporter_sent_spans") - already

    def _failed(self) -> float:
        return sum(
            self._collector(f"otelcol_{name}")
            for name in ("exporter_send_failed_spans", "exporter_enqueue_failed_spans", "receiver_refused_spans")
        )

    def _collector(self, name: str) -> float:
        """The sum over the series of the Collector's own metric that are about Jaeger or about receiving."""
        with urllib.request.urlopen(self._own, timeout=10) as response:
            text = response.read().decode()
        series = re.findall(rf"^{name}(?:_total)?{{(.*)}} (\S+)$", text, re.MULTILINE)
        return sum(float(value) for labels, value in series if "jaeger" in labels or "receiver=" in labels)


def stored(folder: Path) -> int:
    """Bytes on disk."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def main() -> int:
    """Print the tables; 1 where not even the first rate holds."""
    parser = argparse.ArgumentParser("python -m tests.stack.capacity")
    parser.add_argument("--rates", type=float, nargs="+", default=RATES, help="receipts a second")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each rate")
    options = parser.parse_args()
    receipt = real_receipt()
    print(f"A receipt: {receipt.spans} spans, {receipt.records} log records\n")
    print("| Receipts a second | Spans a second | Refused, dropped | Behind | Most queued | Processors | Memory, MB |")
    print("|---|---|---|---|---|---|---|")
    steps: list[Step] = []
    with tempfile.TemporaryDirectory() as folder:
        with Stack(Ports.free(), Path(folder)) as stack:
            load = Load(stack, receipt)
            for rate in options.rates:
                step = load.step(rate, options.seconds)
                steps.append(step)
                parts = [f"{name} {step.processor[name]:.2f}" for name in step.processor]
                memory = [f"{name} {step.memory[name]:.0f}" for name in step.memory]
                print(
                    f"| {step.rate:.0f} | {step.rate * receipt.spans:.0f} | {step.refused}, {step.dropped}"
                    f" | {step.behind:.1f} s | {step.queued} | {', '.join(parts)} | {', '.join(memory)} |",
                    flush=True,
                )
                if not step.holds:
                    break
        receipts = sum(step.receipts for step in steps)
        sizes = {name: stored(Path(folder, name)) for name in ("jaeger", "prometheus", "logs")}
    print(f"\nAfter {receipts} receipts: " + ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in sizes.items()))
    print(f"A receipt: {sizes['jaeger'] / receipts:.0f} B in Jaeger, {sizes['logs'] / receipts:.0f} B in log files")
    return 0 if steps[0].holds else 1


if __name__ == "__main__":
    sys.exit(main())
