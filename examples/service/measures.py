"""What has been committed, as metrics: ``job.*``, in memory, so that a collection asks no database."""

from __future__ import annotations

import printobs
from examples.service.clock import Clock
from examples.service.records import Changes
from examples.service.totals import OUTCOMES


class Measures:
    """On the event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._queue = printobs.JobQueue()

    def take(self, changes: Changes) -> None:
        """Follow one transaction; at the start, all there is."""
        now = self._clock.now()
        for branch, job in changes.jobs:
            if job.state.final:
                self._queue.ended(job.id, job.state)
            else:
                self._queue.waits(job.id, branch, job.kind, now - job.created_at)
            self._queue.held(job.id, branch, job.held)
        for identifier in changes.pruned:
            self._queue.held(identifier, "", False)
        for total, count in changes.totals.items():
            if total.name == OUTCOMES:
                self._queue.outcomes(total.branch, total.printer, total.kind, total.outcome, total.error_type, count)
            else:
                self._queue.reprints(total.branch, total.printer, count)
