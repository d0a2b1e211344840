"""A printer's one state, of what it tells and of how its jobs end; its series and its events."""

import gc
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from printobs.core.conventions import JobError, Level, Outcome, State
from printobs.signals import printer_health
from printobs.signals.escpos_status import PrinterState
from printobs.signals.health import WINDOW
from printobs.signals.printer_health import PrinterHealth, state_of
from tests.conftest import Clock, Sdk

WELL = PrinterState(offline=False)
OPEN = PrinterState(offline=True, cover_open=True)


@pytest.fixture
def kitchen(sdk: Sdk, clock: Clock) -> PrinterHealth:
    health = PrinterHealth({"printer.name": "kitchen", "branch.name": "mitte"}, clock)
    health.use(sdk.telemetry)
    return health


@pytest.mark.parametrize(
    ("told", "state"),
    [
        (PrinterState(), "unknown"),
        (PrinterState(paper_end=False, cover_open=False), "unknown"),
        (WELL, "ready"),
        (PrinterState(offline=False, paper_near_end=True), "paper_near_end"),
        (PrinterState(offline=True), "offline"),
        (PrinterState(offline=True, paper_near_end=True), "offline"),
        (PrinterState(offline=True, paper_end=True, paper_near_end=True), "paper_end"),
        (PrinterState(offline=True, stopped_at_paper_end=True), "paper_end"),
        (OPEN, "cover_open"),
        (PrinterState(cover_open=True, paper_end=True), "cover_open"),
        (PrinterState(offline=True, cutter_error=True), "cutter"),
        (PrinterState(offline=True, mechanical_error=True), "mechanical"),
        (PrinterState(offline=True, unrecoverable_error=True, cutter_error=True), "unrecoverable"),
        (PrinterState(offline=True, recoverable_error=True), "recoverable"),
    ],
)
def test_the_worst_that_is_told_is_the_state(told: PrinterState, state: str) -> None:
    assert state_of(told) == state


@pytest.mark.parametrize(
    ("outcome", "error", "before", "after"),
    [
        (Outcome.CONFIRMED, None, WELL, State.READY),
        (Outcome.CONFIRMED, None, PrinterState(offline=False, paper_near_end=True), State.PAPER_NEAR_END),
        (Outcome.CONFIRMED, None, OPEN, State.READY),
        (Outcome.CONFIRMED, None, None, State.READY),
        (Outcome.WRITTEN, None, OPEN, State.COVER_OPEN),
        (Outcome.WRITTEN, None, WELL, State.READY),
        (Outcome.FAILED, JobError.CONNECT_REFUSED, WELL, State.UNREACHABLE),
        (Outcome.FAILED, JobError.CONNECT_TIMEOUT, WELL, State.UNREACHABLE),
        (Outcome.FAILED, JobError.RESOLVE, WELL, State.UNREACHABLE),
        (Outcome.FAILED, JobError.COVER_OPEN, WELL, State.COVER_OPEN),
        (Outcome.UNKNOWN, JobError.PAPER_END, WELL, State.PAPER_END),
        (Outcome.UNKNOWN, JobError.RESET, WELL, State.UNKNOWN),
        (Outcome.UNKNOWN, JobError.TIMEOUT, WELL, State.READY),
        (Outcome.FAILED, JobError.APPLICATION, WELL, State.READY),
        (Outcome.UNKNOWN, None, WELL, State.READY),
    ],
)
def test_a_job_tells_too(
    kitchen: PrinterHealth, outcome: Outcome, error: JobError | None, before: PrinterState | None, after: State
) -> None:
    kitchen.asked(before, 0.01 if before else 1.0)
    kitchen.ended(outcome, error)
    assert kitchen.read().state is after


def test_a_short_silence_says_nothing(kitchen: PrinterHealth) -> None:
    kitchen.asked(OPEN, 0.01)
    kitchen.asked(None, 0.1)
    assert (kitchen.read().state, kitchen.read().score) == (State.COVER_OPEN, 100.0)
    kitchen.asked(None, 1.0)
    assert (kitchen.read().state, kitchen.read().score) == (State.UNKNOWN, 50.0)


def test_bytes_that_were_taken_end_unreachable(kitchen: PrinterHealth) -> None:
    kitchen.ended(Outcome.FAILED, JobError.CONNECT_REFUSED)
    kitchen.ended(Outcome.WRITTEN, None)
    assert kitchen.read().state is State.UNKNOWN


@pytest.mark.parametrize("error", ["cancelled", "application", "expired", "rejected"])
def test_what_is_not_the_printers_fault_does_not_count(kitchen: PrinterHealth, error: str) -> None:
    kitchen.ended(Outcome.FAILED, error)
    assert kitchen.read().score is None


def test_jobs_and_checks_make_the_score(kitchen: PrinterHealth) -> None:
    kitchen.ended(Outcome.CONFIRMED, None)
    kitchen.checked(WELL, 0.01, None)
    assert kitchen.read().score == 100.0
    kitchen.ended(Outcome.UNKNOWN, JobError.TIMEOUT)
    kitchen.checked(OPEN, 0.01, None)
    assert kitchen.read().score == 50.0
    kitchen.checked(None, 0.8, None)  # two of three answers
    assert kitchen.read().score == pytest.approx(33.3)
    kitchen.checked(None, 0.5, JobError.CONNECT_REFUSED)
    assert kitchen.read().score == pytest.approx(26.7)  # 2/5 of 2/3
    kitchen.lost()
    assert kitchen.read().score == pytest.approx(24.0)


