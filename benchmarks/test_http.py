"""An HTTP request to the fifth of eight routes: no server and no network, the application's side alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from starlette.applications import Starlette
from starlette.middleware.opentelemetry import OpenTelemetryMiddleware as StarletteMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from benchmarks.providers import Providers
from benchmarks.rows import Candidate, Gate, Rows, beside
from printobs.integrations.asgi import TelemetryMiddleware

App = Callable[[Any, Any, Any], Awaitable[None]]

REQUESTS: Final = 100
BUDGET: Final = "an HTTP request: 1.05 times opentelemetry-instrumentation-asgi alone"
CONTRIB: Final = "opentelemetry-instrumentation-asgi, as it comes"
DURATION: Final = "http.server.request.duration"


async def hello(_: Request) -> Response:
    return PlainTextResponse("hello")


def asking(app: App) -> Callable[[], int]:
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

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(_: MutableMapping[str, Any]) -> None: ...

    async def ask() -> None:
        for _ in range(REQUESTS):
            await app(dict(scope), receive, send)

    def run() -> int:
        asyncio.run(ask())
        return REQUESTS

    return run


def test_request(rows: Rows, providers: Providers) -> None:
    app = Starlette(routes=[Route(f"/api/v1/{name}/{{id}}", hello) for name in "abcdefgh"])
    given = {"tracer_provider": providers.traces, "meter_provider": providers.metrics}
    lean = OpenTelemetryMiddleware(app, **given, exclude_spans=["receive", "send"])  # type: ignore[arg-type]
    old = "http.server.duration"  # contrib's names by default are those before the stable conventions
    rows.compare(
        "HTTP request",
        {
            "bare": Candidate(asking(app)),
            "printobs": Candidate(asking(TelemetryMiddleware(app)), providers.points(DURATION)),
            CONTRIB: Candidate(asking(OpenTelemetryMiddleware(app, **given)), providers.points(old, DURATION)),  # type: ignore[arg-type]
            "the same, without spans of receive and send": Candidate(asking(lean), providers.spans),
            "Starlette's own OpenTelemetryMiddleware": Candidate(
                asking(StarletteMiddleware(app, **given)),  # type: ignore[arg-type]
                providers.spans,
            ),
        },
        [Gate("by contrib's", beside("printobs", CONTRIB), 1.05, BUDGET)],
    )
