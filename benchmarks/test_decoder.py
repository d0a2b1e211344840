"""The decoder of what printers send back: a stream of status, text and process ID replies among each other."""

from __future__ import annotations

from typing import Final

from benchmarks.rows import Candidate, Gate, Rows, beside
from printobs.signals.escpos_replies import Replies

SIZE: Final = 16 << 10  # bytes of a batch
PEER: Final = "a loop that only looks at each byte"
CHUNK: Final = 16

# Automatic status (GS a), power on, process ID (GS ( H), a printer's name (GS I): ESC/POS Command Reference.
PIECES: Final = (b"\x10\x00\x00\x00", b"\x3b\x30\x00", b"\x37\x22\x31\x32\x33\x34\x00", b"\x5fTM-T88VI\x00")
STREAM: Final = (b"".join(PIECES) * (SIZE // len(b"".join(PIECES)) + 1))[:SIZE]
CHUNKS: Final = [STREAM[start : start + CHUNK] for start in range(0, SIZE, CHUNK)]


def decode() -> int:
    replies = Replies()
    for chunk in CHUNKS:
        replies.feed(chunk)
    return SIZE


def look() -> int:
    found = 0
    for chunk in CHUNKS:
        for byte in chunk:
            if byte & 0x93 == 0x12 or byte in (0x37, 0x3B, 0x5F):
                found += 1
    return SIZE


def test_decoder(rows: Rows) -> None:
    events = len([event for chunk in CHUNKS for event in Replies().feed(chunk)])
    assert events > 0
    rows.compare(
        "a byte of a printer's replies decoded (1 µs: 1 MB/s)",
        {"printobs": Candidate(decode), PEER: Candidate(look)},
        [Gate("by a loop over the bytes", beside("printobs", PEER), 40.0)],
    )
