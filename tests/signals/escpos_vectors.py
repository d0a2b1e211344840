"""What printers answer, as the manuals say it: bytes, and what they mean. Written from these, by no printer of ours.

WEB: Epson, ESC/POS Command Reference for TM printers (download4.epson.biz/sec_pubs/pos/reference_en/escpos), which
     covers TM-m30, TM-T88IV to TM-T88VII and TM-T20III among others.
APG: Epson, ESC/POS Application Programming Guide, Paper roll, Ver. 10.01 (TM-T88III, TM-T90, TM-L90 and others).
T88: Epson, TM-T88III series Specification, revision B.
U230: Epson, TM-U230 series Specification, revision D.
RP: Epson, RP-U420 series Specification, revision B.
T81: Epson, TM-T81 Specification, revision A.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from printobs.signals.escpos_replies import Buffered, Identity, Process, Question, RealTime


@dataclass(frozen=True)
class Vector:
    """``reply`` to ``question`` (``None``: nobody asked) tells ``state``, by the words of ``source``."""

    source: str
    question: Question | None
    reply: bytes
    state: dict[str, Any] = field(default_factory=dict)


def status(source: str, question: Question, fixed: int, *bits: tuple[str, int, str]) -> list[Vector]:
    """One status byte without a bit, and with each of its bits (field, mask, the manual's words) alone."""
    fields = [name for name, _, _ in bits]
    return [
        Vector(f"{source}: fixed bits only", question, bytes((fixed,)), dict.fromkeys(fields, False)),
        *(
            Vector(f"{source}: {words}", question, bytes((fixed | mask,)), {**dict.fromkeys(fields, False), name: True})
            for name, mask, words in bits
        ),
    ]


def automatic(*bits: tuple[str, int, int, str]) -> list[Vector]:
    """The four bytes of ASB with each bit (field, byte, mask, words) alone."""
    fields = [name for name, *_ in bits]

    def frame(place: int, mask: int) -> bytes:
        return bytes((0x10 if at == 0 else 0) | (mask if at == place else 0) for at in range(4))

    return [
        Vector("WEB GS a: fixed bits only", None, frame(0, 0), dict.fromkeys(fields, False)),
        *(
            Vector(f"WEB GS a: {words}", None, frame(place, mask), {**dict.fromkeys(fields, False), name: True})
            for name, place, mask, words in bits
        ),
    ]


STATUS: Final = [
    *status(
        "WEB DLE EOT n = 1, printer status",
        RealTime(1),
        0x12,
        ("drawer_pin_high", 0x04, "Drawer kick-out connector pin 3 is HIGH"),
        ("offline", 0x08, "Offline"),
        ("awaiting_recovery", 0x20, "Waiting for online recovery"),
        ("feed_button", 0x40, "Paper feed button is being pressed"),
    ),
    *status(
        "WEB DLE EOT n = 2, offline cause status",
        RealTime(2),
        0x12,
        ("cover_open", 0x04, "Cover is open"),
        ("feeding", 0x08, "Paper is being fed by the paper feed button"),
        ("stopped_at_paper_end", 0x20, "Printing stops due to a paper-end"),
        ("error", 0x40, "Error occurred"),
    ),
    *status(
        "WEB DLE EOT n = 3, error cause status",
        RealTime(3),
        0x12,
        ("mechanical_error", 0x04, "Recoverable error occurred"),
        ("cutter_error", 0x08, "Autocutter error occurred"),
        ("unrecoverable_error", 0x20, "Unrecoverable error occurred"),
        ("recoverable_error", 0x40, "Auto-recoverable error occurred"),
    ),
    *status(
        "WEB DLE EOT n = 4, roll paper sensor status",
        RealTime(4),
        0x12,
        ("paper_near_end", 0x0C, "Roll paper near-end sensor: paper near-end"),
        ("paper_end", 0x60, "Roll paper end sensor: paper not present"),
    ),
    *status(
        "APG p. 331 GS r n = 1, paper sensor status",
        Buffered(1),
        0x00,
        ("paper_near_end", 0x03, "Roll paper near-end sensor: paper near end"),
        ("paper_end", 0x0C, "Roll paper end sensor: paper not present"),
    ),
    *status(
        "APG p. 332 GS r n = 2, drawer kick-out connector status",
        Buffered(2),
        0x00,
        ("drawer_pin_high", 0x01, "Drawer kick-out connector pin 3 is HIGH"),
    ),
    # "5, 6: Undefined", "Reserved": they may be anything, and mean nothing.
    Vector("APG p. 331 GS r n = 1: bits 5 and 6 undefined", Buffered(1), b"\x60", {"paper_end": False}),
    Vector("APG p. 332 GS r n = 2: bits 1 to 3 undefined", Buffered(2), b"\x6e", {"drawer_pin_high": False}),
]

AUTOMATIC: Final = [
    *automatic(
        ("drawer_pin_high", 0, 0x04, "first byte, Drawer kick-out connector pin 3 is HIGH"),
        ("offline", 0, 0x08, "first byte, Offline"),
        ("cover_open", 0, 0x20, "first byte, Cover is open"),
        ("feeding", 0, 0x40, "first byte, Paper is being fed by the paper feed button"),
        ("awaiting_recovery", 1, 0x01, "second byte, Waiting for online recovery"),
        ("feed_button", 1, 0x02, "second byte, Paper feed button is pushed (on)"),
        ("mechanical_error", 1, 0x04, "second byte, Recoverable error occurred"),
        ("cutter_error", 1, 0x08, "second byte, Autocutter error occurred"),
        ("unrecoverable_error", 1, 0x20, "second byte, Unrecoverable error occurred"),
        ("recoverable_error", 1, 0x40, "second byte, Automatically recoverable error occurred"),
        ("paper_near_end", 2, 0x03, "third byte, Roll paper near-end sensor: paper near-end"),
        ("paper_end", 2, 0x0C, "third byte, Roll paper end sensor: paper not present"),
    ),
    Vector(
        "WEB GS a, the example of ASB-1: reserved bits are set",
        None,
        b"\x38\x00\x63\x0f",
        {"offline": True, "cover_open": True, "paper_near_end": True, "paper_end": False, "cutter_error": False},
    ),
    Vector(
        "WEB GS a, the example of ASB-2",
        None,
        b"\x10\x00\x63\x0f",
        {"offline": False, "cover_open": False, "paper_near_end": True, "paper_end": False},
    ),
]

# GS I n: of its answer, the value that a caller gets.
IDENTITIES: Final[list[tuple[str, int, bytes, int | str]]] = [
    ("T81 GS I n = 1, model ID", 1, b"\x20", 0x20),
    ("T88 GS I n = 49, model ID", 49, b"\x20", 0x20),
    ("T88 GS I n = 2, type ID: autocutter installed", 2, b"\x02", 0x02),
    ("RP GS I n = 3, firmware version ID", 3, b"\x02", 0x02),
    ("APG p. 462 GS I n = 51, version ID of TM-T90", 51, b"\x46", 0x46),
    ("RP GS I n = 65, firmware version", 65, b"\x5f1.28\x00", "1.28"),
    ("APG GS I n = 66, maker name", 66, b"\x5fEPSON\x00", "EPSON"),
    ("T81 GS I n = 67, printer name", 67, b"\x5fTM-T81\x00", "TM-T81"),
    ("APG p. 462 GS I n = 67", 67, b"\x5fTM-T90\x00", "TM-T90"),
    ("APG GS I n = 69, font of language for each country", 69, b"\x5fCHINA GB2312\x00", "CHINA GB2312"),
]

# "See the example": ascending strings, some of whose digits have the bits of a real-time status.
PROCESS_IDS: Final = [
    ("APG p. 429 GS ( H fn = 48, process ID response", Process(b"0001"), b"\x37\x220001\x00"),
    ("APG p. 429 GS ( H fn = 48, process ID response", Process(b"0002"), b"\x37\x220002\x00"),
    ("APG p. 429 GS ( H fn = 48, process ID response", Process(b"0003"), b"\x37\x220003\x00"),
    ("APG p. 428 GS ( H fn = 48: 32 ≤ d ≤ 126", Process(b" ~2:"), b"\x37\x22 ~2:\x00"),
]

# Blocks that answer nobody here. None of their bytes is a status.
BLOCKS: Final = [
    ("APG p. 431 GS ( H fn = 49, offline response without a cause", b"\x37\x23\x00"),
    ("APG p. 431 GS ( H fn = 49, offline response with ten bytes of cause", b"\x37\x23@ABRVZ^\x7f@@\x00"),
    ("APG p. 395 DLE DC4 fn = 8, clear response", b"\x37\x25\x00"),
    ("APG p. 459 GS I n = 33, printer information A: autocutter", b"\x3d\x21\x42\x40\x00"),
    ("APG p. 459 GS I n = 33, cannot be transmitted", b"\x3d\x21\x00"),
    ("APG p. 564 GS ( C, no such record", b"\x37\x70\x40\x00"),
]

POWER_ON: Final = ("APG p. 578 GS ( E fn = 3, memory switch 1-1, power on notice", b"\x3b\x31\x00")

# U230 table E-1, T88 table G.1, "Transmission status identification".
XON: Final = 0x11
XOFF: Final = 0x13
PATTERNS: Final = {
    "DLE EOT": ("0xx1xx10", RealTime),
    "GS r": ("0xx0xxxx", Buffered),
    "GS I": ("0xx0xxxx", Identity),
}
