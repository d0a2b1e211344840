"""Floor 3: parts for tests: VirtualPrinter, OtlpSink and a pytest plugin."""

from typing import TYPE_CHECKING, Any

from printobs.testing.paper import Receipt
from printobs.testing.virtual_printer import VirtualPrinter

if TYPE_CHECKING:
    from printobs.testing.otlp_sink import OtlpSink

__all__ = ["OtlpSink", "Receipt", "VirtualPrinter"]

if not TYPE_CHECKING:  # The printer needs the standard library only, the sink opentelemetry-proto.

    def __getattr__(name: str) -> Any:
        if name == "OtlpSink":
            try:
                from printobs.testing.otlp_sink import OtlpSink
            except ModuleNotFoundError as error:
                raise ImportError(
                    f"{__name__}.{name} needs {error.name!r}: install printobs[testing]", name=error.name
                ) from error
            return OtlpSink
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
