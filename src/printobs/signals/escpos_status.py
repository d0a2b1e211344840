"""What a printer says of itself: the bits of its status replies, by command and by the manual's names.

Source: Epson, ESC/POS Command Reference: DLE EOT, GS r, GS a (automatic status back), GS I, GS ( H. No I/O here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from printobs.core.conventions import JobError


@dataclass(frozen=True, slots=True)
class PrinterState:
    """What is known of a printer; ``None``: it has not told."""

    drawer_pin_high: bool | None = None  # "drawer kick-out connector pin 3 is HIGH": open or closed, as it is wired
    offline: bool | None = None
    awaiting_recovery: bool | None = None  # "waiting for online recovery"
    feed_button: bool | None = None  # "paper feed button is being pressed"
    cover_open: bool | None = None
    feeding: bool | None = None  # "paper is being fed by the paper feed button"
    stopped_at_paper_end: bool | None = None  # "printing stops due to a paper end"
    error: bool | None = None
    mechanical_error: bool | None = None  # "recoverable error" in newer manuals; not every model has it
    cutter_error: bool | None = None  # "autocutter error"
    unrecoverable_error: bool | None = None
    recoverable_error: bool | None = None  # "auto-recoverable error": a hot print head, mostly
    paper_near_end: bool | None = None  # always False on a model without the sensor
    paper_end: bool | None = None
    firmware: str | None = None
    maker: str | None = None
    model: str | None = None
    serial: str | None = None

    @property
    def trouble(self) -> JobError | None:
        """Why a receipt sent now would not come out soon; ``None`` where nothing is known to be in its way."""
        for field, error in _TROUBLE:
            if getattr(self, field):
                return error
        return None


# The cause before its consequence: each of these makes the printer go offline too.
_TROUBLE: Final = (
    ("unrecoverable_error", JobError.UNRECOVERABLE),
    ("cutter_error", JobError.CUTTER),
    ("mechanical_error", JobError.MECHANICAL),
    ("cover_open", JobError.COVER_OPEN),
    ("paper_end", JobError.PAPER_END),
    ("stopped_at_paper_end", JobError.PAPER_END),
    ("offline", JobError.OFFLINE),
)

Bits = tuple[tuple[str, int], ...]

# DLE EOT n (10 04 n), by n: ``0··1··10``. The comments are the manual's words for a bit that is set.
REAL_TIME: Final[dict[int, Bits]] = {
    1: (  # "printer status"
        ("drawer_pin_high", 0x04),  # Drawer kick-out connector pin 3 is HIGH
        ("offline", 0x08),  # Offline
        ("awaiting_recovery", 0x20),  # Waiting for online recovery
        ("feed_button", 0x40),  # Paper feed button is being pressed
    ),
    2: (  # "offline cause status"
        ("cover_open", 0x04),  # Cover is open
        ("feeding", 0x08),  # Paper is being fed by the paper feed button
        ("stopped_at_paper_end", 0x20),  # Printing stops due to a paper-end
        ("error", 0x40),  # Error occurred
    ),
    3: (  # "error cause status"
        ("mechanical_error", 0x04),  # Recoverable error occurred
        ("cutter_error", 0x08),  # Autocutter error occurred
        ("unrecoverable_error", 0x20),  # Unrecoverable error occurred
        ("recoverable_error", 0x40),  # Auto-recoverable error occurred
    ),
    4: (  # "roll paper sensor status"
        ("paper_near_end", 0x0C),  # Roll paper near-end sensor: paper near-end
        ("paper_end", 0x60),  # Roll paper end sensor: paper not present
    ),
}
# GS r n (1D 72 n), by n: ``0··0····``.
BUFFERED: Final[dict[int, Bits]] = {
    1: (  # "paper sensor status"
        ("paper_near_end", 0x03),  # Roll paper near-end sensor: paper near end
        ("paper_end", 0x0C),  # Roll paper end sensor: paper not present
    ),
    2: (  # "drawer kick-out connector status"
        ("drawer_pin_high", 0x01),  # Drawer kick-out connector pin 3 is HIGH
    ),
}
# Automatic status back (GS a n, 1D 61 n), by byte: ``0··1··00``, then three times ``0··0····``.
AUTOMATIC: Final[tuple[Bits, ...]] = (
    (  # "printer information"
        ("drawer_pin_high", 0x04),  # Drawer kick-out connector pin 3 is HIGH
        ("offline", 0x08),  # Offline
        ("cover_open", 0x20),  # Cover is open
        ("feeding", 0x40),  # Paper is being fed by the paper feed button
    ),
    (  # "printer information"; the first three are undefined on some models
        ("awaiting_recovery", 0x01),  # Waiting for online recovery
        ("feed_button", 0x02),  # Paper feed button is pushed (on)
        ("mechanical_error", 0x04),  # Recoverable error occurred (except for autocutter error)
        ("cutter_error", 0x08),  # Autocutter error occurred
        ("unrecoverable_error", 0x20),  # Unrecoverable error occurred
        ("recoverable_error", 0x40),  # Automatically recoverable error occurred
    ),
    (  # "paper sensor information"
        ("paper_near_end", 0x03),  # Roll paper near-end sensor: paper near-end
        ("paper_end", 0x0C),  # Roll paper end sensor: paper not present
    ),
    (),  # "paper sensor information": reserved
)
# GS I n (1D 49 n), "printer information B": ``5F``, text, NUL.
IDENTITY: Final[dict[int, str]] = {
    65: "firmware",  # Firmware version
    66: "maker",  # Maker name
    67: "model",  # Printer model
    68: "serial",  # Serial No
}


def told(state: PrinterState, bits: Bits, byte: int) -> PrinterState:
    """``state`` after a status byte: any bit of a mask means yes, none of them no."""
    changes: dict[str, Any] = {field: byte & mask != 0 for field, mask in bits}
    return replace(state, **changes)


def named(state: PrinterState, n: int, text: str) -> PrinterState:
    """``state`` after the answer to GS I n."""
    changes: dict[str, Any] = {IDENTITY[n]: text} if n in IDENTITY else {}
    return replace(state, **changes)
