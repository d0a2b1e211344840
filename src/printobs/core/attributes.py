"""Attribute values that somebody else chooses are bounded here before they become labels or span attributes."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from printobs.core.cells import overflowed
from printobs.core.conventions import ERROR_TYPE, OTHER
from printobs.core.locks import Lock

MAX_LENGTH: Final = 64

_lock: Final = Lock()


def clean(value: object, max_length: int = MAX_LENGTH) -> str:
    """``value`` as one short line: control and unprintable characters replaced, cut at ``max_length``."""
    text = (value if isinstance(value, str) else str(value))[:max_length]
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def one_of(values: type[StrEnum], value: object, other: str = OTHER) -> str:
    """``value`` where it is one of ``values``, else ``other``."""
    return str(value if value in list(values) else other)


class Bounded:
    """The first ``limit`` distinct values of ``attribute`` pass, cleaned; every later new one becomes ``_OTHER``.

    Each time that happens is counted, by the attribute.
    """

    __slots__ = ("_attribute", "_limit", "_max_length", "_seen")

    def __init__(self, attribute: str, limit: int, max_length: int = MAX_LENGTH) -> None:
        self._attribute = attribute
        self._limit = limit
        self._max_length = max_length
        self._seen: set[str] = set()

    def __call__(self, value: object) -> str:
        """The value to record for ``value``."""
        text = clean(value, self._max_length)
        if text in self._seen:
            return text
        with _lock:
            if text in self._seen or len(self._seen) < self._limit:
                self._seen.add(text)
                return text
        overflowed(self._attribute)
        return OTHER


_exceptions = Bounded(ERROR_TYPE, 100, max_length=128)


def error_type(error: BaseException) -> str:
    """``error.type`` of an exception: its qualified class name (OpenTelemetry semantic conventions, ``error.type``)."""
    kind = type(error)
    return _exceptions(kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}")
