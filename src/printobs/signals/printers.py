"""The printers that are known, and what belongs to each: its labels, its job under way, a thread of its own."""

from __future__ import annotations

import functools
import os
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

from printobs.core import conventions, telemetry
from printobs.core.attributes import Bounded, clean
from printobs.core.conventions import BRANCH, JOB_KIND, PRINTER
from printobs.core.locks import Lock
from printobs.core.telemetry import Telemetry
from printobs.signals import printer_health
from printobs.signals.conversation import ANSWER, Channel, Conversation, Habits, Unreachable
from printobs.signals.jobs import Job
from printobs.signals.printer_health import PrinterHealth
from printobs.signals.turn import Turn

if TYPE_CHECKING:
    from printobs.signals.monitor import Monitor

T = TypeVar("T")

_names: Final = Bounded(PRINTER, 500)
_branches: Final = Bounded(BRANCH, 500)
_thread_lock: Final = Lock()  # its monitor and its jobs may want the thread at once


class Printer:
    """One printer, real or not: ``device()`` gives the socket, port or file its bytes go through, if it is open."""

    kinds: Final = Bounded(JOB_KIND, 32)

    def __init__(self, target: object, name: str, branch: str, device: Callable[[Any], object]) -> None:
        self.attributes = {PRINTER: _names(name)}
        if branch:
            self.attributes[BRANCH] = _branches(branch)
        self.driver = clean(type(target).__qualname__)
        self.registered = False
        self.proof = ""  # how it proves that it has printed, as registered
        self.habits = Habits()
        self.refused = False  # the last attempt to open its connection failed
        self.unreached: BaseException | None = None  # why it could not be reached; whoever writes next is told
        # Opens its connection; gives its channel where it has two directions.
        self.reach: Callable[[Any], Channel | None] = lambda _: None
        self.close: Callable[[Any], object] = lambda _: None  # where its connection can be made anew
        # Bounds its calls to so many seconds; gives what undoes that.
        self.limit: Callable[[Any, float], Callable[[], None]] = lambda *_: _unlimited
        # Makes it ready to be opened for a question; gives what closes it again, None where that must not be.
        # Without it, whether its connection is open is its own matter.
        self.visit: Callable[[Any], Callable[[], None] | None] | None = None
        self.health = PrinterHealth(self.attributes)
        self.monitor: Monitor | None = None
        self.jobs: weakref.WeakSet[object] = weakref.WeakSet()  # the explicit ones, waiting or under way
        self._conversation: tuple[object, Conversation] | None = None
        self.job: Job | None = None
        self.inside = 0  # the thread that is inside a write: a driver's write may call its base class's
        self.connecting = 0.0  # seconds that this write spent in opening the connection
        self.armed_at = 0.0  # when settings came that may belong to the next job
        self.silent = False  # jobs are not found in it by themselves
        self.opening = False
        self.turn = Turn()
        self._target = weakly(target, functools.partial(_forget, id(target)))
        self._device = device
        self._executor: ThreadPoolExecutor | None = None
        self._process = os.getpid()
        self.use(telemetry.current())

    def use(self, bound: Telemetry) -> None:
        """Record with ``bound`` from now on."""
        self.telemetry = bound
        io = bound.instruments.cells(conventions.PRINTER_IO)
        self.sent = io.cell({**self.attributes, conventions.IO_DIRECTION: conventions.Direction.TRANSMIT.value})
        self.received = io.cell({**self.attributes, conventions.IO_DIRECTION: conventions.Direction.RECEIVE.value})
        self.waiting = bound.instruments.cells(conventions.PRINTER_QUEUE_LENGTH).cell(self.attributes)
        if self.registered:
            self.health.use(bound)

    def limited(self, seconds: float) -> Callable[[], None]:
        """Let none of its calls last longer than ``seconds``; gives what undoes that."""
        target = self._target()
        return _unlimited if target is None else self.limit(target, seconds)

    def converse(self, *, renew: Conversation | None = None, abort: bool = False) -> Conversation | None:
        """The conversation on its connection, which is opened if it is not; ``None`` where it only takes bytes.

        ``renew``: the conversation whose connection is to be closed first, and what it holds thrown away where nothing
        arrives any more, or where that is wanted (``abort``). Raises `Unreachable` when the driver cannot connect.
        """
        target = self._target()
        if target is None:
            return None
        if renew is not None:
            self._conversation = None
            if abort or renew.stalled:
                renew.abort()
            else:
                renew.drain(ANSWER)
            self.close(target)
        try:
            channel = self.reach(target)
        except Exception as error:
            raise Unreachable from error
        device = self.device()  # not the target in its place: nothing would ever let go of it
        if channel is None:
            return None
        if self._conversation is None or self._conversation[0] is not device:
            self._conversation = device, Conversation(channel, self.habits, self._exchanged)
        return self._conversation[1]

    def _exchanged(self, sent: int, received: int) -> None:
        if sent:
            self.sent.add(sent)
        if received:
            self.received.add(received)

    @property
    def conversation(self) -> Conversation | None:
        """The conversation on the connection that is open, if there is one already."""
        if self._conversation is None or self._conversation[0] is not self.device():
            return None
        return self._conversation[1]

    def visited(self) -> Callable[[], None] | None:
        """Make it ready to be opened for a question; gives what closes it again, ``None`` where that must not be."""
        target = self._target()
        if target is None or self.visit is None:
            return None
        self._conversation = None
        return self.visit(target)

    def drained(self, timeout: float) -> None:
        """End the conversation on a connection that is to be closed now."""
        conversation, self._conversation = self._conversation, None
        if conversation is not None:
            conversation[1].drain(timeout)

    def rename(self, name: str, branch: str) -> None:
        """Give it the labels that its user has chosen."""
        self.attributes = {PRINTER: _names(name), **({BRANCH: _branches(branch)} if branch else {})}
        self.registered = True
        self.health = printer_health.shared(self.attributes)
        self.use(telemetry.current())

    def device(self) -> object:
        """What the bytes go through at the moment; ``None`` where nothing is open or known."""
        target = self._target()
        return None if target is None else self._device(target)

    @property
    def thread(self) -> ThreadPoolExecutor:
        """The printer's own thread, made when it is first used (anew in a forked child)."""
        with _thread_lock:
            if self._executor is None or self._process != os.getpid():
                self._process = os.getpid()
                self._executor = ThreadPoolExecutor(1, thread_name_prefix=f"printer {self.attributes[PRINTER]}")
            return self._executor

    def forgotten(self) -> None:
        """Its target is gone. May run inside any lock, and takes none of ours."""
        if self.monitor is not None:
            self.monitor.stop()
            self.monitor = None
        self.health = PrinterHealth(self.attributes)  # that of its labels has no series without it
        if self._executor is not None:
            self._executor.shutdown(wait=False)


def _unlimited() -> None:
    """Nothing to undo."""


def weakly(target: T, gone: Callable[[object], None] | None = None) -> Callable[[], T | None]:
    """Gives ``target`` while somebody else holds it, and calls ``gone`` then; where its slots leave no place for such a
    reference (``__weakref__``), it lives as long as this.
    """
    try:
        return weakref.ref(target, gone)
    except TypeError:
        return lambda: target


known: Final[dict[int, Printer]] = {}


def _forget(key: int, _gone: object, known: dict[int, Printer] = known) -> None:  # also when the process ends
    printer = known.pop(key, None)
    if printer is not None:
        printer.forgotten()


def know(target: object, name: str, device: Callable[[Any], object], branch: str = "") -> Printer:
    """The printer of ``target``, made when it is first seen."""
    printer = known.get(id(target))
    if printer is None:
        printer = known.setdefault(id(target), Printer(target, name, branch, device))
    return printer
