"""The WebSockets of an ASGI application: the handshake in a span, then counting, and the span of each message."""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry import context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import SpanKind
from starlette.types import Message, Receive, Scope, Send

from printobs.core.attributes import error_type
from printobs.core.conventions import (
    CONNECTION_ID,
    CORRELATION_ID,
    HTTP_ROUTE,
    HTTP_STATUS,
    SPAN_HANDSHAKE,
    WEBSOCKET_SERVER,
    Refusal,
)
from printobs.core.guard import Guard, swallow
from printobs.core.telemetry import Telemetry
from printobs.signals import correlation, message_scope
from printobs.signals.connections import FOLLOWED, Connection, Endpoint, endpoint
from printobs.signals.handshake_context import HandshakeContext
from printobs.signals.message_scope import Messages, current_until_over
from printobs.signals.propagation import Readable, may_carry

_DOING: Final = "following a WebSocket"
_guard: Final = Guard(_DOING)


def follow(
    telemetry: Telemetry,
    route: str | None,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    routed: bool = False,
    every: bool = False,
) -> WebSocket | None:
    """The WebSocket of ``scope``, its handshake begun; ``None`` where telemetry fails, as it may never the application.

    ``routed``: the application has routes, so that where ``route`` is ``None`` none takes this one.
    """
    followed: WebSocket | None = None
    with _guard:
        followed = WebSocket(endpoint(telemetry, WEBSOCKET_SERVER, {} if route is None else {HTTP_ROUTE: route}))
        followed.begin(scope, receive, send, every, route)
        followed.unrouted = routed and route is None
        scope[FOLLOWED] = followed
    return None if followed is None or followed.handshake is None else followed


