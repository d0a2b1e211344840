"""A network between an agent and the service: it can be cut, delayed or half-open, and knows what it carries."""

from __future__ import annotations

import contextlib
import json
import random
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Direction = Literal["to_agent", "to_service"]
Moment = Literal["before", "inside", "after"]

_LINGER_ZERO: Final = struct.pack("ii", 1, 0)
# Compressed, nobody between the two could tell a message from another.
_EXTENSIONS: Final = re.compile(rb"sec-websocket-extensions:[^\r]*\r\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True, eq=False)
class Trap:
    """What is done once, when the next message of a type passes: before it, between two of its bytes, or after it.

    Where a ``printer`` is named, the message has to be about that one.
    """

    direction: Direction
    type: str
    moment: Moment
    spring: Callable[[], None]
    printer: str = ""


@dataclass(slots=True, eq=False)
class _Connection:
    agent: socket.socket
    service: socket.socket
    silent: bool = False  # swallowed from now on, and neither end is told
    over: threading.Event = field(default_factory=threading.Event)

    def cut(self, rudely: bool) -> None:
        """End it, by a reset or as the kernel of a process that ended."""
        self.over.set()
        for each in (self.agent, self.service):
            with contextlib.suppress(OSError):
                if rudely:
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
                # Whoever reads it would keep it open; this half is nothing that the other end is told.
                each.shutdown(socket.SHUT_RD if rudely else socket.SHUT_RDWR)
            each.close()


class Proxy:
    """One agent's way to the service at ``target``, which is asked for at every connection."""

    def __init__(self, target: Callable[[], tuple[str, int]], name: str) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._connections: list[_Connection] = []
        self._traps: list[Trap] = []
        self._stalled_until = 0.0
        self.refusing = False
        self.passed: dict[str, int] = {}  # messages by type
        threading.Thread(target=self._accept, name=f"proxy {name}", daemon=True).start()

    def close(self) -> None:
        """Take it away."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    # -- what may befall it ------------------------------------------------------------------------------------------

    def cut(self) -> None:
        """End all connections."""
        with self._lock:
            connections, self._connections = self._connections, []
        for each in connections:
            each.cut(random.random() < 0.5)

    def half_open(self) -> None:
        """Swallow what comes on the connections there are; neither end is told. New ones are carried."""
        with self._lock:
            for each in self._connections:
                each.silent = True

    def stall(self, seconds: float) -> None:
        """Carry nothing for so long; then all of it."""
        self._stalled_until = max(self._stalled_until, time.monotonic() + seconds)

    def heal(self) -> None:
        """Carry everything, at once, on connections that are not lost yet."""
        self._stalled_until = 0.0
        self.refusing = False

    def lay(self, trap: Trap) -> None:
        """Lay a trap."""
        with self._lock:
            self._traps.append(trap)

    def disarm(self) -> None:
        """Take all traps away."""
        with self._lock:
            self._traps.clear()

    # -- carrying ----------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        while True:
            try:
                agent, _ = self._listener.accept()
            except OSError:
                return
            if self.refusing:
                agent.close()
                continue
            try:
                service = socket.create_connection(self._target(), 5)
            except OSError:
                agent.close()
                continue
            service.settimeout(None)
            for each in (agent, service):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = _Connection(agent, service)
            with self._lock:
                self._connections.append(connection)
            for direction, source, target in (("to_service", agent, service), ("to_agent", service, agent)):
                threading.Thread(
                    target=self._carry, args=(connection, direction, source, target), name=direction, daemon=True
                ).start()

    def _carry(
        self, connection: _Connection, direction: Direction, source: socket.socket, target: socket.socket
    ) -> None:
        data = bytearray()
        opened = False
        with contextlib.suppress(OSError):
            while chunk := source.recv(1 << 16):
                if connection.silent:
                    continue
                data += chunk
                if not opened:
                    end = data.find(b"\r\n\r\n") + 4
                    if end < 4:
                        continue
                    opened = True
                    head = bytes(data[:end])
                    self._forward(connection, target, _EXTENSIONS.sub(b"", head))
                    del data[:end]
                while (size := _frame(data)) and len(data) >= size:
                    frame = bytes(data[:size])
                    del data[:size]
                    self._pass(connection, direction, target, frame)
        if not connection.silent:
            # The rest of what a killed process had sent has been carried; its end is what follows.
            connection.cut(rudely=False)
        else:
            source.close()
        with self._lock, contextlib.suppress(ValueError):
            if not connection.silent:
                self._connections.remove(connection)

    def _pass(self, connection: _Connection, direction: Direction, target: socket.socket, frame: bytes) -> None:
        message = _message(frame)
        kind = str(message.get("type", ""))
        traps: list[Trap] = []
        if kind and not connection.silent:
            with self._lock:
                traps = [
                    trap
                    for trap in self._traps
                    if (trap.direction, trap.type) == (direction, kind) and trap.printer in ("", message.get("printer"))
                ]
                for trap in traps:
                    self._traps.remove(trap)
        for trap in traps:
            if trap.moment == "before":
                trap.spring()
        middle = len(frame) // 2 if any(trap.moment == "inside" for trap in traps) else 0
        if middle:
            self._forward(connection, target, frame[:middle])
            for trap in traps:
                if trap.moment == "inside":
                    trap.spring()
        self._forward(connection, target, frame[middle:])
        if kind:
            self.passed[kind] = self.passed.get(kind, 0) + 1
        for trap in traps:
            if trap.moment == "after":
                trap.spring()

    def _forward(self, connection: _Connection, target: socket.socket, data: bytes) -> None:
        while (left := self._stalled_until - time.monotonic()) > 0 and not connection.over.is_set():
            connection.over.wait(min(left, 0.05))
        if not connection.silent:
            target.sendall(data)


def _frame(data: bytearray) -> int:
    """The size of the frame that begins here (RFC 6455, section 5.2); 0 where its head is not whole."""
    if len(data) < 2:
        return 0
    length = data[1] & 0x7F
    more = {126: 2, 127: 8}.get(length, 0)
    head = 2 + more + 4 * (data[1] >> 7)
    if len(data) < head:
        return 0
    if more:
        length = int.from_bytes(data[2 : 2 + more])
    return head + length


def _message(frame: bytes) -> dict[str, Any]:
    """The message that is in a frame; empty for any other."""
    if frame[0] & 0x0F != 1:
        return {}
    start = 2 + {126: 2, 127: 8}.get(frame[1] & 0x7F, 0)
    if frame[1] & 0x80:
        mask, body = frame[start : start + 4], frame[start + 4 :]
        repeated = (mask * (len(body) // 4 + 1))[: len(body)]
        body = (int.from_bytes(body) ^ int.from_bytes(repeated)).to_bytes(len(body))
    else:
        body = frame[start:]
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
