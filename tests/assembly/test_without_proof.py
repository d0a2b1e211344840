"""A printer that proves nothing: it is told what was processed, or only sent; *confirmed* is never said."""

import contextlib
import socket
import struct
import threading
from typing import Any

import pytest
from escpos.printer import File, Network

from printobs.assembly.printing import PrintJobFailed, print_job, register
from printobs.core.conventions import Outcome
from tests.assembly.proving import Printers, printed, ticket
from tests.conftest import Sdk

pytestmark = pytest.mark.usefixtures("unwatched")


def test_a_driver_that_only_writes_ends_as_written(sdk: Sdk, tmp_path: Any) -> None:
    printer = register(File(str(tmp_path / "printer")), name="file", proof="process_id")
    assert printed(printer).outcome is Outcome.WRITTEN
    printer.close()


class Hangup:
    """Resets each connection as soon as it is sent ``word``; until then it says that it is well."""

    def __init__(self, word: bytes) -> None:
        self._word = word
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.received: list[bytes] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                received = b""
                with connection:
                    while self._word not in received:
                        received += (data := connection.recv(4096))
                        if self._word not in received:
                            connection.sendall(b"\x12" * data.count(b"\x10\x04"))
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.received.append(received)

    def __enter__(self) -> "Hangup":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(5)


def test_a_connection_that_is_lost_twice_before_the_first_byte_is_a_job_that_failed(sdk: Sdk) -> None:
    with Hangup(b"\x10\x04") as paper:
        kitchen = register(Network("127.0.0.1", paper.port, timeout=5), name="kitchen")
        job = print_job(kitchen, timeout=5)
        with pytest.raises(ConnectionError), job:
            ticket(kitchen)
        kitchen.close()
    assert (job.outcome, job.error_type) == (Outcome.FAILED, "reset")
    assert len(paper.received) == 2  # made anew once, and no more
    assert not any(b"Ramen" in each for each in paper.received)
    assert sdk.value("printer.connection.attempts") == 2


def test_a_connection_that_is_lost_when_it_is_asked_what_was_processed_is_unknown(sdk: Sdk) -> None:
    with Hangup(b"\x1dr") as paper:
        kitchen = register(Network("127.0.0.1", paper.port, timeout=5), name="kitchen")
        job = printed(kitchen)
        kitchen.close()
    assert (job.outcome, job.error_type) == (Outcome.UNKNOWN, "reset")
    assert (sdk.span("print job").attributes or {})["printer.job.window"] == "arriving"
    assert b"Ramen" in paper.received[0]


def evidence(sdk: Sdk) -> list[object]:
    return [(span.attributes or {}).get("printer.job.evidence") for span in sdk.spans("print job")]


def test_a_printer_without_proof_tells_whether_all_was_processed(sdk: Sdk, virtual_printers: Printers) -> None:
    paper = virtual_printers(process_id=False)
    kitchen = register(Network("127.0.0.1", paper.port), name="kitchen")
    assert printed(kitchen).outcome is Outcome.WRITTEN
    assert evidence(sdk) == ["processed"]
    with print_job(kitchen) as job:
        kitchen._raw(b"\x1dr\x01")  # an answer that could be taken for ours
        ticket(kitchen)
    assert job.outcome is Outcome.WRITTEN
    with print_job(kitchen) as job:
        kitchen.text("never cut\n")
    paper.mute()
    assert printed(kitchen, timeout=3).outcome is Outcome.WRITTEN
    kitchen.close()
    assert evidence(sdk) == ["processed", "sent", "sent", "sent"]


def test_a_printer_without_proof_gets_nothing_either_while_it_is_not_ready(
    sdk: Sdk, virtual_printers: Printers
) -> None:
    paper = virtual_printers()
    kitchen = register(Network("127.0.0.1", paper.port), name="kitchen")
    paper.cover_open()
    with pytest.raises(PrintJobFailed, match="cover_open"):
        printed(kitchen, timeout=1)
    paper.cover_close()
    assert printed(kitchen).outcome is Outcome.WRITTEN
    kitchen.close()
    assert [receipt.lines[0] for receipt in paper.receipts] == ["2 x Ramen"]


def test_paper_that_ends_before_all_was_processed_is_unknown_without_proof_too(
    sdk: Sdk, virtual_printers: Printers
) -> None:
    paper = virtual_printers()
    kitchen = register(Network("127.0.0.1", paper.port), name="kitchen")
    paper.paper_out(after_dots=60)
    job = printed(kitchen, timeout=2, text="line\n" * 40)
    assert (job.outcome, job.error_type) == (Outcome.UNKNOWN, "paper_end")
    kitchen.close()


def test_a_printer_that_was_told_so_is_asked_nothing(sdk: Sdk, virtual_printers: Printers) -> None:
    paper = virtual_printers()
    kitchen = register(Network("127.0.0.1", paper.port), name="kitchen", proof="sent")
    paper.cover_open()
    assert printed(kitchen).outcome is Outcome.WRITTEN
    assert evidence(sdk) == ["sent"]
    kitchen.close()
    assert b"\x10\x04" not in paper.received


def test_a_late_answer_in_order_is_not_taken_for_the_next_jobs(sdk: Sdk, virtual_printers: Printers) -> None:
    """Whose GS r was never answered may be answered when the next job asks, on another connection even."""
    paper = virtual_printers()
    kitchen = register(Network("127.0.0.1", paper.port), name="kitchen")
    paper.paper_out(after_dots=60)
    assert printed(kitchen, timeout=1.5, text="line\n" * 40).outcome is Outcome.UNKNOWN
    kitchen.close()
    paper.paper_in()
    paper.wait_for_receipts(1)
    assert printed(kitchen).outcome is Outcome.WRITTEN
    kitchen.close()
    assert evidence(sdk)[-1] == "sent"
