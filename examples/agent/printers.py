"""The branch's printers: each prints one job at a time, off the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import printobs
from examples import events
from examples.agent.cables import SerialPort, UsbDevice
from examples.agent.drivers import LONGEST, Driver
from examples.agent.hands import Dropped, Expired, Hand, Hands
from examples.agent.identity import serial_number
from examples.agent.journal import Journal, Unusable, Unwritable
from examples.agent.network import Tcp
from examples.agent.rendering import compose, recover
from examples.agent.settings import Address, PrinterSettings, SerialAddress, TcpAddress
from examples.jobs import wire

logger = logging.getLogger("agent")

_CHUNK: Final = 1024  # bytes of one write
_TAIL: Final = 64  # bytes that are not worth a write of their own: a cut stays in one piece
# Seconds that proof of an unknown job is waited for: as long as its connection is held, nobody else can print; and when
# the next job is there already.
PATIENCE: Final = 300.0
GRACE: Final = 2.0
_GLANCE: Final = 0.25
_AGAIN: Final = 1.0  # seconds until what the journal could not take is tried again

T = TypeVar("T")
Tell = Callable[[wire.Done], Awaitable[object]]
Prove = Callable[[str], Awaitable[None]]


class Rejected(Exception):  # noqa: N818 - reads as what happened
    """The content of a job cannot be rendered."""


class Printers:
    """The printers by name.

    ``tell`` is awaited with the outcome of each job, once that is durable; ``prove`` with each late proof.
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
            printobs.register(driver, name=name, branch=branch, proof=settings.proof, monitor=settings.monitor)
            self._printers[name] = _Printer(
                name, branch, settings.proof is not None, driver, journal, hands, tell, prove
            )

    async def run(self, hand: Hand, message: wire.Print) -> None:
        """Print a job, and tell how that ended.

        Raises `Dropped` where it has not begun and never will, and `Unwritable` or `Unusable` where the journal does
        not let it begin; never for what went wrong with the job itself.
        """
        printer = self._printers.get(message.printer)
        if printer is None:
            await self._tell(await asyncio.to_thread(self._hands.refuse, hand, "not_found"))
        else:
            await printer.run(hand, message)

    async def claims(self) -> tuple[wire.Printer, ...]:
        """The printers, with their serial numbers as far as they tell them."""
        serials = await asyncio.gather(*(printer.identify() for printer in self._printers.values()))
        return tuple(map(wire.Printer, self._printers, serials))

    def conditions(self) -> Iterator[wire.State]:
        """How the printers are, as far as that is known."""
        for name, printer in self._printers.items():
            known = printobs.health(printer.driver)
            yield wire.State(name, known.state.value, -1 if known.score is None else round(known.score))

    async def close(self) -> None:
        """Wait for no late proof any more."""
        for printer in self._printers.values():
            await printer.stop_watching(0.0)


