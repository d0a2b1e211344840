"""What the agent asks of a driver of python-escpos, whatever the cable: it ends in time and says whether bytes left."""

from __future__ import annotations

import math
import time
from typing import Any, Final, Protocol

LONGEST: Final = 70_000  # bytes of the longest command of a job: an image of 960 lines of 576 dots


class Driver(Protocol):
    """A printer of `examples.agent.network` or `examples.agent.cables`: no call of it outlasts its deadline."""

    begun: bool  # whether bytes have left since it was last cleared, as far as can be known
    arrives: bool  # what `send` has taken arrives, whatever happens then
    past: int  # bytes that a printer may still wait for of a receipt that nobody knows of
    ends_with_power: bool  # its connection does not outlive the printer's power

    @property
    def is_open(self) -> bool:
        """Whether it is connected."""

    def begin(self, timeout: float) -> None:
        """Give the next job ``timeout`` seconds."""

    @property
    def device(self) -> object:
        """The open device, which is opened if it is not; raises DeviceNotFoundError whose cause says why."""

    def _raw(self, msg: bytes) -> None:
        """`send`, counted as part of the job under way."""

    def _read(self) -> bytes:
        """Some of what it has answered."""

    def send(self, data: bytes) -> None:
        """Send all of ``data``, or raise an OSError: TimeoutError once the deadline is over."""

    def close(self) -> None:
        """Close so that the printer takes all that was sent."""

    def abort(self) -> None:
        """Close, and destroy what was sent and has not arrived: it must not come out later, as if it were new."""


class Deadline:
    """What every driver has: the time that its job has left, and whether bytes of it have."""

    arrives = True
    past = LONGEST
    ends_with_power = False

    def __init__(self) -> None:
        self._device: Any = False
        self._deadline = math.inf
        self.begun = False

    def begin(self, timeout: float) -> None:
        """Give the next job ``timeout`` seconds."""
        self._deadline = time.monotonic() + timeout
        self.begun = False

    @property
    def is_open(self) -> bool:
        """Whether it is connected."""
        return bool(self._device)

    def _left(self) -> float:
        return max(0.001, self._deadline - time.monotonic())

    def _check(self) -> None:
        if time.monotonic() >= self._deadline:
            raise TimeoutError("the job's time is over")
