"""printobs doctor on a serial port, a real terminal, and on USB, a stub of a device; a printer is behind each."""

import json
import os
import select
import socket
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import serial
import usb.core

from printobs.assembly import addresses, doctor
from printobs.assembly.cli import main
from printobs.testing import VirtualPrinter

Capture = pytest.CaptureFixture[str]
Printers = Callable[..., VirtualPrinter]


@pytest.fixture(autouse=True)
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "printers.json"
    monkeypatch.setenv("PRINTOBS_PRINTERS", str(file))
    return file


class Cable:
    """A pseudo-terminal, whose other end goes to a printer."""

    def __init__(self, paper: VirtualPrinter) -> None:
        self._ours, self._theirs = os.openpty()
        tty.setraw(self._ours)
        self.port = os.ttyname(self._theirs)
        self._socket = socket.create_connection(("127.0.0.1", paper.port))
        self._stop, self._stopped = os.pipe()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def _carry(self) -> None:
        while True:
            ready, _, _ = select.select([self._ours, self._socket, self._stop], [], [])
            if self._stop in ready:
                return
            if self._ours in ready:
                self._socket.sendall(os.read(self._ours, 4096))
            if self._socket in ready:
                data = self._socket.recv(4096)
                if not data:
                    return
                os.write(self._ours, data)

    def close(self) -> None:
        os.write(self._stopped, b"x")
        self._thread.join(5)
        self._socket.close()
        for each in (self._ours, self._theirs, self._stop, self._stopped):
            os.close(each)


@pytest.fixture
def cables() -> Iterator[Callable[[VirtualPrinter], Cable]]:
    laid: list[Cable] = []

    def lay(paper: VirtualPrinter) -> Cable:
        laid.append(Cable(paper))
        return laid[-1]

    yield lay
    for each in laid:
        each.close()


def test_a_serial_printer_is_looked_at_and_proven(
    capsys: Capture, virtual_printer: VirtualPrinter, cables: Callable[[VirtualPrinter], Cable], saved: Path
) -> None:
    port = cables(virtual_printer).port
    code = main(["doctor", "--json", f"serial://{port}?baudrate=38400"])
    found = json.loads(capsys.readouterr().out)
    assert (code, found["state"]["model"], found["printed"]) == (0, "TM-T88VI", False)
    assert virtual_printer.receipts == ()
    code = main(["doctor", "--json", "--print", f"serial://{port}?baudrate=38400"])
    found = json.loads(capsys.readouterr().out)
    assert (code, found["proof"], len(virtual_printer.receipts)) == (0, "process_id", 1)
    assert list(json.loads(saved.read_text())["printers"]) == [f"serial://{port}"]


def test_a_serial_printer_in_trouble(
    capsys: Capture, virtual_printer: VirtualPrinter, cables: Callable[[VirtualPrinter], Cable]
) -> None:
    virtual_printer.cover_open()
    assert main(["doctor", "--print", f"serial://{cables(virtual_printer).port}"]) == 1
    assert "cover_open" in capsys.readouterr().out
    assert b"doctor" not in virtual_printer.received


def test_a_serial_line_that_is_held_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nobody reads the other end: the terminal takes some, then no more, as under flow control.
    ours, theirs = os.openpty()
    tty.setraw(ours)
    link = addresses.connect(addresses.Serial(os.ttyname(theirs)))
    with pytest.raises(serial.SerialTimeoutException):
        link.channel.write(bytes(1 << 20), 0.3)
    # A terminal keeps no count of what waits, as a port's chip does.
    thrown_away: list[object] = []
    monkeypatch.setattr(serial.Serial, "out_waiting", property(lambda _: 7))
    monkeypatch.setattr(serial.Serial, "reset_output_buffer", lambda port: thrown_away.append(port))
    began = time.monotonic()
    link.close(0.3)
    assert 0.3 <= time.monotonic() - began < 3
    assert len(thrown_away) == 1
    os.close(ours)
    os.close(theirs)


def test_a_serial_port_that_is_pulled_out(capsys: Capture) -> None:
    ours, theirs = os.openpty()
    tty.setraw(ours)
    name = os.ttyname(theirs)

    def pull_out() -> None:
        os.read(ours, 16)
        os.close(theirs)
        os.close(ours)

    thread = threading.Thread(target=pull_out)
    thread.start()
    assert main(["doctor", f"serial://{name}"]) == 1
    thread.join(5)
    assert "  but   " in capsys.readouterr().out


@pytest.mark.parametrize("address", ["serial:///dev/nowhere", "serial:///dev/null"])
def test_a_serial_port_that_is_none(capsys: Capture, address: str) -> None:
    assert main(["doctor", address]) == 3
    text = capsys.readouterr().out
    assert text.startswith(f"{address}: cannot be reached: ")
    assert text.count("\n") == 1


