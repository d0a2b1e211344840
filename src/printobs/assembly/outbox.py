"""Spans and log records that a collector could not be given are kept, within bounds, until it can.

The SDK tries a batch again for ten seconds and then throws it away, with its queue all but empty: a collector that is
restarted, or a network that is down for a minute, costs most of what was recorded meanwhile.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from opentelemetry import context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY

# Beyond the ten seconds of each attempt, in which the SDK backs off itself.
PAUSE: Final = 5.0

# https://opentelemetry.io/docs/specs/otlp/#failures-1: no other status may be tried again.
_AGAIN: Final = frozenset({"429", "502", "503", "504"})


@dataclass(frozen=True, slots=True)
class Attempt:
    """How an attempt ended: ``error`` is its ``error.type``, or ``None``; ``sent``: whether anything left at all."""

    error: str | None
    sent: bool = True

    def may_be_repeated(self) -> bool:
        """Whether the next one may end better."""
        if self.error is None or not self.sent:
            return False
        # A redirection is what a portal answers with, until somebody has logged in.
        return self.error in _AGAIN or not (self.error.isdigit() and self.error >= "400")


class Watch(Protocol):
    """An exporter, and whoever counts what becomes of what it is given."""

    def taken(self, count: int) -> None:
        """So many records are on their way."""

    def attempt(self, batch: Sequence[Any]) -> Attempt:
        """Export ``batch``; never raises."""

    def settled(self, count: int, error: str | None) -> None:
        """So many are not any more: they were exported, or given up for ``error``."""


class Outbox:
    """Stands between a batch processor and its exporter; delivers in order, from a thread while something waits.

    At most ``limit`` records wait; the oldest are given up for newer ones. At the end there is one attempt more.
    """

    def __init__(self, exporter: Any, watch: Watch, limit: int) -> None:
        self._exporter = exporter
        self._watch = watch
        self._limit = limit
        self._reset()

    def _reset(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._waiting: deque[Sequence[Any]] = deque()
        self._size = 0
        self._error: str | None = None
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def export(self, batch: Sequence[Any]) -> None:
        """Deliver ``batch``, or have it wait; the processor calls this from one thread at a time."""
        if self._process != os.getpid():
            self._reset()  # what waits is the parent's to deliver, and so is the thread
        self._watch.taken(len(batch))
        with self._lock:
            if self._thread is not None:
                self._keep(batch)
                return
        tried = self._watch.attempt(batch)
        if not tried.may_be_repeated():
            self._watch.settled(len(batch), tried.error)
            return
        with self._lock:
            self._error = tried.error
            self._keep(batch)
            if self._waiting:
                self._thread = threading.Thread(target=self._deliver, name="printobs-outbox", daemon=True)
                self._thread.start()

    def shutdown(self, timeout_millis: float = 10_000) -> None:
        """Try once more, shut the exporter down, and give up what is left."""
        if self._process != os.getpid():
            self._reset()
        self._ending.set()
        if (thread := self._thread) is not None:
            thread.join(timeout_millis / 1000)
        self._exporter.shutdown()
        self._give_up()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing: what waits is tried as often as it may be."""
        return True

    def _keep(self, batch: Sequence[Any]) -> None:
        self._waiting.append(batch)
        self._size += len(batch)
        while self._size > self._limit:
            oldest = self._waiting.popleft()
            self._size -= len(oldest)
            self._watch.settled(len(oldest), self._error)

    def _give_up(self) -> None:
        with self._lock:
            left, self._waiting, self._size = self._waiting, deque(), 0
        for batch in left:
            self._watch.settled(len(batch), self._error)

    def _deliver(self) -> None:
        # As the processor does: no instrumentation of the HTTP client may record what exports.
        context.attach(context.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        last = False
        while not last:
            last = self._ending.wait(PAUSE)
            while (batch := self._oldest()) is not None:
                tried = self._watch.attempt(batch)
                if tried.may_be_repeated():
                    self._again(batch, tried.error)
                    break
                self._watch.settled(len(batch), tried.error)
            else:
                return
        self._give_up()

    def _oldest(self) -> Sequence[Any] | None:
        """Take the oldest batch: while it is tried, it cannot be given up. Without one this thread is done."""
        with self._lock:
            if not self._waiting:
                self._thread = None
                return None
            batch = self._waiting.popleft()
            self._size -= len(batch)
            return batch

    def _again(self, batch: Sequence[Any], error: str | None) -> None:
        with self._lock:
            self._error = error
            if self._size + len(batch) > self._limit:
                self._watch.settled(len(batch), error)  # newer ones have taken its place
            else:
                self._waiting.appendleft(batch)
                self._size += len(batch)
