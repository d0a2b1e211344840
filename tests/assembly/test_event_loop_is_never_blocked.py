"""Print jobs on an event loop: no blocking call is made on its thread, and a dead printer holds up no other.

The fixture makes blocking calls raise on a thread that runs a loop; what it cannot see (a lock written in C) shows in
how late the loop is.
"""

import asyncio
import contextlib
import gc
import os
import select
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from escpos.printer import Network

from printobs.assembly.printing import print_job, register
from printobs.core.conventions import Outcome
from printobs.integrations import escpos
from printobs.testing.virtual_printer import VirtualPrinter
from tests.conftest import Sdk

# python-escpos leaves the socket of a failed attempt to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
Printers = Callable[..., VirtualPrinter]

TIMEOUT = 3.0  # of the jobs: what a dead printer is waited for
LATE = 1.0  # seconds that the loop may be late on a busy machine; a blocked one is TIMEOUT late


_ASYNCIO = "shutdown_default_executor"  # of asyncio, when the loop is about to be closed


class BlockingError(RuntimeError):
    """A call that blocks was made on the thread of an event loop."""


class Watch:
    """Makes blocking calls raise where a loop runs, and remembers them: whoever guards may swallow what is raised."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.violations: list[str] = []
        for name in ("connect", "accept", "send", "sendall", "recv", "recv_into", "recvfrom", "sendto"):
            self._forbid(monkeypatch, socket.socket, name, lambda device, *_, **__: device.gettimeout() != 0.0)
        for name in ("getaddrinfo", "gethostbyname", "gethostbyaddr", "getfqdn"):
            self._forbid(monkeypatch, socket, name)
        self._forbid(monkeypatch, time, "sleep", lambda seconds: seconds > 0)
        self._forbid(monkeypatch, select, "select", lambda *args: (*args, None)[3] != 0)
        self._forbid(monkeypatch, select, "poll")
        # The loop's own waiting is the one that may be.
        for cls in {selectors.DefaultSelector, selectors.SelectSelector, selectors.PollSelector}:
            self._forbid(monkeypatch, cls, "select", lambda *_, **__: _caller(3) != "_run_once")
        for name in ("fsync", "fdatasync", "waitpid"):
            self._forbid(monkeypatch, os, name)
        # Event.wait, Future.result and Queue.get wait so too; and a thread's start, until it has begun to run.
        self._forbid(
            monkeypatch, threading.Condition, "wait", lambda _, timeout=None: timeout != 0 and _caller(4) != "start"
        )
        self._forbid(monkeypatch, threading.Thread, "join", lambda *_, **__: _caller(3) != _ASYNCIO)

    def _forbid(
        self,
        monkeypatch: pytest.MonkeyPatch,
        owner: Any,
        name: str,
        blocks: Callable[..., bool] = lambda *_, **__: True,
    ) -> None:
        original = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            if asyncio._get_running_loop() is not None and blocks(*args, **kwargs):
                self.violations.append(f"{getattr(owner, '__name__', owner)}.{name}, called by {_caller(2)}")
                raise BlockingError(self.violations[-1])
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, call)


def _caller(depth: int) -> str:
    return sys._getframe(depth).f_code.co_name


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    yield Watch(monkeypatch)
    escpos.uninstrument()
    gc.collect()  # the sockets of failed attempts, while their warnings are still ignored


async def lateness(over: asyncio.Event) -> float:
    """How late the loop was at most, in seconds."""
    loop, latest = asyncio.get_running_loop(), 0.0
    while not over.is_set():
        due = loop.time() + 0.01
        await asyncio.sleep(0.01)
        latest = max(latest, loop.time() - due)
    return latest


# -- the fixture itself ------------------------------------------------------------------------------------------------


def with_socket(call: Callable[[socket.socket], object]) -> object:
    """``call`` with a socket that has a byte to read, and room for one to write."""
    one, other = socket.socketpair()
    with one, other:
        os.write(other.fileno(), b"x")
        return call(one)


def read_at_once(device: socket.socket) -> None:
    device.setblocking(False)
    assert device.recv(1) == b"x"


VIOLATIONS: dict[str, Callable[[], object]] = {
    "connect": lambda: with_socket(lambda device: device.connect(("127.0.0.1", 1))),
    "create_connection": lambda: socket.create_connection(("127.0.0.1", 1)),
    "recv": lambda: with_socket(lambda device: device.recv(1)),
    "send": lambda: with_socket(lambda device: device.send(b"x")),
    "sendall": lambda: with_socket(lambda device: device.sendall(b"x")),
    "getaddrinfo": lambda: socket.getaddrinfo("localhost", 80),
    "sleep": lambda: time.sleep(0.001),
    "select": lambda: select.select([], [], [], 0.001),
    "poll": lambda: select.poll(),
    "selector": lambda: selectors.DefaultSelector().select(0.001),
    "fsync": lambda: os.fsync(1),
    "event": lambda: threading.Event().wait(0.001),
    "future": lambda: Future[None]().result(0.001),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_blocking_call_on_the_loop_raises(name: str, watch: Watch) -> None:
    async def violate() -> None:
        VIOLATIONS[name]()

    with pytest.raises(BlockingError):
        asyncio.run(violate())
    assert len(watch.violations) == 1


def test_what_does_not_block_and_what_other_threads_do_is_allowed(watch: Watch) -> None:
    async def behave() -> None:
        with_socket(read_at_once)
        select.select([], [], [], 0)
        await asyncio.to_thread(time.sleep, 0.001)
        await asyncio.to_thread(socket.getaddrinfo, "127.0.0.1", 80)

    asyncio.run(behave())
    time.sleep(0.001)
    assert watch.violations == []


def test_a_lock_that_is_waited_for_shows_in_the_loops_lateness(watch: Watch) -> None:
    async def violate() -> float:
        over = asyncio.Event()
        measuring = asyncio.create_task(lateness(over))
        await asyncio.sleep(0.02)
        lock = threading.Lock()
        lock.acquire()
        lock.acquire(timeout=LATE + 0.2)
        over.set()
        return await measuring

    assert asyncio.run(violate()) > LATE


# -- print jobs --------------------------------------------------------------------------------------------------------


def ticket(printer: Any, lines: int = 1) -> None:
    printer.text("2 x Ramen\n" * lines)
    printer.cut()


async def receipt(printer: Any, lines: int = 1) -> str:
    job = print_job(printer, timeout=TIMEOUT)
    with contextlib.suppress(Exception):
        async with job:
            await job.run(ticket, printer, lines)
    return job.outcome.value


@contextlib.contextmanager
def full_backlog() -> Iterator[int]:
    """A port whose connections are never accepted: one more attempt gets no answer at all."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            filling = stack.enter_context(socket.socket())
            filling.setblocking(False)
            filling.connect_ex(server.getsockname())
        yield server.getsockname()[1]


