"""python-escpos: all of its drivers, and the subclasses that applications write.

Each class's own ``_raw``, ``_read``, ``open``, ``close`` and ``cut`` are wrapped, so that a call through ``super()`` is
seen once. Not seen: methods of mixins that are no `Escpos`, ``partialmethod``, attributes set on an instance, and
classes whose parent overrides ``__init_subclass__`` without calling ``super()`` until one of them is constructed.
"""

from __future__ import annotations

import functools
import inspect
import sys
import weakref
from _thread import get_ident
from collections.abc import Callable, Iterator
from typing import Any, Final

from escpos.escpos import Escpos, EscposIO

from printobs.core import clock, conventions
from printobs.core.conventions import ERROR_TYPE, JobError, Stage
from printobs.core.guard import Guard
from printobs.core.telemetry import Telemetry
from printobs.integrations.escpos_channels import channel, limit
from printobs.integrations.escpos_visits import visit
from printobs.signals import job_errors, monitor, passive, printers
from printobs.signals.conversation import Channel
from printobs.signals.printers import Printer
from printobs.signals.transport import watched_read, watched_write

Function = Callable[..., Any]

_guard: Final = Guard("watching a printer")
_MARK: Final = "_printobs_watched"
_DRAIN: Final = 1.0  # seconds that a printer has to take what was sent before its connection is closed

_patches: Final[list[tuple[weakref.ref[Any], str, object, object]]] = []  # class, name, theirs (or _ABSENT), ours
_ABSENT: Final = object()
_instrumented: Telemetry | None = None


def instrument(telemetry: Telemetry) -> None:
    """Watch every driver, there already or made later, and find print jobs by themselves; twice is once."""
    global _instrumented
    if _instrumented is not None:
        return
    _instrumented = telemetry
    for printer in list(printers.known.values()):
        printer.use(telemetry)
    for cls in (Escpos, *_subclasses(Escpos)):
        _patch(cls)
    _set(Escpos, "__init__", _watched_init(Escpos.__init__))
    _set(Escpos, "__init_subclass__", classmethod(_init_subclass))
    _set(EscposIO, "__exit__", _watched_exit(EscposIO.__exit__))


def uninstrument() -> None:
    """Undo `instrument` and `attach`: every patched attribute is as it was; jobs that were found end."""
    global _instrumented
    _instrumented = None
    while _patches:
        reference, name, theirs, ours = _patches.pop()
        cls = reference()
        # Whoever patched after us holds ours, which then only passes on.
        if cls is None or vars(cls).get(name) is not ours:
            continue
        if theirs is _ABSENT:
            delattr(cls, name)
        else:
            setattr(cls, name, theirs)
    monitor.stop_all()
    passive.finish_all()


def attach(target: Escpos) -> Printer:
    """The printer of ``target``, whose classes are watched from now on, `instrument` or not."""
    _patch_all(type(target))
    return _know(target)


def _know(target: Any) -> Printer:
    printer = printers.known.get(id(target))
    if printer is not None:
        return printer
    printer = printers.know(target, _name(target), _device)
    printer.close = _close
    printer.limit = limit
    printer.visit = visit
    # What is rendered into memory is replayed elsewhere.
    printer.silent = any(cls.__name__ == "Dummy" for cls in type(target).__mro__)
    opens = inspect.unwrap(type(target).open) is not inspect.unwrap(Escpos.open)
    if opens and not printer.silent:
        printer.reach = _reach
    return printer


def _device(target: Any) -> object:
    return getattr(target, "_device", None) or None


def _reach(target: Any) -> Channel | None:
    printer = printers.known.get(id(target))
    if printer is not None and printer.refused and target._device is None:
        target._device = False  # after a failed attempt the driver would not try again
    unopened = getattr(target, "_device", None) is False
    try:
        device = target.device  # opens it, as the first write would
    except Exception:
        if unopened:
            target._device = False
        raise
    return None if device is None else channel(target, device)


def _close(target: Any) -> None:
    target.close()


def _name(target: Any) -> str:
    """What the printer is called until it is registered: where it is."""
    for name in ("host", "printer_name", "devfile"):
        value = getattr(target, name, None)
        if isinstance(value, str) and value:
            return f"{value}:{target.port}" if name == "host" and hasattr(target, "port") else value
    identifiers = getattr(target, "usb_args", None)
    if isinstance(identifiers, dict) and "idVendor" in identifiers:
        return f"usb:{identifiers['idVendor']:04x}:{identifiers.get('idProduct', 0):04x}"
    return type(target).__name__.lower()


def _meet(target: object) -> Printer | None:
    if _instrumented is not None:
        with _guard:
            return _know(target)
    return None


def _before(printer: Printer, message: Any) -> None:
    if _instrumented is not None:
        passive.writing(printer, message)


