"""ESC/POS commands turned into steps of the mechanism: characters gather into lines, lines and images go to paper.

Settings live from ESC @ to ESC @. Definitions: Epson's ESC/POS Command Reference for the TM-T88 series. Where that
calls for an empty line (images, barcodes), a line begun is printed first, as most printers do.
"""

from collections.abc import Callable
from dataclasses import replace

from printobs.testing.escpos_codepages import characters, international
from printobs.testing.escpos_graphics import Graphics
from printobs.testing.escpos_page import Page
from printobs.testing.escpos_stream import Command
from printobs.testing.escpos_style import Settings
from printobs.testing.escpos_symbols import Symbols
from printobs.testing.paper import Element, Feed, Image, Line, Span, Style
from printobs.testing.paper_bitmap import Bitmap, raster
from printobs.testing.paper_steps import Cut, Kick, Print, Step, height

_DOWNLOADED = 0xE000
_FEEDING_CUTS = frozenset(b"ABabgh")


class Typesetter:
    """Commands in, steps out; holds the line or the page being composed, and the printer's settings."""

    def __init__(self, *, columns: int, dots: int) -> None:
        self._columns = columns
        self._dots = dots
        self._graphics = Graphics()
        self._handlers = self._table()
        self._steps: list[Step] = []
        self.reset()

    def reset(self) -> None:
        """What ESC @ and a loss of power do: all is as at power-on but the images in non-volatile memory."""
        self._settings = Settings(self._columns, self._dots)
        self._graphics.reset()
        self._symbols = Symbols()
        self._page: Page | None = None
        self._downloaded: set[int] = set()
        self._empty_line()

    def clear(self) -> None:
        """Drop the line and the page being composed; settings stay."""
        if self._page is not None:
            self._page.clear()
        self._graphics.clear()
        self._empty_line()

    def execute(self, command: Command) -> list[Step]:
        """What this command makes the mechanism do."""
        self._steps = []
        if command.name == "text":
            if self._settings.selected:
                self._character(command.params[0])
        elif self._settings.selected or command.name == "ESC =":
            handler = self._handlers.get(command.name)
            if handler is not None:
                handler(command.params)
        return self._steps

    def print_text(self, data: bytes) -> list[Step]:
        """What a printer does with a command it takes for text."""
        self._steps = []
        for byte in data:
            if byte >= 0x20:
                self._character(byte)
        return self._steps

    # Lines

    def _empty_line(self) -> None:
        self._runs: list[tuple[Style, list[str]]] = []
        self._bitmaps: list[Bitmap] = []
        self._x = 0
        self._end = 0  # of the last character

    def _character(self, byte: int) -> None:
        settings = self._settings
        if byte in self._downloaded and settings.user_characters:
            character = chr(_DOWNLOADED + byte)
        elif byte < 0x80:
            character = international(settings.country).get(byte) or chr(byte)
        else:
            character = characters(settings.code_page)[byte]
        if self._x + settings.cell > settings.width and self._x:
            self._end_line()
        blanks = (self._x - self._end) // settings.cell
        if blanks > 0:
            self._append(" " * blanks, replace(settings.style, underline=False, invert=False))
        self._append(character, settings.style)
        self._x += settings.cell
        self._end = self._x

    def _append(self, text: str, style: Style) -> None:
        if not self._runs or self._runs[-1][0] != style:
            self._runs.append((style, []))
        self._runs[-1][1].append(text)

    def _move_to(self, x: int) -> None:
        """ESC $ and ESC \\: moving left, over what is printed there, leaves the order of the text."""
        if 0 <= x <= self._settings.width:
            self._x = x

    def _end_line(self, *, feed: bool = True) -> int:
        """Print the line; the dots that the paper moves by."""
        settings = self._settings
        spacing, dots = settings.spacing if feed else 0, 0
        if self._bitmaps:
            image = _side_by_side(self._bitmaps)
            dots = self._emit(Image(image.cropped(self._dots), settings.align))
            if not self._runs:
                if spacing > image.height:
                    dots += self._emit(Feed(spacing - image.height))
                self._empty_line()
                return dots
        spans = tuple(Span("".join(texts), style) for style, texts in self._runs)
        dots += self._emit(Line(spans, settings.align), spacing)
        self._empty_line()
        return dots

    def _flush(self) -> None:
        if self._runs or self._bitmaps:
            self._end_line()

    def _emit(self, element: Element, line_dots: int = 0) -> int:
        dots = height(element, line_dots)
        if self._page is not None:
            self._page.place(element, dots, self._x if isinstance(element, Line) else 0)
        else:
            self._steps.append(Print(element, dots))
        return dots

    def _feed(self, dots: int) -> None:
        """ESC J and ESC d: print the line, feed that far from its top."""
        if self._runs or self._bitmaps:
            dots -= self._end_line(feed=False)
        if dots > 0:
            self._emit(Feed(dots))

    def _print_image(self, bitmap: Bitmap | None) -> None:
        if bitmap is not None and bitmap.width and bitmap.height:
            self._flush()
            self._emit(Image(bitmap.cropped(self._dots), self._settings.align))

    # Commands

    def _tab(self, params: bytes) -> None:
        settings = self._settings
        if self._x >= settings.width:
            self._end_line()
        stop = next((stop for stop in settings.tabs if stop > self._x), None)
        if stop is not None:
            self._x = min(stop, settings.width)

    def _cut(self, params: bytes) -> None:
        self._flush()
        if params[:1] and params[0] in _FEEDING_CUTS and params[1]:
            self._emit(Feed(params[1]))
        if self._page is None:
            self._steps.append(Cut())

    def _kick(self, params: bytes) -> None:
        self._steps.append(Kick(5 if params[0] in (1, 49) else 2))

    def _bit_image(self, params: bytes) -> None:
        bitmap = self._graphics.bit_image(params)
        if bitmap is not None and self._x < self._dots:
            gap = self._x - sum(each.width for each in self._bitmaps)
            if gap > 0:
                self._bitmaps.append(raster(gap, 1, b""))
            self._bitmaps.append(bitmap)
            self._x += bitmap.width

    def _define_characters(self, params: bytes) -> None:
        self._downloaded.update(range(params[1], params[2] + 1))

    def _forget_character(self, params: bytes) -> None:
        self._downloaded.discard(params[0])

    def _barcode(self, params: bytes) -> None:
        barcode = self._symbols.barcode(params, self._settings.align)
        if barcode is not None:
            self._flush()
            self._emit(barcode)

    def _symbol(self, params: bytes) -> None:
        symbol = self._symbols.two_dimensional(params, self._settings.align)
        if symbol is not None:
            self._flush()
            self._emit(symbol)

    # Page mode

    def _page_mode(self, params: bytes) -> None:
        if self._page is None:
            self._flush()
            self._page = Page()

    def _standard_mode(self, params: bytes) -> None:
        self._page = None
        self._empty_line()

    def _print_page(self, *, stay: bool) -> None:
        page = self._page
        if page is None:
            return
        self._flush()
        self._page = None
        for element, dots in page.printed():
            self._steps.append(Print(element, dots))
        if stay:
            self._page = page

    def _form_feed(self, params: bytes) -> None:
        self._print_page(stay=False)

    def _cancel(self, params: bytes) -> None:
        if self._page is not None:
            self.clear()

    def _vertical(self, params: bytes, *, relative: bool) -> None:
        if self._page is not None:
            x, y = self._x, self._page.y
            self._flush()
            distance = int.from_bytes(params, "little", signed=relative)
            self._page.move(distance + (y if relative else 0))
            self._x = x

    def _table(self) -> dict[str, Callable[[bytes], object]]:
        graphics = self._graphics

        def setting(name: str) -> Callable[[bytes], None]:
            return lambda params: getattr(self._settings, name)(params)

        def symbol_setting(letter: str) -> Callable[[bytes], None]:
            return lambda params: self._symbols.set(letter, params[0])

        return {
            "LF": lambda params: self._end_line(),
            "HT": self._tab,
            "FF": self._form_feed,
            "CAN": self._cancel,
            "ESC @": lambda params: self.reset(),
            "ESC J": lambda params: self._feed(params[0]),
            "ESC K": lambda params: self._flush(),
            "ESC e": lambda params: self._flush(),
            "ESC d": lambda params: self._feed(params[0] * self._settings.spacing),
            "ESC $": lambda params: self._move_to(int.from_bytes(params, "little")),
            "ESC \\": lambda params: self._move_to(self._x + int.from_bytes(params, "little", signed=True)),
            "GS V": self._cut,
            "ESC i": self._cut,
            "ESC m": self._cut,
            "ESC p": self._kick,
            "ESC *": self._bit_image,
            "ESC &": self._define_characters,
            "ESC ?": self._forget_character,
            "GS v 0": lambda params: self._print_image(graphics.raster(params)),
            "GS *": graphics.define_downloaded,
            "GS /": lambda params: self._print_image(graphics.downloaded(params)),
            "FS q": graphics.define_nonvolatile,
            "FS p": lambda params: self._print_image(graphics.nonvolatile(params)),
            "GS ( L": lambda params: self._print_image(graphics.graphics(params[2:])),
            "GS 8 L": lambda params: self._print_image(graphics.graphics(params[4:])),
            "GS k": self._barcode,
            "GS ( k": lambda params: self._symbol(params[2:]),
            "GS h": symbol_setting("h"),
            "GS H": symbol_setting("H"),
            "ESC L": self._page_mode,
            "ESC S": self._standard_mode,
            "ESC FF": lambda params: self._print_page(stay=True),
            "GS $": lambda params: self._vertical(params, relative=False),
            "GS \\": lambda params: self._vertical(params, relative=True),
            **{name: setting(method) for name, method in Settings.COMMANDS.items()},
        }


def _side_by_side(bitmaps: list[Bitmap]) -> Bitmap:
    if len(bitmaps) == 1:
        return bitmaps[0]
    result = bitmaps[0]
    for bitmap in bitmaps[1:]:
        result = result.beside(bitmap)
    return result
