"""Proof that comes late: a job whose outcome is unknown may still be printed, as when somebody brings paper.

Only the answer to the question that followed the receipt proves it: a printer whose buffer was cleared answers a later
one as well. It is waited for on the connection that the receipt went by.
"""

from __future__ import annotations

import threading
from typing import Final

from examples.agent.drivers import Driver

PATIENCE: Final = 300.0  # seconds: as long as the connection is held, nobody else can print
GRACE: Final = 2.0  # seconds that it is still waited for when the next job is there already

_GLANCE: Final = 0.25
_POWER_ON: Final = b"\x3b\x31\x00"
_FLOW: Final = bytes((0x11, 0x13))  # XON and XOFF, which may come inside a reply


def proved(driver: Driver, over: threading.Event) -> bool:
    """Whether the process ID that was asked for last comes, before ``over`` is set. Blocks.

    The answer to GS ( H, function 48, is 37 22 ID 00 (ESC/POS Command Reference, "process ID response"). It comes no
    more where the printer has been switched on meanwhile, or the connection has ended.
    """
    answer, heard = b"\x37\x22" + driver.asked + b"\x00", b""
    try:
        while not over.is_set():
            heard = (heard + driver.receive(_GLANCE).translate(None, _FLOW))[-256:]
            if answer in heard:
                return True
            if _POWER_ON in heard:
                return False
    except OSError:
        pass
    return False
