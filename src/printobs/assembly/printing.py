"""print_job() and register(): the two names that an application types to print."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import sys
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Token
from types import TracebackType
from typing import Final, Literal, ParamSpec, Self, TypeVar

from opentelemetry import context
from opentelemetry.context import Context

from printobs.assembly import findings
from printobs.core import clock, telemetry
from printobs.core.conventions import PRINTED, Outcome
from printobs.core.guard import Guard
from printobs.signals import monitor as monitors
from printobs.signals import passive, printers
from printobs.signals.jobs import Job
from printobs.signals.printers import Printer
from printobs.signals.proof import KINDS
from printobs.signals.transport import Transport, watch_class

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

LONGEST: Final = 86_400.0  # seconds that a print job may take

_guard: Final = Guard("running a print job")


class PrintJobFailed(Exception):  # noqa: N818 - reads as what happened
    """A print job that was not confirmed and not written: ``outcome`` and ``error_type`` say how it ended."""

    def __init__(self, outcome: Outcome, error_type: str | None) -> None:
        super().__init__(f"the print job ended as {outcome.value}" + (f" ({error_type})" if error_type else ""))
        self.outcome = outcome
        self.error_type = error_type


def register(
    printer: T,
    *,
    name: str,
    branch: str = "",
    proof: Literal["process_id", "sent"] | None = None,
    monitor: float | None = None,
) -> T:
    """Give ``printer`` the labels of its metrics and spans; gives the same object back.

    ``proof="process_id"``: it answers GS ( H (Epson's TM series does, many clones do not). Its jobs are *confirmed*
    when it has answered after the cut; without an answer they are *unknown*. A driver that only writes proves nothing.
    ``proof="sent"``: it is asked nothing at all. Without either, what ``printobs doctor --print`` has saved of it is
    used; where nothing is, its jobs are *written*, and GS r tells whether they have been processed.

    ``monitor``: ask it how it is (DLE EOT 1 to 4) every so many seconds between its jobs, for `printobs.health` and
    ``printer.status``; a connection that is opened for that is closed again. Drivers that only write, and USB devices
    that the application has not opened, are not asked.

    ``printer`` is a python-escpos driver, or anything with ``write(bytes)`` and ``read(timeout) -> bytes``. Raises
    TypeError for anything else, and ValueError for an empty name, an unknown proof, or a monitor that is not above 0
    and up to 120 seconds.
    """
    if proof is not None and proof not in KINDS:
        raise ValueError(f"proof is one of {', '.join(KINDS)}, not {proof!r}")
    if not name:
        raise ValueError("a printer's name must not be empty: it is what its metrics are found by")
    if monitor is not None and not 0 < monitor <= monitors.LONGEST:
        raise ValueError(f"a monitor asks every so many seconds, above 0 and up to {monitors.LONGEST:g}: {monitor!r}")
    known = _printer(printer)
    known.rename(name, branch)
    known.proof = proof or findings.proof_of(printer)
    monitors.watch(known, monitor)
    return printer


def print_job(
    printer: object,
    *,
    kind: str = "receipt",
    timeout: float = 30.0,
    correlation_id: str | None = None,
    reprint_of: str | None = None,
) -> PrintJob:
    """One print job, as ``with print_job(…) as job:`` or ``async with``.

    Entering (or `PrintJob.run`) opens the connection and asks the printer whether it is ready; it waits for paper or a
    closed cover. It raises PrintJobFailed where that is not so in time: the printer has been sent nothing of the
    receipt then. Where it cannot be reached, the first write raises what the driver does. Leaving waits for proof, as
    far as the printer can give it, else until the last byte has left this host; for ``timeout`` seconds from the start
    at most. In a ``with``, jobs of one printer from several threads wait for each other.

    ``correlation_id`` is used if it is well formed; without it the current one is, or a new one. ``reprint_of``: the ID
    of the job that this is another copy of; what is left of that on the connection is thrown away first. Raises
    TypeError for what is no printer, ValueError for a ``timeout`` that is not above 0 and up to a day.
    """
    if not 0 < timeout <= LONGEST:
        raise ValueError(f"a print job's timeout is above zero seconds, and a day at most, not {timeout!r}")
    return PrintJob(_printer(printer), kind, timeout, correlation_id, reprint_of)


def _printer(target: object) -> Printer:
    if "escpos.escpos" in sys.modules:
        from escpos.escpos import Escpos

        if isinstance(target, Escpos):
            from printobs.integrations import escpos

            return escpos.attach(target)
    if not isinstance(target, Transport):
        raise TypeError(
            f"{type(target).__qualname__} is no printer: pass a python-escpos driver, "
            "or an object with write(bytes) and read(timeout) -> bytes"
        )
    watch_class(type(target))
    printer = printers.know(target, type(target).__name__.lower(), lambda each: getattr(each, "socket", None))
    printer.silent = True
    printer.reach = _TransportChannel
    return printer


class _TransportChannel:
    """A `Transport` as a channel; its methods as they are, without the counting.

    It does not keep the transport: the printer keeps this, and would then never be forgotten.
    """

    def __init__(self, target: Transport) -> None:
        self._target = printers.weakly(target)
        self._write = inspect.unwrap(type(target).write)
        self._read = inspect.unwrap(type(target).read)

    def write(self, data: bytes, timeout: float) -> None:
        self._write(self._held(), data)

    def read(self, timeout: float) -> bytes:
        data: bytes = self._read(self._held(), timeout)
        return data

    def _held(self) -> Transport:
        target = self._target()
        if target is None:
            raise OSError("nobody holds this printer's transport any more")
        return target

    def unacknowledged(self) -> int:
        """Only its owner knows."""
        return 0

    def drain(self, timeout: float) -> None:
        """Only its owner knows how it is closed."""

    def abort(self) -> None:
        """Only its owner knows how it is closed."""


def _nothing() -> None:
    """Nothing to undo."""


class PrintJob:
    """A print job and, once its block is left, how it ended. Made by `print_job`; used once."""

    def __init__(
        self, printer: Printer, kind: str, timeout: float, correlation_id: str | None, reprint_of: str | None
    ) -> None:
        self._printer = printer
        self._arguments = (kind, timeout, correlation_id, reprint_of)
        self._job: Job | None = None
        self._token: Token[Context]  # of the context before it, once it has begun
        self._outer: Job | None = None
        self._prepared = False
        self._unlimit: Callable[[], None] = _nothing

    # -- what it says ------------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """32 hexadecimal digits; on spans and log records."""
        return self._begun.id

    @property
    def correlation_id(self) -> str:
        """The correlation ID that all its telemetry carries."""
        return self._begun.correlation_id

    @property
    def outcome(self) -> Outcome:
        """How it ended; *unknown* until it has."""
        return self._begun.outcome

    @property
    def error_type(self) -> str | None:
        """Why it failed or is unknown, of `printobs.core.conventions.JobError`; ``None`` where nothing went wrong."""
        return self._begun.error_type

    @property
    def partial(self) -> bool:
        """Whether it failed after some of its bytes had left this host."""
        return self._begun.partial

    def wait_for_proof(self, timeout: float = 0.0) -> bool | None:
        """Whether the printer has said that the receipt is on paper, if not in time, then now; blocks so long at most.

        For a job that has ended as *unknown*: somebody brings paper, and the rest comes out. Proof comes on the same
        connection only; it may be heard in a later job or by the monitor too. ``None``: it comes no more. The outcome
        stays what it was. Jobs of this printer wait meanwhile, so let it be short and call it again.
        """
        job = self._begun
        with self._printer.turn, _guard:
            return job.hear_proof(timeout)
        return None

    def raise_for_outcome(self) -> None:
        """Raise `PrintJobFailed` unless the job was confirmed or written."""
        if self.outcome not in PRINTED:
            raise PrintJobFailed(self.outcome, self.error_type)

    @property
    def _begun(self) -> Job:
        if self._job is None:
            raise RuntimeError("a print job begins with its block: use it as `with print_job(…) as job:`")
        return self._job

    def _begin(self) -> Job:
        if self._job is not None:
            raise RuntimeError("a print job is used once: call print_job() again for the next receipt")
        if self._printer.telemetry is not telemetry.current():
            self._printer.use(telemetry.current())
        kind, timeout, correlation_id, reprint_of = self._arguments
        self._printer.jobs.add(self)  # from here on its monitor keeps out
        self._job = job = Job(self._printer, kind, timeout, correlation_id, reprint_of=reprint_of)
        self._token = context.attach(job.context)
        return job

    def _leave(self) -> None:
        self._printer.jobs.discard(self)
        context.detach(self._token)

    # -- in a thread -------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        job = self._begin()
        turn = self._printer.turn
        if not turn.acquire(blocking=False):
            asked = clock.monotonic()
            self._printer.waiting.add()
            try:
                turn.acquire()
            except BaseException as interruption:  # by a signal
                job.end(interruption)
                self._leave()
                raise
            finally:
                self._printer.waiting.add(-1)
            job.waited(clock.monotonic() - asked)
        self._take()
        try:
            self._prepare()
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def _prepare(self, given_up: Callable[[], bool] = lambda: False) -> None:
        if self._prepared:
            return
        trouble = self._begun.prepare(given_up)
        if given_up():
            raise asyncio.CancelledError
        if trouble is not None:
            raise PrintJobFailed(Outcome.FAILED, trouble.value)
        self._prepared = True
        with _guard:  # again, for a connection that was opened meanwhile
            self._unlimit()
            self._limit()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._settle(error)
        finally:
            self._give_back()
            self._printer.turn.release()
            self._leave()

    def _take(self) -> None:
        passive.finish(self._printer)
        self._outer, self._printer.job = self._printer.job, self._job
        with _guard:
            self._limit()

    def _limit(self) -> None:
        self._unlimit = self._printer.limited(self._begun.deadline - clock.monotonic())

    def _give_back(self) -> None:
        self._printer.unreached = None
        outer, self._outer = self._outer, None
        if self._printer.job is self._job:  # else one that began later in this thread is still under way
            self._printer.job = None if outer is None or outer.ended else outer
        with _guard:
            self._unlimit()

    def _settle(self, error: BaseException | None) -> None:
        job = self._begun
        try:
            if error is None:
                with _guard:
                    job.confirm()
        except BaseException as interruption:
            job.end(interruption)
            raise
        job.end(error)

    # -- on an event loop --------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._begin()
        return self

    async def run(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call ``function`` on the printer's own thread, as part of this job; gives and raises what it does.

        The thread serves one call at a time, so a receipt belongs into one call. A call that is cancelled while it
        runs goes on to its end, as a receipt half-sent helps nobody; one that has not begun, because it waits for its
        turn or for the printer to be ready, is not made.
        """
        job = self._begun
        asked = clock.monotonic()
        begun = given_up = False

        def call() -> R:
            nonlocal begun
            begun = True
            self._printer.waiting.add(-1)
            job.waited(clock.monotonic() - asked)
            with self._printer.turn:
                self._take()
                try:
                    self._prepare(lambda: given_up)
                    return function(*args, **kwargs)
                finally:
                    self._give_back()

        self._printer.waiting.add()
        future: Future[R] = self._printer.thread.submit(contextvars.copy_context().run, call)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            given_up = True
            raise
        finally:
            if future.cancelled() and not begun:
                self._printer.waiting.add(-1)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            # After what this job has on the thread already, cancelled or not.
            ending = self._printer.thread.submit(self._settle, error)
            if error is None or isinstance(error, Exception):
                await asyncio.shield(asyncio.wrap_future(ending))
        finally:
            self._leave()
