"""A receipt drawn dot for dot, as a PNG. Needs Pillow."""

import io

from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from printobs.testing.paper import Align, Barcode, Element, Feed, Image, Line, Receipt, Span, Symbol
from printobs.testing.paper_text import qr_matrix

_LINE_DOTS = 30
_MARGIN = 16


def render(receipt: Receipt) -> bytes:
    """The PNG of a receipt: its dots wide, with a white margin on every side."""
    pieces = [(_draw(element, receipt), _align(element)) for element in receipt.elements]
    height = sum(piece.height for piece, _ in pieces) + 2 * _MARGIN
    paper = Pillow.new("L", (receipt.dots + 2 * _MARGIN, height), 255)
    y = _MARGIN
    for piece, align in pieces:
        spare = receipt.dots - piece.width
        paper.paste(piece, (_MARGIN + {"left": 0, "center": spare // 2, "right": spare}[align], y))
        y += piece.height
    if not receipt.cut:
        _tear(paper)
    file = io.BytesIO()
    paper.convert("1").save(file, "PNG")
    return file.getvalue()


def _align(element: Element) -> Align:
    return "left" if isinstance(element, Feed) else element.align


def _draw(element: Element, receipt: Receipt) -> Pillow.Image:
    match element:
        case Line():
            return _line(element, receipt.dots // receipt.columns)
        case Image():
            bitmap = element.bitmap
            return Pillow.frombytes("1", (bitmap.width, bitmap.height), bitmap.data, "raw", "1;I").convert("L")
        case Barcode():
            return _barcode(element)
        case Symbol():
            return _symbol(element)
        case _:
            return Pillow.new("L", (1, element.dots), 255)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    try:
        return ImageFont.truetype("DejaVuSansMono.ttf", size)
    except OSError:
        return ImageFont.load_default(size)


def _line(line: Line, cell: int) -> Pillow.Image:
    spans = [_span(span, cell) for span in line.spans]
    height = max((span.height for span in spans), default=_LINE_DOTS)
    image = Pillow.new("L", (max(1, sum(span.width for span in spans)), height), 255)
    x = 0
    for span in spans:
        image.paste(span, (x, height - span.height))
        x += span.width
    return image


def _span(span: Span, cell: int) -> Pillow.Image:
    style = span.style
    width = cell if style.font == "a" else max(1, cell * 3 // 4)
    image = Pillow.new("L", (width * len(span.text), _LINE_DOTS), 255)
    draw, font = ImageDraw.Draw(image), _font(20 if style.font == "a" else 15)
    for index, character in enumerate(span.text):
        draw.text((index * width, 2), character, font=font, fill=0, stroke_width=1 if style.bold else 0)
    if style.underline:
        draw.line((0, _LINE_DOTS - 3, image.width, _LINE_DOTS - 3), fill=0, width=2)
    if style.invert:
        image = image.point(lambda value: 255 - value)
    if style.upside_down:
        image = image.transpose(Pillow.Transpose.ROTATE_180)
    return image.resize((image.width * style.width, image.height * style.height))


def _barcode(barcode: Barcode) -> Pillow.Image:
    """A picture of bars, not a readable symbol: the content is in the text under it."""
    bits = "".join(f"1{byte:08b}0" for byte in barcode.data.encode())
    image = Pillow.new("L", (max(1, 2 * len(bits)), barcode.height + _LINE_DOTS), 255)
    draw = ImageDraw.Draw(image)
    for index, bit in enumerate(bits):
        if bit == "1":
            draw.rectangle((2 * index, 0, 2 * index + 1, barcode.height - 1), fill=0)
    if barcode.human_readable:
        draw.text((0, barcode.height + 2), barcode.data, font=_font(20), fill=0)
    return image


def _symbol(symbol: Symbol) -> Pillow.Image:
    matrix = qr_matrix(symbol) if symbol.kind == "QR" else None
    if matrix is None:
        text = f"[{symbol.kind}: {symbol.data.decode(errors='replace')}]"
        image = Pillow.new("L", (12 * len(text), _LINE_DOTS), 255)
        ImageDraw.Draw(image).text((0, 2), text, font=_font(20), fill=0)
        return image
    image = Pillow.new("L", (len(matrix), len(matrix)), 255)
    image.putdata([0 if module else 255 for row in matrix for module in row])
    return image.resize((len(matrix) * symbol.size, len(matrix) * symbol.size), Pillow.Resampling.NEAREST)


def _tear(paper: Pillow.Image) -> None:
    draw, step = ImageDraw.Draw(paper), 8
    for x in range(0, paper.width, 2 * step):
        edge = paper.height - 1
        draw.line((x, edge, x + step, edge - step, x + 2 * step, edge), fill=0)
