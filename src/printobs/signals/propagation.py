"""The context that comes from outside: in headers, and in-band, in the JSON of a message.

A message is a JSON object; its top-level fields ``traceparent``, ``tracestate`` (https://www.w3.org/TR/trace-context/)
and ``baggage`` (https://www.w3.org/TR/baggage/) carry the context; the correlation ID is an entry of the baggage.
Anything else is left exactly as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar, cast

from opentelemetry import propagate
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter

from printobs.core.guard import Guard

TRACEPARENT: Final = "traceparent"
FIELDS: Final = (TRACEPARENT, "tracestate", "baggage")

# Larger text is not read for a context: parsing it would cost the event loop more than a trace is worth.
MAX_TEXT: Final = 262_144
WHOLE: Final = 1024
_EDGE: Final = 256

_WELL_FORMED: Final = re.compile(r"[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

# https://www.w3.org/TR/trace-context/#tracestate-header-field-values
_MAX_STATE: Final = 8192
_STATE: Final = re.compile(
    r"(?:[a-z][_0-9a-z\-*/]{0,255}|[a-z0-9][_0-9a-z\-*/]{0,240}@[a-z][_0-9a-z\-*/]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
# https://www.w3.org/TR/baggage/#header-content
_MAX_BAGGAGE: Final = 8192
_MAX_ENTRIES: Final = 180
_MAX_ENTRY: Final = 4096
_KEY: Final = r"[ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z]+[ \t]*"
_VALUE: Final = r"[ \t]*[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*[ \t]*"
_ENTRY: Final = re.compile(f"{_KEY}={_VALUE}(?:;{_KEY}(?:={_VALUE})?)*")

_JSON_SPACE: Final = " \t\n\r"

T = TypeVar("T")

_guard: Final = Guard("carrying a context in a message")


def may_carry(message: str | bytes) -> bool:
    """Whether ``message`` looks as if it carried a context; cheap, and blind to most of a long message.

    Up to 1,024 characters are looked through whole, of longer messages the first and the last 256 only: a context
    belongs where `inject` puts it, at the beginning.
    """
    if isinstance(message, str):
        if len(message) > WHOLE:
            message = message[:_EDGE] + message[-_EDGE:]
        return '"traceparent"' in message or '"baggage"' in message
    if len(message) > WHOLE:
        message = message[:_EDGE] + message[-_EDGE:]
    return b'"traceparent"' in message or b'"baggage"' in message


def extract(incoming: object) -> Context | None:
    """The context that ``incoming`` carries, and nothing else in it; ``None`` where it carries none. Never raises.

    ``incoming`` is a JSON object as text, as UTF-8 bytes, or parsed. A field that is malformed, hostile or over-long
    is ignored.
    """
    with _guard:
        fields = _fields(incoming)
        if fields:
            context = propagate.extract(fields, Context())
            return context or None
    return None


def readable(name: str, values: Sequence[str]) -> list[str]:
    """What the propagators can read of the ``values`` of a field or header; ``name`` in lower case.

    They log what they cannot read, as it came: what a stranger sends is nobody's to log.
    """
    if name == "baggage" and values:
        if len(values[0]) > _MAX_BAGGAGE:
            return []
        entries = [
            each for each in values[0].split(",", _MAX_ENTRIES) if len(each) <= _MAX_ENTRY and _ENTRY.fullmatch(each)
        ]
        return [",".join(entries)] if entries else []
    if name == "tracestate":
        members = [member.strip(" \t") for value in values for member in value.split(",")]
        if sum(map(len, values)) > _MAX_STATE or not all(_STATE.fullmatch(each) for each in members if each):
            return []
    return list(values)


class Readable(Getter[T]):
    """A getter of headers that gives what is `readable` of them."""

    def __init__(self, headers: Getter[T]) -> None:
        self._headers = headers

    def get(self, carrier: T, key: str) -> list[str] | None:
        """The values of one header."""
        values = self._headers.get(carrier, key)
        return None if values is None else readable(key.lower(), values) or None

    def keys(self, carrier: T) -> list[str]:
        """The names of all headers."""
        return self._headers.keys(carrier)


def _fields(incoming: object) -> dict[str, str]:
    if isinstance(incoming, str | bytes | bytearray | memoryview):
        incoming = _parsed(incoming)
    if not isinstance(incoming, Mapping):
        return {}
    found: dict[str, str] = {}
    for name in FIELDS:
        value = incoming.get(name)
        if isinstance(value, str) and (name != TRACEPARENT or _WELL_FORMED.fullmatch(value)):
            found.update((name, each) for each in readable(name, [value]))
    return found


def _parsed(message: str | bytes | bytearray | memoryview) -> object:
    if len(message) > MAX_TEXT:
        return None
    if isinstance(message, bytearray | memoryview):
        message = bytes(message)
    if not may_carry(message):
        return None
    try:
        return json.loads(message)
    except (ValueError, RecursionError):
        return None


def inject(payload: T) -> T:
    """``payload`` with the current context as its first fields; never raises.

    A mapping gives a new dict; a JSON object as ``str`` or as UTF-8 ``bytes`` gives the same with the fields spliced
    in. Anything else comes back untouched: text that is no JSON object (or more than one), a byte order mark, other
    types. A field that is there already stays, and ours never completes a foreign trace.
    """
    with _guard:
        carrier: dict[str, Any] = {}
        propagate.inject(carrier)
        fields = {name: carrier[name] for name in FIELDS if isinstance(carrier.get(name), str)}
        if isinstance(payload, Mapping):
            return cast("T", {**_absent(fields, payload), **payload})
        if isinstance(payload, str):
            return cast("T", _spliced(payload, fields))
        if isinstance(payload, bytes):
            return cast("T", _spliced(payload.decode(), fields).encode() if _is_utf8(payload) else payload)
    return payload


def _is_utf8(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


def _absent(fields: Mapping[str, str], payload: Mapping[Any, Any]) -> dict[str, str]:
    foreign = TRACEPARENT in payload or "tracestate" in payload
    return {
        name: value
        for name, value in fields.items()
        if name not in payload and not (foreign and name in (TRACEPARENT, "tracestate"))
    }


def _spliced(text: str, fields: Mapping[str, str]) -> str:
    start = len(text) - len(text.lstrip(_JSON_SPACE))
    if text[start : start + 1] != "{":
        return text
    try:
        payload = json.loads(text)
    except (ValueError, RecursionError):
        return text
    added = json.dumps(_absent(fields, payload), separators=(",", ":"))[1:-1]
    if not added:
        return text
    return f"{text[: start + 1]}{added}{',' if payload else ''}{text[start + 1 :]}"
