"""The time of day, as the deadlines of jobs need it: it follows the machine's clock, and does not jump with it."""

from __future__ import annotations

import logging
import time
from typing import Final

logger = logging.getLogger("service")

JUMP: Final = 2.0  # seconds between two looks that no correction of a running clock makes


class Clock:
    """Seconds since 1970. A clock that somebody sets must neither expire jobs nor keep them for ever."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()
        self._jumped = False

    def now(self) -> float:
        """The time; never earlier than before by more than `JUMP`."""
        return time.monotonic() + self._offset

    def follow(self) -> None:
        """Take over small corrections of the machine's clock; to be called every few seconds at least."""
        offset = time.time() - time.monotonic()
        if abs(offset - self._offset) < JUMP:
            self._offset, self._jumped = offset, False
        elif not self._jumped:
            self._jumped = True
            jump = offset - self._offset
            logger.warning("this machine's clock was set by %+.0f s: times here do not follow until a restart", jump)
