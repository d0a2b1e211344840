"""Receipts as pictures: drawn with characters for a terminal, and dot for dot as PNG."""

import io
import sys
from pathlib import Path

import pytest
from PIL import Image as Picture

from printobs.testing import Receipt
from printobs.testing.paper import Align, Barcode, Element, Feed, Image, Line, Span, Style, Symbol
from printobs.testing.paper_bitmap import Bitmap

CELL, LINE, MARGIN = 12, 30, 16
BAR = Barcode("CODE39", "AB", 50)
QR = Symbol("QR", b"data", 4)


def receipt(*elements: Element, cut: bool = True, columns: int = 12) -> Receipt:
    return Receipt(elements, cut, b"", columns, columns * CELL)


def line(text: str, align: Align = "left", **style: object) -> Line:
    return Line((Span(text, Style(**style)),), align)  # type: ignore[arg-type]


# Text


def rows(*elements: Element, columns: int = 12) -> list[str]:
    """What stands between the edges."""
    upper, *body, lower = receipt(*elements).render(columns).splitlines()
    assert upper == "┌" + "─" * columns + "┐"
    assert lower == "└" + "─" * columns + "┘"
    assert all(len(row) == columns + 2 and row[0] == row[-1] == "│" for row in body)
    return [row[1:-1] for row in body]


@pytest.mark.parametrize(
    ("element", "drawn"),
    [
        (line("left"), ["left        "]),
        (line("middle", "center"), ["   middle   "]),
        (line("right  ", "right"), ["       right"]),
        (line("wide", width=2), ["w i d e     "]),
        (line("longer than the paper"), ["longer than "]),
        (Line(), [" " * 12]),
        (Feed(29), []),
        (Feed(75), [" " * 12] * 2),
    ],
)
def test_lines_and_feeds_in_characters(element: Element, drawn: list[str]) -> None:
    assert rows(element) == drawn


def test_the_edge_says_whether_the_paper_was_cut() -> None:
    assert receipt(line("a"), cut=False, columns=5).render() == "┌─────┐\n│a    │\n└╱╲╱╲╱┘"


def test_an_image_in_characters_is_as_dark_as_its_dots() -> None:
    # 4 by 3 squares of 12 dots: black, white; and a row that has nothing under it.
    squares = ("#..#", "##..", ".#..")
    data = b"".join(
        int("".join("1" * CELL if square == "#" else "0" * CELL for square in row), 2).to_bytes(6)
        for row in squares
        for _ in range(CELL)
    )
    image = Bitmap(4 * CELL, 3 * CELL, data)
    assert rows(Image(image)) == ["█▄ ▀" + " " * 8, " ▀" + " " * 10]
    assert rows(Image(image, "center")) == ["    █▄ ▀    ", "     ▀      "]
    assert rows(Image(image, "right")) == ["        █▄ ▀", "         ▀  "]


def test_a_barcode_in_characters_has_its_text_or_its_kind_below() -> None:
    *bars, text = rows(Barcode("CODE39", "AB", 50, human_readable=True, align="right"))
    assert text == " " * 10 + "AB"
    assert len(bars) == 3
    assert len(set(bars)) == 1
    assert rows(BAR)[-1].rstrip() == "[CODE39]"
    assert rows(Barcode("CODE39", "AC"))[0] != rows(BAR)[0], "other data are other bars"


def finder(modules: list[str]) -> bool:
    """Whether the upper left corner is the pattern by which a QR code is found."""
    return [row[:8] for row in modules[:8]] == [
        "#######.",
        "#.....#.",
        *["#.###.#."] * 3,
        "#.....#.",
        "#######.",
        "........",
    ]


def test_a_qr_code_in_characters_has_two_rows_of_modules_in_each() -> None:
    drawn = rows(QR, columns=40)
    modules = []
    for row in drawn:
        modules.append("".join(".#"[character in "▀█"] for character in row))
        modules.append("".join(".#"[character in "▄█"] for character in row))
    assert len(drawn) == 11, "21 rows of modules"
    assert finder(modules)
    centered = rows(Symbol("QR", b"data", align="center"), columns=41)
    assert [row[10:31] for row in centered] == [row[:21] for row in drawn]


def test_what_is_no_qr_code_or_has_no_room_is_spelled_out() -> None:
    assert rows(Symbol("PDF417", b"a\xff"), columns=20) == ["[PDF417: a\ufffd]" + " " * 8]
    assert rows(QR, columns=20) == ["[QR: data]          "]
    assert rows(Symbol("QR", b"x" * 2954), columns=20) == ["[QR: " + "x" * 15], "one byte too long"


def test_without_the_qrcode_library_a_code_is_spelled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rows(QR, columns=40) != ["[QR: data]" + " " * 30]
    monkeypatch.setitem(sys.modules, "qrcode", None)
    assert rows(QR, columns=40) == ["[QR: data]" + " " * 30]


# PNG


def png(*elements: Element, cut: bool = True) -> list[str]:
    """The dots, white margin included."""
    picture = Picture.open(io.BytesIO(receipt(*elements, cut=cut).png()))
    assert (picture.format, picture.mode, picture.width) == ("PNG", "1", 12 * CELL + 2 * MARGIN)
    return ["".join(".#"[not picture.getpixel((x, y))] for x in range(picture.width)) for y in range(picture.height)]


def paper(*elements: Element) -> list[str]:
    """The dots within the margin, which is white."""
    dots = png(*elements)
    inside = [row[MARGIN:-MARGIN] for row in dots[MARGIN:-MARGIN]]
    assert sum(row.count("#") for row in dots) == sum(row.count("#") for row in inside)
    return inside


