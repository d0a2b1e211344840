"""A printer's replies, played to the decoder as bytes of a fuzzer tell, and what must hold whatever they are."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from printobs.signals.escpos_replies import (
    MAX_OWED,
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

FLOW: Final = b"\x11\x13"
INTERRUPTING: Final = b"\x12\x16\x1a\x1e"  # real-time statuses that are no character of a block
IDENTITIES: Final = (65, 66, 67, 68, 1, 2, 3, 49)


@dataclass
class Played:
    """What was asked and what arrived, and what the decoder made of it."""

    questions: list[Question]
    arrived: bytes
    events: list[Event]
    replies: Replies


def steps(data: bytes) -> list[Question | bytes]:
    """``data`` as questions and arriving bytes: the low three bits of a byte say which, the high five how many."""
    made: list[Question | bytes] = []
    at = asked = 0
    while at < len(data):
        kind, count = data[at] & 7, data[at] >> 3
        at += 1
        if kind > 3 or asked == MAX_OWED:
            made.append(data[at : at + count + 1])
            at += count + 1
            continue
        asked += 1
        match kind:
            case 0:
                made.append(RealTime(count % 4 + 1))
            case 1:
                made.append(Buffered(count % 2 + 1))
            case 2:
                made.append(Identity(IDENTITIES[count % len(IDENTITIES)]))
            case _:
                made.append(Process(bytes(0x41 + (byte - 0x41) % 15 for byte in data[at : at + 4].ljust(4, b"A"))))
                at += 4
    return made


def play(made: list[Question | bytes], piece: int) -> Played:
    """Feed the decoder, at most ``piece`` bytes at a time."""
    replies, events, questions, arrived = Replies(), [], [], b""
    for step in made:
        if isinstance(step, bytes):
            arrived += step
            for at in range(0, len(step), piece):
                events += replies.feed(step[at : at + piece])
        else:
            questions.append(step)
            replies.ledger.asked(step)
    return Played(questions, arrived, events, replies)


def frame(event: Event) -> bytes:
    """The bytes that an event tells of."""
    match event:
        case Stray(data) | Noise(data) | Automatic(data):
            return data
        case Answered(Process(nonce), _):
            return b'7"' + nonce + b"\0"
        case Answered(_, int() as value):
            return bytes((value,))
        case Answered(_, str() as value):
            return b"_" + value.encode("ascii") + b"\0"
        case PoweredOn():
            return b";1\0"
        case _:
            return b""


def form(question: Question) -> str:
    """What an answer to it looks like."""
    match question:
        case RealTime():
            return "real time"
        case Process(nonce):
            return nonce.decode("ascii")
        case Identity() if not question.one_byte:
            return "text"
        case _:
            return "one byte"


def check(data: bytes) -> None:
    """Raises AssertionError where the decoder breaks a promise."""
    made = steps(data)
    played = play(made, 1 << 30)
    for piece in (1, 3):
        other = play(made, piece)
        assert other.events == played.events, "another split of the bytes gives other events"
        assert other.replies.state == played.replies.state
        assert other.replies.ledger.owed == played.replies.ledger.owed

    # Each question is answered once, or known to be lost, or still owed.
    answered = [event.question for event in played.events if isinstance(event, Answered)]
    lost = [question for event in played.events if isinstance(event, Lost | PoweredOn) for question in questions(event)]
    accounted = sorted(map(id, (*answered, *lost, *played.replies.ledger.owed)))
    assert accounted == sorted(map(id, played.questions)), "a question is answered twice, or forgotten"

    # A reply answers the oldest question of its form.
    place = {id(question): at for at, question in enumerate(played.questions)}
    for alike in {form(question) for question in answered}:
        order = [place[id(question)] for question in answered if form(question) == alike]
        assert all(before < after for before, after in pairwise(order)), "answers out of their order"

    told = b"".join(map(frame, [*played.events, *play([*made, b"\xff"], 1).events[len(played.events) :]]))
    rest = bytes(byte for byte in played.arrived + b"\xff" if byte not in FLOW)
    assert sorted(told) == sorted(rest), "a byte is swallowed, or told twice"

    plain = bytes(byte for byte in rest if byte not in INTERRUPTING)
    for event in played.events:
        match event:
            case Answered(Process(nonce), _):
                assert b'7"' + nonce + b"\0" in plain, "confirmed without its bytes"
            case Answered(RealTime(), value):
                assert isinstance(value, int)
                assert value & 0x93 == 0x12
            case Answered(Buffered(), value):
                assert isinstance(value, int)
                assert value & 0x90 == 0
            case PoweredOn():
                assert b";1\0" in plain
    if not any(isinstance(event, Answered | Automatic) for event in played.events):
        assert played.replies.state == PrinterState(), "a state that nobody told"

    # It finds its step again.
    mine = Process(b"abcd")
    played.replies.ledger.asked(mine)
    after = played.replies.feed(b'\xff7"abcd\0')
    assert after[-1] == Answered(mine, "abcd"), "out of step"
    assert all(isinstance(question, Process) for question in played.replies.ledger.owed)


def questions(event: Lost | PoweredOn) -> tuple[Question, ...]:
    """The questions that it says are lost."""
    return event.questions if isinstance(event, Lost) else event.lost
