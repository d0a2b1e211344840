"""What configure() gives back: a way to flush and to end what it made, bounded in time whatever an exporter does."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
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
        self._hands: dict[int, _Hand] = {}
        self._flushing: dict[int, _Call] = {}
        self._before_shutdown: list[Callable[[], None]] = []

    def made(
        self,
        traces: TracerProvider | None = None,
        metrics: MeterProvider | None = None,
        logs: LoggerProvider | None = None,
    ) -> None:
        """Take charge of the providers that were made, until the process exits."""
        self.tracer_provider, self.meter_provider, self.logger_provider = traces, metrics, logs
        for provider in self._providers():
            self._hands[id(provider)] = _Hand()
        # Before the providers' own, which came first and would wait half a minute for each.
        atexit.register(self._at_exit)

    def force_flush(self, timeout: float = 10.0) -> bool:
        """Export what is waiting; blocks for ``timeout`` seconds at most; never raises.

        Gives whether all of it was handed to the exporters in time; what they did with it, they log.
        """
        for provider in self._providers():
            running = self._flushing.get(id(provider))
            # One that hangs is waited for again, not followed by another: calls must not pile up behind it.
            if running is None or running.done.is_set():
                call = _Call(_flush_guard, provider.force_flush, int(timeout * 1000))
                self._flushing[id(provider)] = self._ask(provider, call)
        return _wait([self._flushing[id(provider)] for provider in self._providers()], timeout)

    def shutdown(self, timeout: float = 10.0) -> None:
        """Export what is waiting and end; blocks for ``timeout`` seconds at most; never raises; twice is once.

        The application's own providers are left as they are. OpenTelemetry takes no other providers afterwards, so
        this is for the end of the process; where it was not called, it is done there.
        """
        atexit.unregister(self._at_exit)
        for undo in self._before_shutdown:
            with _shutdown_guard:
                undo()
        self._before_shutdown.clear()
        providers = self._providers()
        self.tracer_provider = self.meter_provider = self.logger_provider = None
        calls = [self._ask(provider, _Call(_shutdown_guard, provider.shutdown)) for provider in providers]
        if not _wait(calls, timeout):
            for provider in providers:
                # Else the exit of the process would wait for the same exporter once more.
                atexit.unregister(provider.shutdown)

    def _at_exit(self) -> None:
        if self.process == os.getpid():  # a forked child has none of the threads
            self.shutdown()

    def _ask(self, provider: object, call: _Call) -> _Call:
        with call.guard:
            hand = self._hands.get(id(provider))
            if hand is None or not hand.is_alive():
                hand = self._hands[id(provider)] = _Hand()
            hand.calls.put(call)
            return call
        call.done.set()  # no thread can be had
        return call

    def _providers(self) -> list[Any]:
        every = (self.tracer_provider, self.meter_provider, self.logger_provider)
        return [provider for provider in every if provider is not None]

    def before_shutdown(self, undo: Callable[[], None]) -> None:
        """Call ``undo`` when this is shut down."""
        self._before_shutdown.append(undo)


class _Call:
    """One call that may hang, raise, or say that it failed; the guard keeps what it raises."""

    def __init__(self, guard: Guard, call: Callable[..., object], *arguments: object) -> None:
        self.guard = guard
        self.done = threading.Event()
        self.succeeded = False
        self._call = call
        self._arguments = arguments

    def make(self) -> None:
        try:
            with self.guard:
                self.succeeded = self._call(*self._arguments) is not False
        finally:
            self.done.set()


class _Hand(threading.Thread):
    """Makes one provider's calls, so that nobody waits longer than he wants.

    It is there from the first: from Python 3.12 on no thread starts any more when the process ends.
    """

    def __init__(self) -> None:
        super().__init__(name="printobs-end", daemon=True)
        self.calls: SimpleQueue[_Call] = SimpleQueue()
        self.start()

    def run(self) -> None:
        """Until the process is gone."""
        while True:
            self.calls.get().make()


def _wait(calls: list[_Call], timeout: float) -> bool:
    deadline = clock.monotonic() + timeout
    ended = [call.done.wait(max(0.0, deadline - clock.monotonic())) for call in calls]
    return all(ended) and all(call.succeeded for call in calls)
