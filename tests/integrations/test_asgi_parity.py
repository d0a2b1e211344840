"""An ASGI application does with printobs what it does without: answers, events, exceptions, close codes, order.

Each use below is run under a real uvicorn without printobs, inside `TelemetryMiddleware`, and on an instrumented
Starlette, and must show the same each time.
"""

import asyncio
import re
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.to_thread
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.endpoints import WebSocketEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from printobs.integrations import asgi
from printobs.integrations.asgi import TelemetryMiddleware
from tests.conftest import Sdk
from tests.integrations import parity
from tests.integrations.parity import CARRYING
from tests.integrations.uvicorn_server import serve

TEXT = "2 x Ramen 🍜 "
MIB = 1 << 20
OURS = re.compile(rb"(date|x-correlation-id|x-request-id): [^\r]*\r\n", re.IGNORECASE)
MINE: ContextVar[str] = ContextVar("mine", default="none")


class Run(parity.Run):
    """A server for applications whose every event is seen; ``wrap`` is what printobs adds, or nothing."""

    def __init__(self, wrap: Callable[[Any], Any]) -> None:
        super().__init__()
        self._wrap = wrap

    @contextmanager
    def serve(self, app: Any, **settings: Any) -> Iterator[int]:
        with serve(self._wrap(self.taped(app)), **settings) as port:
            yield port

    def taped(self, app: Any) -> Any:
        async def taped(scope: Any, receive: Any, send: Any) -> None:
            async def receiving() -> Any:
                event = await receive()
                before = self.seen["received"][-1] if self.seen["received"] else None
                if event["type"] == "http.request" and isinstance(before, dict) and before.get("more_body"):
                    # How a body is cut into pieces is the network's affair.
                    before.update(body=before["body"] + event["body"], more_body=event["more_body"])
                else:
                    self.note("received", dict(event))
                return event

            async def sending(event: Any) -> None:
                self.note("sent", _without_ids(event))
                try:
                    await send(event)
                except Exception as error:
                    self.note("sent", error)
                    raise

            try:
                await app(scope, receiving, sending)
            except BaseException as error:
                self.note("application", error)
                raise
            self.note("application", "returned")

        return taped

    def connect(self, port: int, path: str = "/ws", **settings: Any) -> Any:
        settings = {"logger": self.logger("client"), "proxy": None, "ping_interval": None, **settings}
        return connect(f"ws://127.0.0.1:{port}{path}", **settings)

    def ask(self, port: int, *requests: bytes) -> None:
        """Send bytes on one connection; the bytes that come back, until it is closed, are seen."""
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            for request in requests:
                connection.sendall(request)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        self.note("client", OURS.sub(b"", answer))


def _without_ids(event: Any) -> dict[str, Any]:
    shown = dict(event)
    if event["type"] == "http.response.start":
        names = (b"x-correlation-id", b"x-request-id")
        shown["headers"] = [(name, value) for name, value in event.get("headers", ()) if name.lower() not in names]
    return shown


# -- HTTP ------------------------------------------------------------------------------------------------------------


def request(path: str, method: str = "GET", body: bytes = b"", *more: str, close: bool = True) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: till.example", *more]
    if body and "Transfer-Encoding: chunked" not in more:
        lines.append(f"Content-Length: {len(body)}")
    if close:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode() + body


