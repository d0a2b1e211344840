"""The websockets library does with printobs what it does without: values, exceptions, close codes, frames, order.

Each use below is run twice over real connections and must show the same both times.
"""

import asyncio
import contextlib
import http
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
import websockets.asyncio.client as asyncio_client
import websockets.asyncio.server as asyncio_server
import websockets.sync.client as sync_client
import websockets.sync.server as sync_server
from websockets.asyncio.server import ServerConnection, broadcast
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

from printobs.integrations import websockets as integration
from tests.conftest import Sdk
from tests.integrations import parity
from tests.integrations.parity import CARRYING

Handler = Callable[[ServerConnection], Awaitable[None]]
TEXT = "2 x Ramen 🍜 "
MIB = 1 << 20

# Headers that differ from one connection to the next, and those that printobs is there to add.
DIFFERENT = {"date", "host", "sec-websocket-key", "sec-websocket-accept", "traceparent", "baggage"}


def headers(found: Any) -> list[tuple[str, str]]:
    return [(name, value) for name, value in found.raw_items() if name.lower() not in DIFFERENT]


class Run(parity.Run):
    """Servers and clients on real sockets, which tell every frame."""

    @asynccontextmanager
    async def serve(self, handler: Handler, **settings: Any) -> AsyncIterator[asyncio_server.Server]:
        settings = {"ping_interval": None, "logger": self.logger("server"), **settings}
        async with asyncio_server.serve(handler, "127.0.0.1", 0, **settings) as server:
            yield server

    def connect(self, server: Any, path: str = "/", **settings: Any) -> asyncio_client.connect:
        settings = {"ping_interval": None, "logger": self.logger("client"), "proxy": None, **settings}
        return asyncio_client.connect(f"ws://127.0.0.1:{port(server)}{path}", **settings)

    async def tried_client(self, who: str, connecting: asyncio_client.connect) -> Any:
        """The connection, if there is one; what is raised is seen."""
        try:
            return await connecting
        except Exception as error:
            self.note(who, error)
            return None

    async def echo(self, connection: ServerConnection) -> None:
        """A handler: what it receives is noted and sent back, and so is how it ends."""
        try:
            async for message in connection:
                self.note("server", message)
                await connection.send(message)
            self.note("server", "the end")
        except ConnectionClosed as closed:
            self.note("server", closed)


def port(server: Any) -> int:
    return next(iter(server.sockets)).getsockname()[1]  # type: ignore[no-any-return]


# -- asyncio: messages -----------------------------------------------------------------------------------------------


async def whole_messages(run: Run) -> None:
    async with run.serve(run.echo) as server, run.connect(server) as client:
        for message in ("", "é", TEXT, b"", b"\x00\xff", bytearray(b"ab"), memoryview(b"cd"), CARRYING, "plain"):
            await client.send(message)
            await run.tried("client", client.recv())
        await client.send("é", text=False)
        await run.tried("client", client.recv(decode=True))
        await client.send("é".encode(), text=True)
        await run.tried("client", client.recv(decode=False))


async def what_cannot_be_sent(run: Run) -> None:
    async with run.serve(run.echo) as server, run.connect(server) as client:
        for message in (7, None, {"a": 1}, "\ud800", [7], [], ["a", b"b"]):
            await run.tried("client", client.send(message))  # type: ignore[arg-type]
        await run.tried("client", client.recv())


async def fragments(run: Run) -> None:
    async def some() -> AsyncIterator[str]:
        for part in ("2 x ", "", CARRYING):
            await asyncio.sleep(0)
            yield part

    async with run.serve(run.echo) as server, run.connect(server) as client:
        for message in (["a", "b", ""], (part for part in (b"a", b"b")), some()):
            await client.send(message)
            await run.tried("client", client.recv())


async def a_fragmented_message_that_breaks(run: Run) -> None:
    def broken() -> Iterator[str]:
        yield "2 x "
        raise ValueError("no more")

    async with run.serve(run.echo) as server, run.connect(server) as client:
        await run.tried("client", client.send(broken()))
        await run.tried("client", client.recv())