@pytest.mark.parametrize(
    ("module", "address", "needed"),
    [
        ("serial", "serial:///dev/ttyUSB0", "pip install pyserial"),
        ("usb.core", "usb://04b8:0202", "pip install pyusb"),
    ],
)
def test_a_missing_package_is_named_in_one_line(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, module: str, address: str, needed: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["doctor", address]) == 3
    text = capsys.readouterr().out
    assert needed in text
    assert text.count("\n") == 1


def test_a_speed_that_no_serial_port_has(
    capsys: Capture, virtual_printer: VirtualPrinter, cables: Callable[[VirtualPrinter], Cable]
) -> None:
    assert main(["doctor", f"serial://{cables(virtual_printer).port}?baudrate=99999999999"]) == 3
    assert "cannot be reached" in capsys.readouterr().out


class UsbStub:
    """What is asked of a `usb.core.Device`; its endpoints are those of a printer behind."""

    class _ctx:  # noqa: N801
        @staticmethod
        def dispose(_: object) -> None: ...

    def __init__(self, paper: VirtualPrinter) -> None:
        self._socket = socket.create_connection(("127.0.0.1", paper.port))
        self.endpoints: set[int] = set()
        self.drivers = ["attached"]
        self.failure: Exception | None = None

    def set_configuration(self) -> None:
        if self.failure is not None:
            raise self.failure

    def is_kernel_driver_active(self, interface: int) -> bool:
        return self.drivers[-1] == "attached"

    def detach_kernel_driver(self, interface: int) -> None:
        self.drivers.append("detached")

    def attach_kernel_driver(self, interface: int) -> None:
        self.drivers.append("attached")

    def write(self, endpoint: int, data: bytes, timeout: int) -> int:
        assert timeout > 0  # 0 is for ever
        self.endpoints.add(endpoint)
        self._socket.sendall(data)
        return len(data)

    def read(self, endpoint: int, size: int, timeout: int) -> bytes:
        assert timeout > 0
        self.endpoints.add(endpoint)
        self._socket.settimeout(timeout / 1000)
        try:
            return self._socket.recv(size)
        except TimeoutError:
            raise usb.core.USBTimeoutError("Operation timed out") from None

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def device(virtual_printer: VirtualPrinter, monkeypatch: pytest.MonkeyPatch) -> Iterator[UsbStub]:
    stub = UsbStub(virtual_printer)

    def find(**wanted: int) -> UsbStub | None:
        return stub if wanted == {"idVendor": 0x04B8, "idProduct": 0x0202} else None

    monkeypatch.setattr(usb.core, "find", find)
    yield stub
    stub.close()


def test_a_usb_printer_is_looked_at_and_proven(
    capsys: Capture, virtual_printer: VirtualPrinter, device: UsbStub, saved: Path
) -> None:
    assert main(["doctor", "--print", "usb://04B8:0202"]) == 0
    assert "EPSON TM-T88VI" in capsys.readouterr().out
    assert len(virtual_printer.receipts) == 1
    assert device.endpoints == {0x82, 0x01}
    assert device.drivers == ["attached", "detached", "attached"]  # the system has it back
    assert list(json.loads(saved.read_text())["printers"]) == ["usb://04b8:0202"]


def test_the_endpoints_of_a_usb_printer_can_be_named(capsys: Capture, device: UsbStub) -> None:
    assert main(["doctor", "usb://04b8:0202?in=0x81&out=3"]) == 0
    assert device.endpoints == {0x81, 0x03}


def test_a_usb_printer_that_no_driver_of_the_system_has_is_given_none(capsys: Capture, device: UsbStub) -> None:
    device.drivers = ["none"]
    assert main(["doctor", "usb://04b8:0202"]) == 0
    assert device.drivers == ["none"]


def test_a_usb_printer_that_says_nothing(
    capsys: Capture, virtual_printer: VirtualPrinter, device: UsbStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "PRINTING", 0.5)
    virtual_printer.mute()
    assert main(["doctor", "--json", "--print", "usb://04b8:0202"]) == 1
    assert json.loads(capsys.readouterr().out)["printed"]


def test_usb_devices_that_cannot_be_had(capsys: Capture, device: UsbStub, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["doctor", "usb://04b8:0203"]) == 3
    assert "no USB device 04b8:0203" in capsys.readouterr().out
    device.failure = usb.core.USBError("Access denied (insufficient permissions)", errno=13)
    assert main(["doctor", "usb://04b8:0202"]) == 3
    assert "Access denied" in capsys.readouterr().out
    assert device.drivers == ["attached", "detached", "attached"]

    def find(**_: int) -> Any:
        raise usb.core.NoBackendError("No backend available")

    monkeypatch.setattr(usb.core, "find", find)
    assert main(["doctor", "usb://04b8:0202"]) == 3
    assert "install libusb 1.0" in capsys.readouterr().out
