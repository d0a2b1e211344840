"""Where a printer is, as ``tcp://10.0.0.9:9100``, ``serial:///dev/ttyUSB0?baudrate=38400``, ``usb://04b8:0202``."""

from __future__ import annotations

import contextlib
import re
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from printobs.integrations.escpos_channels import channel
from printobs.signals.conversation import Channel

CONNECTING: Final = 5.0  # seconds to be connected: names, every address of a host, ports and buses included
PORT: Final = 9100
EXAMPLES: Final = (
    "tcp://10.0.0.9:9100, serial:///dev/ttyUSB0?baudrate=38400, serial://COM3 or usb://04b8:0202?in=0x82&out=0x01"
)

_GLANCE: Final = 0.02  # seconds between two looks at what a serial port has not sent yet
_IDENTIFIERS: Final = re.compile(r"([0-9a-f]{4}):([0-9a-f]{4})", re.IGNORECASE)
_COM: Final = re.compile(r"(?:\\\\\.\\)?(com\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Link:
    """An open connection. ``close`` takes the seconds that it may wait until what was sent is out of this host."""

    channel: Channel
    close: Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Tcp:
    """A printer on the network."""

    host: str
    port: int

    @property
    def key(self) -> str:
        """What findings are saved by."""
        host = self.host.lower()
        return f"tcp://[{host}]:{self.port}" if ":" in host else f"tcp://{host}:{self.port}"

    def open(self) -> Link:
        """Connect; raises OSError."""
        device = socket.create_connection((self.host, self.port), CONNECTING)
        device.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or our own kernel's wait is measured too
        ours = _there(channel(None, device))

        def close(timeout: float) -> None:
            with device:
                ours.drain(timeout)

        return Link(ours, close)


@dataclass(frozen=True, slots=True)
class Serial:
    """A printer on a serial port; ``baudrate`` in bits per second."""

    port: str
    baudrate: int = 9600

    @property
    def key(self) -> str:
        """What findings are saved by: the port, however fast and, on Windows, however written."""
        windows = _COM.fullmatch(self.port)
        return f"serial://{windows[1].upper() if windows else self.port}"

    def open(self) -> Link:
        """Open the port; raises OSError."""
        try:
            import serial
        except ImportError:
            raise _missing("a serial port", "pyserial", "serial") from None
        try:
            device: Any = serial.Serial(self.port, self.baudrate, timeout=0, write_timeout=CONNECTING)
        except (ValueError, OverflowError) as error:  # no such speed
            raise OSError(str(error)) from None

        def close(timeout: float) -> None:
            # The kernel's own close waits up to half a minute for a printer that holds the line.
            until = time.monotonic() + timeout
            with device, contextlib.suppress(Exception):  # it may have been pulled out
                while device.out_waiting and time.monotonic() < until:
                    time.sleep(_GLANCE)
                if device.out_waiting:
                    device.reset_output_buffer()

        return Link(_there(channel(None, device)), close)


@dataclass(frozen=True, slots=True)
class Usb:
    """A printer on USB; the endpoints' defaults are python-escpos's."""

    vendor: int
    product: int
    in_ep: int = 0x82
    out_ep: int = 0x01

    @property
    def key(self) -> str:
        """What findings are saved by: two printers of one model are one."""
        return f"usb://{self.vendor:04x}:{self.product:04x}"

    def open(self) -> Link:
        """Take the device, from the system's own driver where that has it; raises OSError."""
        try:
            import usb.core
            import usb.util
        except ImportError:
            raise _missing("USB", "pyusb", "usb") from None
        try:
            device: Any = usb.core.find(idVendor=self.vendor, idProduct=self.product)
        except usb.core.NoBackendError:
            raise OSError("libusb is not there: install libusb 1.0, which pyusb needs") from None
        if device is None:
            raise OSError(f"no USB device {self.vendor:04x}:{self.product:04x}; lsusb tells what there is")
        detached = False

        def close(timeout: float) -> None:
            usb.util.dispose_resources(device)
            if detached:
                with contextlib.suppress(OSError):
                    device.attach_kernel_driver(0)

        try:
            with contextlib.suppress(NotImplementedError):  # a system without such drivers
                if device.is_kernel_driver_active(0):
                    device.detach_kernel_driver(0)
                    detached = True
            device.set_configuration()
        except OSError:
            close(0.0)
            raise
        return Link(_there(channel(self, device)), close)


Address = Tcp | Serial | Usb


def parse(text: str) -> Address:
    """The address that ``text`` is; raises ValueError where it is none, and says how one looks."""
    try:
        parts = urlsplit(text)
        make = _SCHEMES.get(parts.scheme)
        found = None if make is None or parts.fragment else make(parts)
    except ValueError:
        found = None
    if found is None:
        raise ValueError(f"an address is as {EXAMPLES}, not {text}")
    return found


def of(printer: object) -> Address | None:
    """Where a python-escpos driver prints to; ``None`` for anything else, and for drivers that only write."""
    if "escpos.printer" not in sys.modules:
        return None
    from escpos import printer as drivers

    target: Any = printer
    if isinstance(printer, drivers.Network):
        return Tcp(str(target.host), int(target.port))
    if isinstance(printer, drivers.Serial):
        return Serial(str(target.devfile))
    if isinstance(printer, drivers.Usb) and {"idVendor", "idProduct"} <= target.usb_args.keys():
        return Usb(int(target.usb_args["idVendor"]), int(target.usb_args["idProduct"]))
    return None


def connect(address: Address) -> Link:
    """Open a connection within `CONNECTING` seconds, whatever the system's own calls take; raises OSError."""
    future: Future[Link] = Future()

    def work() -> None:
        try:
            link = address.open()
        except BaseException as error:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
        else:
            if future.set_running_or_notify_cancel():
                future.set_result(link)
            else:
                link.close(0.0)  # nobody waits for it any more

    threading.Thread(target=work, name=f"connecting to {address.key}", daemon=True).start()
    try:
        return future.result(CONNECTING)
    except BaseException as error:
        if not future.cancel() and isinstance(error, TimeoutError) and future.exception() is None:
            return future.result()
        if isinstance(error, TimeoutError):
            raise TimeoutError(f"no connection within {CONNECTING:g} s") from None
        raise


def _tcp(parts: SplitResult) -> Tcp | None:
    port = PORT if parts.port is None else parts.port
    if not parts.hostname or parts.username is not None or parts.path not in ("", "/") or parts.query or not port:
        return None
    parts.hostname.encode("idna")
    return Tcp(parts.hostname, port)


def _serial(parts: SplitResult) -> Serial | None:
    settings = _settings(parts.query, "baudrate")
    if not parts.netloc:
        port = parts.path
    elif parts.path in ("", "/"):
        port = parts.netloc
    else:
        return None
    baudrate = settings.get("baudrate", 9600)
    return Serial(port, baudrate) if port.strip("/") and baudrate > 0 else None


def _usb(parts: SplitResult) -> Usb | None:
    settings = _settings(parts.query, "in", "out")
    identifiers = _IDENTIFIERS.fullmatch(parts.netloc)
    in_ep, out_ep = settings.get("in", 0x82), settings.get("out", 0x01)
    if identifiers is None or parts.path not in ("", "/") or not (0x81 <= in_ep <= 0x8F and 0x01 <= out_ep <= 0x0F):
        return None
    return Usb(int(identifiers[1], 16), int(identifiers[2], 16), in_ep, out_ep)


_SCHEMES: Final[dict[str, Callable[[SplitResult], Address | None]]] = {"tcp": _tcp, "serial": _serial, "usb": _usb}


def _settings(query: str, *names: str) -> dict[str, int]:
    pairs = parse_qsl(query, strict_parsing=True) if query else []
    settings = {name: int(value, 0) for name, value in pairs}
    if len(settings) != len(pairs) or not settings.keys() <= set(names):
        raise ValueError("unknown or twice")
    return settings


def _missing(what: str, package: str, extra: str) -> OSError:
    return OSError(f"{what} needs {package}: pip install {package}, or python-escpos[{extra}] which brings it")


def _there(found: Channel | None) -> Channel:
    assert found is not None  # it has two directions
    return found
