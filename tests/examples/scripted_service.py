"""A service that says what its test tells it to, over real WebSockets."""

from __future__ import annotations

import json
import queue
import threading
import time
from http import HTTPStatus
from typing import Any, Self

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from examples.jobs import wire


class Link:
    """One connection of an agent."""

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection
        self.over = threading.Event()
        self.hello: wire.Hello

    def send(self, message: wire.Message) -> None:
        """Tell the agent."""
        self.connection.send(json.dumps(wire.dump(message)))

    def hear(self, kind: type[Any], within: float = 15.0) -> Any:
        """The next message of this kind, past all others."""
        deadline = time.monotonic() + within
        while True:
            message = wire.load(self.connection.recv(timeout=max(0.0, deadline - time.monotonic())))
            if isinstance(message, kind):
                return message

    def silent(self, kind: type[Any], seconds: float) -> bool:
        """Whether no message of this kind comes for so long."""
        try:
            self.hear(kind, seconds)
        except TimeoutError:
            return True
        return False

    def closed(self, within: float = 15.0) -> int:
        """The code that the agent closes with."""
        deadline = time.monotonic() + within
        try:
            while True:
                self.connection.recv(timeout=max(0.0, deadline - time.monotonic()))
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006

    def close(self, code: int = 1012) -> None:
        """End the connection."""
        self.connection.close(code)
        self.over.set()


class ScriptedService:
    """Listens on a port of loopback, at once."""

    def __init__(self, port: int = 0, refuse: HTTPStatus | None = None) -> None:
        self._links: queue.SimpleQueue[Link] = queue.SimpleQueue()
        self._all: list[Link] = []
        self._refuse = refuse
        self._server = serve(self._serve, "127.0.0.1", port, process_request=self._process)
        self.url = f"http://127.0.0.1:{self._server.socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for link in self._all:
            link.over.set()
        self._server.shutdown()
        self._thread.join(10)

    def _process(self, connection: ServerConnection, request: Request) -> Response | None:
        return None if self._refuse is None else connection.respond(self._refuse, "")

    def _serve(self, connection: ServerConnection) -> None:
        link = Link(connection)
        self._all.append(link)
        self._links.put(link)
        link.over.wait()

    def greeted(self, within: float = 20.0) -> Link:
        """The next connection, which has said hello."""
        link = self._links.get(timeout=within)
        hello = wire.load(link.connection.recv(timeout=within))
        assert isinstance(hello, wire.Hello)
        link.hello = hello
        return link

    def joined(self, within: float = 20.0) -> Link:
        """The next connection, welcomed."""
        link = self.greeted(within)
        link.send(wire.Welcome())
        return link
