"""Writes docs/metrics.md from the conventions: ``python docs/reference.py``; a test holds the two together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from printobs.core import conventions
from printobs.core.conventions import Direction, Instrument, JobError, Kind, MessageType, Outcome, Stage

TARGET = Path(__file__).with_name("metrics.md")

_VALUES = {
    conventions.JOB_OUTCOME: Outcome,
    conventions.JOB_STAGE: Stage,
    conventions.IO_DIRECTION: Direction,
    conventions.MESSAGE_TYPE: MessageType,
    conventions.CORRELATION_SOURCE: conventions.CorrelationSource,
    conventions.CORRELATION_STATE: conventions.CorrelationState,
    conventions.CORRELATION_LOOKUP: conventions.Lookup,
    conventions.JOB_WINDOW: conventions.Window,
    conventions.JOB_EVIDENCE: conventions.Evidence,
    conventions.PRINTER_STATE: conventions.State,
    conventions.QUALITY_LEVEL: conventions.Level,
    conventions.AUTHENTICATION_FAILURE: conventions.AuthenticationFailure,
    conventions.PROTOCOL: conventions.Protocol,
    conventions.SECURITY_EVENT: conventions.SecurityEvent,
    conventions.SEVERITY: conventions.Severity,
    conventions.RATE_LIMIT: conventions.RateLimit,
    conventions.CLIENT_TYPE: conventions.ClientType,
    conventions.REFUSAL: conventions.Refusal,
}

_COUNTERS = (Kind.COUNTER, Kind.CELLS, Kind.TOTALS)

# Where the general question is not the one that is asked; {} is the name in Prometheus.
_QUERIES = {
    "printer.jobs": 'sum by (branch_name) (rate({0}{{printer_job_outcome=~"confirmed|written"}}[15m])) / '
    'sum by (branch_name) (rate({0}{{printer_job_outcome!="cancelled"}}[15m]))',
    "printer.io": "sum by (branch_name, printer_name, network_io_direction) (rate({}[5m]))",
    "printer.status": '{}{{printer_state!="ready"}} == 1',
    "printer.quality.score": "min by (branch_name, printer_name) ({})",
    "printer.quality.level": "sum by (quality_level) ({})",
    "printer.connection.attempts": 'sum by (branch_name, printer_name, error_type) (rate({}{{error_type!=""}}[5m]))',
    "websocket.server.active_connections": 'sum by (branch_name) ({}{{client_type="desktop"}})',
    "websocket.server.disconnections": "sum by (websocket_close_code) (rate({}[5m]))",
    "websocket.client.disconnections": "sum by (websocket_close_code) (rate({}[5m]))",
    "correlation.lifecycle": 'sum(rate({0}{{correlation_state="acknowledged"}}[15m])) / '
    'sum(rate({0}{{correlation_state="pending"}}[15m]))',
    "correlation.lookups": 'sum(rate({0}{{correlation_lookup_result="hit"}}[5m])) / sum(rate({0}[5m]))',
    "job.outcomes": 'sum by (branch_name, error_type) (increase({}{{printer_job_outcome=~"failed|unknown"}}[1h]))',
    "otel.sdk.exporter.span.exported": 'sum by (error_type) (increase({}{{error_type!=""}}[1h]))',
    "otel.sdk.exporter.metric_data_point.exported": 'sum by (error_type) (increase({}{{error_type!=""}}[1h]))',
    "otel.sdk.exporter.log.exported": 'sum by (error_type) (increase({}{{error_type!=""}}[1h]))',
}

_PRINTER = (conventions.BRANCH, conventions.PRINTER)
_JOB = (conventions.ACCEPTED_JOB, *_PRINTER, conventions.JOB_KIND)
_EVENTS = (
    (
        conventions.EVENT_STATE_CHANGED,
        (*_PRINTER, conventions.PRINTER_STATE, conventions.PREVIOUS_STATE),
        "a registered printer is in another state than it last told",
    ),
    (
        conventions.EVENT_QUALITY_CHANGED,
        (*_PRINTER, conventions.QUALITY_LEVEL, conventions.PREVIOUS_LEVEL, conventions.QUALITY_SCORE),
        "the quality score of a registered printer has come to another level",
    ),
    (
        conventions.EVENT_JOB_ACCEPTED,
        (*_JOB, conventions.JOB_REPRINT_OF),
        "the service has a job on its disk, and will tell how it ends",
    ),
    (conventions.EVENT_JOB_DISPATCHED, _JOB, "the service gives a job to the agent of its printer"),
    (conventions.EVENT_JOB_STARTED, _JOB, "the agent begins a job: its first byte follows"),
    (
        conventions.EVENT_JOB_DONE,
        (*_JOB, conventions.JOB_OUTCOME, conventions.ERROR_TYPE, conventions.JOB_PARTIAL, conventions.JOB_WINDOW),
        "a job has ended, at the agent and then at the service",
    ),
    (
        conventions.EVENT_JOB_HELD,
        (*_JOB, conventions.JOB_WINDOW),
        "nobody knows whether a job came out: a person sees to it",
    ),
    (
        conventions.EVENT_AGENT_JOINED,
        (conventions.BRANCH, conventions.AGENT),
        "service and agent have found each other",
    ),
    (conventions.EVENT_AGENT_LEFT, (conventions.BRANCH, conventions.AGENT), "their connection has ended"),
)

_SPANS = (
    (conventions.SPAN_JOB, "client", "a print job, from its start to its outcome"),
    (conventions.SPAN_CONNECT, "client", "opening the connection to the printer"),
    (conventions.SPAN_WRITE, "internal", "from the first byte to the last"),
    (conventions.SPAN_CONFIRM, "internal", "waiting until the last byte has arrived, or for the printer's proof"),
    (conventions.SPAN_HANDSHAKE, "client, server", "the opening handshake of a WebSocket; it ends when it is accepted"),
    (conventions.SPAN_MESSAGE, "consumer", "a message in the hands of its handler; linked to the handshake"),
)


def reference() -> str:
    """The whole page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# What printobs emits"
    yield ""
    yield "Written by `python docs/reference.py` from `src/printobs/core/conventions.py`: change that, not this."
    yield ""
    yield f"Scope `{conventions.SCOPE}`. IDs of a single job, connection or receipt are on spans and log records only."
    yield ""
    yield "## Metrics"
    yield ""
    yield "| Name | In Prometheus | Kind | Unit | Attributes | |"
    yield "|---|---|---|---|---|---|"
    for instrument in conventions.INSTRUMENTS:
        yield _row(instrument)
    yield ""
    yield "In Prometheus a histogram has `_bucket`, `_sum` and `_count`, and an attribute `_` for each dot."
    yield "HTTP requests have `http.server.*`, stable conventions, by opentelemetry-instrumentation-asgi. With"
    yield "printobs[process], `configure()` brings `process.*`, by opentelemetry-instrumentation-system-metrics."
    yield ""
    yield "`configure()` brings `otel.sdk.exporter.*`, and from the SDK itself `otel.sdk.processor.span.*` and"
    yield "`otel.sdk.processor.log.*`: `processed` (`error.type` is `queue_full` for what a full queue has dropped),"
    yield "`queue.size`, `queue.capacity`. Where `OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED` is set, all is the SDK's:"
    yield "`false` is none, `true` costs something for every span and counts what a collector refuses as exported."
    yield ""
    yield "## Questions"
    yield ""
    yield "One for each, in PromQL."
    yield ""
    yield "| Name | |"
    yield "|---|---|"
    for instrument in conventions.INSTRUMENTS:
        yield f"| `{instrument.name}` | `{query(instrument).replace('|', chr(92) + '|')}` |"
    yield ""
    yield "## Buckets"
    yield ""
    yield "| Histogram | Upper bounds |"
    yield "|---|---|"
    for instrument in conventions.INSTRUMENTS:
        if instrument.kind is Kind.HISTOGRAM:
            yield f"| `{instrument.name}` | {', '.join(f'{bound:g}' for bound in instrument.buckets)} |"
    yield ""
    yield "## Values"
    yield ""
    yield "| Attribute | Values |"
    yield "|---|---|"
    for attribute, values in _VALUES.items():
        yield f"| `{attribute}` | {', '.join(f'`{each.value}`' for each in values)} |"
    yield f"| `{conventions.ERROR_TYPE}` of a job | {', '.join(f'`{each.value}`' for each in JobError)} |"
    yield f"| `{conventions.ERROR_TYPE}` of a check | as of a job: why the printer was not ready |"
    yield f"| `{conventions.ERROR_TYPE}` of an export | HTTP status, `rejected`, `invalid_response`, exception class |"
    yield f"| `{conventions.CLOSE_CODE}` | a code of the IANA registry, `private` (4000 to 4999), `other` |"
    yield ""
    yield f"What is over a bound becomes `{conventions.OTHER}`; an attribute set over the cap, `otel.metric.overflow`."
    yield ""
    yield "## Spans"
    yield ""
    yield "| Name | Kind | |"
    yield "|---|---|---|"
    for name, kind, what in _SPANS:
        yield f"| `{name}` | {kind} | {what} |"
    yield ""
    yield "## Log events"
    yield ""
    yield (
        "Records of the logger `printobs`, and of `service` and `agent` in the reference deployment. "
        f"Their name is in `{conventions.EVENT_NAME}`: EventName in OTLP. Attributes that are empty are left out."
    )
    yield ""
    yield "| Name | Attributes | |"
    yield "|---|---|---|"
    for name, names, what in _EVENTS:
        yield f"| `{name}` | {', '.join(f'`{each}`' for each in names)} | {what} |"


