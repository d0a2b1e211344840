"""The span of a handled message.

A handler that loops over receive() gives no callback at its boundaries: a message is taken as handled from the receive
that returned it to the next one, and the context it carries is current meanwhile, in the receiving task only. Context
may be lost where Python loses it (a queue, ``wait_for`` on 3.11), but it never names the wrong message: the span and
the baggage that are set are stand-ins which read as none, in that task, as soon as the message is over.
"""

from __future__ import annotations

import threading
from asyncio import current_task
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry import baggage, context, trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN_CONTEXT, Link, Span, SpanContext, SpanKind, StatusCode
from opentelemetry.util.types import AttributeValue

from printobs.core import clock, telemetry
from printobs.core.attributes import error_type
from printobs.core.conventions import (
    CORRELATION_ID,
    ERROR_TYPE,
    MESSAGE_LENGTH,
    MESSAGE_TYPE,
    SPAN_MESSAGE,
    MessageType,
)
from printobs.core.guard import Guard
from printobs.core.telemetry import Telemetry
from printobs.signals import correlation, handshake_context, propagation

_guard: Final = Guard("following a message")
_SCOPE: Final = context.create_key("printobs-message")


def _owner() -> object:
    """What receives: the asyncio task, or the thread where none runs."""
    try:
        task = current_task()
    except RuntimeError:
        task = None
    return threading.get_ident() if task is None else task


class Scope:
    """What one task is busy with: a message, or a handshake."""

    __slots__ = ("base", "context", "over", "owner", "span")

    def __init__(self, base: Context) -> None:
        self.base = base
        self.context = base
        self.owner = _owner()
        self.over = False
        self.span: Span | None = None

    def live(self) -> bool:
        """Whether whoever asks works for it."""
        # Tasks and threads started meanwhile work for this message for as long as they like.
        return not self.over or _owner() != self.owner

    def leave(self) -> None:
        """Give the task back its base; it is not over yet."""
        # Only what is identically ours is replaced: a token could restore what somebody else has ended since.
        if _owner() == self.owner and context.get_current() is self.context:
            context.attach(self.base)

    def finish(self, failure: str | None = None) -> None:
        """It is over: end its span, as failed for ``failure`` where that is given, and give the task back its base."""
        self.over = True
        if self.span is not None:
            with _guard:
                if failure is not None:
                    self.span.set_attribute(ERROR_TYPE, failure)
                    self.span.set_status(StatusCode.ERROR)
                clock.end(self.span)
        self.leave()


class _Span(Span):
    """Stands in for the message's span; whoever reads it later in the same task finds none."""

    __slots__ = ("_scope", "_span")

    def __init__(self, scope: Scope, span: Span) -> None:
        self._scope = scope
        self._span = span

    def get_span_context(self) -> SpanContext:
        return self._span.get_span_context() if self._scope.live() else INVALID_SPAN_CONTEXT

    def is_recording(self) -> bool:
        return not self._scope.over and self._span.is_recording()

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        self._span.set_attribute(key, value)

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        self._span.set_attributes(attributes)

    def add_event(self, *args: Any, **kwargs: Any) -> None:
        self._span.add_event(*args, **kwargs)

    def add_link(self, *args: Any, **kwargs: Any) -> None:
        self._span.add_link(*args, **kwargs)

    def update_name(self, name: str) -> None:
        self._span.update_name(name)

    def set_status(self, *args: Any, **kwargs: Any) -> None:
        self._span.set_status(*args, **kwargs)

    def record_exception(self, *args: Any, **kwargs: Any) -> None:
        self._span.record_exception(*args, **kwargs)

    def end(self, end_time: int | None = None) -> None:
        """Not the handler's to end: the message's end does."""


def _reading(name: str) -> Callable[..., Any]:
    method = getattr(dict, name)

    def read(self: _Baggage, *args: Any) -> Any:
        return method(self, *args) if self.scope.live() else method({}, *args)

    return read


def current_until_over(span: Span, base: Context) -> Scope:
    """Make ``span`` current in this task on top of ``base``, until the scope's ``finish(failure)`` ends it.

    For spans that are over at an event, not at the end of a block: the handshake, which ends when it is accepted.
    """
    scope = Scope(base)
    scope.span = span
    scope.context = trace.set_span_in_context(_Span(scope, span), base)
    context.attach(scope.context)
    return scope


class _Baggage(dict[str, object]):
    """The message's baggage; empty for whoever reads it later in the same task."""

    scope: Scope


for _name in ("__contains__", "__getitem__", "__iter__", "__len__", "copy", "get", "items", "keys", "values"):
    setattr(_Baggage, _name, _reading(_name))


