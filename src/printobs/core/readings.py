"""Readings: values that are worked out when they are collected, for what changes with time alone."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any, Final

from opentelemetry.metrics import CallbackOptions, Observation

from printobs.core.cells import OVERFLOW, overflowed
from printobs.core.guard import Guard
from printobs.core.locks import Lock

CAP: Final = 2_000  # the SDK's own for an instrument: a set of states, as of a printer, has a series for each of them

_guard: Final = Guard("reading a value")
_lock: Final = Lock()


class Readings:
    """The sources of one observable instrument, held weakly: a source that is gone has no series any more.

    Beyond ``cap`` series, what ``others`` makes of the rest is the one marked ``otel.metric.overflow``; each
    collection with such is counted by ``name``.
    """

    def __init__(self, others: Callable[[Iterable[float]], float], name: str, cap: int = CAP) -> None:
        self._others = others
        self._name = name
        self._cap = cap
        # Of a total: the attribute sets whose counts began before this process, nobody knows when.
        self.standing: set[frozenset[tuple[str, str]]] = set()
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
            overflowed(self._name)
            rest = [float(each.value) for each in observations[self._cap :]]
            observations[self._cap :] = [Observation(self._others(rest), OVERFLOW)]
        return observations
