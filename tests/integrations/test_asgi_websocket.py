"""WebSockets of an ASGI application: a real uvicorn and a real client."""

import asyncio
import json
import socket
import struct
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

import printobs
from printobs.core import telemetry
from printobs.core.conventions import Level
from printobs.integrations import asgi
from printobs.integrations.asgi import TelemetryMiddleware
from printobs.signals.correlation import correlation_id
from tests.conftest import Sdk
from tests.integrations.uber import uber
from tests.integrations.uvicorn_server import serve

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"
Handler = Callable[[WebSocket], Any]


def until(done: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 5
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def one(handler: Handler, path: str = "/ws/{branch}") -> Any:
    return TelemetryMiddleware(Starlette(routes=[WebSocketRoute(path, handler)]))


def to(port: int, path: str = "/ws/mitte", **arguments: Any) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{port}{path}", **arguments)


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


class Echo(WebSocketEndpoint):
    encoding = "text"

    async def on_receive(self, websocket: WebSocket, data: Any) -> None:
        await websocket.send_text(data)


async def raw_echo(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event.get("text"), "bytes": event.get("bytes")})


def counted(sdk: Sdk, name: str, **attributes: str) -> Any:
    return sdk.value(f"websocket.server.{name}", **attributes)


@pytest.mark.parametrize("kind", ["route", "endpoint", "mounted", "plain"])
def test_messages_and_bytes_are_counted(sdk: Sdk, kind: str) -> None:
    route = {"route": "/ws/{branch}", "endpoint": "/ws/{branch}", "mounted": "/m/ws/{branch}", "plain": ""}[kind]
    inner = Starlette(routes=[WebSocketRoute("/ws/{branch}", Echo if kind == "endpoint" else echo)])
    app: Any = {"plain": raw_echo, "mounted": Starlette(routes=[Mount("/m", app=inner)])}.get(kind, inner)
    with serve(TelemetryMiddleware(app)) as port:
        with to(port, "/m/ws/mitte" if kind == "mounted" else "/ws/mitte?token=secret") as client:
            until(lambda: counted(sdk, "active_connections") == 1)
            for text in ("é" * 10, "abc"):
                client.send(text)
                assert client.recv() == text
            if kind == "plain":
                client.send(b"\x00\x01")
                assert client.recv() == b"\x00\x01"
        until(lambda: counted(sdk, "disconnections") == 1)
    where = {"http__route": route} if route else {}
    for direction in ("receive", "transmit"):
        text = {**where, "network__io__direction": direction, "websocket__message__type": "text"}
        assert (counted(sdk, "messages", **text), counted(sdk, "io", **text)) == (2, 23)
        binary = {**where, "network__io__direction": direction, "websocket__message__type": "binary"}
        expected = (1, 2) if kind == "plain" else (0, 0)
        assert (counted(sdk, "messages", **binary), counted(sdk, "io", **binary)) == expected
    assert counted(sdk, "active_connections") == 0
    assert counted(sdk, "disconnections", websocket__close__code="1000", **where) == 1
    assert counted(sdk, "connection.duration") == 1
    assert counted(sdk, "connection.errors") == 0
    assert all("secret" not in span.to_json() for span in sdk.spans())
    assert [span.name for span in sdk.spans()] == ["websocket handshake"]


def reset(client: ClientConnection) -> None:
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # websockets before 17 is inside recv(), and the kernel closes nothing until that returns.
    client.socket.shutdown(socket.SHUT_RD)
    client.socket.close()


async def raising(websocket: WebSocket) -> None:
    await websocket.accept()
    raise ValueError("2 x Ramen")


async def returning(websocket: WebSocket) -> None:
    await websocket.accept()


