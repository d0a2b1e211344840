"""The decoder of a printer's replies: vectors from the manuals, and properties of any bytes."""

from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from printobs.core.conventions import JobError
from printobs.signals import escpos_status
from printobs.signals.escpos_replies import (
    MAX_BLOCK,
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
from tests.signals import escpos_vectors as vectors


def owing(*questions: Question) -> Replies:
    replies = Replies()
    for question in questions:
        replies.ledger.asked(question)
    return replies


def matching(pattern: str) -> list[int]:
    """The bytes of a pattern as the manual writes it: 0xx1xx10."""
    fixed = [(0x80 >> place, bit == "1") for place, bit in enumerate(pattern) if bit != "x"]
    return [byte for byte in range(256) if all(bool(byte & mask) == on for mask, on in fixed)]


# -- vectors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", [*vectors.STATUS, *vectors.AUTOMATIC], ids=lambda vector: vector.source)
def test_a_status_says_what_the_manual_says(vector: vectors.Vector) -> None:
    replies = owing(vector.question) if vector.question else Replies()
    assert {getattr(replies.state, field) for field in vector.state} == {None}
    [event] = replies.feed(vector.reply)
    expected = Answered(vector.question, vector.reply[0]) if vector.question else Automatic(vector.reply)
    assert event == expected
    assert {field: getattr(replies.state, field) for field in vector.state} == vector.state
    assert replies.ledger.owed == ()


@pytest.mark.parametrize(("source", "n", "reply", "value"), vectors.IDENTITIES)
def test_an_identity_says_what_the_manual_says(source: str, n: int, reply: bytes, value: int | str) -> None:
    replies = owing(Identity(n))
    assert replies.feed(reply) == [Answered(Identity(n), value)]
    field = escpos_status.IDENTITY.get(n)
    if field is not None:
        assert getattr(replies.state, field) == value


@pytest.mark.parametrize(("source", "question", "reply"), vectors.PROCESS_IDS)
def test_a_process_id_is_read_as_the_manual_says(source: str, question: Process, reply: bytes) -> None:
    assert question.command == b"\x1d\x28\x48\x06\x00\x30\x30" + question.nonce
    # In a block no byte is a status, though one is awaited and the ID looks like one.
    replies = owing(question, RealTime(2))
    assert replies.feed(reply) == [Answered(question, question.nonce.decode())]
    assert replies.ledger.owed == (RealTime(2),)
    assert replies.state == PrinterState()
    assert Replies().feed(reply) == [Stray(reply)]


@pytest.mark.parametrize(("source", "block"), vectors.BLOCKS)
def test_no_byte_of_a_block_answers_anything(source: str, block: bytes) -> None:
    replies = owing(RealTime(1), Buffered(1), Identity(1), Identity(67), Process(b"ABcd"))
    assert replies.feed(block) == [Stray(block)]
    assert replies.state == PrinterState()
    assert len(replies.ledger.owed) == 5


@pytest.mark.parametrize("pattern", vectors.PATTERNS.values(), ids=vectors.PATTERNS.keys())
def test_a_byte_is_known_by_its_fixed_bits(pattern: tuple[str, Callable[[int], Question]]) -> None:
    bits, question = pattern
    for byte in range(256):
        replies = owing(question(1))
        assert (replies.feed(bytes((byte,))) == [Answered(question(1), byte)]) == (byte in matching(bits))


def test_commands_are_as_the_manual_writes_them() -> None:
    assert RealTime(4).command == b"\x10\x04\x04"
    assert Buffered(1).command == b"\x1d\x72\x01"
    assert Identity(66).command == b"\x1d\x49\x42"


# -- whose answer it is ------------------------------------------------------------------------------------------------


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


def test_answers_of_one_byte_come_in_the_order_of_their_questions() -> None:
    # GS I 1 of somebody else's: its answer looks like that to GS r, and is not taken for it.
    replies = owing(Identity(1), Buffered(1), Identity(50))
    assert replies.feed(b"\x20\x0f\x02") == [
        Answered(Identity(1), 0x20),
        Answered(Buffered(1), 0x0F),
        Answered(Identity(50), 0x02),
    ]
    assert replies.state.paper_end is True
    assert replies.feed(b"\x00") == [Stray(b"\x00")]


def test_a_reply_in_order_proves_that_earlier_ones_were_lost() -> None:
    first, text, second = Buffered(1), Identity(67), Buffered(2)
    replies = owing(first, text, second)
    assert replies.feed(b"_TM-T88VI\0") == [Lost((first,)), Answered(text, "TM-T88VI")]
    assert replies.feed(b"\x01") == [Answered(second, 1)]
    assert replies.state.drawer_pin_high is True
    assert replies.ledger.owed == ()


def test_real_time_status_that_never_came_does_not_shift_the_next_one() -> None:
    # The answers to DLE EOT 3 and 4 were lost. Without the nonce's proof, the drawer's pin would read as an error.
    process = Process(b"ABcd")
    replies = owing(*(RealTime(n) for n in range(1, 5)), process)
    events = replies.feed(b"\x12\x12\x37\x22ABcd\0")
    assert events[2:] == [Lost((RealTime(3), RealTime(4))), Answered(process, "ABcd")]
    replies.ledger.asked(RealTime(1))
    assert replies.feed(b"\x16") == [Answered(RealTime(1), 0x16)]
    assert (replies.state.drawer_pin_high, replies.state.mechanical_error) == (True, None)


def test_what_overtakes_proves_no_loss() -> None:
    # Real-time status overtakes everything; GS r does not wait for the paper, as GS ( H does.
    process, buffered, real_time = Process(b"ABcd"), Buffered(1), RealTime(1)
    replies = owing(process, buffered, real_time)
    assert replies.feed(b"\x12\x00") == [Answered(real_time, 0x12), Answered(buffered, 0)]
    assert replies.ledger.owed == (process,)
    # Asked after it, and so perhaps still on its way.
    replies.ledger.asked(real_time)
    assert replies.feed(b'7"ABcd\0') == [Answered(process, "ABcd")]
    assert replies.ledger.owed == (real_time,)


def test_a_late_answer_is_not_that_to_the_question_asked_again() -> None:
    once, again = RealTime(1), RealTime(1)
    replies = owing(once)
    replies.ledger.asked(again)
    [event] = replies.feed(b"\x1a")
    assert isinstance(event, Answered)
    assert event.question is once
    [still] = replies.ledger.owed
    assert still is again


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
    assert replies.feed(b"_EPSON\0") == [Stray(b"_EPSON\0")]


def test_a_name_that_nobody_asked_for_is_no_status() -> None:
    # "E" alone would be the answer to GS r.
    replies = owing(Buffered(1))
    assert replies.feed(b"_EPSON\0\x03") == [Stray(b"_EPSON\0"), Answered(Buffered(1), 3)]


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


def test_real_time_status_interrupts_automatic_status_only_where_it_is_owed() -> None:
    replies = owing(RealTime(2))
    assert replies.feed(b"\x10\x00\x32\x0c\x00") == [
        Answered(RealTime(2), 0x32),
        Automatic(b"\x10\x00\x0c\x00"),
    ]
    assert (replies.state.stopped_at_paper_end, replies.state.paper_end) == (True, True)
    assert replies.feed(b"\x10\x00\x12\x00") == [Noise(b"\x10\x00"), Stray(b"\x12"), Stray(b"\x00")]


@pytest.mark.parametrize(
    ("before", "noise"),
    [
        (b'7"A\x9f', [Noise(b'7"A'), Noise(b"\x9f")]),
        (b'7"AB', [Noise(b'7"AB')]),  # broken off, and sent again
        (b'7"ABcd', [Noise(b'7"ABcd')]),
        (b"_TM-", [Noise(b"_TM-")]),
        (b"\x10\x00", [Noise(b"\x10\x00")]),
        (b"7", [Noise(b"7")]),
        (b"7\0", [Noise(b"7"), Stray(b"\0")]),
    ],
)
def test_after_a_broken_frame_the_next_is_read(before: bytes, noise: list[Event]) -> None:
    replies = owing(Process(b"ABcd"))
    assert replies.feed(before + b'7"ABcd\0') == [*noise, Answered(Process(b"ABcd"), "ABcd")]


@pytest.mark.parametrize("broken", [b'7"ABc\0', b'7"ABcde\0', b'7"\0', b'7"ABc\x9fd\0', b'7"AB\0cd\0'])
def test_a_broken_frame_proves_nothing(broken: bytes) -> None:
    replies = owing(Process(b"ABcd"))
    assert not [event for event in replies.feed(broken) if isinstance(event, Answered)]
    assert replies.ledger.owed == (Process(b"ABcd"),)


def test_power_that_came_back_in_the_middle_of_a_response_is_noticed() -> None:
    replies = owing(Process(b"ABcd"))
    assert replies.feed(b'7"ABc;1\0') == [Noise(b'7"ABc'), PoweredOn((Process(b"ABcd"),))]
    # The bytes of somebody else's ID all the same.
    assert replies.feed(b'7"AB;1\0') == [Stray(b'7"AB;1\0')]
    # Not in a name: "status identification must not be performed until NUL is received".
    replies = owing(Identity(68), Process(b"ABcd"))
    assert replies.feed(b"_X7;1\0") == [Answered(Identity(68), "X7;1")]
    assert replies.ledger.owed == (Process(b"ABcd"),)


def test_a_power_off_notice_is_not_automatic_status() -> None:
    replies = owing(Buffered(1))
    assert replies.feed(b"\x3b\x30\x00\x00") == [Stray(b"\x3b\x30\x00"), Answered(Buffered(1), 0)]
    assert replies.state.cover_open is None


def test_a_header_without_its_end_does_not_swallow_for_ever() -> None:
    replies = owing(RealTime(1))
    events = replies.feed(b"\x5f" + b"A" * MAX_BLOCK + b"\x12")
    assert isinstance(events[0], Noise)
    assert events[-1] == Answered(RealTime(1), 0x12)


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


# -- properties --------------------------------------------------------------------------------------------------------

LETTERS = st.sampled_from(b"ABCDEFGHIJKLMNOabcdefghijklmno")
NONCES = st.lists(LETTERS, min_size=4, max_size=4).map(bytes)
QUESTIONS: st.SearchStrategy[Question] = st.one_of(
    st.builds(RealTime, st.integers(1, 4)),
    st.builds(Buffered, st.integers(1, 2)),
    st.builds(Identity, st.sampled_from([1, 2, 3, 49, 65, 66, 67, 68])),
    st.builds(Process, NONCES),
)
WELL_FORMED = [
    *(vector.reply for vector in (*vectors.STATUS, *vectors.AUTOMATIC)),
    *(reply for _, _, reply, _ in vectors.IDENTITIES),
    *(reply for _, _, reply in vectors.PROCESS_IDS),
    *(block for _, block in vectors.BLOCKS),
    vectors.POWER_ON[1],
]
PIECES = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(WELL_FORMED),
    st.sampled_from(WELL_FORMED).flatmap(lambda frame: st.integers(0, len(frame)).map(lambda size: frame[:size])),
    st.sampled_from([b"\x11", b"\x13"]),
)
STEPS = st.lists(st.one_of(QUESTIONS, PIECES), max_size=30)  # a question that is asked, or bytes that arrive


