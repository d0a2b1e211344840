"""Print jobs found by themselves, in what an application writes to its printer.

No byte is added and nothing is read. A status request never starts a job; settings and drawer kicks only arm one;
printable content starts it, backdated to the arming; a cut, the end of the connection or five idle seconds end it.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from queue import SimpleQueue
from typing import Any, Final

from printobs.core import clock
from printobs.core.conventions import Stage
from printobs.core.guard import Guard
from printobs.signals import job_errors
from printobs.signals.jobs import Job, cuts
from printobs.signals.printers import Printer

IDLE: Final = 5.0
_TIMEOUT: Final = 60.0

# The first two bytes of each command (ESC/POS Command Reference, by function).
_REQUESTS: Final = frozenset({b"\x10\x04", b"\x10\x05", b"\x10\x14", b"\x1dr", b"\x1da", b"\x1dI", b"\x1bv", b"\x1bu"})
_SETTINGS: Final = frozenset(
    [bytes([0x1B, byte]) for byte in b"@tRa!EG-M{23A+=cDpBVSTLWdim &%?"]
    + [bytes([0x1D, byte]) for byte in b"!BbhwHf|LWPV"]
    + [bytes([0x1C, byte]) for byte in b".&!CS"]
)
_NO_RECEIPT: Final = _REQUESTS | {b"\x1bp"}
_SHORT: Final = 16  # a longer write that begins with a setting is a blob with more in it

_guard: Final = Guard("finding a print job")


def _content(message: Any) -> bool | None:
    """Whether this write prints: ``None`` for a request, which says nothing at all."""
    head = bytes(message[:2])
    if head in _REQUESTS:
        return None
    if head in _SETTINGS and len(message) <= _SHORT:
        return False
    return bool(bytes(message).strip(b"\x00"))


def writing(printer: Printer, message: Any) -> None:
    """Called before each write without an explicit job."""
    with _guard:
        now = clock.monotonic()
        job = printer.job
        if job is not None:
            if now - (job.last or now) <= IDLE:
                return
            finish(printer)
        content = None if printer.silent else _content(message)
        if content is None:
            return
        armed = printer.armed_at if 0 < now - printer.armed_at <= IDLE else now
        if content:
            printer.armed_at = 0.0
            printer.job = Job(printer, "receipt", _TIMEOUT, passive=True, started=armed)
            _sweeper.watch(printer)
        else:
            printer.armed_at = armed


def wrote(printer: Printer, message: Any) -> None:
    """Called after each write of a found job."""
    with _guard:
        if cuts(message):
            finish(printer)


def failed(printer: Printer, message: Any, error: BaseException) -> None:
    """Called after a write that raised. Settings that cannot be sent are a receipt's; a drawer kick is nobody's."""
    job = printer.job
    if job is None and printer.armed_at and bytes(message[:2]) not in _NO_RECEIPT:
        job = printer.job = Job(printer, "receipt", _TIMEOUT, passive=True, started=printer.armed_at)
        printer.armed_at = 0.0
        if printer.connecting:
            now = clock.monotonic()
            job.connected(now - printer.connecting, now, job_errors.classify(error, Stage.CONNECT))
    if job is not None:
        job.write_failed(error)
        finish(printer)


def finish(printer: Printer) -> None:
    """End the found job, if there is one."""
    job = printer.job
    if job is not None and job.passive:
        printer.job = None
        job.end()


def finish_later(printer: Printer) -> None:
    """As `finish`, from a finaliser: it may run inside any lock, and must take none."""
    job = printer.job
    if job is not None and job.passive:
        printer.job = None
        _sweeper.ended.put(job)


def finish_all() -> None:
    """End every found job that is open."""
    _sweeper.finish_all()


class _Sweeper:
    """One thread for all printers, alive while a found job is open: idle ones are ended."""

    def __init__(self) -> None:
        self.ended: SimpleQueue[Job] = SimpleQueue()
        self._open: set[Printer] = set()
        self._lock = threading.Lock()
        self._running = False
        self._at_exit = False

    def watch(self, printer: Printer) -> None:
        with self._lock:
            self._open.add(printer)
            if self._running:
                return
            self._running = True
            if not self._at_exit:
                # Now, and not on import: what is registered later runs earlier, before the providers end.
                self._at_exit = True
                atexit.register(self.finish_all)
        threading.Thread(target=self._run, name="printobs-idle-jobs", daemon=True).start()

    def finish_all(self) -> None:
        """End every open job."""
        with _guard:
            self._end_queued()
            for printer in list(self._open):
                finish(printer)

    def _end_queued(self) -> None:
        while not self.ended.empty():
            self.ended.get().end()

    def _run(self) -> None:
        while True:
            time.sleep(IDLE / 5)
            with _guard:
                self._end_queued()
            with self._lock:
                self._open = {printer for printer in self._open if printer.job is not None and printer.job.passive}
                if not self._open and self.ended.empty():
                    self._running = False
                    return
                watched = list(self._open)
            for printer in watched:
                with _guard:
                    job, now = printer.job, clock.monotonic()
                    if job is not None and not printer.inside and now - (job.last or now) > IDLE:
                        finish(printer)


_sweeper = _Sweeper()


def _renew() -> None:
    global _sweeper
    _sweeper = _Sweeper()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
