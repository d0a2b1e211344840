"""A job's content as the bytes that its printer gets, by python-escpos: whole before the first of them leaves."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable

from escpos.escpos import Escpos
from escpos.printer import Dummy
from PIL import Image as Pictures

from examples.jobs import receipt, wire
from examples.jobs.receipt import Barcode, Cut, Drawer, Element, Feed, Image, Qr, Text


class _Sheet(Dummy):  # type: ignore[misc]
    """Collects the bytes. A new one for each receipt: python-escpos remembers which code page it has chosen."""

    def __init__(self) -> None:
        super().__init__()
        # On the instance, where no instrumentation counts them: they are counted when they go to the printer.
        self._raw = self._output_list.append


def compose(message: wire.Print) -> bytes:
    """The bytes of a job; raises what is wrong with its content.

    They begin with ESC @: a printer that was left in the middle of another receipt, or was switched off since, takes
    them as any other. Raw ESC/POS is left as it is. A second copy says so in its first line.
    """
    sheet = _Sheet()
    if message.reprint_of:
        sheet.hw("INIT")
        sheet.set(align="center", bold=True)
        sheet.textln(f"*** REPRINT of {message.reprint_of[:8]} ***")
    if message.raw:
        if message.reprint_of:
            sheet.hw("INIT")
        return bytes(sheet.output) + base64.b64decode(message.raw, validate=True)
    elements = receipt.elements(message.receipt)
    sheet.hw("INIT")
    render(sheet, elements)
    return bytes(sheet.output)


def recover(size: int) -> bytes:
    """What to send before a receipt where the last one, of ``size`` bytes at most, may lack its end.

    NULs complete a command that was half sent, as an image, and print nothing. What is on the paper is cut off, so
    that nobody takes it for the head of the next receipt: a short blank slip, where the last one was whole.
    """
    sheet = _Sheet()
    sheet.hw("INIT")
    sheet.cut(feed=False)  # GS V 66: it feeds as far as the cutter, and no farther
    return bytes(size) + bytes(sheet.output)


def render(printer: Escpos, elements: Iterable[Element]) -> None:
    """Print ``elements``; raises what the driver raises."""
    for element in elements:
        match element:
            case Text():
                printer.set(
                    align=element.align,
                    bold=element.bold,
                    underline=int(element.underline),
                    custom_size=True,
                    width=element.width,
                    height=element.height,
                )
                printer.text(element.text)
            case Image():
                printer.set(align=element.align)
                with Pictures.open(io.BytesIO(element.png), formats=("PNG",)) as picture:
                    printer.image(picture)
            case Qr():
                printer.set(align="center")
                printer.qr(element.data, size=element.size, native=True)
            case Barcode():
                printer.set(align="center")
                printer.barcode(element.data, element.kind, align_ct=False)
            case Feed():
                printer.ln(element.lines)
            case Cut():
                printer.cut()
            case Drawer():
                printer.cashdraw(2)
