"""The websockets library: what is counted, what is followed, and that everything is as it was afterwards."""

import asyncio
import contextlib
import functools
import http
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import websockets.asyncio.client
import websockets.asyncio.connection
import websockets.asyncio.server
import websockets.sync.client
import websockets.sync.connection
import websockets.sync.server
from opentelemetry import trace
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin
from websockets.uri import parse_uri

import printobs
from printobs.core.attributes import Bounded
from printobs.integrations import websockets as integration
from printobs.integrations import websockets_endpoints as endpoints
from printobs.signals.correlation import correlation, correlation_id
from tests.conftest import Sdk
from tests.integrations.uber import uber

pytestmark = pytest.mark.anyio

RECEIVED = {"network__io__direction": "receive"}
SENT = {"network__io__direction": "transmit"}


@pytest.fixture
def counted(sdk: Sdk) -> Iterator[Sdk]:
    integration.instrument(sdk.telemetry)
    yield sdk
    integration.uninstrument()


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def port(server: Any) -> int:
    return next(iter(server.sockets)).getsockname()[1]  # type: ignore[no-any-return]


async def until(done: Any) -> None:
    for _ in range(300):
        if done():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


async def test_messages_and_bytes_are_counted_on_both_ends(counted: Sdk) -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        async with connect(f"ws://127.0.0.1:{port(server)}/?token=secret") as client:
            assert counted.value("websocket.server.active_connections") == 1
            for message in ("é" * 10, b"\x00" * 7, ["a", "bc"]):
                await client.send(message)
                await client.recv()
            await (await client.ping())
        await until(lambda: counted.value("websocket.server.disconnections") == 1)
    for side in ("client", "server"):
        for direction in (RECEIVED, SENT):
            assert counted.value(f"websocket.{side}.messages", **direction, websocket__message__type="text") == 2
            assert counted.value(f"websocket.{side}.io", **direction, websocket__message__type="text") == 23
            assert counted.value(f"websocket.{side}.messages", **direction, websocket__message__type="binary") == 1
            assert counted.value(f"websocket.{side}.io", **direction, websocket__message__type="binary") == 7
        assert counted.value(f"websocket.{side}.active_connections") == 0
        assert counted.value(f"websocket.{side}.disconnections", websocket__close__code="1000") == 1
        assert counted.value(f"websocket.{side}.connection.duration") == 1
        assert counted.value(f"websocket.{side}.connection.errors") == 0
    assert counted.value("websocket.client.ping.duration") == 1
    assert all("secret" not in span.to_json() for span in counted.spans())


async def test_broadcast_is_counted(counted: Sdk) -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        uri = f"ws://127.0.0.1:{port(server)}"
        async with connect(uri) as one, connect(uri) as two:
            await until(lambda: len(server.connections) == 2)
            broadcast(server.connections, "hello")
            assert await one.recv() == await two.recv() == "hello"
    assert counted.value("websocket.server.messages", **SENT) == 2
    assert counted.value("websocket.client.io", **RECEIVED) == 10


async def test_refused_handshakes_are_errors_by_status(counted: Sdk) -> None:
    def refuse(connection: ServerConnection, _request: object) -> Any:
        return connection.respond(http.HTTPStatus.UNAUTHORIZED, "no\n")

    async with serve(echo, "127.0.0.1", 0, process_request=refuse) as server:
        with pytest.raises(InvalidStatus):
            await connect(f"ws://127.0.0.1:{port(server)}")
        await until(lambda: len(counted.spans("websocket handshake")) == 2)
    for side in ("client", "server"):
        assert counted.value(f"websocket.{side}.connection.errors", error__type="401") == 1
        assert counted.value(f"websocket.{side}.handshake.refusals", websocket__refusal__reason="unauthorized") == 1
        assert counted.value(f"websocket.{side}.active_connections") == 0


async def test_why_a_handshake_was_refused(counted: Sdk) -> None:
    def refuse(connection: ServerConnection, request: Any) -> Any:
        if request.path == "/told":
            printobs.refusal(connection, "rate_limited")
            return connection.respond(http.HTTPStatus.BAD_REQUEST, "no\n")
        return connection.respond(http.HTTPStatus.OK, "alive\n") if request.path == "/health" else None

    async with serve(echo, "127.0.0.1", 0, process_request=refuse, origins=["https://till.example"]) as server:
        uri = f"ws://127.0.0.1:{port(server)}"
        with pytest.raises(InvalidStatus):
            await connect(uri + "/told")
        with pytest.raises(InvalidStatus):
            await connect(uri, origin=Origin("https://evil.example"))
        with pytest.raises(InvalidStatus):
            await connect(uri + "/health")  # an HTTP request, for the server
        # The last two are not answered: what is no HTTP request, and who leaves.
        for request in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"nonsense\r\n\r\n", b""):
            reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
            writer.write(request)
            if not request:
                writer.write_eof()
            await reader.read()
            writer.close()
        await until(lambda: counted.value("websocket.server.connection.errors") == 5)
    reasons = {
        point.attributes["websocket.refusal.reason"]: point.value
        for point in counted.points("websocket.server.handshake.refusals")
    }
    assert reasons == {"rate_limited": 1, "origin": 1, "protocol_error": 1}
    assert counted.value("websocket.client.handshake.refusals", websocket__refusal__reason="forbidden") == 1