def ink(dots: list[str]) -> int:
    return sum(row.count("#") for row in dots)


def box(dots: list[str]) -> tuple[int, int, int, int]:
    """The first and the last column and row that have a black dot."""
    xs = [x for row in dots for x, dot in enumerate(row) if dot == "#"]
    ys = [y for y, row in enumerate(dots) if "#" in row]
    return min(xs), max(xs), min(ys), max(ys)


def test_a_line_is_drawn_in_its_cells() -> None:
    dots = paper(line("HH"), Feed(20), line("H", "right"))
    assert len(dots) == LINE + 20 + LINE
    first, last, top, bottom = box(dots[:LINE])
    assert first < CELL <= last < 2 * CELL
    assert 0 <= top < bottom < LINE
    assert ink(dots[LINE : LINE + 20]) == 0
    assert box(dots[LINE + 20 :])[0] >= 11 * CELL
    assert 5 * CELL <= box(paper(line("HH", "center")))[0] < 6 * CELL


def test_a_blank_line_is_as_high_as_another() -> None:
    assert paper(Line()) == ["." * 12 * CELL] * LINE


def test_bold_has_more_ink_and_an_underline_reaches_from_edge_to_edge() -> None:
    plain = paper(line("Hi"))
    assert ink(paper(line("Hi", bold=True))) > ink(plain)
    underlined = paper(line("Hi", underline=True))
    assert any(row == "#" * 2 * CELL + "." * 10 * CELL for row in underlined)
    assert not any(row.startswith("#" * 2 * CELL) for row in plain)


def test_inverted_and_upside_down_are_the_same_dots() -> None:
    plain = [row[: 2 * CELL] for row in paper(line("L:"))]
    inverted = [row[: 2 * CELL] for row in paper(line("L:", invert=True))]
    # Grey edges fall to either side.
    assert abs(ink(inverted) - (2 * CELL * LINE - ink(plain))) < ink(plain)
    assert inverted[0] == "#" * 2 * CELL
    turned = [row[: 2 * CELL] for row in paper(line("L:", upside_down=True))]
    first, last, top, bottom = box(plain)
    assert box(turned) == (2 * CELL - 1 - last, 2 * CELL - 1 - first, LINE - 1 - bottom, LINE - 1 - top)


def test_a_larger_character_takes_more_paper_and_stands_on_the_same_line() -> None:
    dots = paper(Line((Span("H", Style(width=3, height=2)), Span("H", Style()))))
    assert len(dots) == 2 * LINE
    assert box(dots)[1] >= 3 * CELL
    small = [row[3 * CELL :] for row in dots]
    assert box(small)[2] >= LINE


def test_font_b_is_narrower() -> None:
    assert box(paper(line("H" * 12, font="b")))[1] < 12 * CELL * 3 // 4 <= box(paper(line("H" * 12)))[1]


def test_paper_with_one_dot_for_each_character_can_be_drawn() -> None:
    narrow = Receipt((line("ab", font="b", height=2),), True, b"", 4, 4)
    assert Picture.open(io.BytesIO(narrow.png())).size == (4 + 2 * MARGIN, 2 * LINE + 2 * MARGIN)


def test_an_image_is_drawn_dot_for_dot() -> None:
    image = Bitmap(10, 3, b"\xaa\x80\xc0\xc0\x80\x40")
    shape = ["#.#.#.#.#.", "##......##", "#........#"]
    spare = 12 * CELL - 10
    assert paper(Image(image)) == [row + "." * spare for row in shape]
    assert paper(Image(image, "right")) == ["." * spare + row for row in shape]
    assert paper(Image(image, "center")) == ["." * (spare // 2) + row + "." * (spare // 2) for row in shape]


def test_a_barcode_is_as_high_as_it_was_set_and_has_its_text_below() -> None:
    bare = paper(BAR)
    assert len(set(bare[:50])) == 1, "bars are upright"
    assert bare[0].startswith("##")
    assert ink(bare[50:]) == 0
    human_readable = paper(Barcode("CODE39", "AB", 50, human_readable=True))
    assert human_readable[:50] == bare[:50]
    assert ink(human_readable[50:]) > 0


def test_a_qr_code_is_drawn_in_modules_of_its_size() -> None:
    dots = paper(QR)
    assert len(dots) == 21 * 4
    assert dots == [row for row in dots[::4] for _ in range(4)]
    modules = [row[: 21 * 4 : 4] for row in dots[::4]]
    assert finder(modules)
    assert [row[: 21 * 4] for row in dots] == ["".join(dot * 4 for dot in row) for row in modules for _ in range(4)]


def test_another_symbol_is_spelled_out() -> None:
    dots = paper(Symbol("Aztec", b"12"))
    assert len(dots) == LINE
    assert ink(dots) > 0
    assert dots != paper(Symbol("Aztec", b"34"))


def test_a_torn_receipt_has_a_ragged_edge() -> None:
    cut, torn = png(line("text")), png(line("text"), cut=False)
    assert torn[:-MARGIN] == cut[:-MARGIN]
    assert ink(cut[-MARGIN:]) == 0
    assert ink(torn[-MARGIN:]) > 0


def test_without_the_usual_font_there_is_still_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("XDG_DATA_HOME", "XDG_DATA_DIRS"):
        monkeypatch.setenv(name, str(tmp_path))
    dots = paper(line("HH"))
    assert len(dots) == LINE
    assert ink(dots) > 0
    assert box(dots)[1] < 2 * CELL
