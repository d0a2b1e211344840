"""Every name, unit, bucket and allowed value of what printobs emits. The metrics reference is generated from here.

Names follow the OpenTelemetry naming rules (no unit and no ``total`` in a name, UCUM units) and reuse the semantic
conventions' attributes where one exists. Identifiers of a single job, connection or receipt go on spans and logs only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SCOPE: Final = "printobs"
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.41.0"

# -- attributes: where a printer or a connection is -------------------------------------------------------------------
BRANCH: Final = "branch.name"
PRINTER: Final = "printer.name"
HTTP_ROUTE: Final = "http.route"
HTTP_STATUS: Final = "http.response.status_code"  # spans only
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"

# -- attributes: a print job ------------------------------------------------------------------------------------------
JOB_ID: Final = "printer.job.id"  # spans and logs only
ACCEPTED_JOB: Final = "job.id"  # logs only: the ID that an application has promised its client
AGENT: Final = "agent.name"
JOB_KIND: Final = "printer.job.kind"
JOB_OUTCOME: Final = "printer.job.outcome"
JOB_STAGE: Final = "printer.job.stage"
JOB_PASSIVE: Final = "printer.job.passive"  # spans only: found by itself, without print_job()
JOB_PARTIAL: Final = "printer.job.partial"  # spans and logs only: some bytes of a failed job left this host
JOB_WINDOW: Final = "printer.job.window"  # spans and logs only: where the doubt of an unknown job lies
JOB_EVIDENCE: Final = "printer.job.evidence"  # spans only: what a confirmed or written job rests on
JOB_REPRINT_OF: Final = "printer.job.reprint_of"  # spans and logs only: the job that this is another copy of
JOB_BYTES: Final = "printer.job.size"  # spans only
DRIVER: Final = "printer.driver"  # spans only: the driver's class

# -- attributes: health -----------------------------------------------------------------------------------------------
PRINTER_STATE: Final = "printer.state"
PREVIOUS_STATE: Final = "printer.state.previous"  # logs only
QUALITY_LEVEL: Final = "quality.level"
PREVIOUS_LEVEL: Final = "quality.level.previous"  # logs only
QUALITY_SCORE: Final = "quality.score"  # logs only

# -- attributes: a WebSocket (named as dd-trace does; no semantic convention exists) -----------------------------------
MESSAGE_TYPE: Final = "websocket.message.type"
MESSAGE_LENGTH: Final = "websocket.message.length"  # spans only
CLOSE_CODE: Final = "websocket.close.code"
CONNECTION_ID: Final = "websocket.connection.id"  # spans and logs only
CLIENT_TYPE: Final = "client.type"
REFUSAL: Final = "websocket.refusal.reason"

# -- attributes: security ---------------------------------------------------------------------------------------------
AUTHENTICATION_FAILURE: Final = "authentication.failure.reason"
ORIGIN: Final = "security.origin"  # the first twenty that are well formed
PROTOCOL: Final = "network.protocol.name"
SECURITY_EVENT: Final = "security.event.type"
SEVERITY: Final = "security.event.severity"
RATE_LIMIT: Final = "rate_limit.kind"
CREDENTIAL: Final = "security.credential.type"

# -- attributes: shared -----------------------------------------------------------------------------------------------
IO_DIRECTION: Final = "network.io.direction"
ERROR_TYPE: Final = "error.type"
CORRELATION_ID: Final = "correlation.id"  # spans, logs and baggage only
CORRELATION_SOURCE: Final = "correlation.source"
CORRELATION_STATE: Final = "correlation.state"
CORRELATION_LOOKUP: Final = "correlation.lookup.result"
EVENT_NAME: Final = "otel.event.name"  # logs only: becomes the EventName of an OpenTelemetry log record

# -- fields of a log that is not OTLP: https://opentelemetry.io/docs/specs/otel/compatibility/logging_trace_context/ ---
LOG_TRACE_ID: Final = "trace_id"
LOG_SPAN_ID: Final = "span_id"
LOG_CORRELATION_ID: Final = "correlation_id"

# -- attributes: the telemetry itself ---------------------------------------------------------------------------------
BOUNDED: Final = "printobs.bounded"
DOING: Final = "printobs.doing"
COMPONENT_TYPE: Final = "otel.component.type"

# What every value over a bound becomes; the name the semantic conventions use for http.request.method.
OTHER: Final = "_OTHER"


class Outcome(StrEnum):
    """How a print job ended. Definitions: the table of job states."""

    CONFIRMED = "confirmed"
    WRITTEN = "written"
    FAILED = "failed"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"


# On paper: proven, or as far as could be told.
PRINTED: Final = frozenset({Outcome.CONFIRMED, Outcome.WRITTEN})


class Stage(StrEnum):
    """Where the seconds of a print job went."""

    QUEUE = "queue"
    CONNECT = "connect"
    WRITE = "write"
    CONFIRM = "confirm"


class Evidence(StrEnum):
    """What a job that is *confirmed* or *written* rests on."""

    PROCESS_ID = "process_id"  # the response to GS ( H with its nonce, after its cut: it is on paper
    PROCESSED = "processed"  # an answer in order after its cut: the printer has developed all of it
    SENT = "sent"  # its last byte has left


class Window(StrEnum):
    """Between which two events an *unknown* job got lost from sight."""

    WRITING = "writing"  # something was written after a failure: the caller may have sent it all again
    ARRIVING = "arriving"  # from the last byte to its acknowledgement by the printer's network interface
    PRINTING = "printing"  # from the last byte to the printer's response
    APPLICATION = "application"  # the caller's code raised after the cut
    UNSEEN = "unseen"  # nothing was written in a way that is watched


class JobError(StrEnum):
    """The closed list of ``error.type`` of a print job."""

    CONNECT_REFUSED = "connect_refused"
    CONNECT_TIMEOUT = "connect_timeout"
    CONNECT_UNREACHABLE = "connect_unreachable"
    RESOLVE = "resolve"
    WRITE_TIMEOUT = "write_timeout"
    RESET = "reset"
    PAPER_END = "paper_end"
    COVER_OPEN = "cover_open"
    OFFLINE = "offline"
    CUTTER = "cutter"
    MECHANICAL = "mechanical"
    UNRECOVERABLE = "unrecoverable"
    NOT_FOUND = "not_found"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"  # the job's own time-out, when nothing more exact is known
    APPLICATION = "application"  # the caller's own code raised while it was printing
    OTHER = OTHER


class State(StrEnum):
    """How a printer is, of what it has told or failed to tell; the worst that is known."""

    READY = "ready"
    PAPER_NEAR_END = "paper_near_end"  # it prints
    PAPER_END = "paper_end"
    COVER_OPEN = "cover_open"
    CUTTER = "cutter"
    MECHANICAL = "mechanical"
    UNRECOVERABLE = "unrecoverable"
    RECOVERABLE = "recoverable"  # an error that goes by itself: a hot print head, mostly
    OFFLINE = "offline"  # for no cause that it names
    UNREACHABLE = "unreachable"  # no connection to it can be had
    UNKNOWN = "unknown"  # it does not answer, or nobody has asked for a while


class Level(StrEnum):
    """What a quality score is called: excellent from 90, good from 75, fair from 50, poor below."""

    EXCELLENT = "excellent"
    GOOD = "good"
    FAIR = "fair"
    POOR = "poor"
    UNKNOWN = "unknown"  # nothing was observed for a while


class Direction(StrEnum):
    """Values of ``network.io.direction`` (OpenTelemetry semantic conventions, network)."""

    RECEIVE = "receive"
    TRANSMIT = "transmit"


class MessageType(StrEnum):
    """The two kinds of WebSocket data messages (RFC 6455, section 5.6)."""

    TEXT = "text"
    BINARY = "binary"


class ClientType(StrEnum):
    """What is at the other end of a WebSocket, as the application that has authenticated it says."""

    DESKTOP = "desktop"  # the desktop application, which prints
    WEB = "web"
    OTHER = "other"


class Refusal(StrEnum):
    """Why a handshake was refused: what the application says, else what the HTTP status does (RFC 9110, section 15)."""

    UNAUTHORIZED = "unauthorized"  # 401
    FORBIDDEN = "forbidden"  # 403
    ORIGIN = "origin"  # pages from there may not connect
    NOT_FOUND = "not_found"  # 404 and 410; for an ASGI application also: no route takes it
    RATE_LIMITED = "rate_limited"  # 429
    UNAVAILABLE = "unavailable"  # 503
    PROTOCOL_ERROR = "protocol_error"  # any other 4xx
    ERROR = "error"  # any other 5xx
    OTHER = OTHER


class CorrelationSource(StrEnum):
    """Where a correlation ID came from."""

    GENERATED = "generated"
    ACCEPTED = "accepted"
    REFUSED = "refused"


class CorrelationState(StrEnum):
    """Where a correlation ID is whose answer somebody waits for; the last three are ends."""

    PENDING = "pending"
    DISPATCHED = "dispatched"
    ACKNOWLEDGED = "acknowledged"
    EXPIRED = "expired"
    EVICTED = "evicted"  # too many waited: the oldest was given up


class Lookup(StrEnum):
    """Whether the ID of an answer was one that somebody waits for."""

    HIT = "hit"
    MISS = "miss"


class AuthenticationFailure(StrEnum):
    """Why a token, or whatever else proves who asks, was not good enough."""

    MISSING = "missing"
    MALFORMED = "malformed"
    EXPIRED = "expired"
    SIGNATURE = "signature"
    AUDIENCE = "audience"
    SCOPE = "scope"
    OTHER = OTHER


class Protocol(StrEnum):
    """Values of ``network.protocol.name`` that a page's origin comes by."""

    HTTP = "http"
    WEBSOCKET = "websocket"