def played(steps: list[Question | bytes], split: Callable[[bytes], list[bytes]]) -> tuple[list[Event], Replies]:
    replies, events = Replies(), []
    for step in steps:
        if isinstance(step, bytes):
            events += [event for piece in split(step) for event in replies.feed(piece)]
        else:
            replies.ledger.asked(step)
    return events, replies


def settled(events: list[Event]) -> list[Question]:
    """The questions that are answered, or known to be lost."""
    questions: list[Question] = []
    for event in events:
        match event:
            case Answered(question, _):
                questions.append(question)
            case PoweredOn(lost) | Lost(lost):
                questions += lost
    return questions


@given(STEPS, st.integers(1, 5))
def test_any_bytes_in_any_pieces_give_the_same_events(steps: list[Question | bytes], size: int) -> None:
    events, replies = played(steps, lambda data: [data])
    others, other = played(steps, lambda data: [data[at : at + size] for at in range(0, len(data), size)])
    assert (others, other.state, other.ledger.owed) == (events, replies.state, replies.ledger.owed)


@given(STEPS)
def test_every_question_is_answered_once_or_lost_or_owed(steps: list[Question | bytes]) -> None:
    events, replies = played(steps, lambda data: [data])
    # By identity: not its like was answered, but this very question.
    accounted = [id(question) for question in (*settled(events), *replies.ledger.owed)]
    assert sorted(accounted) == sorted(id(step) for step in steps if not isinstance(step, bytes))


