"""The agent as a process of its own: the service says what the test wants, the printers keep the truth."""

from __future__ import annotations

import base64
import io
import json
import re
import resource
import signal
import socket
import sqlite3
import struct
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from examples.agent.drivers import LONGEST
from examples.jobs import wire
from printobs.testing import VirtualPrinter
from tests.examples.processes import Process, free_port, running_first, start_agent
from tests.examples.scripted_service import Link, ScriptedService

SECRET_TEXT = "Ramen for Table Nine"
CUT = {"type": "cut"}

ASKED = 100  # bytes that a printer is asked before a job, at most


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def job(*elements: dict[str, Any], printer: str = "kitchen", **changes: Any) -> wire.Print:
    receipt = {"elements": list(elements or (text(f"{SECRET_TEXT}\n"), CUT))}
    defaults = {"kind": "receipt", "timeout": 10.0, "expires_in": 60.0, "receipt": receipt}
    return wire.Print(uuid.uuid4().hex, printer, **{**defaults, **changes})


def empty_png() -> bytes:
    """A picture with a header, sound chunks and no pixels: it breaks whoever draws it."""
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0)), (b"IDAT", b"\x00\x01\x02"), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def at(printer: VirtualPrinter, proof: bool = True) -> dict[str, str]:
    return {"kitchen": f"tcp://127.0.0.1:{printer.port}" + ("?proof=process_id" if proof else "")}


@contextmanager
def running(service: ScriptedService, printers: Mapping[str, str], home: Path, **environment: str) -> Iterator[Process]:
    process = start_agent(service.url, printers, home=home, **environment)
    try:
        process.event("ready")
        yield process
    finally:
        process.stop()
        assert SECRET_TEXT not in "".join(process.errors)


def until(true: Callable[[], object], within: float = 15.0) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def kill(process: Process) -> None:
    process.process.kill()
    process.process.wait(10)


def journalled(home: Path, identifier: str) -> str:
    """The state of a job in the journal of an agent that has ended."""
    with sqlite3.connect(home / "journal.db") as database:
        row = database.execute("SELECT state FROM jobs WHERE id = ?", (identifier,)).fetchone()
    database.close()
    return row[0] if row else "absent"


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    with ScriptedService() as service:
        yield service


# -- the way of a job ------------------------------------------------------------------------------------------------


def test_a_result_is_repeated_until_it_is_settled_and_the_job_is_never_printed_twice(
    service: ScriptedService, virtual_printer: VirtualPrinter, tmp_path: Path
) -> None:
    message = job()
    with running(service, at(virtual_printer), tmp_path):
        link = service.joined()
        assert link.hello.jobs == ()
        link.send(message)
        assert link.hear(wire.Done) == wire.Done(message.id, "confirmed")
        link.close()

        link = service.joined()
        assert link.hello.jobs == (wire.Known(message.id, "done"),)
        assert link.hear(wire.Done) == wire.Done(message.id, "confirmed")
        link.send(message)  # a service that has forgotten that it had sent it
        assert link.hear(wire.Done) == wire.Done(message.id, "confirmed")
    link = None
    with running(service, at(virtual_printer), tmp_path):
        link = service.joined()
        assert link.hear(wire.Done) == wire.Done(message.id, "confirmed")
        link.send(wire.Settled(message.id))
        link.send(message)
        assert link.hear(wire.Done) == wire.Done(message.id, "confirmed")  # settled, and still known
        link.close()
        link = service.joined()
        assert link.hello.jobs == ()
        assert link.silent(wire.Done, 0.5)
    assert len(virtual_printer.receipts) == 1


def test_the_journal_keeps_its_identity_and_its_sequence_grows(
    service: ScriptedService, virtual_printer: VirtualPrinter, tmp_path: Path
) -> None:
    hellos = []
    for _ in range(2):
        with running(service, at(virtual_printer), tmp_path):
            for _ in range(2):
                link = service.joined()
                hellos.append(link.hello)
                message = job()
                link.send(message)
                link.hear(wire.Done)
                link.send(wire.Settled(message.id))
                link.close()
    assert len({hello.journal for hello in hellos}) == 1
    sequences = [hello.sequence for hello in hellos]
    assert sequences == sorted(set(sequences))
    assert [each.id for each in hellos[0].printers] == ["kitchen"]


