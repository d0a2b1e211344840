"""A part of the backend is gone for a while: receipts go on as before, and nothing is lost that is not counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.stack.ports import Ports
from collector.stack.stack import Stack
from examples.demo.stage import Stage
from tests.stack.backend import Backend, telemetry
from tests.stack.outages import EVERYTHING, Outage, play

OUTAGES = [
    Outage("otelcol", 20, killed=True),
    Outage("otelcol", 5, killed=False),
    Outage("jaeger", 15, killed=True),
    Outage("prometheus", 10, killed=True),
    Outage(EVERYTHING, 5, killed=True),
    Outage("jaeger", 10, killed=True, damaged=True),
    Outage("jaeger", 30, killed=True, disk=256 << 10),
]


@pytest.mark.parametrize("outage", OUTAGES, ids=str)
def test_receipts_go_on_and_the_accounts_are_right(outage: Outage, tmp_path: Path) -> None:
    with (
        outage.machine(tmp_path),
        Stack(Ports.free(), tmp_path, "1s") as stack,
        Stage(telemetry(Backend(stack).otlp)) as stage,
    ):
        cost = play(stack, stage, outage)
    assert cost.confirmed == cost.receipts
    assert set(cost.counted.values()) == {cost.receipts}
    assert cost.spans_lost <= outage.bound
    assert cost.spans_counted_lost == 0
    # A receipt takes a quarter of a second there: one that waited for the backend would take ten.
    assert cost.slowest_during < cost.p50_before + 3
