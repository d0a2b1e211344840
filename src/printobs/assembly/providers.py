"""Providers built by the SDK's own configurator, signal by signal. Needs the SDK; imported by configure() alone."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Final

from opentelemetry import _logs, metrics, trace
from opentelemetry._logs._internal import ProxyLoggerProvider
from opentelemetry.metrics._internal import _ProxyMeterProvider
from opentelemetry.sdk import _configuration as sdk
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.util.types import AttributeValue

from printobs.assembly.exports import Exports

logger = logging.getLogger("printobs")


class _Configurator(sdk._OTelSDKConfigurator):
    """The SDK's configurator is meant to be subclassed: each subclass is one instance a process."""


@dataclass(frozen=True, slots=True)
class _Signal:
    name: str
    get_provider: Callable[[], Any]
    unset: type
    build: Callable[[list[str], Resource, Exports], None]

    def provider(self) -> Any | None:
        """The global provider, if somebody has set one."""
        provider = self.get_provider()
        return None if isinstance(provider, self.unset) else provider


def _traces(names: list[str], resource: Resource, exports: Exports) -> None:
    exporters, _, _ = sdk._import_exporters(names, [], [])
    sdk._init_tracing(
        exporters, resource=resource, exporter_args_map=exports.arguments, export_span_processor=exports.spans
    )


def _metrics(names: list[str], resource: Resource, exports: Exports) -> None:
    _, exporters, _ = sdk._import_exporters([], names, [])
    sdk._init_metrics(exporters, resource=resource, exporter_args_map=exports.arguments)


def _log_records(names: list[str], resource: Resource, exports: Exports) -> None:
    _, _, exporters = sdk._import_exporters([], [], names)
    sdk._init_logging(
        exporters,
        resource=resource,
        setup_logging_handler=False,
        exporter_args_map=exports.arguments,
        export_log_record_processor=exports.log_records,
    )


_SIGNALS: Final = (
    _Signal("traces", trace.get_tracer_provider, trace.ProxyTracerProvider, _traces),
    _Signal("metrics", metrics.get_meter_provider, _ProxyMeterProvider, _metrics),
    _Signal("logs", _logs.get_logger_provider, ProxyLoggerProvider, _log_records),
)


def make(attributes: Mapping[str, AttributeValue]) -> dict[str, Any]:
    """Set the global provider of every signal that has none; gives those that were set, by signal name.

    What cannot be had is logged, and the signal gets a provider without it; none where even that cannot be made.
    """
    _choose_defaults()
    # What the deployment says wins over what the code suggests.
    wanted = {**attributes, **OTELResourceDetector().detect().attributes}
    missing = [signal for signal in _SIGNALS if signal.provider() is None]
    exports = Exports()
    if len(missing) == len(_SIGNALS):
        _attempt("all signals", functools.partial(_build_all, wanted, exports))
    # It builds every signal or fails as a whole, so that the rest is done one by one.
    resource = Resource.create(wanted)
    for signal in missing:
        if signal.provider() is None:
            _attempt(signal.name, functools.partial(_build, signal, resource, exports))
        if signal.provider() is None:
            _attempt(f"{signal.name} without an exporter", functools.partial(signal.build, [], resource, exports))
    made = {signal.name: signal.provider() for signal in missing}
    if (meter_provider := made.get("metrics")) is not None:
        _attempt("the count of exported metrics", functools.partial(exports.points, meter_provider))
    return made


def _build_all(attributes: Mapping[str, AttributeValue], exports: Exports) -> None:
    _Configurator().configure(  # type: ignore[no-untyped-call]
        resource_attributes=attributes,
        exporter_args_map=exports.arguments,
        export_span_processor=exports.spans,
        export_log_record_processor=exports.log_records,
    )


def _build(signal: _Signal, resource: Resource, exports: Exports) -> None:
    signal.build(sdk._get_exporter_names(signal.name), resource, exports)  # type: ignore[arg-type]


def exported(signal: str) -> bool:
    """Whether the environment names an exporter for ``signal`` (traces, metrics or logs)."""
    return os.environ.get(f"OTEL_{signal.upper()}_EXPORTER", "none").strip().lower() not in {"", "none"}


def _attempt(what: str, build: Callable[[], None]) -> None:
    try:
        build()
    except Exception as error:
        # The text is about the environment, and the one who wrote it needs it.
        logger.warning("OpenTelemetry cannot be set up as asked for %s: %s: %s", what, type(error).__name__, error)


def _choose_defaults() -> None:
    """Say in the environment what the SDK leaves open, as its distributions do."""
    environment = os.environ
    if entry_points(group="opentelemetry_traces_exporter", name="otlp_proto_http"):
        # The specification's default; the SDK's is gRPC, which printobs[otlp] does not bring.
        environment.setdefault("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    for signal in ("TRACES", "METRICS", "LOGS"):
        endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
        if any(environment.get(name) for name in endpoints):
            environment.setdefault(f"OTEL_{signal}_EXPORTER", "otlp")
