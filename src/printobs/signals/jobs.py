"""One print job: its spans, its metrics, and what can honestly be said of how it ended."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.metrics import Histogram
from opentelemetry.trace import Span, SpanKind, StatusCode

from printobs.core import clock, conventions
from printobs.core.attributes import clean
from printobs.core.conventions import (
    CORRELATION_ID,
    DRIVER,
    ERROR_TYPE,
    JOB_BYTES,
    JOB_EVIDENCE,
    JOB_ID,
    JOB_KIND,
    JOB_OUTCOME,
    JOB_PARTIAL,
    JOB_PASSIVE,
    JOB_REPRINT_OF,
    JOB_STAGE,
    JOB_WINDOW,
    Evidence,
    JobError,
    Outcome,
    Stage,
    Window,
)
from printobs.core.guard import Guard
from printobs.signals import acknowledgement, correlation, job_errors, proof
from printobs.signals.proof import Finding

if TYPE_CHECKING:
    from printobs.signals.conversation import Asked, Conversation
    from printobs.signals.printers import Printer

_guard: Final = Guard("recording a print job")

# GS V, ESC i, ESC m (ESC/POS Command Reference, "Mechanism control commands").
CUTS: Final = (b"\x1dV", b"\x1bi", b"\x1bm")


def cuts(message: bytes) -> bool:
    """Whether ``message``, one write of a driver, is a cut or ends with one."""
    return (len(message) <= 4 and bytes(message[:2]) in CUTS) or (
        len(message) > 4 and any(cut in bytes(message[-8:]) for cut in CUTS)
    )


class Job:
    """What is known of one job. ``outcome`` is *unknown* until `end` says otherwise."""

    __slots__ = (
        "_asked",
        "_connecting",
        "_context",
        "_conversation",
        "_cut_at",
        "_ended",
        "_ending",
        "_examined",
        "_failure",
        "_incomplete",
        "_parts",
        "_queued",
        "_reprint_of",
        "_span",
        "_started",
        "_unready",
        "_wall",
        "_window",
        "after_failure",
        "correlation_id",
        "deadline",
        "error_type",
        "evidence",
        "first",
        "id",
        "kind",
        "last",
        "message",
        "outcome",
        "partial",
        "passive",
        "printer",
        "size",
        "writing",
    )

    def __init__(
        self,
        printer: Printer,
        kind: str,
        timeout: float,
        identifier: str | None = None,
        *,
        reprint_of: str | None = None,
        passive: bool = False,
        started: float | None = None,
    ) -> None:
        self.printer = printer
        self.kind = printer.kinds(kind)
        self.passive = passive
        self.id = f"{random.getrandbits(128):032x}"
        self.outcome = Outcome.UNKNOWN
        self.error_type: str | None = None
        self.partial = False
        self.size = 0  # bytes that were written whole
        self.first = 0.0  # when the first write began and the last one ended, on the monotonic clock
        self.last = 0.0
        self.writing = 0.0  # seconds inside writes
        self.message = b""  # the last write; only its end is looked at, and only to see a cut
        self.after_failure = False
        self._failure: JobError | None = None
        self._connecting = False  # the failure was one to connect: mended by the next attempt that succeeds
        self._incomplete = False
        self._queued = 0.0
        self.evidence: Evidence | None = None
        self._examined = 0  # the bytes that `evidence` is for
        self._unready = False  # the failure was a printer that was not ready: mended when it is
        self._asked: Asked | None = None
        self._conversation: Conversation | None = None
        self._cut_at = 0
        self._reprint_of = reprint_of
        self._window: Window | None = None
        self._ended = False
        self._ending = threading.Lock()
        self._parts: list[tuple[Stage, float, float, JobError | None]] = []
        self._started = clock.monotonic() if started is None else started
        self.deadline = self._started + timeout
        self._wall = clock.Wall()
        self._span: Span = trace.INVALID_SPAN
        self.correlation_id = ""
        self._context = context.get_current()
        with _guard:
            self._begin(identifier)

    def _begin(self, identifier: str | None) -> None:
        if identifier is None:
            self.correlation_id, carried = correlation.ensure(self._context)
        else:
            self.correlation_id = correlation.accept(identifier)
            carried = correlation.with_id(self.correlation_id, self._context)
        self._context = carried or self._context
        printer = self.printer
        attributes: dict[str, str | bool] = {
            **printer.attributes,
            JOB_ID: self.id,
            JOB_KIND: self.kind,
            DRIVER: printer.driver,
            CORRELATION_ID: self.correlation_id,
        }
        if self.passive:
            attributes[JOB_PASSIVE] = True
        if self._reprint_of is not None:
            attributes[JOB_REPRINT_OF] = clean(self._reprint_of)
        self._span = printer.telemetry.tracer.start_span(
            conventions.SPAN_JOB,
            self._context,
            kind=SpanKind.CLIENT,
            attributes=attributes,
            start_time=self._wall.ns(self._started),
        )
        self._context = trace.set_span_in_context(self._span, self._context)

    @property
    def context(self) -> Context:
        """The context whose work belongs to this job."""
        return self._context

    @property
    def ended(self) -> bool:
        """Whether its outcome is settled, or about to be."""
        return self._ended

    # -- what happens meanwhile, told by the transport ---------------------------------------------------------------

    def waited(self, seconds: float) -> None:
        """It waited so long for the printer's own thread."""
        self._queued += seconds

    def connected(self, began: float, ended: float, failure: JobError | None) -> None:
        """A connection was opened, or could not be."""
        self._parts.append((Stage.CONNECT, began, ended, failure))
        if failure is None:
            if self._connecting:
                self._failure, self._connecting = None, False
        elif self._failure is None:
            self._failure, self._connecting = failure, True
            self.after_failure = False

    def write_failed(self, error: BaseException) -> None:
        """A write raised: what it was given did not leave whole. The first failure is the one that tells why."""
        if self._failure is None:
            self._failure = job_errors.classify(error, Stage.WRITE)
        self.after_failure = False

    def application_failed(self) -> None:
        """The caller's own code raised before the job was whole, whatever is written after it."""
        self._incomplete = True

    def has_cut(self) -> None:
        """What was written so far ends with a cut, whatever bytes the printer's profile has for one."""
        self._cut_at = self.size

    # -- before the first byte --------------------------------------------------------------------------------------

    def prepare(self, given_up: Callable[[], bool]) -> JobError | None:
        """Open the connection and wait until the printer is ready; why it is not, by the time-out.

        Waiting ends early once it is ``given_up``, and then says nothing of how the job ends.
        """
        afresh = self._reprint_of is not None
        trouble = proof.ready(self.printer, self.deadline, afresh=afresh, given_up=given_up)
        if not given_up():
            if trouble is not None:
                self._failure = trouble
            elif self._unready:
                self._failure = None
            self._unready = trouble is not None
        return trouble

    # -- the end -----------------------------------------------------------------------------------------------------

    def confirm(self) -> None:
        """Wait for proof, or until the last byte has left this host, by the deadline at most.

        A job whose connection is closed half-way is asked for then too, and rests on the weakest of what was found:
        proof of one part is none of the others.
        """
        if self._failure is not None or self.size == self._examined:
            return
        earlier, self.evidence, self._examined = self.evidence, None, self.size
        began = clock.monotonic()
        finding = self._found() or self._arrived()
        self._parts.append((Stage.CONFIRM, began, clock.monotonic(), finding.failure))
        if finding.evidence is not None:
            self.evidence = min(finding.evidence, earlier or finding.evidence, key=_STRENGTH.index)
        self._asked = finding.asked if earlier in (None, Evidence.PROCESS_ID) else None
        if finding.failure is not None:
            self._failure = finding.failure
            self.after_failure = True  # all was written: whether it came out is in doubt
            self._window = finding.window

    def _found(self) -> Finding | None:
        printer, conversation = self.printer, self.printer.conversation
        if conversation is None or not self._ends_with_cut or printer.proof == proof.SENT:
            return None
        self._conversation = conversation
        if printer.proof == proof.PROCESS_ID:
            return proof.prove(conversation, self.deadline)
        return proof.processed(conversation, self.deadline) if conversation.answers else None

    def _arrived(self) -> Finding:
        failure = acknowledgement.wait_acknowledged(self.printer.device(), self.deadline)
        return Finding(Evidence.SENT if failure is None else None, failure, Window.ARRIVING)

    @property
    def _ends_with_cut(self) -> bool:
        return cuts(self.message) or 0 < self._cut_at == self.size

    def hear_proof(self, timeout: float) -> bool | None:
        """Wait for proof that did not come in time; ``None`` where it comes no more. Blocks the printer's turn."""
        if self.size != self._examined:
            return None
        if self.evidence is Evidence.PROCESS_ID:
            return True
        asked, conversation = self._asked, self._conversation
        if asked is None or conversation is None:
            return None
        if conversation.proven(asked):  # heard in another job, or by the monitor
            return True
        if self.printer.conversation is not conversation:
            return None
        return conversation.hear_proof(asked, clock.monotonic() + timeout)

    def end(self, error: BaseException | None = None) -> None:
        """Settle the outcome and record it; twice is once; never raises."""
        with self._ending:
            if self._ended:
                return
            self._ended = True
        with _guard:
            self._settle(error)
        self.printer.health.ended(self.outcome, self.error_type)
        with _guard:
            self._record()
        self.message = b""

    def _settle(self, error: BaseException | None) -> None:
        whole = self.size > 0 and self._ends_with_cut and not self._incomplete
        if self._failure is not None:
            # In doubt where something was written after the failure: the caller may have sent it all again.
            self.outcome = Outcome.UNKNOWN if self.after_failure else Outcome.FAILED
            self.error_type = self._failure.value
            self._window = self._window or Window.WRITING
        elif error is not None or self._incomplete:
            # Raised after the cut: the receipt may be whole.
            self.outcome = Outcome.UNKNOWN if whole else Outcome.FAILED
            raised = error is None or isinstance(error, Exception)
            self.error_type = (JobError.APPLICATION if raised else JobError.CANCELLED).value
            self._window = Window.APPLICATION
        elif self.size:
            self.outcome = Outcome.CONFIRMED if self.evidence is Evidence.PROCESS_ID else Outcome.WRITTEN
        # Nothing seen and nothing raised: it may have gone a way that is not watched.
        self.partial = self.outcome is Outcome.FAILED and self.size > 0

    def _record(self) -> None:
        ended = clock.monotonic() if not self.passive else max(self.last, self._started)
        printer, instruments = self.printer, self.printer.telemetry.instruments
        failed = {} if self.error_type is None else {ERROR_TYPE: self.error_type}
        attributes = {**printer.attributes, JOB_KIND: self.kind, JOB_OUTCOME: self.outcome.value, **failed}
        if self.size:
            printer.sent.add(self.size)
            self._parts.append((Stage.WRITE, self.first, self.last, None if self.after_failure else self._failure))
        instruments.counter(conventions.PRINTER_JOBS).add(1, attributes, self._context)
        instruments.histogram(conventions.PRINTER_JOB_DURATION).record(ended - self._started, attributes, self._context)
        stages = instruments.histogram(conventions.PRINTER_JOB_STAGE_DURATION)
        if self._queued:
            stages.record(self._queued, {**printer.attributes, JOB_STAGE: Stage.QUEUE.value}, self._context)
        for part in sorted(self._parts, key=lambda part: part[1]):
            self._record_stage(stages, *part)
        self._span.set_attributes(
            {JOB_OUTCOME: self.outcome.value, JOB_BYTES: self.size, **failed}
            | ({JOB_PARTIAL: True} if self.partial else {})
            | ({JOB_EVIDENCE: (self.evidence or Evidence.SENT).value} if self.outcome in conventions.PRINTED else {})
            | ({JOB_WINDOW: (self._window or Window.UNSEEN).value} if self.outcome is Outcome.UNKNOWN else {})
        )
        if self.outcome not in conventions.PRINTED:
            self._span.set_status(StatusCode.ERROR)
        self._span.end(self._wall.ns(ended))

    def _record_stage(
        self, stages: Histogram, stage: Stage, began: float, over: float, failure: JobError | None
    ) -> None:
        printer = self.printer
        # The span of the writes holds the pauses between them too; the stage is the time inside them.
        seconds = self.writing if stage is Stage.WRITE else over - began
        stages.record(seconds, {**printer.attributes, JOB_STAGE: stage.value}, self._context)
        span = printer.telemetry.tracer.start_span(
            _NAMES[stage],
            self._context,
            kind=SpanKind.CLIENT if stage is Stage.CONNECT else SpanKind.INTERNAL,
            attributes={**printer.attributes, CORRELATION_ID: self.correlation_id},
            start_time=self._wall.ns(began),
        )
        if failure is not None:
            span.set_attribute(ERROR_TYPE, failure.value)
            span.set_status(StatusCode.ERROR)
        span.end(self._wall.ns(over))


_STRENGTH: Final = (Evidence.SENT, Evidence.PROCESSED, Evidence.PROCESS_ID)  # the weakest first
_NAMES: Final = {
    Stage.CONNECT: conventions.SPAN_CONNECT,
    Stage.WRITE: conventions.SPAN_WRITE,
    Stage.CONFIRM: conventions.SPAN_CONFIRM,
}