@given(STEPS)
def test_every_byte_is_told_in_one_event(steps: list[Question | bytes]) -> None:
    """But for flow control: whose a byte is may be in doubt, but it goes to nobody twice and is not swallowed."""
    events, replies = played(steps, lambda data: [data])
    arrived = b"".join(step for step in steps if isinstance(step, bytes))
    told = b"".join(map(frame_of, [*events, *replies.feed(b"\xff")]))  # which ends a frame that has begun
    assert sorted(told) == sorted(byte for byte in arrived + b"\xff" if byte not in (vectors.XON, vectors.XOFF))


def frame_of(event: Event) -> bytes:
    match event:
        case Stray(frame) | Noise(frame) | Automatic(frame):
            return frame
        case Answered(Process(nonce), _):
            return b'7"' + nonce + b"\0"
        case Answered(_, int() as value):
            return bytes((value,))
        case Answered(_, str() as value):
            return b"_" + value.encode("ascii") + b"\0"
        case PoweredOn():
            return vectors.POWER_ON[1]
        case _:
            return b""


@given(STEPS, NONCES)
def test_a_nonce_that_does_not_come_is_never_confirmed(steps: list[Question | bytes], nonce: bytes) -> None:
    mine = Process(nonce)
    events, _ = played([mine, *steps], lambda data: [data])
    arrived = b"".join(step for step in steps if isinstance(step, bytes))
    # A real-time status may interrupt it, if it is none of the characters of an ID.
    plain = bytes(byte for byte in arrived if byte not in (0x11, 0x13, 0x12, 0x16, 0x1A, 0x1E))
    if b'7"' + nonce + b"\0" not in plain:
        assert mine not in [event.question for event in events if isinstance(event, Answered)]


