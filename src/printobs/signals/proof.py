"""What a job asks its printer: before the first byte whether it is ready, after the last one whether it has printed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from printobs.core import clock
from printobs.core.conventions import Evidence, JobError, Stage, Window
from printobs.core.guard import swallow
from printobs.signals import job_errors
from printobs.signals.conversation import Asked, Conversation, Missing, Unreachable

if TYPE_CHECKING:
    from printobs.signals.printers import Printer

PROCESS_ID: Final = Evidence.PROCESS_ID.value
SENT: Final = Evidence.SENT.value
KINDS: Final = (PROCESS_ID, SENT)

GLANCE: Final = 0.25  # seconds between two questions to a printer that is not ready
# Of its time-out a job keeps a third for being printed, and never more than so many seconds.
_FOR_PRINTING: Final = 5.0


def ready(printer: Printer, deadline: float, *, afresh: bool, given_up: Callable[[], bool]) -> JobError | None:
    """Wait until ``printer`` can take a receipt; why it cannot, where that lasts too long or is ``given_up``.

    One that is out of paper prints hours later what it is sent, so that it gets nothing. One that does not answer is
    taken for ready: a question must never keep a receipt from being printed. A connection that is dead, or on which
    nothing arrives, is made anew, once; ``afresh``: in any case, and what it still holds is thrown away. What the
    driver raises when it cannot connect is raised by the job's first write.
    """
    until = deadline - min(_FOR_PRINTING, (deadline - clock.monotonic()) / 3)
    renewed, trouble = afresh, None
    was_open = printer.device() is not None
    try:
        conversation = printer.converse()
        if afresh and was_open and conversation is not None:
            conversation = printer.converse(renew=conversation, abort=True)
        while conversation is not None:
            try:
                trouble = _trouble(printer, conversation, deadline, trouble, renewed=renewed)
            except OSError as error:
                if renewed:
                    return trouble
                renewed = True
                if not isinstance(error, Missing):
                    printer.health.lost()
                conversation = printer.converse(renew=conversation)
                continue
            if trouble is None or given_up() or clock.monotonic() >= until:
                return trouble
            time.sleep(max(0.0, min(GLANCE, until - clock.monotonic())))
    except Unreachable as error:
        printer.unreached = error.__cause__
    except Exception as error:
        swallow("asking a printer whether it is ready", error)
    return None


def _trouble(
    printer: Printer, conversation: Conversation, deadline: float, before: JobError | None, *, renewed: bool
) -> JobError | None:
    if printer.proof == SENT:
        conversation.hear()  # a connection that died since the last job: its first write would vanish
        return None
    trouble = before
    # A printer that has just been silent is not asked again on its new connection: what comes late there would be
    # taken for the answer to what the application asks itself.
    if not renewed or conversation.answers:
        asked = clock.monotonic()
        state = conversation.status(deadline)
        printer.health.asked(state, clock.monotonic() - asked)
        if state is None and not renewed:
            raise Missing("an answer is missing")
        trouble = before if state is None else state.trouble
    if trouble is None and printer.proof == PROCESS_ID:
        conversation.enter(deadline)
    return trouble


class Finding:
    """What is known of a job whose last byte has been written: what for, or why not and where the doubt lies."""

    __slots__ = ("asked", "evidence", "failure", "window")

    def __init__(self, evidence: Evidence | None, failure: JobError | None = None, window: Window | None = None):
        self.evidence = evidence
        self.failure = failure
        self.window = window
        self.asked: Asked | None = None


def prove(conversation: Conversation, deadline: float) -> Finding:
    """Ask for proof that all is on paper, and wait for it; never raises."""
    try:
        asked = conversation.prove(deadline)
    except OSError as error:
        return Finding(None, _broken(error), Window.PRINTING)
    except Exception as error:
        swallow("asking a printer for proof", error)
        return Finding(None, JobError.OTHER, Window.PRINTING)
    if conversation.proven(asked):
        return Finding(Evidence.PROCESS_ID)
    finding = Finding(None, conversation.state.trouble or JobError.TIMEOUT, Window.PRINTING)
    finding.asked = asked
    return finding


def processed(conversation: Conversation, deadline: float) -> Finding | None:
    """Ask whether all has been processed; ``None`` where the printer does not tell; never raises."""
    try:
        if conversation.processed(deadline):
            return Finding(Evidence.PROCESSED)
        trouble = conversation.state.trouble
        return None if trouble is None else Finding(None, trouble, Window.PRINTING)
    except OSError as error:
        return Finding(None, _broken(error), Window.ARRIVING)
    except Exception as error:
        swallow("asking a printer what it has processed", error)
        return None


def _broken(error: OSError) -> JobError:
    """Why a question could not be asked: it is not the receipt that could not be written."""
    failure = job_errors.classify(error, Stage.CONFIRM)
    return JobError.TIMEOUT if failure is JobError.WRITE_TIMEOUT else failure
