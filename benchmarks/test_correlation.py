"""A new correlation ID, stored and looked up."""

from __future__ import annotations

from typing import Final
from uuid import uuid4

from asgi_correlation_id.context import correlation_id as variable

import printobs
from benchmarks.providers import Providers
from benchmarks.rows import Candidate, Gate, Rows, beside

BATCH: Final = 2_000
PEER: Final = "asgi-correlation-id's variable and a dict"
BUDGET: Final = "correlation: new ID, store, look up: 3 µs"


def peer() -> int:
    jobs: dict[str, str] = {}
    for _ in range(BATCH):
        identifier = uuid4().hex
        token = variable.set(identifier)
        jobs[identifier] = identifier
        jobs.pop(variable.get() or "")
        variable.reset(token)
    return BATCH


def ours() -> int:
    for _ in range(BATCH):
        with printobs.correlation():
            printobs.correlation_id()
    return BATCH


def test_correlation_id(rows: Rows, providers: Providers) -> None:
    rows.compare(
        "a correlation ID made, stored, looked up and let go",
        {"printobs": Candidate(ours, providers.points("correlation.ids")), PEER: Candidate(peer)},
        [Gate("by asgi-correlation-id's", beside("printobs", PEER), 2.0, BUDGET)],
    )
