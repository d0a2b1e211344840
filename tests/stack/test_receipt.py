"""A receipt that the reference deployment prints is found in every part of the backend."""

from __future__ import annotations

import time
from typing import Any

import pytest

from examples.demo.stage import Stage
from tests.stack.backend import JOBS, Backend, submit, until

ORDER = "order-backend-1"
PRINTER = "mitte-bar"


@pytest.fixture(scope="module")
def printed(stage: Stage) -> dict[str, Any]:
    """A job that was confirmed."""
    job = submit(stage.till, PRINTER, X_Correlation_ID=ORDER)
    ended: dict[str, Any] = until(lambda: (found := stage.till.ask("GET", f"{JOBS}/{job['id']}"))["outcome"] and found)
    assert ended["outcome"] == "confirmed"
    return ended


@pytest.fixture(scope="module")
def trace_id(backend: Backend, stage: Stage, printed: dict[str, Any]) -> str:
    """The trace of a receipt of that order, as the exemplar of its duration names it."""
    series = f'printer_job_duration_seconds_bucket{{printer_name="{PRINTER}",printer_job_outcome="confirmed"}}'
    found: str = until(lambda: exemplars(backend, stage, series))[0]["labels"]["trace_id"]
    return found


def exemplars(backend: Backend, stage: Stage, series: str) -> list[dict[str, Any]]:
    """Print another receipt of that order and ask: Prometheus keeps no exemplar that comes with a first sample."""
    submit(stage.till, PRINTER, X_Correlation_ID=ORDER)
    time.sleep(1)
    return backend.exemplars(series)


def test_it_is_counted_by_prometheus_through_the_collector(backend: Backend, printed: dict[str, Any]) -> None:
    told = f'{{printer_name="{PRINTER}",printer_job_outcome="confirmed",branch_name="mitte"}}'
    until(lambda: backend.value(f"printer_jobs_total{told}") == 1)
    until(lambda: backend.value(f"job_outcomes_total{told}") == 1)
    [series] = backend.query(f"printer_jobs_total{told}")
    assert series["metric"]["job"] == "agent"
    assert "exported_job" not in series["metric"]
    [series] = backend.query(f"job_outcomes_total{told}")
    assert series["metric"]["job"] == "service"


def test_its_exemplar_leads_to_one_trace_with_the_spans_of_service_and_agent(backend: Backend, trace_id: str) -> None:
    def spans() -> set[tuple[str, str]]:
        trace = backend.trace(trace_id)
        if trace is None:
            return set()
        return {
            (trace["processes"][each["processID"]]["serviceName"], each["operationName"]) for each in trace["spans"]
        }

    until(lambda: {("agent", "print job"), ("agent", "printer confirm")} <= spans())
    assert {service for service, _ in until(lambda: len({s for s, _ in spans()}) == 2 and spans())} == {
        "service",
        "agent",
    }
    trace = backend.trace(trace_id)
    assert trace is not None
    ids = {tag["value"] for span in trace["spans"] for tag in span["tags"] if tag["key"] == "correlation.id"}
    assert ids == {ORDER}


@pytest.mark.parametrize(("client", "server"), [("service", "agent"), ("agent", PRINTER)])
def test_the_service_graph_has_its_way(backend: Backend, trace_id: str, client: str, server: str) -> None:
    edge = f'traces_service_graph_request_total{{client="{client}",server="{server}"}}'
    until(lambda: backend.value(edge) > 0, within=120)  # a virtual node waits until its other half may not come


def test_its_spans_are_counted(backend: Backend, trace_id: str) -> None:
    told = 'service_name="agent",span_name="print job",collector_instance_id="otelcol"'
    until(lambda: backend.value(f"traces_span_metrics_calls_total{{{told}}}") > 0)


def test_spans_that_are_counted_lead_to_their_traces(backend: Backend, stage: Stage, trace_id: str) -> None:
    series = 'traces_span_metrics_duration_seconds_bucket{service_name="agent",span_name="print job"}'
    found = until(lambda: exemplars(backend, stage, series))
    until(lambda: backend.trace(found[0]["labels"]["trace_id"]))


def test_its_log_records_are_found_by_its_correlation_id(backend: Backend, printed: dict[str, Any]) -> None:
    def found() -> set[tuple[str, str]]:
        return {(each["service"], each["event"]) for each in backend.logs() if each.get("correlation.id") == ORDER}

    until(lambda: {service for service, _ in found()} == {"service", "agent"})
    assert {("service", "job.accepted"), ("agent", "job.started")} <= until(found), found()