class _Printer:
    def __init__(
        self,
        name: str,
        branch: str,
        proof: bool,
        driver: Driver,
        journal: Journal,
        hands: Hands,
        tell: Tell,
        prove: Prove,
    ) -> None:
        self.driver = driver
        self._branch = branch
        self._proof = proof
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
        self._serial = ""

    async def identify(self) -> str:
        """Its serial number, as it says now or has said last.

        Only a printer that answers GS ( H is asked: others might print the question.
        """
        if self._proof and not self._turn.locked() and (self._watching is None or self._watching[0].done()):
            async with self._turn:
                self._serial = await self._between(lambda: serial_number(self.driver)) or self._serial
        return self._serial

    async def run(self, hand: Hand, message: wire.Print) -> None:
        async with self._turn:
            await asyncio.to_thread(self._hands.check, hand)
            await self.stop_watching(GRACE)
            self.driver.begin(message.timeout)
            job = printobs.print_job(
                self.driver, kind=message.kind, timeout=message.timeout, reprint_of=message.reprint_of or None
            )
            trouble: Exception | None = None
            try:
                async with job:
                    await job.run(self._print, hand, message, job.id)
            except (Dropped, Unwritable, Unusable):
                await self._between(self.driver.abort)
                raise
            except Exception as error:
                trouble = error
                # Its text may quote the receipt.
                logger.warning("job %s on %s: %s", message.id, message.printer, type(error).__name__)
            if not hand.started:
                await self._between(self.driver.abort)
                done = await asyncio.to_thread(self._hands.refuse, hand, _reason(trouble, job.error_type))
            else:
                done = await self._ended(hand, job)
            self._log_done(message, done)
            await self._tell(done)
            if done.outcome == "unknown" and self.driver.is_open:
                self._watch(job, done.id)

    def _print(self, hand: Hand, message: wire.Print, nonce: str) -> None:
        """On the printer's own thread, once it is ready."""
        try:
            data = compose(message)
        except Exception as error:
            raise Rejected from error
        driver = self.driver
        driver.device  # noqa: B018 - connects: a printer that cannot be reached has begun nothing
        self._size, self._whole = max(self._torn, min(len(data), LONGEST)), False
        self._hands.begin(hand, nonce, self._size)
        events.log(logger, "job.started", self._described(message), "job %s on %s begins", message.id, message.printer)
        if self._torn:
            for chunk in _chunks(recover(self._torn)):
                driver._raw(chunk)
                if driver.arrives:  # what is slow gets there in the end
                    self._torn = max(1, self._torn - len(chunk))
        driver.begun = False
        for chunk in _chunks(data):
            driver._raw(chunk)
        self._whole = True

    def _described(self, message: wire.Print) -> dict[str, str | bool | int]:
        return {
            "job.id": message.id,
            "branch.name": self._branch,
            "printer.name": message.printer,
            "printer.job.kind": message.kind,
        }

    def _log_done(self, message: wire.Print, done: wire.Done) -> None:
        attributes = self._described(message)
        attributes |= {
            "printer.job.outcome": done.outcome,
            "error.type": done.error_type,
            "printer.job.window": done.window,
        }
        if done.outcome == "failed":
            attributes["printer.job.partial"] = done.partial
        values = (done.id, message.printer, done.outcome, done.error_type)
        events.log(logger, "job.done", attributes, "job %s on %s: %s %s", *values)

    async def _ended(self, hand: Hand, job: printobs.PrintJob) -> wire.Done:
        unknown = job.outcome is printobs.Outcome.UNKNOWN
        done = wire.Done(
            hand.id,
            job.outcome.value,
            job.error_type or "",
            job.outcome is printobs.Outcome.FAILED and self.driver.begun,
            self._window() if unknown else "",
        )
        if job.outcome in (printobs.Outcome.WRITTEN, printobs.Outcome.CONFIRMED):
            self._torn = 0
            await self._between(self.driver.close)
        else:
            if unknown or done.partial:
                self._torn = self._size
            # A connection that outlives the printer's power proves nothing any more.
            wait = unknown and self._whole and self.driver.ends_with_power
            if not wait or await self._between(job.wait_for_proof) is None:
                await self._between(self.driver.abort)
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
        return "printing" if self._proof else "arriving"

    # -- between two jobs ------------------------------------------------------------------------------------------

    async def _between(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    def _watch(self, job: printobs.PrintJob, identifier: str) -> None:
        """Wait for the proof of an unknown job on the connection that it went by, which ends with that."""
        over = threading.Event()
        asyncio.get_running_loop().call_later(PATIENCE, over.set)
        self._watching = asyncio.create_task(self._wait_for_proof(job, identifier, over)), over

    async def _wait_for_proof(self, job: printobs.PrintJob, identifier: str, over: threading.Event) -> None:
        def listen() -> bool:
            came: bool | None = False
            while came is False and not over.is_set():
                came = job.wait_for_proof(_GLANCE)
            return bool(came)

        came = await self._between(listen)
        await self._between(self.driver.abort)
        if came:
            self._torn = 0
            logger.info("job %s has come out after all", identifier)
            await self._prove(identifier)

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
