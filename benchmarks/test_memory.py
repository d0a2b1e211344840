"""What an idle connection keeps in memory."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from websockets.protocol import Protocol
from websockets.server import ServerProtocol

from benchmarks.peers import MIDDLEWARE_BY_HAND, App, middleware
from benchmarks.providers import Providers
from benchmarks.rows import Gate, Round, Rows, both_over_bare
from benchmarks.test_messages import CONTRIB, protocol
from printobs.core import telemetry
from printobs.integrations import websockets_endpoints as endpoints
from printobs.integrations.asgi import TelemetryMiddleware
from printobs.integrations.websockets_protocols import CountedServer

CONNECTIONS: Final = 1_000
ROUNDS: Final = 3
BUDGET: Final = "memory of an idle connection: 1 KB"


@pytest.fixture
def bound(providers: Providers) -> Iterator[Providers]:
    endpoints.bind(telemetry.current())
    yield providers
    endpoints.bind(None)


def kept(make: Callable[[], object]) -> float:
    """Bytes that each of many things keeps."""
    make()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    things = [make() for _ in range(CONNECTIONS)]
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return (after - before) / len(things)


async def waiting(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await receive()


def idle(app: App, flush: Callable[[], object]) -> float:
    """Bytes of a connection that is accepted and waits for its first message, its task included."""

    async def send(_: Any) -> None: ...

    async def connection(never: asyncio.Event) -> None:
        asked = 0

        async def receive() -> Any:
            nonlocal asked
            asked += 1
            if asked > 1:
                await never.wait()
                return {"type": "websocket.disconnect", "code": 1000}
            return {"type": "websocket.connect"}

        # As uvicorn makes it.
        scope = {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "ws",
            "server": ("127.0.0.1", 80),
            "client": ("127.0.0.1", 50000),
            "root_path": "",
            "path": "/ws",
            "raw_path": b"/ws",
            "query_string": b"",
            "headers": [(b"host", b"till.example")],
            "subprotocols": [],
            "state": {},
            "extensions": {"websocket.http.response": {}},
        }
        await app(scope, receive, send)

    async def main() -> float:
        never = asyncio.Event()

        async def settled(count: int) -> list[asyncio.Task[None]]:
            tasks = [asyncio.create_task(connection(never)) for _ in range(count)]
            for _ in range(10):
                await asyncio.sleep(0)
            return tasks

        first = await settled(10)
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        tasks = await settled(CONNECTIONS)
        flush()  # the spans of the handshakes are the exporter's until they are sent
        gc.collect()
        after = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        never.set()
        await asyncio.gather(*first, *tasks)
        return (after - before) / CONNECTIONS

    return asyncio.run(main())


@pytest.mark.parametrize("what", ["ASGI", "websockets"])
def test_idle_connection(rows: Rows, bound: Providers, what: str) -> None:
    if what == "ASGI":
        by_hand = middleware(waiting, bound.traces.get_tracer("by hand"), bound.metrics.get_meter("by hand"))
        contrib = OpenTelemetryMiddleware(waiting, tracer_provider=bound.traces, meter_provider=bound.metrics)
        candidates = {
            "bare": lambda: idle(waiting, bound.spans),
            "printobs": lambda: idle(TelemetryMiddleware(waiting), bound.spans),
            MIDDLEWARE_BY_HAND: lambda: idle(by_hand, bound.spans),
            CONTRIB: lambda: idle(contrib, bound.spans),
        }
    else:
        kinds: dict[str, type[Protocol]] = {"bare": ServerProtocol, "printobs": CountedServer}
        candidates = {name: lambda kind=kind: kept(lambda: protocol(kind)) for name, kind in kinds.items()}  # type: ignore[misc]

    def look(_: int) -> list[Round]:
        return [{name: candidate() for name, candidate in candidates.items()} for _ in range(ROUNDS)]

    def kilobytes(used: Round) -> float:
        return (used["printobs"] - used["bare"]) / 1024

    gates = [Gate("KB over bare", kilobytes, 1.0, BUDGET)]
    if what == "ASGI":
        # Two coroutines, a context and the handshake's IDs are more than a kilobyte, however they are kept.
        least = both_over_bare("printobs", "bare", MIDDLEWARE_BY_HAND)
        gates = [
            Gate("KB over bare", kilobytes, 1.5),
            Gate("over bare, by hand-written over bare", least, 0.65, BUDGET),
        ]
    rows.elsewhere(f"idle connection, {what}", "B", look, gates, looks=1)
