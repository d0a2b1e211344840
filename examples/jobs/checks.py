"""Reading JSON that somebody else wrote: each value is taken by name, type and bounds, or refused with its field."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, Final, TypeVar

T = TypeVar("T")

DEEPEST: Final = 32  # arrays and objects in each other; a receipt has four
_STRINGS: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_BRACKETS: Final = re.compile(rb"[\[\]{}]")

_CONTEXT: Final = frozenset({"traceparent", "tracestate", "baggage"})  # in-band context, on any message


class Invalid(Exception):  # noqa: N818 - reads as what is wrong
    """A value that is not as agreed: ``field`` names it, as in ``receipt.elements[3].png``; neither quotes it."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field
        self.why = why


def parse(text: str | bytes) -> Any:
    """JSON as RFC 8259 has it: no NaN, no field twice, not nested too deep; raises `Invalid`."""
    if _deep(text):
        raise Invalid("body", "is nested too deep")
    try:
        return json.loads(text, parse_constant=_refuse, object_pairs_hook=_once)
    except UnicodeDecodeError:
        raise Invalid("body", "is not UTF-8") from None
    except ValueError:
        raise Invalid("body", "is not JSON") from None


def _deep(text: str | bytes) -> bool:
    """Whether it is nested deeper than `DEEPEST`. Known before it is parsed: a parser's stack stays in memory."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if data.count(b"[") + data.count(b"{") <= DEEPEST:
        return False
    depth = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", data)):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEEPEST:
            return True
    return False


def _refuse(_: str) -> Any:
    raise ValueError


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Invalid("body", "has a field twice")
    return found


class Fields:
    """The fields of one JSON object, taken one by one; `end` refuses what was not taken."""

    def __init__(self, value: object, where: str = "") -> None:
        if not isinstance(value, Mapping):
            raise Invalid(where or "body", "must be an object")
        self._rest = dict(value)
        self._where = where

    def path(self, name: str) -> str:
        """The full name of a field."""
        return f"{self._where}.{name}" if self._where else name

    def take(self, name: str, kind: type[T], default: T | None = None) -> T:
        """A value of exactly this type; raises `Invalid` where it is absent without a default, or another."""
        value = self._rest.pop(name, default)
        if value is None:
            raise Invalid(self.path(name), "is missing")
        if type(value) is not kind:
            raise Invalid(self.path(name), f"must be {_NAMES[kind]}")
        return value

    def text(self, name: str, longest: int, default: str | None = None, *, pattern: str = "") -> str:
        """Text of at most ``longest`` characters, at least one unless the default is empty."""
        value = self.take(name, str, default)
        if len(value) > longest:
            raise Invalid(self.path(name), f"is longer than {longest} characters")
        if not value and default != "":
            raise Invalid(self.path(name), "is empty")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Invalid(self.path(name), "is not Unicode text") from None
        if pattern and not re.fullmatch(pattern, value):
            raise Invalid(self.path(name), f"must match {pattern}")
        return value

    def choice(self, name: str, allowed: Collection[str], default: str | None = None) -> str:
        """One of ``allowed``."""
        value = self.take(name, str, default)
        if value not in allowed:
            raise Invalid(self.path(name), f"must be one of {', '.join(sorted(allowed))}")
        return value

    def integer(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number from ``low`` to ``high``."""
        value = self.take(name, int, default)
        if not low <= value <= high:
            raise Invalid(self.path(name), f"must be from {low} to {high}")
        return value

    def seconds(self, name: str, low: float, high: float, default: float) -> float:
        """A number from ``low`` to ``high``."""
        value = self._rest.pop(name, default)
        if type(value) not in (int, float) or not low <= value <= high:
            raise Invalid(self.path(name), f"must be a number from {low:g} to {high:g}")
        return float(value)

    def items(self, name: str, most: int, least: int = 0) -> list[Any]:
        """A list of ``least`` to ``most`` items."""
        value: list[Any] = self.take(name, list)
        if not least <= len(value) <= most:
            raise Invalid(self.path(name), f"must have {least} to {most} items")
        return value

    def end(self) -> None:
        """Refuse fields that nobody took, but for the in-band context of a message."""
        for name in self._rest.keys() - _CONTEXT:
            # The name is the sender's to choose: shortened, and not echoed where it is not plain.
            shown = name if re.fullmatch(r"[A-Za-z0-9_.-]{1,40}", name) else "…"
            raise Invalid(self.path(shown), "is not known here")


_NAMES: Final[dict[type, str]] = {
    str: "text", int: "a whole number", bool: "true or false", list: "a list", dict: "an object"
}  # fmt: skip