def _row(instrument: Instrument) -> str:
    attributes = ", ".join(f"`{name}`" for name in instrument.attributes)
    names = f"`{instrument.name}` | `{prometheus(instrument)}`"
    return f"| {names} | {instrument.kind} | `{instrument.unit}` | {attributes} | {instrument.description} |"


def prometheus(instrument: Instrument) -> str:
    """The name in Prometheus: https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/."""
    unit = {"s": "_seconds", "By": "_bytes"}.get(instrument.unit, "")
    return _label(instrument.name) + unit + ("_total" if instrument.kind in _COUNTERS else "")


def query(instrument: Instrument) -> str:
    """An example in PromQL."""
    name = prometheus(instrument)
    if instrument.name in _QUERIES:
        return _QUERIES[instrument.name].format(name)
    by = ", ".join(map(_label, instrument.attributes[:2]))
    each = f" by ({by})" if by else ""
    if instrument.kind is Kind.HISTOGRAM:
        kept = ", ".join(filter(None, ("le", by)))
        return f"histogram_quantile(0.95, sum by ({kept}) (rate({name}_bucket[5m])))"
    if instrument.kind in _COUNTERS:
        return f"sum{each} (rate({name}[5m]))"
    return f"{'max' if instrument.kind is Kind.GAUGE else 'sum'}{each} ({name})"


def _label(name: str) -> str:
    return name.replace(".", "_")


if __name__ == "__main__":
    TARGET.write_text(reference())
