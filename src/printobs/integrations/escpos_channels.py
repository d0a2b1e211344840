"""Both directions of python-escpos's drivers, as far as they have two: a socket, a serial port, a USB device."""

from __future__ import annotations

import contextlib
import math
import socket
import struct
import time
from collections.abc import Callable
from typing import Any, Final

from printobs.signals import acknowledgement
from printobs.signals.conversation import Channel

_PACKET: Final = 512  # bytes: the largest of USB 2; a smaller buffer would overflow
_LINGER_ZERO: Final = struct.pack("ii", 1, 0)


class SocketChannel:
    """A connected TCP socket; its time-out is given back as it was."""

    def __init__(self, device: socket.socket) -> None:
        self._device = device

    def write(self, data: bytes, timeout: float) -> None:
        """Send all of ``data``."""
        theirs = self._device.gettimeout()
        self._device.settimeout(max(0.001, timeout))
        try:
            self._device.sendall(data)
        finally:
            self._device.settimeout(theirs)

    def read(self, timeout: float) -> bytes:
        """What comes first."""
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

    def unacknowledged(self) -> int:
        """As the kernel tells."""
        return acknowledgement.unacknowledged(self._device)

    def drain(self, timeout: float) -> None:
        """Send no more, and read until the printer has closed its side."""
        until = time.monotonic() + timeout
        try:
            self._device.shutdown(socket.SHUT_WR)
            while (left := until - time.monotonic()) > 0:
                self.read(left)
        except OSError:
            pass

    def abort(self) -> None:
        """Make the next close a reset."""
        with contextlib.suppress(OSError):
            self._device.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)


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

    def unacknowledged(self) -> int:
        """Nobody acknowledges anything."""
        return 0

    def drain(self, timeout: float) -> None:
        """Closing a serial port destroys nothing."""

    def abort(self) -> None:
        """Throw away what waits in the driver's buffer."""
        with contextlib.suppress(OSError):
            self._device.reset_output_buffer()


class _Usb:
    def __init__(self, device: Any, target: Any) -> None:
        self._device = device
        self._in, self._out = target.in_ep, target.out_ep

    def write(self, data: bytes, timeout: float) -> None:
        until = time.monotonic() + timeout
        while data:  # a transfer that timed out half-way says how much the printer has taken
            taken = self._device.write(self._out, data, max(1, int((until - time.monotonic()) * 1000)))
            data = data[taken:]

    def read(self, timeout: float) -> bytes:
        try:
            return bytes(self._device.read(self._in, _PACKET, max(1, int(timeout * 1000))))
        except OSError as error:
            if type(error).__name__ == "USBTimeoutError":
                return b""
            raise

    def unacknowledged(self) -> int:
        """A transfer is over when the printer has taken it."""
        return 0

    def drain(self, timeout: float) -> None:
        """Closing a USB device destroys nothing."""

    def abort(self) -> None:
        """Nothing waits here: a transfer is over when the printer has taken it."""


def channel(target: Any, device: object) -> Channel | None:
    """The channel of an open driver; ``None`` for one that only writes (File, LP, CupsPrinter, Win32Raw, Dummy)."""
    if isinstance(device, socket.socket):
        return SocketChannel(device)
    if hasattr(device, "in_waiting"):
        return _Serial(device)
    if hasattr(target, "in_ep"):
        return _Usb(device, target)
    return None


def limit(target: Any, seconds: float) -> Callable[[], None]:
    """Let no call of the driver last longer than ``seconds``; gives what undoes that.

    python-escpos waits 60 s on a network, and for ever on a serial port and on USB. A serial port that is opened later
    is not limited: its driver has no such setting.
    """
    device: Any = getattr(target, "_device", None)
    theirs: Any = getattr(target, "timeout", None)
    if hasattr(target, "in_ep"):  # USB: milliseconds, 0 for ever
        target.timeout = min(theirs or math.inf, max(1, int(seconds * 1000)))
        return lambda: setattr(target, "timeout", theirs)
    if hasattr(device, "in_waiting"):
        patience, device.write_timeout = device.write_timeout, max(0.001, seconds)
        return lambda: setattr(device, "write_timeout", patience)
    if not hasattr(target, "host") or isinstance(theirs, bool) or not isinstance(theirs, float | int | None):
        return lambda: None
    target.timeout = max(0.001, seconds) if theirs is None else min(theirs, max(0.001, seconds))
    patience = theirs
    if isinstance(device, socket.socket):
        patience = device.gettimeout()
        device.settimeout(target.timeout)

    def undo() -> None:
        target.timeout = theirs
        now = getattr(target, "_device", None)
        if isinstance(now, socket.socket) and now.fileno() >= 0:
            now.settimeout(patience if now is device else theirs)

    return undo
