"""What the application's own status calls give is what the bare library gives, whatever we ask meanwhile.

The same calls are made with the bare library on one `VirtualPrinter`, and with a registered driver on another one, in
its jobs and around them. Results and exceptions must be the same.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal

import pytest
from escpos.constants import RT_STATUS_ONLINE, RT_STATUS_PAPER
from escpos.printer import Network

from printobs.assembly.printing import PrintJobFailed, print_job, register
from printobs.integrations import escpos
from printobs.testing.virtual_printer import VirtualPrinter
from tests.conftest import Sdk, in_memory

# python-escpos leaves the socket of a failed attempt to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
Proof = Literal["process_id"] | None
Fault = Callable[[VirtualPrinter], None]
Said = list[tuple[str, Any]]

PATIENCE = 0.5  # the application's own time-out for an answer: what comes at all comes much sooner
GS_R = b"\x1dr\x01"
GS_I_1 = b"\x1dI\x01"
GS_I_67 = b"\x1dI\x43"
ASB_ON = b"\x1da\xff"

FAULTS: dict[str, Fault] = {
    "healthy": lambda paper: None,
    "slow": lambda paper: paper.slow(3000.0),
    "mute": VirtualPrinter.mute,
    "garbage": VirtualPrinter.garbage_replies,
    "paper out": VirtualPrinter.paper_out,
    "near end": VirtualPrinter.near_end,
    "cover open": VirtualPrinter.cover_open,
    "offline": VirtualPrinter.offline,
    "cutter": VirtualPrinter.cutter_error,
    "drawer": lambda paper: paper.drawer_sensor(True),
}
# Seconds of a job. With garbage for answers a connection is entered in 3.4: in a job whose time is over by then, the
# driver has a millisecond for each answer, which a busy machine does not keep.
ENOUGH = dict.fromkeys(FAULTS, 2.5) | {"garbage": 8.0}
# Nothing is printed there, and nothing that is asked in its order answered.
STOPPED = {"paper out", "cover open", "offline", "cutter"}


@pytest.fixture(autouse=True)
def _clean(sdk: Sdk) -> Iterator[None]:
    yield
    escpos.uninstrument()


def answer(said: Said, name: str, call: Callable[[], Any]) -> None:
    try:
        said.append((name, call()))
    except Exception as error:
        said.append((name, (type(error), str(error))))


def real_time(printer: Any, said: Said) -> None:
    """What python-escpos itself offers."""
    answer(said, "is_online", printer.is_online)
    answer(said, "paper_status", printer.paper_status)
    answer(said, "query_status online", lambda: printer.query_status(RT_STATUS_ONLINE))
    answer(said, "query_status paper", lambda: printer.query_status(RT_STATUS_PAPER))


def in_order(printer: Any, said: Said) -> None:
    """What an application asks by hand."""
    for question in (GS_R, GS_I_1, GS_I_67):
        printer._raw(question)
        answer(said, f"_read {question!r}", printer._read)


def ticket(printer: Any) -> None:
    printer.text("2 x Ramen\n")
    printer.cut()


class Run:
    """One application's day, with the bare library or with ours."""

    def __init__(self, paper: VirtualPrinter, proof: Proof, *, ours: bool, port: int | None = None) -> None:
        self.paper = paper
        self.ours = ours
        self.said: Said = []
        self.driver: Any = Network("127.0.0.1", port or paper.port, timeout=PATIENCE)
        if ours:
            register(self.driver, name="kitchen", proof=proof)

    def job(self, inside: Callable[[], None], timeout: float = 2.5) -> None:
        """A receipt, and ``inside`` before it."""
        if not self.ours:
            inside()
            ticket(self.driver)
            return
        with print_job(self.driver, timeout=timeout) as job:
            inside()
            ticket(self.driver)
        assert job.outcome.value in ("confirmed", "written", "unknown")

    def ask(self, *, everything: bool) -> None:
        real_time(self.driver, self.said)
        if everything:
            in_order(self.driver, self.said)


def both(day: Callable[[Run], None], proof: Proof) -> tuple[Said, Said]:
    """What the bare library and ours say on the same day, each with a printer of its own."""

    def one(ours: bool) -> Said:
        with VirtualPrinter() as paper:
            run = Run(paper, proof, ours=ours)
            day(run)
            with contextlib.suppress(Exception):
                run.driver.close()
        return run.said

    with ThreadPoolExecutor(2) as pool:
        bare, ours = pool.map(one, (False, True))
    return bare, ours


def before_during_and_after_a_job(fault: str, proof: Proof) -> tuple[Said, Said]:
    def day(run: Run) -> None:
        everything = fault not in (*STOPPED, "mute")
        if fault != "mute":
            run.driver.timeout = 5  # with garbage for answers a gap is filled first, and what is asked waits behind it
        run.ask(everything=everything)
        FAULTS[fault](run.paper)
        run.ask(everything=everything)
        # With proof, a printer that is not ready gets no job: there is no inside of it.
        with contextlib.suppress(PrintJobFailed):
            run.job(lambda: None if fault in STOPPED else run.ask(everything=everything), ENOUGH[fault])
        run.ask(everything=everything)

    return both(day, proof)


def in_the_middle_of_a_job(fault: str, proof: Proof) -> tuple[Said, Said]:
    def day(run: Run) -> None:
        def inside() -> None:
            run.ask(everything=True)
            FAULTS[fault](run.paper)
            run.ask(everything=False)

        run.job(inside)
        run.ask(everything=False)

    return both(day, proof)


