"""A printer on TCP, by IPv4, IPv6 or name; a job on it ends within its deadline."""

from __future__ import annotations

import socket
import struct
import time
from typing import Final, Literal

from escpos.exceptions import DeviceNotFoundError
from escpos.printer import Network

from examples.agent.drivers import Deadline

DRAIN: Final = 1.0  # seconds that a printer has to close its side
AHEAD: Final = 32 * 1024  # bytes that may wait in this host: killed, it sends them all the same
_LINGER_ZERO: Final = struct.pack("ii", 1, 0)


class Tcp(Deadline, Network):  # type: ignore[misc]
    """`escpos.printer.Network` with a deadline: no job on it lasts longer than it was given."""

    arrives = False
    ends_with_power = True

    def __init__(self, host: str, port: int) -> None:
        Deadline.__init__(self)
        Network.__init__(self, host, port)
        self._device: socket.socket | Literal[False] | None = False

    def open(self, raise_not_found: bool = True) -> None:
        """Connect; raises DeviceNotFoundError whose cause is the OSError."""
        try:
            # Outside of a job it is the library's time-out that bounds it: its monitor's.
            device = socket.create_connection((self.host, self.port), min(self._left(), self.timeout))
        except OSError as error:
            self._device = None
            if raise_not_found:
                why = error.strerror or type(error).__name__
                raise DeviceNotFoundError(f"{self.host}:{self.port}: {why}") from error
            return
        device.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        device.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, AHEAD)
        device.settimeout(min(self._left(), self.timeout))
        self._device = device

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
