"""Log records as JSON, one line each, which no text in them can break."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any, Final

from printobs.core.conventions import LOG_CORRELATION_ID, LOG_SPAN_ID, LOG_TRACE_ID
from printobs.core.guard import Guard
from printobs.integrations.logging import CORRELATION, NONE, SPAN, TRACE, describe

_guard: Final = Guard("writing a log record as JSON")

# What every record has; the rest are the fields of extra={…}.
_STANDARD: Final = frozenset(
    {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", TRACE, SPAN, "otelTraceSampled", CORRELATION}
)


class JsonFormatter(logging.Formatter):
    """One line of JSON a record, in ASCII: control characters and line ends are escaped, so that none forges another.

    Fields: ``timestamp`` (UTC), ``severity``, ``logger``, ``message``; ``trace_id``, ``span_id``, ``correlation_id``
    where there are such; ``exception``, ``stack``; and those of ``extra={…}``. Never raises, whatever they hold.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        fields: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "severity": record.levelname,
            "logger": record.name,
            "message": _message(record),
        }
        with _guard:
            describe(record)
            for name, field in ((LOG_TRACE_ID, TRACE), (LOG_SPAN_ID, SPAN), (LOG_CORRELATION_ID, CORRELATION)):
                value = getattr(record, field)
                if value != NONE:
                    fields[name] = value
        with _guard:
            if record.exc_info:
                fields["exception"] = self.formatException(record.exc_info)
            elif record.exc_text:
                fields["exception"] = record.exc_text
            if record.stack_info:
                fields["stack"] = record.stack_info
        extra = {name: value for name, value in vars(record).items() if name not in _STANDARD and name not in fields}
        return (
            _dumped(fields | extra) or _dumped(fields | {name: _text(value) for name, value in extra.items()}) or "{}"
        )


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # arguments that do not fit: logging would print them, line ends and all
        return _text(record.msg)


def _dumped(fields: dict[str, Any]) -> str | None:
    try:
        # DEL alone of the control characters is left as it is.
        return json.dumps(fields, default=_text, allow_nan=False).replace("\x7f", "\\u007f")
    except (TypeError, ValueError, RecursionError):  # keys that are no text, what contains itself, numbers of no JSON
        return None


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__qualname__}>"
