"""Bytes from a printer to events: which reply they are, and to which question. Sans-I/O, one byte at a time.

What a byte is follows from its bits 4, 1 and 0 (Epson, ESC/POS Command Reference, "Transmission status"): ``1··10`` a
real-time status, ``1··00`` the first of four bytes of automatic status, ``1··11`` the header of a block, ``0····`` a
buffered status. To whom it answers is kept in a ledger: a reply that comes late answers the question that was asked
first, so that it can never be taken for the answer to another. Nothing raises on any bytes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from printobs.signals import escpos_status as status
from printobs.signals.escpos_status import PrinterState

MAX_OWED: Final = 256  # of each kind: a printer that never answers must not fill the memory
MAX_IDENTITY: Final = 80  # characters of an answer to GS I

_XON, _XOFF = 0x11, 0x13
_PROCESS: Final = 0x37
_POWER_ON: Final = 0x3B
_IDENTITY: Final = 0x5F
_FLOW: Final = frozenset({_XON, _XOFF})


# -- questions ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RealTime:
    """DLE EOT n: answered at once, whatever waits in the buffer."""

    n: int

    @property
    def command(self) -> bytes:
        """What to send."""
        return bytes((0x10, 0x04, self.n))


@dataclass(frozen=True, slots=True)
class Buffered:
    """GS r n: answered when what came before has been processed, which is not yet printed."""

    n: int

    @property
    def command(self) -> bytes:
        """What to send."""
        return bytes((0x1D, 0x72, self.n))


@dataclass(frozen=True, slots=True)
class Identity:
    """GS I n, n from 65 to 68: answered in its order."""

    n: int

    @property
    def command(self) -> bytes:
        """What to send."""
        return bytes((0x1D, 0x49, self.n))


@dataclass(frozen=True, slots=True)
class Process:
    """GS ( H, function 48: answered when everything before it has been printed. ``nonce``: four of A–O and a–o."""

    nonce: bytes

    @property
    def command(self) -> bytes:
        """What to send."""
        return b"\x1d(H\x06\x0000" + self.nonce


Question = RealTime | Buffered | Identity | Process


# -- events ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to ``question``, which was owed. ``value`` is its status byte, or its text."""

    question: Question
    value: int | str


@dataclass(frozen=True, slots=True)
class Automatic:
    """Automatic status back, which somebody has enabled: four bytes."""

    frame: bytes


@dataclass(frozen=True, slots=True)
class PoweredOn:
    """The printer has been switched on: whatever it held is gone, and what it owed is not coming."""

    lost: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class Stray:
    """A well-formed reply that nobody is owed: somebody else's, or that of an earlier connection."""

    frame: bytes


@dataclass(frozen=True, slots=True)
class Noise:
    """Bytes that are no reply."""

    frame: bytes


Event = Answered | Automatic | PoweredOn | Stray | Noise


class Ledger:
    """The replies that a printer owes, oldest first."""

    def __init__(self) -> None:
        self._real_time: deque[RealTime] = deque(maxlen=MAX_OWED)
        self._buffered: deque[Buffered] = deque(maxlen=MAX_OWED)
        self._identity: deque[Identity] = deque(maxlen=MAX_OWED)
        self._process: deque[Process] = deque(maxlen=MAX_OWED)

    def asked(self, question: Question) -> None:
        """A question is being sent: its reply is owed from now on."""
        match question:
            case RealTime():
                self._real_time.append(question)
            case Buffered():
                self._buffered.append(question)
            case Identity():
                self._identity.append(question)
            case Process():
                self._process.append(question)

    @property
    def owed(self) -> tuple[Question, ...]:
        """What has not been answered."""
        return (*self._real_time, *self._buffered, *self._identity, *self._process)

    @property
    def real_time(self) -> bool:
        """Whether a real-time status is owed."""
        return bool(self._real_time)

    @property
    def identity(self) -> bool:
        """Whether an answer to GS I is owed."""
        return bool(self._identity)

    def take_real_time(self) -> RealTime | None:
        """The question that a real-time status answers."""
        return self._real_time.popleft() if self._real_time else None

    def take_buffered(self) -> Buffered | None:
        """The question that a buffered status answers."""
        return self._buffered.popleft() if self._buffered else None

    def take_identity(self) -> Identity | None:
        """The question that a block of text answers."""
        return self._identity.popleft() if self._identity else None

    def take_process(self, nonce: bytes) -> Process | None:
        """The question with this nonce; it confirms itself only, and no other."""
        question = Process(nonce)
        if question not in self._process:
            return None
        self._process.remove(question)
        return question

    def forget(self) -> tuple[Question, ...]:
        """Nothing is owed any more; what was."""
        owed = self.owed
        for each in (self._real_time, self._buffered, self._identity, self._process):
            each.clear()
        return owed


class Replies:
    """The decoder of one connection's replies. ``state`` is what they have told of the printer."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.state = PrinterState()
        self._frame = bytearray()

    def feed(self, data: bytes) -> list[Event]:
        """The events that ``data`` completes, in their order; however it is split, they are the same."""
        events: list[Event] = []
        for byte in data:
            self._take(byte, events)
        return events

    def _take(self, byte: int, events: list[Event]) -> None:
        if byte in _FLOW:
            return  # may come in the middle of anything
        if not self._frame:
            self._begin(byte, events)
        elif self._interrupts(byte):
            events.append(self._real_time(byte))
        elif self._continues(byte):
            self._frame.append(byte)
            self._end(events)
        else:
            events.append(Noise(self._cleared()))
            self._begin(byte, events)

    def _begin(self, byte: int, events: list[Event]) -> None:
        if _is_real_time(byte):
            events.append(self._real_time(byte))
        elif _is_plain(byte):
            question = self.ledger.take_buffered()
            if question is None:
                events.append(Stray(bytes((byte,))))
            else:
                self.state = status.told(self.state, status.BUFFERED.get(question.n, ()), byte)
                events.append(Answered(question, byte))
        elif _is_automatic(byte) or byte in (_PROCESS, _POWER_ON) or (byte == _IDENTITY and self.ledger.identity):
            self._frame.append(byte)
        else:
            events.append(Noise(bytes((byte,))))

    def _real_time(self, byte: int) -> Event:
        question = self.ledger.take_real_time()
        if question is None:
            return Stray(bytes((byte,)))
        self.state = status.told(self.state, status.REAL_TIME.get(question.n, ()), byte)
        return Answered(question, byte)

    def _interrupts(self, byte: int) -> bool:
        """Whether a real-time status comes in the middle of a frame: its answer is made at once."""
        if not _is_real_time(byte) or not self.ledger.real_time:
            return False
        # Our nonces have no such letter; the text of a name may.
        return self._frame[0] != _IDENTITY or byte < 0x20

    def _continues(self, byte: int) -> bool:
        header, place = self._frame[0], len(self._frame)
        if header == _PROCESS:
            if place == 1:
                return byte == 0x22
            return 0x20 <= byte <= 0x7E if place < 6 else byte == 0
        if header == _POWER_ON:
            return byte == (0x31 if place == 1 else 0)
        if header == _IDENTITY:
            return byte == 0 or (0x20 <= byte <= 0x7E and place <= MAX_IDENTITY)
        return _is_plain(byte)

    def _end(self, events: list[Event]) -> None:
        frame = bytes(self._frame)
        header, last = frame[0], frame[-1]
        if header == _PROCESS:
            if len(frame) == 7:
                self._frame.clear()
                question = self.ledger.take_process(frame[2:6])
                events.append(Stray(frame) if question is None else Answered(question, frame[2:6].decode("ascii")))
        elif header == _POWER_ON:
            if len(frame) == 3:
                self._frame.clear()
                self.state = PrinterState()
                events.append(PoweredOn(self.ledger.forget()))
        elif header == _IDENTITY:
            if last == 0:
                self._frame.clear()
                events.append(self._identity(frame[1:-1].decode("ascii")))
        elif len(frame) == 4:
            self._frame.clear()
            for bits, byte in zip(status.AUTOMATIC, frame, strict=True):
                self.state = status.told(self.state, bits, byte)
            events.append(Automatic(frame))

    def _identity(self, text: str) -> Event:
        question = self.ledger.take_identity()
        if question is None:  # the ledger was cleared since the block began
            return Stray(text.encode("ascii"))
        self.state = status.named(self.state, question.n, text)
        return Answered(question, text)

    def _cleared(self) -> bytes:
        frame = bytes(self._frame)
        self._frame.clear()
        return frame


def _is_real_time(byte: int) -> bool:
    return byte & 0x93 == 0x12


def _is_automatic(byte: int) -> bool:
    return byte & 0x93 == 0x10


def _is_plain(byte: int) -> bool:
    return byte & 0x90 == 0
