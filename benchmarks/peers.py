"""What one would use instead, where several rows are measured beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from opentelemetry import propagate
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
