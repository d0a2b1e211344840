"""The span of an opening handshake: it ends when the handshake does; no span lives as long as a connection."""

from __future__ import annotations

import time
from asyncio import CancelledError
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Final

from opentelemetry import propagate
from opentelemetry.context import Context, attach, get_current
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context
from websockets.datastructures import Headers
from websockets.exceptions import InvalidOrigin, InvalidStatus
from websockets.protocol import Protocol
from websockets.uri import WebSocketURI, parse_uri

from printobs.core import clock
from printobs.core.attributes import error_type
from printobs.core.conventions import (
    CONNECTION_ID,
    CORRELATION_ID,
    ERROR_TYPE,
    HTTP_STATUS,
    SERVER_PORT,
    SPAN_HANDSHAKE,
    Refusal,
)
from printobs.core.guard import Guard
from printobs.integrations import websockets_endpoints as endpoints
from printobs.signals import correlation
from printobs.signals.connections import Endpoint, refusal
from printobs.signals.handshake_context import HandshakeContext
from printobs.signals.propagation import Readable

_TRACE: Final = ("traceparent", "tracestate")

_guard = Guard("recording a WebSocket handshake")
_current: ContextVar[ClientHandshake | None] = ContextVar("printobs_websocket_handshake", default=None)


class ClientHandshake:
    """One attempt to connect, from the first packet to the answer: one span; an error is counted once."""

    __slots__ = ("_context", "_endpoint", "_outer", "_span", "_uri")

    def __init__(self, uri: str | WebSocketURI) -> None:
        self._uri = uri
        self._span: Span | None = None
        self._context: Context | None = None
        self._endpoint: Endpoint | None = None

    def __enter__(self) -> None:
        # Where connect() and handshake() are both watched, the outer one tells all.
        self._outer = _current.get()
        if self._outer is None:
            _current.set(self)
            with _guard:
                self._begin()

    def _begin(self) -> None:
        telemetry = endpoints.bound()
        if telemetry is None:
            return
        where = endpoints.where(parse_uri(self._uri) if isinstance(self._uri, str) else self._uri)
        self._endpoint = endpoints.client(where)
        identifier, self._context = correlation.ensure()
        attributes: dict[str, str | int] = {**where, CORRELATION_ID: identifier}
        if SERVER_PORT in where:
            attributes[SERVER_PORT] = int(where[SERVER_PORT])
        self._span = telemetry.tracer.start_span(
            SPAN_HANDSHAKE, self._context, kind=SpanKind.CLIENT, attributes=attributes
        )
        self._context = set_span_in_context(self._span, self._context)

    def requesting(self, protocol: Protocol, headers: Headers) -> None:
        """Put the context into the request's headers, where the application has put none itself."""
        if self._span is None:
            return
        self._span.set_attribute(CONNECTION_ID, str(protocol.id))
        carrier: dict[str, Any] = {}
        propagate.inject(carrier, self._context)
        theirs = {name.lower() for name in headers}
        for name, value in carrier.items():
            # The two trace headers belong together: ours never completes theirs.
            absent = theirs.isdisjoint(_TRACE) if name in _TRACE else name.lower() not in theirs
            if absent and isinstance(value, str):
                headers[name] = value

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._outer is not None:
            return
        # Not reset(token): a coroutine may be closed in another context than it ran in.
        _current.set(None)
        # Callbacks of the connection's life hold copies of the context variables: they must not hold the span.
        span, self._span, self._context = self._span, None, None
        failure = None if error is None else _failure(error)
        if failure is not None and self._endpoint is not None:
            if isinstance(error, InvalidStatus):
                self._endpoint.refused(refusal(error.response.status_code))
            self._endpoint.failed(failure)
        if span is not None:
            with _guard:
                if failure is not None:
                    _fail(span, failure)
                    if isinstance(error, InvalidStatus):
                        span.set_attribute(HTTP_STATUS, error.response.status_code)
            with _guard:
                clock.end(span)


def requesting(protocol: Protocol, headers: Headers) -> None:
    """Called with the headers of a handshake request just before it is sent."""
    with _guard:
        handshake = _current.get()
        if handshake is not None:
            handshake.requesting(protocol, headers)


def _failure(error: BaseException) -> str:
    return str(error.response.status_code) if isinstance(error, InvalidStatus) else error_type(error)


def _fail(span: Span, failure: str) -> None:
    # Without the exception's text: it may quote a URI, and with it a token.
    span.set_attribute(ERROR_TYPE, failure)
    span.set_status(StatusCode.ERROR)


class _HeadersGetter(Getter[Headers]):
    def get(self, carrier: Headers, key: str) -> list[str] | None:
        return carrier.get_all(key) or None

    def keys(self, carrier: Headers) -> list[str]:
        return list(carrier)


_getter: Final = Readable(_HeadersGetter())


class ServerHandshake:
    """One handshake answered. The parent is known only once the request has come: so the span is made at the end."""

    __slots__ = ("_connection", "_started")

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._started = time.time_ns()

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with _guard:
            self._end(error)

    def _end(self, error: BaseException | None) -> None:
        protocol = self._connection.protocol
        telemetry, record = endpoints.bound(), getattr(protocol, "printobs", None)
        if telemetry is None or record is None:  # a connection made before instrument() was called
            return
        status: int | None = record.status
        if status is not None and status != 101 and status < 400:
            return  # an HTTP request that process_request() answered, as a health check: no handshake
        failure = None
        if status is None:
            failure = _no_answer(error or protocol.handshake_exc)
            record.endpoint.failed(failure)
        elif status != 101:
            failure = str(status)
            record.refused(status, Refusal.ORIGIN if isinstance(protocol.handshake_exc, InvalidOrigin) else None)

        context, identifier = _incoming(self._connection.request)
        attributes: dict[str, str | int] = {CORRELATION_ID: identifier, CONNECTION_ID: str(protocol.id)}
        if status is not None:
            attributes[HTTP_STATUS] = status
        span = telemetry.tracer.start_span(
            SPAN_HANDSHAKE, context, kind=SpanKind.SERVER, attributes=attributes, start_time=self._started
        )
        if failure is not None:
            _fail(span, failure)
        clock.end(span)
        if failure is None:
            # For the handler, which runs in this task or thread: the ID and the link, but no span that outlives this.
            attach(HandshakeContext(span.get_span_context(), identifier, get_current()))


def _no_answer(error: BaseException | None) -> str:
    if error is None:
        return "abnormal_closure"  # the client left before it was answered
    # asyncio's server ends a handshake that takes longer than open_timeout by cancelling it.
    return "TimeoutError" if isinstance(error, CancelledError) else error_type(error)


def _incoming(request: Any) -> tuple[Context, str]:
    """The context and correlation ID of a request; a fresh context: that of the server's start is nobody's parent."""
    context = Context()
    if request is None:
        return correlation.with_id(identifier := correlation.accept(None), context), identifier
    with _guard:
        context = propagate.extract(request.headers, context, _getter)
    identifier = correlation.incoming(lambda name: next(iter(request.headers.get_all(name)), None), context)
    return correlation.with_id(identifier, context), identifier
