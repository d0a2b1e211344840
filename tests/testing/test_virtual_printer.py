"""VirtualPrinter behaves as a printer does, between socket and paper."""

import json
import random
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from escpos.printer import Network
from PIL import Image as Picture

from printobs.testing import VirtualPrinter
from printobs.testing.paper import Barcode

Make = Callable[..., VirtualPrinter]
CUT = b"\x1dV\x00"


def wire(printer: VirtualPrinter) -> socket.socket:
    connection = socket.create_connection((printer.host, printer.port), timeout=2)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def driver(printer: VirtualPrinter) -> Network:
    return Network(printer.host, printer.port, timeout=5, profile="TM-T88V")


def everything(out: Any) -> None:
    out.set(bold=True, align="center", width=2, height=2, custom_size=True)
    out.text("Käse 3,50 €\n")
    out.set_with_default()
    out.text("Ёлка\n")
    out.image(Picture.new("1", (64, 40), 0))
    out.text("between\n")
    out.image(Picture.new("1", (64, 40), 0), impl="bitImageColumn")
    out.qr("https://example.org", native=True)
    out.barcode("4006381333931", "EAN13", function_type="A")
    out.text("after\n")
    out.cashdraw(2)
    out.cut()


def test_what_python_escpos_prints_comes_out(virtual_printer: VirtualPrinter) -> None:
    out = driver(virtual_printer)
    everything(out)
    out.close()
    [receipt] = virtual_printer.wait_for_receipts(1)
    assert [line for line in receipt.lines if line] == ["Käse 3,50 €", "Ёлка", "between", "after"]
    assert receipt.cut
    assert [image.width for image in receipt.images] == [64, 64]
    assert receipt.images[0].data[:8] == b"\xff" * 8
    assert [symbol.data for symbol in receipt.symbols] == [b"https://example.org"]
    assert isinstance(receipt.barcodes[0], Barcode)
    assert receipt.barcodes[0].data.startswith("400638133393")
    assert virtual_printer.drawer_kicks == 1
    assert "K ä s e" in receipt.render(48)
    assert receipt.png().startswith(b"\x89PNG")


@pytest.mark.parametrize("seed", range(5))
def test_any_split_of_the_stream_prints_the_same(virtual_printers: Make, seed: int) -> None:
    whole, split = virtual_printers(), virtual_printers()
    out = driver(whole)
    everything(out)
    out._raw(b"\x1d(Z\x04\x00abcd" + b"\x1b&\x03  \x01aaa" + b"still in step\n" + CUT)
    out.close()
    expected = whole.wait_for_receipts(2)
    assert expected[1].lines[-1] == "still in step"
    stream, rng = whole.received, random.Random(seed)
    with wire(split) as connection:
        at = 0
        while at < len(stream):
            step = rng.choice((1, 1, 2, 3, 200))
            connection.sendall(stream[at : at + step])
            at += step
        split.wait_for_receipts(2)
    assert split.receipts == expected


def read(connection: socket.socket, count: int, timeout: float = 2.0) -> bytes:
    connection.settimeout(timeout)
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        assert more
        data += more
    return data


def silent(connection: socket.socket, seconds: float = 0.05) -> bool:
    return not select.select([connection], [], [], seconds)[0]


def test_status_is_answered_as_a_printer_does(virtual_printer: VirtualPrinter) -> None:
    with wire(virtual_printer) as connection:
        connection.sendall(b"\x10\x04\x01\x10\x04\x02\x10\x04\x03\x10\x04\x04\x1dr\x01\x1dI\x43")
        assert read(connection, 4) == b"\x12\x12\x12\x12"
        assert read(connection, 1) == b"\x00"
        assert read(connection, 10) == b"_TM-T88VI\x00"
        virtual_printer.paper_out()
        virtual_printer.cover_open()
        connection.sendall(b"\x10\x04\x01\x10\x04\x02\x10\x04\x04\x1dr\x01")
        assert read(connection, 3) == b"\x1a\x36\x7e"
        assert silent(connection), "offline, nothing but real-time status is answered"
        virtual_printer.cover_close()
        virtual_printer.paper_in()
        assert read(connection, 1) == b"\x00"
        virtual_printer.mute()
        connection.sendall(b"\x10\x04\x01")
        assert silent(connection)
        virtual_printer.garbage_replies()
        connection.sendall(b"\x10\x04\x01")
        assert read(connection, 1) == b"\xed"


def test_automatic_status_tells_every_change_once_it_is_asked_for(virtual_printer: VirtualPrinter) -> None:
    with wire(virtual_printer) as connection:
        connection.sendall(b"\x1da\xff")
        assert read(connection, 4) == b"\x10\x00\x00\x00"
        virtual_printer.near_end()
        assert read(connection, 4) == b"\x10\x00\x03\x00"


def test_the_process_id_comes_only_after_the_paper_has_moved(virtual_printers: Make) -> None:
    printer = virtual_printers(speed=2000.0)
    ask = b"\x1d(H\x06\x0000ABCD"
    with wire(printer) as connection:
        connection.sendall(b"line\n" * 30 + CUT + ask + b"\x10\x04\x01")
        assert read(connection, 1) == b"\x12", "real-time status overtakes what waits"
        assert printer.receipts == ()
        assert read(connection, 7) == b"7\x22ABCD\x00"
        assert len(printer.receipts) == 1
    silent_one = virtual_printers(process_id=False)
    with wire(silent_one) as connection:
        connection.sendall(b"x\n" + CUT + ask)
        assert silent(connection)
        assert silent_one.wait_for_receipts(1)[0].text == "x"


