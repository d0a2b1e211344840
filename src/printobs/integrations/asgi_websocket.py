"""The WebSockets of an ASGI application: the handshake in a span, then counting, and the span of each message."""

from __future__ import annotations

from typing import Any, Final

from opentelemetry import context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import SpanKind
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from printobs.core.attributes import error_type
from printobs.core.conventions import (
    CONNECTION_ID,
    CORRELATION_ID,
    HTTP_ROUTE,
    HTTP_STATUS,
    SPAN_HANDSHAKE,
    WEBSOCKET_SERVER,
)
from printobs.core.guard import Guard, swallow
from printobs.core.telemetry import Telemetry
from printobs.signals import correlation, message_scope
from printobs.signals.connections import Connection, Endpoint, endpoint
from printobs.signals.message_scope import Messages, current_until_over, with_handshake
from printobs.signals.propagation import Readable, may_carry

_DOING: Final = "following a WebSocket"
_guard: Final = Guard(_DOING)


async def serve(
    telemetry: Telemetry,
    app: ASGIApp,
    route: str | None,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    every: bool = False,
) -> None:
    """Serve one WebSocket of ``app``; its exceptions pass, and none of the telemetry's does."""
    before = context.get_current()
    followed: _WebSocket | None = None
    with _guard:
        followed = _WebSocket(endpoint(telemetry, WEBSOCKET_SERVER, {} if route is None else {HTTP_ROUTE: route}))
        followed.begin(scope, receive, send, every, route)
    if followed is None or followed.handshake is None:
        await app(scope, receive, send)
        return
    try:
        await app(scope, followed.receive, followed.send)
    except BaseException as error:
        followed.returned(error)
        raise
    else:
        followed.returned(None)
    finally:
        context.attach(before)


class _Handshake:
    """A handshake that is not answered yet."""

    __slots__ = ("endpoint", "scope")

    def __init__(self, endpoint: Endpoint, scope: message_scope.Scope) -> None:
        self.endpoint = endpoint
        self.scope = scope

    def accepted(self) -> None:
        self._status(101)
        self.scope.finish()

    def refused(self, status: int) -> None:
        self._status(status)
        self.failed(str(status))

    def failed(self, failure: str) -> None:
        with _guard:
            self.endpoint.failed(failure)
        self.scope.finish(failure)

    def _status(self, status: int) -> None:
        if self.scope.span is not None:
            self.scope.span.set_attribute(HTTP_STATUS, status)


