"""Memory that is not needed any more goes back to the system: what glibc keeps of it, it would keep for good."""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from contextlib import suppress
from typing import Final

INTERVAL: Final = 10.0  # seconds
_M_MMAP_THRESHOLD: Final = -3  # malloc.h of glibc


def give_back() -> None:
    """From now on; to be called once, at the start. Does nothing with another C library than glibc.

    What is large comes from the system and returns to it (mallopt(3)): by glibc's default that ends with the first
    megabyte that is freed, and the next ones break the heap into pieces. The pages that lie free between what is in
    use return every `INTERVAL` (malloc_trim(3)).
    """
    if sys.platform == "linux":
        with suppress(AttributeError):
            library = ctypes.CDLL(None)
            library.malloc_trim.argtypes = [ctypes.c_size_t]
            library.mallopt(_M_MMAP_THRESHOLD, 128 * 1024)
            threading.Thread(target=_trim, args=(library,), name="memory", daemon=True).start()


def _trim(library: ctypes.CDLL) -> None:
    while True:
        time.sleep(INTERVAL)
        library.malloc_trim(0)
