"""Talking with a printer over one connection: what it is asked, what it owes, and whose each answer is.

Nothing is asked between the bytes of a job. What arrives and answers nobody here is kept for the application's own
next read; what the application asks itself is entered in the same ledger, so that no answer is taken for another.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from printobs.core import clock
from printobs.signals.escpos_replies import (
    Answered,
    Automatic,
    Buffered,
    Event,
    Identity,
    Lost,
    Noise,
    PoweredOn,
    Process,
    Question,
    RealTime,
    Replies,
    Stray,
)
from printobs.signals.escpos_status import PrinterState

ANSWER: Final = 1.0  # seconds that a printer has for an answer: longer is none
HASTE: Final = 0.1  # seconds where it has been silent before
LATE: Final = 0.25  # seconds that the application's own answer may come behind a late one of ours
FILLING: Final = 0.25  # seconds for the answer after each filling of a gap
DEVELOPING: Final = 5.0  # seconds that a printer that is well has for its answer to GS r
_FIRST_FILLING: Final = 256  # bytes
_GAP: Final = 65_536  # as much as a command with two length bytes may still be waiting for

# Letters that no status byte looks like.
_LETTERS: Final = b"ABCDEFGHIJKLMNOabcdefghijklmno"
_chance: Final = random.SystemRandom()  # an application that seeds its own would draw the same nonce again
_MAX_UNREAD: Final = 4096
_MAX_PROVEN: Final = 256


def nonce() -> bytes:
    """Four random letters, to know a process ID response by."""
    return bytes(_chance.choices(_LETTERS, k=4))


class Channel(Protocol):
    """Both directions of an open connection; timeouts in seconds."""

    def write(self, data: bytes, timeout: float) -> None:
        """Send all of ``data`` or raise OSError."""

    def read(self, timeout: float) -> bytes:
        """What comes first; empty where nothing does. Raises OSError where the connection is over."""

    def unacknowledged(self) -> int:
        """Bytes that were sent and that the printer's network interface has not taken; 0 where nobody can tell."""

    def drain(self, timeout: float) -> None:
        """Say that nothing more is sent, and read until the printer has closed its side; never raises."""

    def abort(self) -> None:
        """See to it that the next close throws away what has not arrived; never raises."""


class Unreachable(Exception):  # noqa: N818 - reads as what is the matter
    """The driver could not connect: its cause is what that raised."""


class Missing(ConnectionResetError):  # noqa: N818 - reads as what is the matter
    """An earlier answer has not come: the next ones would be taken for it."""


class Habits:
    """What a printer is known to leave unanswered: it is asked with less patience, or not at all."""

    __slots__ = ("in_order", "process_id", "real_time")

    def __init__(self) -> None:
        self.real_time = True
        self.process_id = True
        # One GS r that was never answered may be answered on any later connection, and taken for another's answer.
        self.in_order = True


@dataclass(frozen=True, slots=True)
class Asked:
    """A proof that was asked for; ``entry`` has to have come as well where the printer was not known to be in step."""

    process: Process
    entry: Process | None


