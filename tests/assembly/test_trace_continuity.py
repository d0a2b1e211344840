"""One trace and one ID go with a message wherever its work goes, and never with another one's.

Real connections, whose messages each carry a trace and a correlation ID of the same number; every span says which
message it was made for.
"""

import asyncio
import contextvars
import json
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import pytest
import websockets.sync.client
import websockets.sync.server
from opentelemetry import context
from opentelemetry.sdk.trace import ReadableSpan
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

import printobs
from printobs.integrations import websockets as integration
from printobs.integrations.asgi import TelemetryMiddleware
from printobs.integrations.every_span import EverySpan
from tests.conftest import Sdk
from tests.integrations import uvicorn_server

pytestmark = pytest.mark.anyio

Receive = Callable[[], Awaitable[str]]
Handler = Callable[[Receive, Callable[[str], Awaitable[None]]], Awaitable[None]]


@pytest.fixture
def traced(sdk: Sdk) -> Iterator[Sdk]:
    sdk.tracer_provider.add_span_processor(EverySpan())
    integration.instrument(sdk.telemetry)
    before = context.get_current()
    yield sdk
    assert context.get_current() is before
    integration.uninstrument()


def text(number: int) -> str:
    carried = {"traceparent": f"00-{number:032x}-{number:016x}-01", "baggage": f"correlation.id=order-{number}"}
    return json.dumps({**carried, "n": number})


@asynccontextmanager
async def served(kind: str, handler: Handler) -> AsyncIterator[str]:
    """``handler`` behind a real server, given what receives a text and what sends one."""
    if kind == "websockets":

        async def handle(connection: ServerConnection) -> None:
            async def receive() -> str:
                return str(await connection.recv())

            await handler(receive, connection.send)

        async with serve(handle, "127.0.0.1", 0) as server:
            yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/ws"
        return

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        await handler(websocket.receive_text, websocket.send_text)
        await websocket.close()

    app = TelemetryMiddleware(Starlette(routes=[WebSocketRoute("/ws", endpoint)]))
    with uvicorn_server.serve(app) as port:
        yield f"ws://127.0.0.1:{port}/ws"


def rightly(spans: list[ReadableSpan]) -> Counter[str]:
    """How many spans of each name are in the trace of the message that they were made for, with its ID.

    Those that are in none at all are counted as lost; one of another message fails the test.
    """
    found: Counter[str] = Counter()
    for span in spans:
        attributes = span.attributes or {}
        number, identifier = attributes.get("n"), attributes.get("correlation.id")
        if (span.context.trace_id, identifier) == (number, f"order-{number}"):
            found[span.name] += 1
        else:
            assert span.parent is None, f"{span.name} of {number} is in the trace of {span.context.trace_id}"
            assert not str(identifier).startswith("order-"), f"{span.name} of {number} has the ID {identifier}"
            found[span.name + ", lost"] += 1
    return found