class _WebSocket:
    """One WebSocket: what the application receives and sends passes here.

    ``handshake`` until it is answered, then ``connection`` until it is closed.
    """

    __slots__ = (
        "_clock",
        "_endpoint",
        "_messages",
        "_received_binary",
        "_received_text",
        "_round_trip",
        "_sent_binary",
        "_sent_text",
        "_theirs_receive",
        "_theirs_send",
        "connection",
        "handshake",
    )  # fmt: skip

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.handshake: _Handshake | None = None
        self.connection: Connection | None = None

    def begin(self, scope: Scope, receive: Receive, send: Send, every: bool, route: str | None) -> None:
        """Start the handshake's span, current until it is answered."""
        self._theirs_receive = receive
        self._theirs_send = send
        self._clock = _clock(receive)
        self._round_trip = 0.0
        # An event loop, and with it a connection, stays in one thread: this one.
        self._received_text = self._endpoint.received_text.shard()
        self._received_binary = self._endpoint.received_binary.shard()
        self._sent_text = self._endpoint.sent_text.shard()
        self._sent_binary = self._endpoint.sent_binary.shard()

        current = context.get_current()
        parent = current
        with _guard:
            if not trace.get_current_span().get_span_context().is_valid:
                parent = propagate.extract(scope, current, _getter)
        identifier = correlation.incoming(lambda name: next(iter(_getter.get(scope, name) or ()), None), parent)
        attributes: dict[str, str] = {CORRELATION_ID: identifier, CONNECTION_ID: correlation.new_id()}
        if route is not None:
            attributes[HTTP_ROUTE] = route
        span = self._endpoint.telemetry.tracer.start_span(
            SPAN_HANDSHAKE, correlation.with_id(identifier, parent), kind=SpanKind.SERVER, attributes=attributes
        )
        link = span.get_span_context()
        # For the handler: the ID and the link, but neither this span nor the caller's, which have an end.
        base = with_handshake(link, correlation.with_id(identifier, _without_span(current)))
        self._messages = Messages(self._endpoint.telemetry, link, every=every)
        self.handshake = _Handshake(self._endpoint, current_until_over(span, base))

    # -- the hot path ------------------------------------------------------------------------------------------------

    async def receive(self) -> Message:
        """`receive` of ASGI: the message before is over."""
        messages = self._messages
        if messages.busy is not None:
            messages.over()
        event = await self._theirs_receive()
        try:
            if event["type"] == "websocket.receive":
                text = event.get("text")  # or bytes
                if text is not None:
                    counted = self._received_text
                    counted[1] += len(text) if text.isascii() else _size(text)
                else:
                    text = event["bytes"]
                    counted = self._received_binary
                    counted[1] += len(text)
                counted[0] += 1
                if messages.every or may_carry(text):
                    messages.taken(text)
                if self._clock is not None and self._clock.last_ping_rtt != self._round_trip:
                    self._ping(self.connection)
            elif event["type"] == "websocket.disconnect":
                code = event.get("code", 1005)
                # uvicorn reports a connection that broke as 1005 without a reason; an empty close has an empty one.
                self._ended(None if code == 1005 and "reason" not in event else code)
        except Exception as error:
            swallow(_DOING, error)
        return event

    async def send(self, event: Message) -> None:
        """`send` of ASGI: what raises is not counted."""
        try:
            await self._theirs_send(event)
        except OSError:
            self._ended(None)  # the peer has vanished
            raise
        try:
            if event["type"] == "websocket.send":
                text = event.get("text")
                if text is not None:
                    counted = self._sent_text
                    counted[1] += len(text) if text.isascii() else _size(text)
                else:
                    counted = self._sent_binary
                    counted[1] += len(event["bytes"])
                counted[0] += 1
            else:
                self._answered(event)
        except Exception as error:
            swallow(_DOING, error)

    # -- its life ----------------------------------------------------------------------------------------------------

    def _answered(self, event: Message) -> None:
        kind, handshake = event["type"], self.handshake
        if handshake is None:
            if kind == "websocket.close":
                self._ended(event.get("code", 1000))
        elif kind == "websocket.accept":
            self.handshake = None
            self.connection = self._endpoint.opened()
            handshake.accepted()
        elif kind in _REFUSALS:
            self.handshake = None
            handshake.refused(int(event.get("status", 403)))

    def returned(self, error: BaseException | None) -> None:
        """The application has returned or raised: who has not closed gets no event, and the client an abnormal end."""
        with _guard:
            self._messages.over(error)
        with _guard:
            if self.handshake is not None:
                handshake, self.handshake = self.handshake, None
                # The server answers 500 for it.
                handshake.failed("500" if error is None else error_type(error))
            self._ended(None, None if error is None else error_type(error))

    def _ended(self, code: int | None, failure: str | None = None) -> None:
        with _guard:
            handshake, self.handshake = self.handshake, None
            if handshake is not None:
                handshake.failed("abnormal_closure")  # it left before it was answered
            connection, self.connection = self.connection, None
            if connection is not None:
                self._ping(connection)
                connection.closed(None if code is None else int(code), failure)

    def _ping(self, connection: Connection | None) -> None:
        seconds = 0.0 if self._clock is None else self._clock.last_ping_rtt
        if connection is not None and seconds != self._round_trip:
            self._round_trip = seconds
            connection.ping(seconds)


# A close before the accept is answered with 403: https://asgi.readthedocs.io/en/latest/specs/www.html
_REFUSALS: Final = ("websocket.close", "websocket.http.response.start")


def _clock(receive: object) -> Any:
    """The server's protocol where it times pings: uvicorn's default does. Best effort: ASGI has no word for it."""
    peer = getattr(receive, "__self__", None)
    return peer if isinstance(getattr(peer, "last_ping_rtt", None), float) else None


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _without_span(current: Context) -> Context:
    return trace.set_span_in_context(trace.INVALID_SPAN, current)


class _HeadersGetter(Getter[Message]):
    def get(self, carrier: Message, key: str) -> list[str] | None:
        wanted = key.lower().encode()
        return [value.decode("latin-1") for name, value in carrier["headers"] if name == wanted] or None

    def keys(self, carrier: Message) -> list[str]:
        return [name.decode("latin-1") for name, _ in carrier["headers"]]


_getter: Final = Readable(_HeadersGetter())
