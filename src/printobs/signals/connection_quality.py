"""How well one connection works: its round trips, and how often its client has lost one before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from printobs.core import clock
from printobs.core.attributes import clean
from printobs.core.conventions import Level
from printobs.signals.health import LOSSES, WINDOW, level, promptness, stability


@dataclass(frozen=True, slots=True)
class ConnectionQuality:
    """How well a connection works, as far as the last five minutes tell; ``None``, and *unknown*, where they do not."""

    score: float | None  # 0 to 100
    level: Level


UNKNOWN: Final = ConnectionQuality(None, Level.UNKNOWN)


def rated(round_trip: float, losses: int) -> ConnectionQuality:
    """The score is 100 × promptness × stability, as `printobs.signals.health.Quality` has them.

    ``round_trip`` is the smoothed one, in seconds; ``losses`` are the connections that the client has lost.
    """
    score = round(100.0 * promptness(round_trip) * stability(losses), 1)
    return ConnectionQuality(score, level(score))


class RoundTrips:
    """The smoothed round trip of one connection (RFC 6298, section 2: each new one counts for an eighth)."""

    __slots__ = ("_heard_at", "_newest", "_smoothed")

    def __init__(self) -> None:
        self._newest = 0.0
        self._smoothed = 0.0
        self._heard_at: float | None = None

    def heard(self, seconds: float) -> None:
        """A ping was answered; told again of the same one, this does nothing."""
        if seconds == self._newest:
            return
        first = self._heard_at is None
        self._newest = seconds
        self._smoothed = seconds if first else self._smoothed + (seconds - self._smoothed) / 8
        self._heard_at = clock.monotonic()

    def smoothed(self) -> float | None:
        """In seconds; ``None`` where no ping was answered in the last five minutes."""
        heard_at = self._heard_at
        return None if heard_at is None or clock.monotonic() - heard_at > WINDOW else self._smoothed


class Losses:
    """How many connections each client has lost in the last five minutes, by its name.

    At most ``limit`` clients are remembered; of more, those that have lost none for longest are forgotten.
    """

    def __init__(self, limit: int, now: Callable[[], float] = clock.monotonic) -> None:
        self._limit = limit
        self._now = now
        self._lost: dict[str, tuple[float, ...]] = {}

    def lost(self, client: str) -> None:
        """Its connection broke, or ended in an error. One thread at a time."""
        client = clean(client)
        self._lost[client] = (*self._lost.pop(client, ())[1 - LOSSES :], self._now())
        if len(self._lost) > self._limit:
            del self._lost[next(iter(self._lost))]

    def recent(self, client: str | None) -> int:
        """So many, of which no more than count; of a client without a name none is known."""
        if client is None:
            return 0
        since = self._now() - WINDOW
        return sum(lost_at > since for lost_at in self._lost.get(clean(client), ()))
