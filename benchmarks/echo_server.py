"""The server of the WebSocket echo: ``python -m benchmarks.echo_server --as printobs --loop asyncio --http h11``.

The same Starlette application under a real uvicorn, bare or under one of the middlewares. It says its port as one line
of JSON, then answers each line of its input with one: what it has used, and what it has emitted, until then.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket, WebSocketDisconnect

Emitted = Callable[[], dict[str, float]]

SETTLED: Final = 0.02


async def echo(websocket: WebSocket) -> None:
    """Give every message back."""
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect:
        pass


# -- the kinds: each imports what it needs and no more, since its memory is measured ---------------------------------


def _bare(app: Starlette) -> tuple[ASGIApp, Emitted]:
    return app, lambda: {"messages": 0, "spans": 0}


def _printobs(app: Starlette) -> tuple[ASGIApp, Emitted]:
    from benchmarks.providers import Providers
    from printobs import TelemetryMiddleware
    from printobs.core import telemetry

    providers = Providers()
    telemetry.bind(telemetry.telemetry(providers.traces, providers.metrics))
    messages = providers.points("websocket.server.messages")
    return TelemetryMiddleware(app), lambda: {"messages": messages(), "spans": providers.spans()}


def _contrib(app: Starlette) -> tuple[ASGIApp, Emitted]:
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

    from benchmarks.providers import Providers

    providers = Providers()
    made = OpenTelemetryMiddleware(app, tracer_provider=providers.traces, meter_provider=providers.metrics)
    return made, lambda: {"messages": 0, "spans": providers.spans()}  # it has no metrics of messages


KINDS: Final = {"bare": _bare, "printobs": _printobs, "contrib": _contrib}


# -- what it says ----------------------------------------------------------------------------------------------------


def resident() -> int:
    """Bytes that this process has in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _report(emitted: Emitted) -> dict[str, Any]:
    """What was used until now. What the report itself uses lies between ``cpu_until`` and ``cpu_from``."""
    counts = emitted()  # exports what waits: that is part of what a message costs
    until = time.process_time()
    gc.collect()  # what the connections keep counts, not what happens to wait for the collector
    return {"cpu_until": until, "resident": resident(), **counts, "cpu_from": time.process_time()}


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


class _Server(uvicorn.Server):
    """Says its port once it serves, and answers from then on."""

    def __init__(self, config: uvicorn.Config, emitted: Emitted) -> None:
        super().__init__(config)
        self._emitted = emitted

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        _say({"port": self.servers[0].sockets[0].getsockname()[1]})
        threading.Thread(target=self._answer, args=(asyncio.get_running_loop(),), daemon=True).start()

    def _answer(self, loop: asyncio.AbstractEventLoop) -> None:
        for _ in sys.stdin:
            asyncio.run_coroutine_threadsafe(self._report(), loop).result()
        self.should_exit = True  # whoever started it is gone

    async def _report(self) -> None:
        # The client has the last byte, and this process may still be busy with what comes after sending it.
        await asyncio.sleep(SETTLED)
        _say(_report(self._emitted))


def allow_connections(count: int) -> None:
    """As many open files as the system grants; SystemExit where ``count`` connections do not fit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < count + 100:
        raise SystemExit(f"{count} connections do not fit: this process may have {hard} files open (ulimit -Hn)")


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.echo_server")
    parser.add_argument("--as", dest="kind", choices=KINDS, required=True)
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], required=True)
    parser.add_argument("--http", choices=["h11", "httptools"], required=True)
    parser.add_argument("--connections", type=int, default=1, help="how many have to fit")
    options = parser.parse_args()
    allow_connections(options.connections)
    app, emitted = KINDS[options.kind](Starlette(routes=[WebSocketRoute("/ws", echo)]))
    config = uvicorn.Config(
        app,
        port=0,
        loop=options.loop,  # never "auto": that takes whatever is installed
        http=options.http,
        ws="websockets-sansio",  # what "auto" takes where websockets is installed
        lifespan="on",
        log_level="warning",
    )
    _Server(config, emitted).run()


if __name__ == "__main__":
    main()
