"""Barcodes and two-dimensional codes: what a scanner would read off the paper."""

from collections.abc import Callable

import pytest

from printobs.testing import Receipt
from printobs.testing.paper import Barcode, Line, Symbol

Paper = Callable[[bytes], Receipt]


def barcode(kind: int, data: bytes) -> bytes:
    """GS k, function B."""
    return b"\x1dk" + bytes([kind, len(data)]) + data


def symbol(kind: int, function: int, data: bytes) -> bytes:
    return b"\x1d(k" + (2 + len(data)).to_bytes(2, "little") + bytes([kind, function]) + data


def stored(kind: int, data: bytes) -> bytes:
    return symbol(kind, 80, b"0" + data)


def printed(kind: int) -> bytes:
    return symbol(kind, 81, b"0")


PDF417, QR, MAXICODE, DATABAR, COMPOSITE, AZTEC, DATAMATRIX = range(48, 55)


@pytest.mark.parametrize(
    ("data", "kind", "text"),
    [
        (b"\x1dk\x00012345678905\x00", "UPC-A", "012345678905"),
        (b"\x1dk\x02400638133393\x00", "EAN13", "400638133393"),
        (b"\x1dk\x04*AB-1*\x00", "CODE39", "*AB-1*"),
        (b"\x1dk\x06A123B\x00", "CODABAR", "A123B"),
        (barcode(65, b"012345678905"), "UPC-A", "012345678905"),
        (barcode(68, b"9638507"), "EAN8", "9638507"),
        (barcode(72, b"Code 93"), "CODE93", "Code 93"),
        (barcode(74, b"(01)04006381333931"), "GS1-128", "(01)04006381333931"),
        (barcode(78, b"0104006381333931"), "GS1 DATABAR EXPANDED", "0104006381333931"),
        (barcode(79, b"any \xff"), "CODE128", "any ÿ"),
        (barcode(73, b"{BNo. {{1}"), "CODE128", "No. {1}"),
        (barcode(73, b"{C\x0c\x22\x00{BAB"), "CODE128", "123400AB"),
        (barcode(73, b"{A{1A1{SB"), "CODE128", "A1B"),
    ],
)
def test_a_barcode_says_what_it_was_given(paper: Paper, data: bytes, kind: str, text: str) -> None:
    [found] = paper(data).elements
    assert found == Barcode(kind, text)


@pytest.mark.parametrize(
    "data", [b"\x1dk\x02\x00", b"\x1dk\x07123\x00", barcode(65, b""), barcode(80, b"123"), barcode(255, b"123")]
)
def test_no_barcode_is_printed_of_no_data_or_of_no_kind(paper: Paper, data: bytes) -> None:
    assert paper(b"one " + data + b"line\n").elements == paper(b"one line\n").elements


@pytest.mark.parametrize(
    ("setting", "height", "human_readable"),
    [
        (b"\x1dh\x50", 80, False),
        (b"\x1dh\x00", 162, False),
        *((b"\x1dH" + bytes([n]), 162, True) for n in b"\x01\x02\x03123"),
        *((b"\x1dH\x02\x1dH" + bytes([n]), 162, False) for n in b"\x000"),
        (b"\x1dh\x50\x1dH\x02\x1b@", 162, False),
    ],
)
def test_a_barcode_is_as_high_as_was_set_and_has_its_text_where_it_was_set(
    paper: Paper, setting: bytes, height: int, human_readable: bool
) -> None:
    [found] = paper(setting + barcode(67, b"400638133393")).barcodes
    assert (found.height, found.human_readable) == (height, human_readable)


def test_a_line_begun_is_printed_before_a_barcode_and_a_symbol(paper: Paper) -> None:
    receipt = paper(b"one" + barcode(67, b"400638133393") + b"two" + stored(QR, b"data") + printed(QR) + b"three\n")
    assert [type(element) for element in receipt.elements] == [Line, Barcode, Line, Symbol, Line]
    assert receipt.lines == ("one", "two", "three")


@pytest.mark.parametrize(
    ("kind", "name"),
    [(PDF417, "PDF417"), (QR, "QR"), (MAXICODE, "MaxiCode"), (AZTEC, "Aztec"), (DATAMATRIX, "DataMatrix")],
)
def test_a_symbol_says_what_was_stored(paper: Paper, kind: int, name: str) -> None:
    receipt = paper(b"\x1ba\x01" + stored(kind, b"0\x00\xff") + printed(kind) + printed(kind))
    assert receipt.elements == (Symbol(name, b"0\x00\xff", align="center"),) * 2, "it can be printed again"


def test_databar_data_begin_after_the_byte_that_says_which(paper: Paper) -> None:
    receipt = paper(stored(DATABAR, b"\x480400638133393") + printed(DATABAR))
    assert receipt.elements == (Symbol("GS1 DataBar", b"0400638133393"),)


LINEAR, OTHER = b"\x30\x42" + b"400638133393", b"\x31\x41" + b"(17)270101"


@pytest.mark.parametrize(
    ("data", "content"),
    [
        (stored(COMPOSITE, LINEAR) + stored(COMPOSITE, OTHER), b"400638133393|(17)270101"),
        (
            2 * (stored(COMPOSITE, LINEAR) + stored(COMPOSITE, OTHER)) + stored(COMPOSITE, b"\x31\x41(10)A"),
            b"400638133393|(10)A",
        ),
    ],
    ids=["both", "another"],
)
def test_a_composite_symbol_has_its_two_components(paper: Paper, data: bytes, content: bytes) -> None:
    assert paper(data + printed(COMPOSITE)).elements == (Symbol("Composite", content),)


@pytest.mark.parametrize(
    ("setting", "size", "correction"),
    [
        (b"", 3, "L"),
        (symbol(QR, 67, b"\x06"), 6, "L"),
        (symbol(QR, 67, b"\x00") + symbol(QR, 67, b"\x11"), 3, "L"),
        (symbol(PDF417, 67, b"\x06"), 3, "L"),
        *((symbol(QR, 69, bytes([n])), 3, level) for n, level in zip(b"0123", "LMQH", strict=True)),
        (symbol(PDF417, 69, b"03"), 3, "L"),
        (symbol(QR, 65, b"2\x00"), 3, "L"),
    ],
    ids=["none", "size", "no size", "another's size", *"LMQH", "another's level", "model"],
)
def test_a_qr_code_is_as_large_and_as_safe_as_was_set(paper: Paper, setting: bytes, size: int, correction: str) -> None:
    [found] = paper(setting + stored(QR, b"data") + printed(QR)).symbols
    assert (found.size, found.correction) == (size, correction)


@pytest.mark.parametrize(
    "data",
    [
        printed(QR),
        stored(QR, b"") + printed(QR),
        stored(PDF417, b"data") + printed(QR),
        stored(QR, b"data") + b"\x1b@one " + printed(QR),
        stored(60, b"data") + printed(60),
        b"\x1d(k\x02\x001Q",
        b"\x1d(k\x00\x00",
        stored(COMPOSITE, b"") + printed(COMPOSITE),
    ],
    ids=["nothing", "no data", "another kind", "initialized", "unknown kind", "too short", "empty", "no component"],
)
def test_no_symbol_is_printed_of_what_was_not_stored(paper: Paper, data: bytes) -> None:
    assert paper(b"one " + data + b"line\n").elements == paper(b"one line\n").elements
