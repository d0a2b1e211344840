"""Proof of print: *confirmed* is only ever said of what is on paper, and *failed* of what is not."""

import asyncio
import contextlib
import gc
import logging
import socket
import threading
import time
import weakref
from typing import Any

import pytest
from escpos.exceptions import DeviceNotFoundError
from escpos.printer import Network
from PIL import Image

from printobs.assembly.printing import PrintJob, PrintJobFailed, print_job, register
from printobs.core.conventions import Outcome
from printobs.signals import conversation
from printobs.testing.virtual_printer import VirtualPrinter
from tests.assembly.proving import Printers, printed, proving, ticket
from tests.conftest import Sdk
from tests.soak import jobs as soak

pytestmark = [
    pytest.mark.usefixtures("unwatched"),
    # python-escpos leaves the socket of a failed attempt to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_every_job_of_a_healthy_printer_is_confirmed(sdk: Sdk, virtual_printers: Printers) -> None:
    paper = virtual_printers(speed=5000.0)
    kitchen = proving(paper)
    for number in range(30):
        job = printed(kitchen, text=f"No. {number}\n")
        assert (job.outcome, job.error_type) == (Outcome.CONFIRMED, None)
        # Not before it is on paper: no waiting here.
        assert paper.receipts[-1].lines[0] == f"No. {number}"
    kitchen.close()
    assert len(paper.receipts) == 30
    assert sdk.value("printer.jobs", printer__job__outcome="confirmed") == 30


def test_the_jobs_bytes_are_untouched_and_all_of_them_on_paper(sdk: Sdk, virtual_printers: Printers) -> None:
    papers = virtual_printers(), virtual_printers()
    bare = Network("127.0.0.1", papers[0].port)
    ticket(bare, "long " * 2000)
    bare.close()
    kitchen = proving(papers[1])
    assert printed(kitchen, text="long " * 2000).outcome is Outcome.CONFIRMED
    kitchen.close()
    assert papers[0].wait_for_receipts(1)[0].raw in papers[1].received
    assert papers[0].receipts[0].text == papers[1].receipts[0].text


@pytest.mark.parametrize("process_id", [False, "text"])
def test_a_clone_that_does_not_answer_is_unknown_and_never_failed(
    sdk: Sdk, virtual_printers: Printers, process_id: Any
) -> None:
    kitchen = proving(virtual_printers(process_id=process_id))
    began = time.monotonic()
    job = printed(kitchen, timeout=1.5)
    assert (job.outcome, job.error_type) == (Outcome.UNKNOWN, "timeout")
    assert time.monotonic() - began < 3
    kitchen.close()
    assert (sdk.span("print job").attributes or {})["printer.job.window"] == "printing"


@pytest.mark.parametrize(
    ("fault", "error"),
    [("paper_out", "paper_end"), ("cover_open", "cover_open"), ("offline", "offline"), ("cutter_error", "cutter"),
     ("unrecoverable_error", "unrecoverable"), ("mechanical_error", "mechanical")],
)  # fmt: skip
def test_a_printer_that_is_not_ready_gets_nothing(sdk: Sdk, virtual_printers: Printers, fault: str, error: str) -> None:
    paper = virtual_printers()
    kitchen = proving(paper)
    getattr(paper, fault)()
    with pytest.raises(PrintJobFailed) as failed:
        printed(kitchen, timeout=1.5)
    assert (failed.value.outcome, failed.value.error_type) == (Outcome.FAILED, error)
    kitchen.close()
    assert b"Ramen" not in paper.received
    assert sdk.value("printer.jobs", printer__job__outcome="failed", error__type=error) == 1


def test_a_job_waits_for_paper(sdk: Sdk, virtual_printers: Printers) -> None:
    paper = virtual_printers()
    kitchen = proving(paper)
    paper.paper_out()
    timer = threading.Timer(0.7, paper.paper_in)
    timer.start()
    assert printed(kitchen, timeout=10).outcome is Outcome.CONFIRMED
    timer.join()
    kitchen.close()
    assert len(paper.receipts) == 1


def test_paper_that_ends_in_the_middle_is_unknown_and_says_why(sdk: Sdk, virtual_printers: Printers) -> None:
    paper = virtual_printers()
    kitchen = proving(paper)
    paper.paper_out(after_dots=100)
    job = printed(kitchen, timeout=3, text="line\n" * 40)
    assert (job.outcome, job.error_type) == (Outcome.UNKNOWN, "paper_end")
    kitchen.close()


def test_power_that_is_lost_before_it_is_printed_is_unknown(sdk: Sdk, virtual_printers: Printers) -> None:
    paper = virtual_printers(speed=20.0)
    kitchen = proving(paper)
    timer = threading.Timer(0.5, paper.power_off)
    timer.start()
    job = printed(kitchen)
    timer.join()
    assert (job.outcome, job.error_type) == (Outcome.UNKNOWN, "reset")
    assert not any(receipt.cut for receipt in paper.receipts)


def test_a_printer_that_was_switched_off_and_on_has_lost_the_job(sdk: Sdk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def play() -> None:
            connection, _ = server.accept()
            with connection:
                received = b""
                for notice in (b"", b";1\0"):
                    while b"\x1d(H" not in received:
                        received += (data := connection.recv(4096))
                        connection.sendall(b"\x12" * data.count(b"\x10\x04"))
                    nonce = received[received.index(b"\x1d(H") + 7 :][:4]
                    # With the notice it is too late: what it held is gone.
                    connection.sendall(notice + b'7"' + nonce + b"\0")
                    received = b""
                connection.recv(4096)

        thread = threading.Thread(target=play, daemon=True)
        thread.start()
        kitchen = register(Network("127.0.0.1", server.getsockname()[1]), name="kitchen", proof="process_id")
        job = printed(kitchen, timeout=4)
        kitchen.close()
        thread.join(5)
    assert (job.outcome, job.error_type) == (Outcome.UNKNOWN, "reset")


def test_the_proof_of_one_part_is_not_that_of_the_next(sdk: Sdk, virtual_printers: Printers) -> None:
    paper = virtual_printers(speed=300.0)
    kitchen = proving(paper)
    with print_job(kitchen, timeout=8) as job:
        ticket(kitchen, "first part\n")
        kitchen.close()
        assert job.wait_for_proof() is True
        ticket(kitchen, "second part\n" * 20)
        assert job.wait_for_proof() is None
    paper.power_off()
    assert [receipt.lines for receipt in paper.receipts if receipt.cut] == [("first part",)]
    assert (job.outcome, job.wait_for_proof()) == (Outcome.WRITTEN, None)
    span = sdk.span("print job")
    assert span.attributes is not None
    assert span.attributes["printer.job.evidence"] == "sent"
    kitchen.close()


def test_the_answer_to_another_job_proves_nothing(sdk: Sdk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def play() -> None:
            connection, _ = server.accept()
            with connection:
                while data := connection.recv(4096):
                    connection.sendall(b"\x12" * data.count(b"\x10\x04"))
                    if b"\x1d(H" in data:
                        connection.sendall(b'7"QQQQ\0')

        thread = threading.Thread(target=play, daemon=True)
        thread.start()
        kitchen = register(Network("127.0.0.1", server.getsockname()[1]), name="kitchen", proof="process_id")
        job = printed(kitchen, timeout=1.5)
        kitchen.close()
        thread.join(5)
    assert (job.outcome, job.error_type) == (Outcome.UNKNOWN, "timeout")


def test_a_mute_or_babbling_printer_still_prints(sdk: Sdk, virtual_printers: Printers) -> None:
    for fault in ("mute", "garbage_replies"):
        paper = virtual_printers()
        getattr(paper, fault)()
        kitchen = proving(paper)
        assert printed(kitchen, timeout=2.5).outcome is Outcome.UNKNOWN
        kitchen.close()
        assert paper.wait_for_receipts(1)[0].lines[0] == "2 x Ramen"


def test_a_connection_that_died_between_two_jobs_is_made_anew(sdk: Sdk, virtual_printers: Printers) -> None:
    paper = virtual_printers()
    kitchen = proving(paper)
    assert printed(kitchen).outcome is Outcome.CONFIRMED
    paper.power_off()
    paper.power_on()
    assert printed(kitchen).outcome is Outcome.CONFIRMED
    kitchen.close()
    assert len(paper.receipts) == 2


def test_a_socket_that_the_application_has_closed_itself_is_made_anew(sdk: Sdk, virtual_printers: Printers) -> None:
    paper = virtual_printers()
    kitchen = proving(paper)
    assert printed(kitchen).outcome is Outcome.CONFIRMED
    device: Any = kitchen.device
    device.close()
    assert printed(kitchen).outcome is Outcome.CONFIRMED
    kitchen.close()
    assert len(paper.receipts) == 2


def test_a_nonce_that_was_drawn_before_is_not_used_again(
    sdk: Sdk, virtual_printers: Printers, monkeypatch: pytest.MonkeyPatch
) -> None:
    draws = iter([b"ABCD", b"ABCD", b"ABCD", b"EFGH"])
    monkeypatch.setattr(conversation, "nonce", lambda: next(draws))
    paper = virtual_printers()
    kitchen = proving(paper)
    assert printed(kitchen).outcome is Outcome.CONFIRMED
    kitchen.close()
    assert [paper.received.count(b"\x1d(H\x06\x0000" + each) for each in (b"ABCD", b"EFGH")] == [1, 1]


def test_what_the_application_asks_is_answered_as_ever(sdk: Sdk, virtual_printers: Printers) -> None:
    paper = virtual_printers()
    bare = Network("127.0.0.1", paper.port, timeout=5)
    expected = bare.is_online(), bare.paper_status()
    bare.close()
    kitchen = proving(paper)
    assert (kitchen.is_online(), kitchen.paper_status()) == expected
    with print_job(kitchen, timeout=5) as job:
        assert (kitchen.is_online(), kitchen.paper_status()) == expected
        ticket(kitchen)
        kitchen._raw(b"\x10\x04\x04")  # and its answer is read after the job
    assert job.outcome is Outcome.WRITTEN  # it did not end with its cut
    assert kitchen._read() == b"\x12"
    with print_job(kitchen, timeout=5) as job:
        kitchen._raw(b"\x1dr\x01")
        ticket(kitchen)
    assert job.outcome is Outcome.CONFIRMED
    assert kitchen._read() == b"\x00"
    assert (kitchen.is_online(), kitchen.paper_status()) == expected
    kitchen.close()


class Wire:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))

    def write(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read(self, timeout: float) -> bytes:
        self.socket.settimeout(max(0.001, timeout))
        try:
            return self.socket.recv(100)
        except TimeoutError:
            return b""


def test_any_transport_can_prove(sdk: Sdk, virtual_printers: Printers) -> None:
    wire = register(Wire(virtual_printers().port), name="bar", proof="process_id")
    with print_job(wire, timeout=5) as job:
        wire.write(b"2 x Ramen\n\x1dV\x00")
    assert job.outcome is Outcome.CONFIRMED
    wire.socket.close()


class Slim:
    """A transport that nobody can refer to weakly, and whose socket is its own matter."""

    __slots__ = ("wire",)

    def __init__(self, port: int) -> None:
        self.wire = Wire(port)

    def write(self, data: bytes) -> None:
        self.wire.write(data)

    def read(self, timeout: float) -> bytes:
        return self.wire.read(timeout)


def test_so_can_one_that_nobody_can_refer_to_weakly(sdk: Sdk, virtual_printers: Printers) -> None:
    slim = register(Slim(virtual_printers().port), name="bar", proof="process_id")
    for _ in range(2):
        with print_job(slim, timeout=5) as job:
            slim.write(b"2 x Ramen\n\x1dV\x00")
        assert job.outcome is Outcome.CONFIRMED
    slim.wire.socket.close()


class Wrapped(Slim):
    """As that, but without slots of its own it can be referred to weakly."""


@pytest.mark.parametrize("kind", [Wire, Wrapped])
def test_one_that_nobody_holds_any_more_is_forgotten(
    sdk: Sdk, virtual_printers: Printers, kind: type[Wire] | type[Wrapped]
) -> None:
    bar = register(kind(virtual_printers().port), name="passing", proof="process_id")
    with print_job(bar, timeout=5) as job:
        bar.write(b"2 x Ramen\n\x1dV\x00")
    assert job.outcome is Outcome.CONFIRMED
    assert sdk.value("printer.status", printer__name="passing") == 1
    (bar if isinstance(bar, Wire) else bar.wire).socket.close()
    gone = weakref.ref(bar)
    del bar
    gc.collect()
    assert gone() is None
    assert sdk.value("printer.status", printer__name="passing") == 0
    assert job.wait_for_proof(0.1) is True  # it had come


@pytest.mark.parametrize(
    ("proof", "outcome", "error"), [("process_id", Outcome.UNKNOWN, "_OTHER"), (None, Outcome.WRITTEN, None)]
)
def test_one_whose_read_fails_in_its_own_way_still_prints(
    sdk: Sdk, virtual_printers: Printers, proof: Any, outcome: Outcome, error: str | None
) -> None:
    class Torn(Wire):
        def read(self, timeout: float) -> bytes:
            raise LookupError(timeout)

    paper = virtual_printers()
    wire = register(Torn(paper.port), name="bar", proof=proof)
    with print_job(wire, timeout=5) as job:
        wire.write(b"2 x Ramen\n\x1dV\x00")
    assert (job.outcome, job.error_type) == (outcome, error)
    assert paper.wait_for_receipts(1)[0].lines[0] == "2 x Ramen"
    wire.socket.close()


def test_on_an_event_loop(sdk: Sdk, virtual_printers: Printers) -> None:
    paper = virtual_printers()
    kitchen = proving(paper)

    async def go(seconds: float) -> PrintJob:
        async with print_job(kitchen, timeout=seconds) as job:
            await job.run(ticket, kitchen)
        return job

    assert asyncio.run(go(5)).outcome is Outcome.CONFIRMED
    paper.cover_open()
    with pytest.raises(PrintJobFailed, match="cover_open"):
        asyncio.run(go(1))
    assert sdk.value("printer.jobs", error__type="cover_open") == 1
    kitchen.close()
    assert len(paper.receipts) == 1


def test_a_job_ends_within_its_time_out_whatever_the_driver_waits(sdk: Sdk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # takes the connection, and reads nothing
        printer = register(Network("127.0.0.1", deaf.getsockname()[1], timeout=60), name="deaf")
        began = time.monotonic()
        with pytest.raises(TimeoutError), print_job(printer, timeout=1) as job:
            assert printer.timeout <= 1
            for _ in range(500):
                printer._raw(b"x" * 100_000)
        assert time.monotonic() - began < 4
        assert (job.outcome, job.error_type) == (Outcome.FAILED, "write_timeout")
        assert printer.timeout == 60
        assert isinstance(printer.device, socket.socket)
        assert printer.device.gettimeout() == 60
        printer.close()


def test_an_unknown_proof_is_named() -> None:
    with pytest.raises(ValueError, match="process_id"):
        register(Network("127.0.0.1"), name="kitchen", proof="crystal ball")  # type: ignore[arg-type]


def test_under_random_faults_nothing_false_is_said(sdk: Sdk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)  # python-escpos warns of each picture that it does not centre
    said = soak.run(first=0, rounds=40, workers=16)
    assert {outcome for _, outcome in said} == {"confirmed", "unknown", "failed"}
    for span in sdk.spans("print job"):
        attributes = span.attributes or {}
        assert ("printer.job.window" in attributes) == (attributes["printer.job.outcome"] == "unknown")


def torn_in_an_image(printer: Any, paper: VirtualPrinter) -> None:
    """A job that is reset in the middle of a picture: the printer still waits for the rest of it."""
    paper.reset_at(300 + 23)  # the questions before it, too
    job = print_job(printer, timeout=2)
    with contextlib.suppress(OSError), job:
        printer.image(Image.new("1", (128, 200), 0))
        ticket(printer)
    assert job.outcome in (Outcome.FAILED, Outcome.UNKNOWN)
    printer.close()


@pytest.mark.parametrize("realtime_in_data", [False, True])
def test_a_printer_that_waits_for_the_rest_of_a_picture_is_brought_into_step(
    sdk: Sdk, virtual_printers: Printers, realtime_in_data: bool
) -> None:
    paper = virtual_printers(realtime_in_data=realtime_in_data)
    kitchen = proving(paper)
    torn_in_an_image(kitchen, paper)
    job = printed(kitchen, timeout=10, text="".join(f"line {number}\n" for number in range(400)))
    kitchen.close()
    assert job.outcome is Outcome.CONFIRMED
    assert paper.receipts[-1].lines[-400:][0] == "line 0"


def test_what_a_printer_swallowed_for_a_picture_is_not_confirmed(
    sdk: Sdk, virtual_printers: Printers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "_GAP", 0)  # it is not filled
    paper = virtual_printers()
    kitchen = proving(paper)
    torn_in_an_image(kitchen, paper)
    job = printed(kitchen, timeout=4, text="".join(f"line {number}\n" for number in range(1000)))
    kitchen.close()
    assert paper.receipts[-1].cut
    assert "line 0" not in paper.receipts[-1].lines
    assert (job.outcome, job.error_type) == (Outcome.UNKNOWN, "timeout")


def test_only_a_new_connection_is_entered(sdk: Sdk, virtual_printers: Printers) -> None:
    paper = virtual_printers()
    kitchen = proving(paper)
    for _ in range(3):
        printed(kitchen)
    assert paper.received.count(b"\x1d(H") == 1 + 3
    kitchen.text("by hand, and not in a job\n")
    printed(kitchen)
    assert paper.received.count(b"\x1d(H") == 1 + 3 + 2
    kitchen.close()


def test_a_connection_on_which_nothing_arrives_is_made_anew(sdk: Sdk) -> None:
    """The peer is gone without a word; its end of the connection acknowledges nothing."""
    paper = VirtualPrinter()
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        kitchen = register(Network("127.0.0.1", deaf.getsockname()[1], timeout=5), name="kitchen", proof="process_id")
        device: Any = kitchen.device
        device.settimeout(0.1)
        with contextlib.suppress(TimeoutError):
            while True:
                device.sendall(bytes(100_000))
        kitchen.port = paper.port
        assert printed(kitchen, timeout=8).outcome is Outcome.CONFIRMED
        kitchen.close()
    assert len(paper.receipts) == 1
    paper.close()


def test_a_printer_that_comes_back_is_reached_again(sdk: Sdk, virtual_printers: Printers) -> None:
    paper = virtual_printers()
    kitchen = proving(paper)
    paper.power_off()
    job = print_job(kitchen, timeout=2)
    with pytest.raises(DeviceNotFoundError), job:
        ticket(kitchen)
    assert (job.outcome, job.error_type) == (Outcome.FAILED, "connect_refused")
    assert sdk.value("printer.connection.attempts") == 1
    paper.power_on()
    assert printed(kitchen).outcome is Outcome.CONFIRMED
    kitchen.close()
