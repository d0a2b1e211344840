"""Images: each dot that was sent is on the paper, and no other."""

import itertools
from collections.abc import Callable

import pytest
from escpos.printer import Network
from PIL import Image as Picture

from printobs.testing import Receipt, VirtualPrinter
from printobs.testing.paper import Feed, Image, Line

Paper = Callable[[bytes], Receipt]

NO_SPACING = b"\x1b3\x00"
PRINT_BUFFER = b"\x1d(L\x02\x00\x302"
# Ten by three dots, and the same by columns: three dots deep.
SHAPE = ("#.#.#.#.#.", "##......##", "#........#")
ROWS = b"\xaa\x80\xc0\xc0\x80\x40"
COLUMNS = b"\xe0\x40\x80\x00\x80\x00\x80\x00\xc0\x60"


def dots(image: Image) -> tuple[str, ...]:
    return tuple(
        "".join("#" if image.bitmap.black(x, y) else "." for x in range(image.width)) for y in range(image.height)
    )


def enlarged(shape: tuple[str, ...], across: int, down: int) -> tuple[str, ...]:
    return tuple("".join(dot * across for dot in row) for row in shape for _ in range(down))


def words(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(2, "little") for number in numbers)


def graphics(data: bytes, *, long: bool = False) -> bytes:
    """GS ( L or GS 8 L."""
    if long:
        return b"\x1d8L" + len(data).to_bytes(4, "little") + data
    return b"\x1d(L" + words(len(data)) + data


def one(receipt: Receipt) -> tuple[str, ...]:
    [image] = receipt.images
    return dots(image)


@pytest.mark.parametrize(
    ("mode", "across", "down"), [(0, 1, 1), (1, 2, 1), (2, 1, 2), (3, 2, 2), (48, 1, 1), (49, 2, 1), (51, 2, 2)]
)
def test_a_raster_image(paper: Paper, mode: int, across: int, down: int) -> None:
    shape = ("#......##.......", "........#######.")
    data = b"\x81\x80\x00\xfe"
    assert one(paper(b"\x1dv0" + bytes([mode]) + words(2, 2) + data)) == enlarged(shape, across, down)


@pytest.mark.parametrize(
    ("mode", "column", "across", "rows"),
    [
        (0, b"\x81", 2, ("#" * 3 + "." * 18 + "#" * 3)),
        (1, b"\x81", 1, ("#" * 3 + "." * 18 + "#" * 3)),
        (32, b"\x80\x00\x01", 2, ("#" + "." * 22 + "#")),
        (33, b"\x80\x00\x01", 1, ("#" + "." * 22 + "#")),
    ],
)
def test_a_bit_image_is_24_dots_high_in_all_densities(
    paper: Paper, mode: int, column: bytes, across: int, rows: str
) -> None:
    receipt = paper(NO_SPACING + b"\x1b*" + bytes([mode]) + words(5) + column * 5 + b"\n")
    assert one(receipt) == tuple(row * 5 * across for row in rows)
    assert receipt.elements == receipt.images


def test_a_bit_image_takes_the_height_of_its_line(paper: Paper) -> None:
    receipt = paper(b"\x1b*\x21" + words(1) + b"\xff" * 3 + b"\nnext\n")
    assert receipt.elements[1] == Feed(6)


def test_bit_images_with_no_paper_between_them_are_one(paper: Paper) -> None:
    band = b"\x1b*\x21" + words(2) + b"\xff\xff\xff\x00\x00\x00\n"
    assert one(paper(b"\x1b3\x18" + 2 * band)) == ("#.",) * 48


def test_bit_images_in_a_line_stand_side_by_side(paper: Paper) -> None:
    receipt = paper(NO_SPACING + b"\x1b*\x21" + words(3) + b"\xff" * 9 + b"\x1b*\x01" + words(2) + b"\x80\x01\n")
    assert one(receipt) == (*("####.",) * 3, *("###..",) * 18, *("###.#",) * 3)


