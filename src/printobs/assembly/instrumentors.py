"""Entry points for ``opentelemetry-instrument``: what `printobs.instrument` does, with no line of code changed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from opentelemetry import trace
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from printobs.assembly import instrumentation
from printobs.assembly.instrumentation import Library
from printobs.core import telemetry
from printobs.core.guard import Guard
from printobs.integrations import logging as log_records


class _Instrumentor(BaseInstrumentor):  # type: ignore[misc]
    library: Library

    def instrumentation_dependencies(self) -> Collection[str]:
        """None: a library that is absent is waited for, as one missing dependency would skip every entry point."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        bound = telemetry.telemetry(kwargs.get("tracer_provider"), kwargs.get("meter_provider"))
        instrumentation.instrument_library(self.library, bound)

    def _uninstrument(self, **_: Any) -> None:
        instrumentation.uninstrument_library(self.library)


class EscposInstrumentor(_Instrumentor):
    """python-escpos."""

    library = instrumentation.ESCPOS


class WebSocketsInstrumentor(_Instrumentor):
    """The ``websockets`` library."""

    library = instrumentation.WEBSOCKETS


class StructlogInstrumentor(_Instrumentor):
    """structlog."""

    library = instrumentation.STRUCTLOG


class CorrelationInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """The correlation ID on every span and exported log record, as `printobs.configure` has it."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """None."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        with Guard("configuring correlation"):
            log_records.name_for_export()
            provider = kwargs.get("tracer_provider") or trace.get_tracer_provider()
            if hasattr(provider, "add_span_processor"):  # the SDK's
                from printobs.integrations.every_span import EverySpan

                provider.add_span_processor(EverySpan())

    def _uninstrument(self, **_: Any) -> None:
        log_records.uninstrument()  # a span processor stays as long as its provider


class StarletteInstrumentor(_Instrumentor):
    """Starlette, and what is built on it."""

    library = instrumentation.STARLETTE
