"""Both directions of python-escpos's drivers, as far as they have two: a socket, a serial port, a USB device."""

from __future__ import annotations

import socket
import time
from typing import Any

from printobs.signals.proof import Channel


class _Socket:
    def __init__(self, device: socket.socket) -> None:
        self._device = device

    def write(self, data: bytes, timeout: float) -> None:
        theirs = self._device.gettimeout()
        self._device.settimeout(max(0.001, timeout))
        try:
            self._device.sendall(data)
        finally:
            self._device.settimeout(theirs)

    def read(self, timeout: float) -> bytes:
        theirs = self._device.gettimeout()
        self._device.settimeout(max(0.0, timeout))
        try:
            data = self._device.recv(4096)
        except (TimeoutError, BlockingIOError):
            return b""
        finally:
            self._device.settimeout(theirs)
        if not data:
            raise ConnectionResetError("the printer has closed the connection")
        return data

    def drain(self, timeout: float) -> None:
        until = time.monotonic() + timeout
        try:
            self._device.shutdown(socket.SHUT_WR)
            while (left := until - time.monotonic()) > 0:
                self.read(left)
        except OSError:
            pass


class _Serial:
    def __init__(self, device: Any) -> None:
        self._device = device

    def write(self, data: bytes, timeout: float) -> None:
        theirs, self._device.write_timeout = self._device.write_timeout, max(0.001, timeout)
        try:
            self._device.write(data)
        finally:
            self._device.write_timeout = theirs

    def read(self, timeout: float) -> bytes:
        theirs, self._device.timeout = self._device.timeout, max(0.0, timeout)
        try:
            return bytes(self._device.read(max(1, self._device.in_waiting)))
        finally:
            self._device.timeout = theirs

    def drain(self, timeout: float) -> None:
        """Closing a serial port destroys nothing."""


class _Usb:
    def __init__(self, device: Any, target: Any) -> None:
        self._device = device
        self._in, self._out = target.in_ep, target.out_ep

    def write(self, data: bytes, timeout: float) -> None:
        self._device.write(self._out, data, max(1, int(timeout * 1000)))

    def read(self, timeout: float) -> bytes:
        try:
            return bytes(self._device.read(self._in, 64, max(1, int(timeout * 1000))))
        except OSError as error:
            if type(error).__name__ == "USBTimeoutError":
                return b""
            raise

    def drain(self, timeout: float) -> None:
        """Closing a USB device destroys nothing."""


def channel(target: Any, device: object) -> Channel | None:
    """The channel of an open driver; ``None`` for one that only writes (File, LP, CupsPrinter, Win32Raw, Dummy)."""
    if isinstance(device, socket.socket):
        return _Socket(device)
    if hasattr(device, "in_waiting"):
        return _Serial(device)
    if hasattr(target, "in_ep"):
        return _Usb(device, target)
    return None
