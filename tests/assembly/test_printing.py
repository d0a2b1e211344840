"""print_job(): spans, metrics, and an outcome that claims no more than is known."""

import asyncio
import contextlib
import contextvars
import gc
import io
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import pytest
from escpos.escpos import Escpos, EscposIO
from escpos.exceptions import DeviceNotFoundError
from escpos.printer import Dummy, Network
from opentelemetry import context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import printobs
from printobs.assembly.printing import PrintJob, PrintJobFailed, print_job, register
from printobs.core import telemetry
from printobs.core.conventions import Outcome
from printobs.integrations import escpos
from printobs.signals import passive, printers, proof
from printobs.signals.correlation import correlation, correlation_id
from printobs.signals.transport import unwatch_classes
from printobs.testing.virtual_printer import VirtualPrinter
from tests.conftest import Sdk

# python-escpos leaves the socket of a failed attempt to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def paper() -> Iterator[VirtualPrinter]:
    with VirtualPrinter(name="kitchen") as printer:
        yield printer


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    yield
    escpos.uninstrument()
    unwatch_classes()
    gc.collect()  # a driver that an exception's frames hold; its health lives as long as it


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]  # type: ignore[no-any-return]


def ticket(printer: Network) -> str:
    printer.text("2 x Ramen\n")
    printer.cut()
    return "printed"


def test_a_job_has_its_spans_its_metrics_and_one_correlation_id(sdk: Sdk, paper: VirtualPrinter) -> None:
    kitchen = register(Network("127.0.0.1", paper.port), name="kitchen", branch="mitte")
    with correlation("order-4711"), print_job(kitchen, kind="kitchen", timeout=5) as job:
        ticket(kitchen)
        assert correlation_id() == "order-4711"
    kitchen.close()
    assert paper.wait_for_receipts(1)[0].lines[0] == "2 x Ramen"
    assert (job.outcome, job.error_type, job.partial) == (Outcome.WRITTEN, None, False)
    job.raise_for_outcome()

    whole = sdk.span("print job")
    parts = [sdk.span(f"printer {stage}") for stage in ("connect", "write", "confirm")]
    for part in parts:
        assert part.parent is not None
        assert part.parent.span_id == whole.context.span_id
        assert whole.start_time <= part.start_time <= part.end_time <= whole.end_time  # type: ignore[operator]
    for span in (whole, *parts):
        assert span.attributes is not None
        assert span.attributes["correlation.id"] == "order-4711"
        assert "Ramen" not in span.to_json()
    where = {"printer__name": "kitchen", "branch__name": "mitte"}
    assert sdk.value("printer.jobs", printer__job__kind="kitchen", printer__job__outcome="written", **where) == 1
    assert sdk.value("printer.job.duration", printer__job__outcome="written", **where) == 1
    for stage in ("connect", "write", "confirm"):
        assert sdk.value("printer.job.stage.duration", printer__job__stage=stage, **where) == 1
    assert sdk.value("printer.io", network__io__direction="transmit", **where) == paper.received_count
    assert sdk.value("printer.connection.attempts", **where) == 1


def test_a_printer_that_refuses_is_a_failed_job(sdk: Sdk) -> None:
    kitchen = register(Network("127.0.0.1", free_port(), timeout=1), name="kitchen")
    with pytest.raises(Exception, match="Could not open socket"), print_job(kitchen) as job:
        ticket(kitchen)
    assert (job.outcome, job.error_type, job.partial) == ("failed", "connect_refused", False)
    with pytest.raises(PrintJobFailed, match="connect_refused"):
        job.raise_for_outcome()
    assert sdk.value("printer.connection.attempts", error__type="connect_refused") == 1
    assert sdk.value("printer.jobs", printer__job__outcome="failed", error__type="connect_refused") == 1


def test_a_second_attempt_to_connect_mends_the_first(sdk: Sdk, paper: VirtualPrinter) -> None:
    printer = Network("127.0.0.1", free_port(), timeout=1)
    with print_job(printer) as job:
        with pytest.raises(Exception, match="Could not open"):
            printer.open()
        printer.port = paper.port
        printer.open()
        ticket(printer)
    assert (job.outcome, job.error_type) == ("written", None)


def test_a_connection_that_breaks_while_writing_is_failed_and_partial(sdk: Sdk, paper: VirtualPrinter) -> None:
    paper.reset_at(100)
    printer = Network("127.0.0.1", paper.port, timeout=2)
    with pytest.raises(OSError), print_job(printer) as job:  # noqa: PT011
        for _ in range(2000):
            printer.text("x" * 1000)
    assert (job.outcome, job.error_type, job.partial) == ("failed", "reset", True)


