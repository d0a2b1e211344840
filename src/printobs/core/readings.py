"""Readings: values that are worked out when they are collected, for what changes with time alone."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Final

from opentelemetry.metrics import CallbackOptions, Observation

from printobs.core.cells import CAP, OVERFLOW
from printobs.core.guard import Guard

_guard: Final = Guard("reading a value")
_lock = threading.RLock()  # re-entrant: a finaliser may run inside it


def _renew_lock() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class Readings:
    """The sources of one observable instrument, held weakly: a source that is gone has no series any more.

    Beyond ``cap`` series, what ``others`` makes of the rest is the one marked ``otel.metric.overflow``.
    """

    def __init__(self, others: Callable[[Iterable[float]], float], cap: int = CAP) -> None:
        self._others = others
        self._cap = cap
        self._sources: weakref.WeakKeyDictionary[Any, Callable[[Any], Iterable[Observation]]] = (
            weakref.WeakKeyDictionary()
        )

    def add(self, source: object, read: Callable[[Any], Iterable[Observation]]) -> None:
        """``read(source)`` at each collection. No two sources may give the same attributes."""
        with _lock:
            self._sources[source] = read

    def remove(self, source: object) -> None:
        """Read it no more."""
        with _lock:
            self._sources.pop(source, None)

    def observe(self, _options: CallbackOptions) -> Iterable[Observation]:
        """A callback for an observable instrument."""
        with _lock:
            sources = list(self._sources.items())
        observations: list[Observation] = []
        for source, read in sources:
            with _guard:
                observations += read(source)
        if len(observations) > self._cap:
            rest = [float(each.value) for each in observations[self._cap :]]
            observations[self._cap :] = [Observation(self._others(rest), OVERFLOW)]
        return observations