def test_bit_images_stand_where_the_print_position_is(paper: Paper) -> None:
    column = b"\x1b*\x21" + words(1) + b"\xff" * 3
    receipt = paper(NO_SPACING + b"\x1b$" + words(4) + column + b"\x1b\\" + words(2) + column + b"\n")
    assert receipt.elements == receipt.images, "no line of blanks besides"
    assert one(receipt) == ("....#..#",) * 24


def test_text_beside_a_bit_image_is_not_lost(paper: Paper) -> None:
    receipt = paper(NO_SPACING + b"ab\x1b*\x21" + words(1) + b"\xff" * 3 + b"\n")
    assert one(receipt) == ("." * 24 + "#",) * 24
    assert receipt.text == "ab"


@pytest.mark.parametrize(
    "image",
    [
        b"\x1dv0\x00" + words(100, 1) + b"\xff" * 100,
        NO_SPACING + b"\x1b*\x21" + words(600) + b"\xff" * 1800 + b"\x1b*\x21" + words(1) + b"\xff" * 3 + b"\n",
    ],
)
def test_what_is_wider_than_the_paper_is_cut_off(paper: Paper, image: bytes) -> None:
    assert set(one(paper(image))) == {"#" * 576}


@pytest.mark.parametrize("columns", [47, 48])
def test_what_is_cut_off_leaves_no_dots_behind(virtual_printers: Callable[..., VirtualPrinter], columns: int) -> None:
    printer = virtual_printers(columns=1, dots=columns)
    out = Network(printer.host, printer.port)
    out._raw(b"\x1dv0\x00" + words(7, 2) + b"\xff" * 14)
    out.cut()
    out.close()
    [image] = printer.wait_for_receipts(1)[0].images
    assert dots(image) == ("#" * columns,) * 2
    assert image.data == (b"\xff" * 5 + (b"\xfe" if columns == 47 else b"\xff")) * 2


def test_an_unknown_bit_image_prints_nothing(paper: Paper) -> None:
    assert paper(b"\x1b*\x07" + words(3) + b"abc\n").elements == paper(b"abc\n").elements


def test_an_image_of_no_dots_is_none(paper: Paper) -> None:
    assert paper(b"\x1dv0\x00" + words(0, 9) + b"text\n").elements == paper(b"text\n").elements


def test_a_line_begun_is_printed_before_an_image(paper: Paper) -> None:
    kinds = [type(element) for element in paper(b"begun\x1dv0\x00" + words(1, 1) + b"\xff").elements]
    assert kinds == [Line, Image]


# Images that are stored first

# GS *: 8 by 16 dots.
DOWNLOADED = b"\x1d*\x01\x02" + b"\xff\x00" + b"\x00\x01" * 7
DOWNLOADED_SHAPE = (*("#.......",) * 8, *("........",) * 7, ".#######")
# FS q: the same, and a second one of 16 by 8 dots.
NONVOLATILE = b"\x1cq\x02" + words(1, 2) + DOWNLOADED[4:] + words(2, 1) + b"\x80" * 16


@pytest.mark.parametrize(("mode", "across", "down"), [(0, 1, 1), (1, 2, 1), (2, 1, 2), (3, 2, 2), (51, 2, 2)])
def test_a_downloaded_image(paper: Paper, mode: int, across: int, down: int) -> None:
    assert one(paper(DOWNLOADED + b"\x1d/" + bytes([mode]))) == enlarged(DOWNLOADED_SHAPE, across, down)


@pytest.mark.parametrize(("mode", "across", "down"), [(0, 1, 1), (1, 2, 1), (50, 1, 2), (3, 2, 2)])
def test_nonvolatile_images_by_number(paper: Paper, mode: int, across: int, down: int) -> None:
    receipt = paper(NONVOLATILE + b"\x1cp\x01" + bytes([mode]) + b"\n\x1cp\x02\x00")
    first, second = receipt.images
    assert dots(first) == enlarged(DOWNLOADED_SHAPE, across, down)
    assert dots(second) == ("#" * 16, *("." * 16,) * 7)


