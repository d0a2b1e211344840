"""Asks registered printers how they are, between their jobs: one scheduler for all, each on its printer's own thread.

A question never goes out while a job waits or runs, nor within five seconds of what the application itself wrote or
read without one: its answers are its own. While a question is out, the application's calls wait for its end, a second
at most; once a job is seen to wait, no question is begun.
"""

from __future__ import annotations

import heapq
import itertools
import math
import os
import threading
from _thread import get_ident
from queue import Empty, SimpleQueue
from typing import Final

from printobs.core import clock
from printobs.core.conventions import JobError, Stage
from printobs.core.guard import Guard
from printobs.signals import job_errors
from printobs.signals.conversation import Missing
from printobs.signals.escpos_status import PrinterState
from printobs.signals.passive import IDLE
from printobs.signals.printers import Printer
from printobs.signals.turn import Turn

LONGEST: Final = 120.0  # seconds between two checks, at most: a score looks back for five minutes

# Of the second that a check may take: until it is connected, until the answers are there, until all is closed.
CONNECTED: Final = 0.5
ANSWERED: Final = 0.8
CHECKED: Final = 1.0

_AGAIN: Final = 1.0  # seconds until a printer that was busy is tried again

_guard: Final = Guard("monitoring a printer")


class Monitor:
    """The monitor of one printer; ``interval`` in seconds."""

    def __init__(self, printer: Printer, interval: float, scheduler: _Scheduler) -> None:
        self.printer = printer
        self.stopped = False
        self.again = min(interval, _AGAIN)
        self.interval = interval
        self._scheduler = scheduler
        self._checking = 0  # the thread that asks
        self._touched = -math.inf  # when the application last used it without a job
        self._failures = 0  # in a row

    def stop(self) -> None:
        """Ask no more. Takes no lock: may be called by a finaliser."""
        self.stopped = True
        self._scheduler.wake()

    def end(self) -> None:
        """Ask no more, and return when no question is out."""
        self.stop()
        self.give_way()
        self.printer.monitor = None

    def forked(self) -> None:
        """In a child: the thread that asks is its parent's."""
        self.printer.monitor = None
        if self._checking:
            self.printer.turn = Turn()

    def give_way(self) -> None:
        """Called before the application uses the printer: returns when no question is out any more."""
        job = self.printer.job
        if self._checking == get_ident() or (job is not None and not job.passive):
            return  # it has its turn already
        # In this order, where `check` has the opposite one: one of them sees the other.
        self._touched = clock.monotonic()
        if self._checking:
            with self.printer.turn:
                pass

    @property
    def busy(self) -> bool:
        """Whether the printer must not be asked now."""
        printer = self.printer
        used = printer.jobs or printer.job is not None or printer.inside
        return bool(used) or clock.monotonic() - self._touched < IDLE

    def check(self) -> float:
        """Ask, if nothing else is going on; seconds until the next time."""
        printer = self.printer
        age = printer.health.age
        if age is not None and age < self.interval / 2:
            return self.interval - age  # a job has asked meanwhile
        if not printer.turn.acquire(blocking=False):
            return self.again
        try:
            self._checking = get_ident()
            answered = None if self.stopped or self.busy else self._ask()
        finally:
            self._checking = 0
            printer.turn.release()
        if answered is None:
            return self.again
        self._failures = 0 if answered else self._failures + 1
        # A printer that does not answer costs the whole second: it is asked less and less often.
        return float(min(LONGEST, self.interval * 2 ** min(self._failures, 10)))

    def _ask(self) -> bool | None:
        """Whether it answered; ``None`` where it was not asked after all."""
        printer, began = self.printer, clock.monotonic()
        lost: JobError | None = None
        if printer.visit is None or printer.device() is not None:
            conversation = printer.converse()
            if conversation is None:
                return None
            try:
                return self._heard(conversation.status(began + ANSWERED), began)
            except Missing:
                return self._heard(None, began)
            except OSError as error:
                lost = job_errors.classify(error, Stage.WRITE)
            if lost is JobError.WRITE_TIMEOUT:
                return self._heard(None, began)
            printer.health.lost()
        leave = printer.visited()
        if leave is None:
            return None if lost is None else self._heard(None, began, lost)
        unlimit = printer.limited(CONNECTED)
        stage = Stage.CONNECT
        try:
            conversation = printer.converse()
            if conversation is None or printer.jobs:
                return None
            stage = Stage.WRITE
            return self._heard(conversation.status(began + ANSWERED), began)
        except Exception as error:
            failure = job_errors.classify(error, stage)
            return self._heard(None, began, None if failure is JobError.WRITE_TIMEOUT else failure)
        finally:
            with _guard:
                printer.drained(began + CHECKED - clock.monotonic())
                leave()
            with _guard:
                unlimit()

    def _heard(self, told: PrinterState | None, began: float, failure: JobError | None = None) -> bool:
        self.printer.health.checked(told, clock.monotonic() - began, failure)
        return told is not None