def test_an_agent_that_is_killed_while_it_prints_knows_that_it_had_begun(
    service: ScriptedService, virtual_printers: Callable[..., VirtualPrinter], tmp_path: Path
) -> None:
    printer = virtual_printers(speed=1.0)
    message = job(*[text("x" * 2000)] * 300)  # which lacks its end
    with running(service, at(printer, proof=False), tmp_path) as agent:
        link = service.joined()
        link.send(message)
        until(lambda: printer.received_count > LONGEST + 50)  # and what a printer is sent first that nobody knows
        kill(agent)
    assert journalled(tmp_path, message.id) == "started"
    printer.slow(None)
    with running(service, at(printer, proof=False), tmp_path):
        link = service.joined()
        assert link.hello.jobs == (wire.Known(message.id, "done"),)
        done = link.hear(wire.Done)
        assert done == wire.Done(message.id, "unknown", "agent_restarted", window="restart")
        link.send(message)
        assert link.hear(wire.Done) == done
        before = len(printer.receipts)
        after = job()
        link.send(after)
        assert link.hear(wire.Done).outcome == "written"
        printer.wait_idle()
        assert SECRET_TEXT in printer.receipts[-1].text
        assert "xxx" not in printer.receipts[-1].text  # what was torn is cut off
        assert len(printer.receipts) == before + 2


# What a process runs first: the end of a job in the kitchen is a mistake.
MISTAKEN = f"""
from examples.agent.journal import Journal

def end(self, done, printer, end=Journal.end):
    if printer == "kitchen":
        raise LookupError("{SECRET_TEXT}")
    end(self, done, printer)

Journal.end = end
"""


def test_an_agent_that_has_lost_hold_of_a_job_ends_and_the_next_one_says_so(
    service: ScriptedService, virtual_printers: Callable[..., VirtualPrinter], tmp_path: Path
) -> None:
    kitchen, bar = virtual_printers(), virtual_printers(speed=100.0)
    printers = {**at(kitchen), "bar": f"tcp://127.0.0.1:{bar.port}?proof=process_id"}
    (tmp_path / "sitecustomize.py").write_text(MISTAKEN)
    lost, other = job(), job(printer="bar")
    with running(service, printers, tmp_path, **running_first(tmp_path)) as agent:
        link = service.joined()
        link.send(other)
        until(lambda: bar.received_count > ASKED)
        link.send(lost)
        assert agent.process.wait(15) == 1
    assert re.search(rf"^job {lost.id} on kitchen: LookupError at .*sitecustomize.py:\d+", agent.errors[-1])
    assert journalled(tmp_path, lost.id) == "started"
    with running(service, printers, tmp_path):
        link = service.joined()
        done = [link.hear(wire.Done), link.hear(wire.Done)]
        assert wire.Done(lost.id, "unknown", "agent_restarted", window="restart") in done
        assert wire.Done(other.id, "confirmed") in done  # which had its time


