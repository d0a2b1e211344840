"""The library's sans-I/O protocols with counting added.

Everything that crosses a connection passes here, however it was sent: ``send``, ``broadcast``, fragments, iterables.
`websockets.protocol.Protocol` itself is left alone: uvicorn uses it, and the ASGI layer counts there.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Final

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import Protocol, State
from websockets.server import ServerProtocol

from printobs.core import clock
from printobs.core.cells import PairCell
from printobs.core.guard import Guard
from printobs.integrations import websockets_endpoints as endpoints
from printobs.integrations import websockets_handshake as handshake
from printobs.signals.connections import ABNORMAL, Connection, Endpoint

TEXT: Final = Opcode.TEXT
BINARY: Final = Opcode.BINARY
CONT: Final = Opcode.CONT
PONG: Final = Opcode.PONG
OPEN: Final = State.OPEN
CLOSED: Final = State.CLOSED

MAX_PINGS: Final = 16  # unanswered ones that are timed; a peer may never answer

_guard = Guard("counting a WebSocket")


class Record(Connection):
    """A connection, and what has begun on it but not ended.

    ``text`` and ``binary`` are where arrivals are counted: shards of the one thread in which a connection's frames
    arrive, looked up once.
    """

    __slots__ = ("binary", "pings", "receiving", "sending", "status", "text")

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self.text: list[int] | None = None
        self.binary: list[int] | None = None
        self.receiving: list[int] = [0, 0]  # of the fragmented message that is arriving
        self.sending: PairCell = endpoint.sent_text
        self.pings: dict[bytes, float] | None = None
        self.status: int | None = None  # HTTP status that a server answered the handshake with

    def identify(self, labels: Mapping[str, str], client: str | None = None) -> None:
        """As `Connection.identify`; from any thread."""
        super().identify(labels, client)
        self.text = self.binary = None

    def own_text(self) -> list[int]:
        """Look ``text`` up, in the thread of arrivals."""
        self.text = shard = self.endpoint.received_text.shard()
        return shard

    def own_binary(self) -> list[int]:
        """Look ``binary`` up, in the thread of arrivals."""
        self.binary = shard = self.endpoint.received_binary.shard()
        return shard


class Counted(Protocol):
    """The counting half; mixed in before one of the library's two protocols.

    What both have from `Protocol` is called there by name: before Python 3.12 ``super()`` costs as much as counting.
    """

    printobs: Record | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        with _guard:
            endpoint = self._endpoint()
            if endpoint is not None:
                self.printobs = Record(endpoint)

    @abstractmethod
    def _endpoint(self) -> Endpoint | None: ...

    # -- messages: a send that raises is not counted ---------------------------------------------------------------

    def send_text(self, data: Any, fin: bool = True) -> None:
        Protocol.send_text(self, data, fin)
        record = self.printobs
        if record is not None:
            cell = record.endpoint.sent_text
            if fin:
                cell.add(len(data))
            else:
                record.sending = cell
                cell.add(len(data), 0)

    def send_binary(self, data: Any, fin: bool = True) -> None:
        Protocol.send_binary(self, data, fin)
        record = self.printobs
        if record is not None:
            cell = record.endpoint.sent_binary
            if fin:
                cell.add(len(data))
            else:
                record.sending = cell
                cell.add(len(data), 0)

    def send_continuation(self, data: Any, fin: bool) -> None:
        Protocol.send_continuation(self, data, fin)
        record = self.printobs
        if record is not None:
            record.sending.add(len(data), 1 if fin else 0)

    def recv_frame(self, frame: Frame) -> None:
        Protocol.recv_frame(self, frame)
        record = self.printobs
        if record is None:
            return
        opcode = frame.opcode
        # No call: with the look for a context, arrival is the dearest of all.
        if opcode is TEXT:
            shard = record.text or record.own_text()
        elif opcode is BINARY:
            shard = record.binary or record.own_binary()
        elif opcode is CONT:
            shard = record.receiving
        else:
            if opcode is PONG:
                self._pong(record, frame)
            return
        shard[1] += len(frame.data)
        if frame.fin:
            shard[0] += 1
        else:
            record.receiving = shard

    # -- pings: timed here, since the clock of some event loops has steps of a millisecond --------------------------

    def send_ping(self, data: Any) -> None:
        Protocol.send_ping(self, data)
        record = self.printobs
        if record is not None:
            with _guard:
                if record.pings is None:
                    record.pings = {}
                if len(record.pings) < MAX_PINGS:
                    record.pings[bytes(data)] = clock.monotonic()

    def _pong(self, record: Record, frame: Frame) -> None:
        with _guard:
            data = bytes(frame.data)
            if record.pings is None or data not in record.pings:
                return
            record.ping(clock.monotonic() - record.pings[data])
            # A pong acknowledges all earlier pings too (RFC 6455, section 5.5.3).
            pings = list(record.pings)
            for earlier in pings[: pings.index(data) + 1]:
                del record.pings[earlier]
            if not record.pings:
                record.pings = None

    # -- life ------------------------------------------------------------------------------------------------------

    def _change(self, state: State) -> None:
        _set_state(self, state)
        record = self.printobs
        if record is not None:
            with _guard:
                if state is OPEN:
                    record.opened()
                elif state is CLOSED:
                    record.closed(*_ending(self))

    state = Protocol.state.setter(_change)  # type: ignore[attr-defined]


_set_state: Final = Protocol.state.fset  # type: ignore[attr-defined]


def _ending(protocol: Protocol) -> tuple[int | None, str | None]:
    """The close code (``None``: the connection broke, 1006), and an ``error.type`` where that says too little."""
    received, sent = protocol.close_rcvd, protocol.close_sent
    if received is not None:
        return int(received.code), None
    if sent is not None and sent.reason == "keepalive ping timeout":
        return None, "keepalive_timeout"
    # Who fails a connection does not wait for the peer's answer; any other close without one is none.
    if sent is not None and sent.code in ABNORMAL:
        return int(sent.code), None
    return None, None


class CountedClient(Counted, ClientProtocol):
    """`websockets.client.ClientProtocol`, counted."""

    def _endpoint(self) -> Endpoint | None:
        return endpoints.client(endpoints.where(self.uri))

    def send_request(self, request: Request) -> None:
        handshake.requesting(self, request.headers)
        super().send_request(request)


class CountedServer(Counted, ServerProtocol):
    """`websockets.server.ServerProtocol`, counted."""

    def _endpoint(self) -> Endpoint | None:
        return endpoints.server()

    def send_response(self, response: Response) -> None:
        if self.printobs is not None:
            self.printobs.status = response.status_code
        super().send_response(response)
