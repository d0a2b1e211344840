"""What the agent asks of a driver of python-escpos, whatever the cable: it ends in time and says whether bytes left."""

from __future__ import annotations

import time
from typing import Final, Protocol

LONGEST: Final = 70_000  # bytes of the longest command of a job: an image of 960 lines of 576 dots


class Driver(Protocol):
    """A printer of `examples.agent.network` or `examples.agent.cables`: no call of it outlasts its deadline."""

    begun: bool  # whether bytes have left since it was last cleared, as far as can be known
    arrives: bool  # what `send` has taken arrives, whatever happens then
    past: int  # bytes that a printer may still wait for of a receipt that nobody knows of

    @property
    def asked(self) -> bytes:
        """The process ID that was last asked for on the open connection; empty where that is not known."""

    def begin(self, timeout: float) -> None:
        """Give the next job ``timeout`` seconds."""

    @property
    def device(self) -> object:
        """The open device, which is opened if it is not; raises DeviceNotFoundError whose cause says why."""

    def _raw(self, msg: bytes) -> None:
        """`send`, counted as part of the job under way."""

    def send(self, data: bytes) -> None:
        """Send all of ``data``, or raise an OSError: TimeoutError once the deadline is over."""

    def receive(self, timeout: float) -> bytes:
        """What comes first; empty where nothing does. Raises OSError where the connection is over."""

    def close(self) -> None:
        """Close so that the printer takes all that was sent."""

    def abort(self) -> None:
        """Close, and destroy what was sent and has not arrived: it must not come out later, as if it were new."""


class Deadline:
    """What every driver has: the time that its job has left, and whether bytes of it have."""

    arrives = True
    past = LONGEST

    def __init__(self) -> None:
        self._deadline = 0.0
        self.begun = False

    def begin(self, timeout: float) -> None:
        """Give the next job ``timeout`` seconds."""
        self._deadline = time.monotonic() + timeout
        self.begun = False

    @property
    def asked(self) -> bytes:
        """Nothing: a power cut does not end the connection, so that an answer would prove nothing."""
        return b""

    def _left(self) -> float:
        return max(0.001, self._deadline - time.monotonic())

    def _check(self) -> None:
        if time.monotonic() >= self._deadline:
            raise TimeoutError("the job's time is over")
