"""The monitor: it knows each fault of a printer, stays out of every job, and leaves no trace of itself."""

import asyncio
import contextlib
import gc
import logging
import os
import pty
import re
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from escpos.printer import File, Network, Serial

import printobs
from printobs.assembly.health import health
from printobs.assembly.printing import PrintJobFailed, print_job, register
from printobs.core.conventions import Outcome, State
from printobs.integrations import escpos
from printobs.signals import monitor as monitors
from printobs.signals import printers
from printobs.signals.transport import unwatch_classes
from printobs.testing.virtual_printer import VirtualPrinter
from tests.conftest import Sdk

# python-escpos leaves the socket of a failed attempt to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
Printers = Callable[..., VirtualPrinter]
OFTEN = 0.05
ASK = b"\x10\x04\x01\x10\x04\x02\x10\x04\x03\x10\x04\x04"


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    yield
    monitors.stop_all()
    escpos.uninstrument()
    unwatch_classes()
    gc.collect()  # a driver is in a cycle; its health lives as long as it


def monitored(paper: VirtualPrinter, interval: float = OFTEN, **arguments: Any) -> Network:
    return register(Network("127.0.0.1", paper.port, timeout=5), name="kitchen", monitor=interval, **arguments)


def until(condition: Callable[[], object], timeout: float = 10.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.01)


def comes_to(printer: object, state: str) -> None:
    until(lambda: health(printer).state == state)


def ticket(printer: Any, text: str = "2 x Ramen\n") -> None:
    printer.text(text)
    printer.cut()


