"""The trace of a job: that of the request which brought it, whatever else is being handled when it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Link, SpanKind

from examples.service.clock import Clock
from examples.service.records import Job

tracer = trace.get_tracer("examples.service")


class Traces:
    """On the event loop.

    A job that goes on more than ``patience`` seconds after it was taken does so in a trace of its own, linked to the
    first: a Collector that samples has decided by then, and what fails late would go the way of a request that went
    well. 0: never.
    """

    def __init__(self, clock: Clock, patience: float) -> None:
        self._clock = clock
        self._patience = patience

    def mark(self, job: Job, name: str) -> None:
        """A span for what has happened to a job while something else was being handled."""
        with self.continued(job, name):
            pass

    @contextmanager
    def continued(self, job: Job, name: str) -> Iterator[None]:
        """A span that continues the request which brought the job, and its correlation ID."""
        before, links = propagate.extract(job.carrier, Context()), []
        if 0 < self._patience < self._clock.now() - job.created_at:
            links.append(Link(trace.get_current_span(before).get_span_context()))
            before = trace.set_span_in_context(INVALID_SPAN, before)
        token = context.attach(before)
        try:
            with tracer.start_as_current_span(name, kind=SpanKind.PRODUCER, links=links):
                yield
        finally:
            context.detach(token)