async def closing(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close(4001)
    await websocket.receive()


@pytest.mark.parametrize(
    ("handler", "ends", "code", "errors"),
    [
        (echo, lambda client: client.close(), "1000", None),
        (echo, lambda client: client.close(1001), "1001", None),
        (echo, lambda client: client.close(4242), "private", None),
        (echo, lambda client: client.close(1011), "1011", "internal_error"),
        (echo, reset, "1006", "abnormal_closure"),
        (raising, None, "1006", "ValueError"),
        (returning, None, "1006", "abnormal_closure"),
        (closing, None, "private", None),
    ],
)
def test_how_a_connection_ended(sdk: Sdk, handler: Handler, ends: Any, code: str, errors: str | None) -> None:
    with serve(one(handler)) as port, to(port) as client:
        if ends is None:
            with pytest.raises(ConnectionClosed):
                client.recv(timeout=5)
        else:
            ends(client)
        until(lambda: counted(sdk, "disconnections") == 1)
        time.sleep(0.05)  # whatever would count it twice
    assert counted(sdk, "disconnections", websocket__close__code=code) == 1
    assert counted(sdk, "disconnections") == 1
    assert counted(sdk, "active_connections") == 0
    assert counted(sdk, "connection.errors") == (0 if errors is None else 1)
    if errors is not None:
        assert counted(sdk, "connection.errors", error__type=errors) == 1


def test_a_server_that_stops_ends_its_connections_with_1012(sdk: Sdk) -> None:
    with ExitStack() as stack:
        with serve(one(echo)) as port:
            client = stack.enter_context(to(port))
            until(lambda: counted(sdk, "active_connections") == 1)
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=5)
    assert counted(sdk, "disconnections", websocket__close__code="1012") == 1


async def refusing(websocket: WebSocket) -> None:
    await websocket.close(1008)


async def denying(websocket: WebSocket) -> None:
    await websocket.send_denial_response(PlainTextResponse("no", status_code=401))


async def breaking(websocket: WebSocket) -> None:
    raise ValueError("2 x Ramen")


async def ignoring(websocket: WebSocket) -> None:
    return


async def telling(websocket: WebSocket) -> None:
    printobs.refusal(websocket, "origin")
    await websocket.close()


async def mumbling(websocket: WebSocket) -> None:
    printobs.refusal(websocket, "x" * 1_000_000)
    await websocket.close()


@pytest.mark.parametrize(
    ("handler", "status", "failure", "reason"),
    [
        (refusing, 403, "403", "forbidden"),
        (denying, 401, "401", "unauthorized"),
        (telling, 403, "403", "origin"),
        (mumbling, 403, "403", "_OTHER"),
        (breaking, 500, "ValueError", "error"),
        (ignoring, 500, "500", "error"),
    ],
)
def test_a_refused_handshake_is_an_error_and_no_connection(
    sdk: Sdk, handler: Handler, status: int, failure: str, reason: str
) -> None:
    with serve(one(handler)) as port:
        with pytest.raises(InvalidStatus) as refused:
            to(port)
        assert refused.value.response.status_code == status
    assert counted(sdk, "connection.errors", error__type=failure, http__route="/ws/{branch}") == 1
    assert counted(sdk, "connection.errors") == 1
    assert counted(sdk, "handshake.refusals", websocket__refusal__reason=reason, http__route="/ws/{branch}") == 1
    assert counted(sdk, "handshake.refusals") == 1
    assert counted(sdk, "disconnections") == counted(sdk, "active_connections") == 0
    span = sdk.span("websocket handshake")
    assert span.attributes is not None
    assert span.attributes["error.type"] == failure
    assert "Ramen" not in span.to_json()


def test_what_no_route_takes_is_not_found_and_a_client_that_leaves_was_not_refused(sdk: Sdk) -> None:
    async def slow(websocket: WebSocket) -> None:
        await websocket.receive()  # connect
        await websocket.receive()

    with serve(one(slow)) as port:
        with pytest.raises(InvalidStatus):
            to(port, "/nowhere/4711")
        with pytest.raises(TimeoutError):
            to(port, open_timeout=0.2)
        until(lambda: counted(sdk, "connection.errors", error__type="abnormal_closure") == 1)
    assert counted(sdk, "handshake.refusals", websocket__refusal__reason="not_found") == 1
    assert counted(sdk, "handshake.refusals") == 1
    assert all("4711" not in repr(point.attributes) for point in sdk.points("websocket.server.handshake.refusals"))