def test_an_agent_that_has_lost_hold_of_a_job_while_it_was_away_ends_too(
    service: ScriptedService, virtual_printers: Callable[..., VirtualPrinter], tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(MISTAKEN)
    kitchen, lost = virtual_printers(speed=100.0), job()
    with running(service, at(kitchen), tmp_path, **running_first(tmp_path)) as agent:
        link = service.joined()
        link.send(lost)
        until(lambda: kitchen.received_count > ASKED)
        link.close()
        link = service.greeted()
        kitchen.wait_for_receipts(1)
        time.sleep(1)  # and the mistake is made
        assert agent.process.poll() is None
        link.send(wire.Welcome())
        assert agent.process.wait(15) == 1
    assert journalled(tmp_path, lost.id) == "started"


def test_a_job_that_expires_before_it_begins_has_failed(
    service: ScriptedService, virtual_printer: VirtualPrinter, tmp_path: Path
) -> None:
    with running(service, at(virtual_printer), tmp_path):
        link = service.joined()
        message = job(expires_in=0)
        link.send(message)
        assert link.hear(wire.Done) == wire.Done(message.id, "failed", "expired")
    assert not virtual_printer.receipts


def test_a_job_that_cannot_be_printed_fails_before_its_first_byte_and_holds_up_nobody(
    service: ScriptedService, virtual_printer: VirtualPrinter, tmp_path: Path
) -> None:
    with running(service, at(virtual_printer), tmp_path):
        link = service.joined()
        for message, error in (
            (job(raw="AAA", receipt={}), "rejected"),
            (job(receipt={"elements": [{"type": "hologram"}]}), "rejected"),
            (job(text("\x1b@"), CUT), "rejected"),
            (job(text("half\n"), {"type": "image", "png": base64.b64encode(empty_png()).decode()}, CUT), "rejected"),
            (job(printer="cellar"), "not_found"),
        ):
            for _ in range(2):  # it is not tried again
                link.send(message)
                assert link.hear(wire.Done) == wire.Done(message.id, "failed", error)
        good = job()
        link.send(good)
        assert link.hear(wire.Done) == wire.Done(good.id, "confirmed")
    [paper] = virtual_printer.receipts
    assert SECRET_TEXT in paper.text


def test_printers_are_told_apart_and_their_states_are_told(
    service: ScriptedService, virtual_printers: Callable[..., VirtualPrinter], tmp_path: Path
) -> None:
    kitchen, bar = virtual_printers(), virtual_printers()
    printers = {**at(kitchen), "bar": f"tcp://127.0.0.1:{bar.port}?proof=process_id"}
    bar.cover_open()

    def told(link: Link, **expected: str) -> None:
        states: dict[str, str] = {}
        while states != expected:
            state = link.hear(wire.State)
            assert -1 <= state.score <= 100
            states[state.printer] = state.state

    with running(service, printers, tmp_path):
        link = service.joined()
        told(link, kitchen="unknown", bar="unknown")
        blocked, free = job(printer="bar", timeout=2.0), job()
        link.send(blocked)
        link.send(free)
        assert {link.hear(wire.Done) for _ in printers} == {
            wire.Done(free.id, "confirmed"),
            wire.Done(blocked.id, "failed", "cover_open"),
        }
        link.close()
        link = service.joined()
        told(link, kitchen="ready", bar="cover_open")
    assert (len(kitchen.receipts), len(bar.receipts)) == (1, 0)


# -- cancelled, dropped ------------------------------------------------------------------------------------------------


def test_a_job_is_cancelled_until_it_begins_and_not_after(
    service: ScriptedService, virtual_printers: Callable[..., VirtualPrinter], tmp_path: Path
) -> None:
    printer = virtual_printers(receive_buffer=64)
    printer.paper_out()
    waiting, begun = job(timeout=30.0), job(*[text("x" * 2000)] * 60, CUT, timeout=30.0)
    with running(service, at(printer), tmp_path):
        link = service.joined()
        link.send(waiting)
        until(lambda: printer.received_count)
        link.send(wire.Cancel(waiting.id))
        assert link.hear(wire.Cancelled) == wire.Cancelled(waiting.id, True)
        printer.paper_in()
        printer.slow(1.0)
        link.send(begun)
        until(lambda: printer.buffered > 40)
        link.send(wire.Cancel(begun.id))
        assert link.hear(wire.Cancelled) == wire.Cancelled(begun.id, False)
        never = uuid.uuid4().hex
        link.send(wire.Cancel(never))
        assert link.hear(wire.Cancelled) == wire.Cancelled(never, True)
        printer.slow(None)
        done = link.hear(wire.Done)
        assert done == wire.Done(begun.id, "confirmed")
        link.send(wire.Cancel(begun.id))
        assert link.hear(wire.Cancelled) == wire.Cancelled(begun.id, False)
    assert len(printer.receipts) == 1


def test_a_job_that_has_not_begun_ends_with_the_session_that_brought_it(
    service: ScriptedService, virtual_printer: VirtualPrinter, tmp_path: Path
) -> None:
    virtual_printer.paper_out()
    stale, fresh = job(timeout=30.0), job(text("fresh\n"), CUT)
    with running(service, at(virtual_printer), tmp_path):
        link = service.joined()
        link.send(stale)
        until(lambda: virtual_printer.received_count)
        link.close()
        link = service.joined()
        assert link.hello.jobs == ()
        virtual_printer.paper_in()
        link.send(fresh)
        assert link.hear(wire.Done) == wire.Done(fresh.id, "confirmed")
        assert [receipt.text.strip() for receipt in virtual_printer.receipts] == ["fresh"]
        link.send(stale)  # given again, it is as any other
        assert link.hear(wire.Done) == wire.Done(stale.id, "confirmed")


# -- a journal that cannot be written ----------------------------------------------------------------------------------


def limit(process: Process, size: int) -> None:
    """As a full disk: no file of the process may grow beyond ``size``."""
    _, hard = resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (size, hard))