async def test_the_application_says_who_is_connected_and_reads_how_well_that_works(counted: Sdk) -> None:
    desktop = {"client__type": "desktop", "branch__name": "mitte"}
    levels: list[str] = []

    async def handler(connection: ServerConnection) -> None:
        await connection.recv()
        printobs.identify(connection, client_type="desktop", branch="mitte", client="pc")
        await connection.send("welcome")
        async for message in connection:
            await (await connection.ping())
            levels.append(printobs.quality(connection).level)
            await connection.send(message)

    async with serve(handler, "127.0.0.1", 0, ping_interval=None) as server:
        for end in ("abort", "close"):
            async with connect(f"ws://127.0.0.1:{port(server)}", ping_interval=None) as client:
                printobs.identify(client, client_type="desktop", branch="mitte")  # the client's own end: not labelled
                await client.send(["hel", "lo"])
                await client.recv()
                await client.send("x")
                await client.recv()
                assert counted.value("websocket.server.active_connections", **desktop) == 1
                assert counted.value("websocket.server.quality.level", quality__level=levels[-1], **desktop) == 1
                if end == "abort":
                    client.transport.abort()
            await until(lambda: counted.value("websocket.server.active_connections") == 0)
        assert levels[0] == "excellent"
    assert counted.value("websocket.server.messages", **RECEIVED) == 4
    assert counted.value("websocket.server.messages", **RECEIVED, **desktop) == 2
    assert counted.value("websocket.server.disconnections", **desktop) == 2
    for name in ("active_connections", "quality.level"):
        assert {point.value for point in counted.points(f"websocket.server.{name}")} == {0}
    assert counted.value("websocket.client.messages", **desktop) == 0


async def test_who_leaves_while_the_application_thinks_about_it_is_an_error(counted: Sdk) -> None:
    asked = asyncio.Event()

    async def think(connection: ServerConnection, _request: object) -> None:
        asked.set()
        await connection.wait_closed()

    async with serve(echo, "127.0.0.1", 0, process_request=think) as server:
        client = asyncio.create_task(connect(f"ws://127.0.0.1:{port(server)}").__aenter__())
        await asked.wait()
        client.cancel()
        await asyncio.wait([client])
        await until(lambda: len(counted.spans("websocket handshake")) == 2)
    [span] = [span for span in counted.spans() if span.kind.name == "SERVER"]
    assert span.attributes is not None
    assert span.attributes["error.type"] == "abnormal_closure"
    assert counted.value("websocket.server.connection.errors", error__type="abnormal_closure") == 1


async def test_servers_beyond_the_bound_share_a_series(counted: Sdk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "_servers", Bounded("server.address", 1))
    for _ in range(3):
        async with serve(echo, "127.0.0.1", 0) as server, connect(f"ws://127.0.0.1:{port(server)}") as client:
            await client.send("hello")
            await client.recv()
    assert counted.value("websocket.client.messages", server__address="127.0.0.1", **SENT) == 1
    assert counted.value("websocket.client.messages", server__address="_OTHER", **SENT) == 2
    others = [
        point for point in counted.points("websocket.client.messages") if point.attributes["server.address"] == "_OTHER"
    ]
    assert others
    assert not any("server.port" in point.attributes for point in others)
    spans = [dict(span.attributes or {}) for span in counted.spans("websocket handshake") if span.kind.name == "CLIENT"]
    assert [(each["server.address"], "server.port" in each) for each in spans] == [
        ("127.0.0.1", True),
        ("_OTHER", False),
        ("_OTHER", False),
    ]


async def test_a_client_that_is_put_together_from_the_librarys_parts_is_counted(counted: Sdk) -> None:
    module: Any = websockets.asyncio.client
    async with serve(echo, "127.0.0.1", 0) as server:
        protocol = module.ClientProtocol(parse_uri(f"ws://127.0.0.1:{port(server)}"))
        _, client = await asyncio.get_running_loop().create_connection(
            lambda: module.ClientConnection(protocol), "127.0.0.1", port(server)
        )
        await client.handshake()
        await client.send("hello")
        await client.recv()
        await client.close()
    assert counted.value("websocket.client.messages", **SENT) == 1
    assert [span.kind.name for span in counted.spans("websocket handshake")] == ["SERVER"]


