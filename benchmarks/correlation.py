"""A new correlation ID, stored and looked up: beside asgi-correlation-id's context variable and a dict."""

from __future__ import annotations

from uuid import uuid4

from asgi_correlation_id.context import correlation_id as peer_variable

import printobs
from benchmarks.pairs import interleaved

_BATCH = 2_000


def _ours() -> int:
    for _ in range(_BATCH):
        with printobs.correlation():
            printobs.correlation_id()
    return _BATCH


def _peer() -> int:
    jobs: dict[str, str] = {}
    for _ in range(_BATCH):
        identifier = uuid4().hex
        token = peer_variable.set(identifier)
        jobs[identifier] = identifier
        jobs.pop(peer_variable.get() or "")
        peer_variable.reset(token)
    return _BATCH


def measure(rounds: int) -> dict[str, float]:
    """Microseconds for one ID made, stored, looked up and let go."""
    return interleaved({"printobs": _ours, "asgi-correlation-id and a dict": _peer}, rounds)