PROOFS: tuple[Proof, ...] = (None, "process_id")
IN_THE_MIDDLE = sorted(STOPPED | {"near end", "garbage", "mute"})
Days = dict[tuple[Callable[..., tuple[Said, Said]], str, Proof], Future[tuple[Said, Said]]]


@pytest.fixture(scope="module")
def days() -> Days:
    """Of each fault; side by side, since they do little but wait."""
    asked = [(before_during_and_after_a_job, fault) for fault in FAULTS]
    asked += [(in_the_middle_of_a_job, fault) for fault in IN_THE_MIDDLE]
    with in_memory(), ThreadPoolExecutor(6) as pool:
        said = {(day, fault, proof): pool.submit(day, fault, proof) for day, fault in asked for proof in PROOFS}
    escpos.uninstrument()
    return said


@pytest.mark.parametrize("proof", PROOFS)
@pytest.mark.parametrize("fault", FAULTS)
def test_before_during_and_after_a_job(days: Days, fault: str, proof: Proof) -> None:
    bare, ours = days[before_during_and_after_a_job, fault, proof].result()
    assert len(bare) >= 12
    assert ours == bare


@pytest.mark.parametrize("proof", PROOFS)
@pytest.mark.parametrize("fault", IN_THE_MIDDLE)
def test_a_fault_in_the_middle_of_a_job(days: Days, fault: str, proof: Proof) -> None:
    bare, ours = days[in_the_middle_of_a_job, fault, proof].result()
    assert ours == bare


@pytest.mark.parametrize("proof", [None, "process_id"])
def test_automatic_status_that_the_application_has_enabled(proof: Proof) -> None:
    def day(run: Run) -> None:
        def read(name: str) -> None:
            time.sleep(0.1)  # the whole of it has arrived
            answer(run.said, name, run.driver._read)

        def inside() -> None:
            run.ask(everything=False)
            run.paper.near_end()
            read("near end")
            run.ask(everything=False)
            run.paper.drawer_sensor(True)  # and is read after the job

        run.driver._raw(ASB_ON)
        read("enabled")
        run.paper.near_end_cleared()
        run.job(inside)
        read("drawer")
        run.ask(everything=True)
        run.job(lambda: None)
        run.paper.drawer_sensor(False)
        read("drawer again")
        run.ask(everything=True)

    bare, ours = both(day, proof)
    assert len([value for _, value in bare if isinstance(value, bytes) and len(value) == 4]) == 4
    assert ours == bare


@pytest.mark.parametrize("proof", [None, "process_id"])
def test_an_answer_that_is_read_after_the_job(proof: Proof) -> None:
    def day(run: Run) -> None:
        run.paper.near_end()
        for question in (RT_STATUS_PAPER, GS_R, GS_I_1, GS_I_67):
            run.job(lambda question=question: run.driver._raw(question))  # type: ignore[misc]
            answer(run.said, f"_read {question!r}", run.driver._read)
        run.ask(everything=True)

    bare, ours = both(day, proof)
    assert ours == bare


@pytest.mark.parametrize("fault", ["mute", "garbage"])
def test_a_status_query_of_ours_that_fails_changes_nothing(fault: str) -> None:
    """The fault is there only while we ask, before the job's first byte."""

    def day(run: Run) -> None:
        run.driver.timeout = 5
        run.ask(everything=True)
        run.paper.near_end()
        FAULTS[fault](run.paper)

        def inside() -> None:
            run.paper.unmute()
            run.ask(everything=True)

        # Our own questions wait for answers first: what they leave of the time must be enough for the driver's.
        run.job(inside, 8.0)
        run.ask(everything=True)

    bare, ours = both(day, "process_id")
    assert ours == bare


class Lagging:
    """A way to a printer whose answers take ``lag`` seconds."""

    def __init__(self, paper: VirtualPrinter) -> None:
        self.lag = 0.0
        self._paper = paper
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._sockets: list[socket.socket] = [self._server]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                host, _ = self._server.accept()
                printer = socket.create_connection(("127.0.0.1", self._paper.port))
                self._sockets += host, printer
                threading.Thread(target=self._pass, args=(host, printer, False), daemon=True).start()
                threading.Thread(target=self._pass, args=(printer, host, True), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket, lags: bool) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(4096):
                if lags:
                    time.sleep(self.lag)
                other.sendall(data)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        for each in self._sockets:
            each.close()


@pytest.mark.parametrize("proof", [None, "process_id"])
def test_a_status_query_of_ours_that_is_answered_late_changes_nothing(proof: Proof) -> None:
    def one(ours: bool) -> Said:
        with VirtualPrinter() as paper, contextlib.closing(Lagging(paper)) as way:
            run = Run(paper, proof, ours=ours, port=way.port)
            run.driver.timeout = 5
            paper.near_end()
            paper.drawer_sensor(True)
            run.ask(everything=True)
            way.lag = 1.3  # longer than we wait

            def inside() -> None:
                run.ask(everything=False)
                way.lag = 0.0

            run.job(inside, timeout=20)
            run.ask(everything=True)
            with contextlib.suppress(Exception):
                run.driver.close()
        return run.said

    with ThreadPoolExecutor(2) as pool:
        bare, ours = pool.map(one, (False, True))
    assert ("paper_status", 1) in bare
    assert ours == bare
