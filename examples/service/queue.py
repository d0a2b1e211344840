"""The jobs that the service knows. In memory for now: the durable queue will stand where this stands."""

from __future__ import annotations

import time
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from examples.jobs.states import SERVICE, Event, State, advance

KEPT: Final = 10_000  # finished jobs that can still be asked for


class Full(Exception):  # noqa: N818 - reads as what is wrong
    """As many jobs are open as may be."""


@dataclass(slots=True)
class Job:
    """One print job; ``carrier`` is the trace context and correlation ID of the request that brought it."""

    printer: str
    kind: str
    receipt: dict[str, Any] = field(repr=False)
    timeout: float
    owner: str
    correlation_id: str
    carrier: dict[str, str]
    expires: float  # monotonic, in seconds: not sent by then, it never is
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    state: State = State.QUEUED
    error_type: str | None = None
    partial: bool = False
    journal: str = ""  # the memory of the agent that it was sent to
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    finished_at: datetime | None = None


class Queue:
    """Jobs by ID, oldest first; at most ``limit`` of them open."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: OrderedDict[str, Job] = OrderedDict()
        self._finished: OrderedDict[str, Job] = OrderedDict()

    def add(self, job: Job) -> None:
        """Take a job; raises `Full`."""
        if len(self._open) >= self._limit:
            raise Full
        self._open[job.id] = job

    def get(self, identifier: str) -> Job | None:
        """The job, open or finished; ``None`` where it is not known (any more)."""
        return self._open.get(identifier) or self._finished.get(identifier)

    def open(self, printer: str) -> Iterator[Job]:
        """The jobs of ``printer`` that have no outcome yet, oldest first."""
        return iter([job for job in self._open.values() if job.printer == printer])

    def next(self, printer: str) -> Job | None:
        """The job that ``printer`` is to be sent now: one at a time, in their order."""
        job = next(self.open(printer), None)
        return job if job is not None and job.state is State.QUEUED else None

    def happened(self, job: Job, event: Event, *, error_type: str | None = None, partial: bool = False) -> None:
        """Take the job to its next state; raises `IllegalTransition`, and then nothing has changed."""
        job.state = advance(SERVICE, job.state, event)
        if job.state.final:
            if event in (Event.EXPIRED, Event.JOURNAL_LOST, Event.AGENT_LOST):
                error_type = event.value
            job.error_type, job.partial, job.finished_at = error_type, partial, datetime.now(UTC)
            job.receipt = {}  # nobody needs it any more
            del self._open[job.id]
            self._finished[job.id] = job
            if len(self._finished) > KEPT:
                self._finished.popitem(last=False)

    def overdue(self, grace: float) -> Iterator[tuple[Job, Event]]:
        """The jobs that have waited too long, with what that is called; ``grace`` in seconds, for an agent's answer."""
        now = time.monotonic()
        for job in list(self._open.values()):
            if job.state is State.QUEUED and now > job.expires:
                yield job, Event.EXPIRED
            elif job.state is State.DISPATCHED and now > job.expires + job.timeout + grace:
                yield job, Event.AGENT_LOST
