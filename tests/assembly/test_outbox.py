"""What a collector could not be given waits, within bounds, and is delivered in order once it can be."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry import context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY

from printobs.assembly import outbox
from printobs.assembly.outbox import Attempt, Outbox
from printobs.testing import OtlpSink

GONE = Attempt("ConnectionError")


class Collector:
    """Takes what it is given, or answers with what ``down`` is set to; keeps the order, and what was settled."""

    def __init__(self) -> None:
        self.down: Attempt | None = None
        self.got: list[str] = []
        self.lost: list[tuple[int, str | None]] = []
        self.attempts = 0
        self.flying = 0
        self.suppressed: set[object] = set()
        self.ended = False
        self._attempted = threading.Condition()

    def taken(self, count: int) -> None:
        self.flying += count

    def attempt(self, batch: Sequence[Any]) -> Attempt:
        with self._attempted:
            self.attempts += 1
            self.suppressed.add(context.get_value(_SUPPRESS_INSTRUMENTATION_KEY))
            if self.down is None:
                self.got += batch
            self._attempted.notify_all()
            return self.down or Attempt(None)

    def settled(self, count: int, error: str | None) -> None:
        self.flying -= count
        if error is not None:
            self.lost.append((count, error))

    def shutdown(self) -> None:
        self.ended = True

    def held(self) -> threading.Event:
        """Wait until an attempt is under way; it, and those after it, go on once the event is set."""
        release, inside, attempt = threading.Event(), threading.Event(), self.attempt

        def slow(batch: Sequence[Any]) -> Attempt:
            inside.set()
            release.wait(5)
            return attempt(batch)

        self.attempt = slow  # type: ignore[method-assign]
        assert inside.wait(5)
        return release

    def wait(self, what: Callable[[], bool]) -> None:
        with self._attempted:
            assert self._attempted.wait_for(what, 5)


@pytest.fixture(autouse=True)
def without_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "PAUSE", 0.01)


@pytest.fixture
def collector() -> Collector:
    return Collector()


@contextmanager
def kept(collector: Collector, limit: int = 100) -> Iterator[Outbox]:
    made = Outbox(collector, collector, limit)
    yield made
    made.shutdown()
    assert collector.ended
    assert not [thread for thread in threading.enumerate() if thread.name == "printobs-outbox"]


def test_what_waits_comes_in_order_once_the_collector_is_back(collector: Collector) -> None:
    with kept(collector) as box:
        box.export(["a"])
        collector.down = GONE
        for letter in "bcdef":
            box.export([letter])
        assert collector.got == ["a"]
        assert collector.flying == 5
        collector.down = None
        collector.wait(lambda: len(collector.got) == 6)
    assert collector.got == list("abcdef")
    assert (collector.flying, collector.lost) == (0, [])
    assert True in collector.suppressed, "its thread is instrumented"


def test_after_an_outage_it_delivers_at_once_again_and_outlives_the_next(collector: Collector) -> None:
    with kept(collector) as box:
        for round_ in range(3):
            collector.down = GONE
            box.export([f"{round_} waits"])
            collector.down = None
            collector.wait(lambda: f"{round_} waits" in collector.got)  # noqa: B023
            while [thread for thread in threading.enumerate() if thread.name == "printobs-outbox"]:
                pass
            box.export([f"{round_} passes"])
            assert collector.got[-1] == f"{round_} passes"


def test_nobody_waits_for_a_collector_that_is_away(collector: Collector) -> None:
    collector.down = GONE
    with kept(collector) as box:
        box.export(["first"])
        release = collector.held()
        box.export(["second"])  # would hang here
        release.set()


def test_the_oldest_are_given_up_for_newer_ones_and_counted(collector: Collector) -> None:
    collector.down = GONE
    with kept(collector, limit=5) as box:
        for number in range(10):
            box.export([f"{number}", f"{number}'"])
        assert collector.flying <= 5
        assert sum(count for count, _ in collector.lost) == 20 - collector.flying
        collector.down = None
        collector.wait(lambda: len(collector.got) == 4)
    assert collector.got == ["8", "8'", "9", "9'"]
    assert {error for _, error in collector.lost} == {"ConnectionError"}


def test_what_is_on_its_way_is_not_given_up_as_well(collector: Collector) -> None:
    collector.down = GONE
    with kept(collector, limit=2) as box:
        box.export(["first"])
        release = collector.held()
        for letter in "abcd":
            box.export([letter])
        collector.down = None
        release.set()
        collector.wait(lambda: collector.got[-1:] == ["d"])
    assert collector.got == ["first", "c", "d"]
    assert sum(count for count, _ in collector.lost) == 2
    assert collector.flying == 0


def test_a_batch_larger_than_its_bound_is_counted_as_lost(collector: Collector) -> None:
    collector.down = GONE
    with kept(collector, limit=3) as box:
        box.export(list("abcd"))
        assert collector.lost == [(4, "ConnectionError")]


@pytest.mark.parametrize("answer", [Attempt("400"), Attempt("500"), Attempt("_OTHER", sent=False)])
def test_what_is_refused_for_good_is_not_tried_again_and_keeps_nobody(collector: Collector, answer: Attempt) -> None:
    collector.down = answer
    with kept(collector) as box:
        box.export(["refused"])
        assert (collector.attempts, collector.lost) == (1, [(1, answer.error)])
        collector.down = None
        box.export(["next"])
    assert collector.got == ["next"]


def test_what_is_refused_for_good_later_keeps_nobody_either(collector: Collector) -> None:
    collector.down = Attempt("503")
    with kept(collector) as box:
        box.export(["refused"])
        box.export(["next"])
        collector.down = Attempt("400")
        collector.wait(lambda: collector.attempts > 2)
    assert collector.lost[0] == (1, "400")


@pytest.mark.parametrize("error", ["ConnectionError", "ReadTimeout", "invalid_response", "302", "429", "503"])
def test_what_may_pass_is_tried_again(error: str) -> None:
    assert Attempt(error).may_be_repeated()
    assert not Attempt(None).may_be_repeated()


def test_at_the_end_there_is_one_attempt_more_and_what_is_left_is_counted(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "PAUSE", 60)
    collector.down = Attempt("503")
    with kept(collector) as box:
        box.export(["a"])
        box.export(["b"])
    assert (collector.attempts, collector.lost) == (2, [(1, "503"), (1, "503")])
    other = Collector()
    other.down = GONE
    with kept(other) as box:
        box.export(["a"])
        other.down = None
    assert (other.got, other.lost) == (["a"], [])


def test_a_forked_child_leaves_what_waits_to_its_parent(collector: Collector) -> None:
    collector.down = GONE
    with kept(collector) as box:
        box.export(["the parent's"])
        child = os.fork()
        if child == 0:
            collector.down, collector.lost = None, []
            box.export(["the child's"])
            box.shutdown()
            os._exit(0 if collector.got == ["the child's"] and not collector.lost else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


APPLICATION = """
import sys, printobs
from opentelemetry import trace
from printobs.assembly import outbox
outbox.PAUSE = 0.1
handle = printobs.configure(service_name="till")
for number in range(7):
    trace.get_tracer("mine").start_span(f"receipt {number}").end()
    handle.tracer_provider.force_flush()
print("away", flush=True)
sys.stdin.readline()
handle.shutdown(10)
"""


def test_spans_of_an_outage_arrive(otlp_sink: OtlpSink) -> None:
    otlp_sink.refuse(503)
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", APPLICATION],
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": otlp_sink.endpoint, "OTEL_EXPORTER_OTLP_TIMEOUT": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "away\n"
        assert otlp_sink.spans == []
        otlp_sink.accept()
        running.communicate("\n", timeout=20)
    assert [span.name for span in otlp_sink.spans] == [f"receipt {number}" for number in range(7)]