@pytest.mark.parametrize("kind", ["websockets", "asgi"])
async def test_work_that_a_message_starts_is_in_its_trace(traced: Sdk, kind: str) -> None:
    tracer = traced.telemetry.tracer
    pool = ThreadPoolExecutor(2)
    outliving: list[asyncio.Task[None]] = []
    queue: asyncio.Queue[str] = asyncio.Queue()
    generated: Iterator[None] | None = None
    go = asyncio.Event()

    def here(name: str, number: int) -> None:
        with tracer.start_as_current_span(name, attributes={"n": number}):
            pass

    async def soon(name: str, number: int) -> None:
        await asyncio.sleep(0)
        here(name, number)

    async def late(number: int) -> None:
        await go.wait()
        here("outliving task", number)

    async def numbers(number: int) -> AsyncIterator[int]:
        for _ in range(2):
            await asyncio.sleep(0)
            here("async generator", number)
            yield number

    current = 0

    def forever() -> Iterator[None]:
        while True:
            here("generator that outlives its message", current)
            yield

    async def worker() -> None:
        while True:
            message = await queue.get()
            number = json.loads(message)["n"]
            here("queue worker", number)
            with printobs.message(message):
                here("queue worker, by hand", number)
            queue.task_done()

    async def handler(receive: Receive, send: Callable[[str], Awaitable[None]]) -> None:
        nonlocal current, generated
        working = asyncio.create_task(worker())
        loop = asyncio.get_running_loop()
        for turn in range(6):
            message = await receive() if turn % 2 else await asyncio.wait_for(receive(), 5)
            current = number = json.loads(message)["n"]
            name = "received" if turn % 2 else "received, wait_for"
            here(name, number)
            kept = turn % 2 == 1 or sys.version_info >= (3, 12)
            if kept:
                await asyncio.gather(soon("gather", number), soon("gather", number))
                async with asyncio.TaskGroup() as group:
                    group.create_task(soon("task group", number))
                await asyncio.shield(soon("shield", number))
                async with asyncio.timeout(5):
                    await soon("time-out", number)
                await asyncio.wait_for(soon("wait_for", number), 5)
                await asyncio.to_thread(here, "to_thread", number)
                copied = contextvars.copy_context()
                await loop.run_in_executor(pool, copied.run, here, "executor, copied", number)
                async for _ in numbers(number):
                    here("async for", number)
                outliving.append(asyncio.create_task(late(number)))
                generated = generated or forever()
                next(generated)
            await loop.run_in_executor(pool, here, "executor", number)
            queue.put_nowait(message)
            await queue.join()
            await send("done")
        go.set()
        await asyncio.gather(*outliving)
        working.cancel()

    async with served(kind, handler) as uri, connect(uri) as client:
        for number in range(1, 7):
            await client.send(text(number))
        for _ in range(6):
            await client.recv()
    pool.shutdown()
    found = rightly([span for span in traced.spans() if "n" in (span.attributes or {})])
    turns = 6 if sys.version_info >= (3, 12) else 3
    assert found == {
        "received": 3,
        **({"received, wait_for": 3} if turns == 6 else {"received, wait_for, lost": 3}),
        **dict.fromkeys(
            ("task group", "shield", "time-out", "wait_for", "to_thread", "executor, copied", "outliving task",
             "generator that outlives its message"),
            turns,
        ),
        **dict.fromkeys(("gather", "async generator", "async for"), 2 * turns),
        # Python takes no context into a bare executor or a task that was there before: lost, and never another's.
        "executor, lost": 6,
        "queue worker, lost": 6,
        "queue worker, by hand": 6,
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["websockets", "asgi"])
async def test_a_span_that_is_open_over_a_receive_leaves_nothing_to_the_next_message(traced: Sdk, kind: str) -> None:
    tracer = traced.telemetry.tracer

    async def handler(receive: Receive, send: Callable[[str], Awaitable[None]]) -> None:
        number = json.loads(await receive())["n"]
        for _ in range(9):
            # Its end puts back the context that it has found: that of the message before.
            with tracer.start_as_current_span("open over a receive", attributes={"n": number}):
                number = json.loads(await receive())["n"]
                with tracer.start_as_current_span("inside", attributes={"n": number}):
                    pass
            with tracer.start_as_current_span("behind", attributes={"n": number}):
                await asyncio.gather(asyncio.sleep(0))
        await send("done")

    async with served(kind, handler) as uri, connect(uri) as client:
        for number in range(1, 11):
            await client.send(text(number))
        await client.recv()
    found = rightly([span for span in traced.spans() if "n" in (span.attributes or {})])
    assert found == {"open over a receive": 1, "open over a receive, lost": 8, "inside": 9, "behind, lost": 9}


@pytest.mark.parametrize("kind", ["websockets", "asgi"])
async def test_a_thousand_interleaved_messages_keep_their_own(traced: Sdk, kind: str) -> None:
    tracer = traced.telemetry.tracer
    connections, each = 10, 100

    async def handler(receive: Receive, send: Callable[[str], Awaitable[None]]) -> None:
        async def step(name: str, number: int) -> None:
            with tracer.start_as_current_span(name, attributes={"n": number}):
                await asyncio.sleep(0.0005 * (number % 3))

        for _ in range(each):
            number = json.loads(await receive())["n"]
            await step("one", number)
            await asyncio.gather(step("two", number), step("two", number))
            await send(json.dumps(printobs.inject({"n": number})))

    async def talk(uri: str, first: int) -> None:
        async with connect(uri) as client:
            for number in range(first, first + each):
                # Every tenth carries nothing: it must not be given what the one before has carried.
                await client.send(text(number) if number % 10 else json.dumps({"n": number}))
            for number in range(first, first + each):
                answer = json.loads(await client.recv())
                assert answer["n"] == number
                if number % 10:
                    assert answer["traceparent"].split("-")[1] == f"{number:032x}"
                    assert answer["baggage"] == f"correlation.id=order-{number}"
                else:
                    assert "traceparent" not in answer
                    assert "order-" not in answer.get("baggage", "")

    async with served(kind, handler) as uri:
        await asyncio.gather(*(talk(uri, 1 + each * number) for number in range(connections)))
    found = rightly([span for span in traced.spans() if "n" in (span.attributes or {})])
    assert found == {"one": 900, "two": 1800, "one, lost": 100, "two, lost": 200}
    handled = Counter(span.context.trace_id for span in traced.spans("websocket message"))
    assert handled == {number: 2 for number in range(1, 1001) if number % 10}  # there, and its answer back here


