"""Correlation IDs: one short name for one order, carried as W3C baggage in the OpenTelemetry context.

The baggage entry ``correlation.id`` is the only place an ID lives, so that every propagator of the application
carries it and no two places can disagree (https://www.w3.org/TR/baggage/).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from contextvars import Token
from types import TracebackType
from typing import Final

from opentelemetry import baggage, context, trace
from opentelemetry.context import Context

from printobs.core import telemetry
from printobs.core.cells import Cell
from printobs.core.conventions import (
    CORRELATION_ID,
    CORRELATION_IDS,
    CORRELATION_SOURCE,
    LOG_CORRELATION_ID,
    LOG_SPAN_ID,
    LOG_TRACE_ID,
    CorrelationSource,
)

MAX_LENGTH: Final = 128

# A subset of what a baggage value, an HTTP header and a log line all carry without escaping.
_WELL_FORMED: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:\-]{0,127}\Z")

# Uniqueness is needed, secrecy is not: as the SDK's own ID generator. Python reseeds it after a fork.
_getrandbits = random.getrandbits


def new_id() -> str:
    """A new random ID: 32 lower-case hexadecimal digits."""
    return f"{_getrandbits(128):032x}"


def well_formed(value: object) -> bool:
    """Whether ``value`` may be used as an ID: 1 to 128 characters, letters, digits and ``. _ : -``, no sign first."""
    return isinstance(value, str) and _WELL_FORMED.match(value) is not None


def correlation_id(context: Context | None = None) -> str | None:
    """The current correlation ID, or the one of ``context``; ``None`` where there is none."""
    value = baggage.get_baggage(CORRELATION_ID, context)
    return value if well_formed(value) else None  # type: ignore[return-value]


def log_fields() -> Iterator[tuple[str, str]]:
    """The current trace, span and correlation ID, each that there is, by its name in a log."""
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        yield LOG_TRACE_ID, f"{span.trace_id:032x}"
        yield LOG_SPAN_ID, f"{span.span_id:016x}"
    identifier = correlation_id()
    if identifier is not None:
        yield LOG_CORRELATION_ID, identifier


def with_id(identifier: str, context: Context | None = None) -> Context:
    """The current context, or ``context``, carrying ``identifier``."""
    return baggage.set_baggage(CORRELATION_ID, identifier, context)


def accept(value: object) -> str:
    """``value`` if it is well formed, else a new ID; counted as accepted, refused or (for ``None``) generated."""
    if value is None:
        _cell(CorrelationSource.GENERATED).add()
        return new_id()
    if well_formed(value):
        _cell(CorrelationSource.ACCEPTED).add()
        return value  # type: ignore[return-value]
    _cell(CorrelationSource.REFUSED).add()
    return new_id()


def incoming(header: Callable[[str], str | None], context: Context) -> str:
    """The ID of a request: that of ``X-Correlation-ID``, of the baggage, of ``X-Request-ID``, else a new one.

    ``header`` gives a request header by its lower-case name. A header that is not well formed is refused, and counted.
    """
    named = header("x-correlation-id")
    if named is None:
        named = correlation_id(context)
    return accept(header("x-request-id") if named is None else named)


def ensure(context: Context | None = None) -> tuple[str, Context | None]:
    """The ID of ``context`` (or the current one), and the context that carries it."""
    identifier = correlation_id(context)
    if identifier is not None:
        return identifier, context
    identifier = accept(None)
    return identifier, with_id(identifier, context)


_cells: tuple[telemetry.Telemetry, dict[CorrelationSource, Cell]] | None = None


def _cell(source: CorrelationSource) -> Cell:
    global _cells
    current = telemetry.current()
    if _cells is None or _cells[0] is not current:
        family = current.instruments.cells(CORRELATION_IDS)
        _cells = current, {each: family.cell({CORRELATION_SOURCE: each.value}) for each in CorrelationSource}
    return _cells[1][source]


class correlation:  # noqa: N801 - reads as the verb it is: with correlation("order-4711"):
    """Carry a correlation ID inside a ``with`` block; gives the ID that is used.

    An ID that is not well formed (see `well_formed`) is replaced by a new one, and counted as refused; without one,
    a new one is made.
    """

    __slots__ = ("_token", "identifier")

    def __init__(self, identifier: str | None = None) -> None:
        self.identifier = accept(identifier)
        self._token: Token[Context] | None = None

    def __enter__(self) -> str:
        self._token = context.attach(with_id(self.identifier))
        return self.identifier

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is not None:
            context.detach(self._token)
            self._token = None
