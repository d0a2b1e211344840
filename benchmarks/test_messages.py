"""A WebSocket message: counted with its bytes and direction, and looked through for the context it may carry."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any, Final

import pytest
from opentelemetry import propagate
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from websockets.asyncio.messages import Assembler as AsyncioAssembler
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, State
from websockets.server import ServerProtocol
from websockets.sync.messages import Assembler as SyncAssembler
from websockets.uri import parse_uri

import printobs
from benchmarks.peers import BY_HAND, LABELS_INC, handled, labels_inc
from benchmarks.providers import Providers
from benchmarks.rows import Candidate, Gate, Rows, both_over_bare, over_bare
from printobs.core import telemetry
from printobs.integrations import websockets_endpoints as endpoints
from printobs.integrations import websockets_messages as messages
from printobs.integrations.asgi import TelemetryMiddleware
from printobs.integrations.websockets_protocols import CountedClient, CountedServer

Message = MutableMapping[str, Any]
App = Callable[[Any, Any, Any], Awaitable[None]]

BATCH: Final = 5_000
SPANS: Final = 1_000  # of messages that are handled in one each: fifty times the work
ECHOES: Final = 1_000
MANY: Final = 10_000  # what the connection itself takes is in it, and should not count
BUDGET: Final = "one WebSocket message counted, with bytes and direction: 0.5 µs"
LIMIT: Final = 0.5
TEXT: Final = "x" * 100
CONTRIB: Final = "opentelemetry-instrumentation-asgi"

COUNTED: Final = {"server": CountedServer, "client": CountedClient}
ASSEMBLERS: Final = {
    "asyncio": (AsyncioAssembler, messages.AsyncioAssembler),
    "sync": (SyncAssembler, messages.SyncAssembler),
}


@pytest.fixture
def bound(providers: Providers) -> Iterator[Providers]:
    endpoints.bind(telemetry.current())
    yield providers
    endpoints.bind(None)


def carrying(sampled: bool) -> str:
    """A message of about 100 characters that carries a context."""
    context = f"00-{'0af7651916cd43dd' * 2}-b7ad6b7169203331-0{sampled:d}"
    return json.dumps({"type": "job", "traceparent": context, "printer": "kitchen"})


def protocol(kind: type[Protocol]) -> Protocol:
    made = kind(parse_uri("ws://till.example/ws")) if issubclass(kind, ClientProtocol) else kind()  # type: ignore[call-arg]
    made.state = State.OPEN
    return made


@pytest.mark.parametrize(("side", "bare"), [("server", ServerProtocol), ("client", ClientProtocol)])
def test_sent(rows: Rows, bound: Providers, side: str, bare: type[Protocol]) -> None:
    def sending(made: Protocol) -> Callable[[], int]:
        data = TEXT.encode()

        def run() -> int:
            for _ in range(BATCH):
                made.send_text(data)
                made.data_to_send()
            return BATCH

        return run

    rows.compare(
        f"message sent by a websockets {side}",
        {
            "bare": Candidate(sending(protocol(bare))),
            "printobs": Candidate(sending(protocol(COUNTED[side])), bound.points(f"websocket.{side}.messages")),
            LABELS_INC: labels_inc(BATCH),
        },
        [Gate("over bare, by labels().inc()", over_bare("printobs", "bare", LABELS_INC), LIMIT, BUDGET)],
    )


def receiving(
    kind: str, made: Protocol, assembler: type[Any], text: str, handle: Any = None, batch: int = BATCH
) -> Callable[[], int]:
    """From the frame to the handler, in one thread and without a network."""
    frame = Frame(Opcode.TEXT, text.encode())

    def sync() -> int:
        taken = assembler()
        for _ in range(batch):
            made.recv_frame(frame)
            made.events_received()
            taken.put(frame)
            message = taken.get()
            if handle is not None:
                handle(message)
        taken.close()
        return batch

    async def asynchronous() -> int:
        taken = assembler()
        for _ in range(batch):
            made.recv_frame(frame)
            made.events_received()
            taken.put(frame)
            message = await taken.get()
            if handle is not None:
                handle(message)
        taken.close()
        return batch

    return sync if kind == "sync" else lambda: asyncio.run(asynchronous())


@pytest.mark.parametrize(("side", "bare"), [("server", ServerProtocol), ("client", ClientProtocol)])
@pytest.mark.parametrize("kind", ["asyncio", "sync"])
def test_received(rows: Rows, bound: Providers, kind: str, side: str, bare: type[Protocol]) -> None:
    plain, ours = ASSEMBLERS[kind]
    rows.compare(
        f"message received by a websockets {kind} {side}",
        {
            "bare": Candidate(receiving(kind, protocol(bare), plain, TEXT)),
            "printobs": Candidate(
                receiving(kind, protocol(COUNTED[side]), ours, TEXT), bound.points(f"websocket.{side}.messages")
            ),
            LABELS_INC: labels_inc(BATCH),
        },
        [Gate("over bare, by labels().inc()", over_bare("printobs", "bare", LABELS_INC), LIMIT, BUDGET)],
    )


@pytest.mark.parametrize("sampled", [True, False], ids=["sampled", "unsampled"])
@pytest.mark.parametrize(("side", "bare"), [("server", ServerProtocol), ("client", ClientProtocol)])
@pytest.mark.parametrize("kind", ["asyncio", "sync"])
def test_received_with_context(
    rows: Rows, bound: Providers, kind: str, side: str, bare: type[Protocol], sampled: bool
) -> None:
    plain, ours = ASSEMBLERS[kind]
    by_hand = handled(bound.traces.get_tracer("by hand"))
    text, each = carrying(sampled), float(sampled)
    rows.compare(
        f"message with a {'sampled' if sampled else 'unsampled'} context, received by a websockets {kind} {side}",
        {
            "bare": Candidate(receiving(kind, protocol(bare), plain, text, batch=SPANS)),
            "printobs": Candidate(receiving(kind, protocol(COUNTED[side]), ours, text, batch=SPANS), bound.spans, each),
            BY_HAND: Candidate(receiving(kind, protocol(bare), plain, text, by_hand, SPANS), bound.spans, each),
        },
        [Gate("over bare, by hand-written", both_over_bare("printobs", "bare", BY_HAND), 1.75)],
        rounds=11,
    )


def test_injected(rows: Rows, providers: Providers) -> None:
    message = {"type": "job", "printer": "kitchen", "text": TEXT}
    tracer = providers.traces.get_tracer("sender")

    def sending(put: Callable[[dict[str, str]], object]) -> Callable[[], int]:
        def run() -> int:
            with tracer.start_as_current_span("sending"):
                for _ in range(BATCH):
                    put(dict(message))
            return BATCH

        return run

    by_hand = "opentelemetry.propagate.inject()"
    rows.compare(
        "context put into a message that is sent",
        {
            "bare": Candidate(sending(lambda _: None)),
            "printobs": Candidate(sending(printobs.inject)),
            by_hand: Candidate(sending(propagate.inject)),
        },
        [Gate("over bare, by the propagator's", both_over_bare("printobs", "bare", by_hand), 2.0)],
        rounds=11,
    )


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event["text"]})


def echoing(app: App, text: str, echoes: int = ECHOES) -> Callable[[], int]:
    """One connection; two messages for each echo. No server and no network: the application's side alone."""
    scope = {"type": "websocket", "path": "/ws", "headers": [], "query_string": b"", "server": ("127.0.0.1", 80)}
    connected, received = {"type": "websocket.connect"}, {"type": "websocket.receive", "text": text}

    async def send(_: Message) -> None: ...

    async def connection() -> None:
        left = echoes + 1

        async def receive() -> Message:
            nonlocal left
            left -= 1
            if left == echoes:
                return connected
            return received if left >= 0 else {"type": "websocket.disconnect", "code": 1000}

        await app(dict(scope), receive, send)

    def run() -> int:
        asyncio.run(connection())
        return 2 * echoes

    return run