async def test_of_the_pings_that_wait_for_an_answer_sixteen_are_timed(counted: Sdk) -> None:
    async with serve(echo, "127.0.0.1", 0) as server, connect(f"ws://127.0.0.1:{port(server)}") as client:
        client.transport.pause_reading()
        pongs = [await client.ping() for _ in range(17)]
        client.transport.resume_reading()
        await asyncio.gather(*pongs)
        assert counted.value("websocket.client.ping.duration") == 16
        await (await client.ping())
    assert counted.value("websocket.client.ping.duration") == 17


async def test_an_answer_to_a_ping_answers_the_earlier_ones(counted: Sdk) -> None:
    async with serve(echo, "127.0.0.1", 0) as server, connect(f"ws://127.0.0.1:{port(server)}") as client:
        await until(lambda: server.connections)
        [peer] = server.connections
        peer.transport.pause_reading()
        pongs = [await client.ping(data) for data in ("one", "two", "three")]
        await peer.pong("two")
        await asyncio.gather(*pongs[:2])
        assert counted.value("websocket.client.ping.duration") == 1
        peer.transport.resume_reading()  # only now it answers each of them
        await pongs[2]
        await client.send("x")
        await client.recv()
    assert counted.value("websocket.client.ping.duration") == 2


async def test_a_propagator_may_look_at_the_names_of_all_headers(counted: Sdk) -> None:
    seen: list[str | None] = []

    async def handler(_connection: ServerConnection) -> None:
        seen.append(correlation_id())

    with uber():
        async with (
            serve(handler, "127.0.0.1", 0) as server,
            connect(
                f"ws://127.0.0.1:{port(server)}", additional_headers={"uberctx-correlation.id": "order-1"}
            ) as client,
        ):
            await client.wait_closed()
    assert seen == ["order-1"]


async def test_a_connection_that_breaks_is_abnormal(counted: Sdk) -> None:
    async with serve(echo, "127.0.0.1", 0) as server, connect(f"ws://127.0.0.1:{port(server)}") as client:
        client.transport.abort()
        await until(lambda: counted.value("websocket.server.disconnections") == 1)
    for side in ("client", "server"):
        assert counted.value(f"websocket.{side}.disconnections", websocket__close__code="1006") == 1
        assert counted.value(f"websocket.{side}.connection.errors", error__type="abnormal_closure") == 1


