"""The correlation ID on every span, whoever makes it. Needs the SDK."""

from __future__ import annotations

from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span, SpanProcessor

from printobs.core.conventions import CORRELATION_ID
from printobs.core.guard import Guard
from printobs.signals.correlation import correlation_id

_guard: Final = Guard("adding a correlation ID to a span")


class CorrelationSpanProcessor(SpanProcessor):
    """Copies the correlation ID of the parent's context onto spans that carry none."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Called by the SDK for every recorded span."""
        with _guard:
            identifier = correlation_id(parent_context)
            if identifier is not None and CORRELATION_ID not in (span.attributes or {}):
                span.set_attribute(CORRELATION_ID, identifier)
