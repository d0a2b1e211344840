"""The quality score, as its docstring defines it, by a clock that the test moves."""

import sys
import time

import pytest

from printobs.core.conventions import Level
from printobs.signals import health
from printobs.signals.health import WINDOW, Quality, level
from tests.conftest import Clock


@pytest.fixture
def quality(clock: Clock) -> Quality:
    return Quality(clock)


def test_nothing_observed_is_no_score(quality: Quality) -> None:
    assert quality.score() is None
    assert level(None) is Level.UNKNOWN


def test_what_always_works_at_once_has_all_of_it(quality: Quality) -> None:
    for _ in range(10):
        quality.succeeded()
        quality.answered(health.PROMPT)
    assert quality.score() == 100.0


@pytest.mark.parametrize(("good", "bad", "score"), [(9, 1, 90.0), (3, 1, 75.0), (1, 1, 50.0), (0, 3, 0.0)])
def test_success_is_a_share(quality: Quality, good: int, bad: int, score: float) -> None:
    for _ in range(good):
        quality.succeeded()
    for _ in range(bad):
        quality.failed()
    assert quality.score() == score


def test_answers_are_a_share_and_multiply(quality: Quality) -> None:
    for _ in range(4):
        quality.answered(0.0)
    quality.unanswered()
    assert quality.score() == 80.0
    quality.succeeded()
    quality.failed()
    assert quality.score() == 40.0


@pytest.mark.parametrize(("seconds", "score"), [(0.0, 100.0), (0.1, 100.0), (0.55, 75.0), (1.0, 50.0), (60.0, 50.0)])
def test_slow_answers_cost_up_to_half(quality: Quality, seconds: float, score: float) -> None:
    quality.answered(seconds)
    assert quality.score() == score


def test_slowness_is_a_mean(quality: Quality) -> None:
    quality.answered(0.0)
    quality.answered(1.0)
    assert quality.score() == 75.0


@pytest.mark.parametrize(("losses", "score"), [(1, 90.0), (3, 70.0), (5, 50.0), (50, 50.0)])
def test_each_lost_connection_costs_a_tenth_up_to_half(quality: Quality, losses: int, score: float) -> None:
    quality.succeeded()
    for _ in range(losses):
        quality.lost()
    assert quality.score() == score


def test_it_looks_back_for_five_minutes(quality: Quality, clock: Clock) -> None:
    quality.failed()
    clock.time += WINDOW - 15
    quality.succeeded()
    assert quality.score() == 50.0
    clock.time += 15
    assert quality.score() == 100.0
    clock.time += WINDOW
    assert quality.score() is None


@pytest.mark.parametrize(
    ("score", "name"),
    [(100.0, "excellent"), (90.0, "excellent"), (89.9, "good"), (75.0, "good"), (74.9, "fair"), (50.0, "fair"),
     (49.9, "poor"), (0.0, "poor")],
)  # fmt: skip
def test_each_score_has_its_level(score: float, name: str) -> None:
    assert level(score) == name


def test_what_is_kept_does_not_grow(quality: Quality, clock: Clock) -> None:
    for _ in range(2000):
        clock.time += 7
        quality.succeeded()
        quality.answered(0.2)
    assert len(quality._counts) <= 30
    assert sum(sys.getsizeof(each) for each in quality._counts) < 10_000


def test_the_wall_clock_may_step(monkeypatch: pytest.MonkeyPatch) -> None:
    quality = Quality()
    quality.failed()
    for wall in (0.0, 4e9):
        monkeypatch.setattr(time, "time", lambda wall=wall: wall)
        monkeypatch.setattr(time, "time_ns", lambda wall=wall: int(wall * 1e9))
        assert quality.score() == 0.0
