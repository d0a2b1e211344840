"""Durations never go back, whatever the wall clock does."""

import time

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from printobs.core import clock
from printobs.integrations.every_span import EverySpan
from printobs.signals.message_scope import Messages, message
from tests.conftest import Sdk

HOUR = 3_600 * 10**9


def set_by(monkeypatch: pytest.MonkeyPatch, nanoseconds: int) -> None:
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + nanoseconds)
    monkeypatch.setattr("opentelemetry.sdk.trace.time_ns", time.time_ns)


def test_the_wall_clock_may_step_back_and_a_duration_stays_positive(monkeypatch: pytest.MonkeyPatch) -> None:
    started = clock.monotonic()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert clock.monotonic() >= started


def test_an_instant_is_given_as_the_wall_time_that_it_was() -> None:
    instant = clock.monotonic()
    before = time.time_ns()
    time.sleep(0.02)
    wall = clock.Wall()
    assert abs(wall.ns(instant) - before) < 15_000_000
    assert wall.ns(clock.monotonic()) - wall.ns(instant) >= 15_000_000


@pytest.mark.parametrize("nanoseconds", [-HOUR, HOUR])
def test_the_spans_of_one_piece_of_work_keep_the_clock_that_it_began_by(
    monkeypatch: pytest.MonkeyPatch, nanoseconds: int
) -> None:
    wall = clock.Wall()
    began = wall.ns(clock.monotonic())
    set_by(monkeypatch, nanoseconds)
    assert 0 <= wall.ns(clock.monotonic()) - began < HOUR / 2


def test_a_span_never_ends_before_it_began(monkeypatch: pytest.MonkeyPatch, sdk: Sdk) -> None:
    tracer = sdk.tracer_provider.get_tracer("test")
    ours, short = tracer.start_span("ours"), tracer.start_span("short")
    clock.end(short)
    set_by(monkeypatch, -HOUR)
    clock.end(ours)
    assert [span.name for span in sdk.spans()] == ["short", "ours"]
    for span in sdk.spans():
        assert span.start_time is not None
        assert span.end_time is not None
        assert 0 <= span.end_time - span.start_time < HOUR / 2
    clock.end(trace.INVALID_SPAN)


@pytest.mark.anyio
async def test_a_message_in_hand_while_the_clock_is_set_back_took_no_negative_time(
    monkeypatch: pytest.MonkeyPatch, sdk: Sdk
) -> None:
    handler = Messages(sdk.telemetry, every=True)
    handler.taken("hello")
    with message("hello too"):
        set_by(monkeypatch, -HOUR)
    handler.over()
    assert len(sdk.spans()) == 2
    assert [span for span in sdk.spans() if (span.end_time or 0) < (span.start_time or 0)] == []


def test_nor_does_anybodys_who_lets_the_sdk_take_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = TracerProvider()
    provider.add_span_processor(EverySpan())
    span = provider.get_tracer("somebody").start_span("request")
    set_by(monkeypatch, -HOUR)
    span.end()
    assert getattr(span, "end_time") == getattr(span, "start_time")  # noqa: B009 - the SDK's, not the API's
