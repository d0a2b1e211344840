"""What holds for every span, whoever makes it: it carries the correlation ID, and does not end before it began.

Needs the SDK.
"""

from __future__ import annotations

from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span, SpanProcessor

from printobs.core.conventions import CORRELATION_ID
from printobs.core.guard import Guard
from printobs.signals.correlation import correlation_id

_guard: Final = Guard("completing a span")


class EverySpan(SpanProcessor):
    """Copies the correlation ID of the parent's context onto spans that carry none, and mends their times."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Called by the SDK for every recorded span."""
        with _guard:
            identifier = correlation_id(parent_context)
            if identifier is not None and CORRELATION_ID not in (span.attributes or {}):
                span.set_attribute(CORRELATION_ID, identifier)

    def _on_ending(self, span: Span) -> None:
        # The SDK takes both times from the machine's clock, which somebody may have set back in between.
        with _guard:
            if span.end_time is not None and span.start_time is not None and span.end_time < span.start_time:
                span._end_time = span.start_time