def test_threads_keep_their_own_messages(traced: Sdk) -> None:
    tracer = traced.telemetry.tracer
    connections, each = 4, 50

    def handler(connection: Any) -> None:
        for message in connection:
            number = json.loads(message)["n"]
            with tracer.start_as_current_span("one", attributes={"n": number}):
                connection.send(json.dumps(printobs.inject({"n": number})))

    def talk(uri: str, first: int) -> None:
        with websockets.sync.client.connect(uri) as client:
            for number in range(first, first + each):
                client.send(text(number) if number % 10 else json.dumps({"n": number}))
            for number in range(first, first + each):
                answer = json.loads(client.recv())
                assert answer["n"] == number
                assert answer.get("baggage", "").endswith(f"order-{number}") == bool(number % 10)

    with websockets.sync.server.serve(handler, "127.0.0.1", 0) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        uri = f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        with ThreadPoolExecutor(connections) as pool:
            list(pool.map(talk, [uri] * connections, range(1, connections * each, each)))
        server.shutdown()
        serving.join()
    found = rightly(traced.spans("one"))
    assert found == {"one": 180, "one, lost": 20}


class Wire:
    """A transport of the application's own, to a printer that is always well."""

    def __init__(self) -> None:
        self._answers = b""

    def write(self, data: bytes) -> None:
        self._answers += b"\x12" * data.count(b"\x10\x04")

    def read(self, timeout: float) -> bytes:
        answers, self._answers = self._answers, b""
        return answers


async def test_a_thousand_interleaved_jobs_keep_their_own(traced: Sdk) -> None:
    """Jobs of ten connections on four printers' threads: each in the trace of the message that has ordered it."""
    printers = [printobs.register(Wire(), name=f"p{number}") for number in range(4)]
    jobs: list[tuple[int, Any]] = []
    tracer = traced.telemetry.tracer

    async def handler(receive: Receive, send: Callable[[str], Awaitable[None]]) -> None:
        def ticket(printer: Wire, number: int) -> None:
            with tracer.start_as_current_span("render", attributes={"n": number}):
                printer.write(b"2 x Ramen\n")

        async def order(number: int) -> None:
            printer = printers[number % 4]
            async with printobs.print_job(printer, timeout=30) as job:
                await job.run(ticket, printer, number)
            jobs.append((number, job))
            await send(str(number))

        async with asyncio.TaskGroup() as group:
            for _ in range(100):
                group.create_task(order(json.loads(await receive())["n"]))

    async def talk(uri: str, first: int) -> None:
        async with connect(uri) as client:
            for number in range(first, first + 100):
                await client.send(text(number))
            assert sorted([int(await client.recv()) for _ in range(100)]) == list(range(first, first + 100))

    async with served("websockets", handler) as uri:
        await asyncio.gather(*(talk(uri, 1 + 100 * number) for number in range(10)))
    assert sorted(number for number, _ in jobs) == list(range(1, 1001))
    assert all((job.outcome, job.correlation_id) == ("written", f"order-{number}") for number, job in jobs)
    assert rightly(traced.spans("render")) == {"render": 1000}
    for name in ("print job", "printer write"):
        spans = traced.spans(name)
        assert sorted(span.context.trace_id for span in spans) == list(range(1, 1001))
        assert all((span.attributes or {})["correlation.id"] == f"order-{span.context.trace_id}" for span in spans)
