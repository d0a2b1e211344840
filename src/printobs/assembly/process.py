"""``process.*``: CPU, memory, threads and files of this process. Needs printobs[process]."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from opentelemetry.instrumentation.environment_variables import OTEL_PYTHON_DISABLED_INSTRUMENTATIONS
from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor, _build_default_config

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider

_NAME = "system_metrics"  # of its entry point


class _ProcessMetrics(SystemMetricsInstrumentor):
    _instance = None  # not the singleton that the application may use by itself


def measure(provider: MeterProvider) -> None:
    """Add the metrics to ``provider``: of this process only, since the host is not its business.

    ``OTEL_PYTHON_SYSTEM_METRICS_EXCLUDED_METRICS`` and ``OTEL_PYTHON_DISABLED_INSTRUMENTATIONS`` are honoured.
    """
    disabled = os.environ.get(OTEL_PYTHON_DISABLED_INSTRUMENTATIONS, "")
    if {_NAME, "*"} & {name.strip() for name in disabled.split(",")}:
        return
    config = {
        name: parts
        for name, parts in _build_default_config().items()
        if name.startswith("process.") and not name.startswith("process.runtime.")  # deprecated: all is there twice
    }
    _ProcessMetrics(config=config).instrument(meter_provider=provider)