def application(run: Run) -> Starlette:
    async def plain(request: Request) -> Response:
        run.note("endpoint", request.method, str(request.url.path), request.url.query, dict(request.path_params))
        return PlainTextResponse(TEXT, headers={"X-Till": "1"})

    async def echo(request: Request) -> Response:
        body = await request.body()
        run.note("endpoint", len(body), body[:10])
        return Response(body, media_type="application/octet-stream")

    async def parts(request: Request) -> Response:
        run.note("endpoint", b"".join([part async for part in request.stream()]))
        return JSONResponse({"a": TEXT})

    async def stream(_: Request) -> Response:
        async def numbers() -> AsyncIterator[str]:
            for number in range(20):
                await asyncio.sleep(0)
                yield f"{number} " + "x" * number

        return StreamingResponse(numbers())

    async def broken_stream(_: Request) -> Response:
        async def numbers() -> AsyncIterator[str]:
            yield "1"
            raise ValueError("2 x Ramen")

        return StreamingResponse(numbers())

    async def broken(_: Request) -> Response:
        raise ValueError("2 x Ramen")

    async def teapot(_: Request) -> Response:
        raise HTTPException(418, "short and stout", {"X-Spout": "1"})

    async def cookies(_: Request) -> Response:
        response = Response()
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        return response

    async def background(_: Request) -> Response:
        return PlainTextResponse("soon", background=BackgroundTask(run.note, "endpoint", "later"))

    def threaded(request: Request) -> Response:
        run.note("endpoint", MINE.get())
        MINE.set("the endpoint's")
        return PlainTextResponse(MINE.get())

    async def own(_: Request) -> Response:
        return Response(headers={"X-Correlation-ID": "theirs", "x-request-id": "theirs"})

    async def timed(_: Request) -> Response:
        try:
            async with asyncio.timeout(0.02):
                await asyncio.Event().wait()
        except TimeoutError as error:
            run.note("endpoint", error)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asyncio.sleep(0, number)) for number in range(3)]
        return JSONResponse([task.result() for task in tasks])

    async def grouped(_: Request) -> Response:
        async def fail() -> None:
            raise ValueError("2 x Ramen")

        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
        raise AssertionError

    async def unread(_: Request) -> Response:
        return PlainTextResponse("never mind")

    async def file(_: Request) -> Response:
        return FileResponse(__file__, filename="a.py")

    return Starlette(
        routes=[
            Route("/plain/{id:int}", plain, methods=["GET"]),
            Route("/echo", echo, methods=["POST"]),
            Route("/parts", parts, methods=["POST"]),
            Route("/stream", stream),
            Route("/broken-stream", broken_stream),
            Route("/broken", broken),
            Route("/teapot", teapot),
            Route("/cookies", cookies),
            Route("/background", background),
            Route("/threaded", threaded),
            Route("/own", own),
            Route("/timed", timed),
            Route("/grouped", grouped),
            Route("/unread", unread, methods=["POST"]),
            Route("/file", file),
            Route("/slash/", plain),
            Mount("/m/{tenant}", app=Starlette(routes=[Route("/plain/{id}", plain)])),
        ],
        middleware=[Middleware(GZipMiddleware, minimum_size=1 << 19), Middleware(_Header)],
    )


class _Header(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: Any) -> Response:
        token = MINE.set("the middleware's")
        try:
            response: Response = await call_next(request)
        finally:
            MINE.reset(token)
        response.headers["X-Middleware"] = "1"
        return response