def test_defining_nonvolatile_images_replaces_all_of_them(paper: Paper) -> None:
    again = b"\x1cq\x01" + words(1, 1) + b"\xff" * 8
    receipt = paper(NONVOLATILE + again + b"\x1cp\x01\x00\x1cp\x02\x00")
    assert one(receipt) == ("#" * 8,) * 8


@pytest.mark.parametrize(
    "command",
    [
        b"\x1d/\x00",
        b"\x1cp\x01\x00",
        PRINT_BUFFER,
        graphics(b"\x30\x45AB\x01\x01"),
        graphics(b"\x30\x55AB\x01\x01"),
        graphics(b"\x31\x32"),
        graphics(b"\x30"),
        graphics(b"\x30\x31\x33\x33"),
        graphics(b"\x30\x45AB"),
    ],
)
def test_what_was_never_stored_prints_nothing(paper: Paper, command: bytes) -> None:
    assert paper(command + b"text\n").elements == paper(b"text\n").elements


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize(("function", "data"), [(112, ROWS), (113, COLUMNS)])
@pytest.mark.parametrize(("across", "down"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_the_print_buffer(paper: Paper, function: int, data: bytes, across: int, down: int, long: bool) -> None:
    store = bytes([48, function, 48, across, down, 49]) + words(10, 3) + data
    assert one(paper(graphics(store, long=long) + PRINT_BUFFER)) == enlarged(SHAPE, across, down)


def test_the_print_buffer_is_printed_once(paper: Paper) -> None:
    store = graphics(b"\x30\x70\x30\x01\x01\x31" + words(10, 3) + ROWS)
    assert one(paper(store + b"\x1d(L\x02\x00\x30\x02" + PRINT_BUFFER)) == SHAPE


def stored(function: int, key: bytes, data: bytes, colours: int = 1) -> bytes:
    return graphics(bytes([48, function, 48]) + key + bytes([colours]) + words(10, 3) + b"1" + data)


def printed(function: int, key: bytes, across: int = 1, down: int = 1) -> bytes:
    return graphics(bytes([48, function]) + key + bytes([across, down]))


@pytest.mark.parametrize(
    ("define", "data", "printing"), [(67, ROWS, 69), (68, COLUMNS, 69), (83, ROWS, 85), (84, COLUMNS, 85)]
)
@pytest.mark.parametrize(("across", "down"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_graphics_by_key(paper: Paper, define: int, data: bytes, printing: int, across: int, down: int) -> None:
    receipt = paper(stored(define, b"AB", data) + printed(printing, b"AB", across, down))
    assert one(receipt) == enlarged(SHAPE, across, down)


def test_of_several_colours_the_first_is_printed(paper: Paper) -> None:
    assert one(paper(stored(67, b"AB", ROWS + b"2" + bytes(6), 2) + printed(69, b"AB"))) == SHAPE


@pytest.mark.parametrize(("define", "printing", "delete", "delete_all"), [(67, 69, 66, 65), (83, 85, 82, 81)])
def test_graphics_are_deleted_by_key_or_all_at_once(
    paper: Paper, define: int, printing: int, delete: int, delete_all: int
) -> None:
    both = stored(define, b"AA", ROWS) + stored(define, b"BB", b"\xff\xc0" * 3)
    print_both = printed(printing, b"AA") + b"\n" + printed(printing, b"BB")
    assert [dots(image)[1] for image in paper(both + print_both).images] == [SHAPE[1], "#" * 10]
    assert one(paper(graphics(bytes([48, delete]) + b"AA") + print_both)) == ("#" * 10,) * 3
    assert paper(graphics(bytes([48, delete_all]) + b"CLR") + print_both).images == ()


def test_deleting_graphics_leaves_images_of_the_older_commands(paper: Paper) -> None:
    delete = graphics(b"\x30\x41CLR") + graphics(b"\x30\x51CLR")
    receipt = paper(NONVOLATILE + DOWNLOADED + delete + b"\x1cp\x02\x00\x1d/\x00")
    assert [image.width for image in receipt.images] == [16, 8]


@pytest.mark.parametrize("function", [67, 68, 83, 84, 112, 113])
def test_graphics_with_fewer_data_than_their_size_says_are_not_stored(paper: Paper, function: int) -> None:
    size = words(0xFFFF, 0xFFFF)
    if function < 100:
        command = graphics(bytes([48, function, 48]) + b"AB\x01" + size + b"1" + bytes(99))
    else:
        command = graphics(bytes([48, function, 48, 2, 2, 49]) + size + bytes(99))
    printing = PRINT_BUFFER + printed(69, b"AB") + printed(85, b"AB")
    assert paper(command + graphics(bytes([48, function])) + printing + b"text\n").images == ()


def test_the_memory_for_images_is_finite(paper: Paper) -> None:
    megabyte = graphics(b"\x30\x53\x30%b\x01" + words(4096, 2048) + b"1" + bytes(1 << 20), long=True)
    keys = [b"A1", b"A2", b"A3", b"A4", b"A5"]
    receipt = paper(b"".join(megabyte.replace(b"%b", key) + printed(85, key) + b"\n" for key in keys))
    assert len(receipt.images) == 4
    replaced = paper(stored(83, b"A4", ROWS) + printed(85, b"A4"))
    assert one(replaced) == SHAPE


# What is kept of them

EVERYTHING = NONVOLATILE + DOWNLOADED + stored(67, b"NV", ROWS) + stored(83, b"DL", ROWS)
PRINT_EVERYTHING = (
    b"\x1cp\x02\x00\n\x1d/\x00\n" + printed(69, b"NV", 2, 1) + b"\n" + printed(85, b"DL") + b"\n" + PRINT_BUFFER
)
BUFFERED = graphics(b"\x30\x70\x30\x01\x02\x31" + words(10, 3) + ROWS)


def sizes(receipt: Receipt) -> list[tuple[int, int]]:
    return [(image.width, image.height) for image in receipt.images]


def test_initializing_keeps_nonvolatile_images_only(paper: Paper) -> None:
    assert sizes(paper(EVERYTHING + BUFFERED + PRINT_EVERYTHING)) == [(16, 8), (8, 16), (20, 3), (10, 3), (10, 6)]
    assert sizes(paper(EVERYTHING + BUFFERED + b"\x1b@" + PRINT_EVERYTHING)) == [(16, 8), (20, 3)]


def test_a_loss_of_power_keeps_nonvolatile_images_only(paper: Paper, virtual_printer: VirtualPrinter) -> None:
    paper(EVERYTHING + BUFFERED + b"text\n")
    virtual_printer.power_off()
    virtual_printer.power_on()
    assert sizes(paper(PRINT_EVERYTHING)) == [(16, 8), (20, 3)]


def test_clearing_the_buffers_keeps_what_was_defined(paper: Paper) -> None:
    clear = b"\x10\x14\x08\x01\x03\x14\x01\x06\x02\x08"
    paper(EVERYTHING + BUFFERED + b"text\n")
    assert sizes(paper(clear + PRINT_EVERYTHING)) == [(16, 8), (8, 16), (20, 3), (10, 3)]


@pytest.mark.parametrize(
    ("implementation", "across", "down"),
    [
        *itertools.product(("bitImageRaster", "graphics"), (1, 2), (1, 2)),
        *itertools.product(("bitImageColumn",), (1, 2), (1,)),  # its low density down is a third, not a half
    ],
)
def test_python_escpos_prints_the_same_in_all_ways(
    virtual_printer: VirtualPrinter, implementation: str, across: int, down: int
) -> None:
    picture = Picture.new("1", (16, 24), 1)
    for x, y in ((0, 0), (3, 1), (15, 9), (7, 23)):
        picture.putpixel((x, y), 0)
    out = Network(virtual_printer.host, virtual_printer.port, profile="TM-T88V")
    out.image(picture, down == 1, across == 1, implementation)
    out.cut(feed=False)
    out.close()
    shape = tuple("".join(".#"[not picture.getpixel((x, y))] for x in range(16)) for y in range(24))
    expected = enlarged(shape, across, down)
    assert one(virtual_printer.wait_for_receipts(1)[0])[: len(expected)] == expected
