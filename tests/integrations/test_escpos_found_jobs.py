"""Print jobs that are found by themselves: when each begins and ends, whatever becomes of its printer."""

import gc
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any

import pytest
from escpos.printer import Network

from printobs.assembly.printing import print_job
from printobs.integrations import escpos
from printobs.signals import passive
from printobs.testing.virtual_printer import VirtualPrinter
from tests.conftest import Sdk


@pytest.fixture
def instrumented(sdk: Sdk) -> Iterator[Sdk]:
    escpos.instrument(sdk.telemetry)
    yield sdk
    escpos.uninstrument()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passive, "_sweeper", passive._Sweeper())  # one that is not asleep since another test
    monkeypatch.setattr(passive, "IDLE", 0.1)


def jobs(sdk: Sdk) -> list[object]:
    return [dict(span.attributes or {})["printer.job.outcome"] for span in sdk.spans("print job")]


def until_ended(sdk: Sdk, count: int) -> None:
    for _ in range(500):
        if len(jobs(sdk)) == count:
            return
        time.sleep(0.01)
    raise TimeoutError(jobs(sdk))


def test_what_is_written_after_a_long_pause_is_another_job(
    instrumented: Sdk, virtual_printer: VirtualPrinter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passive, "_sweeper", passive._Sweeper())
    printer = Network("127.0.0.1", virtual_printer.port)
    printer.text("never cut\n")  # the one who looks for idle jobs sleeps for a second now
    monkeypatch.setattr(passive, "IDLE", 0.05)
    time.sleep(0.1)
    printer.text("another\n")
    assert jobs(instrumented) == ["written"]
    printer.cut()
    printer.close()
    assert jobs(instrumented) == ["written", "written"]


def test_pauses_that_are_short_do_not_end_a_job(
    instrumented: Sdk, virtual_printer: VirtualPrinter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passive, "_sweeper", passive._Sweeper())
    monkeypatch.setattr(passive, "IDLE", 2.0)
    printer = Network("127.0.0.1", virtual_printer.port)
    for _ in range(3):
        printer.text("line\n")
        time.sleep(0.5)
    assert jobs(instrumented) == []
    printer.close()
    assert jobs(instrumented) == ["written"]


# Nobody closes it: Python says so where it finalises the socket before the driver, in a cycle it may.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("impatient")
def test_the_job_of_a_driver_that_is_gone_ends(instrumented: Sdk, virtual_printer: VirtualPrinter) -> None:
    printer: Any = Network("127.0.0.1", virtual_printer.port)
    printer.text("never cut\n")
    del printer
    gc.collect()
    until_ended(instrumented, 1)
    assert jobs(instrumented) == ["written"]


class Till:
    def __init__(self, port: int) -> None:
        self.printer = Network("127.0.0.1", port)

    def __del__(self) -> None:
        self.printer.close()


@pytest.mark.usefixtures("impatient")
def test_a_job_whose_printer_is_closed_by_a_finaliser_ends(instrumented: Sdk, virtual_printer: VirtualPrinter) -> None:
    till = Till(virtual_printer.port)
    till.printer.text("never cut\n")
    del till
    until_ended(instrumented, 1)
    assert jobs(instrumented) == ["written"]


def test_uninstrument_ends_one_that_a_finaliser_has_closed_at_once(sdk: Sdk, virtual_printer: VirtualPrinter) -> None:
    escpos.instrument(sdk.telemetry)
    till = Till(virtual_printer.port)
    printer = till.printer
    printer.text("never cut\n")
    del till
    escpos.uninstrument()
    assert jobs(sdk) == ["written"]
    printer.close()


def test_a_finaliser_that_closes_the_printer_of_an_explicit_job_leaves_that(
    instrumented: Sdk, virtual_printer: VirtualPrinter
) -> None:
    till = Till(virtual_printer.port)
    printer = till.printer
    with print_job(printer, timeout=5) as job:
        printer.text("2 x Ramen\n")
        printer.cut()
        del till
        assert jobs(instrumented) == []
    assert job.outcome == "written"
    assert jobs(instrumented) == ["written"]
    assert virtual_printer.wait_for_receipts(1)[0].lines[0] == "2 x Ramen"


def lost(server: socket.socket) -> None:
    connection, _ = server.accept()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def test_a_drawer_kick_that_a_lost_connection_does_not_take_is_nobodys(instrumented: Sdk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        printer = Network("127.0.0.1", server.getsockname()[1], timeout=5)
        printer.open()
        lost(server)
        with pytest.raises(ConnectionError):
            printer.cashdraw(2)
        printer.close()
    assert jobs(instrumented) == []


def test_settings_that_a_lost_connection_does_not_take_are_a_job_that_failed(instrumented: Sdk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        printer = Network("127.0.0.1", server.getsockname()[1], timeout=5)
        printer.hw("INIT")
        lost(server)
        assert jobs(instrumented) == []
        with pytest.raises(ConnectionError):
            printer.set(align="center")
        printer.close()
    assert jobs(instrumented) == ["failed"]
    assert instrumented.value("printer.jobs", error__type="reset") == 1
    assert instrumented.spans("printer connect") == []  # it was connected before there was a job
