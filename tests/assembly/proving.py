"""What the tests of proof print with, and on."""

from collections.abc import Callable
from typing import Any

from escpos.printer import Network

from printobs.assembly.printing import PrintJob, print_job, register
from printobs.testing.virtual_printer import VirtualPrinter

Printers = Callable[..., VirtualPrinter]


def proving(paper: VirtualPrinter, name: str = "kitchen") -> Network:
    return register(Network("127.0.0.1", paper.port, timeout=5), name=name, branch="mitte", proof="process_id")


def ticket(printer: Any, text: str = "2 x Ramen\n") -> None:
    printer.text(text)
    printer.cut()


def printed(printer: Any, timeout: float = 5.0, text: str = "2 x Ramen\n") -> PrintJob:
    with print_job(printer, timeout=timeout) as job:
        ticket(printer, text)
    return job