def test_nothing_begins_while_the_journal_cannot_be_written(
    service: ScriptedService, virtual_printer: VirtualPrinter, tmp_path: Path
) -> None:
    message = job()
    with running(service, at(virtual_printer, proof=False), tmp_path) as agent:
        link = service.joined()
        limit(agent, 1)
        link.send(message)
        assert link.closed() == 1011
        time.sleep(1.0)
        limit(agent, resource.RLIM_INFINITY)
        link = service.joined()
        assert link.hello.jobs == ()
        assert virtual_printer.received_count <= ASKED
        link.send(message)
        assert link.hear(wire.Done) == wire.Done(message.id, "written")
    assert len(virtual_printer.receipts) == 1
    assert "cannot be written" in "".join(agent.errors)


def test_a_result_is_told_only_once_the_journal_has_it(
    service: ScriptedService, virtual_printers: Callable[..., VirtualPrinter], tmp_path: Path
) -> None:
    printer = virtual_printers(receive_buffer=64)
    printer.slow(1.0)
    message = job(*[text("x" * 2000)] * 100, CUT, timeout=60.0)
    with running(service, at(printer), tmp_path) as agent:
        link = service.joined()
        link.send(message)
        until(lambda: printer.buffered)
        limit(agent, 1)
        printer.slow(None)
        printer.wait_for_receipts(1, 15)
        assert link.silent(wire.Done, 1.5)
        limit(agent, resource.RLIM_INFINITY)
        assert link.hear(wire.Done) == wire.Done(message.id, "confirmed")


@pytest.mark.parametrize("damage", ["garbage", "newer", "another", "in use", "unwritable"])
def test_a_journal_that_is_no_use_is_refused_in_one_line_and_nothing_is_printed(
    damage: str, service: ScriptedService, virtual_printer: VirtualPrinter, tmp_path: Path
) -> None:
    path = tmp_path / "journal.db"
    holder = None
    if damage == "garbage":
        path.write_bytes(b"\x00\xffgarbage" * 1000)
    elif damage == "unwritable":
        path.mkdir()
    else:
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("CREATE TABLE t (a)")
        if damage == "newer":
            holder.execute(f"PRAGMA application_id = {0x70726A6C}")
            holder.execute("PRAGMA user_version = 99")
        if damage == "in use":
            holder.execute("BEGIN EXCLUSIVE")
    process = start_agent(service.url, at(virtual_printer), home=tmp_path)
    assert process.process.wait(20) == 2
    process.stop()
    if holder is not None:
        holder.close()
    [line] = process.errors
    expected = {
        "garbage": "is damaged: move it aside",
        "newer": "made by a newer agent",
        "another": "is no agent's journal",
        "in use": "is another agent running?",
        "unwritable": "cannot be opened",
    }
    assert expected[damage] in line
    assert virtual_printer.connections == 0


