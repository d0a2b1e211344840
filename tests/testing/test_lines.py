"""Text: where it stands in its line, how far the paper moves, and how it looks."""

import socket
from collections.abc import Callable

import pytest

from printobs.testing import Receipt, VirtualPrinter
from printobs.testing.paper import Feed, Line, Span, Style

Paper = Callable[[bytes], Receipt]


def at(dots: int) -> bytes:
    return b"\x1b$" + dots.to_bytes(2, "little")


def by(dots: int) -> bytes:
    return b"\x1b\\" + dots.to_bytes(2, "little", signed=True)


def styled(text: str, **style: object) -> Span:
    return Span(text, Style(**style))  # type: ignore[arg-type]


# Positions; a character of font A is 12 dots wide, a line 576

FONT_B, DOUBLE_WIDTH = b"\x1bM\x01", b"\x1d!\x10"


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"a\tb\tc", "a       b       c"),
        (b"12345678\tb", "12345678        b"),
        (b"\x1bD\x03\x0a\x00a\tb\tc\td", "a  b      cd"),
        (b"\x1bD\x00a\tb", "ab"),
        (b"\x1bD\x05\x05a\tb", "a    b"),
        (at(120) + b"x", "          x"),
        (b"ab" + at(60) + b"x", "ab   x"),
        (b"ab" + by(24) + b"x", "ab  x"),
        (b"abc" + by(-12) + by(36) + b"x", "abc  x"),
        (b"a" + at(577) + b"x", "ax"),
        (b"a" + by(570) + b"x", "ax"),
        (b"a" + by(-13) + b"x", "ax"),
    ],
)
def test_a_position_in_the_line(paper: Paper, data: bytes, line: str) -> None:
    assert paper(data + b"\n").lines == (line,)


def test_tabs_keep_their_place_when_characters_change(paper: Paper) -> None:
    receipt = paper(b"\x1bD\x0a\x00" + FONT_B + b"\tnarrow\n" + b"\x1bM\x00" + DOUBLE_WIDTH + b"\twide\n")
    narrow, wide = receipt.lines
    assert narrow.index("n") == 13, "the width of ten characters in those of 9 dots"
    assert wide.index("w") == 5, "the same in those of 24"
    receipt = paper(b"\x1b@" + DOUBLE_WIDTH + b"\x1bD\x05\x00\x1d!\x00\tx\n")
    assert receipt.text == "          x"


def test_a_tab_over_the_edge_stops_at_it(paper: Paper) -> None:
    assert paper(b"\x1bD\x64\x00a\tb\n").lines == ("a", "b")
    assert paper(b"\x1b@" + b"x" * 48 + b"\ty\n").lines == ("x" * 48, "        y")


def test_skipped_paper_is_neither_underlined_nor_inverted(paper: Paper) -> None:
    [line] = paper(b"\x1b-\x01\x1dB\x01a\tb\n").elements
    assert line == Line(
        (
            styled("a", underline=True, invert=True),
            styled("       "),
            styled("b", underline=True, invert=True),
        )
    )


@pytest.mark.parametrize(
    ("data", "first"),
    [
        (b"", 48),
        (FONT_B, 64),
        (DOUBLE_WIDTH, 24),
        (b"\x1b!\x21", 32),
        (b"\x1b \x04", 36),
        (b"\x1dL\x18\x00", 46),
        (b"\x1dW\x78\x00", 10),
        (b"\x1dL\x30\x02\x1dW\x78\x00", 1),
        (b"\x1dL\xff\x7f", 1),
    ],
    ids=["A", "B", "double", "B double", "spaced", "margin", "area", "both", "no room"],
)
def test_a_full_line_goes_on_below(paper: Paper, data: bytes, first: int) -> None:
    text = "".join(chr(65 + index % 26) for index in range(70))
    lines = paper(data + text.encode() + b"\n").lines
    assert lines[0] == text[:first]
    assert "".join(lines) == text


def test_narrow_paper_has_room_for_font_b(virtual_printers: Callable[..., VirtualPrinter]) -> None:
    printer = virtual_printers(columns=4, dots=4)
    with socket.create_connection((printer.host, printer.port)) as connection:
        connection.sendall(FONT_B + b"ab" + by(1) + b"cde\n\x1dV\x00")
        assert printer.wait_for_receipts(1)[0].lines == ("ab c", "de")


# How far the paper moves


@pytest.mark.parametrize(
    ("data", "blank"),
    [
        (b"a\n\x1bJ\x64b\n", [100]),
        (b"a\x1bJ\x64b\n", [76]),
        (b"a\x1bJ\x0ab\n", []),
        (b"a\n\x1bd\x03b\n", [90]),
        (b"a\x1bd\x03b\n", [66]),
        (b"\x1b3\x50a\x1bd\x02b\n", [136]),
        (b"\x1b3\x50\x1b2a\n\x1bd\x02b\n", [60]),
        (b"\x1bA\x28a\n\x1bd\x02b\n", [80]),
        (b"\x1b+\x28a\n\x1bd\x02b\n", [80]),
        (b"a\n\x1bJ\x0a\x1bJ\x0ab\n", [20]),
        (b"a\x1bK\x10b\n", []),
        (b"a\x1be\x01b\n", []),
        (b"a\x1bJ\x00b\n", []),
    ],
)
def test_feeds(paper: Paper, data: bytes, blank: list[int]) -> None:
    receipt = paper(data)
    assert receipt.lines == ("a", "b")
    assert [element.dots for element in receipt.elements if isinstance(element, Feed)] == blank


