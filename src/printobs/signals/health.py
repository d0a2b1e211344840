"""How well something works that is used again and again: a score from 0 to 100, of a printer or a connection."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from printobs.core import clock
from printobs.core.conventions import Level

WINDOW: Final = 300.0  # seconds that a score looks back
_STEPS: Final = 30  # in which the window slides: what is kept does not grow with what is observed
_STEP: Final = WINDOW / _STEPS

PROMPT: Final = 0.1  # seconds for an answer that costs nothing, and for one that costs all that slowness can
SLOW: Final = 1.0
_SLOWNESS: Final = 0.5  # of the score, if every answer is slow
_LOSS: Final = 0.1  # of the score for each lost connection
LOSSES: Final = 5  # more of them cost no more

_LEVELS: Final = ((90.0, Level.EXCELLENT), (75.0, Level.GOOD), (50.0, Level.FAIR))


@dataclass(slots=True)
class _Counts:
    step: int
    succeeded: int = 0
    failed: int = 0
    answered: int = 0
    unanswered: int = 0
    slowness: float = 0.0
    lost: int = 0


class Quality:
    """A score over the last five minutes, which slide in steps of ten seconds. Not thread-safe; ``now`` is in seconds.

    The score is 100 × success × answers × promptness × stability, each from 0 to 1, and 1 where nothing speaks of it:

    - success: the share of uses that succeeded;
    - answers: the share of questions that were answered in time;
    - promptness: the mean over the answers, each 1 within 0.1 s, 0.5 after 1 s or more, between in proportion;
    - stability: 1 less 0.1 for each connection that was lost and had to be made anew, but 0.5 at least.
    """

    def __init__(self, now: Callable[[], float] = clock.monotonic) -> None:
        self._now = now
        self._counts: deque[_Counts] = deque(maxlen=_STEPS)

    def succeeded(self) -> None:
        """It was used, and did what it should."""
        self._current.succeeded += 1

    def failed(self) -> None:
        """It was used, and did not do what it should."""
        self._current.failed += 1

    def answered(self, seconds: float) -> None:
        """A question was answered after so many seconds."""
        counts = self._current
        counts.answered += 1
        counts.slowness += _slowness(seconds)

    def unanswered(self) -> None:
        """A question was not answered in time."""
        self._current.unanswered += 1

    def lost(self) -> None:
        """Its connection was lost, and had to be made anew."""
        self._current.lost += 1

    def score(self) -> float | None:
        """From 0 to 100, to one decimal; ``None`` where nothing was observed."""
        oldest = int(self._now() / _STEP) - _STEPS
        total = _Counts(oldest)
        for each in self._counts:
            if each.step > oldest:
                total.step = each.step
                total.succeeded += each.succeeded
                total.failed += each.failed
                total.answered += each.answered
                total.unanswered += each.unanswered
                total.slowness += each.slowness
                total.lost += each.lost
        if total.step == oldest:
            return None
        success = _share(total.succeeded, total.failed)
        answers = _share(total.answered, total.unanswered)
        slowness = total.slowness / total.answered if total.answered else 0.0
        return round(100.0 * success * answers * (1.0 - _SLOWNESS * slowness) * stability(total.lost), 1)

    @property
    def _current(self) -> _Counts:
        step = int(self._now() / _STEP)
        if not self._counts or self._counts[-1].step != step:
            self._counts.append(_Counts(step))
        return self._counts[-1]


def _share(good: int, bad: int) -> float:
    return good / (good + bad) if good + bad else 1.0


def _slowness(seconds: float) -> float:
    return min(1.0, max(0.0, (seconds - PROMPT) / (SLOW - PROMPT)))


def promptness(seconds: float) -> float:
    """That of one answer: 1 within 0.1 s, 0.5 after 1 s or more, between in proportion."""
    return 1.0 - _SLOWNESS * _slowness(seconds)


def stability(losses: int) -> float:
    """1 less 0.1 for each connection that was lost, but 0.5 at least."""
    return 1.0 - _LOSS * min(LOSSES, losses)


def level(score: float | None) -> Level:
    """What ``score`` is called."""
    if score is None:
        return Level.UNKNOWN
    return next((name for least, name in _LEVELS if score >= least), Level.POOR)