async def streaming(run: Run) -> None:
    async def handler(connection: ServerConnection) -> None:
        for message in (["a", "é", "c"], [b"a", b"b"], "whole", CARRYING, "after"):
            await connection.send(message)
        await connection.wait_closed()

    async with run.serve(handler) as server, run.connect(server) as client:
        run.note("client", [part async for part in client.recv_streaming()])
        run.note("client", [part async for part in client.recv_streaming(decode=True)])
        run.note("client", [part async for part in client.recv_streaming(decode=False)])
        run.note("client", [part async for part in client.recv_streaming()])
        await run.tried("client", client.recv())


async def a_stream_that_is_abandoned(run: Run) -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.send(["a", "b"])
        await connection.wait_closed()

    async with run.serve(handler) as server, run.connect(server) as client:
        stream = client.recv_streaming()
        run.note("client", await anext(stream))
        await run.tried("client", client.recv())
        await stream.aclose()  # type: ignore[attr-defined]
        await run.tried("client", client.recv())


async def huge_messages(run: Run) -> None:
    async with run.serve(run.echo, max_size=None) as server, run.connect(server, max_size=None) as client:
        for message in ("x" * 3 * MIB, b"\x00" * 3 * MIB, ["y" * MIB, "z" * MIB]):
            await client.send(message)
            received = await client.recv()
            run.note("client", len(received), received[:5], received[-5:])


async def messages_over_the_limit(run: Run) -> None:
    for message in ("x" * 2000, ["x" * 600, "y" * 600], b"\x00" * 2000):
        async with run.serve(run.echo, max_size=1000) as server, run.connect(server) as client:
            await run.tried("client", client.send(message))
            await run.tried("client", client.recv())


async def compression(run: Run) -> None:
    for ours, theirs in (("deflate", "deflate"), (None, "deflate"), (None, None)):
        async with run.serve(run.echo, compression=theirs) as server, run.connect(server, compression=ours) as client:
            assert client.response is not None
            run.note("client", client.response.headers.get("Sec-WebSocket-Extensions"))
            for message in (TEXT * 1000, bytes(range(256)) * 40, ["a" * 500, "b" * 500]):
                await client.send(message)
                await run.tried("client", client.recv())


# -- asyncio: handshakes ---------------------------------------------------------------------------------------------


async def subprotocols(run: Run) -> None:
    till, bar = Subprotocol("till"), Subprotocol("bar")
    async with run.serve(run.echo, subprotocols=[till, bar]) as server:
        for offered in ([bar, till], [Subprotocol("none")], None):
            client = await run.tried_client("client", run.connect(server, subprotocols=offered))
            if client is not None:
                run.note("client", client.subprotocol)
                await client.close()


async def what_both_know_of_a_connection(run: Run) -> None:
    async def handler(connection: ServerConnection) -> None:
        assert connection.request is not None
        assert connection.response is not None
        run.note("server", type(connection), connection.request.path, headers(connection.request.headers))
        run.note("server", connection.response.status_code, headers(connection.response.headers), connection.state)
        await connection.wait_closed()
        run.note("server", connection.close_code, connection.close_reason, connection.state)

    theirs = {"X-Till": "1", "User-Agent": "till"}
    async with run.serve(handler, server_header="s") as server:
        async with run.connect(server, "/a?b=c", additional_headers=theirs) as client:
            assert client.request is not None
            assert client.response is not None
            run.note("client", type(client), headers(client.request.headers), headers(client.response.headers))
        run.note("client", client.close_code, client.close_reason, client.state, client.response.status_code)


async def the_applications_own_trace_headers(run: Run) -> None:
    async def handler(connection: ServerConnection) -> None:
        assert connection.request is not None
        run.note("server", connection.request.headers.get_all("traceparent"))

    async with run.serve(handler) as server:
        theirs = f"00-{7:032x}-{8:016x}-00"
        async with run.connect(server, additional_headers={"traceparent": theirs}) as client:
            await run.tried("client", client.recv())


