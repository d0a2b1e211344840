"""Durable totals in Prometheus: a restart is no news, and what is born at one has risen from zero."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.examples.processes import Service, free_port, service
from tests.examples.scripted import Scripted
from tests.stack.backend import Backend, telemetry, until

TOTAL = "job_outcomes_total"


@pytest.fixture
def environment(backend: Backend, tmp_path: Path) -> dict[str, str]:
    """That of a service which is the same after a restart."""
    database = str(tmp_path / "service.db")
    return {"SERVICE_DATABASE": database, "SERVICE_PORT": str(free_port()), **telemetry(backend.otlp)}


@pytest.fixture
def till(environment: dict[str, str], backend: Backend) -> Iterator[Service]:
    """The service after a restart, with forty receipts from before that Prometheus has seen."""
    with service(**environment) as first, Scripted(first, ["kitchen"]) as agent:
        for _ in range(40):
            job = first.submit("kitchen")["id"]
            assert agent.job().id == job
            agent.finish(job)
        until(lambda: backend.value(TOTAL) == 40)
    with service(**environment) as again:
        yield again


def test_what_was_counted_before_a_restart_is_not_counted_again(backend: Backend, till: Service) -> None:
    with Scripted(till, ["kitchen"], sequence=100) as agent:
        for outcome, error in (("confirmed", ""), ("failed", "cutter")):
            job = till.submit("kitchen")["id"]
            assert agent.job().id == job
            agent.finish(job, outcome, error_type=error)
        until(lambda: backend.value(TOTAL) == 42)
        until(lambda: backend.value(f'increase({TOTAL}{{error_type="cutter"}}[2m])') > 0.5)
    assert backend.value(f"sum(resets({TOTAL}[10m]))") == 0
    assert backend.value(f'increase({TOTAL}{{printer_job_outcome="confirmed"}}[10m])') < 45
