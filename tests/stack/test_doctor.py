"""The doctor: silent about a backend that is well, and a code and a line of advice for each thing that is not."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from collector.stack import doctor
from collector.stack import stack as module
from collector.stack.doctor import CLOCK, CONFIGURATION, DISK, DOWN, QUEUE, STALE, Finding, Limits, examine
from collector.stack.parts import parts, ready
from collector.stack.ports import Ports
from collector.stack.stack import Stack
from examples.demo.stage import Stage
from tests.stack.backend import until

ROOT = Path(__file__).parents[2]


def said(stack: Stack, *arguments: str, **environment: str) -> tuple[int, list[str]]:
    """The exit code and the lines of the command."""
    ports = {f"STACK_{name.upper()}": str(port) for name, port in asdict(stack.ports).items()}
    done = subprocess.run(
        [sys.executable, "-m", "collector.stack.doctor", *arguments],
        cwd=ROOT,
        env={**os.environ, **ports, "STACK_STATE": str(stack.state), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def found(stack: Stack, limits: Limits | None = None) -> dict[str, Finding]:
    """The findings, by what was checked."""
    return {each.check: each for each in examine(stack.ports, stack.state, limits or Limits())}


def wrong(stack: Stack, limits: Limits | None = None) -> dict[str, int]:
    """The codes of what is wrong, by what was checked, in the order that the exit code follows."""
    return {name: each.code for name, each in found(stack, limits).items() if each.code}


def send(stack: Stack, kind: str, body: dict[str, Any]) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{stack.ports.otlp_http}/v1/{kind}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10):
        pass


def resource(service: str) -> dict[str, Any]:
    return {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}


def send_metrics(stack: Stack) -> None:
    point = {"asDouble": 1, "timeUnixNano": str(time.time_ns())}
    metrics = [{"name": "something", "gauge": {"dataPoints": [point]}}]
    send(
        stack, "metrics", {"resourceMetrics": [{"resource": resource("till"), "scopeMetrics": [{"metrics": metrics}]}]}
    )


def span(service: str, trace: str, identity: str, begins: float, parent: str = "") -> dict[str, Any]:
    told = {
        "traceId": trace,
        "spanId": identity,
        "parentSpanId": parent,
        "name": "print job",
        "kind": 1,
        "startTimeUnixNano": str(int(begins * 1e9)),
        "endTimeUnixNano": str(int((begins + 0.1) * 1e9)),
    }
    return {"resource": resource(service), "scopeSpans": [{"spans": [told]}]}


def send_spans(stack: Stack, count: int = 1) -> None:
    trace = f"{random.getrandbits(128) or 1:032x}"
    spans = [span("till", trace, f"{number:016x}", time.time()) for number in range(1, count + 1)]
    send(stack, "traces", {"resourceSpans": spans})


@contextmanager
def started(state: Path) -> Iterator[Stack]:
    """A stack that this test may harm, with an application that sends metrics."""
    with Stack(Ports.free(), state, "1s") as stack:
        stop = threading.Event()

        def application() -> None:
            while not stop.wait(0.5):
                with contextlib.suppress(OSError):
                    send_metrics(stack)

        thread = threading.Thread(target=application)
        thread.start()
        try:
            until(lambda: not wrong(stack), why=lambda: str(found(stack)))
            yield stack
        finally:
            stop.set()
            thread.join()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Stack]:
    with started(tmp_path) as stack:
        yield stack


@contextmanager
def another_clock(ahead: float) -> Iterator[int]:
    """The port of something that is ready and says that it is another time."""

    class Handler(BaseHTTPRequestHandler):
        def date_time_string(self, timestamp: float | None = None) -> str:
            return formatdate(time.time() + ahead, usegmt=True)

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_all_is_well_with_the_reference_deployment(stack: Stack, stage: Stage) -> None:
    code, lines = until(lambda: (told := said(stack))[0] == 0 and told, why=lambda: "\n".join(said(stack)[1]))
    assert code == 0
    assert all(line.startswith("ok ") for line in lines)
    assert len(lines) == 14


def test_it_asks_what_the_stack_asks(tmp_path: Path) -> None:
    ports = Ports.free()
    assert ready(ports) == {part.name: part.ready for part in parts(ports, tmp_path)}


def test_a_port_that_is_none_is_the_configuration(stack: Stack) -> None:
    code, [line] = said(stack, STACK_JAEGER="eighty")
    assert code == CONFIGURATION
    assert "STACK_JAEGER" in line


def test_a_folder_that_is_not_there_is_the_configuration(stack: Stack, stage: Stage, tmp_path: Path) -> None:
    code, lines = said(stack, STACK_STATE=str(tmp_path / "missing"))
    assert code == CONFIGURATION
    [line] = [line for line in lines if line.startswith("WRONG")]
    assert "STACK_STATE" in line


def test_a_disk_that_is_nearly_full(stack: Stack, stage: Stage) -> None:
    until(lambda: said(stack)[0] == 0)
    code, lines = said(stack, "--disk", "1e9")
    assert code == DISK
    [line] = [line for line in lines if line.startswith("WRONG")]
    assert "make room" in line


@pytest.mark.parametrize(("ahead", "told"), [(3600.0, "ahead"), (-60.0, "behind")])
def test_a_part_whose_clock_is_wrong(stack: Stack, stage: Stage, ahead: float, told: str) -> None:
    until(lambda: said(stack)[0] == 0)
    with another_clock(ahead) as port:
        code, lines = said(stack, STACK_ALERTMANAGER=str(port))
        assert code == CLOCK
        [line] = [line for line in lines if line.startswith("WRONG")]
        assert "alertmanager is " in line
        assert told in line
        assert said(stack, "--clock", "7200", STACK_ALERTMANAGER=str(port))[0] == 0


def test_a_sender_whose_clock_is_wrong(own: Stack) -> None:
    now = time.time()
    late, early = ("1" * 32, "2" * 32)
    spans = [
        span("kitchen", late, "1" * 16, now + 300),
        span("service", early, "2" * 16, now - 5),
        span("agent", early, "3" * 16, now - 65, parent="2" * 16),
        span("agent", early, "4" * 16, now - 64, parent="3" * 16),
    ]
    send(own, "traces", {"resourceSpans": spans})
    until(lambda: wrong(own) == {"senders' clocks": CLOCK}, why=lambda: str(found(own)))
    told = found(own)["senders' clocks"].said
    assert "agent is 60 s behind" in told
    assert "kitchen is 300 s ahead" in told or "kitchen is 29" in told
    assert "service" not in told
    assert said(own)[0] == CLOCK


def test_a_part_that_is_down(own: Stack) -> None:
    own.running["alertmanager"].kill()
    code, lines = said(own)
    assert code == DOWN
    [line] = [line for line in lines if line.startswith("WRONG")]
    assert "alertmanager.log" in line
    assert [line for line in lines if line.startswith("?") and "alerting" in line]
    own.running["alertmanager"].start()
    own.running["alertmanager"].wait()
    until(lambda: not wrong(own))

    own.running["prometheus"].kill()
    assert said(own)[0] == DOWN
    assert wrong(own) == {"prometheus": DOWN}


def test_a_collector_that_is_gone_leaves_no_fresh_data(own: Stack) -> None:
    own.running["otelcol"].stop()
    until(lambda: wrong(own) == {"otelcol": DOWN, "own metrics": STALE}, why=lambda: str(found(own)))
    assert said(own)[0] == DOWN
    own.running["otelcol"].start()
    own.running["otelcol"].wait()
    until(lambda: not wrong(own), why=lambda: str(found(own)))


def test_applications_that_send_nothing(tmp_path: Path) -> None:
    with Stack(Ports.free(), tmp_path, "1s") as stack:
        until(lambda: wrong(stack) == {"applications": STALE}, why=lambda: str(found(stack)))
        code, lines = said(stack)
        assert code == STALE
        [line] = [line for line in lines if line.startswith("WRONG")]
        assert f"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:{stack.ports.otlp_http}" in line
        send_metrics(stack)
        until(lambda: said(stack)[0] == 0)
        # And those that did, but not in the last seconds.
        until(lambda: wrong(stack, Limits(quiet=4)) == {"applications": STALE})


def test_a_queue_that_fills_while_jaeger_is_gone(own: Stack) -> None:
    own.running["jaeger"].stop()
    send_spans(own, 100)
    full = Limits(queue=50 / 300_000)
    until(lambda: wrong(own, full) == {"jaeger": DOWN, "queue": QUEUE}, why=lambda: str(found(own, full)))
    assert found(own, full)["queue"].said == "100 of 300000 spans wait"
    own.running["jaeger"].start()
    own.running["jaeger"].wait()
    until(lambda: not wrong(own, full), why=lambda: str(found(own, full)))


def changed(monkeypatch: pytest.MonkeyPatch, **environment: str) -> None:
    """Stacks whose Collector has another environment."""
    original = module.parts

    def parts(*arguments: object) -> object:
        *others, otelcol = original(*arguments)  # type: ignore[arg-type]
        return [*others, replace(otelcol, environment={**otelcol.environment, **environment})]

    monkeypatch.setattr(module, "parts", parts)


def test_a_queue_that_does_not_empty_although_all_parts_are_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, JAEGER_OTLP="127.0.0.1:1")
    monkeypatch.setattr(doctor, "BACKLOG", 8)
    with started(tmp_path) as stack:
        send_spans(stack, 100)
        until(lambda: wrong(stack) == {"queue": QUEUE}, why=lambda: str(found(stack)))
        assert "some have for 8 s" in found(stack)["queue"].said
        code, lines = said(stack, "--queue", "0.0001")
        assert code == QUEUE
        [line] = [line for line in lines if line.startswith("WRONG")]
        assert "Jaeger does not take them" in line


def test_a_collector_that_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, COLLECTOR_MEMORY_MIB="2", COLLECTOR_MEMORY_SPIKE_MIB="1")
    with Stack(Ports.free(), tmp_path, "1s") as stack:

        def refused() -> bool:
            try:
                send_metrics(stack)
            except urllib.error.HTTPError:
                return True
            return False

        until(refused)
        until(lambda: found(stack)["losses"].code == QUEUE, why=lambda: str(found(stack)))
        assert "refused to take metric points" in found(stack)["losses"].said


def test_targets_that_are_not_where_prometheus_looks(own: Stack) -> None:
    targets = own.state / "prometheus" / "etc" / "targets"
    right = (targets / "jaeger.yml").read_text()
    (targets / "jaeger.yml").write_text('[{"targets": ["127.0.0.1:1"]}]')
    until(lambda: wrong(own) == {"targets": CONFIGURATION}, why=lambda: str(found(own)))
    code, lines = said(own)
    assert code == CONFIGURATION
    [line] = [line for line in lines if line.startswith("WRONG")]
    assert str(targets) in line
    (targets / "jaeger.yml").write_text(right)
    until(lambda: not wrong(own), why=lambda: str(found(own)))

    (targets / "alertmanager.yml").write_text("[]")
    both = {"targets": CONFIGURATION, "alerting": CONFIGURATION}
    until(lambda: wrong(own) == both, why=lambda: str(found(own)))


def test_spans_that_are_sent_and_not_stored(tmp_path: Path) -> None:
    with started(tmp_path) as stack:
        # As if Jaeger took them and stored none: what it says of itself comes no more.
        (stack.state / "prometheus" / "etc" / "targets" / "jaeger.yml").write_text("[]")
        until(lambda: wrong(stack) == {"targets": CONFIGURATION})
        send_spans(stack)
        both = {"targets": CONFIGURATION, "stored spans": STALE}
        until(lambda: wrong(stack) == both, why=lambda: str(found(stack)))