def test_bytes_that_are_never_acknowledged_are_unknown(sdk: Sdk) -> None:
    """A full buffer behind a printer out of paper: written into this host's kernel is not written."""
    with VirtualPrinter(receive_buffer=64) as paper:
        paper.cover_open()
        printer = register(Network("127.0.0.1", paper.port, timeout=5), name="kitchen", proof="sent")
        started = time.monotonic()
        with print_job(printer, timeout=0.3) as job:
            printer._raw(b"x" * 200_000)
        assert 0.25 < time.monotonic() - started < 3
        assert (job.outcome, job.error_type) == ("unknown", "timeout")
        printer.device.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        printer.close()


def test_what_the_caller_raises_fails_the_job_unless_it_was_cut(sdk: Sdk, paper: VirtualPrinter) -> None:
    printer = Network("127.0.0.1", paper.port)
    with pytest.raises(ZeroDivisionError), print_job(printer) as half:
        printer.text("half")
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), print_job(printer) as cut:
        ticket(printer)
        raise ZeroDivisionError
    with pytest.raises(KeyboardInterrupt), print_job(printer) as stopped:
        raise KeyboardInterrupt
    printer.close()
    assert (half.outcome, half.error_type, half.partial) == ("failed", "application", True)
    assert (cut.outcome, cut.error_type) == ("unknown", "application")
    assert (stopped.outcome, stopped.error_type) == ("failed", "cancelled")


def test_escposio_that_cuts_after_an_exception_makes_no_receipt_of_it(sdk: Sdk, paper: VirtualPrinter) -> None:
    escpos.instrument(sdk.telemetry)
    printer = Network("127.0.0.1", paper.port)
    with pytest.raises(ZeroDivisionError), print_job(printer) as job, EscposIO(printer, autoclose=False) as out:
        out.writelines("half")
        raise ZeroDivisionError
    printer.close()
    assert (job.outcome, job.error_type) == ("failed", "application")


def test_a_print_job_is_used_once(sdk: Sdk, paper: VirtualPrinter) -> None:
    printer = Network("127.0.0.1", paper.port)
    with print_job(printer, timeout=5) as job:
        ticket(printer)
    with pytest.raises(RuntimeError, match="used once"), job:
        ticket(printer)
    printer.close()
    assert job.outcome == "written"
    assert len(paper.wait_for_receipts(1)) == 1


def test_a_printer_is_recorded_with_the_providers_of_now(sdk: Sdk, paper: VirtualPrinter) -> None:
    kitchen = register(Network("127.0.0.1", paper.port), name="kitchen")
    later = InMemoryMetricReader()
    for bound in (sdk.telemetry, telemetry.telemetry(sdk.tracer_provider, MeterProvider([later]))):
        telemetry.bind(bound)
        with print_job(kitchen, timeout=5):
            ticket(kitchen)
    kitchen.close()
    found = replace(sdk, reader=later)
    assert sdk.value("printer.jobs") == found.value("printer.jobs", printer__name="kitchen") == 1
    assert found.value("printer.io", network__io__direction="transmit") > 0


class Interruption(BaseException):
    """What a signal raises, as KeyboardInterrupt or the time-out of a server's worker."""


@contextlib.contextmanager
def interrupted(when: Callable[[], bool]) -> Iterator[None]:
    """Whatever the main thread does inside is interrupted a little after ``when()`` is true."""

    def interrupt(*_: object) -> None:
        raise Interruption

    def watch() -> None:
        deadline = time.monotonic() + 10
        while not when() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.3)
        signal.pthread_kill(main, signal.SIGUSR1)

    main = threading.main_thread().ident or 0
    before = signal.signal(signal.SIGUSR1, interrupt)
    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        watching.join()
        signal.signal(signal.SIGUSR1, before)