CHUNKED = "Transfer-Encoding: chunked"
REQUESTS: dict[str, list[bytes]] = {
    "plain": [request("/plain/7?q=a%20b&q=c")],
    "head": [request("/plain/7", "HEAD")],
    "options": [request("/plain/7", "OPTIONS")],
    "unknown method": [request("/plain/7", "PROPFIND")],
    "wrong method": [request("/plain/7", "DELETE")],
    "no route": [request("/nowhere/%2e%2e/x")],
    "redirect": [request("/slash?a=b")],
    "mounted": [request("/m/mitte/plain/7")],
    "stream": [request("/stream")],
    "stream that breaks": [request("/broken-stream")],
    "exception": [request("/broken")],
    "exception group": [request("/grouped")],
    "HTTP exception": [request("/teapot")],
    "cookies": [request("/cookies")],
    "background": [request("/background")],
    "thread": [request("/threaded")],
    "own IDs": [request("/own", "GET", b"", "X-Correlation-ID: order-1")],
    "hostile IDs": [request("/plain/7", "GET", b"", "X-Correlation-ID: <script>", "traceparent: nonsense")],
    "time-out and task group": [request("/timed")],
    "file": [request("/file")],
    "part of a file": [request("/file", "GET", b"", "Range: bytes=10-20")],
    "body": [request("/echo", "POST", b"a" * 1000)],
    "body of a mebibyte": [request("/echo", "POST", b"b" * MIB)],
    "compressed": [request("/echo", "POST", b"b" * MIB, "Accept-Encoding: gzip")],
    "chunks": [request("/parts", "POST", b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", CHUNKED)],
    "body that is not read": [request("/unread", "POST", b"c" * 1000)],
    "continue": [request("/echo", "POST", b"abc", "Expect: 100-continue")],
    "kept alive": [request("/plain/1", close=False), request("/plain/2", close=False), request("/plain/3")],
    "pipelined": [request("/stream", close=False) + request("/plain/2", close=False) + request("/plain/3")],
    "nonsense": [b"nonsense\r\n\r\n"],
    "WebSocket route over HTTP": [request("/ws")],
}


def asking(name: str) -> Callable[[Run], None]:
    def ask(run: Run) -> None:
        with run.serve(application(run)) as port:
            run.ask(port, *REQUESTS[name])

    return ask


def http_events_out_of_order(run: Run) -> None:
    """An application that breaks the rules hears of it from the server."""

    async def app(_: Any, receive: Any, send: Any) -> None:
        for event in (
            {"type": "http.response.body", "body": b"too early"},
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]},
            {"type": "http.response.start", "status": 200, "headers": []},
            {"type": "http.response.body", "body": b"x"},
            {"type": "http.response.body", "body": b"y"},
        ):
            await run.tried("endpoint", send(event))
        await run.tried("endpoint", receive())
        await run.tried("endpoint", receive())

    with run.serve(app) as port:
        run.ask(port, request("/"))


def http_without_an_answer(run: Run) -> None:
    async def returns(_: Any, receive: Any, send: Any) -> None: ...

    async def half(_: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})

    for app in (returns, half):
        with run.serve(app) as port:
            run.ask(port, request("/"))


def http_clients_that_leave(run: Run) -> None:
    ended = threading.Event()

    async def upload(request: Request) -> Response:
        try:
            await request.body()
        except ClientDisconnect as error:
            run.note("endpoint", error)
        finally:
            ended.set()
        return Response()

    async def watch(request: Request) -> Response:
        while not await request.is_disconnected():  # noqa: ASYNC110 - as applications do it
            await asyncio.sleep(0.01)
        run.note("endpoint", "gone")
        ended.set()
        return Response()

    async def endless(_: Request) -> Response:
        async def numbers() -> AsyncIterator[bytes]:
            try:
                while True:
                    await asyncio.sleep(0.01)
                    yield b"x"
            except BaseException as error:
                run.note("endpoint", type(error))
                ended.set()
                raise

        return StreamingResponse(numbers())

    app = Starlette(routes=[Route("/u", upload, methods=["POST"]), Route("/w", watch), Route("/e", endless)])
    with serve(run._wrap(app)) as port:  # how many chunks are sent is not to be compared
        for path, method, more in (
            ("/u", "POST", "Content-Length: 1000"),
            ("/w", "GET", "A: b"),
            ("/e", "GET", "A: b"),
        ):
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(request(path, method, b"", more))
                time.sleep(0.05)
            assert ended.wait(10)
            ended.clear()


# -- WebSockets ------------------------------------------------------------------------------------------------------


def handled(run: Run, handler: Any, **settings: Any) -> Any:
    return run.serve(Starlette(routes=[WebSocketRoute("/ws", handler)]), **settings)


