"""configure(): OpenTelemetry for the process, from ``OTEL_*`` variables, where the application has none."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from printobs.assembly.handle import Handle
from printobs.core.guard import Guard
from printobs.integrations import logging as log_records

if TYPE_CHECKING:
    from opentelemetry.util.types import AttributeValue

logger = logging.getLogger("printobs")

_lock: Final = threading.Lock()
_handle: Handle | None = None


def configure(
    service_name: str | None = None, *, resource_attributes: Mapping[str, AttributeValue] | None = None
) -> Handle:
    """Set up traces, metrics and logs, each only where the application has set no provider of its own.

    Twice is once: every later call gives the same handle. Never raises: what the environment asks and cannot be had
    is logged, and the rest is set up. ``OTEL_SERVICE_NAME`` and ``OTEL_RESOURCE_ATTRIBUTES`` win over ``service_name``
    and ``resource_attributes``, so that a deployment can name what the code only suggests.

    Exporters come from ``OTEL_TRACES_EXPORTER``, ``OTEL_METRICS_EXPORTER`` and ``OTEL_LOGS_EXPORTER``; a signal without
    its variable is exported by OTLP if ``OTEL_EXPORTER_OTLP_ENDPOINT`` (or the signal's own) is set, over HTTP unless
    ``OTEL_EXPORTER_OTLP_PROTOCOL`` says otherwise, and not exported at all if it is not. A provider is made all the
    same: a metrics endpoint can be scraped, and log records carry trace IDs.

    Servers that fork their workers call this in each worker, after the fork: what was counted before it would be
    counted once more by every child.
    """
    global _handle
    with _lock:
        if _handle is None:
            _handle = _configured(service_name, resource_attributes or {})
        elif _handle.process != os.getpid():
            logger.warning("configure() was called before this process was forked: call it in each worker, after")
        return _handle


def _configured(service_name: str | None, attributes: Mapping[str, AttributeValue]) -> Handle:
    handle = Handle()
    with Guard("configuring logging"):  # first: formatters may rely on its fields already
        log_records.instrument()
        handle.before_shutdown(log_records.uninstrument)
    try:
        from printobs.assembly import providers
    except ModuleNotFoundError as error:
        logger.warning("nothing is recorded: %s is not installed (printobs[sdk] brings it)", error.name)
        return handle
    except Exception as error:  # the SDK reads some variables when it is imported, and raises for their values
        logger.warning("nothing is recorded: the SDK cannot be loaded: %s: %s", type(error).__name__, error)
        return handle
    with Guard("configuring OpenTelemetry"):
        suggested = {**attributes, "service.name": service_name} if service_name else attributes
        handle.made(**providers.make(suggested))
    with Guard("configuring correlation"):
        if handle.tracer_provider is not None:
            from printobs.integrations.correlation_spans import CorrelationSpanProcessor

            handle.tracer_provider.add_span_processor(CorrelationSpanProcessor())
    with Guard("configuring the export of logs"):
        if handle.logger_provider is not None and providers.exported("logs"):
            log_records.export(handle.logger_provider)
    return handle
