"""The clock: durations from one that never steps back, timestamps from the wall's."""

from __future__ import annotations

import time

from opentelemetry.trace import Span


def monotonic() -> float:
    """Seconds since an arbitrary point; only differences mean something; never steps back."""
    return time.perf_counter()


class Wall:
    """The machine's clock as it was when this was made, carried on by `monotonic`: for the spans of one piece of work.

    Whatever is done to the machine's clock meanwhile, none of them ends before it began, nor begins before its parent.
    """

    __slots__ = ("_offset",)

    def __init__(self) -> None:
        self._offset = time.time_ns() - int(monotonic() * 1e9)

    def ns(self, instant: float) -> int:
        """Nanoseconds since 1970, as span times want them, at ``instant`` of `monotonic`."""
        return self._offset + int(instant * 1e9)


def end(span: Span) -> None:
    """End a span that began by the machine's clock: now, but never before it began."""
    began: int | None = getattr(span, "start_time", None)  # the API's spans have none
    span.end(None if began is None else max(began, time.time_ns()))
