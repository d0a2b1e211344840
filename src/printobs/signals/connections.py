"""What is measured of a WebSocket connection, whichever library carries it.

An `Endpoint` is shared by all connections with the same attributes and holds their bound cells; a `Connection` is
one of them.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final

from printobs.core import clock
from printobs.core.cells import PairCell
from printobs.core.conventions import (
    CLOSE_CODE,
    ERROR_TYPE,
    IO_DIRECTION,
    MESSAGE_TYPE,
    Direction,
    MessageType,
    WebSocketInstruments,
)
from printobs.core.guard import Guard
from printobs.core.telemetry import Telemetry

_guard = Guard("recording a WebSocket connection")

# https://www.iana.org/assignments/websocket/websocket.xml
REGISTERED: Final = frozenset({*range(1000, 1004), *range(1005, 1016), 3000, 3003, 3008})

# A connection that ends so has failed; the rest are ends that somebody meant. RFC 6455, section 7.4.1.
ABNORMAL: Final[Mapping[int, str]] = {
    1002: "protocol_error",
    1003: "unsupported_data",
    1006: "abnormal_closure",
    1007: "invalid_data",
    1008: "policy_violation",
    1009: "message_too_big",
    1010: "mandatory_extension",
    1011: "internal_error",
    1014: "bad_gateway",
    1015: "tls_handshake",
}


def close_code(code: int | None) -> str:
    """``websocket.close.code`` as a label: a registered code, ``private`` (4000 to 4999) or ``other``; none is 1006."""
    if code is None:
        return "1006"
    if code in REGISTERED:
        return str(int(code))
    return "private" if 4000 <= code <= 4999 else "other"


class Endpoint:
    """What connections of one side with the same attributes share.

    ``received`` and ``sent`` give the cell to add a message's payload bytes to, by `MessageType`; bind them once.
    """

    __slots__ = (
        "_active",
        "_attributes",
        "_instruments",
        "_names",
        "received_binary",
        "received_text",
        "sent_binary",
        "sent_text",
        "telemetry",
    )  # fmt: skip

    def __init__(self, telemetry: Telemetry, names: WebSocketInstruments, attributes: Mapping[str, str]) -> None:
        self.telemetry = telemetry
        self._names = names
        self._attributes = dict(attributes)
        self._instruments = telemetry.instruments
        self._active = self._instruments.cells(names.active_connections).cell(self._attributes)
        pairs = self._instruments.pairs(names.messages)

        def cell(direction: Direction, kind: MessageType) -> PairCell:
            return pairs.cell({**self._attributes, IO_DIRECTION: direction.value, MESSAGE_TYPE: kind.value})

        self.received_text = cell(Direction.RECEIVE, MessageType.TEXT)
        self.received_binary = cell(Direction.RECEIVE, MessageType.BINARY)
        self.sent_text = cell(Direction.TRANSMIT, MessageType.TEXT)
        self.sent_binary = cell(Direction.TRANSMIT, MessageType.BINARY)

    def opened(self) -> Connection:
        """Count a connection that was accepted."""
        self._active.add()
        return Connection(self)

    def failed(self, error_type: str) -> None:
        """Count a handshake that was refused or failed: ``error_type`` is the HTTP status or a bounded name."""
        with _guard:
            self._instruments.counter(self._names.connection_errors).add(
                1, {**self._attributes, ERROR_TYPE: error_type}
            )

    def _closed(self, seconds: float, code: int | None, error_type: str | None) -> None:
        self._active.add(-1)
        with _guard:
            label = close_code(code)
            attributes = {**self._attributes, CLOSE_CODE: label}
            self._instruments.counter(self._names.disconnections).add(1, attributes)
            self._instruments.histogram(self._names.connection_duration).record(seconds, attributes)
            error_type = error_type or ABNORMAL.get(1006 if code is None else code)
            if error_type is not None:
                self.failed(error_type)

    def _pinged(self, seconds: float) -> None:
        with _guard:
            self._instruments.histogram(self._names.ping_duration).record(seconds, self._attributes)


class Connection:
    """One open connection; it ends once, however often `closed` is called."""

    __slots__ = ("_opened_at", "endpoint")

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._opened_at: float | None = clock.monotonic()

    def closed(self, code: int | None, error_type: str | None = None) -> None:
        """Count the end: ``code`` as in RFC 6455 section 7.4 (``None``: the peer vanished, 1006)."""
        opened_at, self._opened_at = self._opened_at, None
        if opened_at is not None:
            self.endpoint._closed(clock.monotonic() - opened_at, code, error_type)

    def ping(self, seconds: float) -> None:
        """Record the round trip of a ping, in seconds."""
        self.endpoint._pinged(seconds)


_MAX_ENDPOINTS: Final = 500
_lock = threading.Lock()
_endpoints: dict[tuple[int, str, tuple[tuple[str, str], ...]], Endpoint] = {}


def endpoint(telemetry: Telemetry, names: WebSocketInstruments, attributes: Mapping[str, str]) -> Endpoint:
    """The endpoint of ``attributes`` (bounded by the caller), made on first use."""
    key = (id(telemetry), names.side, tuple(sorted(attributes.items())))
    found = _endpoints.get(key)
    if found is None or found.telemetry is not telemetry:
        with _lock:
            if len(_endpoints) >= _MAX_ENDPOINTS:
                # Only a cache: cells are held, capped and shared by their family, so nothing is counted anew.
                _endpoints.clear()
            found = _endpoints[key] = Endpoint(telemetry, names, attributes)
    return found
