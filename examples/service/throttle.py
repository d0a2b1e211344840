"""How often a client may ask: so many times a minute from one address, and apart from that with one token."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

import printobs
from examples.service.problems import Problem
from examples.service.settings import Settings

REQUEST: Final = "request"
HANDSHAKE: Final = "handshake"
MESSAGE: Final = "message"
_SETTING: Final = {
    REQUEST: "SERVICE_RATE_REQUESTS",
    HANDSHAKE: "SERVICE_RATE_HANDSHAKES",
    MESSAGE: "SERVICE_RATE_MESSAGES",
}

CLIENTS: Final = 20_000  # windows that are remembered: a flood from more addresses makes room with the oldest


@dataclass(slots=True)
class _Window:
    ends_at: float
    count: int = 0


class Windows(Storage):
    """Fixed windows of one length, in memory, at most `CLIENTS`.

    The library's own storage has no bound, starts a thread every few hits, and counts by a clock that can be set.
    """

    STORAGE_SCHEME = None

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__()
        self._now = now
        # The oldest first, which are those that end first; a plain dict is slow to find its first after many removals.
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    @property
    def base_exceptions(self) -> tuple[type[Exception], ...]:
        """What it raises: nothing."""
        return ()

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Count, in the window of ``key``, which is ``expiry`` seconds long."""
        window = self._current(key)
        if window is None:
            self._windows.pop(key, None)
            if len(self._windows) >= CLIENTS:
                self._windows.popitem(last=False)
            window = self._windows[key] = _Window(self._now() + expiry)
        window.count += amount
        return window.count

    def get(self, key: str) -> int:
        """What was counted in the current window."""
        window = self._current(key)
        return 0 if window is None else window.count

    def get_expiry(self, key: str) -> float:
        """When the current window ends."""
        window = self._current(key)
        return self._now() if window is None else window.ends_at

    def check(self) -> bool:
        """It is there."""
        return True

    def reset(self) -> int:
        """Forget all; how many windows."""
        number = len(self._windows)
        self._windows.clear()
        return number

    def clear(self, key: str) -> None:
        """Forget one."""
        self._windows.pop(key, None)

    def _current(self, key: str) -> _Window | None:
        window = self._windows.get(key)
        return window if window is not None and window.ends_at > self._now() else None


class Throttle:
    """The limits, on the event loop; without one (0) everything passes. ``now`` is in seconds."""

    def __init__(self, settings: Settings, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._limiter = FixedWindowRateLimiter(Windows(now))
        numbers = {
            REQUEST: settings.rate_requests,
            HANDSHAKE: settings.rate_handshakes,
            MESSAGE: settings.rate_messages,
        }
        self._limits: Mapping[str, RateLimitItem] = {
            kind: RateLimitItemPerMinute(number, namespace=kind) for kind, number in numbers.items() if number
        }
        self._limited: OrderedDict[tuple[str, str], float] = OrderedDict()  # until when
        printobs.security.limited_clients(self, Throttle.limited)

    def admit(self, kind: str, by: str, client: str) -> None:
        """Count one more; raises `Problem` where that is too many. ``by`` says what ``client`` is: address or token."""
        limit = self._limits.get(kind)
        if limit is None or self._limiter.hit(limit, by, client):
            return
        until = self._limiter.get_window_stats(limit, by, client).reset_time
        self._limited.pop((by, client), None)
        if len(self._limited) >= CLIENTS:
            self._limited.popitem(last=False)
        self._limited[by, client] = until
        printobs.security.rate_limited(kind)
        wait = str(max(1, math.ceil(until - self._now())))
        detail = (
            f"more than {limit.amount} {kind}s a minute from this {by}: wait {wait} s, or have {_SETTING[kind]} raised"
        )
        raise Problem(429, by, detail, {"Retry-After": wait})

    def limited(self) -> int:
        """How many clients are refused just now; from any thread."""
        now = self._now()
        return sum(until > now for until in list(self._limited.values()))


def address(connection: HTTPConnection) -> str:
    """Where a request is from: an IPv4 address, or the IPv6 network of 64 bits that one client has for itself."""
    try:
        host = ip_address("" if connection.client is None else connection.client.host)
    except ValueError:
        return "unknown"  # a Unix socket; or what a proxy has sent
    if not isinstance(host, IPv6Address):
        return str(host)
    return str(host.ipv4_mapped or IPv6Network((host.packed[:8] + bytes(8), 64)))


class Throttled:
    """Refuse the HTTP requests of an address that sends too many, before anything else is done for them."""

    def __init__(self, app: ASGIApp, throttle: Throttle) -> None:
        self._app = app
        self._throttle = throttle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "http":
            try:
                self._throttle.admit(REQUEST, "address", address(HTTPConnection(scope)))
            except Problem as problem:
                await problem.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)
