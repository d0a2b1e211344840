"""In-band context: the trace and the correlation ID that a message carries in its own JSON.

A message is a JSON object; its top-level fields ``traceparent``, ``tracestate`` (https://www.w3.org/TR/trace-context/)
and ``baggage`` (https://www.w3.org/TR/baggage/) carry the context; the correlation ID is an entry of the baggage.
Anything else is left exactly as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar, cast

from opentelemetry import propagate
from opentelemetry.context import Context

from printobs.core.guard import Guard

TRACEPARENT: Final = "traceparent"
FIELDS: Final = (TRACEPARENT, "tracestate", "baggage")

# Larger text is not read for a context: parsing it would cost the event loop more than a trace is worth.
MAX_TEXT: Final = 262_144
_WHOLE: Final = 1024
_EDGE: Final = 256

# Checked here, since the propagators log what they cannot read, and a message is nobody's to log.
_WELL_FORMED: Final[Mapping[str, re.Pattern[str]]] = {
    TRACEPARENT: re.compile(r"[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z"),
    "tracestate": re.compile(r"[\x20-\x7e]{0,512}\Z"),
    "baggage": re.compile(r"(?=.{1,8192}\Z)[!#$%&'*+\-.^_`|~\w]+=[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*"
                          r"(?:,[!#$%&'*+\-.^_`|~\w]+=[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*)*\Z", re.ASCII),
}  # fmt: skip

_JSON_SPACE: Final = " \t\n\r"

T = TypeVar("T")

_guard: Final = Guard("carrying a context in a message")


def may_carry(message: str | bytes) -> bool:
    """Whether ``message`` looks as if it carried a context; cheap, and blind to most of a long message.

    Up to 1,024 characters are looked through whole, of longer messages the first and the last 256 only: a context
    belongs where `inject` puts it, at the beginning.
    """
    if isinstance(message, str):
        if len(message) > _WHOLE:
            message = message[:_EDGE] + message[-_EDGE:]
        return '"traceparent"' in message or '"baggage"' in message
    if len(message) > _WHOLE:
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


def _fields(incoming: object) -> dict[str, str]:
    if isinstance(incoming, str | bytes | bytearray | memoryview):
        incoming = _parsed(incoming)
    if not isinstance(incoming, Mapping):
        return {}
    found = {name: incoming.get(name) for name in FIELDS}
    return {name: value for name, value in found.items() if isinstance(value, str) and _WELL_FORMED[name].match(value)}


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
