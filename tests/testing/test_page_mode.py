"""Page mode: composed anywhere on the page, printed from top to bottom."""

from collections.abc import Callable

import pytest

from printobs.testing import Receipt
from printobs.testing.paper import Element, Feed, Image, Line, Span, Style
from printobs.testing.paper_bitmap import Bitmap

Paper = Callable[[bytes], Receipt]

PAGE, STANDARD, PRINT, PRINT_AND_STAY, CANCEL = b"\x1bL", b"\x1bS", b"\x0c", b"\x1b\x0c", b"\x18"
BLACK = b"\x1dv0\x00\x01\x00\x08\x00" + b"\xff" * 8


def down_to(dots: int) -> bytes:
    return b"\x1d$" + dots.to_bytes(2, "little")


def down_by(dots: int) -> bytes:
    return b"\x1d\\" + dots.to_bytes(2, "little", signed=True)


def line(text: str) -> Line:
    return Line((Span(text, Style()),))


def test_a_page_comes_out_from_top_to_bottom_with_its_blanks(paper: Paper) -> None:
    receipt = paper(PAGE + down_to(100) + b"below\n" + down_to(10) + b"above\n" + PRINT + b"after\n")
    assert receipt.elements == (Feed(10), line("above"), Feed(60), line("below"), line("after"))


def test_nothing_comes_out_before_the_page_is_printed(paper: Paper) -> None:
    assert paper(PAGE + b"lost\n" + BLACK + STANDARD + b"kept\n").elements == (line("kept"),)


def test_the_line_being_composed_is_on_the_page(paper: Paper) -> None:
    assert paper(PAGE + b"first\nlast" + PRINT).elements == (line("first"), line("last"))


def test_a_line_begun_is_printed_before_the_page(paper: Paper) -> None:
    assert paper(b"before" + PAGE + b"page\n" + PRINT).lines == ("before", "page")


def test_a_page_can_be_printed_again(paper: Paper) -> None:
    receipt = paper(PAGE + b"twice\n" + PRINT_AND_STAY + PRINT_AND_STAY + b"and this\n" + PRINT)
    assert receipt.lines == ("twice", "twice", "twice", "and this")


def test_cancelling_takes_all_off_the_page_and_stays_on_it(paper: Paper) -> None:
    receipt = paper(PAGE + down_to(50) + b"lost\nlost too" + CANCEL + b"page\n" + STANDARD + b"standard\n")
    assert receipt.lines == ("standard",)
    assert paper(PAGE + b"lost\n" + CANCEL + b"page\n" + PRINT).elements == (line("page"),)


def test_selecting_page_mode_again_changes_nothing(paper: Paper) -> None:
    assert paper(PAGE + b"one\n" + PAGE + b"two\n" + PRINT).lines == ("one", "two")


@pytest.mark.parametrize("command", [PRINT, PRINT_AND_STAY, CANCEL, down_to(100), down_by(100)])
def test_commands_of_page_mode_do_nothing_in_standard_mode(paper: Paper, command: bytes) -> None:
    assert paper(b"one " + command + b"line\n").elements == (line("one line"),)


def test_initializing_leaves_page_mode(paper: Paper) -> None:
    assert paper(PAGE + b"lost\n\x1b@standard\n").lines == ("standard",)


@pytest.mark.parametrize(
    ("moves", "elements"),
    [
        (b"a\n" + down_by(50) + b"b\n", (line("a"), Feed(50), line("b"))),
        (down_to(60) + b"b\n" + down_by(-90) + b"a\n", (line("a"), Feed(30), line("b"))),
        # Not from under the line: the position has not left it yet.
        (b"a" + down_by(50) + b"\x1b$\x00\x00b\n", (line("a"), Feed(20), line("b"))),
        (down_by(-10) + b"a\n", (line("a"),)),
        (b"a\x1bJ\x50b\n", (line("a"), Feed(56), line("b"))),
        (b"a\x1bd\x02b\n", (line("a"), Feed(36), line("b"))),
    ],
    ids=["relative", "upwards", "relative to a line", "not above the page", "dots", "lines"],
)
def test_vertical_positions(paper: Paper, moves: bytes, elements: tuple[Element, ...]) -> None:
    assert paper(PAGE + moves + PRINT).elements == elements


def test_moving_down_leaves_the_horizontal_position(paper: Paper) -> None:
    assert paper(PAGE + b"one" + down_to(30) + b"two\n" + PRINT).text == "one\n   two"


def test_images_stand_where_they_were_put(paper: Paper) -> None:
    receipt = paper(PAGE + down_to(40) + BLACK + b"under it\n" + down_to(0) + b"over it\n" + PRINT)
    image = Image(Bitmap(8, 8, b"\xff" * 8))
    assert receipt.elements == (line("over it"), Feed(10), image, line("under it"))


def test_paper_is_not_cut_in_the_middle_of_a_page(paper: Paper) -> None:
    assert paper(PAGE + b"one\n\x1dV\x00two\n" + PRINT).lines == ("one", "two")


def test_a_page_is_finite(paper: Paper) -> None:
    assert len(paper(PAGE + b"\n" * 6000 + PRINT).lines) == 5000
