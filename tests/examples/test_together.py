"""Service and agent together, each killed or stopped, with what they keep on their disks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from printobs.testing import VirtualPrinter
from tests.examples.processes import agent, free_port, service, start_agent

JOBS = "/api/v1/printing/jobs"


def test_an_agent_that_is_killed_and_has_its_journal_tells_that_the_job_is_unknown_and_the_reprint_is_marked(
    virtual_printers: Callable[..., VirtualPrinter], tmp_path: Path
) -> None:
    printer = virtual_printers(receive_buffer=64, speed=10.0)
    printers = {"kitchen": f"tcp://127.0.0.1:{printer.port}"}
    with service() as till:
        with agent(till.url, printers, home=tmp_path) as desktop:
            long = {"elements": [{"type": "text", "text": "x" * 2000}] * 100}
            job = till.submit("kitchen", receipt=long)
            till.until(job["id"], lambda _: printer.received_count > 100)  # more than what it was asked
            desktop.process.kill()
            desktop.process.wait(10)
        printer.slow(None)
        with agent(till.url, printers, home=tmp_path):
            ended = till.ended(job["id"], 10)
            assert (ended["outcome"], ended["error_type"]) == ("unknown", "agent_restarted")
            status, copy, _ = till.ask("POST", f"{JOBS}/{job['id']}/reprint")
            assert status == 202, copy
            assert till.ended(copy["id"])["outcome"] == "written"
            printer.wait_idle()
    text = printer.receipts[-1].text if printer.current is None else printer.current.text
    assert text.lstrip().startswith(f"*** REPRINT of {job['id'][:8]} ***")


def test_a_service_that_is_killed_while_a_job_is_printed_has_its_outcome_when_it_is_back(
    virtual_printers: Callable[..., VirtualPrinter], tmp_path: Path
) -> None:
    printer = virtual_printers(receive_buffer=64, speed=10.0)
    printers = {"kitchen": f"tcp://127.0.0.1:{printer.port}?proof=process_id"}
    port = str(free_port())
    database = str(tmp_path / "service.db")
    home = tmp_path / "agent"
    home.mkdir()
    with service(SERVICE_PORT=port, SERVICE_DATABASE=database) as till:
        desktop = start_agent(till.url, printers, home=home)
        desktop.event("joined")
        job = till.submit("kitchen")
        till.until(job["id"], lambda _: printer.received_count > 100)  # more than what it was asked
        till.process.process.kill()
        till.process.process.wait(10)
        desktop.event("left")
        printer.slow(None)
        printer.wait_for_receipts(1)
    with service(SERVICE_PORT=port, SERVICE_DATABASE=database) as till:
        desktop.event("joined")
        assert till.ended(job["id"])["outcome"] == "confirmed"
    assert desktop.stop() == 0
    assert len(printer.receipts) == 1
