"""Receipts a second through the reference deployment: service, agent and virtual printers as processes."""

from __future__ import annotations

from typing import Final

import pytest

from benchmarks.deployment import receipts
from benchmarks.rows import Gate, Round, Rows, beside

pytestmark = pytest.mark.end_to_end

PRINTERS: Final = 10
ROUNDS: Final = 4
JOBS: Final = 200
OFF: Final = "telemetry off"
ON: Final = "telemetry on"


def look(_: int) -> list[Round]:
    rates = receipts(PRINTERS, ROUNDS, JOBS)
    return [
        {name: 1e3 / rate for name, rate in zip(rates, each, strict=True)} for each in zip(*rates.values(), strict=True)
    ]


def test_receipts(rows: Rows) -> None:
    rows.elsewhere(
        f"a receipt through the reference deployment, {PRINTERS} printers, at full load",
        "ms",
        look,
        [Gate("by telemetry off", beside(ON, OFF), 1.6)],
    )