@pytest.mark.parametrize(
    ("cut", "blank"),
    [
        (b"\x1dV\x01", []),
        (b"\x1dV\x31", []),
        (b"\x1dV\x41\x00", []),
        (b"\x1dV\x42\x20", [32]),
        (b"\x1dV\x41\x20", [32]),
        (b"\x1bi", []),
        (b"\x1bm", []),
    ],
)
def test_cuts(paper: Paper, virtual_printer: VirtualPrinter, cut: bytes, blank: list[int]) -> None:
    receipt = paper(b"first" + cut + b"second\n")
    assert (receipt.text, receipt.cut) == ("first", True)
    assert [element.dots for element in receipt.elements if isinstance(element, Feed)] == blank
    assert virtual_printer.wait_for_receipts(2)[1].text == "second"


def test_a_cut_through_nothing_is_no_receipt(paper: Paper, virtual_printer: VirtualPrinter) -> None:
    assert paper(b"\x1dV\x00\x1dV\x00text\n").text == "text"
    assert len(virtual_printer.receipts) == 1


# Looks


@pytest.mark.parametrize(
    ("on", "off", "style"),
    [
        (b"\x1bE\x01", b"\x1bE\x00", {"bold": True}),
        (b"\x1bE\xff", b"\x1bE\xfe", {"bold": True}),
        (b"\x1bG\x01", b"\x1bG\x00", {"bold": True}),
        (b"\x1b-\x01", b"\x1b-\x00", {"underline": True}),
        (b"\x1b-\x32", b"\x1b-\x30", {"underline": True}),
        (b"\x1bM\x01", b"\x1bM\x00", {"font": "b"}),
        (b"\x1bM1", b"\x1bM0", {"font": "b"}),
        (b"\x1b{\x01", b"\x1b{\x00", {"upside_down": True}),
        (b"\x1dB\x01", b"\x1dB\x00", {"invert": True}),
        (b"\x1d!\x10", b"\x1d!\x00", {"width": 2}),
        (b"\x1d!\x75", b"\x1d!\x00", {"width": 8, "height": 6}),
        (b"\x1b!\x01", b"\x1b!\x00", {"font": "b"}),
        (b"\x1b!\x08", b"\x1b!\x00", {"bold": True}),
        (b"\x1b!\x10", b"\x1b!\x00", {"height": 2}),
        (b"\x1b!\x20", b"\x1b!\x00", {"width": 2}),
        (b"\x1b!\x80", b"\x1b!\x00", {"underline": True}),
        (b"\x1b!\xff", b"\x1b!\x00", {"font": "b", "bold": True, "height": 2, "width": 2, "underline": True}),
    ],
)
def test_a_style_is_switched_on_and_off(paper: Paper, on: bytes, off: bytes, style: dict[str, object]) -> None:
    [line] = paper(on + b"on" + off + b"off\n").elements
    assert line == Line((styled("on", **style), styled("off")))


@pytest.mark.parametrize("command", [b"\x1d!\x08", b"\x1d!\x80", b"\x1b-\x03", b"\x1bM\x05", b"\x1ba\x07"])
def test_values_that_are_not_defined_change_nothing(paper: Paper, command: bytes) -> None:
    setting = b"\x1d!\x11\x1b-\x01\x1bM\x01\x1ba\x01"
    assert paper(setting + command + b"text\n").elements == paper(b"\x1b@" + setting + b"text\n").elements


@pytest.mark.parametrize(
    ("n", "align"), [(0, "left"), (1, "center"), (2, "right"), (48, "left"), (49, "center"), (50, "right")]
)
def test_alignment(paper: Paper, n: int, align: str) -> None:
    [line, image] = paper(b"\x1ba" + bytes([n]) + b"text\n\x1dv0\x00\x01\x00\x01\x00\xff").elements
    assert isinstance(line, Line)
    assert line.align == align
    assert getattr(image, "align", "") == align


# Characters


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x80\xe1", "Çß"),
        (b"\x1bt\x02\xd5", "ı"),
        (b"\x1bt\x13\xd5", "€"),
        (b"\x1bt\x10\x80", "€"),
        (b"\x1bt\x11\x80", "А"),
        (b"\x1bt\xff\xe4", "ä"),
        (b"\x1bt\x10\x81", "\x81"),
        (b"\x1bR\x02[\\]{|}~@", "ÄÖÜäöüß§"),
        (b"\x1bR\x03#", "£"),
        (b"\x1bR\x08\\", "¥"),
        (b"\x1bR\x63#\\", "#\\"),
        (b"\x1bt\x10\x1bR\x03\x1b@#\x80", "#Ç"),
    ],
)
def test_characters_of_code_pages_and_countries(paper: Paper, data: bytes, text: str) -> None:
    assert paper(data + b"\n").text == text


def test_characters_that_were_downloaded(paper: Paper) -> None:
    define = b"\x1b&\x03AB" + b"\x01abc" + b"\x02abcdef"
    use, leave, forget = b"\x1b%\x01", b"\x1b%\x00", b"\x1b?A"
    assert paper(define + b"ABC" + use + b"ABC" + leave + b"ABC\n").text == "ABC\ue041\ue042CABC"
    assert paper(use + forget + b"AB\n").text == "A\ue042"
    assert paper(b"\x1b@" + use + b"AB\n").text == "AB"


def test_what_is_for_the_display_is_not_printed(paper: Paper) -> None:
    assert paper(b"on\x1b=\x02\x1dV\x00not\n\x1b@\x1b=\x01 paper\n").lines == ("on paper",)


def test_control_characters_do_nothing(paper: Paper) -> None:
    assert paper(b"a\x00\x01\x07\r\x7fb\n").lines == ("ab",)
