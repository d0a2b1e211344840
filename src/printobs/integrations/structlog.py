"""structlog's events know their trace, their span and their correlation ID, whatever renders them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from structlog import BoundLoggerBase

from printobs.core.guard import Guard
from printobs.signals.correlation import log_fields

if TYPE_CHECKING:
    from printobs.core.telemetry import Telemetry

_guard: Final = Guard("describing an event of structlog")

_original: Any = None
_patched: Any = None


def instrument(_bound: Telemetry) -> None:
    """Give every event ``trace_id``, ``span_id`` and ``correlation_id``, where there are such; twice is once.

    They come before the processors, and never in place of what the application has bound or given by these names.
    """
    global _original, _patched
    if _original is not None:
        return
    original = BoundLoggerBase._process_event

    @functools.wraps(original)
    def process_event(
        self: BoundLoggerBase, method_name: str, event: str | None, event_kw: dict[str, Any]
    ) -> tuple[Any, Any]:
        if _patched is not process_event:  # undone, but held by whoever patched after us
            return original(self, method_name, event, event_kw)
        with _guard:
            event_kw = {**{name: value for name, value in log_fields() if name not in self._context}, **event_kw}
        return original(self, method_name, event, event_kw)

    _original, _patched = original, process_event
    BoundLoggerBase._process_event = process_event  # type: ignore[method-assign]


def uninstrument() -> None:
    """Undo `instrument`."""
    global _original, _patched
    if _original is not None:
        # Whoever patched after us holds ours, and theirs stays.
        if BoundLoggerBase._process_event is _patched:
            BoundLoggerBase._process_event = _original  # type: ignore[method-assign]
        _original = _patched = None
