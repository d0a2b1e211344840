"""The nonce of a proof is drawn by nobody's dice but its own."""

import random
import re
from collections.abc import Callable
from typing import Any

from escpos.printer import Network

from printobs.assembly.printing import print_job, register
from printobs.core.conventions import Outcome
from printobs.integrations import escpos
from printobs.testing.virtual_printer import VirtualPrinter


def test_an_application_that_seeds_its_random_numbers_repeats_no_nonce(
    virtual_printers: Callable[..., VirtualPrinter],
) -> None:
    # On a serial port the answer to the last job may come on the next connection: it must not prove another job.
    paper = virtual_printers()
    for _ in range(3):
        kitchen: Any = register(Network("127.0.0.1", paper.port, timeout=5), name="kitchen", proof="process_id")
        random.seed(7)
        with print_job(kitchen, timeout=10) as job:
            kitchen.text("2 x Ramen\n")
            kitchen.cut()
        assert job.outcome is Outcome.CONFIRMED
        kitchen.close()
    escpos.uninstrument()
    nonces = re.findall(rb"\x1d\(H\x06\x0000(....)", paper.received)
    assert len(nonces) >= 6
    assert len(set(nonces)) == len(nonces)