class Conversation:
    """What is asked and answered on one connection."""

    def __init__(self, channel: Channel, habits: Habits, exchanged: Callable[[int, int], None]) -> None:
        self._channel = channel
        self._exchanged = exchanged  # is told of bytes sent, bytes received
        self._habits = habits
        self._replies = Replies()
        self._theirs: list[Question] = []  # what the application has asked; the very objects that the ledger holds
        self._entry: Process | None = None
        self._proven: list[Process] = []
        self.in_step = False  # all that was sent is known to be printed: the next byte begins a command
        self.unread = bytearray()  # for the application's own reads

    @property
    def state(self) -> PrinterState:
        """What the printer has told."""
        return self._replies.state

    @property
    def answers(self) -> bool:
        """Whether the printer has answered when it was last asked how it is."""
        return self._habits.real_time

    @property
    def stalled(self) -> bool:
        """Whether something that was sent does not arrive: the peer is gone, or takes nothing more."""
        try:
            return self._channel.unacknowledged() > 0
        except OSError:
            return False

    # -- questions ---------------------------------------------------------------------------------------------------

    def hear(self) -> None:
        """Take what has come unasked. Raises OSError for a dead connection."""
        self._take(self._read(0.0))

    def status(self, deadline: float) -> PrinterState | None:
        """Ask DLE EOT 1 to 4; ``None`` where not all was answered in time.

        Raises OSError for a dead connection, and `Missing` where an earlier answer is owed.
        """
        deadline = min(deadline, clock.monotonic() + (ANSWER if self._habits.real_time else HASTE))
        self.hear()
        if self._replies.ledger.real_time:
            self._listen(deadline, lambda _: not self._replies.ledger.real_time)
            if self._replies.ledger.real_time:
                raise Missing("the printer owes an answer that does not come")
        self._ask_status(deadline)
        self._listen(deadline, lambda _: not self._replies.ledger.real_time)
        self._habits.real_time = not self._replies.ledger.real_time
        return self.state if self._habits.real_time else None

    def enter(self, deadline: float) -> None:
        """Before a job's first byte: make sure that it will begin a command.

        A job that broke off in an image leaves a printer that takes the next receipt for the rest of it. So it is asked
        for a process ID response, which comes in its order; while none comes, ever more NULs are sent, which print
        nothing and fill the gap. Without an answer the job goes on, and is not proven until this one has come too.
        Raises OSError for a dead connection.
        """
        self._entry = None
        if self.in_step:
            self.in_step = False
            return
        patience, filling = (ANSWER, _FIRST_FILLING) if self._habits.process_id else (HASTE, _GAP + 1)
        self._entry = self._process(deadline)
        while not self._answered(self._entry, min(deadline, clock.monotonic() + patience)):
            began = clock.monotonic()
            if filling > _GAP or began >= deadline:
                return
            self._write(bytes(filling), deadline)
            if clock.monotonic() - began > FILLING:
                return  # a slow line: more would cost more than it mends
            filling *= 4
            patience = FILLING
            self._entry = self._process(deadline)
        self._entry = None

    def prove(self, deadline: float) -> Asked:
        """Ask for the process ID response and wait for it: whether it came, `proven` says, then and later.

        Raises OSError for a dead connection. A printer that was switched on meanwhile has lost what it held: that is a
        dead connection too.
        """
        asked = Asked(self._process(deadline), self._entry)
        while not self._answered(asked.process, min(deadline, clock.monotonic() + ANSWER)):
            if clock.monotonic() >= deadline:
                break
            if not self._replies.ledger.real_time:  # why does it take so long?
                self._ask_status(deadline)
        self._habits.process_id = asked.process in self._proven
        self.in_step = self.proven(asked)
        return asked

    def proven(self, asked: Asked) -> bool:
        """Whether what was asked for has come."""
        return asked.process in self._proven and (asked.entry is None or asked.entry in self._proven)

    def hear_proof(self, asked: Asked, deadline: float) -> bool | None:
        """Wait for proof that did not come in time: whether it has come; ``None`` where it comes no more."""
        try:
            self._listen(deadline, lambda _: self.proven(asked) or not self._awaited(asked))
        except OSError:
            return None
        if self.proven(asked):
            return True
        return False if self._awaited(asked) else None

    def _awaited(self, asked: Asked) -> bool:
        owed = self._replies.ledger.owed
        return all(each in self._proven or each in owed for each in (asked.process, asked.entry) if each is not None)

    def processed(self, deadline: float) -> bool:
        """Ask GS r 1, and whether that came: everything before has been developed, which is not yet printed.

        Not asked where an answer in order is owed already, which could be taken for this one. A printer in trouble is
        waited for until ``deadline``. Raises OSError for a dead connection.
        """
        ledger = self._replies.ledger
        if not self._habits.in_order or any(isinstance(each, Buffered | Identity) for each in ledger.owed):
            return False
        question = Buffered(1)
        self._ask(question, deadline)
        enough = min(deadline, clock.monotonic() + DEVELOPING)
        while (now := clock.monotonic()) < (enough if self.state.trouble is None else deadline):
            self._listen(min(deadline, now + ANSWER / 4), lambda _: not self._owed(question))
            if not self._owed(question):
                return True
            if not ledger.real_time:
                self._ask_status(deadline)
        self._habits.in_order = False
        return False

    # -- its end -----------------------------------------------------------------------------------------------------

    def drain(self, timeout: float) -> None:
        """Before the connection is closed: a reply left owed or unread makes the kernel destroy what is not printed."""
        try:
            unread = self._replies.ledger.owed or self._read(0.0)
        except OSError:
            return
        if unread:
            self._channel.drain(timeout)

    def abort(self) -> None:
        """The connection is about to be closed, and nothing that has not arrived shall come out later."""
        self._channel.abort()

    # -- the application's own -----------------------------------------------------------------------------------------

    def overheard(self, request: bytes) -> None:
        """The application has sent one of `REQUESTS` itself."""
        theirs = REQUESTS[request]()
        self._theirs.append(theirs)
        self._replies.ledger.asked(theirs)

    def theirs(self, data: bytes) -> bytes:
        """Of ``data``, which the application has read, what does not answer us; nothing where it has to read on."""
        kept, self.unread = self.unread, bytearray()
        expected = len(self._theirs)
        try:
            while data:
                events = self._take(data, reading=True)
                if self.unread or all(isinstance(each, Answered) and _names_itself(each) for each in events):
                    break
                # As it seems a late answer to us: then its own follows, or else this was it.
                more = self._read(LATE)
                if not more:
                    self.unread += data
                data = more
        except OSError:
            self.unread += data
        if expected and self.unread and len(self._theirs) == expected:  # answered by something that is no answer
            self._withdraw(self._theirs.pop(0))
        found, self.unread = bytes(self.unread), kept
        return found

    def _withdraw(self, question: Question) -> None:
        self._replies.ledger.answered(lambda owed: owed is question)

    # -- listening -----------------------------------------------------------------------------------------------------

    def _process(self, deadline: float) -> Process:
        owed = self._replies.ledger.owed
        while (question := Process(nonce())) in owed or question in self._proven:
            pass  # never the nonce of another
        self._ask(question, deadline)
        return question

    def _ask_status(self, deadline: float) -> None:
        for n in range(1, 5):
            self._ask(RealTime(n), deadline)

    def _ask(self, question: Question, deadline: float) -> None:
        self._replies.ledger.asked(question)
        self._write(question.command, deadline)

    def _write(self, data: bytes, deadline: float) -> None:
        self._channel.write(data, max(0.001, deadline - clock.monotonic()))
        self._exchanged(len(data), 0)

    def _read(self, timeout: float) -> bytes:
        data = self._channel.read(timeout)
        self._exchanged(0, len(data))
        return data

    def _owed(self, question: Question) -> bool:
        return any(question is owed for owed in self._replies.ledger.owed)

    def _answered(self, question: Process, deadline: float) -> bool:
        for event in self._listen(deadline, lambda events: question in self._proven or _lost(events)):
            if isinstance(event, PoweredOn):
                raise ConnectionResetError("the printer has been switched on")
        return question in self._proven

    def _listen(self, deadline: float, enough: Callable[[list[Event]], bool]) -> list[Event]:
        events: list[Event] = []
        while (left := deadline - clock.monotonic()) > 0 and not enough(events):
            events += self._take(self._read(left))
        return events

    def _take(self, data: bytes, *, reading: bool = False) -> list[Event]:
        """Decode ``data``; what is not ours goes to ``unread``. ``reading``: the application is."""
        awaited = not reading and not self._theirs and bool(self._replies.ledger.owed)
        events = self._replies.feed(data)
        for event in events:
            match event:
                case Noise() if awaited:
                    pass  # answers to us, garbled
                case Stray(frame) | Noise(frame) | Automatic(frame):
                    self._keep(frame)
                case Answered(Process() as question, _):
                    self._proven.append(question)
                    del self._proven[:-_MAX_PROVEN]
                case Answered(question, value) if any(question is theirs for theirs in self._theirs):
                    self._theirs = [theirs for theirs in self._theirs if theirs is not question]
                    self._keep(bytes((value,)) if isinstance(value, int) else b"_" + value.encode("latin-1") + b"\0")
                case Lost(questions):
                    self._theirs = [each for each in self._theirs if not any(each is lost for lost in questions)]
                case PoweredOn():
                    self._theirs.clear()
                    self.in_step = False
                    self._keep(b";1\0")
        return events

    def _keep(self, data: bytes) -> None:
        self.unread += data[: _MAX_UNREAD - len(self.unread)]


def _asking(make: Callable[[int], Question], n: int) -> Callable[[], Question]:
    return lambda: make(n)


# What a request of the application's own asks, by its bytes; python-escpos sends each as one write.
REQUESTS: Final[dict[bytes, Callable[[], Question]]] = {
    **{b"\x10\x04" + bytes((n,)): _asking(RealTime, n) for n in range(1, 5)},
    **{b"\x1dr" + bytes((n,)): _asking(Buffered, n & 0x0F) for n in (1, 2, 49, 50)},
    **{b"\x1dI" + bytes((n,)): _asking(Identity, n) for n in (1, 2, 3, 49, 50, 51, *range(65, 70))},
    b"\x1bv": _asking(Buffered, 1),
    **{b"\x1bu" + bytes((n,)): _asking(Buffered, 2) for n in (0, 48)},
}


def _names_itself(answer: Answered) -> bool:
    return isinstance(answer.question, Process)


def _lost(events: list[Event]) -> bool:
    return any(isinstance(event, PoweredOn) for event in events)