def every_kind_of_message(run: Run) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())
        await websocket.send_bytes(await websocket.receive_bytes())
        await websocket.send_json(await websocket.receive_json())
        await websocket.send_json(await websocket.receive_json("binary"), "binary")
        await websocket.send({"type": "websocket.send", "text": None, "bytes": b"ab"})
        await websocket.send({"type": "websocket.send", "text": "", "bytes": None})
        async for text in websocket.iter_text():
            await websocket.send_text(text)
        run.note("handler", "the end")

    with handled(run, handler) as port, run.connect(port) as client:
        for message in (TEXT, b"\x00\xff", '{"a":[1]}', b'{"b":2}'):
            client.send(message)
            run.called("client", client.recv, timeout=5)
        for _ in range(2):
            run.called("client", client.recv, timeout=5)
        more: list[Any] = ["", CARRYING, "plain", ["fragments ", "of ", "one"], "x" * MIB]
        for message in more:
            client.send(message)
            run.called("client", client.recv, timeout=5)


def an_endpoint(run: Run) -> None:
    class Endpoint(WebSocketEndpoint):
        encoding = "json"

        async def on_connect(self, websocket: WebSocket) -> None:
            run.note("handler", "connect")
            await websocket.accept()

        async def on_receive(self, websocket: WebSocket, data: Any) -> None:
            await websocket.send_json({**data, "seen": True})

        async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
            run.note("handler", close_code)

    with handled(run, Endpoint) as port, run.connect(port) as client:
        client.send(CARRYING)
        run.called("client", client.recv, timeout=5)
        client.send("no JSON")
        run.called("client", client.recv, timeout=5)


def websocket_handshakes(run: Run) -> None:
    async def handler(websocket: WebSocket) -> None:
        scope = websocket.scope
        run.note(
            "handler", scope["path"], scope["query_string"], scope["subprotocols"], websocket.headers.get("x-till")
        )
        match scope["query_string"]:
            case b"accept":
                await websocket.accept("till", [(b"x-accepted", b"1")])
                run.note("handler", websocket.client_state, websocket.application_state)
            case b"close":
                await websocket.close(1008, "no")
            case b"deny":
                await websocket.send_denial_response(PlainTextResponse("no", 401, {"X-Why": "you"}))
            case b"raise":
                raise ValueError("2 x Ramen")
            case b"early":
                await run.tried("handler", websocket.send_text("too early"))
                await run.tried("handler", websocket.receive_text())
            case b"twice":
                await websocket.accept()
                await run.tried("handler", websocket.accept())

    with handled(run, handler) as port:
        for query in ("accept", "close", "deny", "raise", "early", "twice", "return"):
            try:
                with run.connect(
                    port, f"/ws?{query}", subprotocols=[Subprotocol("till")], additional_headers={"X-Till": "1"}
                ) as client:
                    run.note("client", client.subprotocol, client.response.headers.get("x-accepted"))
                    run.called("client", client.recv, timeout=5)
            except Exception as error:
                answer = getattr(error, "response", None)
                run.note("client", error, answer and (answer.status_code, answer.body, answer.headers.get("x-why")))
        run.called("client", run.connect, port, "/nowhere")


def how_websockets_end(run: Run) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            command = await websocket.receive_text()
        except WebSocketDisconnect as gone:
            run.note("handler", gone)
            await run.tried("handler", websocket.receive())
            await run.tried("handler", websocket.send_text("too late"))
            await run.tried("handler", websocket.close())
            return
        match command:
            case "raise":
                raise ValueError("2 x Ramen")
            case "group":
                async with asyncio.TaskGroup() as group:
                    group.create_task(websocket.receive_json())
            case "close":
                await websocket.close(4001, "why")
                await run.tried("handler", websocket.send_text("too late"))
                await run.tried("handler", websocket.receive())
                await run.tried("handler", websocket.receive())
            case "cancelled":
                raise asyncio.CancelledError

    with handled(run, handler) as port:
        for code, reason in ((1000, ""), (1001, "bye"), (4321, "é"), (1011, "")):
            with run.connect(port) as client:
                client.close(code, reason)
                run.note("client", client.close_code, client.close_reason)
        for command in ("raise", "group", "close", "return", "cancelled"):
            with run.connect(port) as client:
                client.send(command)
                if command == "group":
                    client.send("no JSON")
                run.called("client", client.recv, timeout=5)
                run.note("client", client.close_code, client.close_reason)


