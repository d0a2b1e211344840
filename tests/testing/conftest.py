"""What the tests of the virtual printer share."""

import socket
from collections.abc import Callable

import pytest

from printobs.testing import Receipt, VirtualPrinter


@pytest.fixture
def paper(virtual_printer: VirtualPrinter) -> Callable[[bytes], Receipt]:
    """What these bytes and a cut bring out."""

    def paper(data: bytes) -> Receipt:
        before = len(virtual_printer.receipts)
        with socket.create_connection((virtual_printer.host, virtual_printer.port), timeout=2) as connection:
            connection.sendall(data + b"\x1dV\x00")
            return virtual_printer.wait_for_receipts(before + 1, 30.0)[before]

    return paper