class _Scheduler:
    """One thread, as long as there is a printer to monitor."""

    def __init__(self) -> None:
        self._arrivals: SimpleQueue[tuple[float, Monitor] | None] = SimpleQueue()
        self._lock = threading.Condition()  # re-entrant, as a finaliser may run inside it
        self._monitors: set[Monitor] = set()
        self._running = False
        self._checks = 0
        self._paused = False

    def watch(self, printer: Printer, interval: float) -> None:
        """Ask ``printer`` every so many seconds, the first time at once."""
        monitor = printer.monitor = Monitor(printer, interval, self)
        with self._lock:
            self._monitors.add(monitor)
            self._arrivals.put((clock.monotonic(), monitor))
            if self._running:
                return
            self._running = True
        threading.Thread(target=self._run, name="printobs-monitor", daemon=True).start()

    def wake(self) -> None:
        """Have the thread look for monitors that were stopped."""
        self._arrivals.put(None)

    def stop_all(self) -> None:
        """Stop every monitor."""
        with self._lock:
            monitors = list(self._monitors)
        for monitor in monitors:
            monitor.end()

    def pause(self) -> None:
        """Before a fork: wait until no question is out, whose connection a child would have too."""
        with self._lock:
            self._paused = True
            self._lock.wait_for(lambda: not self._checks, 2 * CHECKED)

    def go_on(self) -> None:
        """After a fork, in the parent."""
        with self._lock:
            self._paused = False

    def forked(self) -> None:
        """After a fork, in the child: it has the printers, and monitors none of them until they are registered."""
        for monitor in self._monitors:
            monitor.forked()

    def _run(self) -> None:
        due: list[tuple[float, int, Monitor]] = []
        numbers = itertools.count()
        while True:
            arrivals = [self._next(due)]
            while not self._arrivals.empty():
                arrivals.append(self._arrivals.get())
            for arrival in arrivals:
                if arrival is not None:
                    heapq.heappush(due, (arrival[0], next(numbers), arrival[1]))
            with self._lock:
                self._monitors = {monitor for monitor in self._monitors if not monitor.stopped}
                if not self._monitors:
                    self._running = False
                    return
            due = [each for each in due if not each[2].stopped]
            heapq.heapify(due)
            while due and due[0][0] <= clock.monotonic():
                self._send(heapq.heappop(due)[2])

    def _next(self, due: list[tuple[float, int, Monitor]]) -> tuple[float, Monitor] | None:
        try:
            return self._arrivals.get(timeout=max(0.0, due[0][0] - clock.monotonic()) if due else None)
        except Empty:
            return None

    def _send(self, monitor: Monitor) -> None:
        if monitor.busy:
            self._later(monitor, monitor.again)
            return
        try:
            monitor.printer.thread.submit(self._check, monitor)
        except RuntimeError:  # the printer is gone, or the process is ending
            monitor.stop()

    def _check(self, monitor: Monitor) -> None:
        with self._lock:
            if self._paused:
                self._later(monitor, monitor.again)
                return
            self._checks += 1
        delay = monitor.interval
        try:
            with _guard:
                delay = monitor.check()
        finally:
            with self._lock:
                self._checks -= 1
                self._lock.notify_all()
            self._later(monitor, delay)

    def _later(self, monitor: Monitor, seconds: float) -> None:
        self._arrivals.put((clock.monotonic() + seconds, monitor))


_scheduler = _Scheduler()


def watch(printer: Printer, interval: float | None) -> None:
    """Monitor ``printer`` every ``interval`` seconds from now on; ``None``: no more."""
    if printer.monitor is not None:
        printer.monitor.end()
    if interval is not None:
        _scheduler.watch(printer, interval)


def stop_all() -> None:
    """Monitor no printer any more."""
    _scheduler.stop_all()


def _renew() -> None:
    global _scheduler
    before, _scheduler = _scheduler, _Scheduler()
    before.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _scheduler.pause(), after_in_parent=lambda: _scheduler.go_on(), after_in_child=_renew
    )
