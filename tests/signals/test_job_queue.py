"""An application's own queue: totals as it keeps them, durations, what waits and for how long; bounded."""

import gc

import pytest

from printobs.signals.job_queue import JobQueue
from tests.conftest import Clock, Sdk


@pytest.fixture
def queue(sdk: Sdk, clock: Clock) -> JobQueue:
    return JobQueue(clock)


def test_totals_are_shown_as_they_are_told(sdk: Sdk, queue: JobQueue) -> None:
    queue.outcomes("mitte", "kitchen", "test", "confirmed", "", 4000)
    queue.outcomes("mitte", "kitchen", "test", "confirmed", "", 4001)
    queue.outcomes("mitte", "kitchen", "receipt", "failed", "expired", 2)
    queue.reprints("mitte", "kitchen", 3)
    points = {tuple(sorted(point.attributes.items())): point.value for point in sdk.points("job.outcomes")}
    where = (("branch.name", "mitte"),)
    assert points == {
        (
            *where,
            ("printer.job.kind", "test"),
            ("printer.job.outcome", "confirmed"),
            ("printer.name", "kitchen"),
        ): 4001,
        (
            *where,
            ("error.type", "expired"),
            ("printer.job.kind", "receipt"),
            ("printer.job.outcome", "failed"),
            ("printer.name", "kitchen"),
        ): 2,
    }
    assert sdk.value("job.reprints", branch__name="mitte", printer__name="kitchen") == 3


def test_what_waits_is_seen_by_branch_and_comes_down_to_zero(sdk: Sdk, queue: JobQueue, clock: Clock) -> None:
    assert queue.waits("a", "mitte", "receipt")
    clock.time += 10
    queue.waits("b", "mitte", "receipt")
    assert not queue.waits("a", "mitte", "receipt")
    queue.waits("c", "wedding", "test", age=100)
    queue.held("h", "mitte", True)
    clock.time += 5

    def seen(branch: str) -> list[float]:
        names = ("job.queue.length", "job.queue.age", "job.held")
        return [sdk.value(name, branch__name=branch) for name in names]

    assert seen("mitte") == [2, 15, 1]
    assert seen("wedding") == [1, 105, 0]
    queue.ended("a", "confirmed")
    queue.ended("a", "confirmed")
    assert seen("mitte") == [1, 5, 1]
    for job in ("b", "c"):
        queue.ended(job, "cancelled")
    queue.held("h", "mitte", False)
    assert seen("mitte") == seen("wedding") == [0, 0, 0]
    assert len(sdk.points("job.queue.length")) == 2


def test_a_duration_is_recorded_once_and_is_never_negative(sdk: Sdk, queue: JobQueue, clock: Clock) -> None:
    queue.waits("a", "mitte", "receipt", age=30)
    queue.waits("b", "mitte", "test", age=-500)  # of a clock that was set back
    clock.time += 12
    assert [queue.ended("a", "confirmed") for _ in range(2)] == [True, False]
    queue.ended("b", "of somebody's own")
    queue.ended("never heard of", "failed")
    points = {point.attributes["printer.job.outcome"]: point for point in sdk.points("job.duration")}
    assert {name: (point.count, point.sum) for name, point in points.items()} == {
        "confirmed": (1, 42.0),
        "_OTHER": (1, 12.0),
    }
    assert points["confirmed"].attributes == {
        "branch.name": "mitte",
        "printer.job.kind": "receipt",
        "printer.job.outcome": "confirmed",
    }


def test_series_have_a_bound_and_no_count_is_lost(sdk: Sdk, queue: JobQueue) -> None:
    for number in range(3000):
        queue.outcomes("mitte", f"p{number}", "receipt", "confirmed", "", 2)
        queue.waits(f"{number}", f"branch-{number}", f"kind-{number}")
        queue.ended(f"{number}", "confirmed")
    assert len(sdk.points("job.outcomes")) == 2001
    assert sdk.value("job.outcomes") == 6000
    assert len(sdk.points("job.queue.length")) <= 501
    assert len(sdk.points("job.duration")) <= 600
    assert sdk.value("job.duration") == 3000


def test_its_series_end_with_it_and_nothing_it_is_told_raises(sdk: Sdk) -> None:
    queue = JobQueue()
    queue.waits("a", None, None)  # type: ignore[arg-type]
    queue.waits([], "mitte", "receipt")  # type: ignore[arg-type]
    queue.outcomes("a\nb", "x" * 500, "", "failed", "", 1)
    [point] = sdk.points("job.outcomes")
    assert point.attributes == {"branch.name": "a?b", "printer.name": "x" * 64, "printer.job.outcome": "failed"}
    del queue
    gc.collect()
    assert sdk.points("job.outcomes") == []


def test_failures_in_a_row_are_counted_until_one_is_on_paper(sdk: Sdk, queue: JobQueue) -> None:
    def ended(outcome: str, total: int, error_type: str = "", printer: str = "bar", kind: str = "receipt") -> None:
        queue.outcomes("mitte", printer, kind, outcome, error_type, total)

    def in_a_row(printer: str = "bar") -> float:
        return sdk.value("job.failures.consecutive", branch__name="mitte", printer__name=printer)

    queue.outcomes("mitte", "bar", "receipt", "failed", "reset", 4000, standing=True)  # of before this process
    ended("confirmed", 0)
    assert in_a_row() == 0
    ended("failed", 4001, "reset")
    ended("unknown", 1)
    ended("cancelled", 1)  # says nothing of the printer
    ended("failed", 7, "expired")  # nor does this: nobody had tried
    ended("failed", 2, "paper_end", printer="kitchen")
    assert (in_a_row(), in_a_row("kitchen")) == (2, 2)
    ended("confirmed", 0, kind="test")  # of another kind, the first has been taken
    ended("failed", 4002, "reset")
    assert in_a_row() == 3
    ended("written", 1)
    assert (in_a_row(), in_a_row("kitchen")) == (0, 2)


def test_failures_of_before_the_start_are_in_no_row(sdk: Sdk, queue: JobQueue) -> None:
    queue.outcomes("mitte", "bar", "receipt", "failed", "reset", 4000, standing=True)
    queue.outcomes("mitte", "bar", "receipt", "failed", "reset", 4001)
    assert sdk.value("job.failures.consecutive", branch__name="mitte", printer__name="bar") == 1