async def test_private_and_failing_close_codes(counted: Sdk) -> None:
    async def handler(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            await connection.recv()
        if connection.request is not None and connection.request.path == "/private":
            await connection.close(4321)
        raise RuntimeError("2 x Ramen")

    async with serve(handler, "127.0.0.1", 0) as server:
        for path in ("/private", "/fails"):
            async with connect(f"ws://127.0.0.1:{port(server)}{path}") as client:
                await client.send("go")
                with contextlib.suppress(ConnectionClosed):
                    await client.recv()
    assert counted.value("websocket.server.disconnections", websocket__close__code="private") == 1
    assert counted.value("websocket.server.connection.errors", error__type="internal_error") == 1


async def test_one_trace_and_one_id_from_the_client_into_the_handler(counted: Sdk) -> None:
    seen: list[tuple[str | None, int]] = []

    async def handler(connection: ServerConnection) -> None:
        async for message in connection:
            seen.append((correlation_id(), trace.get_current_span().get_span_context().trace_id))
            await connection.send(message)

    message = {"traceparent": f"00-{7:032x}-{8:016x}-01", "baggage": "correlation.id=order-2"}
    async with serve(handler, "127.0.0.1", 0) as server:
        with correlation("order-1"):
            client = await connect(f"ws://127.0.0.1:{port(server)}")
        for each in ("plain", json.dumps(message), "plain"):
            await client.send(each)
            await client.recv()
        await client.close()
    assert seen == [("order-1", 0), ("order-2", 7), ("order-1", 0)]
    ours, theirs = sorted(counted.spans("websocket handshake"), key=lambda span: span.kind.name)
    assert (ours.kind.name, theirs.kind.name) == ("CLIENT", "SERVER")
    assert theirs.parent is not None
    assert theirs.parent.span_id == ours.context.span_id
    handled = [span for span in counted.spans("websocket message") if span.links]
    assert len(handled) == 1
    assert handled[0].links[0].context.span_id == theirs.context.span_id


def test_the_threading_implementation(counted: Sdk) -> None:
    def handler(connection: Any) -> None:
        for message in connection:
            connection.send(message + (correlation_id() or "none"))

    with websockets.sync.server.serve(handler, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        uri = f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        with correlation("order-1"), websockets.sync.client.connect(uri) as client:
            client.send("hello ")
            assert client.recv() == "hello order-1"
            client.send('{"baggage":"correlation.id=order-2"}')
            assert client.recv().endswith("}order-2")  # type: ignore[arg-type]
        server.shutdown()  # before 17 it does not wait for the connections' threads
        thread.join()
        asyncio.run(until(lambda: counted.value("websocket.server.disconnections") == 1))
    for side in ("client", "server"):
        assert counted.value(f"websocket.{side}.messages", **RECEIVED) == 2
        assert counted.value(f"websocket.{side}.disconnections", websocket__close__code="1000") == 1


MODULES = (
    websockets.asyncio.client, websockets.asyncio.server, websockets.asyncio.connection,
    websockets.sync.client, websockets.sync.server, websockets.sync.connection,
)  # fmt: skip


def attributes() -> dict[tuple[Any, str], object]:
    owners = [*MODULES, *(value for module in MODULES for value in vars(module).values() if isinstance(value, type))]
    return {(owner, name): value for owner in owners for name, value in vars(owner).items()}


def test_uninstrument_leaves_every_attribute_as_it_was(sdk: Sdk) -> None:
    before = attributes()
    integration.instrument(sdk.telemetry)
    once = attributes()
    integration.instrument(sdk.telemetry)
    assert attributes() == once != before
    integration.uninstrument()
    integration.uninstrument()
    assert attributes() == before


def test_where_something_cannot_be_patched_nothing_is(sdk: Sdk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(websockets.sync.server.ServerConnection, "handshake")  # as a version to come may
    before = attributes()
    with pytest.raises(KeyError, match="handshake"):
        integration.instrument(sdk.telemetry)
    assert attributes() == before
    monkeypatch.undo()
    integration.instrument(sdk.telemetry)
    assert attributes() != before
    integration.uninstrument()


def another_tools(ours: Any) -> Any:
    if isinstance(ours, type):
        return type(ours.__name__, (ours,), {})

    @functools.wraps(ours)
    def call(*args: Any, **kwargs: Any) -> Any:
        return ours(*args, **kwargs)

    return call


@pytest.fixture
def laid_over(sdk: Sdk) -> Iterator[Sdk]:
    before = attributes()
    integration.instrument(sdk.telemetry)
    patched = {(owner, name): theirs for (owner, name), theirs in before.items() if vars(owner)[name] is not theirs}
    over = {(owner, name): another_tools(vars(owner)[name]) for owner, name in patched}
    for (owner, name), theirs in over.items():
        setattr(owner, name, theirs)
    integration.uninstrument()
    assert len(over) >= 9
    assert {(owner, name): vars(owner)[name] for owner, name in over} == over
    yield sdk
    for (owner, name), theirs in patched.items():
        setattr(owner, name, theirs)


def is_silent(sdk: Sdk) -> bool:
    names = [f"websocket.{side}.{what}" for side in ("client", "server") for what in ("messages", "disconnections")]
    return not sdk.spans() and not any(sdk.value(name) for name in names)


async def test_what_another_tool_has_laid_over_ours_stays_and_counts_nothing_more(laid_over: Sdk) -> None:
    async with serve(echo, "127.0.0.1", 0) as server, connect(f"ws://127.0.0.1:{port(server)}") as client:
        for message in ("text", b"binary", ["in ", "parts"], [b"in ", b"parts"]):
            await client.send(message)
            assert await client.recv() in ("text", b"binary", "in parts", b"in parts")
        await (await client.ping())
    assert is_silent(laid_over)


def test_nor_in_the_threading_implementation(laid_over: Sdk) -> None:
    def handler(connection: Any) -> None:
        for message in connection:
            connection.send(message)

    with websockets.sync.server.serve(handler, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with websockets.sync.client.connect(f"ws://127.0.0.1:{server.socket.getsockname()[1]}") as client:
            client.send("hello")
            assert client.recv() == "hello"
        server.shutdown()
        thread.join()
    assert is_silent(laid_over)


async def test_telemetry_that_fails_changes_nothing(counted: Sdk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    for name in ("opentelemetry.propagate.inject", "opentelemetry.propagate.extract"):
        monkeypatch.setattr(name, fail)
    monkeypatch.setattr(counted.telemetry.tracer, "start_span", fail)
    monkeypatch.setattr("printobs.signals.connections.Connection.opened", fail)
    async with serve(echo, "127.0.0.1", 0) as server, connect(f"ws://127.0.0.1:{port(server)}") as client:
        await client.send('{"traceparent":"00-' + "1" * 32 + "-" + "1" * 16 + '-01"}')
        assert "traceparent" in str(await client.recv())
