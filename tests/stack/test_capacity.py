"""Ten receipts a second are nothing for one machine's backend; what is sent is what a real receipt sends."""

from __future__ import annotations

import os
import signal

import pytest

from tests.stack.backend import Backend, until
from tests.stack.capacity import STEADY, Load, Receipt, real_receipt


@pytest.fixture(scope="module")
def receipt() -> Receipt:
    return real_receipt()


def test_a_busy_evening_is_taken_and_stored(backend: Backend, receipt: Receipt) -> None:
    step = Load(backend.stack, receipt).step(STEADY, 6)
    assert step.holds, step
    assert step.spans == step.receipts * receipt.spans
    found = until(lambda: len(backend.printed(step.receipts * 4)) == step.receipts and backend.printed(1))
    [identity] = found
    records = [each for each in backend.logs() if each.get("correlation.id") == identity]
    assert {each["service"] for each in records} == {"service", "agent"}
    [trace] = {each["trace"] for each in records}
    spans = until(lambda: (backend.trace(trace) or {"spans": []})["spans"])
    assert len(spans) == receipt.spans
    ids = {span["spanID"] for span in spans}
    parents = [ref["spanID"] for span in spans for ref in span["references"] if ref["refType"] == "CHILD_OF"]
    assert len(parents) == receipt.spans - 1
    assert set(parents) <= ids


def test_a_collector_that_cannot_keep_up_is_seen(backend: Backend, receipt: Receipt) -> None:
    jaeger = backend.stack.running["jaeger"].pid
    os.kill(jaeger, signal.SIGSTOP)
    try:
        step = Load(backend.stack, receipt).step(STEADY, 2, patience=4)
    finally:
        os.kill(jaeger, signal.SIGCONT)
    assert not step.holds
    assert step.queued > 0
