"""The service as a Starlette application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute

import printobs
from examples.service import api, problems, sockets
from examples.service.gateway import Gateway
from examples.service.queue import Queue
from examples.service.settings import Settings

logger = logging.getLogger("service")

SWEEP = 0.5  # seconds between looks for jobs that have waited too long


def build(settings: Settings) -> Starlette:
    """The application; `printobs.configure` comes before, for the metrics endpoint."""
    gateway = Gateway(Queue(settings.queue_limit))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(_sweep(gateway))
        try:
            yield
        finally:
            sweeping.cancel()
            await asyncio.gather(sweeping, return_exceptions=True)

    app = Starlette(
        routes=[
            Route(api.JOBS, api.submit, methods=["POST"]),
            Route(api.JOBS + "/{id}", api.show_job),
            Route("/api/v1/printing/printers", api.show_printers),
            Route("/api/v1/printing/printers/{id}/test", api.test_print, methods=["POST"]),
            Route("/health", api.health),
            printobs.metrics_route(secret=settings.secret, audience=settings.audience),
            WebSocketRoute("/ws/agent", sockets.agent),
            WebSocketRoute("/ws/client", sockets.client),
        ],
        exception_handlers=problems.HANDLERS,
        lifespan=lifespan,
    )
    app.state.settings = settings
    app.state.gateway = gateway
    return app


async def _sweep(gateway: Gateway) -> None:
    while True:
        await asyncio.sleep(SWEEP)
        try:
            await gateway.expire()
        except Exception as error:
            # Without its text and traceback: they may quote a receipt.
            logger.error("looking for overdue jobs failed: %s", type(error).__name__)
