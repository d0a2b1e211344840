"""Whose turn it is on a printer: one job at a time, which may hold another of its own thread."""

from __future__ import annotations

import threading
from _thread import get_ident
from types import TracebackType


class Turn:
    """A re-entrant lock that any thread may give back.

    A framework may leave a block in another thread than it was entered in; with `threading.RLock` the printer would
    then be locked for good.
    """

    __slots__ = ("_depth", "_lock", "_owner")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner = 0
        self._depth = 0

    def acquire(self, *, blocking: bool = True) -> bool:
        """Take it, or give ``False`` where it is another thread's and is not waited for."""
        thread = get_ident()
        if self._owner != thread:
            if not self._lock.acquire(blocking):
                return False
            self._owner = thread
        self._depth += 1
        return True

    def release(self) -> None:
        """Give it back: once for each time it was taken."""
        self._depth -= 1
        if not self._depth:
            self._owner = 0
            self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()
