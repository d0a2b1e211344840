"""The jobs in hand: taken from the service, and not ended. Whether one begins is decided here, one at a time.

A job belongs to the session that it came by. It begins only while that session is alive, before it expires, and if
nobody has cancelled it; begun, it cannot be cancelled any more. Methods block, on the lock and on the journal.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from examples.agent.journal import Journal
from examples.jobs import wire
from examples.jobs.states import JournalState


class Dropped(BaseException):
    """The job is in hand no more: cancelled, of a session that has ended, or the agent is stopping.

    It is no failure of the job, and passes by whatever handles those.
    """


class Expired(Exception):  # noqa: N818
    """The job should have begun earlier."""


@dataclass(slots=True, eq=False)
class Hand:
    """One job in hand. ``until`` is when it must have begun, on the monotonic clock."""

    id: str
    printer: str
    until: float
    started: bool = False


class Hands:
    """All jobs in hand, and the lock under which they begin, are cancelled or dropped."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lock = threading.Lock()
        self._jobs: dict[str, Hand] = {}
        self._session = 0
        self._stopping = False

    def enter(self) -> int:
        """A session begins, and any other has ended; gives its number."""
        with self._lock:
            self._drop()
            self._session += 1
            return self._session

    def leave(self) -> None:
        """The session has ended."""
        with self._lock:
            self._drop()
            self._session += 1

    def stop(self) -> None:
        """Nothing begins any more."""
        with self._lock:
            self._stopping = True
            self._drop()

    def _drop(self) -> None:
        self._jobs = {job: hand for job, hand in self._jobs.items() if hand.started}

    def take(self, message: wire.Print, session: int) -> Hand | wire.Done | None:
        """Take a job in hand; its outcome, where it had one already; ``None`` where there is nothing to do."""
        with self._lock:
            if self._stopping or session != self._session or message.id in self._jobs:
                return None
            known = self._journal.find(message.id)
            if isinstance(known, wire.Done):
                return known
            if known is not JournalState.ABSENT:
                return None
            hand = Hand(message.id, message.printer, time.monotonic() + message.expires_in)
            self._jobs[hand.id] = hand
            return hand

    def check(self, hand: Hand) -> None:
        """Raise `Dropped` where the job is in hand no more."""
        with self._lock:
            self._check(hand)

    def _check(self, hand: Hand) -> None:
        if self._jobs.get(hand.id) is not hand:
            raise Dropped

    def begin(self, hand: Hand, nonce: str, size: int) -> None:
        """Begin a job: its start is durable when this returns.

        Raises `Dropped`, `Expired`, or what the journal raises.
        """
        with self._lock:
            self._check(hand)
            if time.monotonic() > hand.until:
                raise Expired
            self._journal.begin(hand.id, hand.printer, nonce, size)
            hand.started = True

    def refuse(self, hand: Hand, error_type: str) -> wire.Done:
        """A job has failed before its first byte; durable when this returns.

        Raises `Dropped`, or what the journal raises.
        """
        done = wire.Done(hand.id, "failed", error_type)
        with self._lock:
            self._check(hand)
            self._journal.end(done, hand.printer)
            del self._jobs[hand.id]
        return done

    def end(self, hand: Hand, done: wire.Done) -> None:
        """A job that was begun has ended; durable when this returns. Raises what the journal raises."""
        with self._lock:
            self._journal.end(done, hand.printer)
            del self._jobs[hand.id]

    def cancel(self, job: str) -> bool:
        """Cancel a job; whether it has not begun and never will."""
        with self._lock:
            hand = self._jobs.get(job)
            if hand is None:
                return self._journal.find(job) is JournalState.ABSENT
            if hand.started:
                return False
            del self._jobs[job]
            return True