def test_until_something_is_told_nothing_is_known(kitchen: PrinterHealth) -> None:
    health = kitchen.read()
    assert (health.state, health.level) == (State.UNKNOWN, Level.UNKNOWN)
    assert (health.score, health.since, health.last_checked) == (None, None, None)


def test_what_was_told_long_ago_is_not_known_any_more(sdk: Sdk, kitchen: PrinterHealth, clock: Clock) -> None:
    kitchen.checked(WELL, 0.01, None)
    clock.time += WINDOW
    assert kitchen.read().state is State.READY
    clock.time += WINDOW / 2
    health = kitchen.read()
    assert (health.state, health.score, health.level) == (State.UNKNOWN, None, Level.UNKNOWN)
    assert sdk.value("printer.status", printer__state="unknown") == 1
    assert sdk.value("printer.status") == 1
    assert sdk.points("printer.quality.score") == []
    assert sdk.value("printer.quality.level", quality__level="unknown") == 1


def test_since_is_when_it_was_first_seen_so(kitchen: PrinterHealth, clock: Clock) -> None:
    def about(when: datetime | None, age: float) -> bool:
        return when is not None and abs(datetime.now(UTC) - when - timedelta(seconds=age)) < timedelta(seconds=5)

    kitchen.checked(WELL, 0.01, None)
    clock.time += 100
    kitchen.checked(WELL, 0.01, None)
    clock.time += 50
    assert about(kitchen.read().since, 150)
    assert about(kitchen.read().last_checked, 50)
    kitchen.checked(OPEN, 0.01, None)
    assert about(kitchen.read().since, 0)
    clock.time += WINDOW + 20
    assert about(kitchen.read().since, 20)  # unknown since the window has passed


def test_one_series_a_state_and_exactly_one_of_them_is_1(sdk: Sdk, kitchen: PrinterHealth) -> None:
    where = {"printer__name": "kitchen", "branch__name": "mitte"}
    for told, state in ((None, "unknown"), (WELL, "ready"), (OPEN, "cover_open")):
        if told is not None:
            kitchen.checked(told, 0.01, None)
        points = {point.attributes["printer.state"]: point.value for point in sdk.points("printer.status")}
        assert points == {each.value: int(each == state) for each in State}
        assert sdk.value("printer.status", **where) == 1
    assert sdk.value("printer.quality.score", **where) == 50.0
    assert sdk.value("printer.quality.level", **where) == 1
    assert sdk.value("printer.quality.level", quality__level="fair", **where) == 1
    assert sdk.value("printer.check.duration", **where) == 2
    assert sdk.value("printer.check.duration", error__type="cover_open", **where) == 1


def test_one_that_is_gone_has_no_series(sdk: Sdk) -> None:
    health = printer_health.shared({"printer.name": "gone"})
    health.use(sdk.telemetry)
    assert printer_health.shared({"printer.name": "gone"}) is health
    assert sdk.value("printer.status", printer__name="gone") == 1
    del health
    gc.collect()
    assert sdk.points("printer.status") == []


def test_transitions_are_events_and_each_is_logged_once(
    kitchen: PrinterHealth, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "printobs")

    def events() -> list[dict[str, Any]]:
        found = [
            {key: value for key, value in vars(record).items() if "." in key} | {"severity": record.levelname}
            for record in caplog.records
        ]
        caplog.clear()
        return found

    where = {"printer.name": "kitchen", "branch.name": "mitte"}
    for _ in range(3):
        kitchen.checked(WELL, 0.01, None)
    assert events() == [
        where | {"otel.event.name": "printer.state.changed", "severity": "INFO",
                 "printer.state": "ready", "printer.state.previous": "unknown"},
        where | {"otel.event.name": "printer.quality.changed", "severity": "INFO", "quality.score": 100.0,
                 "quality.level": "excellent", "quality.level.previous": "unknown"},
    ]  # fmt: skip
    for _ in range(2):
        kitchen.checked(OPEN, 0.01, None)
    assert events() == [
        where | {"otel.event.name": "printer.state.changed", "severity": "WARNING",
                 "printer.state": "cover_open", "printer.state.previous": "ready"},
        where | {"otel.event.name": "printer.quality.changed", "severity": "INFO", "quality.score": 75.0,
                 "quality.level": "good", "quality.level.previous": "excellent"},
        where | {"otel.event.name": "printer.quality.changed", "severity": "WARNING", "quality.score": 60.0,
                 "quality.level": "fair", "quality.level.previous": "good"},
    ]  # fmt: skip
    clock.time += 2 * WINDOW
    kitchen.checked(OPEN, 0.01, None)  # as it last told: nothing new
    assert [each["otel.event.name"] for each in events()] == ["printer.quality.changed"]


def test_one_that_nobody_has_registered_has_no_events(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "printobs")
    PrinterHealth({"printer.name": "x"}).checked(OPEN, 0.01, None)
    assert caplog.records == []


def test_nothing_it_is_told_can_raise(kitchen: PrinterHealth, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(kitchen, "_quality", None)
    monkeypatch.setattr(kitchen, "_become", fail)
    told: tuple[Callable[[], None], ...] = (
        kitchen.lost,
        lambda: kitchen.asked(WELL, 0.1),
        lambda: kitchen.ended(Outcome.FAILED, "no such error"),
        lambda: kitchen.checked(WELL, 0.1, None),
    )
    for each in told:
        each()
