"""The agent's drivers: nothing on them outlasts its deadline, and they say whether bytes have left."""

from __future__ import annotations

import contextlib
import os
import socket
import termios
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
import usb.core
from escpos.exceptions import DeviceNotFoundError

from examples.agent.cables import SerialPort, UsbDevice
from examples.agent.identity import serial_number
from examples.agent.network import Tcp
from examples.jobs import wire
from printobs.testing import VirtualPrinter
from tests.examples.scripted_service import ScriptedService
from tests.examples.test_agent import CUT, job, running, text

# python-escpos leaves a device that could not be opened to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    """A pseudo-terminal: its master, and the name of what is opened as a serial port."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    yield ours, os.ttyname(theirs)
    for each in (theirs, ours):
        with contextlib.suppress(OSError):
            os.close(each)


def test_a_printer_on_a_serial_port_proves_that_it_has_printed(
    terminal: tuple[int, str], virtual_printer: VirtualPrinter, tmp_path: Path
) -> None:
    ours, name = terminal
    line = socket.create_connection(("127.0.0.1", virtual_printer.port))

    def carry(take: object, give: object) -> None:
        with contextlib.suppress(OSError):
            while data := take(4096):  # type: ignore[operator]
                give(data)  # type: ignore[operator]

    ways = (
        threading.Thread(target=carry, args=(lambda size: os.read(ours, size), line.sendall), daemon=True),
        threading.Thread(target=carry, args=(line.recv, lambda data: os.write(ours, data)), daemon=True),
    )
    for way in ways:
        way.start()
    printers = {"kitchen": f"serial://{name}?baudrate=115200?proof=process_id"}
    with ScriptedService() as service, running(service, printers, tmp_path):
        link = service.joined()
        for _ in range(2):
            message = job(*[text("a line\n")] * 200, CUT)
            link.send(message)
            assert link.hear(wire.Done) == wire.Done(message.id, "confirmed")
    assert [receipt.text.count("a line") for receipt in virtual_printer.receipts] == [200, 200]
    line.close()


def test_a_serial_port_that_takes_nothing_ends_in_time(terminal: tuple[int, str]) -> None:
    ours, name = terminal
    port = SerialPort(name, 9600)
    port.begin(1.0)
    assert not port.begun
    began = time.monotonic()
    with pytest.raises(OSError, match=r"timeout|time is over"):
        port.send(bytes(1 << 20))  # nobody reads
    assert 0.5 < time.monotonic() - began < 10
    assert port.begun
    port.abort()
    termios.tcflush(ours, termios.TCIFLUSH)
    port.begin(1.0)
    port.send(b"again")
    port.close()


def test_a_serial_port_that_is_not_there_is_said() -> None:
    port = SerialPort("/dev/nothing-here", 9600)
    port.begin(1.0)
    with pytest.raises(DeviceNotFoundError):
        port.device  # noqa: B018
    assert not port.begun
    port.abort()


class UsbPrinter:
    """What python-escpos and the agent ask of a `usb.core.Device`; takes 64 bytes at a time."""

    class backend:  # noqa: N801
        __module__ = "none"

    class _ctx:  # noqa: N801
        @staticmethod
        def dispose(_: object) -> None: ...

    def __init__(self) -> None:
        self.received = b""
        self.stuck = False

    def set_configuration(self) -> None: ...

    def reset(self) -> None: ...

    def write(self, endpoint: int, data: bytes, timeout: int) -> int:
        assert endpoint == 0x01
        assert 0 < timeout <= 1000
        if self.stuck:
            raise usb.core.USBTimeoutError("timed out", errno=110)
        self.received += data[:64]
        return len(data[:64])


def test_a_usb_printer_takes_all_in_pieces_or_fails_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    there = UsbPrinter()
    monkeypatch.setattr(usb.core, "find", lambda **_: there)
    device = UsbDevice(0x04B8, 0x0202)
    device.begin(1.0)
    device.send(bytes(range(256)) * 4)
    assert there.received == bytes(range(256)) * 4
    there.stuck = True
    device.begin(1.0)
    with pytest.raises(usb.core.USBTimeoutError):
        device.send(b"more")
    assert device.begun
    device.abort()


def test_a_connection_that_takes_nothing_ends_in_time_and_says_that_some_has_left() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        printer = Tcp("127.0.0.1", listener.getsockname()[1])
        printer.begin(1.0)
        assert printer.device
        assert not printer.begun
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            printer.send(bytes(64 << 20))
        assert time.monotonic() - began < 10
        assert printer.begun
        printer.abort()


def test_a_printer_that_hangs_up_is_not_asked_over_and_over_who_it_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def hang_up() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(16)

        printer = threading.Thread(target=hang_up)
        printer.start()
        began = time.thread_time()
        assert serial_number(Tcp("127.0.0.1", listening.getsockname()[1])) == ""
        assert time.thread_time() - began < 0.3  # of the processor, not of the clock
        printer.join()
