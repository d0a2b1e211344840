"""How late an asyncio event loop is: a timer that says how much later than asked it was called."""

from __future__ import annotations

import asyncio
import weakref
from typing import Final

from printobs.core import clock, telemetry
from printobs.core.conventions import EVENT_LOOP_LAG
from printobs.core.guard import Guard
from printobs.core.locks import Lock

INTERVAL: Final = 1.0  # seconds

_guard: Final = Guard("timing an event loop")
_lock: Final = Lock()
_timers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Timer] = weakref.WeakKeyDictionary()


def watch_event_loop() -> None:
    """Record, every second, how late the running event loop is, as long as it runs; once for each loop.

    Keeps no loop from stopping. Raises RuntimeError where no loop runs: call it in a coroutine, or let
    `TelemetryMiddleware` do it, in the application's lifespan.
    """
    loop = asyncio.get_running_loop()
    with _guard, _lock:
        if loop not in _timers:
            _timers[loop] = _Timer(loop)


def stop_all() -> None:
    """Watch no event loop any more."""
    with _lock:
        timers = list(_timers.values())
        _timers.clear()
    for timer in timers:
        timer.stopped = True


class _Timer:
    """Called by its loop, which alone keeps it: it ends with the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self.stopped = False
        self._again()

    def _again(self) -> None:
        loop = self._loop()
        if loop is not None and not self.stopped:
            self._due = clock.monotonic() + INTERVAL
            loop.call_later(INTERVAL, self._ring)

    def _ring(self) -> None:
        with _guard:
            if not self.stopped:
                # Not by the loop's own clock: uvloop's has steps of a millisecond.
                late = max(0.0, clock.monotonic() - self._due)
                telemetry.current().instruments.histogram(EVENT_LOOP_LAG).record(late)
        with _guard:
            self._again()