def test_a_full_buffer_stops_the_sender_and_still_answers_in_real_time(virtual_printers: Make) -> None:
    printer = virtual_printers(receive_buffer=64)
    printer.cover_open()
    with wire(printer) as connection:
        connection.sendall(b"x" * 100 + b"\x10\x04\x02")
        assert read(connection, 1) == b"\x16"
        assert printer.buffered <= 64
        connection.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                connection.send(b"y" * 65536)
        printer.cover_close()


def test_power_takes_the_buffer_with_it_and_leaves_a_torn_receipt(virtual_printers: Make) -> None:
    printer = virtual_printers(speed=3000.0)
    with wire(printer) as connection:
        connection.sendall(b"line\n" * 100 + CUT)
        while printer.current is None or len(printer.current.lines) < 3:
            time.sleep(0.01)
        printer.power_off()
        with pytest.raises(OSError):  # noqa: PT011
            for _ in range(100):
                connection.sendall(b"x")
                time.sleep(0.01)
    with pytest.raises(ConnectionRefusedError):
        wire(printer)
    printer.power_on()
    assert printer.buffered == 0
    [torn] = printer.receipts
    assert not torn.cut
    assert 3 <= len(torn.lines) < 100
    with wire(printer) as connection:
        connection.sendall(b"again\n" + CUT)
        assert printer.wait_for_receipts(2)[1].text == "again"


@pytest.mark.parametrize("fault", ["reset_at", "power_off_at"])
def test_it_fails_at_the_nth_byte(virtual_printers: Make, fault: str) -> None:
    printer = virtual_printers()
    getattr(printer, fault)(7)
    connection = wire(printer)
    connection.sendall(b"one\ntwo\nthree\n" + CUT)
    with pytest.raises(ConnectionResetError):
        connection.recv(1)
    connection.close()
    assert printer.received == b"one\ntwo"
    assert printer.powered is (fault == "reset_at")


@pytest.mark.parametrize(
    ("stop", "go"),
    [
        ("paper_out", "paper_in"),
        ("cover_open", "cover_close"),
        ("offline", "online"),
        ("cutter_error", "recover"),
        ("mechanical_error", "recover"),
        ("overheated", "recover"),
    ],
)
def test_what_stops_it_keeps_the_receipt_for_later(virtual_printer: VirtualPrinter, stop: str, go: str) -> None:
    getattr(virtual_printer, stop)()
    with wire(virtual_printer) as connection:
        connection.sendall(b"later\n" + CUT)
        assert silent(connection)
        assert virtual_printer.receipts == ()
        getattr(virtual_printer, go)()
        assert virtual_printer.wait_for_receipts(1)[0].text == "later"


def test_an_unrecoverable_error_ends_with_the_power(virtual_printer: VirtualPrinter) -> None:
    virtual_printer.unrecoverable_error()
    virtual_printer.recover()
    with wire(virtual_printer) as connection:
        connection.sendall(b"\x10\x04\x03")
        assert read(connection, 1) == b"\x32"
    virtual_printer.power_off()
    virtual_printer.power_on()
    with wire(virtual_printer) as connection:
        connection.sendall(b"\x10\x04\x03")
        assert read(connection, 1) == b"\x12"


def test_a_jam_at_the_cut_is_no_receipt(virtual_printer: VirtualPrinter) -> None:
    virtual_printer.cutter_error(at_next_cut=True)
    with wire(virtual_printer) as connection:
        connection.sendall(b"stuck\n" + CUT)
        assert silent(connection)
    assert virtual_printer.receipts == ()
    assert virtual_printer.current is not None
    assert virtual_printer.current.text == "stuck"


def test_closing_with_a_reply_unread_loses_what_was_not_read(virtual_printers: Make) -> None:
    printer = virtual_printers(receive_buffer=64)
    printer.cover_open()
    connection = wire(printer)
    connection.sendall(b"\x10\x04\x01" + b"x" * 20_000)
    time.sleep(0.05)
    connection.close()
    printer.cover_close()
    printer.wait_idle()
    assert printer.received_count < 20_003


def test_the_process_does_as_it_is_told() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "printobs.testing", "--name", "bar"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert (ready["event"], ready["name"]) == ("ready", "bar")

        def ask(command: str, **arguments: object) -> Any:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        with socket.create_connection((ready["host"], ready["port"]), timeout=2) as connection:
            connection.sendall(b"hello\n" + CUT + b"\x1dr\x01")
            connection.recv(1)
            assert ask("status")["receipts"] == 1
        assert ask("report")["receipts"][0]["text"] == "hello"
        assert "hello" in ask("render", index=0, columns=32)["text"]
        assert ask("paper_out") == {"ok": True}
        assert ask("dance")["ok"] is False
        assert ask("render", index=9)["ok"] is False
        assert ask("quit") == {"ok": True}
        assert process.wait(5) == 0
