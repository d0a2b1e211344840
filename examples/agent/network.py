"""A printer on TCP, by IPv4, IPv6 or name; a job on it ends within its deadline."""

from __future__ import annotations

import socket
import struct
import time
from typing import Any, Final, Literal

from escpos.exceptions import DeviceNotFoundError
from escpos.printer import Network

from examples.agent.drivers import Deadline

DRAIN: Final = 1.0  # seconds that a printer has to close its side
AHEAD: Final = 32 * 1024  # bytes that may wait in this host: killed, it sends them all the same
_PROCESS_ID: Final = b"\x1d(H\x06\x0000"  # GS ( H, function 48; four bytes follow
_LINGER_ZERO: Final = struct.pack("ii", 1, 0)


class _Line(socket.socket):
    """A connection that knows which process ID was last asked for (see `examples.agent.late`)."""

    asked = b""

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        super().sendall(data, flags)
        if data[: len(_PROCESS_ID)] == _PROCESS_ID:
            self.asked = bytes(data[len(_PROCESS_ID) :])


class Tcp(Deadline, Network):  # type: ignore[misc]
    """`escpos.printer.Network` with a deadline: no job on it lasts longer than it was given."""

    arrives = False

    def __init__(self, host: str, port: int) -> None:
        Deadline.__init__(self)
        Network.__init__(self, host, port)
        self._device: _Line | Literal[False] | None = False

    def open(self, raise_not_found: bool = True) -> None:
        """Connect; raises DeviceNotFoundError whose cause is the OSError."""
        try:
            found = socket.create_connection((self.host, self.port), self._left())
        except OSError as error:
            self._device = None
            if raise_not_found:
                why = error.strerror or type(error).__name__
                raise DeviceNotFoundError(f"{self.host}:{self.port}: {why}") from error
            return
        device = _Line(found.family, found.type, found.proto, found.detach())
        device.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        device.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, AHEAD)
        device.settimeout(self._left())
        self._device = device

    @property
    def asked(self) -> bytes:
        """The process ID that was last asked for on the open connection."""
        return self._device.asked if self._device else b""

    def _raw(self, msg: bytes) -> None:
        self.send(msg)

    def send(self, data: bytes) -> None:
        """Send; raises TimeoutError once the deadline is over."""
        device, rest = self.device, memoryview(data)
        while rest:
            self._check()
            device.settimeout(self._left())
            count = device.send(rest)
            self.begun = True
            rest = rest[count:]

    def receive(self, timeout: float) -> bytes:
        """What comes first; raises ConnectionResetError where the printer has closed the connection."""
        self.device.settimeout(timeout)
        try:
            data: bytes = self.device.recv(4096)
        except TimeoutError:
            return b""
        if not data:
            raise ConnectionResetError("the printer has closed the connection")
        return data

    def close(self) -> None:
        """Close so that the printer reads all that was sent: a reply left unread would make the kernel reset it."""
        device, self._device = self._device, False
        if not device:
            return
        try:
            device.shutdown(socket.SHUT_WR)
            until = time.monotonic() + DRAIN
            while (left := until - time.monotonic()) > 0:
                device.settimeout(left)
                if not device.recv(4096):
                    break
        except OSError:
            pass
        device.close()

    def abort(self) -> None:
        """Reset the connection: what has not arrived must not come out later, as if it were a new receipt."""
        device, self._device = self._device, False
        if device:
            device.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
            device.close()
