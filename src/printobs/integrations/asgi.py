"""ASGI applications: HTTP by the contrib instrumentation with routes and correlation IDs, WebSockets by our own.

Starlette is instrumented as a class, so that applications made before and after are all seen; any other application
is wrapped in `TelemetryMiddleware`. A request is followed once, by the outermost of them.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Awaitable
from typing import Any, Final, Literal

from starlette.applications import Starlette
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from printobs.core import telemetry
from printobs.core.flushing import flush
from printobs.core.guard import Guard
from printobs.core.telemetry import Telemetry
from printobs.integrations import asgi_http, asgi_route, asgi_websocket
from printobs.integrations.asgi_websocket import WebSocket
from printobs.signals.connections import FOLLOWED
from printobs.signals.event_loop import watch_event_loop

# Seconds that a server may wait at its end for what its last requests have left.
_FLUSH: Final = 3.0

_guard: Final = Guard("following an ASGI request")


class TelemetryMiddleware:
    """Follow the HTTP requests and the WebSockets of any ASGI application.

    HTTP: a server span and ``http.server.*`` with ``http.route`` (where the application has Starlette's routes), and
    a correlation ID: that of ``X-Correlation-ID``, of the baggage or of ``X-Request-ID`` where it is well formed,
    else a new one; returned as both headers unless the application has set them.

    WebSocket: a span for the handshake, which ends when it is accepted, and ``websocket.server.*``. A message that
    carries a sampled context (see `printobs.inject`) is handled in a span that continues it. ``messages="all"``: so
    is one that carries none, in a span of its own that is linked to the handshake.

    Lifespan: how late the event loop is, from the application's start (see `printobs.watch_event_loop`). At its end
    what is waiting is exported, for three seconds at most, since uvicorn ends by its signal.

    Raises ValueError for any other ``messages``. What it wraps sees the same events, and its exceptions pass.
    """

    def __init__(self, app: ASGIApp, *, messages: Literal["sampled", "all"] = "sampled") -> None:
        if messages not in ("sampled", "all"):
            raise ValueError(f'messages is "sampled" or "all", not {messages!r}')
        self.app = app
        self._every = messages == "all"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection (https://asgi.readthedocs.io/en/latest/specs/www.html)."""
        followed = self._websocket(scope, receive, send)
        if followed is None:
            await self._other(scope, receive, send)
            return
        try:
            await self.app(scope, followed.receive, followed.send)
        except BaseException:
            followed.returned(sys.exception())
            raise
        followed.returned()

    def _websocket(self, scope: Scope, receive: Receive, send: Send) -> WebSocket | None:
        return _websocket(telemetry.current(), self.app, scope, receive, send, every=self._every)

    def _other(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return _follow(telemetry.current(), self.app, self.app, scope, receive, send)


# What awaits a connection has no coroutine, no name and no argument more than it must: each idle one keeps them.


def _websocket(
    bound: Telemetry, routed: object, scope: Scope, receive: Receive, send: Send, *, every: bool = False
) -> WebSocket | None:
    """The WebSocket of ``scope``; ``None`` where it is none, or is followed already. Tell it when it was served."""
    if scope["type"] != "websocket" or FOLLOWED in scope:
        return None
    scope[FOLLOWED] = None
    known, route = _routed(routed, scope)
    return asgi_websocket.follow(bound, route, scope, receive, send, routed=known, every=every)


def _follow(
    bound: Telemetry, routed: object, app: ASGIApp, scope: Scope, receive: Receive, send: Send
) -> Awaitable[None]:
    """``app`` followed where ``scope`` is a request or the lifespan, else ``app`` alone."""
    kind = scope["type"]
    # In a scope that is followed already: mounted applications come here again.
    if FOLLOWED in scope or kind not in ("http", "lifespan"):
        return app(scope, receive, send)
    scope[FOLLOWED] = None
    if kind == "lifespan":
        with _guard:
            watch_event_loop()
        return app(scope, receive, functools.partial(_flushed_first, send))
    _, route = _routed(routed, scope)
    return asgi_http.serve(bound, app, route, scope, receive, send)


def _routed(routed: object, scope: Scope) -> tuple[bool, str | None]:
    """Whether ``routed`` has routes that can be read, and the template of the one that takes ``scope``."""
    routes = route = None
    with _guard:
        routes = asgi_route.routes(routed)
        route = None if routes is None else asgi_route.template(routes, scope)
    return routes is not None, route


async def _flushed_first(send: Send, message: Message) -> None:
    # Once a server has this it ends, uvicorn by the signal it was given: nothing that is done at exit would be.
    if message["type"].startswith("lifespan.shutdown."):
        await flush(_FLUSH)
    await send(message)


_original: Any = None
_patched: Any = None


def instrument(bound: Telemetry) -> None:
    """Follow every Starlette application with ``bound``; twice is once."""
    global _original, _patched
    if _original is not None:
        return
    original = vars(Starlette)["__call__"]

    def websocket(self: Starlette, scope: Scope, receive: Receive, send: Send) -> WebSocket | None:
        return _websocket(bound, self, scope, receive, send)

    def other(self: Starlette, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return _follow(bound, self, functools.partial(original, self), scope, receive, send)

    @functools.wraps(original)
    async def call(self: Starlette, scope: Scope, receive: Receive, send: Send) -> None:
        if _patched is not call:  # undone, but held by whoever patched after us
            await original(self, scope, receive, send)
            return
        followed = websocket(self, scope, receive, send)
        if followed is None:
            await other(self, scope, receive, send)
            return
        try:
            await original(self, scope, followed.receive, followed.send)
        except BaseException:
            followed.returned(sys.exception())
            raise
        followed.returned()

    _original, _patched = original, call
    Starlette.__call__ = call  # type: ignore[method-assign]


def uninstrument() -> None:
    """Undo `instrument`."""
    global _original, _patched
    if _original is not None:
        # Whoever patched after us holds ours, and theirs stays.
        if vars(Starlette)["__call__"] is _patched:
            Starlette.__call__ = _original  # type: ignore[method-assign]
        _original = _patched = None
