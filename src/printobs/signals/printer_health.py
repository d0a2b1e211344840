"""How a registered printer is and how well it works: told by its jobs and by its monitor; its series and its events."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from opentelemetry.metrics import Observation

from printobs.core import clock, conventions
from printobs.core.conventions import (
    ERROR_TYPE,
    EVENT_NAME,
    PREVIOUS_LEVEL,
    PREVIOUS_STATE,
    PRINTER,
    PRINTER_STATE,
    QUALITY_LEVEL,
    QUALITY_SCORE,
    JobError,
    Level,
    Outcome,
    State,
)
from printobs.core.guard import Guard
from printobs.core.locks import Lock
from printobs.core.telemetry import Telemetry
from printobs.signals.escpos_status import PrinterState
from printobs.signals.health import WINDOW, Quality, level

logger = logging.getLogger("printobs")

PATIENCE: Final = 0.5  # seconds: a shorter silence says nothing, as a job's time may end in the middle of a question

_guard: Final = Guard("reporting how a printer is")
_lock: Final = Lock()  # a finaliser that ends a job may run inside it


@dataclass(frozen=True, slots=True)
class Health:
    """How a printer is, as far as the last five minutes tell; ``None``, and *unknown*, where they do not."""

    state: State
    score: float | None  # 0 to 100
    level: Level
    since: datetime | None  # when this state was first seen
    last_checked: datetime | None  # when it last told how it is, or failed to


# The cause before its consequence: most of these make the printer go offline too.
_STATES: Final = (
    ("unrecoverable_error", State.UNRECOVERABLE),
    ("cutter_error", State.CUTTER),
    ("mechanical_error", State.MECHANICAL),
    ("cover_open", State.COVER_OPEN),
    ("paper_end", State.PAPER_END),
    ("stopped_at_paper_end", State.PAPER_END),
    ("recoverable_error", State.RECOVERABLE),
    ("offline", State.OFFLINE),
)
_OF_ERROR: Final[Mapping[JobError, State]] = {
    JobError.PAPER_END: State.PAPER_END,
    JobError.COVER_OPEN: State.COVER_OPEN,
    JobError.CUTTER: State.CUTTER,
    JobError.MECHANICAL: State.MECHANICAL,
    JobError.UNRECOVERABLE: State.UNRECOVERABLE,
    JobError.OFFLINE: State.OFFLINE,
    JobError.CONNECT_REFUSED: State.UNREACHABLE,
    JobError.CONNECT_TIMEOUT: State.UNREACHABLE,
    JobError.CONNECT_UNREACHABLE: State.UNREACHABLE,
    JobError.RESOLVE: State.UNREACHABLE,
    JobError.NOT_FOUND: State.UNREACHABLE,
    JobError.RESET: State.UNKNOWN,
    JobError.WRITE_TIMEOUT: State.UNKNOWN,
}
# No fault of the printer's.
_NOT_ITS_OWN: Final = frozenset({JobError.APPLICATION, JobError.CANCELLED, JobError.EXPIRED, JobError.REJECTED})
_WELL: Final = frozenset({State.READY, State.PAPER_NEAR_END})


def state_of(told: PrinterState) -> State:
    """The one name for what a printer has told."""
    for field, state in _STATES:
        if getattr(told, field):
            return state
    if told.offline is None:
        return State.UNKNOWN
    return State.PAPER_NEAR_END if told.paper_near_end else State.READY


class PrinterHealth:
    """What is known of the printer with these labels. Any thread may tell and read; ``now`` is in seconds."""

    def __init__(self, attributes: Mapping[str, str], now: Callable[[], float] = clock.monotonic) -> None:
        self.attributes = attributes
        self._now = now
        self._quality = Quality(now)
        self._state = State.UNKNOWN
        self._since = 0.0
        self._told_at: float | None = None
        self._level = Level.UNKNOWN
        self._telemetry: Telemetry | None = None  # none: nobody has registered it, so that it has no series

    def use(self, telemetry: Telemetry) -> None:
        """Have its series, on ``telemetry`` from now on, and its events."""
        with _lock:
            before, self._telemetry = self._telemetry, telemetry
        for instrument, read in (
            (conventions.PRINTER_STATUS, PrinterHealth._read_state),
            (conventions.PRINTER_QUALITY_SCORE, PrinterHealth._read_score),
            (conventions.PRINTER_QUALITY_LEVEL, PrinterHealth._read_level),
        ):
            if before is not None:
                before.instruments.readings(instrument).remove(self)
            telemetry.instruments.readings(instrument).add(self, read)

    # -- what is told ------------------------------------------------------------------------------------------------

    def asked(self, told: PrinterState | None, seconds: float) -> None:
        """It was asked how it is, and answered after ``seconds``; ``None``: it did not within them."""
        if told is None and seconds < PATIENCE:
            return
        with _guard:
            with _lock:
                self._asked(told, seconds)
                events = self._become(State.UNKNOWN if told is None else state_of(told))
            _log(events)

    def lost(self) -> None:
        """A connection that was open had died."""
        with _guard:
            with _lock:
                self._quality.lost()
                events = self._become(None)
            _log(events)

    def ended(self, outcome: Outcome, error_type: str | None) -> None:
        """A job on it ended."""
        with _guard:
            error = None if error_type is None else JobError(error_type)
            state: State | None = None
            with _lock:
                if outcome in conventions.PRINTED:
                    self._quality.succeeded()
                    if outcome is Outcome.CONFIRMED and self._state not in _WELL:
                        state = State.READY  # it has printed: whatever was in its way is gone
                    elif self._state is State.UNREACHABLE:
                        state = State.UNKNOWN  # it took the bytes, and told nothing
                elif error is not None and error not in _NOT_ITS_OWN:
                    self._quality.failed()
                    state = _OF_ERROR.get(error)
                events = self._become(state)
            _log(events)

    def checked(self, told: PrinterState | None, seconds: float, failure: JobError | None) -> None:
        """Its monitor asked it how it is. ``failure``: why it could not be asked."""
        with _guard:
            with _lock:
                if failure is not None:
                    self._quality.failed()
                    state = State.UNREACHABLE
                else:
                    self._asked(told, seconds)
                    state = State.UNKNOWN if told is None else state_of(told)
                    failure = JobError.TIMEOUT if told is None else told.trouble
                    if failure is None:
                        self._quality.succeeded()
                    elif told is not None:  # a silence counts once
                        self._quality.failed()
                events = self._become(state)
            _log(events)
        with _guard:
            if self._telemetry is not None:
                failed = {} if failure is None else {ERROR_TYPE: failure.value}
                durations = self._telemetry.instruments.histogram(conventions.PRINTER_CHECK_DURATION)
                durations.record(seconds, {**self.attributes, **failed})

    def _asked(self, told: PrinterState | None, seconds: float) -> None:
        if told is None:
            self._quality.unanswered()
        else:
            self._quality.answered(seconds)

    def _become(self, state: State | None) -> list[_Event]:
        """Take note of ``state`` (``None``: nothing was told of it) and of the level; what has changed."""
        events: list[_Event] = []
        if state is not None:
            now = self._now()
            before = self._state_now()
            self._told_at = now
            if state is not before:
                self._since = now
            if state is not self._state:
                attributes = {PRINTER_STATE: state.value, PREVIOUS_STATE: self._state.value}
                well = state in _WELL
                events.append(_Event(conventions.EVENT_STATE_CHANGED, well, {**self.attributes, **attributes}))
                self._state = state
        score = self._quality.score()
        now_called = level(score)
        if now_called is not self._level and score is not None:
            quality = {QUALITY_LEVEL: now_called.value, PREVIOUS_LEVEL: self._level.value, QUALITY_SCORE: score}
            well = now_called in (Level.EXCELLENT, Level.GOOD)
            events.append(_Event(conventions.EVENT_QUALITY_CHANGED, well, {**self.attributes, **quality}))
            self._level = now_called
        return events if self._telemetry is not None else []

    # -- what can be read --------------------------------------------------------------------------------------------

    @property
    def age(self) -> float | None:
        """Seconds since it last told how it is, or failed to."""
        return None if self._told_at is None else self._now() - self._told_at

    def read(self) -> Health:
        """All of it."""
        with _lock:
            state, score, now = self._state_now(), self._quality.score(), self._now()
            told_at, since = self._told_at, self._since
        if told_at is None:
            return Health(state, score, level(score), None, None)
        if now - told_at > WINDOW:
            since = told_at + WINDOW
        return Health(state, score, level(score), _wall(now - since), _wall(now - told_at))

    def _state_now(self) -> State:
        # What was told long ago says nothing of now.
        age = self.age
        return self._state if age is not None and age <= WINDOW else State.UNKNOWN

    def _read_state(self) -> Iterable[Observation]:
        with _lock:
            now = self._state_now()
        return [Observation(int(each is now), {**self.attributes, PRINTER_STATE: each.value}) for each in State]

    def _read_level(self) -> Iterable[Observation]:
        with _lock:
            now = level(self._quality.score())
        return [Observation(int(each is now), {**self.attributes, QUALITY_LEVEL: each.value}) for each in Level]

    def _read_score(self) -> Iterable[Observation]:
        with _lock:
            score = self._quality.score()
        return [] if score is None else [Observation(score, self.attributes)]


@dataclass(frozen=True, slots=True)
class _Event:
    name: str
    well: bool
    attributes: Mapping[str, str | float]


def _log(events: list[_Event]) -> None:
    # Outside of every lock: a handler is the application's.
    for event in events:
        told = event.attributes
        what, before = (
            (told[PRINTER_STATE], told[PREVIOUS_STATE])
            if event.name == conventions.EVENT_STATE_CHANGED
            else (f"{told[QUALITY_LEVEL]} ({told[QUALITY_SCORE]} of 100)", told[PREVIOUS_LEVEL])
        )
        logger.log(
            logging.INFO if event.well else logging.WARNING,
            "printer %s is %s, was %s",
            told[PRINTER],
            what,
            before,
            extra={EVENT_NAME: event.name, **told},
        )


def _wall(age: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=age)


_shared: Final[weakref.WeakValueDictionary[frozenset[tuple[str, str]], PrinterHealth]] = weakref.WeakValueDictionary()


def shared(attributes: Mapping[str, str]) -> PrinterHealth:
    """The health of the printer with these labels: one, however many drivers it is registered with."""
    key = frozenset(attributes.items())
    with _lock:
        health = _shared.get(key)
        if health is None:
            health = _shared[key] = PrinterHealth(attributes)
        return health
