"""Log records and structlog's events know their trace, span and correlation ID; as JSON, none forges another."""

import json
import logging
import logging.handlers
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

from printobs.integrations import logging as log_records
from printobs.integrations import structlog as structlog_events
from printobs.integrations.logging_json import JsonFormatter
from printobs.signals.correlation import correlation
from tests.conftest import Sdk


@pytest.fixture
def instrumented() -> Iterator[None]:
    log_records.instrument()
    yield
    log_records.uninstrument()


@pytest.fixture
def exporter() -> Iterator[InMemoryLogRecordExporter]:
    kept, provider = InMemoryLogRecordExporter(), LoggerProvider()
    provider.add_log_record_processor(SimpleLogRecordProcessor(kept))
    log_records.export(provider)
    yield kept
    log_records.uninstrument()
    provider.shutdown()


@pytest.fixture
def structlogged(sdk: Sdk) -> Iterator[None]:
    structlog_events.instrument(sdk.telemetry)
    yield
    structlog_events.uninstrument()
    structlog.reset_defaults()


def test_a_record_is_exported_with_its_trace_and_correlation_id(sdk: Sdk, exporter: InMemoryLogRecordExporter) -> None:
    tracer = trace.get_tracer("mine", tracer_provider=sdk.tracer_provider)
    with correlation("order-1"), tracer.start_as_current_span("work") as span:
        logging.getLogger("mine").warning("table %d", 9, extra={"branch.name": "mitte", "otel.event.name": "seated"})
    logging.getLogger("mine").warning("outside")
    [inside, outside] = [each.log_record for each in exporter.get_finished_logs()]
    assert (inside.body, inside.event_name, inside.severity_text) == ("table 9", "seated", "WARN")
    assert dict(inside.attributes or {}) == {"branch.name": "mitte", "correlation.id": "order-1"}
    assert (inside.trace_id, inside.span_id) == (span.get_span_context().trace_id, span.get_span_context().span_id)
    assert (dict(outside.attributes or {}), outside.trace_id) == ({}, 0)


def test_what_an_exporter_logs_is_not_exported_again(exporter: InMemoryLogRecordExporter) -> None:
    from opentelemetry.instrumentation.utils import suppress_instrumentation

    with suppress_instrumentation():
        logging.getLogger("opentelemetry.exporter").error("no collector")
    assert exporter.get_finished_logs() == ()


@pytest.mark.usefixtures("instrumented")
def test_a_formatter_may_rely_on_the_fields(caplog: pytest.LogCaptureFixture) -> None:
    formatter = logging.Formatter("%(otelTraceID)s %(otelSpanID)s %(otelTraceSampled)s %(correlation_id)s")
    logging.getLogger("mine").warning("outside")
    with correlation("order-1"):
        logging.getLogger("mine").warning("inside")
        logging.getLogger("mine").warning("mine", extra={"correlation_id": "my own"})
    assert [formatter.format(record) for record in caplog.records] == [
        "- - False -",
        "- - False order-1",
        "- - False my own",
    ]


