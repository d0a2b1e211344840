"""A structured receipt: what a till asks to be printed; never raw ESC/POS, which could speak for the printer."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image as Pictures

from examples.jobs.checks import Fields, Invalid

MAX_ELEMENTS: Final = 500
MAX_TEXT: Final = 2000
MAX_PNG: Final = 64 * 1024
MAX_WIDTH: Final = 576  # dots: 80 mm paper at 203 dpi
MAX_HEIGHT: Final = 1662
_ALIGN: Final = ("left", "center", "right")
# Any other control character could begin a command: a text would be raw ESC/POS.
_PRINTABLE: Final = r"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*"

# ESC/POS Command Reference, GS k: what each system can carry.
BARCODES: Final = {
    "UPC-A": r"[0-9]{11,12}",
    "EAN13": r"[0-9]{12,13}",
    "EAN8": r"[0-9]{7,8}",
    "CODE39": r"[0-9A-Z $%*+\-./]{1,60}",
    "ITF": r"([0-9]{2}){1,60}",
    "CODE128": r"\{[ABC][\x20-\x7e]{1,60}",
}


@dataclass(frozen=True, slots=True)
class Text:
    """A run of text; ``width`` and ``height`` are magnifications from 1 to 8."""

    text: str
    bold: bool
    underline: bool
    align: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Image:
    """A picture as PNG, at most 576 dots wide."""

    png: bytes
    align: str


@dataclass(frozen=True, slots=True)
class Qr:
    """A QR code; ``size`` is that of a module, in dots."""

    data: str
    size: int


@dataclass(frozen=True, slots=True)
class Barcode:
    """A barcode of one of `BARCODES`."""

    kind: str
    data: str


@dataclass(frozen=True, slots=True)
class Feed:
    """Blank lines."""

    lines: int


@dataclass(frozen=True, slots=True)
class Cut:
    """Cut the paper."""


@dataclass(frozen=True, slots=True)
class Drawer:
    """Open the cash drawer."""


Element = Text | Image | Qr | Barcode | Feed | Cut | Drawer


def elements(value: object, where: str = "receipt") -> list[Element]:
    """The elements of a receipt, ``{"elements": [{"type": "text", "text": …}, …]}``; raises `Invalid`."""
    fields = Fields(value, where)
    listed = fields.items("elements", MAX_ELEMENTS, 1)
    fields.end()
    return [_element(each, f"{where}.elements[{number}]") for number, each in enumerate(listed)]


def _element(value: object, where: str) -> Element:
    fields = Fields(value, where)
    element = _TYPES[fields.choice("type", _TYPES)](fields)
    fields.end()
    return element


def _text(fields: Fields) -> Text:
    return Text(
        fields.text("text", MAX_TEXT, pattern=_PRINTABLE),
        fields.take("bold", bool, False),
        fields.take("underline", bool, False),
        fields.choice("align", _ALIGN, "left"),
        fields.integer("width", 1, 8, 1),
        fields.integer("height", 1, 8, 1),
    )


def _image(fields: Fields) -> Image:
    encoded = fields.text("png", MAX_PNG * 4 // 3 + 4)
    try:
        png = base64.b64decode(encoded, validate=True)
    except ValueError:  # binascii.Error, and what is not ASCII
        raise Invalid(fields.path("png"), "is not base64") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a picture that is a decompression bomb is only warned of
            with Pictures.open(io.BytesIO(png), formats=("PNG",)) as picture:
                width, height = picture.size
                picture.verify()
    except Exception:
        raise Invalid(fields.path("png"), "is not a PNG image") from None
    if width > MAX_WIDTH or height > MAX_HEIGHT:
        raise Invalid(fields.path("png"), f"is larger than {MAX_WIDTH} x {MAX_HEIGHT} dots")
    return Image(png, fields.choice("align", _ALIGN, "left"))


def _barcode(fields: Fields) -> Barcode:
    kind = fields.choice("kind", BARCODES)
    return Barcode(kind, fields.text("data", 64, pattern=BARCODES[kind]))


_TYPES: Final[dict[str, Callable[[Fields], Element]]] = {
    "text": _text,
    "image": _image,
    "qr": lambda fields: Qr(fields.text("data", 512), fields.integer("size", 1, 16, 4)),
    "barcode": _barcode,
    "feed": lambda fields: Feed(fields.integer("lines", 1, 20, 1)),
    "cut": lambda fields: Cut(),
    "drawer": lambda fields: Drawer(),
}


def sample(title: str) -> dict[str, Any]:
    """A short receipt, for a test print."""
    return {
        "elements": [
            {"type": "text", "text": f"{title}\n", "align": "center", "bold": True, "width": 2, "height": 2},
            {"type": "text", "text": "If you can read this, it prints.\n"},
            {"type": "cut"},
        ]
    }