@pytest.mark.parametrize("when", ["before", "after", "thread"])
def test_the_application_says_who_is_connected(sdk: Sdk, when: str) -> None:
    async def handler(websocket: WebSocket) -> None:
        who = {"client_type": "desktop", "branch": "mitte"}
        if when == "before":
            printobs.identify(websocket, **who)
        await websocket.accept()
        await websocket.receive_text()
        if when == "after":
            printobs.identify(websocket, **who)
        if when == "thread":
            await asyncio.to_thread(printobs.identify, websocket, **who)
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    desktop = {"client__type": "desktop", "branch__name": "mitte", "http__route": "/ws/{branch}"}
    with serve(one(handler)) as port:
        with to(port) as client:
            client.send("hello")
            for text in ("a", "bc"):
                client.send(text)
                assert client.recv() == text
            assert counted(sdk, "active_connections", **desktop) == counted(sdk, "active_connections") == 1
        until(lambda: counted(sdk, "disconnections") == 1)
    received = {"network__io__direction": "receive"}
    assert (counted(sdk, "messages", **received), counted(sdk, "io", **received)) == (3, 8)
    assert counted(sdk, "messages", **received, **desktop) == (3 if when == "before" else 2)
    assert counted(sdk, "io", network__io__direction="transmit", **desktop) == 3
    assert {point.value for point in sdk.points("websocket.server.active_connections")} == {0}
    assert counted(sdk, "disconnections", **desktop) == counted(sdk, "connection.duration", **desktop) == 1


def test_the_quality_of_a_connection_is_told_by_its_pings_even_when_it_is_idle(sdk: Sdk) -> None:
    kept: list[WebSocket] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        kept.append(websocket)
        await websocket.receive()

    with serve(one(handler), ws_ping_interval=0.05) as port, to(port):
        until(lambda: kept)
        until(lambda: counted(sdk, "quality.level", quality__level="excellent") == 1)
        assert counted(sdk, "quality.level") == 1
        found = printobs.quality(kept[0])
        assert found.score is not None
        assert (found.score >= 90, found.level) == (True, "excellent")
    assert counted(sdk, "quality.level") == 0
    assert printobs.quality(kept[0]) == printobs.quality(object()) == printobs.ConnectionQuality(None, Level.UNKNOWN)


def test_the_handshake_span_ends_at_accept_and_carries_the_callers_trace(sdk: Sdk) -> None:
    tracer = sdk.telemetry.tracer
    seen: list[Any] = []

    async def handler(websocket: WebSocket) -> None:
        with tracer.start_as_current_span("authenticate"):
            pass
        await websocket.accept()
        seen.extend([trace.get_current_span().get_span_context().is_valid, correlation_id()])
        with tracer.start_as_current_span("idle"):
            pass
        await websocket.receive_text()

    headers = {"traceparent": TRACEPARENT, "X-Correlation-ID": "till-1"}
    with serve(one(handler)) as port, to(port, additional_headers=headers):
        until(lambda: sdk.spans("idle"))
        handshake = sdk.span("websocket handshake")  # it has ended, the connection has not
    authenticate, idle = sdk.span("authenticate"), sdk.span("idle")
    assert f"{handshake.context.trace_id:032x}" == TRACE
    assert handshake.parent is not None
    assert f"{handshake.parent.span_id:016x}" in TRACEPARENT
    assert handshake.attributes is not None
    assert handshake.attributes["http.response.status_code"] == 101
    assert handshake.attributes["http.route"] == "/ws/{branch}"
    assert handshake.attributes["correlation.id"] == "till-1"
    assert authenticate.parent is not None
    assert authenticate.parent.span_id == handshake.context.span_id
    assert idle.parent is None
    assert seen == [False, "till-1"]


def test_what_the_server_does_at_the_accept_does_not_keep_the_handshakes_span(sdk: Sdk) -> None:
    # uvicorn arms a timer for its pings there, which lives as long as the connection, in the context of that moment.
    armed: list[Context] = []

    async def send(event: Any) -> None:
        if event["type"] == "websocket.accept":
            armed.append(context.get_current())

    events = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}]

    async def receive() -> Any:
        return events.pop(0)

    scope = {"type": "websocket", "path": "/ws", "headers": [(b"x-correlation-id", b"order-7")], "query_string": b""}
    asyncio.run(TelemetryMiddleware(raw_echo)(scope, receive, send))
    [kept] = armed
    assert trace.get_current_span(kept) is trace.INVALID_SPAN
    assert correlation_id(kept) == "order-7"
    [handshake] = sdk.spans()
    assert handshake.attributes == {**(handshake.attributes or {}), "http.response.status_code": 101}