class Messages:
    """The messages of one connection, as its handler takes them.

    ``every``: a message without a context has a root span too, linked to the handshake. One that comes with a context
    that is not sampled has none, whatever is asked: the sender has decided. The handshake is the one of ``within``, of
    the current context where none is given (`HandshakeContext`). On a hot path, `over` need not be called while
    ``busy`` is ``None``, nor `taken` for a message that may carry nothing (`propagation.may_carry`) unless ``every``.
    """

    __slots__ = ("_links", "_telemetry", "_within", "busy", "every")

    def __init__(self, telemetry: Telemetry, within: Context | None = None, *, every: bool = False) -> None:
        self._telemetry = telemetry
        self._within = within
        self._links: list[Link] | None = None  # to the handshake of ``within``, once a span has needed it
        self.every = every
        self.busy: Scope | None = None

    def taken(self, message: str | bytes) -> None:
        """The handler has been given ``message``: the one before is over."""
        if self.busy is not None:
            self.over()
        if self.every or propagation.may_carry(message):
            with _guard:
                self._begin(message)

    def over(self, error: BaseException | None = None) -> None:
        """The handler asks for the next message, or has ended; with ``error`` if that is what ended it."""
        scope, self.busy = self.busy, None
        if scope is not None:
            with _guard:
                scope.finish(None if error is None else error_type(error))

    def _begin(self, message: str | bytes) -> None:
        carried = propagation.extract(message)
        if carried is None and not self.every:
            return
        current = context.get_current()
        outer = context.get_value(_SCOPE, current)
        # A message is never the child of the one that was handled before it.
        base = outer.base if isinstance(outer, Scope) else current
        scope = Scope(base)
        remote = trace.INVALID_SPAN if carried is None else trace.get_current_span(carried)
        ours = context.set_value(_SCOPE, scope, base)
        entries = {} if carried is None else baggage.get_all(carried)
        if entries:
            held = _Baggage(entries)
            held.scope = scope
            for key in (entry for entry in carried or () if entry.startswith("baggage-")):
                ours = context.set_value(key, held, ours)
        span, parent = remote, remote.get_span_context()
        if parent.trace_flags.sampled or (self.every and not parent.is_valid):
            scope.span = span = _started(self._telemetry, message, remote, ours, self._linked(base))
        if span.get_span_context().is_valid:
            ours = trace.set_span_in_context(_Span(scope, span), ours)
        scope.context = ours
        context.attach(ours)
        self.busy = scope

    def _linked(self, base: Context) -> list[Link]:
        if self._within is None:
            return handshake_context.links(base)
        if self._links is None:
            self._links = handshake_context.links(self._within)
        return self._links


def _started(telemetry: Telemetry, message: object, parent: Span, ours: Context, links: list[Link]) -> Span:
    attributes: dict[str, str | int] = {}
    if isinstance(message, str | bytes):
        kind = MessageType.TEXT if isinstance(message, str) else MessageType.BINARY
        attributes = {MESSAGE_TYPE: kind.value, MESSAGE_LENGTH: len(message)}
    identifier = correlation.correlation_id(ours)
    if identifier is not None:
        attributes[CORRELATION_ID] = identifier
    return telemetry.tracer.start_span(
        SPAN_MESSAGE,
        trace.set_span_in_context(parent, ours),
        kind=SpanKind.CONSUMER,
        attributes=attributes,
        links=links,
    )


@contextmanager
def message(incoming: object) -> Iterator[Span]:
    """Handle a message in a span of its own that continues the trace it carries; a new trace where it carries none.

    ``incoming`` is the message, as text, bytes or parsed. For handlers that take messages from a queue or select
    between connections, where `Messages` loses the context. The correlation ID is the message's, else the current
    one, else a new one. Gives the span.
    """
    span: Span = trace.INVALID_SPAN
    token = None
    with _guard:
        carried = propagation.extract(incoming)
        base = context.get_current()
        for key, value in (carried or {}).items():
            base = context.set_value(key, value, base)
        remote = trace.INVALID_SPAN if carried is None else trace.get_current_span(carried)
        _, with_id = correlation.ensure(base)
        base = base if with_id is None else with_id
        span = _started(telemetry.current(), incoming, remote, base, handshake_context.links(base))
        token = context.attach(trace.set_span_in_context(span, base))
    try:
        yield span
    except BaseException as error:
        with _guard:
            span.set_attribute(ERROR_TYPE, error_type(error))
            span.set_status(StatusCode.ERROR)
        raise
    finally:
        with _guard:
            clock.end(span)
        if token is not None:
            context.detach(token)
