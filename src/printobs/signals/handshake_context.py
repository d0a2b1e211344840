"""The context in which a connection is handled: its correlation ID, and the handshake that its messages are linked to.

Each open connection keeps one. As dictionaries, which OpenTelemetry makes of them, the two were the most that an idle
connection cost; here they are a string and 25 bytes, and an entry is made when it is read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from opentelemetry import baggage, context
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanContext, TraceFlags

from printobs.core.conventions import CORRELATION_ID

_HANDSHAKE: Final = context.create_key("printobs-handshake")
(_BAGGAGE,) = baggage.clear(Context())  # the key by which OpenTelemetry finds it


class HandshakeContext(Context):
    """``base`` with the correlation ID ``identifier`` and with ``handshake``; reads as any other context."""

    __slots__ = ("_handshake", "_identifier", "base")

    def __init__(self, handshake: SpanContext, identifier: str, base: Context) -> None:
        super().__init__()
        self.base: Final = base
        self._identifier = identifier
        self._handshake = _packed(handshake)

    def get(self, key: str, default: Any = None) -> Any:
        """As of a dictionary: without making the entries that are not asked for."""
        if key == _BAGGAGE:
            return {**baggage.get_all(self.base), CORRELATION_ID: self._identifier}
        if key == _HANDSHAKE:
            return _unpacked(self._handshake)
        return self.base.get(key, default)

    def entries(self) -> dict[str, object]:
        """All of them."""
        return {**self.base, **{key: self.get(key) for key in (_BAGGAGE, _HANDSHAKE)}}


def _reading(name: str) -> Callable[..., Any]:
    method = getattr(dict, name)

    def read(self: HandshakeContext, *args: Any) -> Any:
        return method(self.entries(), *args)

    return read


for _name in (
    *("__contains__", "__eq__", "__getitem__", "__iter__", "__len__", "__ne__", "__or__", "__repr__", "__reversed__"),
    *("copy", "items", "keys", "values"),
):
    setattr(HandshakeContext, _name, _reading(_name))


def links(of: Context) -> list[Link]:
    """To the handshake in whose context, or in one that was made of it, something is handled."""
    handshake = context.get_value(_HANDSHAKE, of)
    return [Link(handshake)] if isinstance(handshake, SpanContext) and handshake.is_valid else []


def _packed(span: SpanContext) -> bytes | SpanContext:
    if span.trace_state or span.is_remote:
        return span
    return span.trace_id.to_bytes(16) + span.span_id.to_bytes(8) + bytes([span.trace_flags])


def _unpacked(packed: bytes | SpanContext) -> SpanContext:
    if isinstance(packed, SpanContext):
        return packed
    trace_id, span_id = int.from_bytes(packed[:16]), int.from_bytes(packed[16:24])
    return SpanContext(trace_id, span_id, False, TraceFlags(packed[24]))