def contrib(app: App, providers: Providers) -> App:
    made: App = OpenTelemetryMiddleware(app, tracer_provider=providers.traces, meter_provider=providers.metrics)
    return made


def test_asgi(rows: Rows, providers: Providers) -> None:
    rows.compare(
        "message through an ASGI application",
        {
            "bare": Candidate(echoing(echo, TEXT, MANY)),
            "printobs": Candidate(
                echoing(TelemetryMiddleware(echo), TEXT, MANY), providers.points("websocket.server.messages")
            ),
            LABELS_INC: labels_inc(BATCH),
        },
        [Gate("over bare, by labels().inc()", over_bare("printobs", "bare", LABELS_INC), LIMIT, BUDGET)],
    )


def test_asgi_beside_contrib(rows: Rows, providers: Providers) -> None:
    # A row of its own: contrib's spans leave the processor's caches to others, which is no part of what a count takes.
    # A span a connection, one more for each receive and send, those of the handshake and its end too.
    spans = (2 * ECHOES + 4) / (2 * ECHOES)
    rows.compare(
        "message through an ASGI application, while contrib's spans are made too",
        {
            "bare": Candidate(echoing(echo, TEXT)),
            "printobs": Candidate(
                echoing(TelemetryMiddleware(echo), TEXT), providers.points("websocket.server.messages")
            ),
            CONTRIB: Candidate(echoing(contrib(echo, providers), TEXT), providers.spans, spans),
        },
        [Gate("over bare, by contrib's over bare", both_over_bare("printobs", "bare", CONTRIB), 0.05, BUDGET)],
        settle=providers.spans,
    )


@pytest.mark.parametrize("sampled", [True, False], ids=["sampled", "unsampled"])
def test_asgi_with_context(rows: Rows, providers: Providers, sampled: bool) -> None:
    by_hand = handled(providers.traces.get_tracer("by hand"))
    text = carrying(sampled)

    async def written(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            by_hand(event["text"])
            await send({"type": "websocket.send", "text": event["text"]})

    spans = providers.spans
    connections = 1 / (2 * ECHOES)  # printobs' span of the handshake
    rows.compare(
        f"message with a {'sampled' if sampled else 'unsampled'} context through an ASGI application",
        {
            "bare": Candidate(echoing(echo, text)),
            "printobs": Candidate(echoing(TelemetryMiddleware(echo), text), spans, sampled / 2 + connections),
            BY_HAND: Candidate(echoing(written, text), spans, sampled / 2),
        },
        [Gate("over bare, by hand-written", both_over_bare("printobs", "bare", BY_HAND), 1.75)],
        rounds=11,
    )
