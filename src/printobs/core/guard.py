"""One guard around all telemetry code: what fails inside it never reaches the application.

``Exception`` is swallowed, ``BaseException`` is not (cancellation, interrupts and exits are the application's).
Each is counted; each cause is logged once, by its type and place only: an exception's own text may quote a receipt.
"""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Final

from printobs.core import conventions
from printobs.core.attributes import error_type
from printobs.core.cells import Cell, Family

logger = logging.getLogger("printobs")

_MAX_CAUSES: Final = 256
_seen: set[tuple[str, str, str]] = set()

# Of the process: in every meter provider's metrics.
ERRORS: Final = Family(Cell, conventions.ERRORS.name)


def swallow(doing: str, error: Exception) -> None:
    """Count ``error``, and log it once for its cause: what was being done, its type, and the line that raised it."""
    try:
        ERRORS.cell({conventions.DOING: doing, conventions.ERROR_TYPE: error_type(error)}).add()
        cause = (doing, type(error).__qualname__, _place(error.__traceback__))
        if cause in _seen or len(_seen) >= _MAX_CAUSES:
            return
        _seen.add(cause)
        logger.warning("telemetry failed while %s: %s at %s (the application is not affected)", *cause)
    except Exception:
        pass


def _place(traceback: TracebackType | None) -> str:
    place = "unknown"
    while traceback is not None:
        code = traceback.tb_frame.f_code
        place = f"{code.co_filename}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place


class Guard:
    """A reusable, re-entrant context manager: ``with Guard("recording a job"): …``."""

    __slots__ = ("doing",)

    def __init__(self, doing: str) -> None:
        self.doing = doing

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if isinstance(error, Exception):
            swallow(self.doing, error)
            return True
        return False
