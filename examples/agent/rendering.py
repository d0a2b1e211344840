"""A structured receipt as calls of python-escpos."""

from __future__ import annotations

import io
from collections.abc import Iterable

from escpos.escpos import Escpos
from PIL import Image as Pictures

from examples.jobs.receipt import Barcode, Cut, Drawer, Element, Feed, Image, Qr, Text


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
