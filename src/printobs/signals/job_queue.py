"""An application's own queue of print jobs: how they have ended, how long that took, and what waits.

``printer.*`` is what the process beside a printer sees; ``job.*`` is what the application has promised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from opentelemetry.metrics import Observation

from printobs.core import clock, conventions, telemetry
from printobs.core.attributes import Bounded, clean, one_of
from printobs.core.conventions import BRANCH, ERROR_TYPE, JOB_KIND, JOB_OUTCOME, PRINTER, Instrument, JobError, Outcome
from printobs.core.guard import Guard

_guard: Final = Guard("counting an application's print jobs")

_branches: Final = Bounded(BRANCH, 500)
_kinds: Final = Bounded(JOB_KIND, 32)

_FAILED: Final = frozenset({Outcome.FAILED, Outcome.UNKNOWN})

_OUTCOME: Final = (BRANCH, PRINTER, JOB_KIND, JOB_OUTCOME, ERROR_TYPE)
_OF_A_PRINTER: Final = (BRANCH, PRINTER)


@dataclass(frozen=True, slots=True)
class _Open:
    branch: str
    kind: str
    since: float


class JobQueue:
    """Tell it what the application's own records say; collections read it, and ask the application nothing.

    Totals are told as they are, so that they are as durable as the application keeps them, and no more than it keeps:
    those of before a restart are told at the start. Beyond 2,000 of an instrument, the rest are one series. All series
    end with the object. One thread at a time may call it; nothing here raises. ``now`` is in seconds.
    """

    def __init__(self, now: Callable[[], float] = clock.monotonic) -> None:
        self._now = now
        self._open: dict[str, _Open] = {}
        self._held: dict[str, str] = {}  # the branch of each
        self._seen: dict[str, None] = {}  # branches, which have a series from then on
        self._outcomes: dict[tuple[str, ...], int] = {}
        self._reprints: dict[tuple[str, ...], int] = {}
        self._failures: dict[tuple[str, ...], int] = {}  # in a row
        with _guard:
            self._instruments = instruments = telemetry.current().instruments
            for instrument, read in (
                (conventions.JOB_OUTCOMES, JobQueue._read_outcomes),
                (conventions.JOB_REPRINTS, JobQueue._read_reprints),
                (conventions.JOB_QUEUE_LENGTH, JobQueue._read_length),
                (conventions.JOB_QUEUE_AGE, JobQueue._read_age),
                (conventions.JOB_HELD, JobQueue._read_held),
                (conventions.JOB_FAILURES_CONSECUTIVE, JobQueue._read_failures),
            ):
                instruments.readings(instrument).add(self, read)

    def waits(self, job: str, branch: str, kind: str, age: float = 0.0) -> bool:
        """The job of this ID has been taken, ``age`` seconds ago, and has not ended; whether that is new."""
        with _guard:
            if job not in self._open:
                branch = self._branch(branch)
                self._open[job] = _Open(branch, _kinds(kind), self._now() - max(0.0, age))
                return True
        return False

    def ended(self, job: str, outcome: Outcome | str) -> bool:
        """It has ended, and its duration is recorded; whether that is new."""
        with _guard:
            was = self._open.pop(job, None)
            if was is not None:
                self._instruments.histogram(conventions.JOB_DURATION).record(
                    max(0.0, self._now() - was.since),
                    {BRANCH: was.branch, JOB_KIND: was.kind, JOB_OUTCOME: one_of(Outcome, outcome)},
                )
                return True
        return False

    def held(self, job: str, branch: str, held: bool) -> None:
        """Whether a person has to see to it, now."""
        with _guard:
            if held:
                self._held[job] = self._branch(branch)
            else:
                self._held.pop(job, None)

    def outcomes(
        self,
        branch: str,
        printer: str,
        kind: str,
        outcome: Outcome | str,
        error_type: str,
        total: int,
        *,
        standing: bool = False,
    ) -> None:
        """So many jobs of this printer have ended so, ever. ``error_type`` is empty where nothing went wrong.

        ``standing``: it had come to that before this process began, or a rate would take all of it for news.
        """
        with _guard:
            labels = (clean(branch), clean(printer), clean(kind), one_of(Outcome, outcome), clean(error_type))
            if not standing:
                self._in_a_row(labels, total - self._outcomes.get(labels, 0))
            self._outcomes[labels] = total
            self._began(conventions.JOB_OUTCOMES, _OUTCOME, labels, standing)

    def reprints(self, branch: str, printer: str, total: int, *, standing: bool = False) -> None:
        """So many jobs of this printer were taken as another copy of one before, ever. ``standing`` as above."""
        with _guard:
            labels = (clean(branch), clean(printer))
            self._reprints[labels] = total
            self._began(conventions.JOB_REPRINTS, _OF_A_PRINTER, labels, standing)

    def _in_a_row(self, labels: tuple[str, ...], more: int) -> None:
        printer, outcome, error_type = labels[:2], labels[3], labels[4]
        before = self._failures.setdefault(printer, 0)
        if outcome in conventions.PRINTED and more > 0:
            self._failures[printer] = 0
        elif outcome in _FAILED and error_type != JobError.EXPIRED:  # nobody had tried
            self._failures[printer] = before + more

    def _began(self, instrument: Instrument, names: tuple[str, ...], labels: tuple[str, ...], standing: bool) -> None:
        if standing:
            self._instruments.readings(instrument).standing.add(frozenset(_attributes(names, labels).items()))

    def _branch(self, branch: str) -> str:
        branch = _branches(branch)
        self._seen[branch] = None
        return branch

    # -- what collections read: copies made in one step, so that nobody waits for a lock -------------------------------

    def _read_outcomes(self) -> Iterable[Observation]:
        return _read(self._outcomes, _OUTCOME)

    def _read_reprints(self) -> Iterable[Observation]:
        return _read(self._reprints, _OF_A_PRINTER)

    def _read_failures(self) -> Iterable[Observation]:
        return _read(self._failures, _OF_A_PRINTER)

    def _read_length(self) -> Iterable[Observation]:
        return self._by_branch([each.branch for each in list(self._open.values())])

    def _read_held(self) -> Iterable[Observation]:
        return self._by_branch(list(self._held.values()))

    def _read_age(self) -> Iterable[Observation]:
        now = self._now()
        ages = dict.fromkeys(list(self._seen), 0.0)
        for each in list(self._open.values()):
            ages[each.branch] = max(ages.get(each.branch, 0.0), now - each.since)
        return [Observation(age, {BRANCH: branch}) for branch, age in ages.items()]

    def _by_branch(self, branches: Iterable[str]) -> Iterable[Observation]:
        numbers = dict.fromkeys(list(self._seen), 0)
        for branch in branches:
            numbers[branch] = numbers.get(branch, 0) + 1
        return [Observation(number, {BRANCH: branch}) for branch, number in numbers.items()]


def _read(totals: Mapping[tuple[str, ...], int], names: tuple[str, ...]) -> Iterable[Observation]:
    return [Observation(total, _attributes(names, labels)) for labels, total in list(totals.items())]


def _attributes(names: tuple[str, ...], labels: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in zip(names, labels, strict=True) if value}
