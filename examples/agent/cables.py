"""A printer on a serial port or on USB; a job on it ends within its deadline."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any, Final, Literal

from escpos.printer import Serial, Usb

from examples.agent.drivers import Deadline

_GLANCE: Final = 0.005  # seconds between two looks at what a port has not sent yet


class SerialPort(Deadline, Serial):  # type: ignore[misc]
    """`escpos.printer.Serial` with a deadline; needs pyserial."""

    def __init__(self, device: str, baudrate: int) -> None:
        Deadline.__init__(self)
        self.past = min(self.past, baudrate // 2)  # of five seconds: a line so slow has had no long image
        self._device: Any = False
        Serial.__init__(self, device, baudrate)

    def _raw(self, msg: bytes) -> None:
        self.send(msg)

    def send(self, data: bytes) -> None:
        """Send, and wait until the port has sent it too; raises TimeoutError once the deadline is over."""
        device = self.device
        self._check()
        device.write_timeout = self._left()
        self.begun = True  # it does not say how much it has taken
        device.write(data)
        while device.out_waiting:
            self._check()
            time.sleep(_GLANCE)

    def close(self) -> None:
        """Close: `send` has waited for what was sent."""
        device, self._device = self._device, False
        if device:
            device.close()

    def abort(self) -> None:
        """Close, and destroy what the port has not sent yet."""
        if self._device:
            with suppress(OSError):
                self._device.reset_output_buffer()
        self.close()


class UsbDevice(Deadline, Usb):  # type: ignore[misc]
    """`escpos.printer.Usb` with a deadline; needs pyusb and libusb."""

    def __init__(self, vendor: int, product: int) -> None:
        Deadline.__init__(self)
        self._device: Any | Literal[False] = False
        Usb.__init__(self, vendor, product, usb_args={})

    def _raw(self, msg: bytes) -> None:
        self.send(msg)

    def send(self, data: bytes) -> None:
        """Send; raises TimeoutError, or pyusb's USBTimeoutError, once the deadline is over."""
        rest = memoryview(data)
        while rest:
            self._check()
            self.begun = True  # a transfer that fails does not say how much it has taken
            rest = rest[self.device.write(self.out_ep, bytes(rest), max(1, int(self._left() * 1000))) :]

    def abort(self) -> None:
        """Close: what has been sent is in the printer."""
        self.close()
