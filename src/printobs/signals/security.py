"""What an application has refused, and why: `security` counts it, under labels that nobody outside can multiply."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from opentelemetry.metrics import Observation

from printobs.core import conventions, telemetry
from printobs.core.attributes import Bounded, one_of
from printobs.core.conventions import (
    AUTHENTICATION_FAILURE,
    ORIGIN,
    OTHER,
    PROTOCOL,
    RATE_LIMIT,
    SECURITY_EVENT,
    SEVERITY,
    AuthenticationFailure,
    Instrument,
    Protocol,
    RateLimit,
    SecurityEvent,
    Severity,
)
from printobs.core.guard import Guard

T = TypeVar("T")

_guard: Final = Guard("counting what concerns security")

# What a browser sends (RFC 6454, section 7.1); anything else was typed by somebody, and may be anything.
_ORIGIN: Final = re.compile(r"null|[a-z][a-z0-9+.-]{0,15}://[a-z0-9._\[\]:-]{1,100}")

_SEVERITY: Final[Mapping[str, Severity]] = {
    AuthenticationFailure.MISSING: Severity.LOW,
    AuthenticationFailure.EXPIRED: Severity.LOW,
    AuthenticationFailure.SIGNATURE: Severity.HIGH,
}


class Security:
    """Counts on the telemetry in use. Any thread may call it; nothing here raises."""

    def __init__(self) -> None:
        self._origins = Bounded(ORIGIN, 20, max_length=120)
        self._events = Bounded(SECURITY_EVENT, 32)

    def authentication_failed(self, reason: str) -> None:
        """A request had no token that was good for it: ``reason`` is one of `AuthenticationFailure`, or ``_OTHER``."""
        with _guard:
            reason = one_of(AuthenticationFailure, reason)
            _count(conventions.SECURITY_AUTHENTICATION_FAILURES, {AUTHENTICATION_FAILURE: reason})
            self.event(SecurityEvent.AUTHENTICATION_FAILURE, _SEVERITY.get(reason, Severity.MEDIUM))

    def origin_refused(self, origin: str, protocol: str = Protocol.HTTP) -> None:
        """A page of ``origin`` may not send requests (CORS), or with ``protocol="websocket"`` open a WebSocket."""
        with _guard:
            origin = origin[:200].lower()
            shown = self._origins(origin) if _ORIGIN.fullmatch(origin) else OTHER
            attributes = {ORIGIN: shown, PROTOCOL: one_of(Protocol, protocol)}
            _count(conventions.SECURITY_ORIGINS_REFUSED, attributes)
            self.event(SecurityEvent.ORIGIN_REFUSED, Severity.HIGH)

    def rate_limited(self, kind: str) -> None:
        """A rate limit has refused something: ``kind`` is one of `RateLimit`, or ``_OTHER``."""
        with _guard:
            _count(conventions.SECURITY_RATE_LIMIT_TRIGGERS, {RATE_LIMIT: one_of(RateLimit, kind)})
            self.event(SecurityEvent.RATE_LIMIT, Severity.MEDIUM)

    def event(self, kind: str, severity: str) -> None:
        """Something happened that may be an attack: the application's name for it, and one of `Severity`."""
        with _guard:
            attributes = {SECURITY_EVENT: self._events(kind), SEVERITY: one_of(Severity, severity)}
            _count(conventions.SECURITY_EVENTS, attributes)

    def limited_clients(self, source: T, count: Callable[[T], int]) -> None:
        """``count(source)``, at each collection, is how many clients are limited just then.

        It must not block. Once an application; ``source`` is held weakly, and its series ends with it.
        """
        with _guard:
            readings = telemetry.current().instruments.readings(conventions.SECURITY_RATE_LIMIT_CLIENTS)
            readings.add(source, lambda each: [Observation(count(each), {})])


def _count(instrument: Instrument, attributes: Mapping[str, str]) -> None:
    telemetry.current().instruments.counter(instrument).add(1, attributes)


security: Final = Security()
