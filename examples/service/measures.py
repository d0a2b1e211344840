"""What has been committed, as metrics: ``job.*`` and ``correlation.*``, so that a collection asks no database."""

from __future__ import annotations

from typing import Final

import printobs
from examples.jobs import wire
from examples.jobs.states import Event, State
from examples.service.clock import Clock
from examples.service.records import Changes
from examples.service.totals import OUTCOMES

# Nobody has answered for a job that ended so.
_UNANSWERED: Final = frozenset({Event.EXPIRED, Event.UNDELIVERABLE, Event.JOURNAL_LOST, Event.AGENT_LOST})
_TTL: Final = wire.MAX_LIFETIME + wire.MAX_TIMEOUT + 3600.0  # seconds: every job has ended by itself before that


class Measures:
    """On the event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._queue = printobs.JobQueue()
        self._waiting = printobs.CorrelationRegistry(ttl=_TTL)

    def take(self, changes: Changes, *, standing: bool = False) -> None:
        """Follow one transaction; or, ``standing``, begin with all there is."""
        now = self._clock.now()
        for branch, job in changes.jobs:
            age = now - job.created_at
            if not job.state.final:
                if self._queue.waits(job.id, branch, job.kind, age):
                    self._waiting.add(job.correlation_id, age)
                if job.state is State.DISPATCHED:
                    self._waiting.dispatched(job.correlation_id)
            elif self._queue.ended(job.id, job.state):
                if job.error_type in _UNANSWERED:
                    self._waiting.expired(job.correlation_id)
                elif self._waiting.find(job.correlation_id):
                    self._waiting.acknowledged(job.correlation_id)
            self._queue.held(job.id, branch, job.held)
        for identifier in changes.strays:
            self._waiting.find(identifier)
        for identifier in changes.pruned:
            self._queue.held(identifier, "", False)
        for total, count in changes.totals.items():
            if total.name == OUTCOMES:
                labels = (total.branch, total.printer, total.kind, total.outcome, total.error_type)
                self._queue.outcomes(*labels, count, standing=standing)
            else:
                self._queue.reprints(total.branch, total.printer, count, standing=standing)
