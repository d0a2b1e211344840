"""What the printer answers, byte for byte as the manual has it."""

import socket
from collections.abc import Callable

import pytest

from printobs.testing import VirtualPrinter

Make = Callable[..., VirtualPrinter]
Fault = Callable[[VirtualPrinter], None]
CUT = b"\x1dV\x00"


def answers(printer: VirtualPrinter, *requests: bytes) -> bytes:
    """All that comes back until the printer, having served the requests, hangs up."""
    with socket.create_connection((printer.host, printer.port), timeout=2) as connection:
        for request in requests:
            connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as replies:
            return replies.read()


# Each fault with the answers to DLE EOT 1 to 4, where 0x12 is "nothing to report".
FAULTS: list[tuple[str, Fault, str]] = [
    ("none", lambda printer: None, "12 12 12 12"),
    ("near end", VirtualPrinter.near_end, "12 12 12 1e"),
    ("paper out", VirtualPrinter.paper_out, "1a 32 12 7e"),
    ("cover open", VirtualPrinter.cover_open, "1a 16 12 12"),
    ("offline", VirtualPrinter.offline, "1a 12 12 12"),
    ("feed button", VirtualPrinter.press_feed, "5a 1a 12 12"),
    ("drawer pin high", lambda printer: printer.drawer_sensor(True), "16 12 12 12"),
    ("mechanical error", VirtualPrinter.mechanical_error, "3a 52 16 12"),
    ("cutter error", VirtualPrinter.cutter_error, "3a 52 1a 12"),
    ("unrecoverable error", VirtualPrinter.unrecoverable_error, "1a 52 32 12"),
    ("overheated", VirtualPrinter.overheated, "1a 52 52 12"),
]


@pytest.mark.parametrize(("fault", "expected"), [each[1:] for each in FAULTS], ids=[each[0] for each in FAULTS])
def test_realtime_status_names_what_is_the_matter(virtual_printer: VirtualPrinter, fault: Fault, expected: str) -> None:
    fault(virtual_printer)
    requests = b"".join(b"\x10\x04" + bytes([n]) for n in (1, 2, 3, 4))
    assert answers(virtual_printer, requests).hex(" ") == expected


@pytest.mark.parametrize("request_", [b"\x10\x04\x00", b"\x10\x04\x05", b"\x10\x04\x07\x01", b"\x10\x14\x07\x01"])
def test_realtime_requests_that_it_does_not_know_are_not_answered(
    virtual_printer: VirtualPrinter, request_: bytes
) -> None:
    assert answers(virtual_printer, request_ + b"\x10\x04\x01") == b"\x12"


@pytest.mark.parametrize(
    ("undo", "cause"),
    [
        (VirtualPrinter.release_feed, VirtualPrinter.press_feed),
        (VirtualPrinter.near_end_cleared, VirtualPrinter.near_end),
        (lambda printer: printer.drawer_sensor(False), lambda printer: printer.drawer_sensor(True)),
        (VirtualPrinter.paper_in, VirtualPrinter.near_end),
    ],
    ids=["feed button", "near end", "drawer", "new roll"],
)
def test_what_is_mended_is_not_reported(virtual_printer: VirtualPrinter, undo: Fault, cause: Fault) -> None:
    cause(virtual_printer)
    undo(virtual_printer)
    assert answers(virtual_printer, b"\x10\x04\x01\x10\x04\x02\x10\x04\x04") == b"\x12\x12\x12"


@pytest.mark.parametrize("paper", [b"\x1dr\x01", b"\x1dr1", b"\x1bv"])
def test_the_paper_sensor_is_told_in_the_order_of_the_stream(virtual_printer: VirtualPrinter, paper: bytes) -> None:
    assert answers(virtual_printer, paper) == b"\x00"
    virtual_printer.near_end()
    assert answers(virtual_printer, paper) == b"\x03"


@pytest.mark.parametrize("drawer", [b"\x1dr\x02", b"\x1dr2", b"\x1bu\x00"])
def test_the_drawer_sensor_is_told_in_the_order_of_the_stream(virtual_printer: VirtualPrinter, drawer: bytes) -> None:
    assert answers(virtual_printer, drawer) == b"\x00"
    virtual_printer.drawer_sensor(True)
    assert answers(virtual_printer, drawer) == b"\x01"


