"""configure(): OpenTelemetry for the process, from ``OTEL_*`` variables, where the application has none."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from opentelemetry.metrics import Observation

from printobs.assembly.handle import Handle
from printobs.core import conventions, telemetry
from printobs.core.guard import Guard
from printobs.integrations import logging as log_records

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.util.types import AttributeValue

logger = logging.getLogger("printobs")

_lock: Final = threading.Lock()
_handle: Handle | None = None


def configure(
    service_name: str | None = None,
    *,
    service_version: str | None = None,
    resource_attributes: Mapping[str, AttributeValue] | None = None,
) -> Handle:
    """Set up traces, metrics and logs, each only where the application has set no provider of its own.

    Twice is once: every later call gives the same handle. Never raises: what the environment asks and cannot be had
    is logged, and the rest is set up. ``OTEL_SERVICE_NAME`` and ``OTEL_RESOURCE_ATTRIBUTES`` win over what is given
    here, so that a deployment can name what the code only suggests.

    The build is in the resource (``service.version``, ``process.runtime.name`` and ``.version``; in Prometheus, the
    labels of ``target_info``), printobs' own version in the scope of what it emits. With printobs[process], the
    process itself is measured (``process.*``). ``printobs.clock`` tells that it lives, and whether its clock is right.

    Exporters come from ``OTEL_TRACES_EXPORTER``, ``OTEL_METRICS_EXPORTER`` and ``OTEL_LOGS_EXPORTER``; a signal without
    its variable is exported by OTLP if ``OTEL_EXPORTER_OTLP_ENDPOINT`` (or the signal's own) is set, over HTTP unless
    ``OTEL_EXPORTER_OTLP_PROTOCOL`` says otherwise, and not exported at all if it is not. A provider is made all the
    same: a metrics endpoint can be scraped, and log records carry trace IDs.

    Spans and log records that a collector cannot be given over HTTP wait until it can, as many again as the SDK's own
    queue holds (``OTEL_BSP_MAX_QUEUE_SIZE``, ``OTEL_BLRP_MAX_QUEUE_SIZE``); the oldest are given up for newer ones.

    Servers that fork their workers call this in each worker, after the fork: what was counted before it would be
    counted once more by every child.
    """
    global _handle
    with _lock:
        if _handle is None:
            suggested = {
                **_runtime(),
                **(resource_attributes or {}),
                **({"service.name": service_name} if service_name else {}),
                **({"service.version": service_version} if service_version else {}),
            }
            _handle = _configured(suggested)
        elif _handle.process != os.getpid():
            logger.warning("configure() was called before this process was forked: call it in each worker, after")
        return _handle


def _runtime() -> dict[str, AttributeValue]:
    # https://opentelemetry.io/docs/specs/semconv/resource/process/#process-runtimes. Not the command line, which the
    # SDK's own detector brings: it may hold a secret.
    return {
        "process.runtime.name": sys.implementation.name,
        "process.runtime.version": ".".join(map(str, sys.version_info[:3])),
    }


def _measure_process(provider: MeterProvider) -> None:
    try:
        from printobs.assembly import process
    except ModuleNotFoundError:  # printobs[process] brings it
        return
    process.measure(provider)


def _configured(suggested: Mapping[str, AttributeValue]) -> Handle:
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
        handle.made(**providers.make(suggested))
    with Guard("configuring correlation"):
        if handle.tracer_provider is not None:
            from printobs.integrations.every_span import EverySpan

            handle.tracer_provider.add_span_processor(EverySpan())
    with Guard("configuring process metrics"):
        if handle.meter_provider is not None:
            _measure_process(handle.meter_provider)
    with Guard("configuring the sign of life"):
        clock = telemetry.current().instruments.readings(conventions.CLOCK)
        clock.add(handle, lambda _: [Observation(time.time())])
    with Guard("configuring the export of logs"):
        if handle.logger_provider is not None and providers.exported("logs"):
            log_records.export(handle.logger_provider)
    return handle
