"""Log records of the standard library that know their trace, their span and their correlation ID.

``Logger.callHandlers`` is where both are done, because nothing else leaves the application as it was: a record factory
makes ``extra={"correlation_id": …}`` raise, and a handler on the root logger turns ``logging.basicConfig()`` and the
handler of last resort off.
"""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from opentelemetry import trace

from printobs.core.conventions import CORRELATION_ID
from printobs.core.guard import Guard
from printobs.signals.correlation import correlation_id

if TYPE_CHECKING:
    from opentelemetry._logs import LoggerProvider

# The names of opentelemetry-instrumentation-logging, and that of asgi-correlation-id.
TRACE: Final = "otelTraceID"
SPAN: Final = "otelSpanID"
SAMPLED: Final = "otelTraceSampled"
CORRELATION: Final = "correlation_id"
NONE: Final = "-"

_FIELDS: Final = (TRACE, SPAN, SAMPLED, CORRELATION)
_guard: Final = Guard("describing a log record")
_lock: Final = threading.Lock()
_installed: _Installed | None = None


def instrument() -> None:
    """Give every record the fields ``otelTraceID``, ``otelSpanID``, ``otelTraceSampled`` and ``correlation_id``.

    A formatter may rely on them: where there is none they read ``-`` (``False`` for sampled). Fields that a record
    has already are left. Twice is once.
    """
    with _lock:
        _install().describe = describe


def name_for_export() -> None:
    """Give every record ``correlation.id``, which an OpenTelemetry handler of the application's exports, and no more.

    For where nobody has asked for `instrument`, which does more. Twice is once.
    """
    with _lock:
        if _installed is None:
            _install().describe = _name


def export(logger_provider: LoggerProvider) -> None:
    """Make every record OpenTelemetry's too, until `uninstrument`; needs opentelemetry-instrumentation-logging."""
    exporter = _exporter(logger_provider)
    with _lock:
        installed = _install()
        installed.describe, installed.export = describe, exporter


def uninstrument() -> None:
    """Undo `instrument`, `name_for_export` and `export`."""
    global _installed
    with _lock:
        if _installed is not None:
            _installed.remove()
            _installed = None


def _install() -> _Installed:
    global _installed
    if _installed is None:
        _installed = _Installed()
    return _installed


class _Installed:
    def __init__(self) -> None:
        self.describe: Callable[[logging.LogRecord], None] = describe
        self.export: Callable[[logging.LogRecord], None] | None = None
        self._active = True
        self._original = original = logging.Logger.callHandlers

        def callHandlers(logger: logging.Logger, record: logging.LogRecord) -> None:  # noqa: N802
            if self._active:
                with _guard:
                    self.describe(record)
                    if self.export is not None:
                        self.export(record)
            original(logger, record)

        self._replacement = callHandlers
        logging.Logger.callHandlers = callHandlers  # type: ignore[method-assign,assignment]

    def remove(self) -> None:
        self._active = False
        # Somebody may have wrapped it since: then it stays, and only passes on.
        if logging.Logger.callHandlers is self._replacement:
            logging.Logger.callHandlers = self._original  # type: ignore[method-assign]


def describe(record: logging.LogRecord) -> None:
    """Give ``record`` the fields of `instrument` that it has not."""
    span = trace.get_current_span().get_span_context()
    fields = record.__dict__
    # Fields may be there already: from extra={…}, or because the record was made and described elsewhere.
    if TRACE not in fields:
        fields[TRACE] = f"{span.trace_id:032x}" if span.is_valid else NONE
        fields[SPAN] = f"{span.span_id:016x}" if span.is_valid else NONE
        fields[SAMPLED] = span.is_valid and span.trace_flags.sampled
    if CORRELATION not in fields:
        fields[CORRELATION] = correlation_id() or NONE


def _name(record: logging.LogRecord) -> None:
    identifier = correlation_id()
    if identifier is not None:
        record.__dict__.setdefault(CORRELATION_ID, identifier)


def _exporter(logger_provider: LoggerProvider) -> Callable[[logging.LogRecord], None]:
    from opentelemetry.instrumentation.logging.handler import LoggingHandler
    from opentelemetry.instrumentation.utils import is_instrumentation_enabled

    class Handler(LoggingHandler):
        def flush(self) -> None:
            """Nothing: logging asks for it at exit, where Python 3.12.1 starts none of the threads it would take."""

    handler = Handler(logger_provider=logger_provider)

    def export(record: logging.LogRecord) -> None:
        # An exporter that fails logs that: exported, it would fail and log again.
        if not is_instrumentation_enabled():
            return
        exported = copy.copy(record)
        fields = exported.__dict__
        identifier = fields[CORRELATION]
        # OpenTelemetry's record has its own fields for these; extra fields become attributes.
        for name in _FIELDS:
            del fields[name]
        if identifier != NONE:
            fields[CORRELATION_ID] = identifier
        handler.handle(exported)

    return export
