"""What came out on paper: receipts, made of lines, images, barcodes and feeds."""

from dataclasses import dataclass
from typing import Literal

from printobs.testing.paper_bitmap import Bitmap

Align = Literal["left", "center", "right"]


@dataclass(frozen=True, slots=True)
class Style:
    """How characters were printed; width and height are multiples, 1 to 8."""

    bold: bool = False
    underline: bool = False
    width: int = 1
    height: int = 1
    invert: bool = False
    font: Literal["a", "b"] = "a"
    upside_down: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """A run of characters in one style."""

    text: str
    style: Style


@dataclass(frozen=True, slots=True)
class Line:
    """One printed line; without spans it is blank."""

    spans: tuple[Span, ...] = ()
    align: Align = "left"

    @property
    def text(self) -> str:
        """Its characters, without style."""
        return "".join(span.text for span in self.spans)


@dataclass(frozen=True, slots=True)
class Image:
    """An area of dots. Images that touch (same width, same alignment, nothing between) are one, as on paper."""

    bitmap: Bitmap
    align: Align = "left"

    @property
    def width(self) -> int:
        """Dots across."""
        return self.bitmap.width

    @property
    def height(self) -> int:
        """Dots down."""
        return self.bitmap.height

    @property
    def data(self) -> bytes:
        """Rows from the top, each padded to whole bytes, 1 = black."""
        return self.bitmap.data


@dataclass(frozen=True, slots=True)
class Barcode:
    """A barcode that the printer itself drew; `human_readable` says whether its text stands beside it."""

    kind: str
    data: str
    height: int = 162
    human_readable: bool = False
    align: Align = "left"


@dataclass(frozen=True, slots=True)
class Symbol:
    """A two-dimensional code that the printer itself drew: "QR", "PDF417", "DataMatrix", …"""

    kind: str
    data: bytes
    size: int = 3
    correction: Literal["L", "M", "Q", "H"] = "L"
    align: Align = "left"


@dataclass(frozen=True, slots=True)
class Feed:
    """Blank paper, in dots."""

    dots: int


Element = Line | Image | Barcode | Symbol | Feed


@dataclass(frozen=True, slots=True)
class Receipt:
    """One piece of paper. `cut` is false where it is torn: power was lost, or it is still being printed.

    `raw` holds the bytes of the commands that produced it, settings included and requests to answer left out.
    """

    elements: tuple[Element, ...]
    cut: bool
    raw: bytes
    columns: int = 48
    dots: int = 576

    @property
    def lines(self) -> tuple[str, ...]:
        """Its printed lines, blank ones included, without trailing spaces."""
        return tuple(item.text.rstrip() for item in self.elements if isinstance(item, Line))

    @property
    def text(self) -> str:
        """Its lines, joined."""
        return "\n".join(self.lines)

    @property
    def images(self) -> tuple[Image, ...]:
        """Its images, top to bottom."""
        return tuple(item for item in self.elements if isinstance(item, Image))

    @property
    def barcodes(self) -> tuple[Barcode, ...]:
        """Its barcodes, top to bottom."""
        return tuple(item for item in self.elements if isinstance(item, Barcode))

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        """Its QR and other two-dimensional codes, top to bottom."""
        return tuple(item for item in self.elements if isinstance(item, Symbol))

    def render(self, columns: int | None = None) -> str:
        """The receipt as text for a terminal, `columns` wide (its own width by default)."""
        from printobs.testing.paper_text import render

        return render(self, columns or self.columns)

    def png(self) -> bytes:
        """The receipt as a PNG, one pixel a dot. Needs Pillow."""
        from printobs.testing.paper_png import render

        return render(self)
