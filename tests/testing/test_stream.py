"""The stream of bytes falls into the commands of the manual, whatever pieces it arrives in."""

import random
import socket
from collections.abc import Callable, Iterable

import pytest

from printobs.testing import Receipt, VirtualPrinter
from printobs.testing.escpos_stream import Command, StreamParser

Paper = Callable[[bytes], Receipt]


def word(number: int) -> bytes:
    return number.to_bytes(2, "little")


def commands(pieces: Iterable[bytes], *, realtime_in_data: bool = False) -> list[Command]:
    parser = StreamParser(realtime_in_data=realtime_in_data)
    return [command for piece in pieces for command in parser.feed(piece)]


def bytewise(data: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in data]


LENGTHS = [
    # Nothing after the name
    *((f"ESC {letter}", b"\x1b" + letter.encode()) for letter in "2@LSimv<"),
    ("ESC FF", b"\x1b\x0c"),
    ("GS :", b"\x1d:"),
    ("GS c", b"\x1dc"),
    ("FS &", b"\x1c&"),
    ("FS .", b"\x1c."),
    # A fixed number of bytes
    *((f"ESC {letter}", b"\x1b" + letter.encode() + b"A") for letter in "!%+-3=?ACEGJKMNQRTUVadegrtu{"),
    ("ESC SP", b"\x1b A"),
    *((f"ESC {letter}", b"\x1b" + letter.encode() + b"AB") for letter in "$\\Bf"),
    ("ESC c 5", b"\x1bc5A"),
    ("ESC p", b"\x1bp\x00AB"),
    ("ESC W", b"\x1bW" + b"A" * 8),
    *((f"GS {letter}", b"\x1d" + letter.encode() + b"A") for letter in "!BEHITabfhrw/"),
    *((f"GS {letter}", b"\x1d" + letter.encode() + b"AB") for letter in "LWP$\\"),
    ("GS z", b"\x1dz0AB"),
    ("GS ^", b"\x1d^ABC"),
    ("GS g 2", b"\x1dg2\x00" + word(20)),
    *((f"FS {letter}", b"\x1c" + letter.encode() + b"A") for letter in "!-CW"),
    *((f"FS {letter}", b"\x1c" + letter.encode() + b"AB") for letter in "Sp?"),
    ("FS 2", b"\x1c2AB" + b"\x00" * 72),
    # A length that the command tells
    ("ESC ( A", b"\x1b(A" + word(4) + b"text"),
    ("GS ( A", b"\x1d(A" + word(0)),
    ("GS ( k", b"\x1d(k" + word(300) + b"x" * 300),
    ("GS 8 L", b"\x1d8L" + (70_000).to_bytes(4, "little") + b"x" * 70_000),
    ("FS ( A", b"\x1c(A" + word(3) + b"abc"),
    ("ESC *", b"\x1b*\x00" + word(5) + b"x" * 5),
    ("ESC *", b"\x1b*\x21" + word(5) + b"x" * 15),
    ("ESC *", b"\x1b*\x07" + word(5)),
    ("GS v 0", b"\x1dv0\x00" + word(3) + word(4) + b"x" * 12),
    ("GS Q 0", b"\x1dQ0\x00" + word(3) + word(4) + b"x" * 12),
    ("GS *", b"\x1d*\x02\x03" + b"x" * 48),
    ("FS q", b"\x1cq\x02" + word(1) + word(2) + b"x" * 16 + word(2) + word(1) + b"y" * 16),
    ("FS q", b"\x1cq\x00"),
    ("FS g 1", b"\x1cg1\x00" + b"\x00" * 4 + word(6) + b"memory"),
    ("FS g 2", b"\x1cg2\x00" + b"\x00" * 4 + word(6)),
    ("GS D", b"\x1dD0C0AB01BM" + (14).to_bytes(4, "little") + b"x" * 8),
    ("GS D", b"\x1dD0C0AB01BM" + (0).to_bytes(4, "little")),
    ("ESC &", b"\x1b&\x03AC" + b"\x01abc" + b"\x00" + b"\x02abcdef"),
    ("ESC &", b"\x1b&\x03BA"),
    # A length by a mode
    *(("GS V", b"\x1dV" + mode) for mode in (b"\x00", b"\x01", b"0", b"1", b"AA", b"B\x00", b"aA", b"gA")),
    ("GS C 0", b"\x1dC0AB"),
    ("GS C 1", b"\x1dC1ABCDEF"),
    ("GS C 2", b"\x1dC2AB"),
    ("GS C ;", b"\x1dC;1;60;2;3;4;"),
    ("GS C ?", b"\x1dC?"),
    ("GS k", b"\x1dk\x02400638133393\x00"),
    ("GS k", b"\x1dkC\x0c400638133393"),
    ("GS k", b"\x1dkI\x00"),
    # To the end that the data mark
    ("ESC D", b"\x1bD\x00"),
    ("ESC D", b"\x1bD\x08\x10\x18\x00"),
    ("ESC D", b"\x1bD" + bytes(range(1, 32)) + b"\x00"),
    # In real time
    *(("DLE EOT", b"\x10\x04" + bytes([n])) for n in (1, 2, 3, 4)),
    *(("DLE EOT", b"\x10\x04" + bytes([n, 1])) for n in (7, 8, 18)),
    ("DLE ENQ", b"\x10\x05\x02"),
    ("DLE DC4", b"\x10\x14\x01\x00\x02"),
    ("DLE DC4", b"\x10\x14\x02\x01\x08"),
    ("DLE DC4", b"\x10\x14\x07\x01"),
    ("DLE DC4", b"\x10\x14\x08\x01\x03\x14\x01\x06\x02\x08"),
]