# -- patching ----------------------------------------------------------------------------------------------------------


def _subclasses(cls: type) -> Iterator[type]:
    subclass: type
    for subclass in cls.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def _patch_all(cls: type) -> None:
    for each in cls.__mro__:
        if Escpos in each.__mro__:
            _patch(each)


def _patch(cls: type) -> None:
    own = vars(cls)
    for name, watched in _WATCHED.items():
        theirs = own.get(name)
        # The mark first: this is asked anew for each job, and mostly answered by it.
        if theirs is None or hasattr(theirs, _MARK):
            continue
        if inspect.isfunction(theirs) and not getattr(theirs, "__isabstractmethod__", False):
            _set(cls, name, watched(theirs))


def _set(cls: type, name: str, ours: Any) -> None:
    theirs = vars(cls).get(name, _ABSENT)
    if inspect.isfunction(ours):
        setattr(ours, _MARK, True)
    setattr(cls, name, ours)
    _patches.append((weakref.ref(cls), name, theirs, ours))


def _init_subclass(cls: type, /, **kwargs: Any) -> None:
    super(Escpos, cls).__init_subclass__(**kwargs)
    with _guard:
        _patch(cls)


def _watched_init(original: Function) -> Function:
    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        with _guard:
            if _instrumented is not None:
                _patch_all(type(self))
        original(self, *args, **kwargs)

    return __init__


def _watched_open(original: Function) -> Function:
    @functools.wraps(original)
    def open(self: Any, *args: Any, **kwargs: Any) -> Any:
        printer = printers.known.get(id(self)) or _meet(self)
        if printer is not None and printer.monitor is not None:
            printer.monitor.give_way()
        if printer is None or printer.opening:
            return original(self, *args, **kwargs)
        unreached, printer.unreached = printer.unreached, None
        if unreached is not None:  # just now, on behalf of this job
            raise unreached
        printer.opening = True
        began = clock.monotonic()
        try:
            result = original(self, *args, **kwargs)
        except BaseException as error:
            with _guard:
                _opened(printer, began, job_errors.classify(error, Stage.CONNECT))
            raise
        finally:
            printer.opening = False
        with _guard:
            # A driver of the application's own may keep its device elsewhere; python-escpos's raise unless told not to.
            silent = not (args[0] if args else kwargs.get("raise_not_found", True))
            _opened(printer, began, JobError.NOT_FOUND if silent and _device(self) is None else None)
        return result

    return open


def _opened(printer: Printer, began: float, failure: JobError | None) -> None:
    ended = clock.monotonic()
    printer.refused = failure is not None
    if printer.inside == get_ident():
        printer.connecting += ended - began
    failed = {} if failure is None else {ERROR_TYPE: failure.value}
    counter = printer.telemetry.instruments.counter(conventions.PRINTER_CONNECTION_ATTEMPTS)
    counter.add(1, {**printer.attributes, **failed})
    if printer.job is not None:
        printer.job.connected(began, ended, failure)


def _watched_close(original: Function) -> Function:
    @functools.wraps(original)
    def close(self: Any, *args: Any, **kwargs: Any) -> Any:
        printer = printers.known.get(id(self))
        if printer is not None and printer.monitor is not None:
            printer.monitor.give_way()
        if printer is not None and printer.job is not None and not printer.opening:
            with _guard:
                if sys._getframe(1).f_code.co_name == "__del__":
                    passive.finish_later(printer)
                elif printer.job.passive:
                    passive.finish(printer)
                else:
                    printer.job.confirm()
        if printer is not None and printer.conversation is not None:
            with _guard:
                printer.conversation.drain(_DRAIN)
        return original(self, *args, **kwargs)

    return close


def _watched_cut(original: Function) -> Function:
    @functools.wraps(original)
    def cut(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return original(self, *args, **kwargs)
        finally:
            # Profiles without a cutter feed instead: no cut is among the bytes.
            with _guard:
                printer = printers.known.get(id(self))
                if printer is not None and printer.job is not None:
                    printer.job.has_cut()
                    passive.finish(printer)

    return cut


def _watched_exit(original: Function) -> Function:
    @functools.wraps(original)
    def __exit__(self: Any, kind: Any, error: Any, traceback: Any) -> Any:  # noqa: N807
        with _guard:
            printer = printers.known.get(id(self.printer))
            # It cuts what was begun, whatever was raised.
            if error is not None and printer is not None and printer.job is not None:
                printer.job.application_failed()
        return original(self, kind, error, traceback)

    return __exit__


_WATCHED: Final[dict[str, Callable[[Function], Function]]] = {
    "_raw": lambda theirs: watched_write(theirs, _meet, _before, passive.wrote, passive.failed),
    "_read": lambda theirs: watched_read(theirs, _meet),
    "open": _watched_open,
    "close": _watched_close,
    "cut": _watched_cut,
}
