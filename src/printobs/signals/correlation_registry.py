"""The correlation IDs whose answers somebody waits for: what becomes of each, and whether an answer was waited for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from opentelemetry.metrics import Observation

from printobs.core import clock, conventions, telemetry
from printobs.core.conventions import CORRELATION_LOOKUP, CORRELATION_STATE, CorrelationState, Lookup
from printobs.core.guard import Guard

_guard: Final = Guard("following a correlation ID")


@dataclass(slots=True)
class _Entry:
    since: float
    answers: int = 1  # that are still to come
    dispatched: bool = False


class CorrelationRegistry:
    """At most ``cap`` IDs, each for ``ttl`` seconds: one more evicts the oldest, which is counted.

    One thread at a time may call it; collections read from any other. Nothing here raises. ``now`` is in seconds.
    """

    def __init__(self, cap: int = 10_000, ttl: float = 3600.0, now: Callable[[], float] = clock.monotonic) -> None:
        self._cap = cap
        self._ttl = ttl
        self._now = now
        # The oldest first; a plain dict takes ever longer to find its first entry the more were removed before it.
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._instruments = instruments = telemetry.current().instruments
        states, lookups = (
            instruments.cells(each) for each in (conventions.CORRELATION_LIFECYCLE, conventions.CORRELATION_LOOKUPS)
        )
        self._states = {each: states.cell({CORRELATION_STATE: each.value}) for each in CorrelationState}
        self._pending = self._states[CorrelationState.PENDING]
        self._hits, self._misses = (lookups.cell({CORRELATION_LOOKUP: each.value}) for each in Lookup)
        instruments.readings(conventions.CORRELATION_OPEN).add(self, CorrelationRegistry._read)

    def add(self, identifier: str, age: float = 0.0) -> None:
        """An answer to this ID is waited for, since ``age`` seconds; to one that is there already, one more."""
        with _guard:
            now = self._now()
            self._expire(now)
            entry = self._entries.get(identifier)
            if entry is not None:
                entry.answers += 1
                return
            if len(self._entries) >= self._cap:
                self._end(next(iter(self._entries)), CorrelationState.EVICTED)
            self._entries[identifier] = _Entry(now - max(0.0, age))
            self._pending.add()

    def dispatched(self, identifier: str) -> None:
        """It has been sent to whoever answers; counted once."""
        with _guard:
            entry = self._entries.get(identifier)
            if entry is not None and not entry.dispatched:
                entry.dispatched = True
                self._states[CorrelationState.DISPATCHED].add()

    def find(self, identifier: str) -> bool:
        """Whether an answer to this ID is waited for: a hit or a miss."""
        with _guard:
            entry = self._entries.get(identifier)
            found = entry is not None and entry.since > self._now() - self._ttl
            (self._hits if found else self._misses).add()
            return found
        return False

    def acknowledged(self, identifier: str) -> None:
        """An answer has come; with the last one that is waited for, the ID has been acknowledged."""
        self._answered(identifier, CorrelationState.ACKNOWLEDGED)

    def expired(self, identifier: str) -> None:
        """An answer comes no more; if it is the last one that is waited for, the ID has expired."""
        self._answered(identifier, CorrelationState.EXPIRED)

    def expire(self) -> None:
        """Give up what has waited for too long, as `add` does: for when nobody calls that."""
        with _guard:
            self._expire(self._now())

    def _expire(self, now: float) -> None:
        while self._entries:
            oldest = next(iter(self._entries))
            if self._entries[oldest].since > now - self._ttl:
                break
            self._end(oldest, CorrelationState.EXPIRED)

    def __len__(self) -> int:
        return len(self._entries)

    def _answered(self, identifier: str, state: CorrelationState) -> None:
        with _guard:
            entry = self._entries.get(identifier)
            if entry is not None:
                entry.answers -= 1
                if entry.answers == 0:
                    self._end(identifier, state)

    def _end(self, identifier: str, state: CorrelationState) -> None:
        entry = self._entries.pop(identifier)
        self._states[state].add()
        self._instruments.histogram(conventions.CORRELATION_LIFETIME).record(
            max(0.0, self._now() - entry.since), {CORRELATION_STATE: state.value}
        )

    def _read(self) -> Iterable[Observation]:
        entries = list(self._entries.values())  # in one step: nobody waits for a lock
        dispatched = sum(entry.dispatched for entry in entries)
        return [
            Observation(number, {CORRELATION_STATE: state.value})
            for state, number in (
                (CorrelationState.PENDING, len(entries) - dispatched),
                (CorrelationState.DISPATCHED, dispatched),
            )
        ]