def test_a_job_that_is_interrupted_while_it_waits_for_its_turn_leaves_nothing(sdk: Sdk, paper: VirtualPrinter) -> None:
    kitchen = register(Network("127.0.0.1", paper.port), name="kitchen")
    began, finish = threading.Event(), threading.Event()

    def other() -> None:
        with print_job(kitchen, timeout=30):
            ticket(kitchen)
            began.set()
            finish.wait(30)

    thread = threading.Thread(target=other)
    thread.start()
    began.wait(10)
    around, job = context.get_current(), print_job(kitchen, timeout=5)
    known = printers.known[id(kitchen)]
    with pytest.raises(Interruption), interrupted(lambda: known.waiting.value() == 1), job:
        pytest.fail("it is not its turn")
    finish.set()
    thread.join()
    assert (job.outcome, job.error_type) == ("failed", "cancelled")
    assert context.get_current() is around
    assert not known.jobs, "its monitor would keep out for ever"
    assert sdk.value("printer.queue.length") == 0
    with print_job(kitchen, timeout=5) as following:
        ticket(kitchen)
    kitchen.close()
    assert following.outcome == "written"


def test_a_job_that_is_interrupted_while_it_waits_for_proof_is_in_doubt(sdk: Sdk, paper: VirtualPrinter) -> None:
    kitchen = register(Network("127.0.0.1", paper.port), name="kitchen", proof="process_id")
    paper.paper_out(after_dots=60)
    around = context.get_current()
    job = print_job(kitchen, timeout=30)
    with pytest.raises(Interruption), interrupted(lambda: b"\x1d(H" in paper.received), job:
        kitchen.text("line\n" * 40)
        kitchen.cut()
    assert (job.outcome, job.error_type) == ("unknown", "cancelled")
    assert context.get_current() is around
    paper.paper_in()
    with print_job(kitchen, timeout=5) as following:
        ticket(kitchen)
    kitchen.close()
    assert following.outcome == "confirmed"


@pytest.mark.anyio
async def test_the_async_form_prints_on_the_printers_own_thread(sdk: Sdk, paper: VirtualPrinter) -> None:
    kitchen = register(Network("127.0.0.1", paper.port), name="kitchen")
    threads: list[tuple[str, str | None]] = []

    def work(number: int) -> str:
        threads.append((threading.current_thread().name, correlation_id()))
        return ticket(kitchen)

    async def one(number: int) -> Outcome:
        async with print_job(kitchen, correlation_id=f"order-{number}") as job:
            assert await job.run(work, number) == "printed"
        return job.outcome

    assert await asyncio.gather(*(one(number) for number in range(5))) == ["written"] * 5
    kitchen.close()
    assert len({name for name, _ in threads}) == 1
    assert {identifier for _, identifier in threads} == {f"order-{n}" for n in range(5)}
    assert len(paper.wait_for_receipts(5)) == 5
    assert sdk.value("printer.queue.length") == 0
    assert sdk.value("printer.job.stage.duration", printer__job__stage="queue") == 5


@pytest.mark.anyio
async def test_a_cancelled_job_ends_once_its_thread_is_done(sdk: Sdk) -> None:
    printer, begun, go = Dummy(), threading.Event(), threading.Event()

    def work() -> None:
        printer.text("half")
        begun.set()
        go.wait(5)

    async def one() -> None:
        async with print_job(printer) as job:
            await job.run(work)

    first, second = asyncio.create_task(one()), asyncio.create_task(one())
    await asyncio.to_thread(begun.wait, 5)
    first.cancel()
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    assert sdk.spans("print job") == []
    go.set()
    for _ in range(200):
        await asyncio.sleep(0.01)
        if len(sdk.spans("print job")) == 2:
            break
    assert sdk.value("printer.jobs", printer__job__outcome="failed", error__type="cancelled") == 2
    assert sdk.value("printer.queue.length") == 0


