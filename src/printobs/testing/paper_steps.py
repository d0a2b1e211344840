"""What the mechanism is told to do, one thing after another."""

from dataclasses import dataclass

from printobs.testing.paper import Barcode, Element, Image, Line, Symbol

CHARACTER_DOTS = 24
LINE_DOTS = 30


@dataclass(frozen=True, slots=True)
class Print:
    """Bring an element onto the paper, which moves by `dots`."""

    element: Element
    dots: int


@dataclass(frozen=True, slots=True)
class Cut:
    """Cut the paper."""


@dataclass(frozen=True, slots=True)
class Kick:
    """Open the cash drawer on this connector pin (2 or 5)."""

    pin: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Send these bytes once everything before them has happened."""

    reply: bytes


Step = Print | Cut | Kick | Answer


def height(element: Element, line_dots: int = LINE_DOTS) -> int:
    """Dots that an element moves the paper by; for a symbol an estimate."""
    match element:
        case Line(spans=spans):
            return max(line_dots, *(CHARACTER_DOTS * span.style.height for span in spans), 0)
        case Image():
            return element.height
        case Barcode():
            return element.height + LINE_DOTS * element.human_readable
        case Symbol():
            # A QR code of version v has 17 + 4v modules a side; most receipts' are version 3 to 5.
            return 33 * element.size
        case _:
            return element.dots
