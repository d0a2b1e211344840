"""A receipt drawn with characters, for a terminal."""

from collections.abc import Callable, Iterator

from printobs.testing.paper import Align, Barcode, Element, Feed, Image, Line, Receipt, Span, Symbol

_LINE_DOTS = 30


def render(receipt: Receipt, columns: int) -> str:
    """The receipt within a frame of paper edges; a torn one ends in a ragged edge."""
    body = [row for element in receipt.elements for row in _rows(element, columns, receipt)]
    edge = "─" * columns if receipt.cut else ("╱╲" * columns)[:columns]
    rows = [f"│{row:<{columns}}│" for row in body]
    return "\n".join(["┌" + "─" * columns + "┐", *rows, "└" + edge + "┘"])


def _rows(element: Element, columns: int, receipt: Receipt) -> Iterator[str]:
    match element:
        case Line():
            yield _aligned("".join(map(_spaced, element.spans)).rstrip(), element.align, columns)
        case Feed():
            yield from [""] * (element.dots // _LINE_DOTS)
        case Image():
            yield from _image(element, columns, receipt.dots)
        case Barcode():
            yield from _barcode(element, columns)
        case _:
            yield from _symbol(element, columns)


def _spaced(span: Span) -> str:
    """Wide characters take the room that they take on paper."""
    return "".join(character + " " * (span.style.width - 1) for character in span.text)


def _aligned(text: str, align: Align, columns: int) -> str:
    text = text[:columns]
    if align == "left":
        return text
    return text.center(columns) if align == "center" else text.rjust(columns)


def _half_blocks(width: int, height: int, black: Callable[[int, int], bool]) -> Iterator[str]:
    """Two square pixels a character, one above the other."""
    for y in range(0, height, 2):
        pairs = ((black(x, y), y + 1 < height and black(x, y + 1)) for x in range(width))
        yield "".join(" ▄▀█"[2 * upper + lower] for upper, lower in pairs)


def _image(image: Image, columns: int, dots: int) -> Iterator[str]:
    cell = max(1, dots // columns)
    bitmap = image.bitmap

    def black(x: int, y: int) -> bool:
        across = range(x * cell, min((x + 1) * cell, bitmap.width))
        down = range(y * cell, min((y + 1) * cell, bitmap.height))
        burnt = sum(bitmap.black(column, row) for row in down for column in across)
        return 5 * burnt >= 2 * len(across) * len(down)

    width = min(columns, -(-bitmap.width // cell))
    for row in _half_blocks(width, -(-bitmap.height // cell), black):
        yield _aligned(row, image.align, columns)


def _barcode(barcode: Barcode, columns: int) -> Iterator[str]:
    bars = "".join("▌▐│█"[byte % 4] + "│▌"[byte // 4 % 2] for byte in barcode.data.encode())
    for _ in range(3):
        yield _aligned(f"▌{bars}▐", barcode.align, columns)
    yield _aligned(barcode.data if barcode.human_readable else f"[{barcode.kind}]", barcode.align, columns)


def _symbol(symbol: Symbol, columns: int) -> Iterator[str]:
    matrix = qr_matrix(symbol) if symbol.kind == "QR" else None
    if matrix is None or len(matrix) > columns:
        yield _aligned(f"[{symbol.kind}: {symbol.data.decode(errors='replace')}]", symbol.align, columns)
        return
    for row in _half_blocks(len(matrix), len(matrix), lambda x, y: matrix[y][x]):
        yield _aligned(row, symbol.align, columns)


def qr_matrix(symbol: Symbol) -> list[list[bool]] | None:
    """The modules of a QR code, rows from the top; None where it cannot be drawn (no qrcode library, too long)."""
    try:
        import qrcode
        from qrcode.exceptions import DataOverflowError
    except ImportError:
        return None
    levels = {"L": 1, "M": 0, "Q": 3, "H": 2}
    code = qrcode.QRCode(error_correction=levels[symbol.correction], border=0)
    code.add_data(symbol.data)
    try:
        code.make()
    except (DataOverflowError, ValueError):
        return None
    return [[bool(module) for module in row] for row in code.get_matrix()]
