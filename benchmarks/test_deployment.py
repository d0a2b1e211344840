"""Receipts a second through the reference deployment: service, agent and virtual printers as processes."""

from __future__ import annotations

from typing import Final

from benchmarks.deployment import receipts
from benchmarks.rows import Gate, Rows, beside

PRINTERS: Final = 10
ROUNDS: Final = 4
JOBS: Final = 200
OFF: Final = "telemetry off"
ON: Final = "telemetry on"


def test_receipts(rows: Rows) -> None:
    measured: dict[str, list[float]] = {}
    rows.play(lambda: measured.update(receipts(PRINTERS, ROUNDS, JOBS)), 1)
    took = {name: [1e3 / rate for rate in rates] for name, rates in measured.items()}
    rows.note(title=f"a receipt through the reference deployment, {PRINTERS} printers, at full load", unit="ms")
    rows.figures(took)
    rounds = [dict(zip(took, each, strict=True)) for each in zip(*took.values(), strict=True)]
    rows.ratios([Gate("by telemetry off", beside(ON, OFF), 1.5)], rounds)
