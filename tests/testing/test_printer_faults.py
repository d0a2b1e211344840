"""What befalls a printer: its roll ends, it is slow, it is switched off, its host goes away."""

import contextlib
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from printobs.testing import VirtualPrinter
from printobs.testing.paper import Feed

Make = Callable[..., VirtualPrinter]
CUT, ASK = b"\x1dV\x00", b"\x10\x04\x01"
LINE = 30


@contextmanager
def wire(printer: VirtualPrinter) -> Iterator[socket.socket]:
    with socket.create_connection((printer.host, printer.port), timeout=5) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection


def send(printer: VirtualPrinter, data: bytes) -> None:
    """Send, and see that the printer has read it all: its answer comes after that."""
    with wire(printer) as connection:
        connection.sendall(data + ASK)
        assert connection.recv(1)


def gone(connection: socket.socket) -> None:
    """Close as a host does that crashed: with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def image(rows: int) -> bytes:
    """A raster image of eight dots across, each row another."""
    return b"\x1dv0\x00\x01\x00" + rows.to_bytes(2, "little") + bytes(row % 251 for row in range(rows))


# The roll


@pytest.mark.parametrize("speed", [None, 100_000.0])
@pytest.mark.parametrize(("dots", "printed"), [(0, 0), (29, 0), (30, 1), (65, 2), (90, 3)])
def test_the_roll_ends_between_two_lines(virtual_printers: Make, speed: float | None, dots: int, printed: int) -> None:
    printer = virtual_printers(speed=speed)
    printer.paper_out(after_dots=dots)
    send(printer, b"1\n2\n3\n4\n" + CUT)
    with wire(printer) as connection:
        for _ in range(500):
            connection.sendall(b"\x10\x04\x04")
            if connection.recv(1) == b"\x7e":
                break
            time.sleep(0.01)
        else:
            pytest.fail("there is still paper")
    on_paper = printer.current
    assert (on_paper.lines if on_paper else ()) == ("1", "2", "3", "4")[:printed]
    printer.paper_in()
    assert printer.wait_for_receipts(1)[0].lines == ("1", "2", "3", "4")


@pytest.mark.parametrize("speed", [None, 100_000.0])
def test_the_roll_ends_in_an_image_which_goes_on_after_it(virtual_printers: Make, speed: float | None) -> None:
    printer = virtual_printers(speed=speed)
    printer.paper_out(after_dots=LINE + 40)
    send(printer, b"text\n" + image(100) + CUT)
    while not (printer.current and printer.current.images and printer.current.images[0].height >= 40):
        time.sleep(0.01)
    time.sleep(0.02)
    assert printer.current.images[0].data == bytes(range(40))
    printer.paper_in()
    [receipt] = printer.wait_for_receipts(1)
    assert [each.data for each in receipt.images] == [bytes(range(100))]


def test_the_roll_ends_in_blank_paper(virtual_printer: VirtualPrinter) -> None:
    virtual_printer.paper_out(after_dots=LINE + 25)
    send(virtual_printer, b"text\n\x1bJ\x3cmore\n" + CUT)
    assert virtual_printer.current is not None
    assert virtual_printer.current.elements[1:] == (Feed(25),)
    virtual_printer.paper_in()
    assert virtual_printer.wait_for_receipts(1)[0].elements[1] == Feed(60)


def test_a_roll_that_is_changed_in_time_does_not_end(virtual_printer: VirtualPrinter) -> None:
    virtual_printer.paper_out(after_dots=LINE)
    virtual_printer.paper_in()
    send(virtual_printer, b"1\n2\n" + CUT)
    assert virtual_printer.wait_for_receipts(1)[0].lines == ("1", "2")


# Speed


def test_printing_takes_its_time(virtual_printers: Make) -> None:
    printer = virtual_printers(speed=1000.0)
    start = time.monotonic()
    with wire(printer) as connection:
        connection.sendall(image(200) + b"text\n" + CUT)
        printer.wait_for_receipts(1)
    assert time.monotonic() - start >= 0.22


def test_the_speed_can_be_changed_while_it_prints(virtual_printers: Make) -> None:
    printer = virtual_printers(speed=1.0)
    send(printer, b"text\n" * 100 + CUT)
    assert printer.receipts == ()
    printer.slow(1_000_000.0)
    assert len(printer.wait_for_receipts(1)[0].lines) == 100
    printer.slow(None)
    send(printer, b"at once\n" + CUT)
    assert printer.receipts[1].text == "at once"


def test_an_image_is_torn_where_the_power_went(virtual_printers: Make) -> None:
    printer = virtual_printers(speed=2000.0)
    send(printer, image(2000) + CUT)
    while printer.current is None:
        time.sleep(0.005)
    printer.power_off()
    [torn] = printer.receipts
    [piece] = torn.images
    assert not torn.cut
    assert 0 < piece.height < 2000
    assert piece.height % 24 == 0, "it comes out band by band"
    assert piece.data == bytes(row % 251 for row in range(piece.height))


@pytest.mark.parametrize(
    "arguments",
    [
        {"receive_buffer": 0},
        {"columns": 0},
        {"columns": 48, "dots": 47},
        {"speed": 0.0},
        {"speed": -1.0},
        {"speed": float("nan")},
    ],
    ids=str,
)
def test_what_no_printer_can_be_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        VirtualPrinter(**arguments)


def test_faults_that_make_no_sense_are_refused(virtual_printer: VirtualPrinter) -> None:
    with pytest.raises(ValueError, match="above zero"):
        virtual_printer.slow(0)
    for lay in (virtual_printer.reset_at, virtual_printer.power_off_at):
        with pytest.raises(ValueError, match="number 1"):
            lay(0)
    with pytest.raises(ValueError, match="number 1"):
        virtual_printer.at_byte(0, virtual_printer.paper_out)
    send(virtual_printer, b"unharmed\n" + CUT)
    assert virtual_printer.receipts[0].text == "unharmed"


# Power and connections


def test_a_fault_happens_at_its_byte_however_the_bytes_come(virtual_printer: VirtualPrinter) -> None:
    virtual_printer.at_byte(6, virtual_printer.cover_open)
    with wire(virtual_printer) as connection:
        for piece in (b"1\n", b"2\n", b"3\n4\n5\n" + CUT):
            connection.sendall(piece)
            time.sleep(0.02)
        connection.sendall(ASK)
        assert connection.recv(1) == b"\x1a"
    assert virtual_printer.current is not None
    assert virtual_printer.current.lines == ("1", "2", "3")
    virtual_printer.cover_close()
    assert virtual_printer.wait_for_receipts(1)[0].lines == ("1", "2", "3", "4", "5")


def test_a_reset_keeps_what_was_read_even_half_a_command(virtual_printer: VirtualPrinter) -> None:
    send(virtual_printer, b"before")
    with wire(virtual_printer) as connection:
        connection.sendall(ASK + image(8)[:10])
        assert connection.recv(1)
        while virtual_printer.buffered < 10:
            time.sleep(0.005)
        virtual_printer.reset()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    virtual_printer.reset()  # with no connection: nothing
    send(virtual_printer, image(8)[10:] + b"after\n" + CUT)
    [receipt] = virtual_printer.wait_for_receipts(1)
    assert receipt.lines == ("before", "after")
    assert [each.data for each in receipt.images] == [bytes(range(8))]
    assert virtual_printer.connections == 3


def test_one_connection_is_served_at_a_time(virtual_printer: VirtualPrinter) -> None:
    with wire(virtual_printer) as first:
        first.sendall(b"first\n" + ASK)
        assert first.recv(1)
        with wire(virtual_printer) as second:
            second.sendall(b"second\n" + CUT + ASK)
            second.settimeout(0.05)
            with pytest.raises(TimeoutError):
                second.recv(1)
            assert virtual_printer.connections == 1
            first.close()
            second.settimeout(5)
            assert second.recv(1)
    assert virtual_printer.receipts[0].lines == ("first", "second")


def test_power_can_be_switched_twice(virtual_printer: VirtualPrinter) -> None:
    virtual_printer.power_off()
    virtual_printer.power_off()
    assert not virtual_printer.powered
    assert virtual_printer.receipts == ()
    virtual_printer.power_on()
    send(virtual_printer, b"begun")
    virtual_printer.power_on()
    send(virtual_printer, b" and ended\n" + CUT)
    assert virtual_printer.receipts[0].text == "begun and ended", "what is on stays on"


def test_errors_end_with_the_power_but_the_cover_stays_open(virtual_printer: VirtualPrinter) -> None:
    virtual_printer.unrecoverable_error()
    virtual_printer.cutter_error(at_next_cut=True)
    virtual_printer.cover_open()
    assert virtual_printer.unrecoverable
    virtual_printer.power_off()
    virtual_printer.power_on()
    assert not virtual_printer.unrecoverable
    with wire(virtual_printer) as connection, connection.makefile("rb") as answers:
        connection.sendall(b"text\n" + CUT + b"\x10\x04\x02\x10\x04\x03")
        assert answers.read(2) == b"\x16\x12"
    virtual_printer.cover_close()
    assert virtual_printer.wait_for_receipts(1)[0].cut


def test_a_full_buffer_is_served_as_soon_as_there_is_something_to_answer(virtual_printers: Make) -> None:
    printer = virtual_printers(receive_buffer=10)
    printer.offline()
    with wire(printer) as connection:
        connection.sendall(b"123456789\n")
        while printer.buffered < 10:
            time.sleep(0.005)
        time.sleep(0.05)
        connection.sendall(ASK)
        assert connection.recv(1) == b"\x1a"
        assert printer.buffered == 10
        printer.online()
        connection.sendall(CUT + ASK)
        assert connection.recv(1) == b"\x12", "the first one is not answered again"
        assert printer.wait_for_receipts(1)[0].text == "123456789"


def test_a_host_that_crashes_while_the_buffer_is_full_makes_room_for_another(virtual_printers: Make) -> None:
    printer = virtual_printers(receive_buffer=10)
    printer.offline()
    with wire(printer) as connection:
        connection.sendall(b"123456789\n")
        while printer.buffered < 10:
            time.sleep(0.005)
        gone(connection)
    with wire(printer) as connection:
        connection.sendall(ASK)
        assert connection.recv(1) == b"\x1a"
        printer.online()
        connection.sendall(CUT)
        assert printer.wait_for_receipts(1)[0].lines == ("123456789",)


def test_a_host_that_crashes_with_its_answers_unread_takes_them_with_it(virtual_printers: Make) -> None:
    printer = virtual_printers(model="M" * 4000, receive_buffer=64)
    with wire(printer) as connection:
        connection.sendall(b"\x1dI\x43" * 5000)
        while printer.received_count < 15_000:
            time.sleep(0.005)
        printer.offline()
        connection.sendall(b"x" * 64)
        while printer.buffered < 64:
            time.sleep(0.005)
        gone(connection)
    with wire(printer) as connection:
        connection.sendall(ASK)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(2) == b"\x1a"


def test_a_host_that_crashes_while_it_is_read_loses_nothing_that_was_read(virtual_printer: VirtualPrinter) -> None:
    with wire(virtual_printer) as connection:
        connection.sendall(b"read\n" + ASK)
        assert connection.recv(1)
        gone(connection)
    send(virtual_printer, CUT)
    assert virtual_printer.receipts[0].text == "read"


# Being waited for, and closed


def test_waiting_in_vain_says_what_was_waited_for(virtual_printers: Make) -> None:
    printer = virtual_printers(name="bar")
    with pytest.raises(TimeoutError, match=r"bar: 0 of 1 receipts printed in 0\.01 s"):
        printer.wait_for_receipts(1, 0.01)
    printer.offline()
    send(printer, b"text\n")
    with pytest.raises(TimeoutError, match=r"bar: not idle after 0\.01 s, 5 bytes in its buffer"):
        printer.wait_idle(0.01)
    printer.online()
    printer.wait_idle()
    assert printer.current is not None
    assert printer.current.text == "text"


def test_a_printer_without_power_is_idle(virtual_printer: VirtualPrinter) -> None:
    virtual_printer.power_off()
    virtual_printer.wait_idle(0.1)


def test_what_was_printed_can_be_read_after_closing() -> None:
    with VirtualPrinter() as printer, wire(printer) as connection:
        connection.sendall(b"text\n" + CUT + ASK)
        assert connection.recv(1)
        printer.close()
        assert connection.recv(1) == b""
    printer.close()
    assert printer.receipts[0].text == "text"
    assert printer.received.startswith(b"text")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((printer.host, printer.port), timeout=1)


def test_a_fault_may_be_that_the_printer_is_taken_away_while_somebody_asks(virtual_printer: VirtualPrinter) -> None:
    asked = threading.Event()

    def close() -> None:
        asked.wait(5)
        time.sleep(0.05)
        virtual_printer.close()

    virtual_printer.at_byte(5, close)
    with wire(virtual_printer) as connection:
        connection.sendall(b"text\n")
        time.sleep(0.05)
        asked.set()
        assert virtual_printer.received == b"text\n"
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""


def test_who_asks_while_a_fault_takes_its_time_waits_for_it(virtual_printer: VirtualPrinter) -> None:
    begun, done = threading.Event(), threading.Event()

    def fault() -> None:
        begun.set()
        time.sleep(0.6)
        done.set()

    virtual_printer.at_byte(5, fault)
    with wire(virtual_printer) as connection:
        connection.sendall(b"text\n")
        assert begun.wait(5)
        assert virtual_printer.connections == 1
        assert done.is_set()


def test_a_port_that_is_taken_is_no_printers(virtual_printer: VirtualPrinter) -> None:
    with pytest.raises(OSError, match="in use"):
        VirtualPrinter(port=virtual_printer.port)


def test_a_port_that_was_taken_in_the_meantime_is_told_to_who_switches_the_power_on(virtual_printers: Make) -> None:
    printer = virtual_printers()
    printer.power_off()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((printer.host, printer.port))
        other.listen()
        with pytest.raises(OSError, match="in use"):
            printer.power_on()
        assert not printer.powered
    printer.power_on()
    send(printer, b"text\n" + CUT)
    assert printer.receipts[0].text == "text"


EXHAUSTED = """
import os, resource, socket
from printobs.testing import VirtualPrinter

def rest():
    taken = []
    try:
        while True:
            taken.append(os.dup(0))
    except OSError:
        return taken

resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
socket.getaddrinfo("127.0.0.1", 0)
taken = rest()
os.close(taken.pop())
try:
    VirtualPrinter()
except OSError as error:
    print(type(error).__name__)
left = rest()
for each in taken + left:
    os.close(each)
print(len(left))
"""


def test_a_printer_that_cannot_listen_leaves_nothing_open() -> None:
    program = [sys.executable, "-W", "always::ResourceWarning", "-c", EXHAUSTED]
    done = subprocess.run(program, capture_output=True, text=True, check=True, timeout=30)
    error, left = done.stdout.split()
    assert error in ("OSError", "gaierror"), done.stdout
    assert left == "1", "the only free descriptor is free again"
    assert "unclosed <socket" not in done.stderr