@pytest.mark.parametrize("request_", [b"\x1dr\x00", b"\x1dr\x09", b"\x1dI\x00", b"\x1dI\x63"])
def test_requests_with_a_number_that_is_not_defined_are_not_answered(
    virtual_printer: VirtualPrinter, request_: bytes
) -> None:
    assert answers(virtual_printer, request_ + b"\x1dr\x01") == b"\x00"


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (1, b"\x20"),
        (2, b"\x02"),
        (3, b"\x01"),
        (49, b"\x20"),
        (50, b"\x02"),
        (51, b"\x01"),
        (65, b"_1.0\x00"),
        (66, b"_Caf?\x00"),
        (67, b"_Bar\x00"),
        (68, b"_S-1\x00"),
    ],
)
def test_it_says_what_it_is(virtual_printers: Make, n: int, expected: bytes) -> None:
    printer = virtual_printers(firmware="1.0", maker="Café", model="Bar", serial="S-1")
    assert answers(printer, b"\x1dI" + bytes([n])) == expected


def read(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        assert more, "hung up"
        data += more
    return data


@pytest.mark.parametrize(
    ("n", "change", "other", "now"),
    [
        (0x01, lambda printer: printer.drawer_sensor(True), VirtualPrinter.near_end, "14 00 03 00"),
        (0x02, VirtualPrinter.offline, VirtualPrinter.near_end, "18 00 03 00"),
        (0x02, VirtualPrinter.cover_open, VirtualPrinter.near_end, "38 00 03 00"),
        (0x04, VirtualPrinter.mechanical_error, VirtualPrinter.near_end, "18 04 03 00"),
        (0x04, VirtualPrinter.cutter_error, VirtualPrinter.offline, "18 08 00 00"),
        (0x04, VirtualPrinter.unrecoverable_error, VirtualPrinter.offline, "18 20 00 00"),
        (0x04, VirtualPrinter.overheated, VirtualPrinter.offline, "18 40 00 00"),
        (0x08, VirtualPrinter.paper_out, VirtualPrinter.offline, "18 00 0f 00"),
        (0x40, VirtualPrinter.press_feed, VirtualPrinter.near_end, "58 00 03 00"),
    ],
)
def test_automatic_status_tells_only_what_was_asked_for(
    virtual_printer: VirtualPrinter, n: int, change: Fault, other: Fault, now: str
) -> None:
    with socket.create_connection((virtual_printer.host, virtual_printer.port), timeout=2) as connection:
        connection.sendall(b"\x1da" + bytes([n]))
        assert read(connection, 4) == b"\x10\x00\x00\x00", "the state of things is told at once"
        other(virtual_printer)
        change(virtual_printer)
        assert read(connection, 4).hex(" ") == now, "one report: of the second change, not of the first"


@pytest.mark.parametrize("end", [b"\x1da\x00", b"\x1b@"])
def test_automatic_status_ends_when_nothing_is_asked_for(virtual_printer: VirtualPrinter, end: bytes) -> None:
    with socket.create_connection((virtual_printer.host, virtual_printer.port), timeout=2) as connection:
        connection.sendall(b"\x1da\xff" + end + b"\x1dr\x01")
        assert read(connection, 5) == b"\x10\x00\x00\x00\x00"
        virtual_printer.near_end()
        connection.sendall(b"\x10\x04\x04")
        assert read(connection, 1) == b"\x1e"


@pytest.mark.parametrize("error", [VirtualPrinter.mechanical_error, VirtualPrinter.cutter_error])
def test_recovering_from_an_error_prints_what_it_stopped(virtual_printer: VirtualPrinter, error: Fault) -> None:
    error(virtual_printer)
    assert answers(virtual_printer, b"kept\n" + CUT + b"\x10\x05\x01\x10\x04\x03") == b"\x12"
    assert [receipt.text for receipt in virtual_printer.wait_for_receipts(1)] == ["kept"]


def test_recovering_from_an_error_may_clear_the_buffer(virtual_printer: VirtualPrinter) -> None:
    virtual_printer.cutter_error()
    assert answers(virtual_printer, b"lost\n" + CUT, b"\x10\x05\x02\x10\x04\x03" + b"kept\n" + CUT) == b"\x12"
    assert [receipt.text for receipt in virtual_printer.wait_for_receipts(1)] == ["kept"]


@pytest.mark.parametrize("error", [VirtualPrinter.overheated, VirtualPrinter.unrecoverable_error])
def test_some_errors_do_not_end_on_request(virtual_printer: VirtualPrinter, error: Fault) -> None:
    error(virtual_printer)
    before = answers(virtual_printer, b"\x10\x04\x03")
    assert before != b"\x12"
    assert answers(virtual_printer, b"\x10\x05\x01\x10\x05\x02\x10\x05\x00\x10\x04\x03") == before


def test_clearing_the_buffers_is_confirmed(virtual_printer: VirtualPrinter) -> None:
    virtual_printer.offline()
    clear = b"\x10\x14\x08\x01\x03\x14\x01\x06\x02\x08"
    wrong = b"\x10\x14\x08\x01\x03\x14\x01\x06\x02\x09"
    assert answers(virtual_printer, b"lost\n" + CUT + clear) == b"\x37\x25\x00"
    assert answers(virtual_printer, b"kept\n" + CUT + wrong) == b""
    virtual_printer.online()
    assert [receipt.text for receipt in virtual_printer.wait_for_receipts(1)] == ["kept"]


# The process ID: GS ( H


def process_id(number: bytes, function: bytes = b"00") -> bytes:
    return b"\x1d(H" + (len(function) + len(number)).to_bytes(2, "little") + function + number


def test_a_process_id_is_confirmed(virtual_printer: VirtualPrinter) -> None:
    assert answers(virtual_printer, b"x\n" + process_id(b"A-01")) == b"\x37\x22A-01\x00"


@pytest.mark.parametrize("request_", [process_id(b"A-01", b"01"), process_id(b"A-1"), process_id(b"A-001")])
def test_what_is_no_process_id_is_not_confirmed(virtual_printer: VirtualPrinter, request_: bytes) -> None:
    assert answers(virtual_printer, request_ + b"\x1dr\x01") == b"\x00"


def test_of_process_ids_that_wait_to_be_sent_only_the_latest_is(virtual_printer: VirtualPrinter) -> None:
    virtual_printer.offline()
    with socket.create_connection((virtual_printer.host, virtual_printer.port), timeout=2) as connection:
        connection.sendall(process_id(b"A-01") + b"\x1dr\x01" + process_id(b"A-02") + b"\x10\x04\x01")
        assert read(connection, 1) == b"\x1a", "all is in the buffer"
        virtual_printer.online()
        connection.sendall(b"\x10\x04\x01")
        assert read(connection, 9) == b"\x00\x37\x22A-02\x00\x12"


def test_a_printer_that_takes_a_process_id_for_text_prints_it(virtual_printers: Make) -> None:
    printer = virtual_printers(process_id="text")
    assert answers(printer, b"one\n" + process_id(b"A-01") + b"\n" + CUT + b"\x10\x04\x01") == b"\x12"
    [receipt] = printer.wait_for_receipts(1)
    assert receipt.lines == ("one", "(H00A-01")
    assert process_id(b"A-01") in receipt.raw


# Replies that fail


def test_a_muted_printer_says_nothing_until_it_is_unmuted(virtual_printer: VirtualPrinter) -> None:
    virtual_printer.mute()
    assert answers(virtual_printer, b"\x10\x04\x01\x1dr\x01printed\n" + CUT) == b""
    assert virtual_printer.wait_for_receipts(1)[0].text == "printed"
    virtual_printer.unmute()
    assert answers(virtual_printer, b"\x10\x04\x01\x1dr\x01") == b"\x12\x00"


def test_garbage_ends_when_the_printer_is_unmuted(virtual_printer: VirtualPrinter) -> None:
    virtual_printer.garbage_replies()
    assert answers(virtual_printer, b"\x10\x04\x01\x1dI\x01") == b"\xed\xdf"
    virtual_printer.unmute()
    assert answers(virtual_printer, b"\x10\x04\x01") == b"\x12"


def test_the_first_connection_after_power_on_is_told_of_it(virtual_printers: Make) -> None:
    printer = virtual_printers(power_on_notice=True)
    assert answers(printer, b"") == b"\x3b\x31\x00"
    assert answers(printer, b"") == b"", "once"
    printer.power_off()
    printer.power_on()
    assert answers(printer, b"\x10\x04\x01") == b"\x3b\x31\x00\x12"


def test_replies_that_nobody_reads_are_bounded_and_the_printer_goes_on(virtual_printers: Make) -> None:
    printer = virtual_printers(model="M" * 4000)
    with socket.create_connection((printer.host, printer.port), timeout=5) as connection:
        connection.sendall(b"\x1dI\x43" * 30_000 + b"printed\n" + CUT)
        assert printer.wait_for_receipts(1)[0].text == "printed"
        kept = b""
        with connection.makefile("rb") as replies:
            while True:
                try:
                    printer.wait_idle(0.01)
                    break
                except TimeoutError:
                    kept += replies.read(1 << 20)
            connection.shutdown(socket.SHUT_WR)
            kept += replies.read()
    whole = b"_" + b"M" * 4000 + b"\x00"
    assert kept == whole * (len(kept) // len(whole)), "whole replies"
    assert 1024 <= len(kept) // len(whole) < 30_000