FAULTS = {
    "paper_out": ("paper_end", "paper_in"),
    "near_end": ("paper_near_end", "near_end_cleared"),
    "cover_open": ("cover_open", "cover_close"),
    "offline": ("offline", "online"),
    "press_feed": ("offline", "release_feed"),
    "cutter_error": ("cutter", "recover"),
    "mechanical_error": ("mechanical", "recover"),
    "overheated": ("recoverable", "recover"),
    "mute": ("unknown", "unmute"),
    "garbage_replies": ("unknown", "unmute"),
    "power_off": ("unreachable", "power_on"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("connected", [False, True])
def test_each_fault_is_a_state_and_ends(sdk: Sdk, virtual_printers: Printers, fault: str, connected: bool) -> None:
    paper = virtual_printers()
    kitchen = monitored(paper)
    if connected:
        kitchen.open()
        printers.known[id(kitchen)].monitor._touched = 0.0  # type: ignore[union-attr] # five seconds are over
    comes_to(kitchen, "ready")
    state, end = FAULTS[fault]
    getattr(paper, fault)()
    comes_to(kitchen, state)
    assert sdk.value("printer.status", printer__name="kitchen", printer__state=state) == 1
    assert sdk.value("printer.status", printer__name="kitchen") == 1
    getattr(paper, end)()
    if connected and state == "unknown":
        # Answers are missing on this connection, and might still come: only a job makes it anew.
        with print_job(kitchen, timeout=10):
            ticket(kitchen)
    comes_to(kitchen, "ready")
    kitchen.close()


def test_an_unrecoverable_error_ends_with_the_power(sdk: Sdk, virtual_printers: Printers) -> None:
    paper = virtual_printers()
    kitchen = monitored(paper)
    paper.unrecoverable_error()
    comes_to(kitchen, "unrecoverable")
    paper.power_off()
    comes_to(kitchen, "unreachable")
    paper.power_on()
    comes_to(kitchen, "ready")


def test_transitions_are_logged_once(sdk: Sdk, virtual_printers: Printers, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "printobs")
    paper = virtual_printers()
    kitchen = monitored(paper)
    comes_to(kitchen, "ready")
    paper.cover_open()
    comes_to(kitchen, "cover_open")
    count = paper.connections
    until(lambda: paper.connections > count + 5)
    states = [getattr(record, "printer.state", None) for record in caplog.records]
    assert [state for state in states if state] == ["ready", "cover_open"]


def test_checks_are_counted_with_what_was_wrong(sdk: Sdk, virtual_printers: Printers) -> None:
    paper = virtual_printers()
    kitchen = monitored(paper, branch="mitte")
    comes_to(kitchen, "ready")
    assert health(kitchen).score is not None
    paper.paper_out()
    until(lambda: sdk.value("printer.check.duration", branch__name="mitte", error__type="paper_end"))
    assert health(kitchen).state == "paper_end"
    paper.power_off()
    until(lambda: sdk.value("printer.check.duration", error__type="connect_refused"))
    assert health(kitchen).state == "unreachable"


def test_it_asks_nothing_but_the_status_and_leaves_nothing_open(sdk: Sdk, virtual_printers: Printers) -> None:
    paper = virtual_printers()
    kitchen = monitored(paper)
    until(lambda: paper.connections > 5)
    monitors.stop_all()
    assert kitchen._device is False
    assert kitchen.timeout == 5
    assert paper.received == ASK * (len(paper.received) // 12)
    with socket.create_connection(("127.0.0.1", paper.port)) as other:  # nobody is kept out
        other.settimeout(5)
        other.sendall(b"\x10\x04\x01")
        assert other.recv(10) == b"\x12"


def test_a_connection_of_the_application_stays_as_it_is(sdk: Sdk, virtual_printers: Printers) -> None:
    paper = virtual_printers()
    kitchen = monitored(paper)
    comes_to(kitchen, "ready")
    with print_job(kitchen):
        ticket(kitchen)
    device, count = kitchen._device, paper.connections
    asked = paper.received.count(ASK)
    until(lambda: paper.received.count(ASK) > asked + 5)
    assert kitchen._device is device
    until(lambda: device.gettimeout() == 5)  # meanwhile it may be asked again, with less time
    assert paper.connections == count
    kitchen.close()


def test_a_job_s_bytes_are_never_interrupted(sdk: Sdk, virtual_printers: Printers) -> None:
    paper = virtual_printers()
    kitchen = monitored(paper, interval=0.01)
    for number in range(15):
        with print_job(kitchen, timeout=10):
            for line in range(8):
                kitchen.text(f"<{number}.{line}>\n")
                time.sleep(0.01)
            kitchen.cut()
        time.sleep(0.05)
    kitchen.close()
    paper.wait_for_receipts(15)
    assert_whole(paper, 15)
    assert paper.received.count(ASK) > 5, "it does ask, between the jobs"


def assert_whole(paper: VirtualPrinter, jobs: int) -> None:
    for number in range(jobs):
        first, last = f"<{number}.0>".encode(), f"<{number}.7>".encode()
        receipt = paper.received[paper.received.index(first) : paper.received.index(last)]
        assert b"\x10\x04" not in receipt, number


def test_nor_between_the_calls_of_a_job_on_an_event_loop(sdk: Sdk, virtual_printers: Printers) -> None:
    paper = virtual_printers()
    kitchen = monitored(paper, interval=0.01)

    async def go() -> None:
        for number in range(10):
            async with print_job(kitchen, timeout=10) as job:
                for line in range(8):
                    await job.run(kitchen.text, f"<{number}.{line}>\n")
                    await asyncio.sleep(0.02)
                await job.run(kitchen.cut)
            await asyncio.sleep(0.05)

    asyncio.run(go())
    kitchen.close()
    assert_whole(paper, 10)
    assert paper.received.count(ASK) > 3


def test_nor_in_what_is_written_without_a_job(sdk: Sdk, virtual_printers: Printers) -> None:
    escpos.instrument(sdk.telemetry)
    paper = virtual_printers()
    kitchen = monitored(paper, interval=0.01)
    until(lambda: ASK in paper.received)
    for line in range(8):
        kitchen.text(f"<0.{line}>\n")
        time.sleep(0.05)
    kitchen.cut()
    asked = paper.received.count(ASK)
    assert_whole(paper, 1)
    assert kitchen.is_online()
    assert kitchen.paper_status() == 2
    paper.near_end()
    kitchen._raw(b"\x10\x04\x04")  # whose answer is read after a while
    time.sleep(0.5)
    assert kitchen._read() == b"\x1e"
    assert paper.received.count(ASK) == asked
    kitchen.close()


def test_a_call_that_comes_while_it_asks_waits_for_the_answers(sdk: Sdk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        asked, answered = threading.Event(), []

        def play() -> None:
            connection, _ = server.accept()
            with connection:
                while len(connection.recv(64, socket.MSG_PEEK)) < 12:
                    time.sleep(0.01)
                asked.set()
                time.sleep(0.3)
                answered.append(connection.recv(64))
                connection.sendall(b"\x12" * 4)
                connection.recv(64)
            connection, _ = server.accept()
            with connection:
                answered.append(connection.recv(64))

        thread = threading.Thread(target=play, daemon=True)
        thread.start()
        kitchen = register(Network("127.0.0.1", server.getsockname()[1]), name="kitchen", monitor=100)
        assert asked.wait(5)
        kitchen._raw(b"hello")
        thread.join(5)
        kitchen.close()
    assert answered == [ASK, b"hello"]


@pytest.mark.parametrize("way", ["thread", "loop"])
def test_a_job_never_waits_longer_than_a_check_may_take(sdk: Sdk, virtual_printers: Printers, way: str) -> None:
    paper = virtual_printers()
    paper.mute()  # each check takes all of its time
    kitchen = monitored(paper, interval=0.01)
    longest = 0.0

    async def go() -> float:
        began = time.monotonic()
        async with print_job(kitchen) as job:
            return await job.run(lambda: time.monotonic() - began)

    for _ in range(6):
        time.sleep(0.1)
        if way == "loop":
            longest = max(longest, asyncio.run(go()))
        else:
            began = time.monotonic()
            with print_job(kitchen):
                longest = max(longest, time.monotonic() - began)
    assert longest < monitors.CHECKED + 1.0  # and what two busy cores take
    kitchen.close()


def test_a_driver_that_could_not_connect_still_connects_by_itself(sdk: Sdk, virtual_printers: Printers) -> None:
    paper = virtual_printers()
    paper.power_off()
    kitchen = monitored(paper)
    comes_to(kitchen, "unreachable")
    monitors.stop_all()
    paper.power_on()
    ticket(kitchen)
    kitchen.close()
    paper.wait_for_receipts(1)


def test_one_whose_own_attempt_failed_is_left_as_that(sdk: Sdk, virtual_printers: Printers) -> None:
    paper = virtual_printers()
    paper.power_off()
    kitchen = monitored(paper)
    with contextlib.suppress(Exception):
        kitchen.open()
    assert kitchen._device is None
    printers.known[id(kitchen)].monitor._touched = 0.0  # type: ignore[union-attr] # five seconds are over
    paper.power_on()
    comes_to(kitchen, "ready")
    monitors.stop_all()
    assert kitchen._device is None


def test_one_that_is_unreachable_is_asked_less_and_less_often(sdk: Sdk, virtual_printers: Printers) -> None:
    paper = virtual_printers()
    paper.power_off()
    kitchen = monitored(paper)
    comes_to(kitchen, "unreachable")
    time.sleep(1.5)
    assert sdk.value("printer.check.duration", error__type="connect_refused") < 8  # 30 without


def test_answers_that_come_late_are_read_before_it_closes(sdk: Sdk) -> None:
    ended: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def play() -> None:
            connection, _ = server.accept()
            with connection:
                while connection.recv(64):  # nothing is answered until the other side has said its last
                    pass
                try:
                    for _ in range(3):
                        connection.sendall(b"\x12\x12")
                        time.sleep(0.03)
                    ended.append("whole")
                except OSError as error:
                    ended.append(type(error).__name__)

        thread = threading.Thread(target=play, daemon=True)
        thread.start()
        kitchen = register(Network("127.0.0.1", server.getsockname()[1]), name="kitchen", monitor=100)
        thread.join(5)
        del kitchen
    assert ended == ["whole"]


def test_a_lost_connection_of_the_application_is_noticed(sdk: Sdk, virtual_printers: Printers) -> None:
    paper = virtual_printers()
    kitchen = monitored(paper)
    with print_job(kitchen):
        ticket(kitchen)
    comes_to(kitchen, "ready")
    paper.reset()
    until(lambda: kitchen._device is False)
    comes_to(kitchen, "ready")
    assert (health(kitchen).score or 100) < 95
    with print_job(kitchen) as job:
        ticket(kitchen)
    assert job.outcome is Outcome.WRITTEN
    kitchen.close()
    paper.wait_for_receipts(2)


def test_jobs_tell_without_a_monitor(sdk: Sdk, virtual_printers: Printers) -> None:
    paper = virtual_printers()
    kitchen = register(Network("127.0.0.1", paper.port), name="kitchen", proof="process_id")
    assert health(kitchen).state is State.UNKNOWN
    with print_job(kitchen, timeout=5):
        ticket(kitchen)
    assert (health(kitchen).state, health(kitchen).level) == ("ready", "excellent")
    paper.cover_open()
    with pytest.raises(PrintJobFailed), print_job(kitchen, timeout=0.5):
        ticket(kitchen)
    assert health(kitchen).state == "cover_open"
    assert health(kitchen).score == 50.0
    kitchen.close()
    paper.power_off()
    with contextlib.suppress(Exception), print_job(kitchen, timeout=0.5):
        ticket(kitchen)
    assert health(kitchen).state == "unreachable"


def test_one_that_only_writes_is_never_asked(sdk: Sdk, tmp_path: Any) -> None:
    target = tmp_path / "printer"
    printer = register(File(str(target)), name="file", monitor=OFTEN)
    time.sleep(0.3)
    assert not target.exists()
    with print_job(printer):
        ticket(printer)
    size = target.stat().st_size
    time.sleep(0.3)
    assert target.stat().st_size == size
    assert health(printer).state is State.UNKNOWN
    printer.close()


def test_a_serial_printer_is_asked_too(sdk: Sdk) -> None:
    master, slave = pty.openpty()
    stopped = threading.Event()

    def play() -> None:
        while not stopped.is_set():
            if select.select([master], [], [], 0.05)[0]:
                with contextlib.suppress(OSError):
                    os.write(master, b"\x12" * os.read(master, 100).count(b"\x10\x04"))

    thread = threading.Thread(target=play, daemon=True)
    thread.start()
    printer = register(Serial(os.ttyname(slave), dsrdtr=False), name="serial", monitor=OFTEN)
    comes_to(printer, "ready")
    stopped.set()
    thread.join()
    comes_to(printer, "unknown")  # and closing does not wait for what is not taken
    monitors.stop_all()
    assert printer._device is False
    os.close(master)
    os.close(slave)


def test_a_transport_is_asked_as_it_is(sdk: Sdk, virtual_printers: Printers) -> None:
    class Wire:
        def __init__(self, port: int) -> None:
            self.connection = socket.create_connection(("127.0.0.1", port))

        def write(self, data: bytes) -> None:
            self.connection.sendall(data)

        def read(self, timeout: float) -> bytes:
            self.connection.settimeout(max(0.001, timeout))
            try:
                data = self.connection.recv(100)
            except TimeoutError:
                return b""
            if not data:
                raise ConnectionResetError
            return data

    paper = virtual_printers()
    wire = register(Wire(paper.port), name="bar", monitor=OFTEN)
    comes_to(wire, "ready")
    paper.cover_open()
    comes_to(wire, "cover_open")
    paper.power_off()
    comes_to(wire, "unreachable")
    wire.connection.close()


def threads() -> set[str]:
    return {each.name for each in threading.enumerate() if each.name.startswith(("printobs-monitor", "printer "))}


def test_no_thread_and_no_series_is_left_when_the_printer_is_gone(sdk: Sdk, virtual_printers: Printers) -> None:
    kitchens = [
        register(Network("127.0.0.1", virtual_printers().port), name=f"k{number}", monitor=OFTEN) for number in range(5)
    ]
    for kitchen in kitchens:
        comes_to(kitchen, "ready")
    assert len([name for name in threads() if name.startswith("printobs-monitor")]) == 1
    del kitchen, kitchens

    def left() -> set[str]:
        gc.collect()  # each time: a check under way still holds its driver
        return {name for name in threads() if name.startswith(("printobs-monitor", "printer k"))}

    until(lambda: not left())
    until(lambda: not sdk.points("printer.status"))


def test_uninstrument_and_registering_without_end_it(sdk: Sdk, virtual_printers: Printers) -> None:
    paper = virtual_printers()
    ends: tuple[Callable[[Any], object], ...] = (
        lambda each: register(each, name="kitchen"),
        lambda _: printobs.uninstrument(),
    )
    for end in ends:
        kitchen = monitored(paper)
        comes_to(kitchen, "ready")
        end(kitchen)
        count = paper.received_count
        time.sleep(0.3)
        assert paper.received_count == count
        until(lambda: not [name for name in threads() if name.startswith("printobs-monitor")])


FORK = """
import os, threading, time, printobs
from escpos.printer import Network
from printobs.testing import VirtualPrinter
with VirtualPrinter() as paper:
    kitchen = printobs.register(Network("127.0.0.1", paper.port), name="kitchen", monitor=0.02)
    for number in range(10):
        child = os.fork()
        if not child:
            time.sleep(0.1)
            alone = threading.active_count() == 1 and kitchen._device is False
            printobs.register(kitchen, name="kitchen", monitor=0.05)
            deadline = time.monotonic() + 10
            while printobs.health(kitchen).last_checked is None and time.monotonic() < deadline:
                time.sleep(0.01)
            with printobs.print_job(kitchen) as job:
                kitchen.text("from a child\\n")
                kitchen.cut()
            kitchen.close()
            os._exit(0 if alone and job.outcome == "written" else 1)
        _, status = os.waitpid(child, 0)
        assert status == 0, status
    before = paper.connections
    time.sleep(0.5)
    assert paper.connections > before, "the parent goes on"
    assert printobs.health(kitchen).state == "ready"
print("done")
"""


def test_a_fork_leaves_the_monitor_to_the_parent() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK], capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr


EXIT = """
import time, printobs
from escpos.printer import Network
from printobs.testing import VirtualPrinter
paper = VirtualPrinter()
kitchen = printobs.register(Network("127.0.0.1", paper.port), name="kitchen", monitor=0.01)
while printobs.health(kitchen).state != "ready":
    time.sleep(0.01)
print("done")
"""


def test_the_process_ends_with_a_monitor_running() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", EXIT], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.stdout, done.returncode, done.stderr) == ("done\n", 0, "")


@pytest.mark.parametrize("seconds", [0, -1, 121, float("nan"), float("inf")])
def test_an_interval_that_makes_no_sense_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="monitor"):
        register(Network("127.0.0.1"), name="kitchen", monitor=seconds)


def test_health_of_what_is_not_registered() -> None:
    for what in (Network("127.0.0.1"), object()):
        with pytest.raises(LookupError, match=re.escape("register()")):
            health(what)