@pytest.mark.usefixtures("instrumented")
def test_the_ids_of_a_record_that_was_described_elsewhere_are_left(sdk: Sdk, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("mine").warning("sent on")
    [first] = caplog.records
    tracer = trace.get_tracer("mine", tracer_provider=sdk.tracer_provider)
    with correlation("order-1"), tracer.start_as_current_span("work"):
        logging.getLogger("mine").handle(first)
    assert [first.__dict__[name] for name in ("otelTraceID", "correlation_id")] == ["-", "-"]


def test_for_an_exporter_of_the_applications_a_record_has_its_correlation_id_and_no_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = logging.Logger.callHandlers
    log_records.name_for_export()
    ours = logging.Logger.callHandlers
    log_records.name_for_export()
    assert logging.Logger.callHandlers is ours is not before
    with correlation("order-1"):
        logging.getLogger("mine").warning("inside")
        logging.getLogger("mine").warning("mine", extra={"correlation.id": "my own"})
    logging.getLogger("mine").warning("outside")
    log_records.uninstrument()
    assert logging.Logger.callHandlers is before
    assert [record.__dict__.get("correlation.id") for record in caplog.records] == ["order-1", "my own", None]
    assert not any(hasattr(record, name) for record in caplog.records for name in ("otelTraceID", "correlation_id"))


@pytest.mark.usefixtures("instrumented")
def test_who_has_asked_for_all_fields_keeps_them_beside_an_exporter(caplog: pytest.LogCaptureFixture) -> None:
    log_records.name_for_export()
    log_records.instrument()
    with correlation("order-1"):
        logging.getLogger("mine").warning("inside")
    [only] = caplog.records
    assert only.__dict__["correlation_id"] == "order-1"
    assert "correlation.id" not in only.__dict__


def test_what_another_tool_has_laid_over_ours_stays_and_is_told_nothing_more(caplog: pytest.LogCaptureFixture) -> None:
    before = logging.Logger.callHandlers
    log_records.instrument()
    ours = logging.Logger.callHandlers
    seen: list[logging.LogRecord] = []

    def theirs(logger: logging.Logger, record: logging.LogRecord) -> None:
        seen.append(record)
        ours(logger, record)

    logging.Logger.callHandlers = theirs  # type: ignore[method-assign]
    try:
        log_records.uninstrument()
        log_records.uninstrument()
        assert logging.Logger.callHandlers is theirs
        logging.getLogger("mine").warning("plain")
    finally:
        logging.Logger.callHandlers = before  # type: ignore[method-assign]
    assert seen == caplog.records
    assert not hasattr(seen[0], "otelTraceID")


def line(record: logging.LogRecord) -> dict[str, Any]:
    """What the formatter makes of it: one line of JSON in printable ASCII."""
    text = JsonFormatter().format(record)
    assert text.isascii()
    assert text.isprintable()
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def record(message: object, *arguments: object, **extra: object) -> logging.LogRecord:
    return logging.getLogger("mine").makeRecord(
        "mine", logging.WARNING, __file__, 1, message, arguments, None, extra=extra
    )


def test_a_line_says_who_what_when_and_in_which_trace(sdk: Sdk) -> None:
    tracer = trace.get_tracer("mine", tracer_provider=sdk.tracer_provider)
    with correlation("order-1"), tracer.start_as_current_span("work") as span:
        said = line(record("table %d", 9, **{"branch.name": "mitte", "seats": 4}))
    assert said.pop("timestamp").endswith("+00:00")
    assert said == {
        "severity": "WARNING",
        "logger": "mine",
        "message": "table 9",
        "trace_id": f"{span.get_span_context().trace_id:032x}",
        "span_id": f"{span.get_span_context().span_id:016x}",
        "correlation_id": "order-1",
        "branch.name": "mitte",
        "seats": 4,
    }


@given(st.text(), st.dictionaries(st.text(min_size=1), st.text() | st.floats() | st.binary()))
def test_no_text_breaks_a_line_or_forges_another(text: str, extra: dict[str, Any]) -> None:
    made = record(text)
    for name, value in extra.items():
        made.__dict__.setdefault(name, value)
    made.name = text
    assert line(made)["message"] == text


@pytest.mark.parametrize("text", ['ok\n{"severity":"ERROR"}', "\r\x1b[2K", "\x85\u2028\u2029", "\x7f", "\ud800"])
def test_what_ends_a_line_somewhere_is_escaped(text: str) -> None:
    assert line(record(text, note=text))["note"] == text


def test_an_exception_is_in_its_line() -> None:
    made = record("failed")
    try:
        raise ValueError("one\ntwo")
    except ValueError as error:
        made.exc_info = (type(error), error, error.__traceback__)
    assert line(made)["exception"].endswith("ValueError: one\ntwo")


def test_the_exception_and_the_stack_of_another_process_are_in_their_line() -> None:
    made = record("failed")
    made.stack_info = "Stack (most recent call last):\n  File 'till.py'"
    try:
        raise ValueError("one\ntwo")
    except ValueError as error:
        made.exc_info = (type(error), error, error.__traceback__)
    sent = logging.handlers.SocketHandler("127.0.0.1", 0).makePickle(made)  # with the text alone of the exception
    said = line(logging.makeLogRecord(pickle.loads(sent[4:])))
    assert said["exception"].endswith("ValueError: one\ntwo")
    assert said["stack"] == made.stack_info


class Unspeakable:
    def __str__(self) -> str:
        raise RuntimeError


def test_what_cannot_be_said_does_not_raise() -> None:
    itself: list[Any] = []
    itself.append(itself)
    assert line(record("%d tables", "nine"))["message"] == "%d tables"
    assert line(record(Unspeakable()))["message"] == "<Unspeakable>"
    assert line(record("x", thing=Unspeakable()))["thing"] == "<Unspeakable>"
    assert line(record("x", itself=itself))["itself"] == "[[...]]"
    assert line(record("x", pairs={(1, 2): 3}))["pairs"] == "{(1, 2): 3}"
    assert line(record("x", infinite=float("inf")))["infinite"] == "inf"
    # What a record is, its extra fields cannot say otherwise.
    assert line(record("x", severity="ERROR", logger="root"))["severity"] == "WARNING"


@pytest.mark.usefixtures("structlogged")
def test_an_event_of_structlog_has_the_ids_and_the_applications_own_win(
    sdk: Sdk, capsys: pytest.CaptureFixture[str]
) -> None:
    structlog.configure(processors=[structlog.processors.JSONRenderer()])
    logger = structlog.get_logger()
    tracer = trace.get_tracer("mine", tracer_provider=sdk.tracer_provider)
    logger.info("outside")
    with correlation("order-1"), tracer.start_as_current_span("work") as span:
        logger.info("inside", table=9)
        logger.bind(trace_id="mine").info("bound", correlation_id="mine too")
    outside, inside, bound = map(json.loads, capsys.readouterr().out.splitlines())
    context = span.get_span_context()
    assert outside == {"event": "outside"}
    assert inside == {
        "event": "inside",
        "table": 9,
        "trace_id": f"{context.trace_id:032x}",
        "span_id": f"{context.span_id:016x}",
        "correlation_id": "order-1",
    }
    assert (bound["trace_id"], bound["correlation_id"]) == ("mine", "mine too")


@pytest.mark.usefixtures("structlogged")
def test_an_event_passed_on_to_the_standard_library_is_exported(sdk: Sdk, exporter: InMemoryLogRecordExporter) -> None:
    structlog.configure(
        processors=[structlog.stdlib.render_to_log_kwargs], logger_factory=structlog.stdlib.LoggerFactory()
    )
    tracer = trace.get_tracer("mine", tracer_provider=sdk.tracer_provider)
    with correlation("order-1"), tracer.start_as_current_span("work") as span:
        structlog.get_logger("mine").warning("seated", table=9)
    [made] = [each.log_record for each in exporter.get_finished_logs()]
    assert (made.body, made.trace_id) == ("seated", span.get_span_context().trace_id)
    assert made.attributes is not None
    assert (made.attributes["table"], made.attributes["correlation.id"]) == (9, "order-1")


def test_structlog_is_undone(sdk: Sdk) -> None:
    before = structlog.BoundLoggerBase._process_event
    structlog_events.instrument(sdk.telemetry)
    structlog_events.instrument(sdk.telemetry)
    assert structlog.BoundLoggerBase._process_event is not before
    structlog_events.uninstrument()
    structlog_events.uninstrument()
    assert structlog.BoundLoggerBase._process_event is before


def test_what_another_tool_has_laid_over_structlog_stays_and_no_id_is_added(
    sdk: Sdk, capsys: pytest.CaptureFixture[str]
) -> None:
    before = structlog.BoundLoggerBase._process_event
    structlog_events.instrument(sdk.telemetry)
    ours = structlog.BoundLoggerBase._process_event

    def theirs(self: Any, *args: Any) -> Any:
        return ours(self, *args)

    structlog.BoundLoggerBase._process_event = theirs  # type: ignore[method-assign]
    try:
        structlog_events.uninstrument()
        assert structlog.BoundLoggerBase._process_event is theirs
        structlog.configure(processors=[structlog.processors.JSONRenderer()])
        with correlation("order-1"):
            structlog.get_logger().info("seated", table=9)
    finally:
        structlog.BoundLoggerBase._process_event = before  # type: ignore[method-assign]
        structlog.reset_defaults()
    assert json.loads(capsys.readouterr().out) == {"event": "seated", "table": 9}
