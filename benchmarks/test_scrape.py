"""A scrape, and the collection in it, of what the deployment really records, at 1,000 series."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
from escpos.printer import Network
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    Gauge,
    Histogram,
    HistogramDataPoint,
    InMemoryMetricReader,
    Metric,
    MetricReader,
    NumberDataPoint,
    Sum,
)
from opentelemetry.trace import NoOpTracerProvider
from prometheus_client import CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import printobs
from benchmarks.rows import Candidate, Gate, Rows, beside
from printobs.core import telemetry
from printobs.testing import VirtualPrinter

SERIES: Final = 1_000
SCRAPES: Final = 3
PEER: Final = "the same series, of synchronous instruments"
BUDGET: Final = (
    "a scrape of our real mix at 1,000 series: 1.2 times the bare Prometheus reader with synchronous instruments"
)

GATES: Final = {
    "scrape": Gate("by synchronous instruments", beside("printobs", PEER), 1.25, BUDGET),
    # What is read at each collection costs nothing at each message: see docs/performance.md.
    "collection": Gate("by synchronous instruments", beside("printobs", PEER), 5.0),
}

App = Callable[[Any, Any, Any], Awaitable[None]]


async def _hello(_: Request) -> Response:
    return PlainTextResponse("hello")


async def _till(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    printobs.identify(scope, client_type="desktop", branch=scope["path"].strip("/"))
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event["text"]})


async def _visit(app: App, path: str) -> None:
    """A connection that has said one thing and stays."""
    scope = {"type": "websocket", "path": path, "headers": [], "query_string": b"", "server": ("127.0.0.1", 80)}
    left = [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "x"}]

    async def receive() -> Any:
        return left.pop(0) if left else {"type": "websocket.disconnect", "code": 1000}

    async def send(_: Any) -> None: ...

    await app(scope, receive, send)


async def _ask(app: App, path: str) -> None:
    scope = {
        "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": path, "root_path": "",
        "query_string": b"", "headers": [(b"host", b"till.example")], "server": ("127.0.0.1", 80),
    }  # fmt: skip

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(_: Any) -> None: ...

    await app(scope, receive, send)


def series(reader: InMemoryMetricReader) -> list[Metric]:
    """All metrics, each with its points; a histogram is one series here, however many buckets it has."""
    data = reader.get_metrics_data()
    assert data is not None
    return [
        metric for resource in data.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics
    ]


def work(reader: InMemoryMetricReader, paper: VirtualPrinter, kept: list[Any]) -> None:
    """Branches with a till and a printer each, one after the other, until there are so many series."""
    web = printobs.TelemetryMiddleware(Starlette(routes=[Route(f"/{name}/{{id}}", _hello) for name in "abcdefgh"]))
    sockets = printobs.TelemetryMiddleware(_till)
    for name in "abcdefgh":
        asyncio.run(_ask(web, f"/{name}/1"))
    for number in range(1_000):
        if sum(len(metric.data.data_points) for metric in series(reader)) >= SERIES:
            return
        branch = f"branch-{number}"
        driver = Network(paper.host, paper.port)
        printer = printobs.register(driver, name=f"kitchen-{number}", branch=branch, proof="process_id")
        kept.append(printer)  # a printer that is gone has no series of its state
        for kind in ("receipt", "test"):
            with printobs.print_job(printer, kind=kind) as job:
                printer.text("2 x Ramen\n")
                printer.cut()
            assert job.outcome == printobs.Outcome.CONFIRMED, job.outcome
        printer.close()
        asyncio.run(_visit(sockets, f"/{branch}"))
    raise AssertionError("this makes no more series")


def copied(metrics: list[Metric], provider: MeterProvider) -> None:
    """The same series with the same values, of instruments that the SDK keeps by itself."""
    meter = provider.get_meter("peer")
    for metric in metrics:
        if isinstance(metric.data, Histogram):
            bounds = next(iter(metric.data.data_points)).explicit_bounds
            histogram = meter.create_histogram(
                metric.name, metric.unit or "", explicit_bucket_boundaries_advisory=list(bounds)
            )
            for point in metric.data.data_points:
                assert isinstance(point, HistogramDataPoint)
                for _ in range(point.count):
                    histogram.record(point.sum / point.count, point.attributes)
            continue
        for point in metric.data.data_points:
            assert isinstance(point, NumberDataPoint)
            if isinstance(metric.data, Gauge):
                meter.create_gauge(metric.name, metric.unit or "").set(point.value, point.attributes)
            elif isinstance(metric.data, Sum) and metric.data.is_monotonic:
                meter.create_counter(metric.name, metric.unit or "").add(point.value, point.attributes)
            else:
                meter.create_up_down_counter(metric.name, metric.unit or "").add(point.value, point.attributes)


@pytest.mark.parametrize("what", ["scrape", "collection"])
def test_scrape(rows: Rows, virtual_printer: VirtualPrinter, what: str) -> None:
    kept: list[Any] = []
    readers: list[Callable[[], object]] = []
    providers: list[MeterProvider] = []

    def provider() -> tuple[MeterProvider, InMemoryMetricReader]:
        memory, registry = InMemoryMetricReader(), CollectorRegistry()
        added: list[MetricReader] = [memory]
        if what == "scrape":
            added.append(PrometheusMetricReader(registry=registry))
            readers.append(lambda: generate_latest(registry))
        else:
            readers.append(memory.get_metrics_data)
        providers.append(MeterProvider(added))
        return providers[-1], memory

    ours, memory = provider()
    telemetry.bind(telemetry.telemetry(NoOpTracerProvider(), ours))
    try:
        work(memory, virtual_printer, kept)
        metrics = series(memory)
        theirs, their_memory = provider()
        copied(metrics, theirs)
        counts = [sum(len(metric.data.data_points) for metric in each) for each in (metrics, series(their_memory))]
        assert counts[0] == counts[1] >= SERIES, counts

        def scraping(read: Callable[[], object]) -> Callable[[], int]:
            def run() -> int:
                for _ in range(SCRAPES):
                    read()
                return SCRAPES

            return run

        rows.note(series=counts[0])
        rows.compare(
            f"{what} of {SERIES:,} series".replace("collection", "collection alone"),
            {"printobs": Candidate(scraping(readers[0])), PEER: Candidate(scraping(readers[1]))},
            [GATES[what]],
            rounds=11,
        )
    finally:
        telemetry.bind(None)
        for each in providers:
            each.shutdown()
