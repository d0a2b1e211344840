"""Each of python-escpos's drivers that can run here, on what it really writes to: a terminal, a file, lp, a USB stub.

CupsPrinter and Win32Raw need a CUPS server's headers and Windows: they are not run here.
"""

import os
import stat
import threading
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import usb.core
from escpos.escpos import Escpos
from escpos.exceptions import DeviceNotFoundError
from escpos.printer import LP, File, Network, Serial, Usb

from printobs.assembly.printing import print_job, register
from printobs.core.conventions import Outcome
from printobs.integrations import escpos
from tests.conftest import Sdk

# python-escpos leaves the socket of a failed attempt to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
Driver = tuple[Callable[[], Escpos], Callable[[], bytes]]


@pytest.fixture
def instrumented(sdk: Sdk) -> Iterator[Sdk]:
    escpos.instrument(sdk.telemetry)
    yield sdk
    escpos.uninstrument()


@pytest.fixture
def serial_port() -> Iterator[Driver]:
    ours, theirs = os.openpty()
    tty.setraw(ours)
    received, more = bytearray(), threading.Condition()

    def read() -> None:
        try:
            while data := os.read(ours, 4096):
                with more:
                    received.extend(data)
                    more.notify_all()
        except OSError:
            pass

    thread = threading.Thread(target=read, daemon=True)
    thread.start()

    def taken() -> bytes:
        with more:
            assert more.wait_for(lambda: received.endswith(b"\x1dV\x00"), 5)
            data = bytes(received)
            received.clear()
        return data

    name = os.ttyname(theirs)
    yield lambda: Serial(name, dsrdtr=False), taken
    os.close(theirs)
    thread.join(5)
    os.close(ours)


@pytest.fixture
def regular_file(tmp_path: Path) -> Driver:
    path = tmp_path / "printer"
    return lambda: File(str(path)), path.read_bytes


@pytest.fixture
def lp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    spool = tmp_path / "spool"
    scripts = {
        "lpstat": 'case $1 in -v) echo "device for kitchen: usb://x";; *) echo kitchen;; esac',
        "lp": f"exec cat > {spool}",
    }
    for name, script in scripts.items():
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return lambda: LP("kitchen", auto_flush=False), spool.read_bytes


class UsbStub:
    """What python-escpos asks of a `usb.core.Device`."""

    class backend:  # noqa: N801
        __module__ = "none"

    class _ctx:  # noqa: N801
        @staticmethod
        def dispose(_: object) -> None: ...

    def __init__(self) -> None:
        self.received = b""
        self.failure: Exception | None = None

    def set_configuration(self) -> None: ...

    def reset(self) -> None: ...

    def write(self, endpoint: int, data: bytes, timeout: int) -> int:
        if self.failure is not None:
            raise self.failure
        self.received += data
        return len(data)

    def read(self, endpoint: int, size: int, timeout: int) -> bytes:
        raise usb.core.USBTimeoutError("nothing came", errno=110)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> UsbStub:
    stub = UsbStub()
    monkeypatch.setattr(usb.core, "find", lambda **_: stub)
    return stub


@pytest.fixture
def usb_device(device: UsbStub) -> Driver:
    def taken() -> bytes:
        data, device.received = device.received, b""
        return data

    return lambda: Usb(0x04B8, 0x0202), taken


@pytest.mark.parametrize("kind", ["serial_port", "regular_file", "lp", "usb_device"])
def test_a_driver_prints_the_same_bytes_and_reports_its_jobs(
    kind: str, sdk: Sdk, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    make, taken = request.getfixturevalue(kind)

    def ticket(printer: Escpos) -> None:
        printer.text("2 x Ramen\n")
        printer.cut()

    bare = make()
    ticket(bare)
    bare.close()
    expected = taken()
    assert b"Ramen" in expected
    escpos.instrument(sdk.telemetry)
    try:
        found = make()
        ticket(found)
        found.close()
        assert taken() == expected
        # Its own name: how well a kitchen of another test prints would be told here, while that one's driver lives.
        printer = register(make(), name=f"kitchen on {kind}", proof="sent")
        with print_job(printer, timeout=5) as job:
            ticket(printer)
        printer.close()
        assert taken() == expected
    finally:
        escpos.uninstrument()
    assert job.outcome is Outcome.WRITTEN
    spans = sdk.spans("print job")
    assert [(span.attributes or {})["printer.job.outcome"] for span in spans] == ["written", "written"]
    size = len(expected) - (1 if kind == "lp" else 0)  # lp's driver ends with a line break of its own
    found_size, explicit_size = [(span.attributes or {})["printer.job.size"] for span in spans]
    assert explicit_size == size
    assert found_size == size - len(b"\x1bt\x00")  # settings alone begin no job
    assert sdk.value("printer.io", network__io__direction="transmit") == 2 * size
    assert sdk.value("printer.connection.attempts") == 2
    assert caplog.records == []


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Serial("/dev/nowhere"), "not_found"),
        (lambda: File("/nowhere/printer"), "not_found"),
        (lambda: Usb(0x04B8, 0x0202), "not_found"),
        (lambda: Network("127.0.0.1", 1, timeout=2), "connect_refused"),
    ],
)
def test_a_printer_that_is_not_there(
    instrumented: Sdk, make: Callable[[], Escpos], error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usb.core, "find", lambda **_: None)
    printer = make()
    with pytest.raises(DeviceNotFoundError), print_job(printer, timeout=3) as job:
        printer.text("2 x Ramen\n")
    assert (job.outcome, job.error_type, job.partial) == (Outcome.FAILED, error, False)
    assert instrumented.value("printer.connection.attempts", error__type=error) == 1


def test_a_usb_printer_that_is_pulled_out(instrumented: Sdk, usb_device: Driver, device: UsbStub) -> None:
    printer: Any = usb_device[0]()
    with pytest.raises(usb.core.USBError), print_job(printer) as job:
        printer.text("2 x Ramen\n")
        device.failure = usb.core.USBError("no such device", errno=19)
        printer.cut()
    assert job.outcome is Outcome.FAILED
    assert job.partial
