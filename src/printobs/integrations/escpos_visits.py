"""Opening a python-escpos driver for a question only, and leaving it as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

# File, LP, CupsPrinter and Win32Raw only write (the latter two spool an empty job when they are opened and closed); Usb
# resets its device when it is opened, and with it what it has not printed yet.
_OPENED: Final = frozenset({"Network", "Serial"})


def visit(target: Any) -> Callable[[], None] | None:
    """Make ``target`` ready to be opened; gives what closes it again, ``None`` where it must not be opened.

    A connection that has died is closed. A driver whose own attempt to open had failed is left as that.
    """
    if not any(cls.__name__ in _OPENED for cls in type(target).__mro__):
        return None
    if target._device:
        target.close()
    theirs = target._device  # False: opens itself when it is used; None: it has tried and failed
    target._device = False

    def leave() -> None:
        if hasattr(target._device, "reset_output_buffer"):  # a serial port: closing would wait until it is sent
            target._device.reset_output_buffer()
        target.close()
        target._device = theirs

    return leave
