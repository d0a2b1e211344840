"""The sampling profile: what went wrong is kept whole, of the rest a share, and everything is counted."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

from collector.stack.ports import Ports
from collector.stack.stack import Stack
from tests.stack.backend import Backend, get, until

SHARE = 0.25
ORDINARY = 800
SPECIAL = 40
SECOND = 10**9


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMPLE_WAIT", "4s")
        patch.setenv("SAMPLE_PERCENT", str(SHARE * 100))
        patch.setenv("SAMPLE_SLOW_MS", "5000")
        with Stack(Ports.free(), tmp_path_factory.mktemp("sampling"), "1s", ["sampling"]) as stack:
            yield Backend(stack)


@pytest.fixture(scope="module")
def sent(backend: Backend) -> dict[str, int]:
    """Traces of two services each, as service and agent make them; how many of each kind."""
    kinds = {"ordinary": ORDINARY, "failed": SPECIAL, "unknown": SPECIAL, "written": SPECIAL, "slow": SPECIAL}
    providers = {}
    for name in ("service", "agent"):
        providers[name] = TracerProvider(resource=Resource.create({"service.name": name}))
        exporter = OTLPSpanExporter(f"{backend.otlp}/v1/traces")
        providers[name].add_span_processor(BatchSpanProcessor(exporter, max_queue_size=1 << 16))
    service, agent = (providers[name].get_tracer("receipts") for name in ("service", "agent"))
    now = 1_000 * SECOND
    for kind, count in kinds.items():
        outcome = {"ordinary": "confirmed", "slow": "confirmed"}.get(kind, kind)
        for _ in range(count):
            request = service.start_span(f"POST {kind}", kind=SpanKind.SERVER, start_time=now)
            job = agent.start_span(
                "print job",
                set_span_in_context(request),
                kind=SpanKind.CLIENT,
                start_time=now,
                attributes={"printer.job.outcome": outcome, "receipt.kind": kind},
            )
            if outcome == "failed":
                job.set_status(Status(StatusCode.ERROR))
            job.end(now + (6 * SECOND if kind == "slow" else SECOND // 4))
            request.end(now + SECOND // 100)
    for provider in providers.values():
        provider.shutdown()
    return kinds


def kept(backend: Backend, kind: str) -> int:
    """How many traces of a kind Jaeger has, with the spans of both services."""
    found = get(
        f"{backend.jaeger}/api/traces",
        service="service",
        operation=f"POST {kind}",
        limit="5000",
        start="1",
        end=str(1 << 51),
    )
    return sum(len(trace["spans"]) == 2 for trace in found["data"])


@pytest.mark.parametrize("kind", ["failed", "unknown", "written", "slow"])
def test_every_trace_that_tells_of_trouble_is_kept_whole(backend: Backend, sent: dict[str, int], kind: str) -> None:
    until(lambda: kept(backend, kind) == sent[kind], why=lambda: f"{kept(backend, kind)} of {sent[kind]}")


def test_of_the_rest_the_share_is_kept(backend: Backend, sent: dict[str, int]) -> None:
    until(lambda: kept(backend, "slow") == sent["slow"])  # decided last
    deviation = math.sqrt(ORDINARY * SHARE * (1 - SHARE))
    assert abs(kept(backend, "ordinary") - ORDINARY * SHARE) < 4 * deviation


def test_every_span_is_counted_all_the_same(backend: Backend, sent: dict[str, int]) -> None:
    counted = 'traces_span_metrics_calls_total{service_name="agent",span_name="print job"}'
    until(lambda: backend.value(counted) == sum(sent.values()), why=lambda: str(backend.query(counted)))
