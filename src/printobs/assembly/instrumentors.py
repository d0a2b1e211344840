"""Entry points for ``opentelemetry-instrument``: what `printobs.instrument` does, with no line of code changed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from printobs.assembly import instrumentation
from printobs.assembly.instrumentation import Library
from printobs.core import telemetry


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


class StarletteInstrumentor(_Instrumentor):
    """Starlette, and what is built on it."""

    library = instrumentation.STARLETTE