def test_two_agents_cannot_share_a_journal(
    service: ScriptedService, virtual_printer: VirtualPrinter, tmp_path: Path
) -> None:
    with running(service, at(virtual_printer), tmp_path):
        service.joined()
        second = start_agent(service.url, at(virtual_printer), home=tmp_path)
        assert second.process.wait(20) == 2
        second.stop()
        [line] = second.errors
        assert "in use" in line


# -- what is on paper --------------------------------------------------------------------------------------------------


def raw(data: bytes) -> dict[str, Any]:
    return {"receipt": {}, "raw": base64.b64encode(data).decode()}


def test_a_reprint_says_so_in_its_first_line_and_raw_is_printed_as_it_is(
    service: ScriptedService, virtual_printer: VirtualPrinter, tmp_path: Path
) -> None:
    first = "3f2a" * 8
    with running(service, at(virtual_printer), tmp_path):
        link = service.joined()
        for message in (
            job(reprint_of=first),
            job(reprint_of=first, **raw(b"\x1b@Soup\n\n\n\x1dV\x00")),
            job(**raw(b"Soup\n\x1dV\x00")),
        ):
            link.send(message)
            assert link.hear(wire.Done) == wire.Done(message.id, "confirmed")
    papers = virtual_printer.receipts
    for paper in papers[:2]:
        assert paper.text.split("\n")[0].strip() == "*** REPRINT of 3f2a3f2a ***"
    assert SECRET_TEXT in papers[0].text
    assert "Soup" in papers[1].text
    assert papers[2].raw.endswith(b"Soup\n\x1dV\x00")
    assert papers[2].text.strip() == "Soup"


def test_a_receipt_is_right_on_a_printer_that_was_switched_off(
    service: ScriptedService, virtual_printer: VirtualPrinter, tmp_path: Path
) -> None:
    with running(service, at(virtual_printer), tmp_path):
        link = service.joined()
        for _ in range(2):
            message = job(text("Gemüse für 5 €\n"), CUT)
            link.send(message)
            assert link.hear(wire.Done) == wire.Done(message.id, "confirmed")
            virtual_printer.power_off()
            virtual_printer.power_on()
    assert [receipt.text.strip() for receipt in virtual_printer.receipts] == ["Gemüse für 5 €"] * 2


def picture(width: int, height: int) -> dict[str, Any]:
    png = io.BytesIO()
    Image.effect_noise((width, height), 100).convert("1").save(png, "PNG")
    return {"type": "image", "png": base64.b64encode(png.getvalue()).decode()}


@pytest.mark.parametrize("proof", [True, False])
def test_a_receipt_is_right_on_a_printer_that_was_left_in_the_middle_of_an_image(
    proof: bool, service: ScriptedService, virtual_printer: VirtualPrinter, tmp_path: Path
) -> None:
    well = "confirmed" if proof else "written"
    with running(service, at(virtual_printer, proof=proof), tmp_path):
        link = service.joined()
        first = job(text("first\n"), CUT)
        link.send(first)
        assert link.hear(wire.Done) == wire.Done(first.id, well)
        virtual_printer.reset_at(4000)
        torn = job(text("torn\n"), picture(512, 300), CUT)
        link.send(torn)
        done = link.hear(wire.Done)
        assert (done.outcome, done.error_type) in (("failed", "reset"), ("unknown", "reset"))
        assert done.partial is (done.outcome == "failed")
        message = job(text("whole\n"), CUT)
        link.send(message)
        assert link.hear(wire.Done) == wire.Done(message.id, well)
        virtual_printer.wait_idle()
    assert virtual_printer.receipts[-1].text.strip() == "whole"


