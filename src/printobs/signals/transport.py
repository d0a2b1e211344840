"""What every way to a printer has in common: bytes are written, some may be read, and a job wants to know of both."""

from __future__ import annotations

import functools
from _thread import get_ident
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from printobs.core.guard import Guard
from printobs.signals.conversation import REQUESTS

if TYPE_CHECKING:
    from printobs.signals.printers import Printer

_guard: Final = Guard("watching a printer's bytes")

_READ: Final = 16  # bytes that python-escpos's drivers read at once


@runtime_checkable
class Transport(Protocol):
    """Anything that takes a printer's bytes and can give its answers."""

    def write(self, data: bytes, /) -> object:
        """Send ``data`` whole, or raise."""

    def read(self, timeout: float, /) -> bytes:
        """What the printer sends within ``timeout`` seconds; empty where it sends nothing."""


def watched_write(
    original: Callable[..., Any],
    find: Callable[[object], Printer | None],
    before: Callable[[Printer, Any], None],
    after: Callable[[Printer, Any], None],
    failed: Callable[[Printer, Any, BaseException], None],
) -> Callable[..., Any]:
    """``original(self, data)`` with its bytes counted into the job under way; results and exceptions pass untouched.

    Without an explicit job, ``before``, ``after`` and ``failed`` are told, so that one may be found.
    """

    @functools.wraps(original)
    def write(self: Any, msg: Any) -> Any:
        printer = find(self)
        if printer is None:
            return original(self, msg)
        thread = get_ident()
        if printer.inside == thread:
            return original(self, msg)
        printer.inside = thread
        job = printer.job
        if job is None or job.passive:
            if printer.conversation is not None:
                printer.conversation.in_step = False
            before(printer, msg)
            job = printer.job
        began = perf_counter()
        try:
            result = original(self, msg)
        except BaseException as error:
            printer.inside = 0
            with _guard:
                if job is not None and not job.passive:
                    job.write_failed(error)
                else:
                    failed(printer, msg, error)
            printer.connecting = 0.0
            raise
        printer.inside = 0
        if len(msg) <= 3 and bytes(msg) in REQUESTS:
            with _guard:
                if printer.conversation is not None:
                    printer.conversation.overheard(bytes(msg))
        if job is None:
            printer.connecting = 0.0
            with _guard:
                printer.sent.add(len(msg))
            return result
        over = perf_counter()
        opening = printer.connecting
        if opening:
            printer.connecting = 0.0
            began += opening
        if not job.size:
            job.first = began
        job.size += len(msg)
        job.writing += over - began
        job.last = over
        job.message = msg
        job.after_failure = True
        if job.passive:
            after(printer, msg)
        return result

    return write


def watched_read(original: Callable[..., Any], find: Callable[[object], Printer | None]) -> Callable[..., Any]:
    """``original(self, …)`` with the bytes that it gives counted."""

    @functools.wraps(original)
    def read(self: Any, *args: Any, **kwargs: Any) -> Any:
        printer = conversation = None
        with _guard:
            printer = find(self)
            conversation = None if printer is None else printer.conversation
            if conversation is not None and conversation.unread:
                # It came while we listened, and is the application's.
                kept = bytes(conversation.unread[:_READ])
                del conversation.unread[:_READ]
                return kept  # was counted when it came
        while True:
            result = original(self, *args, **kwargs)
            if printer is None or not result:
                return result
            theirs = result
            with _guard:
                printer.received.add(len(result))
                if conversation is not None:
                    theirs = conversation.theirs(bytes(result))
            if theirs:
                return result if theirs == bytes(result) else theirs

    return read


_classes: Final[list[tuple[type, str, object, object]]] = []


def watch_class(cls: type, find: Callable[[object], Printer | None]) -> None:
    """Watch ``write`` and ``read`` of a `Transport`'s class; twice is once. Raises TypeError if it cannot."""
    makers: tuple[tuple[str, Callable[[Any], Any]], ...] = (
        ("write", lambda theirs: watched_write(theirs, find, _nothing, _nothing, _nothing)),
        ("read", lambda theirs: watched_read(theirs, find)),
    )
    for name, make in makers:
        owner = next(base for base in cls.__mro__ if name in vars(base))
        theirs = vars(owner)[name]
        if any(ours is theirs for _, _, _, ours in _classes):
            continue
        try:
            ours = make(theirs)
            setattr(owner, name, ours)
        except (TypeError, AttributeError) as error:
            raise TypeError(
                f"{cls.__qualname__}.{name} cannot be watched: wrap it in a class of your own with write and read"
            ) from error
        _classes.append((owner, name, theirs, ours))


def unwatch_classes() -> None:
    """Undo `watch_class`."""
    while _classes:
        owner, name, theirs, ours = _classes.pop()
        if vars(owner).get(name) is ours:
            setattr(owner, name, theirs)


def _nothing(*_: object) -> None:
    """A transport's jobs are explicit: none is found in what it writes."""
