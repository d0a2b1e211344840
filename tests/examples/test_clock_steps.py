"""The machine's clock is set, back and forth, while the service and an agent work."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from websockets.sync.client import connect

from printobs.testing import OtlpSink, VirtualPrinter
from printobs.testing.otlp_decode import MetricPoint
from tests.examples.machine_clock import MachineClock
from tests.examples.processes import Service, agent, exporting, service, token
from tests.soak.hostile import excepted

STEPS = (-3_600, 3_600, 0)  # seconds
DAYS = 7 * 86_400


def _jobs_over_steps(till: Service, paper: VirtualPrinter, machine: MachineClock) -> None:
    """One job in hand while the clock is set, one after it; a connection open all the while."""
    headers = {"Authorization": f"Bearer {token(lifetime=DAYS)}"}
    with connect(till.websocket + "/ws/client", additional_headers=headers, proxy=None) as client:
        for step in STEPS:
            paper.paper_out()
            held_up = till.submit("kitchen")["id"]
            till.until(held_up, lambda job: job["state"] == "dispatched")
            time.sleep(0.3)
            machine.set(step)
            time.sleep(0.7)
            paper.paper_in()
            assert till.ended(held_up)["outcome"] == "confirmed"
            assert till.ended(till.submit("kitchen")["id"])["outcome"] == "confirmed"
            assert client.recv(timeout=5)


# What each gauge comes back to, by the attributes that tell one series from the others.
RESTING = {
    ("job.queue.length", ""): 0,
    ("job.queue.age", ""): 0,
    ("job.held", ""): 0,
    ("correlation.open", "pending"): 0,
    ("printer.queue.length", ""): 0,
    ("printer.status", "ready"): 1,
    ("printer.status", "unknown"): 0,
    ("websocket.server.active_connections", "desktop"): 1,
    ("websocket.server.active_connections", "web"): 0,
    ("http.server.active_requests", "POST"): 0,
}


def _resting(points: list[MetricPoint]) -> bool:
    # The newest of each series wins.
    told = {(p.name, label): p.value for p in points for label in ("", *map(str, p.attributes.values()))}
    return {key: told.get(key) for key in RESTING} == RESTING


@pytest.mark.timeout(180)
def test_a_clock_that_is_set_leaves_no_gauge_stuck_and_no_duration_negative(
    otlp_sink: OtlpSink, virtual_printers: Callable[..., VirtualPrinter], tmp_path: Path
) -> None:
    paper, machine = virtual_printers(), MachineClock(tmp_path / "clock")
    environment = {**machine.environment(), **exporting(otlp_sink)}
    began = time.monotonic()
    with service(SERVICE_PING="1", **environment) as till:
        till.token = token(lifetime=DAYS)
        with agent(till.url, {"kitchen": f"tcp://127.0.0.1:{paper.port}?proof=process_id"}, **environment):
            _jobs_over_steps(till, paper, machine)
            otlp_sink.wait_for(lambda sink: _resting(sink.metrics), 10.0)
    took = time.monotonic() - began
    assert {"print job", "printer confirm", "websocket handshake", "POST /api/v1/printing/jobs"} <= {
        span.name for span in otlp_sink.spans
    }
    wrong = [(s.name, s.end_ns - s.start_ns) for s in otlp_sink.spans if not 0 <= s.end_ns - s.start_ns < took * 1e9]
    assert wrong == []
    durations = [p for p in otlp_sink.metrics if p.kind == "histogram" and p.unit == "s"]
    assert {"printer.job.duration", "job.duration", "http.server.request.duration"} <= {p.name for p in durations}
    assert [(p.name, p.sum, p.count) for p in durations if not 0 <= p.sum <= took * p.count] == []
    assert excepted(till.process.errors) == []
