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
    conventions.CREDENTIAL: conventions.Credential,
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
    "http.server.request.duration": 'sum by (http_route) (rate({0}_count{{http_response_status_code=~"5.."}}[5m])) / '
    "sum by (http_route) (rate({0}_count[5m]))",
    "otel.sdk.exporter.span.exported": 'sum by (error_type) (increase({}{{error_type!=""}}[1h]))',
    "otel.sdk.exporter.metric_data_point.exported": 'sum by (error_type) (increase({}{{error_type!=""}}[1h]))',
    "otel.sdk.exporter.log.exported": 'sum by (error_type) (increase({}{{error_type!=""}}[1h]))',
}

_SDK_PROCESSOR = ("otel.component.type", "otel.component.name")

# What other libraries emit where `printobs.configure()` has set them up, by their conventions.
OTHERS = (
    Instrument(
        "http.server.request.duration",
        Kind.HISTOGRAM,
        "s",
        "How long an HTTP request took; what no route takes has none, an unknown method is `_OTHER`.",
        (
            "http.request.method",
            "http.route",
            "http.response.status_code",
            "network.protocol.version",
            "url.scheme",
            conventions.ERROR_TYPE,
        ),
        (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
    ),
    Instrument(
        "http.server.active_requests",
        Kind.AMOUNTS,
        "{request}",
        "HTTP requests in hand.",
        ("http.request.method", "url.scheme"),
    ),
    Instrument("process.cpu.time", Kind.TOTALS, "s", "CPU time of this process, `user` and `system`.", ("type",)),
    Instrument(
        "process.cpu.utilization", Kind.GAUGE, "1", "CPU time since the last look, by the time that passed.", ()
    ),
    Instrument("process.memory.usage", Kind.AMOUNTS, "By", "Memory that is resident.", ()),
    Instrument("process.memory.virtual", Kind.AMOUNTS, "By", "Memory that is addressed.", ()),
    Instrument("process.disk.io", Kind.TOTALS, "By", "Bytes read and written.", ("direction",)),
    Instrument("process.thread.count", Kind.AMOUNTS, "{thread}", "Threads.", ()),
    Instrument("process.open_file_descriptor.count", Kind.AMOUNTS, "{count}", "Files and sockets that are open.", ()),
    Instrument("process.context_switches", Kind.TOTALS, "{count}", "Times that it gave the CPU away.", ("type",)),
    Instrument(
        "otel.sdk.processor.span.processed",
        Kind.COUNTER,
        "{span}",
        "Spans given to export; error.type is `queue_full` for what a full queue has dropped.",
        (*_SDK_PROCESSOR, conventions.ERROR_TYPE),
    ),
    Instrument(
        "otel.sdk.processor.span.queue.size", Kind.AMOUNTS, "{span}", "Spans that wait for export.", _SDK_PROCESSOR
    ),
    Instrument(
        "otel.sdk.processor.log.processed",
        Kind.COUNTER,
        "{log_record}",
        "Log records given to export; error.type is `queue_full` for what a full queue has dropped.",
        (*_SDK_PROCESSOR, conventions.ERROR_TYPE),
    ),
    Instrument(
        "otel.sdk.processor.log.queue.size",
        Kind.AMOUNTS,
        "{log_record}",
        "Log records that wait for export.",
        _SDK_PROCESSOR,
    ),
    Instrument(
        "otel.sdk.processor.log.queue.capacity",
        Kind.AMOUNTS,
        "{log_record}",
        "Log records that may wait for export.",
        _SDK_PROCESSOR,
    ),
)

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
    yield ""
    yield "`configure()` brings `otel.sdk.exporter.*`. By other libraries there are, by their conventions:"
    yield "`http.server.*` of opentelemetry-instrumentation-asgi, without the sizes of bodies (not stable yet); with"
    yield "printobs[process], `process.*` of opentelemetry-instrumentation-system-metrics; `otel.sdk.processor.*` of"
    yield "the SDK itself. In a scrape, `target_info` has the resource."
    yield ""
    yield "| Name | In Prometheus | Kind | Unit | Attributes | |"
    yield "|---|---|---|---|---|---|"
    for instrument in OTHERS:
        yield _row(instrument)
    yield ""
    yield "Where `OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED` is set, all is the SDK's:"
    yield "`false` is none, `true` costs something for every span and counts what a collector refuses as exported."
    yield ""
    yield "## Questions"
    yield ""
    yield "One for each, in PromQL."
    yield ""
    yield "| Name | |"
    yield "|---|---|"
    for instrument in (*conventions.INSTRUMENTS, *OTHERS):
        yield f"| `{instrument.name}` | `{query(instrument).replace('|', chr(92) + '|')}` |"
    yield ""
    yield "## Buckets"
    yield ""
    yield "| Histogram | Upper bounds |"
    yield "|---|---|"
    for instrument in (*conventions.INSTRUMENTS, *OTHERS):
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