@pytest.mark.anyio
async def test_a_job_cancelled_while_its_printer_is_not_ready_is_not_printed(
    sdk: Sdk, paper: VirtualPrinter, monkeypatch: pytest.MonkeyPatch
) -> None:
    kitchen = register(Network("127.0.0.1", paper.port), name="kitchen", proof="process_id")
    paper.paper_out()
    waiting, over = threading.Event(), threading.Event()

    def wait(_: float) -> None:
        """Until the next look: the printer is ready by then, and nobody wants the receipt any more."""
        waiting.set()
        over.wait(5)

    monkeypatch.setattr(proof, "time", SimpleNamespace(sleep=wait))

    async def one() -> None:
        async with print_job(kitchen, timeout=20) as job:
            await job.run(ticket, kitchen)

    task = asyncio.create_task(one())
    assert await asyncio.to_thread(waiting.wait, 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    paper.paper_in()
    over.set()
    async with print_job(kitchen) as next_one:  # which the first one keeps waiting no longer
        await next_one.run(ticket, kitchen)
    kitchen.close()
    assert next_one.outcome == "confirmed"
    assert len(paper.wait_for_receipts(1)) == 1
    assert sdk.value("printer.jobs", printer__job__outcome="failed", error__type="cancelled") == 1


@pytest.mark.anyio
async def test_a_call_that_found_its_printer_not_ready_can_be_made_again(sdk: Sdk, paper: VirtualPrinter) -> None:
    kitchen = register(Network("127.0.0.1", paper.port), name="kitchen", proof="process_id")
    paper.cover_open()
    async with print_job(kitchen, timeout=10) as job:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(job.run(ticket, kitchen), 0.5)
        paper.cover_close()
        await job.run(ticket, kitchen)
    async with print_job(kitchen, timeout=1.5) as refused:
        paper.cover_open()
        for _ in range(2):
            with pytest.raises(PrintJobFailed):
                await refused.run(ticket, kitchen)
    kitchen.close()
    assert (job.outcome, job.error_type) == ("confirmed", None)
    assert (refused.outcome, refused.error_type) == ("failed", "cover_open")
    assert len(paper.receipts) == 1


@pytest.mark.anyio
async def test_one_that_became_ready_in_time_for_another_call_has_not_failed(sdk: Sdk, paper: VirtualPrinter) -> None:
    kitchen = register(Network("127.0.0.1", paper.port), name="kitchen", proof="process_id")
    paper.cover_open()
    async with print_job(kitchen, timeout=6) as job:
        with pytest.raises(PrintJobFailed, match="cover_open"):
            await job.run(ticket, kitchen)
        paper.cover_close()
        await job.run(ticket, kitchen)
    kitchen.close()
    assert (job.outcome, job.error_type) == ("confirmed", None)
    assert len(paper.receipts) == 1


def test_of_several_failures_to_connect_the_first_is_told(sdk: Sdk) -> None:
    escpos.instrument(sdk.telemetry)
    printer = Network("127.0.0.1", free_port(), timeout=1)
    with print_job(printer, timeout=5) as job:
        for host in ("127.0.0.1", "no such host"):
            printer.host = host
            with pytest.raises(DeviceNotFoundError):
                printer.open()
    assert (job.outcome, job.error_type) == (Outcome.FAILED, "connect_refused")
    assert len(sdk.spans("printer connect")) == 2


def test_threads_take_turns_on_a_printer(sdk: Sdk, paper: VirtualPrinter) -> None:
    printer = Network("127.0.0.1", paper.port)

    def work(number: int) -> None:
        with print_job(printer):
            for _ in range(20):
                printer.text(f"{number}")
            printer.cut()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    printer.close()
    assert {receipt.lines[0] for receipt in paper.wait_for_receipts(4)} == {f"{n}" * 20 for n in range(4)}


def test_a_block_left_in_another_thread_gives_the_printer_back(sdk: Sdk, paper: VirtualPrinter) -> None:
    kitchen = register(Network("127.0.0.1", paper.port), name="kitchen", proof="process_id")

    def begin() -> PrintJob:
        job = print_job(kitchen).__enter__()
        ticket(kitchen)
        return job

    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        first = one.submit(begin).result(10)
        other.submit(first.__exit__, None, None, None).result(10)

        def second() -> Outcome:
            with print_job(kitchen) as job:
                ticket(kitchen)
            return job.outcome

        assert other.submit(second).result(10) == "confirmed"
    kitchen.close()
    assert first.outcome == "confirmed"


def test_blocks_that_overlap_in_one_thread_leave_nothing_behind(sdk: Sdk, paper: VirtualPrinter) -> None:
    kitchen = register(Network("127.0.0.1", paper.port), name="kitchen", proof="process_id")

    def overlap() -> tuple[PrintJob, PrintJob]:
        first, second = print_job(kitchen).__enter__(), print_job(kitchen).__enter__()
        first.__exit__(None, None, None)
        ticket(kitchen)
        second.__exit__(None, None, None)
        return first, second

    first, second = contextvars.copy_context().run(overlap)
    assert (first.outcome, second.outcome) == ("unknown", "confirmed")
    assert printers.known[id(kitchen)].job is None
    kitchen.close()


def test_any_transport_prints_and_is_let_go(sdk: Sdk) -> None:
    class Wire:
        def __init__(self) -> None:
            self.sent = b""

        def write(self, data: bytes) -> int:
            self.sent += data
            return len(data)

        def read(self, timeout: float) -> bytes:
            return b"\x12"

    before = dict(vars(Wire))
    bar = register(Wire(), name="bar", proof="sent")
    with print_job(bar) as job:
        assert bar.write(b"hello") == 5
        assert bar.read(0.1) == b"\x12"
    assert job.outcome == "written"
    assert sdk.value("printer.io", network__io__direction="transmit", printer__name="bar") == 5
    assert sdk.value("printer.io", network__io__direction="receive", printer__name="bar") == 1
    unwatch_classes()
    assert {name: vars(Wire)[name] for name in ("write", "read")} == {n: before[n] for n in ("write", "read")}


class Coroutines:
    async def write(self, data: bytes) -> None: ...

    async def read(self, _timeout: float) -> bytes:
        return b""


class Statics:
    @staticmethod
    def write(data: bytes) -> None: ...

    @staticmethod
    def read(timeout: float) -> bytes:
        return b""


@pytest.mark.parametrize(
    "transport",
    [Coroutines(), Statics(), SimpleNamespace(write=len, read=len), io.BytesIO()],
    ids=["coroutines", "static methods", "attributes", "built in"],
)
def test_what_cannot_be_watched_is_named_and_left_alone(transport: object) -> None:
    before = dict(vars(type(transport)))
    with pytest.raises(TypeError, match="cannot be watched: wrap it"):
        register(transport, name="bar")
    assert dict(vars(type(transport))) == before


def test_bad_arguments_are_named() -> None:
    with pytest.raises(TypeError, match="int is no printer"):
        print_job(7)
    with pytest.raises(ValueError, match="name must not be empty"):
        register(Dummy(), name="")
    with pytest.raises(ValueError, match="above zero"):
        print_job(Dummy(), timeout=0)
    for much in (float("inf"), float("nan"), 1e12):
        with pytest.raises(ValueError, match="a day at most"):
            print_job(Dummy(), timeout=much)
    job = print_job(Dummy())
    with pytest.raises(RuntimeError, match="begins with its block"):
        _ = job.outcome


def jobs(sdk: Sdk) -> list[object]:
    return [dict(span.attributes or {})["printer.job.outcome"] for span in sdk.spans("print job")]


def test_jobs_are_found_by_themselves(sdk: Sdk, paper: VirtualPrinter, monkeypatch: pytest.MonkeyPatch) -> None:
    escpos.instrument(sdk.telemetry)
    printer = Network("127.0.0.1", paper.port)
    printer.cashdraw(2)
    printer.hw("INIT")
    printer._raw(b"\x10\x04\x01")
    printer.close()
    assert jobs(sdk) == []
    printer.open()
    ticket(printer)
    assert jobs(sdk) == ["written"]
    printer.cashdraw(2)
    ticket(printer)
    printer._raw(b"\x1b@" + b"Hello " * 20 + b"\n\x1dV\x00")
    assert len(jobs(sdk)) == 3
    printer.text("never cut")
    printer.close()
    assert len(jobs(sdk)) == 4
    assert all((span.attributes or {})["printer.job.passive"] for span in sdk.spans("print job"))
    Dummy().text("rendered")
    assert len(jobs(sdk)) == 4

    monkeypatch.setattr(passive, "IDLE", 0.05)
    printer.open()
    printer.text("idle")
    for _ in range(300):
        time.sleep(0.01)
        if len(jobs(sdk)) == 5:
            break
    printer.close()
    assert jobs(sdk) == ["written"] * 5


def test_a_found_job_that_cannot_be_written_has_failed(sdk: Sdk) -> None:
    escpos.instrument(sdk.telemetry)
    with pytest.raises(Exception, match="Could not open"):
        Network("127.0.0.1", free_port(), timeout=1).text("lost")
    assert jobs(sdk) == ["failed"]
    assert sdk.value("printer.jobs", error__type="connect_refused") == 1


def test_a_driver_of_the_applications_own_needs_no_device_and_nothing_to_open(sdk: Sdk) -> None:
    class Bare(Escpos):
        sent = b""

        def _raw(self, msg: bytes) -> None:
            self.sent += msg

    class Opening(Bare):
        def open(self) -> None:
            self.wire = object()

    for kind, attempts in ((Bare, 0), (Opening, 1)):
        printer = register(kind(), name=kind.__name__)
        for _ in range(2):
            with print_job(printer) as job:
                ticket(printer)
            assert (job.outcome, job.error_type) == ("written", None)
        assert sdk.value("printer.connection.attempts", printer__name=kind.__name__) == attempts
        assert sdk.value("printer.connection.attempts", error__type="not_found") == 0
        assert printobs.health(printer).state != "unreachable"
