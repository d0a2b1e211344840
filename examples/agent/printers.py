"""The branch's printers: each prints one job at a time, off the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import printobs
from examples.agent import late
from examples.agent.cables import SerialPort, UsbDevice
from examples.agent.drivers import LONGEST, Driver
from examples.agent.hands import Dropped, Expired, Hand, Hands
from examples.agent.journal import Journal, Unusable, Unwritable
from examples.agent.network import Tcp
from examples.agent.rendering import compose, recover
from examples.agent.settings import Address, PrinterSettings, SerialAddress, TcpAddress
from examples.jobs import wire

logger = logging.getLogger("agent")

_CHUNK: Final = 1024  # bytes of one write
_TAIL: Final = 64  # bytes that are not worth a write of their own: a cut stays in one piece
_AGAIN: Final = 1.0  # seconds until what the journal could not take is tried again

Tell = Callable[[str, wire.Done], Awaitable[None]]
Prove = Callable[[str], Awaitable[None]]


class Rejected(Exception):  # noqa: N818 - reads as what happened
    """The content of a job cannot be rendered."""


class Printers:
    """The printers by name.

    ``tell`` is awaited with the printer and the outcome of each job, once that is durable; ``prove`` with each late
    proof.
    """

    def __init__(
        self,
        branch: str,
        printers: Mapping[str, PrinterSettings],
        journal: Journal,
        hands: Hands,
        tell: Tell,
        prove: Prove,
    ) -> None:
        self._hands = hands
        self._tell = tell
        self._printers: dict[str, _Printer] = {}
        for name, settings in printers.items():
            driver = _driver(settings.address)
            printobs.register(driver, name=name, branch=branch, proof=settings.proof)
            self._printers[name] = _Printer(name, driver, journal, hands, tell, prove)

    async def run(self, hand: Hand, message: wire.Print) -> None:
        """Print a job, and tell how that ended.

        Raises `Dropped` where it has not begun and never will, and `Unwritable` or `Unusable` where the journal does
        not let it begin; never for what went wrong with the job itself.
        """
        printer = self._printers.get(message.printer)
        if printer is None:
            await self._tell(message.printer, await asyncio.to_thread(self._hands.refuse, hand, "not_found"))
        else:
            await printer.run(hand, message)

    async def close(self) -> None:
        """Wait for no late proof any more."""
        for printer in self._printers.values():
            await printer.stop_watching(0.0)


class _Printer:
    def __init__(self, name: str, driver: Driver, journal: Journal, hands: Hands, tell: Tell, prove: Prove) -> None:
        self._driver = driver
        self._hands = hands
        self._tell = tell
        self._prove = prove
        self._turn = asyncio.Lock()
        # Of its own, since it may wait for long; the library's is the jobs'.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"{name} between jobs")
        self._watching: tuple[asyncio.Task[None], threading.Event] | None = None
        torn = journal.torn(name)
        self._torn = driver.past if torn is None else torn  # bytes that it may still wait for
        self._size = 0  # bytes that it may wait for, should the job under way be torn
        self._whole = False  # all of them were written

    async def run(self, hand: Hand, message: wire.Print) -> None:
        async with self._turn:
            await asyncio.to_thread(self._hands.check, hand)
            await self.stop_watching(late.GRACE)
            self._driver.begin(message.timeout)
            job = printobs.print_job(self._driver, kind=message.kind, timeout=message.timeout)
            trouble: Exception | None = None
            try:
                async with job:
                    await job.run(self._print, hand, message, job.id)
            except (Dropped, Unwritable, Unusable):
                await self._between(self._driver.abort)
                raise
            except Exception as error:
                trouble = error
                # Its text may quote the receipt.
                logger.warning("job %s on %s: %s", message.id, message.printer, type(error).__name__)
            if not hand.started:
                await self._between(self._driver.abort)
                done = await asyncio.to_thread(self._hands.refuse, hand, _reason(trouble, job.error_type))
            else:
                done = await self._ended(hand, job.outcome, job.error_type or "")
            logger.info("job %s on %s: %s %s", done.id, message.printer, done.outcome, done.error_type)
            await self._tell(message.printer, done)
            if self._provable(done):
                self._watch(done.id)

    def _print(self, hand: Hand, message: wire.Print, nonce: str) -> None:
        """On the printer's own thread, once it is ready."""
        try:
            data = compose(message)
        except Exception as error:
            raise Rejected from error
        driver = self._driver
        driver.device  # noqa: B018 - connects: a printer that cannot be reached has begun nothing
        self._size, self._whole = max(self._torn, min(len(data), LONGEST)), False
        self._hands.begin(hand, nonce, self._size)
        if self._torn:
            for chunk in _chunks(recover(self._torn)):
                driver._raw(chunk)
                if driver.arrives:  # what is slow gets there in the end
                    self._torn = max(1, self._torn - len(chunk))
        driver.begun = False
        for chunk in _chunks(data):
            driver._raw(chunk)
        self._whole = True

    async def _ended(self, hand: Hand, outcome: printobs.Outcome, error_type: str) -> wire.Done:
        done = wire.Done(
            hand.id,
            outcome.value,
            error_type,
            outcome is printobs.Outcome.FAILED and self._driver.begun,
            "" if outcome is not printobs.Outcome.UNKNOWN else self._window(),
        )
        if outcome in (printobs.Outcome.WRITTEN, printobs.Outcome.CONFIRMED):
            self._torn = 0
            await self._between(self._driver.close)
        else:
            if done.outcome == "unknown" or done.partial:
                self._torn = self._size
            if not self._provable(done):
                await self._between(self._driver.abort)
        while True:
            try:
                await asyncio.to_thread(self._hands.end, hand, done)
            except Unwritable as error:
                logger.error("the journal cannot take how job %s ended (%s): trying again", done.id, error)
                await asyncio.sleep(_AGAIN)
            else:
                return done

    def _window(self) -> str:
        if not self._whole:
            return "writing"
        return "printing" if self._driver.asked else "arriving"

    def _provable(self, done: wire.Done) -> bool:
        """Whether proof of this job may still come."""
        return done.outcome == "unknown" and self._whole and bool(self._driver.asked)

    # -- between two jobs ------------------------------------------------------------------------------------------

    async def _between(self, function: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, function)

    def _watch(self, job: str) -> None:
        """Wait for the proof of an unknown job on the connection that it went by, which ends with that."""
        over = threading.Event()
        asyncio.get_running_loop().call_later(late.PATIENCE, over.set)
        self._watching = asyncio.create_task(self._wait_for_proof(job, over)), over

    async def _wait_for_proof(self, job: str, over: threading.Event) -> None:
        came = await asyncio.get_running_loop().run_in_executor(self._thread, late.proved, self._driver, over)
        await self._between(self._driver.abort)
        if came:
            self._torn = 0
            logger.info("job %s has come out after all", job)
            await self._prove(job)

    async def stop_watching(self, grace: float) -> None:
        """Wait for a late proof ``grace`` seconds longer, then no more."""
        if self._watching is None:
            return
        (task, over), self._watching = self._watching, None
        await asyncio.wait({task}, timeout=grace)
        over.set()
        await task


def _reason(trouble: Exception | None, error_type: str | None) -> str:
    """The ``error.type`` of a job that failed before its first byte."""
    if isinstance(trouble, Expired):
        return "expired"
    return "rejected" if isinstance(trouble, Rejected) else error_type or "other"


def _chunks(data: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        end = len(data) if len(data) - start <= _CHUNK + _TAIL else start + _CHUNK
        yield data[start:end]
        start = end


def _driver(address: Address) -> Driver:
    if isinstance(address, TcpAddress):
        return Tcp(address.host, address.port)
    if isinstance(address, SerialAddress):
        return SerialPort(address.device, address.baudrate)
    return UsbDevice(address.vendor, address.product)
