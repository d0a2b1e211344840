"""What every way to a printer has in common: bytes are written, some may be read, and a job wants to know of both."""

from __future__ import annotations

import functools
import inspect
from _thread import get_ident
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from printobs.core.guard import Guard, swallow
from printobs.signals import printers
from printobs.signals.conversation import REQUESTS

if TYPE_CHECKING:
    from printobs.signals.printers import Printer

_DOING: Final = "watching a printer's bytes"
_guard: Final = Guard(_DOING)

_known: Final = printers.known.get

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
    meet: Callable[[object], Printer | None],
    before: Callable[[Printer, Any], None],
    after: Callable[[Printer, Any], None],
    failed: Callable[[Printer, Any, BaseException], None],
) -> Callable[..., Any]:
    """``original(self, data)`` with its bytes counted into the job under way; results and exceptions pass untouched.

    ``meet`` is asked for the printer of an object that none is known of; ``None``: nothing of it is to be counted.
    Without an explicit job, ``before``, ``after`` and ``failed`` are told, so that one may be found.
    """
    message, only = _message(original)
    if only:
        return functools.wraps(original)(_watched_write(original, meet, before, after, failed))

    @functools.wraps(original)
    def write(self: Any, *args: Any, **kwargs: Any) -> Any:
        def call(target: Any, _: Any) -> Any:
            return original(target, *args, **kwargs)

        if not args and message not in kwargs:
            return original(self, *args, **kwargs)  # which raises
        return _watched_write(call, meet, before, after, failed)(self, args[0] if args else kwargs[message])

    return write


def _message(original: Callable[..., Any]) -> tuple[str, bool]:
    """What ``original`` calls its data, and whether that is ``msg``, as in python-escpos, and all that it takes."""
    parameters = [*inspect.signature(original).parameters.values()][1:]
    only = [(each.name, each.kind, each.default) for each in parameters] == [
        ("msg", inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.empty)
    ]
    return parameters[0].name if parameters else "", only


def _watched_write(
    original: Callable[[Any, Any], Any],
    meet: Callable[[object], Printer | None],
    before: Callable[[Printer, Any], None],
    after: Callable[[Printer, Any], None],
    failed: Callable[[Printer, Any, BaseException], None],
) -> Callable[[Any, Any], Any]:
    # On the hot path: an exact signature, since *args cost as much again as all the rest, and known printers without a
    # call of ours.
    def write(self: Any, msg: Any) -> Any:
        printer = _known(id(self)) or meet(self)
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
            if printer.monitor is not None:
                printer.monitor.give_way()
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
        try:
            size = len(msg)
            if size <= 3 and bytes(msg) in REQUESTS and printer.conversation is not None:
                printer.conversation.overheard(bytes(msg))
            if job is None:
                printer.connecting = 0.0
                printer.sent.add(size)
                return result
            over = perf_counter()
            opening = printer.connecting
            if opening:
                printer.connecting = 0.0
                began += opening
            if not job.size:
                job.first = began
            job.size += size
            job.writing += over - began
            job.last = over
            job.message = msg
            job.after_failure = True
            if job.passive:
                after(printer, msg)
        except Exception as error:  # a driver of the application's own may take what has no bytes
            if job is not None:
                job.after_failure = True
            swallow(_DOING, error)
        return result

    return write


def watched_read(original: Callable[..., Any], meet: Callable[[object], Printer | None]) -> Callable[..., Any]:
    """``original(self, …)`` with the bytes that it gives counted."""

    @functools.wraps(original)
    def read(self: Any, *args: Any, **kwargs: Any) -> Any:
        printer = conversation = None
        with _guard:
            printer = _known(id(self)) or meet(self)
            if printer is not None and printer.monitor is not None:
                printer.monitor.give_way()
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


def watch_class(cls: type) -> None:
    """Watch ``write`` and ``read`` of a `Transport`'s class; twice is once. Raises TypeError if it cannot."""
    makers: tuple[tuple[str, Callable[[Any], Any]], ...] = (
        ("write", lambda theirs: watched_write(theirs, _nothing, _nothing, _nothing, _nothing)),
        ("read", lambda theirs: watched_read(theirs, _nothing)),
    )
    for name, make in makers:
        owner = next((base for base in cls.__mro__ if name in vars(base)), cls)
        theirs = vars(owner).get(name)
        if any(ours is theirs for _, _, _, ours in _classes):
            continue
        try:
            if not inspect.isfunction(theirs) or inspect.iscoroutinefunction(theirs):
                raise TypeError("it is no method of the class that returns when it is done")
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
    """A transport's printers and jobs are explicit: none is found in what it writes."""