@given(STEPS, NONCES)
def test_a_nonce_that_comes_is_found_whatever_came_before(steps: list[Question | bytes], nonce: bytes) -> None:
    mine = Process(nonce)
    _, replies = played(steps, lambda data: [data])
    replies.ledger.asked(mine)
    # A block that has begun may be full in the middle of it: the second time it is over.
    frame = b'7"' + nonce + b"\0"
    assert Answered(mine, nonce.decode()) in replies.feed(frame + frame)


@given(STEPS, NONCES, st.lists(st.sampled_from(sorted(escpos_status.REAL_TIME)), max_size=4))
def test_after_a_proof_nothing_is_shifted(steps: list[Question | bytes], nonce: bytes, asked: list[int]) -> None:
    """Whatever was lost or invented before: the proof settles all earlier questions but those for other proofs."""
    mine = Process(nonce)
    assume(mine not in steps)
    _, replies = played(steps, lambda data: [data])
    replies.ledger.asked(mine)
    replies.feed(b"\xff" + b'7"' + nonce + b"\0")
    assert all(isinstance(question, Process) for question in replies.ledger.owed)
    for n in asked:
        replies.ledger.asked(RealTime(n))
    for n in asked:
        assert replies.feed(b"\x12") == [Answered(RealTime(n), 0x12)]
