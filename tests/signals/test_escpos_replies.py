"""The decoder of a printer's replies: vectors from the manuals, and properties of any bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from printobs.core.conventions import JobError
from printobs.signals.escpos_replies import (
    MAX_OWED,
    Answered,
    Automatic,
    Buffered,
    Event,
    Identity,
    Noise,
    PoweredOn,
    Process,
    Question,
    RealTime,
    Replies,
    Stray,
)
from printobs.signals.escpos_status import PrinterState


def owing(*questions: Question) -> Replies:
    replies = Replies()
    for question in questions:
        replies.ledger.asked(question)
    return replies


# Epson, ESC/POS Command Reference: the tables of each command.
@pytest.mark.parametrize(
    ("question", "byte", "field", "value"),
    [
        (RealTime(1), 0x12, "offline", False),
        (RealTime(1), 0x16, "drawer_pin_high", True),
        (RealTime(1), 0x1A, "offline", True),
        (RealTime(1), 0x32, "awaiting_recovery", True),
        (RealTime(1), 0x52, "feed_button", True),
        (RealTime(2), 0x16, "cover_open", True),
        (RealTime(2), 0x1A, "feeding", True),
        (RealTime(2), 0x32, "stopped_at_paper_end", True),
        (RealTime(2), 0x52, "error", True),
        (RealTime(3), 0x16, "mechanical_error", True),
        (RealTime(3), 0x1A, "cutter_error", True),
        (RealTime(3), 0x32, "unrecoverable_error", True),
        (RealTime(3), 0x52, "recoverable_error", True),
        (RealTime(4), 0x12, "paper_near_end", False),
        (RealTime(4), 0x1E, "paper_near_end", True),
        (RealTime(4), 0x7E, "paper_end", True),
        (RealTime(4), 0x1E, "paper_end", False),
        (Buffered(1), 0x00, "paper_end", False),
        (Buffered(1), 0x03, "paper_near_end", True),
        (Buffered(1), 0x0F, "paper_end", True),
        (Buffered(2), 0x01, "drawer_pin_high", True),
    ],
)
def test_a_status_byte_says_what_the_manual_says(question: Question, byte: int, field: str, value: bool) -> None:
    replies = owing(question)
    assert getattr(replies.state, field) is None
    assert replies.feed(bytes((byte,))) == [Answered(question, byte)]
    assert getattr(replies.state, field) is value
    assert replies.ledger.owed == ()


def test_a_process_id_confirms_itself_only() -> None:
    mine, other = Process(b"ABcd"), Process(b"EFgh")
    replies = owing(mine, other)
    assert replies.feed(b'7"EFgh\0') == [Answered(other, "EFgh")]
    assert replies.ledger.owed == (mine,)
    assert replies.feed(b'7"EFgh\0') == [Stray(b'7"EFgh\0')]
    assert replies.feed(b'7"XXXX\0') == [Stray(b'7"XXXX\0')]
    assert replies.feed(b'7"ABcd\0') == [Answered(mine, "ABcd")]


def test_a_late_reply_answers_the_question_that_was_asked_first() -> None:
    first, second = Buffered(1), Buffered(2)
    replies = owing(first, second)
    assert replies.feed(b"\x00") == [Answered(first, 0)]
    assert replies.ledger.owed == (second,)


def test_power_on_takes_everything_that_was_owed() -> None:
    questions = (RealTime(1), Buffered(1), Identity(67), Process(b"ABcd"))
    replies = owing(*questions)
    replies.feed(b"\x1a")
    assert replies.state.offline is True
    assert replies.feed(b";1\0") == [PoweredOn(questions[1:])]
    assert replies.state == PrinterState()
    assert replies.feed(b'7"ABcd\0') == [Stray(b'7"ABcd\0')]


def test_names_come_in_their_order() -> None:
    replies = owing(Identity(66), Identity(67))
    assert replies.feed(b"_EPSON\0_TM-T88VI\0") == [
        Answered(Identity(66), "EPSON"),
        Answered(Identity(67), "TM-T88VI"),
    ]
    assert (replies.state.maker, replies.state.model) == ("EPSON", "TM-T88VI")
    assert replies.feed(b"_") == [Noise(b"_")]  # nobody asked: it must not swallow what follows


def test_automatic_status_that_comes_unasked_is_understood() -> None:
    replies = Replies()
    assert replies.feed(b"\x3c\x20\x0c\x00") == [Automatic(b"\x3c\x20\x0c\x00")]
    assert replies.state.offline is True
    assert replies.state.cover_open is True
    assert replies.state.unrecoverable_error is True
    assert replies.state.paper_end is True
    assert replies.state.drawer_pin_high is True


def test_flow_control_and_real_time_status_may_interrupt_a_frame() -> None:
    replies = owing(Process(b"ABcd"), RealTime(1))
    events = replies.feed(b'7\x13"A\x11B\x1acd\0')
    assert events == [Answered(RealTime(1), 0x1A), Answered(Process(b"ABcd"), "ABcd")]


def test_a_broken_frame_is_noise_and_the_next_is_read() -> None:
    replies = owing(Process(b"ABcd"))
    assert replies.feed(b'7"AB7"ABcd\0')[-1] != Answered(Process(b"ABcd"), "ABcd")  # in doubt, no proof
    replies = owing(Process(b"ABcd"))
    assert replies.feed(b'7"A\x9f7"ABcd\0') == [Noise(b'7"A'), Noise(b"\x9f"), Answered(Process(b"ABcd"), "ABcd")]


@pytest.mark.parametrize(
    ("state", "error"),
    [
        (PrinterState(), None),
        (PrinterState(offline=False, paper_near_end=True, recoverable_error=True), None),
        (PrinterState(offline=True), JobError.OFFLINE),
        (PrinterState(offline=True, cover_open=True), JobError.COVER_OPEN),
        (PrinterState(offline=True, paper_end=True), JobError.PAPER_END),
        (PrinterState(offline=True, stopped_at_paper_end=True), JobError.PAPER_END),
        (PrinterState(offline=True, cutter_error=True, paper_end=True), JobError.CUTTER),
        (PrinterState(offline=True, mechanical_error=True), JobError.MECHANICAL),
        (PrinterState(offline=True, unrecoverable_error=True, cover_open=True), JobError.UNRECOVERABLE),
    ],
)
def test_trouble_is_the_cause_and_not_its_consequence(state: PrinterState, error: JobError | None) -> None:
    assert state.trouble is error


def test_what_is_owed_is_bounded() -> None:
    replies = Replies()
    for _ in range(3 * MAX_OWED):
        replies.ledger.asked(RealTime(1))
    assert len(replies.ledger.owed) == MAX_OWED


LETTERS = st.sampled_from(b"ABCDEFGHIJKLMNOabcdefghijklmno")
QUESTIONS: st.SearchStrategy[Question] = st.one_of(
    st.builds(RealTime, st.integers(1, 4)),
    st.builds(Buffered, st.integers(1, 2)),
    st.builds(Identity, st.integers(65, 68)),
    st.builds(Process, st.lists(LETTERS, min_size=4, max_size=4).map(bytes)),
)
PIECES = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(
        [b'7"ABCD\0', b";1\0", b"_TM-T88VI\0", b"\x12", b"\x1a", b"\x00", b"\x10\x00\x00\x00", b"\x11", b"\x13"]
    ),
)


def fed(questions: list[Question], pieces: list[bytes]) -> tuple[list[Event], PrinterState, tuple[Question, ...]]:
    replies = owing(*questions)
    events = [event for piece in pieces for event in replies.feed(piece)]
    return events, replies.state, replies.ledger.owed


@given(st.lists(QUESTIONS, max_size=8), st.lists(PIECES, max_size=20))
def test_any_bytes_in_any_pieces_give_the_same_events(questions: list[Question], pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    together = fed(questions, [whole])
    assert fed(questions, pieces) == together
    assert fed(questions, [bytes((byte,)) for byte in whole]) == together


@given(st.lists(QUESTIONS, max_size=8), st.lists(PIECES, max_size=20))
def test_no_bytes_answer_what_was_not_asked_nor_anything_twice(questions: list[Question], pieces: list[bytes]) -> None:
    events, _, owed = fed(questions, pieces)
    lost = [question for event in events if isinstance(event, PoweredOn) for question in event.lost]
    answered = [event.question for event in events if isinstance(event, Answered)]
    assert sorted(map(repr, [*answered, *lost, *owed])) == sorted(map(repr, questions))


@given(st.lists(PIECES, max_size=20), st.lists(LETTERS, min_size=4, max_size=4).map(bytes))
def test_a_nonce_that_does_not_come_is_never_confirmed(pieces: list[bytes], nonce: bytes) -> None:
    whole = b"".join(pieces)
    plain = bytes(byte for byte in whole if byte not in (0x11, 0x13) and byte & 0x93 != 0x12)
    events, _, _ = fed([Process(nonce)], pieces)
    if b'7"' + nonce + b"\0" not in plain:
        assert not [event for event in events if isinstance(event, Answered)]


@given(st.lists(PIECES, max_size=20), st.lists(LETTERS, min_size=4, max_size=4).map(bytes))
def test_it_finds_its_step_again(pieces: list[bytes], nonce: bytes) -> None:
    replies = owing(Process(nonce))
    frame = b'7"' + nonce + b"\0"
    for piece in pieces:
        replies.feed(piece)
    if replies.ledger.owed:
        # The longest frame that may have begun is over after a byte that no frame contains.
        assert replies.feed(b"\xff" + frame)[-1] == Answered(Process(nonce), nonce.decode())
