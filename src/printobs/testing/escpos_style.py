"""The settings of a printer that decide how characters come out: style, code page, spacing, margins, tabs."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from printobs.testing.paper import Align, Style
from printobs.testing.paper_steps import LINE_DOTS

_ALIGNMENTS: tuple[Align, ...] = ("left", "center", "right")


class Settings:
    """Settings as at power-on; each command's method takes the command's parameters."""

    COMMANDS: ClassVar[Mapping[str, str]] = {
        "ESC !": "print_mode",
        "ESC -": "set_underline",
        "ESC E": "set_bold",
        "ESC G": "set_double_strike",
        "ESC M": "set_font",
        "ESC a": "set_align",
        "ESC {": "set_upside_down",
        "ESC t": "set_code_page",
        "ESC R": "set_country",
        "ESC 2": "default_spacing",
        "ESC 3": "set_spacing",
        "ESC A": "set_spacing",
        "ESC +": "set_spacing",
        "ESC SP": "set_character_spacing",
        "ESC D": "set_tabs",
        "ESC %": "set_user_characters",
        "ESC =": "select",
        "GS !": "set_size",
        "GS B": "set_invert",
        "GS L": "set_margin",
        "GS W": "set_width",
    }

    def __init__(self, columns: int, dots: int) -> None:
        self._dots = dots
        self._font_dots = {"a": dots // columns, "b": max(1, dots // columns * 3 // 4)}
        self._bold = self._double_strike = False
        self._underline = self._invert = self._upside_down = False
        self._across = self._down = 1
        self._font: Literal["a", "b"] = "a"
        self._character_spacing = 0
        self._margin = 0
        self._area = dots
        self.align: Align = "left"
        self.code_page = 0
        self.country = 0
        self.spacing = LINE_DOTS
        self.tabs: tuple[int, ...] = tuple(column * self._font_dots["a"] for column in range(8, 256, 8))
        self.user_characters = False
        self.selected = True
        self._restyle()

    def _restyle(self) -> None:
        self.style = Style(
            bold=self._bold or self._double_strike,
            underline=self._underline,
            width=self._across,
            height=self._down,
            invert=self._invert,
            font=self._font,
            upside_down=self._upside_down,
        )
        self.cell = (self._font_dots[self._font] + self._character_spacing) * self._across
        self.width = max(self.cell, min(self._area, self._dots - self._margin))

    def print_mode(self, params: bytes) -> None:
        """ESC ! n."""
        n = params[0]
        self._font = "b" if n & 0x01 else "a"
        self._bold = bool(n & 0x08)
        self._down = 2 if n & 0x10 else 1
        self._across = 2 if n & 0x20 else 1
        self._underline = bool(n & 0x80)
        self._restyle()

    def set_underline(self, params: bytes) -> None:
        """ESC - n: 0 off, 1 thin, 2 thick."""
        if params[0] in b"\x00\x01\x02012":
            self._underline = params[0] not in b"\x000"
            self._restyle()

    def set_bold(self, params: bytes) -> None:
        """ESC E n."""
        self._bold = bool(params[0] & 1)
        self._restyle()

    def set_double_strike(self, params: bytes) -> None:
        """ESC G n: looks like bold."""
        self._double_strike = bool(params[0] & 1)
        self._restyle()

    def set_font(self, params: bytes) -> None:
        """ESC M n."""
        if params[0] in b"\x00\x0101":
            self._font = "b" if params[0] & 1 else "a"
            self._restyle()

    def set_align(self, params: bytes) -> None:
        """ESC a n; holds for the line that is being composed, too."""
        if params[0] in b"\x00\x01\x02012":
            self.align = _ALIGNMENTS[params[0] & 3]

    def set_upside_down(self, params: bytes) -> None:
        """ESC { n."""
        self._upside_down = bool(params[0] & 1)
        self._restyle()

    def set_code_page(self, params: bytes) -> None:
        """ESC t n."""
        self.code_page = params[0]

    def set_country(self, params: bytes) -> None:
        """ESC R n."""
        self.country = params[0]

    def default_spacing(self, params: bytes) -> None:
        """ESC 2."""
        self.spacing = LINE_DOTS

    def set_spacing(self, params: bytes) -> None:
        """ESC 3 n, in dots."""
        self.spacing = params[0]

    def set_character_spacing(self, params: bytes) -> None:
        """ESC SP n, in dots, to the right of each character."""
        self._character_spacing = params[0]
        self._restyle()

    def set_tabs(self, params: bytes) -> None:
        """ESC D n1…nk NUL: columns, as wide as a character is now."""
        self.tabs = tuple(column * self.cell for column in params.rstrip(b"\x00"))

    def set_user_characters(self, params: bytes) -> None:
        """ESC % n."""
        self.user_characters = bool(params[0] & 1)

    def select(self, params: bytes) -> None:
        """ESC = n: whether what follows is for the printer, or for the display beside it."""
        self.selected = bool(params[0] & 1)

    def set_size(self, params: bytes) -> None:
        """GS ! n: width in the high half, height in the low, each from 1 to 8."""
        if not params[0] & 0x88:
            self._across, self._down = (params[0] >> 4) + 1, (params[0] & 7) + 1
            self._restyle()

    def set_invert(self, params: bytes) -> None:
        """GS B n."""
        self._invert = bool(params[0] & 1)
        self._restyle()

    def set_margin(self, params: bytes) -> None:
        """GS L n: the left margin in dots; it makes lines shorter."""
        self._margin = int.from_bytes(params, "little")
        self._restyle()

    def set_width(self, params: bytes) -> None:
        """GS W n: the width of the printing area in dots."""
        self._area = int.from_bytes(params, "little")
        self._restyle()