def websockets_that_break(run: Run) -> None:
    gone = threading.Event()

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        run.note("handler", await websocket.receive())
        await anyio.to_thread.run_sync(gone.wait, 5)
        for _ in range(2):
            await run.tried("handler", websocket.send_text("x"))
        await run.tried("handler", websocket.receive())

    with handled(run, handler) as port, run.connect(port, logger=None) as client:
        client.send(CARRYING)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.socket.shutdown(socket.SHUT_RD)
        client.socket.close()
        time.sleep(0.1)
        gone.set()


def websockets_over_the_limit(run: Run) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await run.tried("handler", websocket.receive())
        await run.tried("handler", websocket.receive())

    for message in ("x" * 2000, ["x" * 900, "y" * 900]):
        with handled(run, handler, ws_max_size=1000) as port, run.connect(port, logger=None) as client:
            with suppress(ConnectionClosed):
                client.send(message)
            with suppress(ConnectionClosed):
                client.recv(timeout=5)
            run.note("client", client.close_code, client.close_reason)


def receives_that_are_given_up(run: Run) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await run.tried("handler", asyncio.wait_for(websocket.receive(), 0.02))
        try:
            async with asyncio.timeout(0.02):
                await websocket.receive()
        except TimeoutError as error:
            run.note("handler", error)
        with anyio.move_on_after(0.02) as scope:
            await websocket.receive()
        run.note("handler", scope.cancelled_caught)
        task = asyncio.create_task(websocket.receive())
        await asyncio.sleep(0)
        task.cancel()
        await run.tried("handler", task)
        await websocket.send_text("go")
        for _ in range(3):
            await run.tried("handler", asyncio.wait_for(websocket.receive(), 5))

    with handled(run, handler) as port, run.connect(port) as client:
        run.called("client", client.recv, timeout=5)
        for message in (CARRYING, "two", ["th", "ree"]):
            client.send(message)
        run.called("client", client.recv, timeout=5)


def one_task_receives_and_many_send(run: Run) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        queue: asyncio.Queue[str] = asyncio.Queue()

        async def receiver() -> None:
            async for text in websocket.iter_text():
                queue.put_nowait(text)

        async def sender(number: int) -> None:
            while True:
                text = await queue.get()
                await websocket.send_text(text)
                queue.task_done()

        async with asyncio.TaskGroup() as group:
            senders = [group.create_task(sender(number)) for number in range(3)]
            await group.create_task(receiver())
            for each in senders:
                each.cancel()

    with handled(run, handler) as port, run.connect(port) as client:
        for number in range(100):
            client.send(CARRYING if number % 3 == 0 else str(number))
        for _ in range(100):
            run.called("client", client.recv, timeout=5)


def a_server_that_stops(run: Run) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("ready")
        await run.tried("handler", websocket.receive())

    with ExitStack() as stack:
        with handled(run, handler) as port:
            client = stack.enter_context(run.connect(port))
            run.called("client", client.recv, timeout=5)
        run.called("client", client.recv, timeout=5)


def a_handler_that_is_stopped_by_its_own(run: Run) -> None:
    """A cancel scope around a whole handler: the application's own time-out ends it."""

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        with anyio.move_on_after(0.05) as scope:
            async for text in websocket.iter_text():
                await websocket.send_text(text)
        run.note("handler", scope.cancelled_caught)
        await websocket.close(1008)

    with handled(run, handler) as port, run.connect(port) as client:
        client.send(CARRYING)
        for _ in range(2):
            run.called("client", client.recv, timeout=5)


USES = [
    *((name, asking(name)) for name in REQUESTS),
    *(
        (use.__name__, use)
        for use in (
            http_events_out_of_order, http_without_an_answer, http_clients_that_leave, every_kind_of_message,
            an_endpoint, websocket_handshakes, how_websockets_end, websockets_that_break, websockets_over_the_limit,
            receives_that_are_given_up, one_task_receives_and_many_send, a_server_that_stops,
            a_handler_that_is_stopped_by_its_own,
        )
    ),
]  # fmt: skip


