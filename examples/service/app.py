"""The service as a Starlette application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route, WebSocketRoute

import printobs
from examples import certificates
from examples.service import api_jobs, api_printers, cors, diary, openapi, problems, sockets
from examples.service.api_jobs import JOBS
from examples.service.api_printers import AGENTS, PRINTERS
from examples.service.clients import Clients
from examples.service.database import Database
from examples.service.gateway import Gateway
from examples.service.measures import Measures
from examples.service.records import Changes
from examples.service.settings import Settings
from examples.service.throttle import Throttle, Throttled
from examples.service.traces import Traces
from examples.service.writer import Unavailable

logger = logging.getLogger("service")

SWEEP: Final = 0.5  # seconds between looks for jobs that have waited too long
DAY: Final = 86_400.0  # seconds


def build(settings: Settings, database: Database) -> Starlette:
    """The application; `printobs.configure` comes before, for the metrics endpoint."""
    gateway = Gateway(database, Traces(database.clock, settings.trace_seconds), settings.opening_hours)
    clients = Clients(gateway.online)
    throttle = Throttle(settings)
    measures = Measures(database.clock)
    measures.take(database.jobs.standing(), standing=True)  # nothing has been written yet

    def committed(changes: Changes) -> None:
        clients.publish(changes.happenings)
        measures.take(changes)
        diary.tell(changes.events)

    database.committed = committed

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(each) for each in (_sweep(settings, database, gateway), certificates.watch())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    app = Starlette(
        routes=[
            Route(JOBS, api_jobs.submit, methods=["POST"]),
            Route(JOBS, api_jobs.listed),
            Route(JOBS + "/{id}", api_jobs.show),
            Route(JOBS + "/{id}/cancel", api_jobs.cancel, methods=["POST"]),
            Route(JOBS + "/{id}/reprint", api_jobs.reprint, methods=["POST"]),
            Route(JOBS + "/{id}/release", api_jobs.release, methods=["POST"]),
            Route(PRINTERS, api_printers.printers),
            Route(PRINTERS + "/{id}/test", api_jobs.test_print, methods=["POST"]),
            Route(PRINTERS + "/{id}/reassign", api_printers.reassign, methods=["POST"]),
            Route(PRINTERS + "/{id}/retire", api_printers.retire_printer, methods=["POST"]),
            Route(AGENTS, api_printers.agents),
            Route(AGENTS + "/{branch}/{name}/retire", api_printers.retire_agent, methods=["POST"]),
            Route("/health", api_printers.health),
            Route("/health/ready", api_printers.health),
            Route("/health/live", api_printers.live),
            Route("/openapi.json", openapi.show),
            printobs.metrics_route(secret=settings.secret, audience=settings.audience),
            WebSocketRoute("/ws/agent", sockets.agent),
            WebSocketRoute("/ws/client", sockets.client),
        ],
        # A page is told by CORS that it is throttled.
        middleware=[cors.middleware(settings), Middleware(Throttled, throttle=throttle)],
        exception_handlers=problems.HANDLERS,
        lifespan=lifespan,
    )
    app.state.settings = settings
    app.state.database = database
    app.state.gateway = gateway
    app.state.clients = clients
    app.state.throttle = throttle
    app.state.ready, app.state.probed_at = True, float("-inf")
    return app


async def _sweep(settings: Settings, database: Database, gateway: Gateway) -> None:
    while True:
        await asyncio.sleep(SWEEP)
        try:
            database.clock.follow()
            await gateway.sweep(settings.answer_grace)
            await database.write(database.jobs.prune, settings.keep_days * DAY)
        except Unavailable:
            pass  # the writer has said so; the next look comes soon
        except Exception as error:
            # Without its text and traceback: they may quote a receipt.
            logger.error("looking for overdue jobs failed: %s", type(error).__name__)