def test_a_new_journal_takes_no_printer_for_one_that_waits_for_a_receipt(
    service: ScriptedService, virtual_printer: VirtualPrinter, tmp_path: Path
) -> None:
    with socket.create_connection(("127.0.0.1", virtual_printer.port)) as somebody:
        somebody.sendall(b"theirs\n\x1dv0\x00\x48\x00\xc0\x03" + b"\xff" * 72)  # one line of 960
        until(lambda: virtual_printer.received_count == 87)
    with running(service, at(virtual_printer), tmp_path):
        link = service.joined()
        message = job()
        link.send(message)
        assert link.hear(wire.Done) == wire.Done(message.id, "confirmed")
    assert [receipt.text.strip() for receipt in virtual_printer.receipts] == ["theirs", SECRET_TEXT]


def test_proof_that_comes_late_is_told_as_evidence(
    service: ScriptedService, virtual_printer: VirtualPrinter, tmp_path: Path
) -> None:
    virtual_printer.paper_out(after_dots=60)
    with running(service, at(virtual_printer), tmp_path):
        link = service.joined()
        message = job(*[text("a line\n")] * 20, CUT, timeout=2.0)
        link.send(message)
        done = link.hear(wire.Done)
        assert done == wire.Done(message.id, "unknown", "paper_end", window="printing")
        assert link.silent(wire.Evidence, 0.5)
        virtual_printer.paper_in()
        assert link.hear(wire.Evidence) == wire.Evidence(message.id)
        link.send(wire.Settled(message.id))
        link.close()
        link = service.joined()
        assert link.silent(wire.Evidence, 0.5)  # once is enough
    assert len(virtual_printer.receipts) == 1


def test_a_power_cut_is_no_late_proof(
    service: ScriptedService, virtual_printer: VirtualPrinter, tmp_path: Path
) -> None:
    virtual_printer.paper_out(after_dots=60)
    with running(service, at(virtual_printer), tmp_path):
        link = service.joined()
        message = job(*[text("a line\n")] * 20, CUT, timeout=2.0)
        link.send(message)
        assert link.hear(wire.Done).outcome == "unknown"
        virtual_printer.power_off()
        virtual_printer.paper_in()
        virtual_printer.power_on()
        after = job()
        link.send(after)
        assert link.hear(wire.Done) == wire.Done(after.id, "confirmed")
        assert link.silent(wire.Evidence, 1.0)


# -- coming and going --------------------------------------------------------------------------------------------------


def test_a_printer_says_who_it_is_in_each_hello(service: ScriptedService, tmp_path: Path) -> None:
    with VirtualPrinter(serial="J6EF012345") as first, VirtualPrinter(process_id=False) as clone:
        printers = {**at(first), "clone": f"tcp://127.0.0.1:{clone.port}"}
        with running(service, printers, tmp_path):
            link = service.joined()
            assert link.hello.printers == (wire.Printer("kitchen", "J6EF012345"), wire.Printer("clone"))
            first.power_off()
            link.close()
            link = service.joined()
            assert link.hello.printers[0].serial == "J6EF012345"  # as it has said last
            port = first.port
            first.close()
            with VirtualPrinter(port=port, serial="J6EF099999") as second:
                link.close()
                link = service.joined()
                assert link.hello.printers[0].serial == "J6EF099999"
                message = job()
                link.send(message)
                assert link.hear(wire.Done) == wire.Done(message.id, "confirmed")
                assert SECRET_TEXT in second.receipts[0].text
    assert clone.received_count == 0  # it might print the question


def test_a_printer_that_does_not_say_who_it_is_keeps_nobody_waiting(
    service: ScriptedService, virtual_printer: VirtualPrinter, tmp_path: Path
) -> None:
    virtual_printer.mute()
    with running(service, at(virtual_printer), tmp_path):
        link = service.joined(5.0)
        assert link.hello.printers == (wire.Printer("kitchen"),)
        virtual_printer.unmute()
        message = job()
        link.send(message)
        assert link.hear(wire.Done) == wire.Done(message.id, "confirmed")


