"""Hours that go by at once, and how much falls into each."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Final
from unittest.mock import patch

from printobs.core import clock

RUSH: Final = ((12.5, 1.2), (19.5, 1.8))  # hours after midnight: lunch, and the longer dinner


class FastForward:
    """The library's clock, which `skip` puts forward."""

    def __init__(self) -> None:
        self._skipped = 0.0

    def skip(self, seconds: float) -> None:
        """So much of the day goes by at once."""
        self._skipped += seconds

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """While this is the clock."""
        ours = SimpleNamespace(perf_counter=lambda: time.perf_counter() + self._skipped, time_ns=time.time_ns)
        with patch.object(clock, "time", ours):
            yield


def shares(total: int, slices: int) -> list[int]:
    """``total`` over the slices of a day: little in the night, most at lunch and dinner."""
    hours = [24 * each / slices for each in range(slices)]
    weights = [0.3 + sum(math.exp(-(((hour - at) / width) ** 2)) * 2 for at, width in RUSH) for hour in hours]
    whole = sum(weights)
    ends = [round(total * each / whole) for each in itertools.accumulate(weights)]
    return [end - before for before, end in itertools.pairwise([0, *ends])]