async def refused_handshakes(run: Run) -> None:
    def decide(connection: ServerConnection, request: Any) -> Any:
        if request.path == "/fails":
            raise ValueError("2 x Ramen")
        if request.path == "/health":
            return connection.respond(http.HTTPStatus.OK, "alive\n")
        return connection.respond(http.HTTPStatus.UNAUTHORIZED, "no\n") if request.path == "/no" else None

    async with run.serve(run.echo, process_request=decide, origins=[Origin("https://till.example")]) as server:
        for path, origin in (("/", "https://evil.example"), ("/no", None), ("/fails", None), ("/health", None)):
            await run.tried_client("client", run.connect(server, path, origin=origin))
        client = await run.tried_client("client", run.connect(server, origin=Origin("https://till.example")))
        await client.close()


async def connected(uri: str) -> None:
    async with asyncio_client.connect(uri, proxy=None):
        pass


async def servers_that_are_none(run: Run) -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def nonsense(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    for behaviour in (hang_up, nonsense, silent):
        server = await asyncio.start_server(behaviour, "127.0.0.1", 0)
        await run.tried_client("client", run.connect(server, open_timeout=0.3))
        server.close()
        await server.wait_closed()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        uri = f"ws://127.0.0.1:{closed.getsockname()[1]}"
        await run.tried_client("client", asyncio_client.connect(uri, proxy=None))
    for uri in ("http://127.0.0.1", "ws://", "nonsense"):
        await run.tried("client", connected(uri))


async def clients_that_are_none(run: Run) -> None:
    async with run.serve(run.echo, open_timeout=0.3) as server:
        for request in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n", b""):
            reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
            writer.write(request)
            answer = await reader.read()
            run.note("raw", [line for line in answer.split(b"\r\n") if not line.lower().startswith(b"date")])
            writer.close()


async def reconnections(run: Run) -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.send(TEXT)

    async with run.serve(handler) as server:
        rounds = 0
        async for client in run.connect(server):
            run.note("client", [message async for message in client])
            rounds += 1
            if rounds == 3:
                break
        run.note("client", rounds)


# -- asyncio: ends ---------------------------------------------------------------------------------------------------


async def close_codes(run: Run) -> None:
    for code, reason in ((1000, ""), (1001, "bye"), (1011, "é"), (3000, ""), (4321, "x" * 123)):
        async with run.serve(run.echo) as server:
            client = await run.connect(server)
            await client.close(code, reason)
            await run.tried("client", client.recv())
            run.note("client", client.close_code, client.close_reason)


async def close_codes_of_the_server(run: Run) -> None:
    for code in (1000, 1008, 1013, 4001):

        async def handler(connection: ServerConnection, code: int = code) -> None:
            await connection.close(code, "why")

        async with run.serve(handler) as server, run.connect(server) as client:
            run.note("client", [message async for message in client] if code == 1000 else None)
            await run.tried("client", client.recv())
            await run.tried("client", client.send("too late"))


async def close_codes_that_are_none(run: Run) -> None:
    async with run.serve(run.echo) as server, run.connect(server) as client:
        for code, reason in ((999, ""), (1005, ""), (1006, ""), (5000, ""), (1000, "x" * 124)):
            await run.tried("client", client.close(code, reason))


async def handlers_that_end(run: Run) -> None:
    async def fails(_: ServerConnection) -> None:
        raise ValueError("2 x Ramen")

    async def fails_while_handling(connection: ServerConnection) -> None:
        await connection.recv()
        raise ValueError("2 x Ramen")

    async def returns(_: ServerConnection) -> None: ...

    for handler in (fails, fails_while_handling, returns):
        async with run.serve(handler) as server, run.connect(server) as client:
            await run.tried("client", client.send(CARRYING))
            await run.tried("client", client.recv())
            await run.tried("client", client.wait_closed())


async def after_the_end(run: Run) -> None:
    async with run.serve(run.echo) as server:
        client = await run.connect(server)
        await client.close()
        for call in (client.send("x"), client.send(["a", "b"]), client.recv(), client.ping(), client.pong(),
                     client.close(), client.wait_closed()):  # fmt: skip
            await run.tried("client", call)
        run.note("client", [message async for message in client])


async def a_block_that_is_left_by_an_exception(run: Run) -> None:
    async with run.serve(run.echo) as server:
        try:
            async with run.connect(server) as client:
                await client.send(CARRYING)
                raise KeyError("mine")
        except KeyError as error:
            run.note("client", error)
        await run.tried("client", client.recv())
        await run.tried("client", client.recv())


async def connections_that_break(run: Run) -> None:
    async with run.serve(run.echo) as server:
        client = await run.connect(server)
        client.transport.abort()
        await run.tried("client", client.recv())
        await run.tried("client", client.send("x"))

    async def breaks(connection: ServerConnection) -> None:
        connection.transport.abort()

    async with run.serve(breaks) as server, run.connect(server) as client:
        await run.tried("client", client.recv())
        await run.tried("client", client.recv())


async def a_server_that_stops(run: Run) -> None:
    async with run.serve(run.echo) as server, run.connect(server) as one, run.connect(server) as two:
        await one.send(CARRYING)
        await run.tried("client", one.recv())
        server.close()
        for client in (one, two):
            await run.tried("client", client.recv())
        await server.wait_closed()


async def bytes_that_break_the_protocol(run: Run) -> None:
    mask = b"\x00\x00\x00\x00"  # of zeros: the payload is as it is
    for frame in (
        b"\x81\x01x",  # not masked
        b"\xc1\x81" + mask + b"x",  # a reserved bit
        b"\x83\x80" + mask,  # a reserved opcode
        b"\x81\x82" + mask + b"\xc3\x28",  # no UTF-8
        b"\x80\x81" + mask + b"x",  # a continuation of nothing
        b"\x01\x81" + mask + b"x\x81\x81" + mask + b"y",  # a message inside another
        b"\x09\x80" + mask,  # a fragmented ping
        b"\x89\xfe\x00\x7e" + mask + b"x" * 126,  # a ping that is too long
        b"\x88\x81" + mask + b"x",  # half a close code
        b"\x88\x82" + mask + b"\x03\xe7",  # 999
        b"\x88\x84" + mask + b"\x03\xe8\xc3\x28",  # a reason that is no UTF-8
        b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff" + mask,  # 8 EiB
        b"\x01\x81" + mask + b"x\x88\x82" + mask + b"\x03\xe8",  # a close inside a message
    ):
        async with run.serve(run.echo) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
            writer.write(
                b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n" + frame
            )
            answer = await reader.read()
            run.note("raw", answer.partition(b"\r\n\r\n")[2])
            writer.close()


async def a_client_that_does_not_answer_pings(run: Run) -> None:
    async with run.serve(run.echo, ping_interval=0.05, ping_timeout=0.1, close_timeout=0.1) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
        writer.write(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        answer = await reader.read()
        run.note("raw", answer.partition(b"\r\n\r\n")[2][6:])  # behind the ping, whose payload is random
        writer.close()


# -- asyncio: more than one thing at once ----------------------------------------------------------------------------


async def receives_that_are_given_up(run: Run) -> None:
    go = asyncio.Event()

    async def handler(connection: ServerConnection) -> None:
        await go.wait()
        for message in (CARRYING, "two", ["th", "ree"]):
            await connection.send(message)
        await connection.wait_closed()

    async with run.serve(handler) as server, run.connect(server) as client:
        await run.tried("client", asyncio.wait_for(client.recv(), 0.02))
        try:
            async with asyncio.timeout(0.02):
                await client.recv()
        except TimeoutError as error:
            run.note("client", error)
        task = asyncio.create_task(client.recv())
        await asyncio.sleep(0)
        task.cancel()
        await run.tried("client", task)
        go.set()
        for _ in range(3):
            await run.tried("client", asyncio.wait_for(client.recv(), 5))


async def two_receivers(run: Run) -> None:
    async with run.serve(run.echo) as server, run.connect(server) as client:
        first = asyncio.create_task(client.recv())
        await asyncio.sleep(0)
        await run.tried("client", client.recv())
        await client.send(CARRYING)
        await run.tried("client", first)


async def many_senders(run: Run) -> None:
    async def parts(number: int) -> AsyncIterator[str]:
        for part in "abc":
            yield f"{number}{part} "
            await asyncio.sleep(0)

    async def sender(client: Any, number: int) -> None:
        await client.send(parts(number) if number % 3 else CARRYING)
        await client.send(str(number))

    async with run.serve(run.echo) as server, run.connect(server) as client:
        await asyncio.gather(*(sender(client, number) for number in range(30)))
        for _ in range(60):
            await run.tried("client", client.recv())


async def a_send_that_is_cancelled(run: Run) -> None:
    async def forever() -> AsyncIterator[str]:
        yield "begun"
        await asyncio.Event().wait()

    async with run.serve(run.echo) as server, run.connect(server) as client:
        task = asyncio.create_task(client.send(forever()))
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        await run.tried("client", task)
        await run.tried("client", client.send("x"))


async def broadcasts(run: Run) -> None:
    async with run.serve(run.echo) as server, run.connect(server) as one, run.connect(server) as two:
        gone = await run.connect(server)
        everybody = set(server.connections)
        await gone.close()
        for message in (TEXT, b"\x00", CARRYING):
            broadcast(everybody, message)
        run.called("server call", broadcast, everybody, ["no"])
        for client in (one, two):
            for _ in range(3):
                await run.tried("client", client.recv())


async def a_broadcast_into_a_fragmented_message(run: Run) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def parts() -> AsyncIterator[str]:
        yield "a"
        begun.set()
        await go.wait()
        yield "b"

    async def handler(connection: ServerConnection) -> None:
        sending = asyncio.create_task(connection.send(parts()))
        await begun.wait()
        run.called("server call", broadcast, {connection}, "x", raise_exceptions=True)
        go.set()
        await sending
        broadcast({connection}, "after")

    async with run.serve(handler) as server, run.connect(server) as client:
        run.note("client", [message async for message in client])


async def a_slow_reader(run: Run) -> None:
    async def handler(connection: ServerConnection) -> None:
        for number in range(300):
            await connection.send(f"{number} " + "x" * 20_000)

    settings: dict[str, Any] = {"compression": None, "max_queue": 1, "write_limit": 4096}
    async with run.serve(handler, write_limit=4096) as server, run.connect(server, **settings) as client:
        await asyncio.sleep(0.05)
        run.note("client", [str(message).partition(" ")[0] async for message in client])


async def pings(run: Run) -> None:
    async with run.serve(run.echo) as server, run.connect(server) as client:
        waiter = await client.ping("mine")
        run.note("client", type(await waiter), type(client.latency))
        one, two = await client.ping(b"1"), await client.ping(b"2")
        await run.tried("client", client.ping(b"2"))
        run.note("client", type(await two), type(await one))
        await client.pong(b"unasked")
        await client.send(CARRYING)
        await run.tried("client", client.recv())
        left = await client.ping(b"last")
        client.transport.abort()
        await run.tried("client", left)


ASYNCIO = [
    whole_messages, what_cannot_be_sent, fragments, a_fragmented_message_that_breaks, streaming,
    a_stream_that_is_abandoned, huge_messages, messages_over_the_limit, compression, subprotocols,
    what_both_know_of_a_connection, the_applications_own_trace_headers, refused_handshakes, servers_that_are_none,
    clients_that_are_none, reconnections, close_codes, close_codes_of_the_server, close_codes_that_are_none,
    handlers_that_end, after_the_end, a_block_that_is_left_by_an_exception, connections_that_break,
    a_server_that_stops, bytes_that_break_the_protocol, a_client_that_does_not_answer_pings,
    receives_that_are_given_up, two_receivers, many_senders, a_send_that_is_cancelled, broadcasts,
    a_broadcast_into_a_fragmented_message, a_slow_reader, pings,
]  # fmt: skip


# -- threads ---------------------------------------------------------------------------------------------------------


class SyncRun(parity.Run):
    """The same for the threading implementation."""

    @contextmanager
    def serve(self, handler: Callable[[Any], None], **settings: Any) -> Iterator[int]:
        handled: list[threading.Thread] = []

        def handling(connection: Any) -> None:
            handled.append(threading.current_thread())
            handler(connection)

        settings = {"logger": self.logger("server"), "ping_interval": None, **settings}
        with sync_server.serve(handling, "127.0.0.1", 0, **settings) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield server.socket.getsockname()[1]
            server.shutdown()
            thread.join()
            for each in handled:
                each.join(5)

    def connect(self, port: int, path: str = "/", **settings: Any) -> Any:
        settings = {"logger": self.logger("client"), "proxy": None, "ping_interval": None, **settings}
        return sync_client.connect(f"ws://127.0.0.1:{port}{path}", **settings)

    def connected(self, port: int, path: str = "/", **settings: Any) -> None:
        with self.connect(port, path, **settings):
            pass

    def echo(self, connection: Any) -> None:
        try:
            for message in connection:
                self.note("server", message)
                connection.send(message)
            self.note("server", "the end")
        except ConnectionClosed as closed:
            self.note("server", closed)


def sync_messages(run: SyncRun) -> None:
    with run.serve(run.echo) as port, run.connect(port) as client:
        for message in ("", TEXT, b"\x00\xff", bytearray(b"ab"), CARRYING, ["a", "b"], (b for b in (b"a", b"b"))):
            client.send(message)
            run.called("client", client.recv, timeout=5)
        client.send("é")
        run.called("client", client.recv, decode=False)
        wrong: Any
        for wrong in (7, {"a": 1}, []):
            run.called("client", client.send, wrong)


def sync_streaming(run: SyncRun) -> None:
    def handler(connection: Any) -> None:
        for message in (["a", "é"], [b"a", b"b"], CARRYING, "after"):
            connection.send(message)

    with run.serve(handler) as port, run.connect(port) as client:
        for decode in (None, True, False):
            run.note("client", list(client.recv_streaming(decode=decode)))
        run.note("client", list(client))


def sync_huge_messages(run: SyncRun) -> None:
    with run.serve(run.echo, max_size=None) as port, run.connect(port, max_size=None) as client:
        client.send("x" * 3 * MIB)
        run.note("client", len(client.recv()))
    with run.serve(run.echo, max_size=1000) as port, run.connect(port) as client:
        run.called("client", client.send, "x" * 2000)
        run.called("client", client.recv)


def sync_compression_and_subprotocols(run: SyncRun) -> None:
    till = Subprotocol("till")
    for compression in ("deflate", None):
        with (
            run.serve(run.echo, compression=compression, subprotocols=[till]) as port,
            run.connect(port, subprotocols=[till]) as client,
        ):
            assert client.response is not None
            run.note("client", client.subprotocol, headers(client.response.headers))
            client.send(TEXT * 1000)
            run.called("client", client.recv)


def sync_timeouts(run: SyncRun) -> None:
    go = threading.Event()

    def handler(connection: Any) -> None:
        go.wait(5)
        connection.send(CARRYING)
        connection.send(["a", "b"])
        run.called("server", connection.recv)

    with run.serve(handler) as port, run.connect(port) as client:
        run.called("client", client.recv, timeout=0.02)
        run.called("client", client.recv, timeout=0)
        go.set()
        run.called("client", client.recv, timeout=5)
        run.called("client", client.recv, timeout=5)


def sync_two_receivers(run: SyncRun) -> None:
    with run.serve(run.echo) as port, run.connect(port) as client:
        got: list[object] = []
        thread = threading.Thread(target=lambda: got.append(client.recv(timeout=5)))
        thread.start()
        while not client.recv_messages.get_in_progress:
            time.sleep(0.001)
        run.called("client", client.recv, timeout=5)
        client.send(CARRYING)
        thread.join()
        run.note("client", got)


def sync_many_senders(run: SyncRun) -> None:
    with run.serve(run.echo) as port, run.connect(port) as client:
        threads = [threading.Thread(target=client.send, args=(str(n),)) for n in range(20)]
        for thread in threads:
            thread.start()
        run.note("client", sorted(str(client.recv(timeout=5)) for _ in threads))
        for thread in threads:
            thread.join()
    run.seen["server"].sort(key=repr)
    run.in_order = False


def sync_ends(run: SyncRun) -> None:
    for code, reason in ((1000, ""), (1001, "bye"), (4321, "x" * 123), (1011, "")):
        with run.serve(run.echo) as port, run.connect(port) as client:
            client.close(code, reason)
            for call, *args in ((client.recv,), (client.send, "x"), (client.ping,), (client.close,)):
                run.called("client", call, *args)
            run.note("client", client.close_code, client.close_reason, list(client) if code < 1002 else None)


def sync_handlers_that_end(run: SyncRun) -> None:
    def fails(connection: Any) -> None:
        connection.recv()
        raise ValueError("2 x Ramen")

    def closes(connection: Any) -> None:
        connection.close(4001, "why")

    for handler in (fails, closes, lambda _: None):
        with run.serve(handler) as port, contextlib.suppress(ConnectionClosed), run.connect(port) as client:
            client.send(CARRYING) if handler is fails else None
            run.called("client", client.recv, timeout=5)
            run.called("client", client.send, "too late")


def sync_handshakes(run: SyncRun) -> None:
    def decide(connection: Any, request: Any) -> Any:
        run.note("server", request.path, headers(request.headers))
        if request.path == "/fails":
            raise ValueError("2 x Ramen")
        return connection.respond(http.HTTPStatus.UNAUTHORIZED, "no\n") if request.path == "/no" else None

    with run.serve(run.echo, process_request=decide, origins=[Origin("https://till.example")]) as port:
        for path, origin in (("/no", None), ("/", "https://evil.example"), ("/fails", None)):
            run.called("client", run.connected, port, path, origin=origin)
        with run.connect(port, origin=Origin("https://till.example")) as client:
            client.send("x")
            run.called("client", client.recv)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        run.called("client", run.connected, port, open_timeout=0.2)
    run.called("client", run.connected, port)
    run.called("client", sync_client.connect, "nonsense")


def sync_pings(run: SyncRun) -> None:
    with run.serve(run.echo) as port, run.connect(port) as client:
        run.note("client", client.ping("mine").wait(5))
        one, two = client.ping(b"1"), client.ping(b"2")
        run.note("client", two.wait(5), one.wait(5))
        client.pong(b"unasked")
        run.called("client", client.ping, 7)


SYNC = [
    sync_messages, sync_streaming, sync_huge_messages, sync_compression_and_subprotocols, sync_timeouts,
    sync_two_receivers, sync_many_senders, sync_ends, sync_handlers_that_end, sync_handshakes, sync_pings,
]  # fmt: skip


# -- the two runs ----------------------------------------------------------------------------------------------------


def both(sdk: Sdk, once: Callable[[], dict[str, object]]) -> None:
    bare = once()
    integration.instrument(sdk.telemetry)
    try:
        ours = once()
    finally:
        integration.uninstrument()
    assert ours == bare
    assert any(bare.values())
    data = sdk.reader.get_metrics_data()
    assert data is not None
    assert sdk.spans("websocket handshake")  # it was at work


@pytest.mark.parametrize("use", ASYNCIO, ids=lambda use: use.__name__)
def test_asyncio(sdk: Sdk, use: Callable[[Run], Awaitable[None]]) -> None:
    def once() -> dict[str, object]:
        async def bounded(run: Run) -> None:
            async with asyncio.timeout(20):
                await use(run)

        run = Run()
        asyncio.run(bounded(run))
        return run.result()

    both(sdk, once)


@pytest.mark.parametrize("use", SYNC, ids=lambda use: use.__name__)
def test_threads(sdk: Sdk, use: Callable[[SyncRun], None]) -> None:
    def once() -> dict[str, object]:
        run = SyncRun()
        use(run)
        return run.result()

    both(sdk, once)
