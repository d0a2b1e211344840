"""The clock: durations from one that never steps back, timestamps from the wall's."""

from __future__ import annotations

import time


def monotonic() -> float:
    """Seconds since an arbitrary point; only differences mean something; never steps back."""
    return time.perf_counter()


def wall_ns(instant: float | None = None) -> int:
    """Nanoseconds since 1970, as span times want them: now, or at ``instant`` of `monotonic`, to backdate a span."""
    now = time.time_ns()
    return now if instant is None else now - int((monotonic() - instant) * 1e9)
