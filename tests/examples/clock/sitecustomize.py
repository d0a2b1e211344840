"""A machine's clock that somebody sets: it is off by the seconds that the file ``TEST_CLOCK`` says.

What a process runs first where this folder is on its path. The monotonic clocks go on, as they do in life.
"""

import datetime
import os
import time
from pathlib import Path

_file = Path(os.environ["TEST_CLOCK"])
_time, _time_ns = time.time, time.time_ns


def _off() -> int:
    return int(_file.read_text())


time.time = lambda: _time() + _off()
time.time_ns = lambda: _time_ns() + _off() * 10**9


class _DateTime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time(), tz)


datetime.datetime = _DateTime