def test_an_agent_starts_without_a_service_and_joins_when_it_is_there(
    virtual_printer: VirtualPrinter, tmp_path: Path
) -> None:
    port = free_port()
    process = start_agent(f"http://127.0.0.1:{port}", at(virtual_printer), home=tmp_path)
    assert process.ready()["event"] == "ready"
    time.sleep(1.0)
    assert process.process.poll() is None
    with ScriptedService(port) as service:
        link = service.joined()
        assert process.ready()["event"] == "joined"
        link.close()
        assert process.ready()["event"] == "left"
        service.joined()
        assert process.ready()["event"] == "joined"
        process.stop()


def test_the_receipt_under_way_is_finished_when_the_agent_is_stopped(
    service: ScriptedService, virtual_printers: Callable[..., VirtualPrinter], tmp_path: Path
) -> None:
    printer = virtual_printers(receive_buffer=64)
    printer.slow(1.0)
    message, behind = job(*[text("x" * 2000)] * 60, CUT, timeout=30.0), job()
    with running(service, at(printer), tmp_path) as agent:
        link = service.joined()
        link.send(message)
        until(lambda: printer.buffered)
        link.send(behind)
        agent.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        printer.slow(None)
        assert link.hear(wire.Done) == wire.Done(message.id, "confirmed")
        assert link.closed() == 1000
        link.over.set()
        assert agent.process.wait(15) == 0
    assert journalled(tmp_path, message.id) == "done"
    assert journalled(tmp_path, behind.id) == "absent"
    assert len(printer.receipts) == 1


def test_a_job_that_waits_for_paper_does_not_keep_an_agent_from_stopping(
    service: ScriptedService, virtual_printer: VirtualPrinter, tmp_path: Path
) -> None:
    virtual_printer.paper_out()
    message = job(timeout=600.0)
    with running(service, at(virtual_printer), tmp_path) as agent:
        link = service.joined()
        link.send(message)
        until(lambda: virtual_printer.received_count)
        agent.process.send_signal(signal.SIGINT)
        link.closed()
        link.over.set()
        assert agent.process.wait(15) == 0
    assert journalled(tmp_path, message.id) == "absent"


def test_an_agent_without_a_good_token_ends_with_one_line(virtual_printer: VirtualPrinter, tmp_path: Path) -> None:
    with ScriptedService(refuse=HTTPStatus.UNAUTHORIZED) as service:
        process = start_agent(service.url, at(virtual_printer), home=tmp_path)
        assert process.process.wait(20) == 2
        process.stop()
    assert process.errors[-1] == "the service refused the agent: HTTP 401\n"


def test_an_agent_that_is_refused_says_why(
    service: ScriptedService, virtual_printer: VirtualPrinter, tmp_path: Path
) -> None:
    process = start_agent(service.url, at(virtual_printer), home=tmp_path)
    link = service.greeted()
    link.send(wire.Refuse("kitchen is served by another agent: reassign it"))
    assert process.process.wait(20) == 2
    process.stop()
    assert process.errors[-1] == "the service refused the agent: kitchen is served by another agent: reassign it\n"


def test_a_service_that_breaks_the_protocol_is_left_and_tried_again(
    service: ScriptedService, virtual_printer: VirtualPrinter, tmp_path: Path
) -> None:
    with running(service, at(virtual_printer), tmp_path):
        for said in ("{", json.dumps({"type": "print"}), json.dumps({"type": "hologram"}), b"\xff"):
            link = service.joined()
            link.connection.send(said)
            assert link.closed() == wire.PROTOCOL_ERROR
            link.over.set()
        link = service.joined()
        message = job()
        link.send(message)
        assert link.hear(wire.Done) == wire.Done(message.id, "confirmed")


def test_an_unanswered_service_error_is_tried_again(virtual_printer: VirtualPrinter, tmp_path: Path) -> None:
    with ScriptedService(refuse=HTTPStatus.BAD_GATEWAY) as service:
        process = start_agent(service.url, at(virtual_printer), home=tmp_path)
        process.event("ready")
        time.sleep(1.5)
        assert process.process.poll() is None
        assert process.stop() == 0
    assert "HTTP 502: trying again" in "".join(process.errors)
