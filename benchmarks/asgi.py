"""An ASGI application, bare, under the contrib middleware alone, and under ours: WebSocket messages and HTTP requests.

No server and no network: what is timed is the application's side alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from benchmarks.pairs import interleaved
from printobs.integrations.asgi import TelemetryMiddleware

Message = MutableMapping[str, Any]
App = Callable[[Any, Any, Any], Awaitable[None]]

_ECHOES = 1_000
_REQUESTS = 100


def _contrib(app: App, tracer_provider: TracerProvider, meter_provider: MeterProvider, **settings: Any) -> App:
    made: App = OpenTelemetryMiddleware(app, tracer_provider=tracer_provider, meter_provider=meter_provider, **settings)
    return made


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event["text"]})


def _echoing(app: App, text: str) -> Callable[[], int]:
    scope = {"type": "websocket", "path": "/ws", "headers": [], "query_string": b"", "server": ("127.0.0.1", 80)}
    connected, received = {"type": "websocket.connect"}, {"type": "websocket.receive", "text": text}

    async def send(_: Message) -> None: ...

    async def connection() -> None:
        left = _ECHOES + 1

        async def receive() -> Message:
            nonlocal left
            left -= 1
            if left == _ECHOES:
                return connected
            return received if left >= 0 else {"type": "websocket.disconnect", "code": 1000}

        await app(dict(scope), receive, send)

    def run() -> int:
        asyncio.run(connection())
        return 2 * _ECHOES

    return run


def messages(providers: tuple[TracerProvider, MeterProvider], rounds: int) -> dict[str, float]:
    """Microseconds for one message, of 100 characters, through an application that echoes it."""
    candidates = {
        "ASGI, bare": _echo,
        "ASGI, printobs": TelemetryMiddleware(_echo),
        "ASGI, opentelemetry-instrumentation-asgi": _contrib(_echo, *providers),
    }
    return interleaved({name: _echoing(app, "x" * 100) for name, app in candidates.items()}, rounds)


async def _hello(_: Request) -> Response:
    return PlainTextResponse("hello")


def requests(providers: tuple[TracerProvider, MeterProvider], rounds: int) -> dict[str, float]:
    """Microseconds for one request to the fifth of eight routes."""
    app = Starlette(routes=[Route(f"/api/v1/{name}/{{id}}", _hello) for name in "abcdefgh"])
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/api/v1/e/4711",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"till.example"), (b"user-agent", b"benchmark"), (b"x-correlation-id", b"order-4711")],
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 50000),
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(_: Message) -> None: ...

    def asking(served: App) -> Callable[[], int]:
        async def ask() -> None:
            for _ in range(_REQUESTS):
                await served(dict(scope), receive, send)

        def run() -> int:
            asyncio.run(ask())
            return _REQUESTS

        return run

    candidates = {
        "bare": app,
        "printobs": TelemetryMiddleware(app),
        "contrib alone, as it comes": _contrib(app, *providers),
        "contrib alone, without spans of receive and send": _contrib(
            app, *providers, exclude_spans=["receive", "send"]
        ),
    }
    return interleaved({name: asking(served) for name, served in candidates.items()}, rounds)
