"""A lock for short sections, which neither a finaliser nor a fork can turn into a deadlock."""

from __future__ import annotations

import os
import threading


class Lock:
    """Re-entrant, since a finaliser may run inside it; open in a forked child, whoever held it in the parent.

    For modules, not for objects: a lock once made is kept for good.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.RLock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
