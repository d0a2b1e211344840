"""What is measured of a WebSocket connection, whichever library carries it.

An `Endpoint` is shared by all connections with the same attributes and holds their bound cells; a `Connection` is
one of them, from its handshake on.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from opentelemetry.metrics import Observation

from printobs.core import clock
from printobs.core.attributes import Bounded, one_of
from printobs.core.cells import PairCell
from printobs.core.conventions import (
    BRANCH,
    CLIENT_TYPE,
    CLOSE_CODE,
    ERROR_TYPE,
    IO_DIRECTION,
    MESSAGE_TYPE,
    QUALITY_LEVEL,
    REFUSAL,
    ClientType,
    Direction,
    MessageType,
    Refusal,
    WebSocketInstruments,
)
from printobs.core.guard import Guard
from printobs.core.locks import Lock
from printobs.core.telemetry import Instruments, Telemetry
from printobs.signals.connection_quality import UNKNOWN, ConnectionQuality, Losses, RoundTrips, rated

# Where an integration keeps its `Connection`: a key of the ASGI scope, an attribute of the library's protocol.
FOLLOWED: Final = "printobs"

_branches: Final = Bounded(BRANCH, 500)
_losses: Final = Losses(1000)

_guard = Guard("recording a WebSocket connection")
_lock: Final = Lock()  # a finaliser that ends a connection may run inside it

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


_REFUSALS: Final[Mapping[int, Refusal]] = {
    401: Refusal.UNAUTHORIZED,
    403: Refusal.FORBIDDEN,
    404: Refusal.NOT_FOUND,
    410: Refusal.NOT_FOUND,
    429: Refusal.RATE_LIMITED,
    503: Refusal.UNAVAILABLE,
}


def refusal(status: int) -> Refusal:
    """What the HTTP status that a handshake was answered with says of why."""
    known = _REFUSALS.get(status)
    if known is not None:
        return known
    return {4: Refusal.PROTOCOL_ERROR, 5: Refusal.ERROR}.get(status // 100, Refusal.OTHER)


def labels(client_type: str | None, branch: str | None) -> dict[str, str]:
    """The bounded labels of who is at the other end; of what is ``None`` or empty there is none."""
    found: dict[str, str] = {}
    if branch:
        found[BRANCH] = _branches(branch)
    if client_type:
        found[CLIENT_TYPE] = one_of(ClientType, client_type, ClientType.OTHER)
    return found


class Shards:
    """Where the messages of an `Endpoint` are counted in one thread: ``[count, bytes]`` by direction and type."""

    __slots__ = ("received_binary", "received_text", "sent_binary", "sent_text", "thread")

    def __init__(self, endpoint: Endpoint, thread: int) -> None:
        self.thread = thread
        self.received_text = endpoint.received_text.shard(thread)
        self.received_binary = endpoint.received_binary.shard(thread)
        self.sent_text = endpoint.sent_text.shard(thread)
        self.sent_binary = endpoint.sent_binary.shard(thread)


class Endpoint:
    """What connections of one side with the same attributes share.

    ``received`` and ``sent`` give the cell to add a message's payload bytes to, by `MessageType`; bind them once.
    """

    __slots__ = (
        "_instruments",
        "_names",
        "_shards",
        "active",
        "attributes",
        "census",
        "received_binary",
        "received_text",
        "sent_binary",
        "sent_text",
        "telemetry",
    )  # fmt: skip

    def __init__(self, telemetry: Telemetry, names: WebSocketInstruments, attributes: Mapping[str, str]) -> None:
        self.telemetry = telemetry
        self.attributes = dict(attributes)
        self._names = names
        self._instruments = telemetry.instruments
        self.active = self._instruments.cells(names.active_connections).cell(self.attributes)
        self.census = _census(self._instruments, names)
        pairs = self._instruments.pairs(names.messages)

        def cell(direction: Direction, kind: MessageType) -> PairCell:
            return pairs.cell({**self.attributes, IO_DIRECTION: direction.value, MESSAGE_TYPE: kind.value})

        self.received_text = cell(Direction.RECEIVE, MessageType.TEXT)
        self.received_binary = cell(Direction.RECEIVE, MessageType.BINARY)
        self.sent_text = cell(Direction.TRANSMIT, MessageType.TEXT)
        self.sent_binary = cell(Direction.TRANSMIT, MessageType.BINARY)
        self._shards: dict[int, Shards] = {}

    def shards(self, thread: int) -> Shards:
        """Those of ``thread``, for who counts in that one only; all its connections share them."""
        found = self._shards.get(thread)
        return self._shards.setdefault(thread, Shards(self, thread)) if found is None else found

    def labelled(self, labels: Mapping[str, str]) -> Endpoint:
        """The endpoint of connections that have ``labels`` besides, or instead: those that this side knows."""
        known = self._names.active_connections.attributes
        ours = {name: value for name, value in labels.items() if name in known}
        return endpoint(self.telemetry, self._names, {**self.attributes, **ours})

    def failed(self, error_type: str) -> None:
        """Count a handshake that was refused or failed: ``error_type`` is the HTTP status or a bounded name."""
        with _guard:
            self._instruments.counter(self._names.connection_errors).add(1, {**self.attributes, ERROR_TYPE: error_type})

    def refused(self, reason: Refusal) -> None:
        """Count a handshake that was answered, but not with 101."""
        with _guard:
            self._instruments.counter(self._names.refusals).add(1, {**self.attributes, REFUSAL: reason.value})

    def closed(self, seconds: float, code: int | None, error_type: str | None) -> None:
        """Count the end of a connection that was open for ``seconds``."""
        with _guard:
            attributes = {**self.attributes, CLOSE_CODE: close_code(code)}
            self._instruments.counter(self._names.disconnections).add(1, attributes)
            self._instruments.histogram(self._names.connection_duration).record(seconds, attributes)
            if error_type is not None:
                self.failed(error_type)

    def pinged(self, seconds: float) -> None:
        """Record the round trip of a ping."""
        with _guard:
            self._instruments.histogram(self._names.ping_duration).record(seconds, self.attributes)


class Connection:
    """One connection, from its handshake on; it ends once, however often `closed` is called. Any thread may call it."""

    __slots__ = ("__weakref__", "_client", "_opened_at", "_reason", "_round_trips", "endpoint")

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._client: str | None = None
        self._opened_at: float | None = None
        self._reason: Refusal | None = None
        self._round_trips: RoundTrips | None = None

    def identify(self, labels: Mapping[str, str], client: str | None = None) -> None:
        """It is counted under ``labels`` from now on, as open too; ``client`` is the name its losses are known by."""
        with _lock:
            before, self.endpoint = self.endpoint, self.endpoint.labelled(labels)
            if self._opened_at is not None:
                before.active.add(-1)
                self.endpoint.active.add()
            self._client = client or self._client

    def because(self, reason: Refusal) -> None:
        """Why its handshake is about to be refused, where the status says too little."""
        self._reason = reason

    def refused(self, status: int, reason: Refusal | None = None) -> None:
        """Count a handshake that was answered with another HTTP status than 101; ``reason``: what is known of why."""
        self.endpoint.refused(self._reason or reason or refusal(status))
        self.endpoint.failed(str(status))

    def opened(self) -> None:
        """Count a connection that was accepted."""
        with _lock:
            self._opened_at = clock.monotonic()
            self.endpoint.active.add()
            self.endpoint.census.add(self)

    def closed(self, code: int | None, error_type: str | None = None) -> None:
        """Count the end: ``code`` as in RFC 6455 section 7.4 (``None``: the peer vanished, 1006)."""
        error_type = error_type or ABNORMAL.get(1006 if code is None else code)
        with _lock:
            opened_at, self._opened_at = self._opened_at, None
            if opened_at is None:
                return
            self.endpoint.active.add(-1)
            self.endpoint.census.remove(self)
            if error_type is not None and self._client is not None:
                _losses.lost(self._client)
        self.endpoint.closed(clock.monotonic() - opened_at, code, error_type)

    def ping(self, seconds: float) -> None:
        """Record the round trip of a ping, in seconds."""
        self.endpoint.pinged(seconds)
        self._heard(seconds)

    def newest_round_trip(self) -> float:
        """That of the last ping, where something else sends them and does not say so; 0 where nothing does."""
        return 0.0

    def quality(self) -> ConnectionQuality:
        """How well it works now."""
        newest = self.newest_round_trip()
        if newest > 0.0:
            self._heard(newest)
        smoothed = None if self._round_trips is None else self._round_trips.smoothed()
        return UNKNOWN if smoothed is None else rated(smoothed, _losses.recent(self._client))

    def _heard(self, seconds: float) -> None:
        if self._round_trips is None:
            self._round_trips = RoundTrips()
        self._round_trips.heard(seconds)


class Census:
    """The open connections of one side, which are counted by level when they are collected.

    Not by event: a connection on which nothing is heard any more changes its level without one.
    """

    def __init__(self) -> None:
        # Weakly: a connection that is never closed, as its event loop was, is not kept for that.
        self._open: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._seen: dict[tuple[tuple[str, str], ...], None] = {}

    def add(self, connection: Connection) -> None:
        """It is open."""
        self._open.add(connection)

    def remove(self, connection: Connection) -> None:
        """It is not any more."""
        self._open.discard(connection)

    def read(self) -> Iterable[Observation]:
        """How many are in each level; 0 where one has been: who collects may add up differences."""
        found: Counter[tuple[tuple[str, str], ...]] = Counter(dict.fromkeys(self._seen, 0))
        with _lock:
            connections = list(self._open)
        levels = Counter((each.endpoint, each.quality().level) for each in connections)
        for (where, level), number in levels.items():
            found[(*sorted(where.attributes.items()), (QUALITY_LEVEL, level.value))] += number
        self._seen.update(dict.fromkeys(found))
        return [Observation(number, dict(attributes)) for attributes, number in found.items()]


_MAX_ENDPOINTS: Final = 500
_endpoints: dict[tuple[int, str, tuple[tuple[str, str], ...]], Endpoint] = {}
_censuses: weakref.WeakKeyDictionary[Instruments, dict[str, Census]] = weakref.WeakKeyDictionary()


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


def _census(instruments: Instruments, names: WebSocketInstruments) -> Census:
    with _lock:
        sides = _censuses.setdefault(instruments, {})
        if names.side not in sides:
            sides[names.side] = Census()
            instruments.readings(names.quality_level).add(sides[names.side], Census.read)
    return sides[names.side]
