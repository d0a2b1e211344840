"""What one job leaves to the next: proof that comes late, and what was not printed yet."""

import contextlib
import socket
import threading

import pytest

from printobs.assembly.printing import print_job, register
from printobs.core.conventions import Outcome
from tests.assembly.proving import Printers, printed, proving, ticket
from tests.conftest import Sdk

pytestmark = pytest.mark.usefixtures("unwatched")


def test_a_reprint_throws_away_what_is_left_of_the_first(sdk: Sdk, virtual_printers: Printers) -> None:
    paper = virtual_printers(receive_buffer=256)
    kitchen = proving(paper)
    paper.paper_out(after_dots=300)
    first = printed(kitchen, timeout=1.5, text="".join(f"line {number:04}\n" for number in range(1000)))
    assert first.outcome is Outcome.UNKNOWN
    threading.Timer(0.3, paper.paper_in).start()
    with print_job(kitchen, timeout=8, reprint_of=first.id) as second:
        kitchen.hw("INIT")
        ticket(kitchen, "the copy\n")
    kitchen.close()
    assert second.outcome is Outcome.CONFIRMED
    [only] = paper.receipts
    assert only.lines[-1] != "line 0999"
    assert "the copy" in only.lines
    assert (sdk.spans("print job")[-1].attributes or {})["printer.job.reprint_of"] == first.id


def test_proof_may_come_late(sdk: Sdk, virtual_printers: Printers) -> None:
    paper = virtual_printers()
    kitchen = proving(paper)
    paper.paper_out(after_dots=60)
    job = printed(kitchen, timeout=1.5, text="line\n" * 40)
    assert (job.outcome, job.wait_for_proof(0.1)) == (Outcome.UNKNOWN, False)
    paper.paper_in()
    assert (job.wait_for_proof(5), job.outcome) == (True, Outcome.UNKNOWN)
    kitchen.close()
    assert job.wait_for_proof() is True


def test_proof_that_comes_late_is_heard_in_the_next_job(sdk: Sdk, virtual_printers: Printers) -> None:
    paper = virtual_printers()
    kitchen = proving(paper)
    paper.paper_out(after_dots=60)
    job = printed(kitchen, timeout=1.5, text="line\n" * 40)
    paper.paper_in()
    assert printed(kitchen).wait_for_proof() is True
    assert job.wait_for_proof() is True
    kitchen.close()


def test_proof_does_not_come_any_more_where_the_connection_or_what_was_printed_is_lost(
    sdk: Sdk, virtual_printers: Printers
) -> None:
    paper = virtual_printers()
    kitchen = proving(paper)
    paper.paper_out(after_dots=60)
    job = printed(kitchen, timeout=1.5, text="line\n" * 40)
    paper.power_off()
    assert job.wait_for_proof(5) is None
    paper.power_on()
    paper.paper_in()
    kitchen.close()
    assert job.wait_for_proof(5) is None
    kitchen.open()
    with print_job(kitchen) as other:
        kitchen.text("never cut\n")
    assert other.wait_for_proof(1) is None
    kitchen.close()


def test_a_driver_that_raises_while_late_proof_is_waited_for_is_no_proof(sdk: Sdk, virtual_printers: Printers) -> None:
    paper = virtual_printers()

    class Wire:
        def __init__(self) -> None:
            self.socket = socket.create_connection(("127.0.0.1", paper.port))
            self.broken = False

        def write(self, data: bytes) -> None:
            self.socket.sendall(data)

        def read(self, timeout: float) -> bytes:
            if self.broken:
                raise LookupError("of the driver's own")
            self.socket.settimeout(max(timeout, 0.01))
            with contextlib.suppress(TimeoutError):
                return self.socket.recv(4096)
            return b""

    kitchen = register(Wire(), name="kitchen", proof="process_id")
    paper.paper_out(after_dots=60)
    with print_job(kitchen, timeout=1.5) as job:
        kitchen.write(b"line\n" * 40 + b"\x1dV\0")
    assert job.wait_for_proof(0.1) is False
    kitchen.broken = True
    assert job.wait_for_proof(0.1) is None
    kitchen.broken = False
    paper.paper_in()
    assert job.wait_for_proof(5) is True
    kitchen.socket.close()


def test_closing_with_an_answer_owed_destroys_nothing(sdk: Sdk, virtual_printers: Printers) -> None:
    """An answer that comes to a closed connection makes the kernel throw away what it has still to send."""
    paper = virtual_printers(receive_buffer=256)
    kitchen = proving(paper)
    text = "".join(f"line {number}\n" for number in range(1500))
    paper.paper_out(after_dots=60)
    job = print_job(kitchen, timeout=1.5)
    with job:
        kitchen.text(text)
        kitchen._raw(b"\x10\x04\x01")  # the application's own, in the middle
        ticket(kitchen, text)
    assert job.outcome is Outcome.UNKNOWN
    paper.paper_in()
    kitchen.close()
    [receipt] = paper.wait_for_receipts(1, 10)
    assert receipt.cut
    assert [line for line in receipt.lines if line] == 2 * text.splitlines()


def test_the_answer_to_the_last_job_proves_nothing(sdk: Sdk, virtual_printers: Printers) -> None:
    """The paper ends under the second job, while the proof of the first is still on its way."""
    paper = virtual_printers()
    kitchen = proving(paper)
    paper.paper_out(after_dots=60)
    assert printed(kitchen, timeout=1.5, text="line\n" * 40).outcome is Outcome.UNKNOWN
    paper.paper_in()
    paper.wait_for_receipts(1)
    paper.paper_out(after_dots=60)
    job = printed(kitchen, timeout=1.5, text="line\n" * 40)
    assert (job.outcome, job.error_type) == (Outcome.UNKNOWN, "paper_end")
    kitchen.close()
