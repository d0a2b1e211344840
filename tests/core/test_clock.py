"""Durations never go back, whatever the wall clock does."""

import time

import pytest

from printobs.core import clock


def test_the_wall_clock_may_step_back_and_a_duration_stays_positive(monkeypatch: pytest.MonkeyPatch) -> None:
    started = clock.monotonic()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert clock.monotonic() >= started


def test_an_instant_is_given_as_the_wall_time_that_it_was() -> None:
    instant = clock.monotonic()
    before = time.time_ns()
    time.sleep(0.02)
    assert abs(clock.wall_ns(instant) - before) < 15_000_000
    assert clock.wall_ns() - clock.wall_ns(instant) >= 15_000_000
