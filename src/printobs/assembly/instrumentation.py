"""instrument() and uninstrument(): each library where it is installed, before or after the application imports it."""

from __future__ import annotations

import importlib
import sys
import threading
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from printobs.core import telemetry
from printobs.core.guard import Guard
from printobs.core.telemetry import Telemetry
from printobs.signals import event_loop, monitor, transport


@dataclass(frozen=True, slots=True)
class Library:
    """One library that printobs instruments: the module whose import makes it present, and our module for it."""

    name: str
    module: str
    integration: str


ESCPOS: Final = Library("python-escpos", "escpos.escpos", "printobs.integrations.escpos")
WEBSOCKETS: Final = Library("websockets", "websockets", "printobs.integrations.websockets")
STARLETTE: Final = Library("Starlette", "starlette.applications", "printobs.integrations.asgi")
STRUCTLOG: Final = Library("structlog", "structlog", "printobs.integrations.structlog")
LIBRARIES: Final = (ESCPOS, WEBSOCKETS, STARLETTE, STRUCTLOG)

_lock = threading.RLock()
# What each library is to be instrumented with; absent: it is not, and an import hook that still fires does nothing.
_wanted: dict[Library, Telemetry] = {}
_hooked: set[Library] = set()


def instrument(*, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None) -> None:
    """Instrument python-escpos, websockets, Starlette and structlog, where installed; never raises; twice is once.

    Nothing is imported that the application does not import itself (with ``wrapt``, which the extras bring; without
    it an installed library is imported now). For a provider not given, the application's global one is used, set now
    or later.
    """
    with Guard("instrumenting"):
        bound = telemetry.telemetry(tracer_provider, meter_provider)
        telemetry.bind(bound)
        for library in LIBRARIES:
            instrument_library(library, bound)


def uninstrument() -> None:
    """Undo `instrument`: every patched attribute is as it was, no printer is monitored and no event loop watched any
    more; never raises.
    """
    for library in LIBRARIES:
        uninstrument_library(library)
    monitor.stop_all()
    event_loop.stop_all()
    transport.unwatch_classes()
    telemetry.bind(None)


def instrument_library(library: Library, bound: Telemetry) -> None:
    """Instrument one library with ``bound``, now or when it is imported; never raises; twice is once."""
    with Guard(f"instrumenting {library.name}"), _lock:
        if library in _wanted:
            return
        _wanted[library] = bound
        if library.module in sys.modules:
            _apply(library)
        elif find_spec(library.module.partition(".")[0]) is not None:
            _on_import(library)


def uninstrument_library(library: Library) -> None:
    """Undo `instrument_library`; never raises."""
    with Guard(f"restoring {library.name}"), _lock:
        if _wanted.pop(library, None) is not None and library.integration in sys.modules:
            importlib.import_module(library.integration).uninstrument()


def _apply(library: Library) -> None:
    with Guard(f"instrumenting {library.name}"), _lock:
        bound = _wanted.get(library)
        if bound is not None:
            importlib.import_module(library.integration).instrument(bound)


def _on_import(library: Library) -> None:
    try:
        from wrapt import register_post_import_hook
    except ImportError:
        importlib.import_module(library.module)
        _apply(library)
        return
    if library not in _hooked:  # A hook cannot be taken back, so there is one for good.
        _hooked.add(library)
        register_post_import_hook(lambda _module: _apply(library), library.module)
