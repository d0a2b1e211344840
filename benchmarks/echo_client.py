"""The client of the WebSocket echo: ``python -m benchmarks.echo_client --port 8000 --connections 5000``.

It opens its connections and says so; answers each line of its input, a number of echoes, with their latency in
microseconds; and closes its connections at the end of its input. All it says is JSON, a line each.

So many messages are on their way all the time, each on the connection that has waited longest. A protocol of asyncio
speaks just enough WebSocket: the `websockets` client takes as long as the server for a message, and far longer to open
five thousand connections, so that it would be what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from benchmarks.echo_server import allow_connections

HOST: Final = "127.0.0.1"
TEXT: Final = b"x" * 100
AT_ONCE: Final = 50  # connections that are being opened: no queue of the system is this short

_TEXT, _CLOSE, _PING, _PONG = 0x81, 0x88, 0x89, 0x8A  # each the last frame of its message


def _masked(first: int, payload: bytes) -> bytes:
    # A key of zeros is a key: masking costs this side nothing, and the server what any other would.
    return bytes([first, 0x80 | len(payload)]) + bytes(4) + payload


_REQUEST: Final = (
    f"GET /ws HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()
_MESSAGE: Final = _masked(_TEXT, TEXT)
_ECHO: Final = bytes([_TEXT, len(TEXT)]) + TEXT
_NORMAL_CLOSE: Final = _masked(_CLOSE, (1000).to_bytes(2, "big"))


class Connection(asyncio.Protocol):
    """One WebSocket, with at most one message on its way."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.echoed: Callable[[Connection], None] | None = None
        self.began = 0.0
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(_REQUEST)

    def data_received(self, data: bytes) -> None:
        if data == _ECHO and not self._buffer:  # nearly always
            self._heard_echo()
            return
        self._buffer += data
        if not self.opened.done():
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            if not head.startswith(b"HTTP/1.1 101 "):
                self._fail(f"not accepted: {head[:100]!r}")
                return
            self._buffer = rest
            self.opened.set_result(None)
        while len(self._buffer) >= 2 and len(self._buffer) >= (until := 2 + self._buffer[1]):
            frame, self._buffer = self._buffer[:until], self._buffer[until:]
            self._heard(frame)

    def _heard(self, frame: bytes) -> None:
        if frame == _ECHO:
            self._heard_echo()
        elif frame[0] == _PING:
            self.transport.write(_masked(_PONG, frame[2:]))
        elif frame[0] != _CLOSE:
            self._fail(f"not an echo: {frame[:100]!r}")

    def _heard_echo(self) -> None:
        if self.echoed is None:
            self._fail("an echo of nothing")
        else:
            self.echoed(self)

    def send(self) -> None:
        """Send the message."""
        self.began = time.perf_counter()
        self.transport.write(_MESSAGE)

    def close(self) -> None:
        """Begin the closing handshake."""
        self.transport.write(_NORMAL_CLOSE)

    def _fail(self, why: str) -> None:
        print(why, file=sys.stderr)
        self.transport.abort()

    def connection_lost(self, _: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(ConnectionError("closed before it was open"))
        self.closed.set_result(None)


class Load:
    """``echoes`` messages, with ``in_flight`` of them on their way; no task and no future for any of them."""

    def __init__(self, connections: Sequence[Connection], echoes: int, in_flight: int) -> None:
        self.took: list[float] = []
        self._waiting = deque(connections)
        self._left = echoes
        self._echoes = echoes
        self._in_flight = min(in_flight, len(connections), echoes)
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for connection in connections:
            connection.echoed = self._echoed
            connection.closed.add_done_callback(self._lost)

    async def run(self) -> None:
        """Until all have come back; raises ConnectionError where a connection ends before."""
        for _ in range(self._in_flight):
            self._send()
        await self._done
        for connection in self._waiting:
            connection.closed.remove_done_callback(self._lost)

    def _send(self) -> None:
        self._left -= 1
        self._waiting.popleft().send()

    def _echoed(self, connection: Connection) -> None:
        self.took.append(time.perf_counter() - connection.began)
        self._waiting.append(connection)
        if self._left:
            self._send()
        elif len(self.took) == self._echoes:
            self._done.set_result(None)

    def _lost(self, _: object) -> None:
        if not self._done.done():
            self._done.set_exception(ConnectionError("a connection was lost"))


def latency(took: Sequence[float]) -> dict[str, float]:
    """Microseconds."""
    ordered = sorted(took)
    return {
        "echoes": len(ordered),
        "p50": ordered[len(ordered) // 2] * 1e6,
        "p99": ordered[len(ordered) * 99 // 100] * 1e6,
    }


async def opened(port: int, count: int) -> list[Connection]:
    """``count`` open connections."""
    loop = asyncio.get_running_loop()
    connections: list[Connection] = []

    async def open_some() -> None:
        while len(connections) < count:
            connections.append(connection := Connection())
            await loop.create_connection(lambda: connection, HOST, port)
            await connection.opened

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(open_some())
    return connections


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


async def run(port: int, count: int, in_flight: int) -> None:
    connections = await opened(port, count)
    gc.freeze()
    gc.disable()  # a collection here would be latency there
    _say({"opened": len(connections)})
    while line := await asyncio.to_thread(sys.stdin.readline):
        load = Load(connections, int(line), in_flight)
        await load.run()
        _say(latency(load.took))
    for connection in connections:
        connection.close()
    await asyncio.wait_for(asyncio.gather(*(each.closed for each in connections)), 60)
    _say({"closed": len(connections)})


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.echo_client")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--in-flight", type=int, default=16)
    options = parser.parse_args()
    allow_connections(options.connections)
    asyncio.run(run(options.port, options.connections, options.in_flight))


if __name__ == "__main__":
    main()
