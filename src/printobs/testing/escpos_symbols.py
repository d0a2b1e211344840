"""Barcodes (GS k) and two-dimensional codes (GS ( k) that the printer draws itself."""

from typing import Literal

from printobs.testing.paper import Align, Barcode, Symbol

_BARCODES = ("UPC-A", "UPC-E", "EAN13", "EAN8", "CODE39", "ITF", "CODABAR")
_BARCODES_B = (
    *_BARCODES,
    "CODE93",
    "CODE128",
    "GS1-128",
    "GS1 DATABAR OMNIDIRECTIONAL",
    "GS1 DATABAR TRUNCATED",
    "GS1 DATABAR LIMITED",
    "GS1 DATABAR EXPANDED",
    "CODE128",
)
_SYMBOLS = {48: "PDF417", 49: "QR", 50: "MaxiCode", 51: "GS1 DataBar", 52: "Composite", 53: "Aztec", 54: "DataMatrix"}
_SIZE_FUNCTION = 67
_CORRECTION_FUNCTION = 69
_STORE_FUNCTION = 80
_PRINT_FUNCTION = 81
_CORRECTIONS: tuple[Literal["L", "M", "Q", "H"], ...] = ("L", "M", "Q", "H")


class Symbols:
    """The settings of barcodes, and the two-dimensional codes stored to be printed."""

    def __init__(self) -> None:
        self._height = 162
        self._human_readable = False
        self._stored: dict[int, bytes] = {}
        self._sizes: dict[int, int] = {}
        self._correction: Literal["L", "M", "Q", "H"] = "L"

    def set(self, letter: str, value: int) -> None:
        """GS h n (height in dots) and GS H n (where the text stands)."""
        if letter == "h":
            self._height = value or self._height
        else:
            self._human_readable = value in b"\x01\x02\x03123"

    def barcode(self, params: bytes, align: Align) -> Barcode | None:
        """GS k, both functions: m d… NUL, and m n d…"""
        kind, data = params[0], params[1:-1]
        if kind < 65:
            names: tuple[str, ...] = _BARCODES
        else:
            names, kind, data = _BARCODES_B, kind - 65, params[2:]
        if kind >= len(names) or not data:
            return None
        name = names[kind]
        text = _code128(data) if name == "CODE128" and data[:1] == b"{" else data.decode("latin-1")
        return Barcode(name, text, self._height, self._human_readable, align)

    def two_dimensional(self, data: bytes, align: Align) -> Symbol | None:
        """GS ( k, from cn on: sets, stores, or gives the symbol to print."""
        if len(data) < 3:
            return None
        kind, function, value = data[0], data[1], data[2]
        if kind not in _SYMBOLS:
            return None
        if function == _STORE_FUNCTION:
            self._store(kind, data)
        elif function == _SIZE_FUNCTION and 1 <= value <= 16:
            self._sizes[kind] = value
        elif function == _CORRECTION_FUNCTION and kind == 49:
            self._correction = _CORRECTIONS[value & 3]
        elif function == _PRINT_FUNCTION and self._stored.get(kind):
            return Symbol(_SYMBOLS[kind], self._stored[kind], self._sizes.get(kind, 3), self._correction, align)
        return None

    def _store(self, kind: int, data: bytes) -> None:
        if kind == 52 and len(data) > 5:
            # Composite: m a b d…, where a is 48 for the linear component and 49 for the other; GS1 writes a | between.
            linear, _, _ = self._stored.get(kind, b"").partition(b"|")
            self._stored[kind] = data[5:] if data[3:4] == b"0" else linear + b"|" + data[5:]
        elif kind != 52:
            # GS1 DataBar: m n d…, where n says which.
            self._stored[kind] = data[4 if kind == 51 else 3 :]


def _code128(data: bytes) -> str:
    """The characters of CODE128 data, without its code set selections ({A, {B, {C) and function codes ({1 … {4)."""
    text: list[str] = []
    digits, escaped = False, False
    for byte in data:
        if escaped:
            escaped = False
            if byte in b"ABC":
                digits = byte == ord("C")
            elif byte == ord("{"):
                text.append("{")
        elif byte == ord("{"):
            escaped = True
        else:
            text.append(f"{byte:02}" if digits else chr(byte))
    return "".join(text)
