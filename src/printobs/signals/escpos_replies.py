"""Bytes from a printer to events: which reply they are, and to which question. Sans-I/O, one byte at a time.

What a byte is follows from its bits 7, 4, 1 and 0 (Epson, ESC/POS Command Reference, "Transmission status
identification"): ``0··1··10`` a real-time status, ``0··1··00`` the first of four bytes of automatic status,
``0··0····`` an answer of one byte in its order. What else has bit 4 is the header of a block, which ends with NUL, and
in which no byte means what it would mean alone. XON and XOFF may come between any two bytes.

To whom it answers the bytes do not say: a ledger of what is owed does. A reply is that of the oldest question of its
form, so that a late one is never taken for the answer to another; and since a printer answers in its order, a reply
proves that those of earlier questions were lost if they have not come: nobody waits for them, and they shift nothing.
Only a process ID response names its question. Whoever takes GS r or GS I for evidence must therefore enter *all*
requests of the connection that are answered in this form, somebody else's too: GS r, GS I 1 to 3 and 49 to 51, ESC u
and ESC v are all answered by one byte that looks the same. Nothing raises on any bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from printobs.signals import escpos_status as status
from printobs.signals.escpos_status import PrinterState

MAX_OWED: Final = 256  # a printer that never answers must not fill the memory
MAX_BLOCK: Final = 84  # GS I: header, identifier, at most 80 bytes, NUL; one more for who counts otherwise

_XON, _XOFF = 0x11, 0x13
_FLOW: Final = frozenset({_XON, _XOFF})
_IDENTITY: Final = 0x5F  # GS I, "printer information B"
_PROCESS: Final = b"\x37\x22"  # GS ( H, "process ID response": header and identifier
_PROCESS_SIZE: Final = 7
_POWER_ON: Final = b"\x3b\x31\x00"  # GS ( E, memory switch 1-1, "power on notice"
_ONE_BYTE: Final = frozenset({1, 2, 3, 49, 50, 51})


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
    """GS I n: answered in its order, by a block of text, or by one byte where n is 1 to 3 or 49 to 51."""

    n: int

    @property
    def one_byte(self) -> bool:
        """Whether its answer looks like that to GS r."""
        return self.n in _ONE_BYTE

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
class Lost:
    """The answer to a later question has come, so that those to these are not coming."""

    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class Stray:
    """A well-formed reply that nobody is owed: somebody else's, or that of an earlier connection."""

    frame: bytes


@dataclass(frozen=True, slots=True)
class Noise:
    """Bytes that are no reply."""

    frame: bytes


Event = Answered | Automatic | PoweredOn | Lost | Stray | Noise


