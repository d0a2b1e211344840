"""A printer on TCP, by IPv4, IPv6 or name; a job on it ends within its deadline."""

from __future__ import annotations

import socket
import struct
import time
from typing import Final, Literal

from escpos.exceptions import DeviceNotFoundError
from escpos.printer import Network

DRAIN: Final = 1.0  # seconds that a printer has to close its side
_LINGER_ZERO: Final = struct.pack("ii", 1, 0)


class Tcp(Network):  # type: ignore[misc]
    """`escpos.printer.Network` with a deadline: no job on it lasts longer than it was given."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self._device: socket.socket | Literal[False] | None = False
        self._deadline = 0.0

    def begin(self, timeout: float) -> None:
        """Give the next job ``timeout`` seconds."""
        self._deadline = time.monotonic() + timeout

    def open(self, raise_not_found: bool = True) -> None:
        """Connect; raises DeviceNotFoundError whose cause is the OSError."""
        try:
            device = socket.create_connection((self.host, self.port), self._left())
        except OSError as error:
            self._device = None
            if raise_not_found:
                why = error.strerror or type(error).__name__
                raise DeviceNotFoundError(f"{self.host}:{self.port}: {why}") from error
            return
        device.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._device = device

    def _raw(self, msg: bytes) -> None:
        """Send; raises TimeoutError once the deadline is over."""
        device = self.device
        device.settimeout(self._left())
        device.sendall(msg)

    def _left(self) -> float:
        return max(0.001, self._deadline - time.monotonic())

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