class SecurityEvent(StrEnum):
    """The security events that printobs counts itself; an application may have thirty of its own."""

    AUTHENTICATION_FAILURE = "authentication_failure"
    ORIGIN_REFUSED = "origin_refused"
    RATE_LIMIT = "rate_limit"


class Credential(StrEnum):
    """What somebody proves who he is with."""

    TOKEN = "token"
    CERTIFICATE = "certificate"


class Severity(StrEnum):
    """How much a security event matters: from what happens every day to what somebody has to look at now."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class RateLimit(StrEnum):
    """What was asked for too often."""

    REQUEST = "request"  # over HTTP
    HANDSHAKE = "handshake"  # of a WebSocket
    MESSAGE = "message"  # over a WebSocket
    OTHER = OTHER


class Kind(StrEnum):
    """How an instrument is fed."""

    COUNTER = "counter"
    HISTOGRAM = "histogram"
    CELLS = "observable counter"
    UP_DOWN_CELLS = "observable up-down counter"
    STATES = "observable up-down counter, 1 or 0"
    TOTALS = "observable counter, kept elsewhere"
    AMOUNTS = "observable up-down counter, kept elsewhere"
    GAUGE = "observable gauge"


@dataclass(frozen=True, slots=True)
class Instrument:
    """One metric: ``buckets`` are upper bounds in ``unit``, as floats, for histograms only."""

    name: str
    kind: Kind
    unit: str
    description: str
    attributes: tuple[str, ...]
    buckets: tuple[float, ...] = ()


# 5 ms to 5 min: a receipt takes 0.3 to 5 s; a job waits for paper for minutes.
_JOB_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0)
# A job may wait for a day.
_ANSWER_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
_CONNECTION_SECONDS = (1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 43200.0, 86400.0, 604800.0)
_PING_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
# The check has a second.
_CHECK_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_WHERE = (BRANCH, PRINTER)

PRINTER_JOBS = Instrument(
    "printer.jobs",
    Kind.COUNTER,
    "{job}",
    "Print jobs that ended.",
    (*_WHERE, JOB_KIND, JOB_OUTCOME, ERROR_TYPE),
)
PRINTER_JOB_DURATION = Instrument(
    "printer.job.duration",
    Kind.HISTOGRAM,
    "s",
    "Time from the start of a print job to its outcome.",
    (*_WHERE, JOB_KIND, JOB_OUTCOME, ERROR_TYPE),
    _JOB_SECONDS,
)
PRINTER_JOB_STAGE_DURATION = Instrument(
    "printer.job.stage.duration",
    Kind.HISTOGRAM,
    "s",
    "Time that a print job spent in a stage.",
    (*_WHERE, JOB_STAGE),
    _JOB_SECONDS,
)
PRINTER_IO = Instrument("printer.io", Kind.CELLS, "By", "Bytes exchanged with printers.", (*_WHERE, IO_DIRECTION))
PRINTER_QUEUE_LENGTH = Instrument(
    "printer.queue.length",
    Kind.UP_DOWN_CELLS,
    "{job}",
    "Work that waits for its printer's own thread.",
    _WHERE,
)
PRINTER_CONNECTION_ATTEMPTS = Instrument(
    "printer.connection.attempts",
    Kind.COUNTER,
    "{attempt}",
    "Attempts to open a connection to a printer; error.type on those that failed.",
    (*_WHERE, ERROR_TYPE),
)
# After OpenTelemetry's hw.status.
PRINTER_STATUS = Instrument(
    "printer.status",
    Kind.STATES,
    "{printer}",
    "1 for the state that a registered printer is in, 0 for the others.",
    (*_WHERE, PRINTER_STATE),
)
PRINTER_QUALITY_SCORE = Instrument(
    "printer.quality.score",
    Kind.GAUGE,
    "{score}",
    "0 to 100: how well a registered printer worked over the last five minutes; no series where nothing was observed.",
    _WHERE,
)
PRINTER_QUALITY_LEVEL = Instrument(
    "printer.quality.level",
    Kind.STATES,
    "{printer}",
    "1 for the level that a registered printer's quality score is in, 0 for the others.",
    (*_WHERE, QUALITY_LEVEL),
)
PRINTER_CHECK_DURATION = Instrument(
    "printer.check.duration",
    Kind.HISTOGRAM,
    "s",
    "Time that a check took to learn how a printer is; error.type where it was not ready.",
    (*_WHERE, ERROR_TYPE),
    _CHECK_SECONDS,
)


@dataclass(frozen=True, slots=True)
class WebSocketInstruments:
    """The instruments of one side; two sides, so that a connection with both ends here is not counted twice."""

    side: str
    active_connections: Instrument
    messages: Instrument
    io: Instrument
    connection_errors: Instrument
    refusals: Instrument
    disconnections: Instrument
    connection_duration: Instrument
    ping_duration: Instrument
    quality_level: Instrument


def _websocket(side: str, *where: str) -> WebSocketInstruments:
    name = f"websocket.{side}."
    return WebSocketInstruments(
        side,
        Instrument(
            name + "active_connections",
            Kind.UP_DOWN_CELLS,
            "{connection}",
            f"Open WebSocket connections, {side} side.",
            where,
        ),
        Instrument(
            name + "messages",
            Kind.CELLS,
            "{message}",
            f"WebSocket data messages, {side} side; a received one is counted when it arrived.",
            (*where, IO_DIRECTION, MESSAGE_TYPE),
        ),
        Instrument(
            name + "io",
            Kind.CELLS,
            "By",
            f"Payload bytes of WebSocket data messages, {side} side.",
            (*where, IO_DIRECTION, MESSAGE_TYPE),
        ),
        Instrument(
            name + "connection.errors",
            Kind.COUNTER,
            "{error}",
            f"Handshakes that failed and connections that broke, {side} side.",
            (*where, ERROR_TYPE),
        ),
        Instrument(
            name + "handshake.refusals",
            Kind.COUNTER,
            "{handshake}",
            f"Handshakes that were answered, but with another HTTP status than 101, {side} side.",
            (*where, REFUSAL),
        ),
        Instrument(
            name + "disconnections",
            Kind.COUNTER,
            "{connection}",
            f"WebSocket connections that ended, {side} side.",
            (*where, CLOSE_CODE),
        ),
        Instrument(
            name + "connection.duration",
            Kind.HISTOGRAM,
            "s",
            f"Time from accept to close, {side} side.",
            (*where, CLOSE_CODE),
            _CONNECTION_SECONDS,
        ),
        Instrument(
            name + "ping.duration",
            Kind.HISTOGRAM,
            "s",
            f"Round trip of a ping, {side} side.",
            where,
            _PING_SECONDS,
        ),
        Instrument(
            name + "quality.level",
            Kind.AMOUNTS,
            "{connection}",
            f"Open WebSocket connections by the level that their quality score is in, {side} side.",
            (*where, QUALITY_LEVEL),
        ),
    )


WEBSOCKET_SERVER = _websocket("server", HTTP_ROUTE, BRANCH, CLIENT_TYPE)
WEBSOCKET_CLIENT = _websocket("client", SERVER_ADDRESS, SERVER_PORT)

CORRELATION_IDS = Instrument(
    "correlation.ids",
    Kind.CELLS,
    "{id}",
    "Correlation IDs generated, accepted from a caller, or refused as malformed.",
    (CORRELATION_SOURCE,),
)

CORRELATION_LIFECYCLE = Instrument(
    "correlation.lifecycle",
    Kind.CELLS,
    "{id}",
    "Correlation IDs that came to this state; success is acknowledged by pending.",
    (CORRELATION_STATE,),
)
CORRELATION_OPEN = Instrument(
    "correlation.open",
    Kind.AMOUNTS,
    "{id}",
    "Correlation IDs whose answer somebody waits for: pending or dispatched.",
    (CORRELATION_STATE,),
)
CORRELATION_LOOKUPS = Instrument(
    "correlation.lookups",
    Kind.CELLS,
    "{lookup}",
    "Correlation IDs of answers that were looked for among those that somebody waits for.",
    (CORRELATION_LOOKUP,),
)
CORRELATION_LIFETIME = Instrument(
    "correlation.lifetime",
    Kind.HISTOGRAM,
    "s",
    "Time that a correlation ID waited for its answer, by how that ended.",
    (CORRELATION_STATE,),
    _ANSWER_SECONDS,
)
_CORRELATION = (CORRELATION_LIFECYCLE, CORRELATION_OPEN, CORRELATION_LOOKUPS, CORRELATION_LIFETIME)

# An application's own queue of print jobs: what it has taken, and tells how it ends.
JOB_OUTCOMES = Instrument(
    "job.outcomes",
    Kind.TOTALS,
    "{job}",
    "Print jobs that an application has taken and that have ended; durable, so that it goes on after a restart.",
    (*_WHERE, JOB_KIND, JOB_OUTCOME, ERROR_TYPE),
)
JOB_REPRINTS = Instrument(
    "job.reprints",
    Kind.TOTALS,
    "{job}",
    "Print jobs that an application has taken as another copy of one before; durable.",
    _WHERE,
)
JOB_DURATION = Instrument(
    "job.duration",
    Kind.HISTOGRAM,
    "s",
    "Time from a print job's acceptance by an application to its outcome.",
    (BRANCH, JOB_KIND, JOB_OUTCOME),
    _ANSWER_SECONDS,
)
JOB_QUEUE_LENGTH = Instrument(
    "job.queue.length",
    Kind.AMOUNTS,
    "{job}",
    "Print jobs that an application has taken and that have not ended.",
    (BRANCH,),
)
JOB_QUEUE_AGE = Instrument(
    "job.queue.age",
    Kind.GAUGE,
    "s",
    "Time since the oldest print job that has not ended was taken; 0 without any.",
    (BRANCH,),
)
JOB_HELD = Instrument(
    "job.held",
    Kind.AMOUNTS,
    "{job}",
    "Print jobs that may not have come out, and that a person has to see to.",
    (BRANCH,),
)
JOB_FAILURES_CONSECUTIVE = Instrument(
    "job.failures.consecutive",
    Kind.GAUGE,
    "{job}",
    "Print jobs of a printer in a row that failed once tried, or are unknown; 0 after one on paper. From a restart on.",
    (BRANCH, PRINTER),
)
_JOBS = (
    JOB_OUTCOMES,
    JOB_REPRINTS,
    JOB_DURATION,
    JOB_QUEUE_LENGTH,
    JOB_QUEUE_AGE,
    JOB_HELD,
    JOB_FAILURES_CONSECUTIVE,
)

# What should be there: a sum over what reports itself cannot show who has fallen silent.
AGENT_CONNECTED = Instrument(
    "agent.connected",
    Kind.STATES,
    "{agent}",
    "1 while an agent is connected to an application, 0 while one that should be is not.",
    (BRANCH, AGENT),
)
PRINTER_SERVED = Instrument(
    "printer.served",
    Kind.STATES,
    "{printer}",
    "1 while a connected agent serves a printer, 0 while one that should be served is not.",
    _WHERE,
)
BRANCH_OPEN = Instrument(
    "branch.open",
    Kind.STATES,
    "{branch}",
    "1 while a branch with agents or printers is open, 0 while it is closed; whoever is away then is not missed.",
    (BRANCH,),
)
_INVENTORY = (AGENT_CONNECTED, PRINTER_SERVED, BRANCH_OPEN)

SECURITY_AUTHENTICATION_FAILURES = Instrument(
    "security.authentication.failures",
    Kind.COUNTER,
    "{failure}",
    "Requests and handshakes without a token that was good for them.",
    (AUTHENTICATION_FAILURE,),
)
SECURITY_ORIGINS_REFUSED = Instrument(
    "security.origins.refused",
    Kind.COUNTER,
    "{request}",
    "Requests (CORS) and WebSocket handshakes from pages of an origin that is not allowed.",
    (ORIGIN, PROTOCOL),
)
SECURITY_EVENTS = Instrument(
    "security.events",
    Kind.COUNTER,
    "{event}",
    "What may be an attack: the failures, refusals and limits that are counted here too, and the application's own.",
    (SECURITY_EVENT, SEVERITY),
)
SECURITY_RATE_LIMIT_TRIGGERS = Instrument(
    "security.rate_limit.triggers",
    Kind.COUNTER,
    "{request}",
    "Requests, handshakes and messages that were refused since too many had come from there.",
    (RATE_LIMIT,),
)
SECURITY_RATE_LIMIT_CLIENTS = Instrument(
    "security.rate_limit.clients",
    Kind.AMOUNTS,
    "{client}",
    "Clients that a rate limit refuses just now.",
    (),
)
SECURITY_CREDENTIAL_EXPIRATION = Instrument(
    "security.credential.expiration",
    Kind.GAUGE,
    "s",
    "Unix time at which an agent's token, or the certificate that a server shows, ends.",
    (CREDENTIAL, BRANCH, AGENT, SERVER_ADDRESS, SERVER_PORT),
)
_SECURITY = (
    SECURITY_AUTHENTICATION_FAILURES,
    SECURITY_ORIGINS_REFUSED,
    SECURITY_EVENTS,
    SECURITY_RATE_LIMIT_TRIGGERS,
    SECURITY_RATE_LIMIT_CLIENTS,
    SECURITY_CREDENTIAL_EXPIRATION,
)

# After nodejs.eventloop.delay; Python has no convention.
EVENT_LOOP_LAG = Instrument(
    "asyncio.event_loop.lag",
    Kind.HISTOGRAM,
    "s",
    "How much later than asked a timer of an asyncio event loop was called; one reading a second.",
    (),
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)

# -- the telemetry itself; otel.sdk.* as the semantic conventions have it ---------------------------------------------
# An export has 10 s, and a collector next door takes milliseconds.
_EXPORT_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_EXPORTED = (COMPONENT_TYPE, ERROR_TYPE)

EXPORTED_SPANS = Instrument(
    "otel.sdk.exporter.span.exported",
    Kind.COUNTER,
    "{span}",
    "Spans whose export ended; error.type on those that were lost.",
    _EXPORTED,
)
EXPORTED_POINTS = Instrument(
    "otel.sdk.exporter.metric_data_point.exported",
    Kind.COUNTER,
    "{data_point}",
    "Metric data points whose export ended; error.type on those that were lost.",
    _EXPORTED,
)
EXPORTED_RECORDS = Instrument(
    "otel.sdk.exporter.log.exported",
    Kind.COUNTER,
    "{log_record}",
    "Log records whose export ended; error.type on those that were lost.",
    _EXPORTED,
)
INFLIGHT_SPANS = Instrument(
    "otel.sdk.exporter.span.inflight",
    Kind.UP_DOWN_CELLS,
    "{span}",
    "Spans that are being exported, or wait until the collector is back.",
    (COMPONENT_TYPE,),
)
INFLIGHT_RECORDS = Instrument(
    "otel.sdk.exporter.log.inflight",
    Kind.UP_DOWN_CELLS,
    "{log_record}",
    "Log records that are being exported, or wait until the collector is back.",
    (COMPONENT_TYPE,),
)
EXPORT_DURATION = Instrument(
    "otel.sdk.exporter.operation.duration",
    Kind.HISTOGRAM,
    "s",
    "Time that an export took, with its repetitions; error.type where it failed.",
    _EXPORTED,
    _EXPORT_SECONDS,
)
ERRORS = Instrument(
    "printobs.errors",
    Kind.CELLS,
    "{error}",
    "Exceptions inside telemetry code, kept from the application, by what was being done.",
    (DOING, ERROR_TYPE),
)
OVERFLOWS = Instrument(
    "printobs.overflows",
    Kind.CELLS,
    "{overflow}",
    "Values over the bound of an attribute, and attribute sets over the cap of an instrument, by its name.",
    (BOUNDED,),
)

CLOCK = Instrument(
    "printobs.clock",
    Kind.GAUGE,
    "s",
    "Unix time by this process's clock when it was collected: a sign of life, and of a clock that is wrong.",
    (),
)

INSTRUMENTS: Final[tuple[Instrument, ...]] = (
    PRINTER_JOBS,
    PRINTER_JOB_DURATION,
    PRINTER_JOB_STAGE_DURATION,
    PRINTER_IO,
    PRINTER_QUEUE_LENGTH,
    PRINTER_CONNECTION_ATTEMPTS,
    PRINTER_STATUS,
    PRINTER_QUALITY_SCORE,
    PRINTER_QUALITY_LEVEL,
    PRINTER_CHECK_DURATION,
    *(
        instrument
        for side in (WEBSOCKET_SERVER, WEBSOCKET_CLIENT)
        for instrument in (
            side.active_connections,
            side.messages,
            side.io,
            side.connection_errors,
            side.refusals,
            side.disconnections,
            side.connection_duration,
            side.ping_duration,
            side.quality_level,
        )
    ),
    CORRELATION_IDS,
    *_CORRELATION,
    *_JOBS,
    *_INVENTORY,
    *_SECURITY,
    EVENT_LOOP_LAG,
    EXPORTED_SPANS,
    EXPORTED_POINTS,
    EXPORTED_RECORDS,
    INFLIGHT_SPANS,
    INFLIGHT_RECORDS,
    EXPORT_DURATION,
    ERRORS,
    OVERFLOWS,
    CLOCK,
)

# Pairs that one cell feeds: how many, and how large together.
PAIRS: Final[tuple[tuple[Instrument, Instrument], ...]] = (
    (WEBSOCKET_SERVER.messages, WEBSOCKET_SERVER.io),
    (WEBSOCKET_CLIENT.messages, WEBSOCKET_CLIENT.io),
)

# -- spans ------------------------------------------------------------------------------------------------------------
SPAN_JOB: Final = "print job"
SPAN_CONNECT: Final = "printer connect"
SPAN_WRITE: Final = "printer write"
SPAN_CONFIRM: Final = "printer confirm"
SPAN_MESSAGE: Final = "websocket message"
SPAN_HANDSHAKE: Final = "websocket handshake"

# -- log events -------------------------------------------------------------------------------------------------------
EVENT_STATE_CHANGED: Final = "printer.state.changed"
EVENT_QUALITY_CHANGED: Final = "printer.quality.changed"
EVENT_JOB_ACCEPTED: Final = "job.accepted"
EVENT_JOB_DISPATCHED: Final = "job.dispatched"
EVENT_JOB_STARTED: Final = "job.started"
EVENT_JOB_DONE: Final = "job.done"
EVENT_JOB_HELD: Final = "job.held"
EVENT_AGENT_JOINED: Final = "agent.joined"
EVENT_AGENT_LEFT: Final = "agent.left"
