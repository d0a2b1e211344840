"""The life of a print job as two pure tables: nothing here knows of time, sockets or storage.

*Held*, *cancel asked*, *partial* and *late evidence* are attributes of a job, and no states.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeVar

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


class State(StrEnum):
    """Where a job is, as the service knows it; the last five are final."""

    QUEUED = "queued"
    DISPATCHED = "dispatched"
    CONFIRMED = "confirmed"
    WRITTEN = "written"
    FAILED = "failed"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing can happen to the job any more."""
        return self not in (State.QUEUED, State.DISPATCHED)


class Event(StrEnum):
    """What happens to a job at the service. The first four are an agent's results."""

    CONFIRMED = "confirmed"
    WRITTEN = "written"
    FAILED = "failed"
    UNKNOWN = "unknown"
    SENT = "sent"  # to an agent
    EXPIRED = "expired"  # before it was sent
    CANCELLED = "cancelled"  # while queued; or its agent has not started it, and never will
    ABSENT = "absent"  # its agent, with the journal that it was sent to, never started it
    UNDELIVERABLE = "undeliverable"  # absent again and again: whoever takes it breaks down before its start
    JOURNAL_LOST = "journal_lost"  # the agent came back without its memory, or the printer was given to another
    AGENT_LOST = "agent_lost"  # the agent was silent for too long


SERVICE: Final[dict[tuple[State, Event], State]] = {
    (State.QUEUED, Event.SENT): State.DISPATCHED,
    (State.QUEUED, Event.EXPIRED): State.FAILED,
    (State.QUEUED, Event.CANCELLED): State.CANCELLED,
    (State.DISPATCHED, Event.ABSENT): State.QUEUED,
    (State.DISPATCHED, Event.UNDELIVERABLE): State.FAILED,
    (State.DISPATCHED, Event.CANCELLED): State.CANCELLED,
    (State.DISPATCHED, Event.CONFIRMED): State.CONFIRMED,
    (State.DISPATCHED, Event.WRITTEN): State.WRITTEN,
    (State.DISPATCHED, Event.FAILED): State.FAILED,
    (State.DISPATCHED, Event.UNKNOWN): State.UNKNOWN,
    (State.DISPATCHED, Event.JOURNAL_LOST): State.UNKNOWN,
    (State.DISPATCHED, Event.AGENT_LOST): State.UNKNOWN,
}


class JournalState(StrEnum):
    """What an agent's journal has of a job."""

    ABSENT = "absent"
    STARTED = "started"
    DONE = "done"


class JournalEvent(StrEnum):
    """What happens to a job at its agent; each is durable before the next step is taken."""

    STARTED = "started"  # before the first byte, once ever
    REFUSED = "refused"  # failed before the first byte: done, and never started
    ENDED = "ended"  # the outcome is known
    INTERRUPTED = "interrupted"  # found as started when the agent starts up: done, and the outcome is unknown
    SETTLED = "settled"  # the service has the outcome: the job may be forgotten


AGENT: Final[dict[tuple[JournalState, JournalEvent], JournalState]] = {
    (JournalState.ABSENT, JournalEvent.STARTED): JournalState.STARTED,
    (JournalState.ABSENT, JournalEvent.REFUSED): JournalState.DONE,
    (JournalState.STARTED, JournalEvent.ENDED): JournalState.DONE,
    (JournalState.STARTED, JournalEvent.INTERRUPTED): JournalState.DONE,
    (JournalState.DONE, JournalEvent.SETTLED): JournalState.ABSENT,
}


class IllegalTransition(Exception):  # noqa: N818 - reads as what happened
    """An event that cannot happen to a job in its state."""


def advance(table: Mapping[tuple[S, E], S], state: S, event: E) -> S:
    """The state after ``event`` by `SERVICE` or `AGENT`; raises `IllegalTransition` where the table has none."""
    try:
        return table[state, event]
    except KeyError:
        raise IllegalTransition(f"{event.value} cannot happen to a job that is {state.value}") from None
