"""What one would use instead, where several rows are measured beside it."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final

from opentelemetry import baggage, context, propagate, trace
from opentelemetry.metrics import Meter
from opentelemetry.trace import SpanKind, Tracer
from prometheus_client import CollectorRegistry, Counter

from benchmarks.rows import Candidate

LABELS_INC: Final = "prometheus_client labels().inc()"
BY_HAND: Final = "hand-written: parse, extract, span"


def labels_inc(batch: int) -> Candidate:
    """A message counted with prometheus_client: no bytes, no context."""
    counter = Counter("messages", "", ["direction", "type"], registry=CollectorRegistry())

    def run() -> int:
        for _ in range(batch):
            counter.labels("receive", "text").inc()
        return batch

    return Candidate(run, lambda: counter.labels("receive", "text")._value.get())


def handled(tracer: Tracer) -> Callable[[str], None]:
    """A message handled in the context that it carries, as one would write it by hand."""

    def handle(text: str) -> None:
        message = json.loads(text)
        context = propagate.extract(message)
        attributes = {"websocket.message.type": "text", "websocket.message.length": len(text)}
        with tracer.start_as_current_span("message", context, kind=SpanKind.CONSUMER, attributes=attributes):
            pass

    return handle


App = Callable[[Any, Any, Any], Awaitable[None]]

MIDDLEWARE_BY_HAND: Final = "hand-written middleware"


def middleware(app: App, tracer: Tracer, meter: Meter) -> App:
    """An ASGI middleware for WebSockets as one would write it by hand: a span for the handshake that is let go when it
    ends, messages and connections counted, the correlation ID and the handshake's span context current in the handler.
    """
    messages = meter.create_counter("messages")
    active = meter.create_up_down_counter("connections")
    duration = meter.create_histogram("duration")
    received, sent = {"direction": "receive"}, {"direction": "transmit"}

    async def follow(scope: Any, receive: Any, send: Any) -> None:
        parent = propagate.extract(
            {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        )
        identifier = baggage.get_baggage("correlation.id", parent) or uuid.uuid4().hex
        current = baggage.set_baggage("correlation.id", identifier)
        handshake: trace.Span | None = tracer.start_span(
            "handshake", baggage.set_baggage("correlation.id", identifier, parent), kind=SpanKind.SERVER
        )
        assert handshake is not None
        token = context.attach(context.set_value("handshake", handshake.get_span_context(), current))
        opened, code = 0.0, 1006

        async def receive_counted() -> Any:
            nonlocal code
            event = await receive()
            if event["type"] == "websocket.receive":
                messages.add(1, received)
            elif event["type"] == "websocket.disconnect":
                code = event["code"]
            return event

        async def send_counted(event: Any) -> None:
            nonlocal handshake, opened
            await send(event)
            if event["type"] == "websocket.send":
                messages.add(1, sent)
            elif event["type"] == "websocket.accept" and handshake is not None:
                handshake.end()
                handshake = None
                opened = time.perf_counter()
                active.add(1)

        try:
            await app(scope, receive_counted, send_counted)
        finally:
            context.detach(token)
            if handshake is not None:
                handshake.end()
            if opened:
                active.add(-1)
                duration.record(time.perf_counter() - opened, {"code": code})

    return follow
