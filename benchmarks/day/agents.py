"""Agents, over the protocols of the ``websockets`` library."""

from __future__ import annotations

import json

from websockets.protocol import Protocol, State
from websockets.uri import parse_uri

from benchmarks.day.branches import BRANCHES
from benchmarks.day.ledger import Ledger
from printobs.integrations.websockets_protocols import CountedClient, CountedServer


def carry(source: Protocol, target: Protocol) -> None:
    """Bring what one side has written to the other."""
    for data in source.data_to_send():
        if data:
            target.receive_data(data)
        else:
            target.receive_eof()
    target.events_received()


class Agents:
    """Clients and servers by the ``websockets`` library's protocols, with the network left out."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._pairs: list[tuple[CountedClient, CountedServer]] = []
        self._number = 0

    def slice(self, number: int, exchanges: int) -> None:
        """Send and receive so many messages."""
        if not self._pairs:
            self._pairs = [self._connected() for _ in BRANCHES]
        client, server = self._pairs[number % len(self._pairs)]
        text = json.dumps({"type": "status", "printer": "kitchen", "number": number}).encode()
        for each in range(exchanges):
            source, target = (server, client) if each % 4 == 0 else (client, server)
            if each % 50 == 0:
                source.send_text(text[:10], fin=False)
                source.send_continuation(text[10:], fin=True)
            elif each % 7 == 0:
                source.send_binary(text)
            else:
                source.send_text(text)
            carry(source, target)
        down = -(-exchanges // 4)  # from server to client
        for where, messages in {
            "server transmit": down, "client receive": down,
            "client transmit": exchanges - down, "server receive": exchanges - down,
        }.items():  # fmt: skip
            self.ledger.crossed(where, messages, messages * len(text))
        if number % 5 == 0:
            which = number // 5 % len(self._pairs)
            self._disconnect(*self._pairs[which])
            self._pairs[which] = self._connected()

    def close(self) -> None:
        """Evening."""
        for pair in self._pairs:
            self._disconnect(*pair)

    def _connected(self) -> tuple[CountedClient, CountedServer]:
        client, server = CountedClient(parse_uri("ws://till.example/ws")), CountedServer()
        client.send_request(client.connect())
        for data in client.data_to_send():
            server.receive_data(data)
        (request,) = server.events_received()
        server.send_response(server.accept(request))  # type: ignore[arg-type]
        carry(server, client)
        assert client.state is server.state is State.OPEN
        self.ledger.opened.update(("client", "server"))
        return client, server

    def _disconnect(self, client: CountedClient, server: CountedServer) -> None:
        self._number += 1
        if self._number % 5:
            client.send_close(1000)
            carry(client, server)
            carry(server, client)
            carry(client, server)
        else:  # the connection breaks
            client.receive_eof()
            server.receive_eof()
        assert client.state is server.state is State.CLOSED
