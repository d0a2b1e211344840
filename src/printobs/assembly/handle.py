"""What configure() gives back: a way to flush and to end what it made, bounded in time whatever an exporter does."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from printobs.core import clock
from printobs.core.guard import Guard

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider

_flush_guard: Final = Guard("flushing telemetry")
_shutdown_guard: Final = Guard("shutting telemetry down")


class Handle:
    """The providers that `configure` made; ``None`` for a signal where the application had its own."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.tracer_provider: TracerProvider | None = None
        self.meter_provider: MeterProvider | None = None
        self.logger_provider: LoggerProvider | None = None
        self._flushing: dict[int, _Attempt] = {}
        self._before_shutdown: list[Callable[[], None]] = []

    def made(
        self,
        traces: TracerProvider | None = None,
        metrics: MeterProvider | None = None,
        logs: LoggerProvider | None = None,
    ) -> None:
        """Take charge of the providers that were made."""
        self.tracer_provider, self.meter_provider, self.logger_provider = traces, metrics, logs

    def force_flush(self, timeout: float = 10.0) -> bool:
        """Export what is waiting; blocks for ``timeout`` seconds at most; never raises.

        Gives whether all of it was handed to the exporters in time; what they did with it, they log.
        """
        for provider in self._providers():
            running = self._flushing.get(id(provider))
            # One that hangs is waited for again, not joined by another: threads must not pile up behind it.
            if running is None or not running.is_alive():
                self._flushing[id(provider)] = _Attempt(_flush_guard, provider.force_flush, int(timeout * 1000))
        return _wait([self._flushing[id(provider)] for provider in self._providers()], timeout)

    def shutdown(self, timeout: float = 10.0) -> None:
        """Export what is waiting and end; blocks for ``timeout`` seconds at most; never raises; twice is once.

        The application's own providers are left as they are. OpenTelemetry takes no other providers afterwards, so
        this is for the end of the process.
        """
        for undo in self._before_shutdown:
            with _shutdown_guard:
                undo()
        self._before_shutdown.clear()
        providers = self._providers()
        self.tracer_provider = self.meter_provider = self.logger_provider = None
        attempts = [_Attempt(_shutdown_guard, provider.shutdown) for provider in providers]
        if not _wait(attempts, timeout):
            for provider in providers:
                # Else the exit of the process would wait for the same exporter once more.
                atexit.unregister(provider.shutdown)

    def _providers(self) -> list[Any]:
        every = (self.tracer_provider, self.meter_provider, self.logger_provider)
        return [provider for provider in every if provider is not None]

    def before_shutdown(self, undo: Callable[[], None]) -> None:
        """Call ``undo`` when this is shut down."""
        self._before_shutdown.append(undo)


class _Attempt(threading.Thread):
    """One call that may hang, raise, or say that it failed."""

    def __init__(self, guard: Guard, call: Callable[..., object], *arguments: object) -> None:
        super().__init__(name="printobs-end", daemon=True)
        self.succeeded = False
        self._guard = guard
        self._call = call
        self._arguments = arguments
        self.start()

    def run(self) -> None:
        """Make the call; the guard keeps what it raises."""
        with self._guard:
            self.succeeded = self._call(*self._arguments) is not False


def _wait(attempts: list[_Attempt], timeout: float) -> bool:
    deadline = clock.monotonic() + timeout
    for attempt in attempts:
        attempt.join(max(0.0, deadline - clock.monotonic()))
    return all(not attempt.is_alive() and attempt.succeeded for attempt in attempts)