@pytest.mark.parametrize(
    ("name", "raw"), LENGTHS, ids=lambda value: value[:12].hex() if isinstance(value, bytes) else None
)
def test_a_command_takes_its_own_bytes_and_no_other(name: str, raw: bytes) -> None:
    for pieces in ([raw + b"AZ"], bytewise(raw + b"AZ")):
        command, *text = commands(pieces)
        assert command.raw == raw
        assert command.name == name
        assert command.raw.endswith(command.params)
        assert [each.raw for each in text] == [b"A", b"Z"]


@pytest.mark.parametrize("raw", [raw for _, raw in LENGTHS if len(raw) < 1000])
def test_nothing_comes_of_a_command_before_its_last_byte(raw: bytes) -> None:
    parser = StreamParser()
    assert parser.feed(raw[:-1]) == []
    assert parser.pending == len(raw) - 1
    [command] = parser.feed(raw[-1:])
    assert (command.raw, parser.pending) == (raw, 0)


@pytest.mark.parametrize(
    ("raw", "length"),
    [
        (b"\x1dk\x04" + b"A" * 1000, 258),
        (b"\x1dC;" + b"1" * 1000, 258),
        (b"\x1bD" + bytes(range(1, 33)) + b"ZZZ", 34),
        (b"\x1bD\x08\x05ZZZ", 3),
        (b"\x1bD\x08\x08ZZZ", 3),
    ],
    ids=["barcode", "counter", "more tabs than there are", "falling tab", "tab that does not rise"],
)
def test_a_command_without_its_end_is_bounded(raw: bytes, length: int) -> None:
    for pieces in ([raw], bytewise(raw)):
        found = commands(pieces)
        assert found[0].raw == raw[:length]
        assert b"".join(command.raw for command in found) == raw


@pytest.mark.parametrize(
    ("raw", "names"),
    [
        (b"\x1cA", ["FS", "text"]),
        (b"\x10A", ["control", "text"]),
        (b"\x1b\x0aA", ["control", "LF", "text"]),
        (b"\x1d\x1b@A", ["control", "ESC @", "text"]),
        (b"\x1b\x1b@", ["control", "ESC @"]),
        (b"\x1b~A", ["unknown", "text"]),
        (b"\x1d~A", ["unknown", "text"]),
        (b"\x00\x07\x7f\x0a\x09\x0d\x0c\x18", ["control", "control", "control", "LF", "HT", "CR", "FF", "CAN"]),
    ],
)
def test_a_prefix_of_nothing_known_swallows_nothing(raw: bytes, names: list[str]) -> None:
    for pieces in ([raw], bytewise(raw)):
        found = commands(pieces)
        assert [command.name for command in found] == names
        assert b"".join(command.raw for command in found) == raw


def test_a_copy_goes_on_from_the_same_place() -> None:
    parser = StreamParser()
    parser.feed(b"\x1d(A" + word(4) + b"te")
    twin = parser.copy()
    assert [command.raw for command in twin.feed(b"xtZ")] == [b"\x1d(A\x04\x00text", b"Z"]
    assert parser.pending == 7, "the copy's bytes are not the parser's"
    assert [command.raw for command in parser.feed(b"st")] == [b"\x1d(A\x04\x00test"]


# Real-time requests within the data of another command

IMAGE = b"\x1dv0\x00" + word(4) + word(3)
INSIDE = IMAGE + b"abc\x10\x04\x01def\x10\x04\x04"


def test_a_request_within_data_is_seen_by_the_models_that_look_for_it() -> None:
    found = commands([INSIDE + b"Z"], realtime_in_data=True)
    assert [command.raw for command in found] == [b"\x10\x04\x01", b"\x10\x04\x04", INSIDE, b"Z"]
    assert [command.raw for command in commands([INSIDE + b"Z"])] == [INSIDE, b"Z"]


def test_a_request_within_data_is_seen_before_the_data_end() -> None:
    parser = StreamParser(realtime_in_data=True)
    assert [command.raw for command in parser.feed(INSIDE[:14])] == [b"\x10\x04\x01"]
    assert parser.feed(INSIDE[14:16]) == []


@pytest.mark.parametrize("seed", range(20))
def test_requests_within_data_are_seen_once_however_it_is_split(seed: int) -> None:
    stream = b"x" + INSIDE + b"\x10\x04\x02" + INSIDE + b"\x1dk\x04A\x10\x04\x03\x00y"
    rng, pieces, at = random.Random(seed), [], 0
    while at < len(stream):
        step = rng.choice((1, 2, 3, 7))
        pieces.append(stream[at : at + step])
        at += step
    assert commands(pieces, realtime_in_data=True) == commands([stream], realtime_in_data=True)


@pytest.mark.parametrize("inside", [False, True])
def test_a_printer_answers_within_an_image_if_its_model_does(
    virtual_printers: Callable[..., VirtualPrinter], inside: bool
) -> None:
    printer = virtual_printers(realtime_in_data=inside)
    with socket.create_connection((printer.host, printer.port), timeout=2) as connection:
        connection.sendall(INSIDE + b"\x10\x04\x02\n\x1dV\x00")
        [receipt] = printer.wait_for_receipts(1)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as answers:
            assert answers.read() == b"\x12" * (3 if inside else 1)
    assert receipt.images[0].data == INSIDE[8:], "the dots are on paper either way"
