"""The life of a print job as a pure table: nothing here knows of time, sockets or storage."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Where a job is; the last four are final."""

    QUEUED = "queued"
    DISPATCHED = "dispatched"
    CONFIRMED = "confirmed"
    WRITTEN = "written"
    FAILED = "failed"
    UNKNOWN = "unknown"

    @property
    def final(self) -> bool:
        """Whether nothing can happen to the job any more."""
        return self not in (State.QUEUED, State.DISPATCHED)


class Event(StrEnum):
    """What happens to a job. The first four are an agent's results."""

    CONFIRMED = "confirmed"
    WRITTEN = "written"
    FAILED = "failed"
    UNKNOWN = "unknown"
    SENT = "sent"  # to an agent
    ABSENT = "absent"  # the agent it was sent to, still the same process, never received it
    EXPIRED = "expired"  # before it was sent
    JOURNAL_LOST = "journal_lost"  # the agent came back without its memory
    AGENT_LOST = "agent_lost"  # the agent was silent for too long


TABLE: Final[dict[tuple[State, Event], State]] = {
    (State.QUEUED, Event.SENT): State.DISPATCHED,
    (State.QUEUED, Event.EXPIRED): State.FAILED,
    (State.DISPATCHED, Event.ABSENT): State.QUEUED,
    (State.DISPATCHED, Event.CONFIRMED): State.CONFIRMED,
    (State.DISPATCHED, Event.WRITTEN): State.WRITTEN,
    (State.DISPATCHED, Event.FAILED): State.FAILED,
    (State.DISPATCHED, Event.UNKNOWN): State.UNKNOWN,
    (State.DISPATCHED, Event.JOURNAL_LOST): State.UNKNOWN,
    (State.DISPATCHED, Event.AGENT_LOST): State.UNKNOWN,
}


class IllegalTransition(Exception):  # noqa: N818 - reads as what happened
    """An event that cannot happen to a job in its state."""


def advance(state: State, event: Event) -> State:
    """The state after ``event``; raises `IllegalTransition` where the table has none."""
    try:
        return TABLE[state, event]
    except KeyError:
        raise IllegalTransition(f"{event.value} cannot happen to a job that is {state.value}") from None
