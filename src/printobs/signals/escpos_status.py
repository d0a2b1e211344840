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

# DLE EOT n (10 04 n), by n.
REAL_TIME: Final[dict[int, Bits]] = {
    1: (("drawer_pin_high", 0x04), ("offline", 0x08), ("awaiting_recovery", 0x20), ("feed_button", 0x40)),
    2: (("cover_open", 0x04), ("feeding", 0x08), ("stopped_at_paper_end", 0x20), ("error", 0x40)),
    3: (
        ("mechanical_error", 0x04),
        ("cutter_error", 0x08),
        ("unrecoverable_error", 0x20),
        ("recoverable_error", 0x40),
    ),
    4: (("paper_near_end", 0x0C), ("paper_end", 0x60)),
}
# GS r n (1D 72 n), by n.
BUFFERED: Final[dict[int, Bits]] = {1: (("paper_near_end", 0x03), ("paper_end", 0x0C)), 2: (("drawer_pin_high", 0x01),)}
# Automatic status back (GS a), by byte.
AUTOMATIC: Final[tuple[Bits, ...]] = (
    (("drawer_pin_high", 0x04), ("offline", 0x08), ("cover_open", 0x20), ("feed_button", 0x40)),
    REAL_TIME[3],
    BUFFERED[1],
    (),
)
# GS I n (1D 49 n), by n.
IDENTITY: Final[dict[int, str]] = {65: "firmware", 66: "maker", 67: "model", 68: "serial"}


def told(state: PrinterState, bits: Bits, byte: int) -> PrinterState:
    """``state`` after a status byte: all bits of a mask mean yes, none of them no."""
    changes: dict[str, Any] = {field: byte & mask != 0 for field, mask in bits}
    return replace(state, **changes)


def named(state: PrinterState, n: int, text: str) -> PrinterState:
    """``state`` after the answer to GS I n."""
    changes: dict[str, Any] = {IDENTITY[n]: text} if n in IDENTITY else {}
    return replace(state, **changes)
