"""Without a Collector: Prometheus scrapes the service with a token, and the same queries give the same numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from collector.stack import binaries
from collector.stack.parts import Part, prometheus_folder
from collector.stack.ports import Ports
from collector.stack.stack import Running
from examples.demo.stage import Stage
from tests.stack.backend import JOBS, Backend, get, submit, until

QUERIES = [
    'sum by (branch_name, printer_name, printer_job_outcome) (job_outcomes_total{job="service"})',
    'sum by (branch_name, printer_job_outcome) (job_duration_seconds_count{job="service"})',
    'sum by (branch_name, le) (job_duration_seconds_bucket{job="service"})',
    'sum by (branch_name) (job_queue_length{job="service"})',
    'sum by (branch_name, client_type) (websocket_server_active_connections{job="service"})',
    # Each scrape has an ID that is generated for it.
    'sum by (correlation_source) (correlation_ids_total{job="service",correlation_source!="generated"})',
    'sum by (http_route) (http_server_request_duration_seconds_count{job="service",http_request_method="POST"})',
]


@pytest.fixture(scope="module")
def scraping(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Prometheus that has direct.yml."""
    ports, folder = Ports.free(), tmp_path_factory.mktemp("direct")
    service = urlsplit(stage.url).port
    assert service is not None
    config = (
        prometheus_folder(folder / "etc", "1s", {"service": service, "prometheus": ports.prometheus}) / "direct.yml"
    )
    (folder / "etc" / "metrics.token").write_text(stage.token("metrics"))
    part = Part(
        "prometheus",
        "prometheus",
        (
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{ports.prometheus}",
        ),
        f"http://127.0.0.1:{ports.prometheus}/-/ready",
    )
    running = Running(part, binaries.command("prometheus"), folder / "prometheus.log")
    running.start()
    try:
        running.wait()
        yield f"http://127.0.0.1:{ports.prometheus}"
    finally:
        running.stop()


@pytest.fixture(scope="module")
def printed(stage: Stage, scraping: str) -> None:
    for number, name in enumerate(["mitte-bar", "mitte-kitchen", "wedding-kitchen"] * 2):
        job = submit(stage.till, name, number)
        until(lambda job=job: stage.till.ask("GET", f"{JOBS}/{job['id']}")["outcome"])


def answer(prometheus: str, query: str) -> dict[str, str]:
    result = get(f"{prometheus}/api/v1/query", query=query)["data"]["result"]
    return {json.dumps(each["metric"], sort_keys=True): each["value"][1] for each in result}


@pytest.mark.parametrize("query", QUERIES)
def test_the_same_query_has_the_same_answer(backend: Backend, scraping: str, printed: None, query: str) -> None:
    until(
        lambda: answer(scraping, query) and answer(scraping, query) == answer(backend.prometheus, query),
        why=lambda: f"{answer(scraping, query)} is not {answer(backend.prometheus, query)}",
    )


def test_the_endpoint_takes_nobody_without_the_token(stage: Stage) -> None:
    with pytest.raises(RuntimeError, match="403"):
        stage.till.ask("GET", "/api/v1/metrics")  # a till's token has another scope
