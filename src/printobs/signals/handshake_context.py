"""The context in which a connection is handled: its correlation ID, and the handshake that its messages are linked to.

Each open connection keeps one. As dictionaries, which OpenTelemetry makes of them, the two were the most that an idle
connection cost; here they are a string and 25 bytes, and an entry is made when it is read.
"""

from __future__ import annotations

import struct
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
            return self._baggage()
        if key == _HANDSHAKE:
            return self._handshake
        return self.base.get(key, default)

    def copy(self) -> dict[str, object]:
        """All entries, as a dictionary. OpenTelemetry makes the contexts of it that are on top of this one."""
        return {**self.base, _BAGGAGE: self._baggage(), _HANDSHAKE: self._handshake}

    def _baggage(self) -> dict[str, object]:
        return {**baggage.get_all(self.base), CORRELATION_ID: self._identifier}


def _reading(name: str) -> Callable[..., Any]:
    method = getattr(dict, name)

    def read(self: HandshakeContext, *args: Any) -> Any:
        return method(self.copy(), *args)

    return read


for _name in (
    *("__contains__", "__eq__", "__getitem__", "__iter__", "__len__", "__ne__", "__or__", "__repr__", "__reversed__"),
    *("items", "keys", "values"),
):
    setattr(HandshakeContext, _name, _reading(_name))


def links(of: Context) -> list[Link]:
    """To the handshake in whose context, or in one that was made of it, something is handled."""
    packed = of.get(_HANDSHAKE)
    if not isinstance(packed, bytes | SpanContext):
        return []
    handshake = _unpacked(packed)
    return [Link(handshake)] if handshake.is_valid else []


_IDS: Final = struct.Struct(">QQQB")  # a trace ID in two halves, a span ID, flags


def _packed(span: SpanContext) -> bytes | SpanContext:
    if span.trace_state or span.is_remote:
        return span
    return _IDS.pack(span.trace_id >> 64, span.trace_id & 0xFFFF_FFFF_FFFF_FFFF, span.span_id, span.trace_flags)


def _unpacked(packed: bytes | SpanContext) -> SpanContext:
    if isinstance(packed, SpanContext):
        return packed
    high, low, span_id, flags = _IDS.unpack(packed)
    return SpanContext(high << 64 | low, span_id, False, TraceFlags(flags))