def once(use: Callable[[Run], None], wrap: Callable[[Any], Any]) -> dict[str, object]:
    run = Run(wrap)
    use(run)
    return run.result()


@pytest.mark.parametrize(("name", "use"), USES, ids=[name for name, _ in USES])
def test_an_application(sdk: Sdk, name: str, use: Callable[[Run], None]) -> None:
    bare = once(use, lambda app: app)
    assert any(bare.values())
    assert once(use, TelemetryMiddleware) == bare
    if name != "nonsense":
        assert sdk.spans()  # it was at work
    asgi.instrument(sdk.telemetry)
    try:
        assert once(use, lambda app: app) == bare
    finally:
        asgi.uninstrument()


# -- what passes is the very same --------------------------------------------------------------------------------------

HTTP = {"type": "http", "method": "GET", "path": "/", "query_string": b"a=b", "headers": [], "http_version": "1.1"}
WEBSOCKET = {"type": "websocket", "path": "/", "query_string": b"a=b", "headers": []}


@pytest.mark.parametrize("kind", [HTTP, WEBSOCKET], ids=["http", "websocket"])
@pytest.mark.parametrize(
    "error",
    [ValueError("2 x Ramen"), ExceptionGroup("two", [ValueError(), KeyError()]), asyncio.CancelledError("mine"),
     KeyboardInterrupt(), SystemExit(3), OSError(32, "pipe")],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_an_exception_of_the_application_is_the_very_same(sdk: Sdk, kind: dict[str, Any], error: BaseException) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise error

    async def nothing(*_: Any) -> Any:
        raise AssertionError

    # By hand: no event loop takes an exit for its own.
    running = TelemetryMiddleware(app)(dict(kind), nothing, nothing)
    with pytest.raises(BaseException) as raised:  # noqa: PT011 - whichever it is
        running.send(None)
    assert raised.value is error


@pytest.mark.parametrize("kind", [HTTP, WEBSOCKET], ids=["http", "websocket"])
def test_events_and_an_exception_of_the_server_are_the_very_same(sdk: Sdk, kind: dict[str, Any]) -> None:
    broken = OSError(32, "pipe")
    events: list[dict[str, Any]] = [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": CARRYING}]
    if kind is HTTP:
        events = [{"type": "http.request", "body": b"a"}, {"type": "http.disconnect"}]
    answers: list[Any] = [{"type": "websocket.accept"}, {"type": "websocket.send", "text": "x"}]
    if kind is HTTP:
        answers = [{"type": "http.response.body", "body": b"a"}, {"type": "http.response.body", "body": b"b"}]
    received: list[Any] = []
    sent: list[Any] = []
    scope = dict(kind)

    async def app(theirs: Any, receive: Any, send: Any) -> None:
        assert theirs is scope
        assert theirs["query_string"] == b"a=b"
        received.extend([await receive(), await receive()])
        await send(answers[0])
        with pytest.raises(OSError) as raised:  # noqa: PT011 - it is this one
            await send(answers[1])
        assert raised.value is broken

    queue = iter(events)

    async def receive() -> Any:
        return next(queue)

    async def send(event: Any) -> None:
        if sent:
            raise broken
        sent.append(event)

    asyncio.run(TelemetryMiddleware(app)(scope, receive, send))
    assert [id(each) for each in received] == [id(each) for each in events]
    assert sent[0] is answers[0]


def test_a_lifespan_passes_untouched(sdk: Sdk) -> None:
    seen: list[Any] = []
    sent: list[Any] = []
    said = [{"type": f"lifespan.{each}.complete"} for each in ("startup", "shutdown")]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend((scope, receive))
        for each in said:
            await send(each)

    async def nothing() -> Any: ...

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "lifespan", "state": {}}
    asyncio.run(TelemetryMiddleware(app)(scope, nothing, send))
    assert seen == [scope, nothing]
    assert sent == said
