"""Settings from environment variables: all that is wrong is said at once, with the variable's name."""

from __future__ import annotations

import os
import re
import sys
from typing import NoReturn


class Environment:
    """Takes variables one by one; `check` ends the process where one was wrong, and never shows a secret's value."""

    def __init__(self) -> None:
        self._wrong: list[str] = []

    def text(self, name: str, default: str | None = None) -> str:
        """A variable, or its default; missing without one is wrong."""
        value = os.environ.get(name) or default
        if value is None:
            self.refuse(name, "is not set")
            return ""
        return value

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``."""
        value = self.text(name, str(default))
        if not value.isascii() or not value.isdigit() or not low <= int(value) <= high:
            self.refuse(name, f"must be a whole number from {low} to {high}")
            return default
        return int(value)

    def names(self, name: str, pattern: str) -> frozenset[str]:
        """Names between commas, each of which matches; none by default."""
        values = frozenset(filter(None, map(str.strip, os.environ.get(name, "").split(","))))
        if not all(re.fullmatch(pattern, value) for value in values):
            self.refuse(name, f"must be a list between commas, of which each matches {pattern}")
        return values

    def refuse(self, name: str, why: str) -> None:
        """Remember that a variable is wrong."""
        self._wrong.append(f"{name} {why}")

    def check(self) -> None:
        """End the process with status 2 where a variable was wrong."""
        if self._wrong:
            stop("; ".join(self._wrong))


def stop(why: str) -> NoReturn:
    """End the process with status 2 and one line on standard error."""
    sys.stderr.write(why + "\n")
    raise SystemExit(2)
