"""``printobs doctor``: what a printer is, how it is, and what it can prove; nothing is printed unless asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from printobs.assembly import addresses, findings
from printobs.assembly.addresses import Address
from printobs.assembly.diagnosis import Diagnosis
from printobs.core import clock
from printobs.signals.conversation import Channel, nonce
from printobs.signals.escpos_replies import (
    Answered,
    Buffered,
    Identity,
    Noise,
    PoweredOn,
    Process,
    Question,
    RealTime,
    Replies,
)

ANSWER: Final = 1.0  # seconds for an answer
PRINTING: Final = 10.0  # seconds for the slip
CLOSING: Final = 5.0  # seconds for a printer that has been given a slip to take all of it
BOUND: Final = 15.0  # seconds that a look takes at most
BOUND_PRINTING: Final = 35.0  # with a slip, and its findings saved

_SLIP: Final = b"\x1b@printobs doctor\nIf you can read this, it prints.\n\n\n\n\n\x1dV\x00"
# The question that a clone takes for text waits in its line buffer: it belongs on this paper, not on the next receipt.
_REST: Final = b'\nAny odd characters such as "(H" here?\nThen it prints GS ( H as text.\n\n\n\n\n\x1dV\x00'


def examine(address: str, *, slip: bool = False, save: bool = False) -> Diagnosis:
    """Look at the printer at ``address``, as `addresses.parse` takes it; raises ValueError for what is none.

    ``slip`` prints a test slip, and tries every proof of it; it is not printed into trouble. ``save`` keeps for
    `printobs.register` what that has shown. Lasts no longer than `BOUND` or `BOUND_PRINTING`.
    """
    where = addresses.parse(address)
    diagnosis = Diagnosis(address)
    try:
        with _connected(diagnosis, where) as channel:
            _Examination(channel, diagnosis).run(slip)
    except OSError as error:
        diagnosis.error = _told(error)
    if save and diagnosis.conclusive:
        _save(diagnosis, where)
    return diagnosis


@contextmanager
def _connected(diagnosis: Diagnosis, where: Address) -> Iterator[Channel]:
    began = clock.monotonic()
    link = addresses.connect(where)
    try:
        diagnosis.connected, diagnosis.connect_time = True, clock.monotonic() - began
        yield link.channel
    finally:
        # Closed with a reply unread or still to come, a socket is reset, and the slip in it is lost.
        link.close(CLOSING if diagnosis.printed else ANSWER)


def _save(diagnosis: Diagnosis, where: Address) -> None:
    state = diagnosis.state
    finding = findings.found(
        diagnosis.proof,
        ordered=diagnosis.ordered_status is not None or diagnosis.ordered_name is not None,
        printer=" ".join(name for name in (state.maker, state.model) if name),
        serial=state.serial or "",
    )
    file: Path | None = None
    try:
        file = findings.path()
        findings.save(where.key, finding)
        diagnosis.saved = str(file)
    except (OSError, RuntimeError) as error:
        diagnosis.not_saved = f"{file or findings.VARIABLE}: {_told(error)}"
    except ValueError as error:
        diagnosis.not_saved = f"{file}: {error}: move it away, or name another by ${findings.VARIABLE}"


def _told(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__


class _Examination:
    def __init__(self, channel: Channel, diagnosis: Diagnosis) -> None:
        self._channel = channel
        self._diagnosis = diagnosis
        self._replies = Replies()
        self._answers: list[tuple[Question, float]] = []
        self._switched_on = False

    def run(self, slip: bool) -> None:
        diagnosis = self._diagnosis
        self._replies.feed(self._channel.read(0.0))  # what is here already answers somebody else
        diagnosis.real_time_status = self._ask(RealTime(1))
        if diagnosis.real_time_status is not None:
            self._ask(RealTime(2), RealTime(3), RealTime(4))
        if diagnosis.trouble is None and not diagnosis.foreign:
            self._identify()
            if slip:
                self._print()

    def _identify(self) -> None:
        self._diagnosis.buffered_status = self._ask(Buffered(1))
        if self._diagnosis.buffered_status is None:
            self._ask(Identity(67))
            return
        for n in (66, 67, 65, 68):
            # Not every model knows them all: the answer to what is asked behind it settles that.
            self._ask(Identity(n), Buffered(1))

    def _print(self) -> None:
        diagnosis = self._diagnosis
        diagnosis.printed = True
        self._channel.write(_SLIP, ANSWER)
        sent = clock.monotonic()
        status, name, process = Buffered(1), Identity(67), Process(nonce())
        self._switched_on = False
        self._send(status, name, process, until=sent + PRINTING)
        self._listen(process, until=sent + PRINTING)
        if self._switched_on:
            raise ConnectionResetError("it has been switched on in the middle of the slip")
        if self._answered(process) is None and diagnosis.real_time_status is not None:
            self._ask(*(RealTime(n) for n in range(1, 5)))  # is the paper at its end?
        diagnosis.ordered_status = self._answered(status, since=sent)
        diagnosis.ordered_name = self._answered(name, since=sent)
        diagnosis.process_id = self._answered(process, since=sent)
        if diagnosis.process_id is None and diagnosis.trouble is None:
            self._channel.write(_REST, ANSWER)

    def _ask(self, *questions: Question) -> float | None:
        """Seconds until the last of ``questions`` is answered; ``None`` where it is not."""
        last, until = questions[-1], clock.monotonic() + ANSWER
        for _ in range(2):
            self._switched_on = False
            began = clock.monotonic()
            self._send(*questions, until=until)
            self._listen(last, until=until)
            if not self._switched_on:
                break  # one that was switched on has forgotten what it was asked: once more
        return self._answered(last, since=began)

    def _send(self, *questions: Question, until: float) -> None:
        for question in questions:
            self._replies.ledger.asked(question)
        commands = b"".join(question.command for question in questions)
        self._channel.write(commands, max(0.001, until - clock.monotonic()))

    def _listen(self, question: Question, *, until: float) -> None:
        while (left := until - clock.monotonic()) > 0 and self._answered(question) is None and not self._switched_on:
            for event in self._replies.feed(self._channel.read(left)):
                match event:
                    case Answered(asked, _):
                        self._answers.append((asked, clock.monotonic()))
                    case Noise(frame):
                        self._diagnosis.unintelligible += len(frame)
                    case PoweredOn():
                        self._switched_on = True
            self._diagnosis.state = self._replies.state

    def _answered(self, question: Question, *, since: float = 0.0) -> float | None:
        """When ``question`` was answered: this very one, not one like it. Of a process ID each is another."""
        for asked, at in self._answers:
            if asked is question or (isinstance(asked, Process) and asked == question):
                return at - since
        return None
