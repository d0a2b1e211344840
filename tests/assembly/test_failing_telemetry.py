"""Telemetry that fails changes no result: what is printed, returned and raised is what it would be without it."""

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from escpos.printer import Network
from opentelemetry import context, propagate
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import Sampler
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from printobs.assembly.printing import print_job
from printobs.core import telemetry
from printobs.core.conventions import Outcome
from printobs.integrations import escpos, websockets
from printobs.signals.correlation import correlation
from printobs.signals.message_scope import message
from printobs.signals.propagation import inject
from printobs.testing.virtual_printer import VirtualPrinter

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def _fail(*_: Any, **__: Any) -> Any:
    raise RuntimeError("telemetry")


class BrokenSampler(Sampler):
    should_sample = _fail

    def get_description(self) -> str:
        return "broken"


class BrokenStart(SpanProcessor):
    on_start = _fail


class BrokenEnd(SpanProcessor):
    on_end = _fail


class BrokenExporter(SpanExporter):
    export = _fail


class BrokenPropagator:
    extract = inject = _fail
    fields: frozenset[str] = frozenset()


@pytest.fixture(params=["sampler", "start", "end", "exporter", "propagator", "counter"])
def broken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    how: str = request.param
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    tracer_provider = TracerProvider(sampler=BrokenSampler()) if how == "sampler" else TracerProvider()
    processors = {
        "start": BrokenStart(),
        "end": BrokenEnd(),
        "exporter": SimpleSpanProcessor(BrokenExporter()),
    }
    if how in processors:
        tracer_provider.add_span_processor(processors[how])
    bound = telemetry.telemetry(tracer_provider, MeterProvider([InMemoryMetricReader()]))
    if how == "propagator":
        monkeypatch.setattr(propagate, "propagator", BrokenPropagator())
    if how == "counter":
        for name in ("counter", "histogram"):
            monkeypatch.setattr(bound.instruments, name, _fail)
    telemetry.bind(bound)
    escpos.instrument(bound)
    websockets.instrument(bound)
    before = context.get_current()
    yield how
    assert context.get_current() is before
    websockets.uninstrument()
    escpos.uninstrument()
    telemetry.bind(None)
    logging.getLogger("opentelemetry").setLevel(logging.NOTSET)


def test_receipts_print(broken: str) -> None:
    with VirtualPrinter() as paper:
        printer = Network("127.0.0.1", paper.port)
        for number in range(3):
            with correlation("order-1"), print_job(printer, timeout=5) as job:
                printer.text(f"{number} x Ramen\n")
                printer.cut()
            assert (job.outcome, job.correlation_id) == (Outcome.WRITTEN, "order-1")
        printer.text("found\n")
        printer.cut()
        with pytest.raises(KeyError, match="mine"), print_job(printer):
            raise KeyError("mine")
        printer.close()
        receipts = paper.wait_for_receipts(4)
    assert [receipt.lines[0] for receipt in receipts] == ["0 x Ramen", "1 x Ramen", "2 x Ramen", "found"]


def test_messages_arrive(broken: str) -> None:
    carrying = f'{{"traceparent":"{TRACEPARENT}","baggage":"correlation.id=order-1"}}'

    async def echo(connection: ServerConnection) -> None:
        async for received in connection:
            await connection.send(received)

    async def talk() -> None:
        async with serve(echo, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            async with connect(f"ws://127.0.0.1:{port}/") as client:
                for text in ("a", carrying, "b"):
                    await client.send(text)
                    assert await client.recv() == text

    asyncio.run(talk())


def test_messages_are_carried_and_handled(broken: str) -> None:
    with correlation("order-1"):
        injected = inject({"kind": "ticket"})
        assert injected["kind"] == "ticket"
    with message({"traceparent": TRACEPARENT}):
        pass
    with pytest.raises(KeyError, match="mine"), message("{}"):
        raise KeyError("mine")