def test_a_propagator_may_look_at_the_names_of_all_headers(sdk: Sdk) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(correlation_id() or "none")

    headers = {"uberctx-correlation.id": "order-1"}
    with uber(), serve(one(handler)) as port, to(port, additional_headers=headers) as client:
        assert client.recv(timeout=5) == "order-1"


@pytest.mark.parametrize("every", [False, True])
def test_a_message_is_handled_in_a_span_that_continues_what_it_carries(sdk: Sdk, every: bool) -> None:
    tracer = sdk.telemetry.tracer
    ids: list[str | None] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        async for _ in websocket.iter_text():
            await asyncio.sleep(0.01)
            ids.append(correlation_id())
            with tracer.start_as_current_span("print"):
                pass
            await websocket.send_text("done")

    app = Starlette(routes=[WebSocketRoute("/ws/{branch}", handler)])
    carried = json.dumps({"traceparent": TRACEPARENT, "baggage": "correlation.id=order-1"})
    with serve(TelemetryMiddleware(app, messages="all" if every else "sampled")) as port:
        with to(port, additional_headers={"X-Correlation-ID": "till-1"}) as client:
            for text in (carried, "plain", carried):
                client.send(text)
                client.recv()
        until(lambda: counted(sdk, "disconnections") == 1)
    assert ids == ["order-1", "till-1", "order-1"]
    handshake = sdk.span("websocket handshake")
    messages = sdk.spans("websocket message")
    assert len(messages) == (3 if every else 2)
    for message, work in zip(messages[::2] if every else messages, sdk.spans("print")[::2], strict=True):
        assert f"{message.context.trace_id:032x}" == TRACE
        assert work.parent is not None
        assert work.parent.span_id == message.context.span_id
        assert message.end_time is not None
        assert work.end_time is not None
        assert work.end_time <= message.end_time
        assert [link.context.span_id for link in message.links] == [handshake.context.span_id]
    if every:
        assert messages[1].parent is None
        assert [link.context.span_id for link in messages[1].links] == [handshake.context.span_id]
    else:
        assert sdk.spans("print")[1].parent is None


def test_round_trips_of_pings_are_recorded(sdk: Sdk) -> None:
    with serve(one(echo), ws_ping_interval=0.05) as port, to(port) as client:
        until(lambda: client.send("x") or (client.recv() and counted(sdk, "ping.duration") >= 2))
    points = sdk.points("websocket.server.ping.duration")
    assert all(0 < point.sum < 5 for point in points)


class BrokenProcessor(SpanProcessor):
    def on_start(self, *_: Any, **__: Any) -> None:
        raise RuntimeError("start")

    def on_end(self, *_: Any, **__: Any) -> None:
        raise RuntimeError("end")


class BrokenAtTheEnd(BrokenProcessor):
    def on_start(self, *_: Any, **__: Any) -> None: ...


@pytest.mark.parametrize("processor", [BrokenProcessor(), BrokenAtTheEnd()])
def test_telemetry_that_fails_changes_nothing(processor: SpanProcessor) -> None:
    provider = TracerProvider()
    provider.add_span_processor(processor)
    telemetry.bind(telemetry.telemetry(provider, MeterProvider()))
    try:
        with serve(one(echo)) as port, to(port) as client:
            for text in ("a", json.dumps({"traceparent": TRACEPARENT}), "b"):
                client.send(text)
                assert client.recv(timeout=5) == text
    finally:
        telemetry.bind(None)


def test_starlette_is_followed_and_each_message_is_counted_once(sdk: Sdk) -> None:
    inner = Starlette(routes=[WebSocketRoute("/ws/{branch}", echo)])
    asgi.instrument(sdk.telemetry)
    try:
        with serve(Starlette(routes=[Mount("/m", app=inner)])) as port, to(port, "/m/ws/mitte") as client:
            client.send("abc")
            assert client.recv() == "abc"
    finally:
        asgi.uninstrument()
    assert counted(sdk, "messages", http__route="/m/ws/{branch}") == 2
    assert counted(sdk, "messages") == 2