class WebSocket(Connection):
    """One WebSocket: what the application receives and sends passes here. ``handshake``: until it is answered."""

    __slots__ = (
        "_before",
        "_clock",
        "_messages",
        "_round_trip",
        "_scope",
        "_shards",
        "_theirs_receive",
        "_theirs_send",
        "handshake",
        "unrouted",
    )  # fmt: skip

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self.handshake: message_scope.Scope | None = None
        self.unrouted = False
        # An event loop, and with it a connection, stays in one thread: this one.
        self._shards = endpoint.shards(get_ident())

    def identify(self, labels: Mapping[str, str], client: str | None = None) -> None:
        """As `Connection.identify`; from any thread."""
        super().identify(labels, client)
        self._shards = self.endpoint.shards(self._shards.thread)

    def begin(self, scope: Scope, receive: Receive, send: Send, every: bool, route: str | None) -> None:
        """Start the handshake's span, current until it is answered."""
        self._scope = scope
        self._theirs_receive = receive
        self._theirs_send = send
        self._clock = _clock(receive)
        self._round_trip = 0.0

        self._before = current = context.get_current()
        parent = current
        with _guard:
            if not trace.get_current_span().get_span_context().is_valid:
                parent = propagate.extract(scope, current, _getter)
        identifier = correlation.incoming(lambda name: next(iter(_getter.get(scope, name) or ()), None), parent)
        attributes: dict[str, str] = {CORRELATION_ID: identifier, CONNECTION_ID: correlation.new_id()}
        if route is not None:
            attributes[HTTP_ROUTE] = route
        span = self.endpoint.telemetry.tracer.start_span(
            SPAN_HANDSHAKE, correlation.with_id(identifier, parent), kind=SpanKind.SERVER, attributes=attributes
        )
        # For the handler: the ID and the link, but neither this span nor the caller's, which have an end.
        base = HandshakeContext(span.get_span_context(), identifier, _without_span(current))
        self._messages = Messages(self.endpoint.telemetry, base, every=every)
        self.handshake = current_until_over(span, base)

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
                    counted = self._shards.received_text
                    counted[1] += len(text) if text.isascii() else _size(text)
                else:
                    text = event["bytes"]
                    counted = self._shards.received_binary
                    counted[1] += len(text)
                counted[0] += 1
                if messages.every or may_carry(text):
                    messages.taken(text)
                if self._clock is not None and self._clock.last_ping_rtt != self._round_trip:
                    self._ping()
            elif event["type"] == "websocket.disconnect":
                self._disconnected(event)
        except Exception as error:
            swallow(_DOING, error)
        return event

    async def send(self, event: Message) -> None:
        """`send` of ASGI: what raises is not counted."""
        if self.handshake is not None:
            # A timer that the server arms while it accepts, for its pings, keeps the context that it is armed in.
            with _guard:
                self.handshake.leave()
        try:
            await self._theirs_send(event)
        except OSError:
            self._ended(None)  # the peer has vanished
            raise
        try:
            if event["type"] == "websocket.send":
                text = event.get("text")
                if text is not None:
                    counted = self._shards.sent_text
                    counted[1] += len(text) if text.isascii() else _size(text)
                else:
                    counted = self._shards.sent_binary
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
            self.opened()
            _status(handshake, 101)
            handshake.finish()
        elif kind in _REFUSALS:
            self.handshake = None
            status = int(event.get("status", 403))
            with _guard:
                self.refused(status, Refusal.NOT_FOUND if self.unrouted and kind == "websocket.close" else None)
            _status(handshake, status)
            handshake.finish(str(status))

    def returned(self, error: BaseException | None = None) -> None:
        """The application has returned or raised: who has not closed gets no event, and the client an abnormal end."""
        with _guard:
            self._messages.over(error)
        failure = None if error is None else error_type(error)
        with _guard:
            if self.handshake is not None:
                self.endpoint.refused(Refusal.ERROR)  # the server answers 500 for it
                self._unanswered("500" if failure is None else failure)
            self._ended(None, failure)
        self._scope[FOLLOWED] = None  # they would keep each other
        context.attach(self._before)

    def _ended(self, code: int | None, failure: str | None = None) -> None:
        with _guard:
            if self.handshake is not None:
                self._unanswered("abnormal_closure")  # it left before it was answered
            self._ping()
            self.closed(None if code is None else int(code), failure)

    def _disconnected(self, event: Message) -> None:
        code = event.get("code", 1005)
        # uvicorn reports a connection that broke as 1005 without a reason; an empty close has an empty one.
        self._ended(None if code == 1005 and "reason" not in event else code)

    def _unanswered(self, failure: str) -> None:
        handshake, self.handshake = self.handshake, None
        self.endpoint.failed(failure)
        if handshake is not None:
            handshake.finish(failure)

    def _ping(self) -> None:
        newest = self.newest_round_trip()
        if newest != self._round_trip:
            self._round_trip = newest
            self.ping(newest)

    def newest_round_trip(self) -> float:
        """As the server has it. It is looked for with each message, and whenever somebody asks how well this works."""
        return 0.0 if self._clock is None else float(self._clock.last_ping_rtt)


def _status(handshake: message_scope.Scope, status: int) -> None:
    if handshake.span is not None:
        handshake.span.set_attribute(HTTP_STATUS, status)


# A close before the accept is answered with 403: https://asgi.readthedocs.io/en/latest/specs/www.html
_REFUSALS: Final = ("websocket.close", "websocket.http.response.start")


def _clock(receive: object) -> Any:
    """The server's protocol where it times pings: uvicorn's default does. Best effort: ASGI has no word for it."""
    peer = getattr(receive, "__self__", None)
    return peer if isinstance(getattr(peer, "last_ping_rtt", None), float) else None


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _without_span(current: Context) -> Context:
    if trace.get_current_span(current) is trace.INVALID_SPAN:
        return current
    return trace.set_span_in_context(trace.INVALID_SPAN, current)


class _HeadersGetter(Getter[Message]):
    def get(self, carrier: Message, key: str) -> list[str] | None:
        wanted = key.lower().encode()
        return [value.decode("latin-1") for name, value in carrier["headers"] if name == wanted] or None

    def keys(self, carrier: Message) -> list[str]:
        return [name.decode("latin-1") for name, _ in carrier["headers"]]


_getter: Final = Readable(_HeadersGetter())
