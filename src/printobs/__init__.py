"""printobs tells a restaurant whether its receipts really print, in OpenTelemetry's own terms.

Every name is imported when it is first used: a bare install has opentelemetry-api only, and what needs an extra says
which one.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import printobs.testing as testing
    from printobs.assembly.configure import configure
    from printobs.assembly.connections import identify, quality, refusal
    from printobs.assembly.handle import Handle
    from printobs.assembly.health import health
    from printobs.assembly.instrumentation import instrument, uninstrument
    from printobs.assembly.printing import PrintJob, PrintJobFailed, print_job, register
    from printobs.core.conventions import Outcome
    from printobs.integrations.asgi import TelemetryMiddleware
    from printobs.integrations.metrics_endpoint import metrics_app, metrics_route
    from printobs.signals.connection_quality import ConnectionQuality
    from printobs.signals.correlation import correlation, correlation_id
    from printobs.signals.message_scope import message
    from printobs.signals.printer_health import Health
    from printobs.signals.propagation import inject

__all__ = [
    "ConnectionQuality",
    "Handle",
    "Health",
    "Outcome",
    "PrintJob",
    "PrintJobFailed",
    "TelemetryMiddleware",
    "configure",
    "correlation",
    "correlation_id",
    "health",
    "identify",
    "inject",
    "instrument",
    "message",
    "metrics_app",
    "metrics_route",
    "print_job",
    "quality",
    "refusal",
    "register",
    "testing",
    "uninstrument",
]

# Where each name lives, and the extra that its module needs.
_HOMES: Final = {
    "ConnectionQuality": ("signals.connection_quality", ""),
    "Handle": ("assembly.handle", ""),
    "Health": ("signals.printer_health", ""),
    "Outcome": ("core.conventions", ""),
    "PrintJob": ("assembly.printing", ""),
    "PrintJobFailed": ("assembly.printing", ""),
    "TelemetryMiddleware": ("integrations.asgi", "asgi"),
    "configure": ("assembly.configure", ""),
    "correlation": ("signals.correlation", ""),
    "correlation_id": ("signals.correlation", ""),
    "health": ("assembly.health", ""),
    "identify": ("assembly.connections", ""),
    "inject": ("signals.propagation", ""),
    "instrument": ("assembly.instrumentation", ""),
    "message": ("signals.message_scope", ""),
    "metrics_app": ("integrations.metrics_endpoint", "prometheus"),
    "metrics_route": ("integrations.metrics_endpoint", "prometheus"),
    "print_job": ("assembly.printing", ""),
    "quality": ("assembly.connections", ""),
    "refusal": ("assembly.connections", ""),
    "register": ("assembly.printing", ""),
    "testing": ("testing", "testing"),
    "uninstrument": ("assembly.instrumentation", ""),
}

if not TYPE_CHECKING:  # A checker that saw it would take every misspelt name for an existing one.

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module, extra = _HOMES[name]
        try:
            home = import_module(f"{__name__}.{module}")
        except ModuleNotFoundError as error:
            if not extra or (error.name or "").partition(".")[0] == __name__:
                raise
            raise ImportError(
                f"{__name__}.{name} needs {error.name!r}: install {__name__}[{extra}]", name=error.name
            ) from error
        value = home if module == name else getattr(home, name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