@contextlib.contextmanager
def deaf() -> Iterator[int]:
    """A port that accepts, and never reads."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("proof", [None, "process_id"])
def test_dead_printers_hold_up_neither_the_loop_nor_the_others(
    proof: Any, sdk: Sdk, virtual_printers: Printers, watch: Watch
) -> None:
    mute, slow, off = virtual_printers(), virtual_printers(speed=100.0), virtual_printers()
    mute.mute()
    off.power_off()
    healthy = {f"healthy {number}": virtual_printers() for number in range(3)}
    finished: list[str] = []

    with full_backlog() as unreachable, deaf() as never_reads:
        ports = {name: paper.port for name, paper in healthy.items()}
        ports |= {"mute": mute.port, "slow": slow.port, "off": off.port}
        ports |= {"unreachable": unreachable, "never reads": never_reads}
        printers = {
            name: register(Network("127.0.0.1", port, timeout=60), name=name, proof=proof)
            for name, port in ports.items()
        }

        async def work(name: str) -> list[str]:
            times, lines = (4, 1) if name in healthy else (1, 40_000 if name == "never reads" else 40)
            outcomes = [await receipt(printers[name], lines) for _ in range(times)]
            finished.append(name)
            return outcomes

        async def day() -> tuple[dict[str, list[str]], float]:
            over = asyncio.Event()
            measuring = asyncio.create_task(lateness(over))
            outcomes = await asyncio.gather(*map(work, printers))
            over.set()
            return dict(zip(printers, outcomes, strict=True)), await measuring

        outcomes, late = asyncio.run(day())
        for printer in printers.values():
            with contextlib.suppress(Exception):
                printer.close()

    assert watch.violations == []
    assert late < LATE
    well = Outcome.CONFIRMED.value if proof else Outcome.WRITTEN.value
    assert {name: outcomes[name] for name in healthy} == dict.fromkeys(healthy, [well] * 4)
    # Their four receipts each came out while the only one of these was still being waited for.
    assert max(map(finished.index, healthy)) < min(map(finished.index, ("unreachable", "never reads")))
    assert outcomes["unreachable"] == outcomes["off"] == ["failed"]
    assert outcomes["never reads"][0] in ("failed", "unknown")  # how much of it the kernel takes is not ours to say
    assert sdk.value("printer.jobs") == 4 * len(healthy) + 5


def test_a_job_behind_one_that_waits_is_cancelled_without_blocking(
    sdk: Sdk, virtual_printers: Printers, watch: Watch, tmp_path: Path
) -> None:
    paper = virtual_printers()
    paper.cover_open()
    kitchen = register(Network("127.0.0.1", paper.port, timeout=60), name="kitchen", proof="process_id")

    async def day() -> float:
        over = asyncio.Event()
        measuring = asyncio.create_task(lateness(over))
        first, second = (asyncio.create_task(receipt(kitchen)) for _ in range(2))
        await asyncio.sleep(0.3)
        second.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await second
        await asyncio.to_thread(paper.cover_close)
        assert await first == "confirmed"
        over.set()
        return await measuring

    assert asyncio.run(day()) < LATE
    assert watch.violations == []
    kitchen.close()
