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
    from printobs.integrations.logging_json import JsonFormatter
    from printobs.integrations.metrics_endpoint import metrics_app, metrics_route
    from printobs.signals.connection_quality import ConnectionQuality
    from printobs.signals.correlation import correlation, correlation_id
    from printobs.signals.correlation_registry import CorrelationRegistry
    from printobs.signals.credentials import Credentials
    from printobs.signals.event_loop import watch_event_loop
    from printobs.signals.inventory import Inventory
    from printobs.signals.job_queue import JobQueue
    from printobs.signals.message_scope import message
    from printobs.signals.printer_health import Health
    from printobs.signals.propagation import inject
    from printobs.signals.security import security

__all__ = [
    "ConnectionQuality",
    "CorrelationRegistry",
    "Credentials",
    "Handle",
    "Health",
    "Inventory",
    "JobQueue",
    "JsonFormatter",
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
    "security",
    "testing",
    "uninstrument",
    "watch_event_loop",
]

# Where each name lives, and the extra that its module needs.
_HOMES: Final = {
    "ConnectionQuality": ("signals.connection_quality", ""),
    "CorrelationRegistry": ("signals.correlation_registry", ""),
    "Credentials": ("signals.credentials", ""),
    "Handle": ("assembly.handle", ""),
    "Health": ("signals.printer_health", ""),
    "Inventory": ("signals.inventory", ""),
    "JobQueue": ("signals.job_queue", ""),
    "JsonFormatter": ("integrations.logging_json", ""),
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
    "security": ("signals.security", ""),
    "testing": ("testing", "testing"),
    "uninstrument": ("assembly.instrumentation", ""),
    "watch_event_loop": ("signals.event_loop", ""),
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