class Ledger:
    """The replies that a printer owes, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._owed: list[Question] = []

    def asked(self, question: Question) -> None:
        """A question is being sent: its reply is owed from now on."""
        self._owed.append(question)
        del self._owed[:-MAX_OWED]

    @property
    def owed(self) -> tuple[Question, ...]:
        """What has not been answered, oldest first."""
        return tuple(self._owed)

    @property
    def real_time(self) -> bool:
        """Whether a real-time status is owed."""
        return any(isinstance(question, RealTime) for question in self._owed)

    def answered(self, answers: Callable[[Question], bool]) -> tuple[Question, tuple[Question, ...]] | None:
        """The oldest question that a reply ``answers``, and those whose replies it proves lost; neither is owed now.

        A reply in its order comes after all that was asked for before. Not so a real-time status, which overtakes
        them; and a process ID response may be overtaken by GS r and GS I, which do not wait for the paper.
        """
        place = next((place for place, question in enumerate(self._owed) if answers(question)), None)
        if place is None:
            return None
        question = self._owed.pop(place)
        if isinstance(question, RealTime):
            return question, ()
        before, after = self._owed[:place], self._owed[place:]
        waiting = [each for each in before if isinstance(each, Process)]
        self._owed = waiting + after
        return question, tuple(each for each in before if not isinstance(each, Process))

    def forget(self) -> tuple[Question, ...]:
        """Nothing is owed any more; what was."""
        owed = self.owed
        self._owed.clear()
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
            return
        if not self._frame:
            self._begin(byte, events)
        elif self._interrupts(byte):
            self._answer(bytes((byte,)), byte, _is_real_time_question, events)
        elif self._continues(byte):
            self._frame.append(byte)
            self._end(events)
        else:
            events.append(Noise(self._cleared()))
            self._begin(byte, events)

    def _begin(self, byte: int, events: list[Event]) -> None:
        if _is_real_time(byte):
            self._answer(bytes((byte,)), byte, _is_real_time_question, events)
        elif _is_plain(byte):
            self._answer(bytes((byte,)), byte, _is_one_byte_question, events)
        elif _is_automatic(byte) or _is_header(byte):
            self._frame.append(byte)
        else:
            events.append(Noise(bytes((byte,))))

    def _interrupts(self, byte: int) -> bool:
        """Whether a real-time status comes in the middle of a frame: it cannot be a byte of it, and is awaited."""
        return _is_real_time(byte) and self.ledger.real_time and (byte < 0x20 or _is_automatic(self._frame[0]))

    def _continues(self, byte: int) -> bool:
        if _is_automatic(self._frame[0]):
            return _is_plain(byte)
        if byte == 0:  # without even an identifier the header was noise; a name may be empty
            return len(self._frame) > 1 or self._frame[0] == _IDENTITY
        return 0x20 <= byte <= 0x7F and len(self._frame) < MAX_BLOCK

    def _end(self, events: list[Event]) -> None:
        if _is_automatic(self._frame[0]):
            if len(self._frame) == 4:
                frame = self._cleared()
                for bits, byte in zip(status.AUTOMATIC, frame, strict=True):
                    self.state = status.told(self.state, bits, byte)
                events.append(Automatic(frame))
        elif self._frame[-1] == 0:
            self._block(self._cleared(), events)

    def _block(self, block: bytes, events: list[Event]) -> None:
        response = block[-_PROCESS_SIZE:]
        broken = block[:2] == _PROCESS and len(block) != _PROCESS_SIZE
        if response[:2] == _PROCESS and Process(response[2:6]) in self.ledger.owed:
            # Nothing else contains this nonce: a block that broke off before it, or noise that looked like one.
            self._noise(block[:-_PROCESS_SIZE], events)
            nonce = response[2:6]
            self._answer(response, nonce.decode("ascii"), lambda question: question == Process(nonce), events)
        elif block == _POWER_ON or (broken and block.endswith(_POWER_ON)):
            self._noise(block[: -len(_POWER_ON)], events)
            self.state = PrinterState()
            events.append(PoweredOn(self.ledger.forget()))
        elif block[0] == _IDENTITY:
            self._answer(block, block[1:-1].decode("ascii"), _is_text_question, events)
        else:
            events.append(Noise(block) if broken else Stray(block))

    def _answer(self, frame: bytes, value: int | str, answers: Callable[[Question], bool], events: list[Event]) -> None:
        found = self.ledger.answered(answers)
        if found is None:
            events.append(Stray(frame))
            return
        question, lost = found
        if lost:
            events.append(Lost(lost))
        match question, value:
            case RealTime(n), int():
                self.state = status.told(self.state, status.REAL_TIME.get(n, ()), value)
            case Buffered(n), int():
                self.state = status.told(self.state, status.BUFFERED.get(n, ()), value)
            case Identity(n), str():
                self.state = status.named(self.state, n, value)
        events.append(Answered(question, value))

    @staticmethod
    def _noise(frame: bytes, events: list[Event]) -> None:
        if frame:
            events.append(Noise(frame))

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


def _is_header(byte: int) -> bool:
    return byte & 0x91 == 0x11 and byte >= 0x20


def _is_real_time_question(question: Question) -> bool:
    return isinstance(question, RealTime)


def _is_one_byte_question(question: Question) -> bool:
    return isinstance(question, Buffered) or (isinstance(question, Identity) and question.one_byte)


def _is_text_question(question: Question) -> bool:
    return isinstance(question, Identity) and not question.one_byte
