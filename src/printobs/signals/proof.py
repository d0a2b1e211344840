"""Talking with a printer before a job's first byte and after its last one: is it ready, and has it printed.

Only in an explicit job, on a printer that is registered for it, and never between the bytes of a job. What arrives
and is none of our answers is kept for the application's own next read.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final, Protocol

from printobs.core import clock
from printobs.signals.escpos_replies import (
    Answered,
    Automatic,
    Event,
    Noise,
    PoweredOn,
    Process,
    RealTime,
    Replies,
    Stray,
)
from printobs.signals.escpos_status import PrinterState

PROCESS_ID: Final = "process_id"
KINDS: Final = (PROCESS_ID,)

ANSWER: Final = 1.0  # seconds that a printer has for its real-time status: longer is none
GLANCE: Final = 0.25  # seconds between two questions to a printer that is not ready

# Letters that no status byte looks like.
LETTERS: Final = b"ABCDEFGHIJKLMNOabcdefghijklmno"
_MAX_UNREAD: Final = 4096


class Channel(Protocol):
    """Both directions of an open connection; timeouts in seconds."""

    def write(self, data: bytes, timeout: float) -> None:
        """Send all of ``data`` or raise OSError."""

    def read(self, timeout: float) -> bytes:
        """What comes first; empty where nothing does. Raises OSError where the connection is over."""

    def drain(self, timeout: float) -> None:
        """Say that nothing more is sent, and read until the printer has closed its side; never raises."""


class Conversation:
    """What is asked and answered on one connection."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._replies = Replies()
        self.unread = bytearray()  # for the application's own reads

    @property
    def state(self) -> PrinterState:
        """What the printer has told."""
        return self._replies.state

    def status(self, deadline: float) -> PrinterState | None:
        """Ask DLE EOT 1 to 4; ``None`` where nothing was answered in time. Raises OSError for a dead connection."""
        self._keep(self._channel.read(0.0))  # what is here already answers somebody else
        self._ask_status(deadline)
        answered = self._listen(min(deadline, clock.monotonic() + ANSWER), lambda _: not self._replies.ledger.real_time)
        return self.state if any(isinstance(event, Answered) for event in answered) else None

    def prove(self, deadline: float) -> bool:
        """Ask for the process ID response, and wait for it; whether it came. Raises OSError for a dead connection.

        A printer that was switched on meanwhile has lost what it held: that is a dead connection too.
        """
        question = Process(bytes(random.choices(LETTERS, k=4)))
        self._replies.ledger.asked(question)
        self._channel.write(question.command, deadline - clock.monotonic())
        while True:
            now = clock.monotonic()
            events = self._listen(min(deadline, now + ANSWER), lambda events: _settles(events, question))
            for event in events:
                if isinstance(event, Answered) and event.question == question:
                    return True
                if isinstance(event, PoweredOn):
                    raise ConnectionResetError("the printer has been switched on")
            if clock.monotonic() >= deadline:
                return False
            if not self._replies.ledger.real_time:  # why does it take so long?
                self._ask_status(deadline)

    def drain(self, timeout: float) -> None:
        """Before the connection is closed: a reply left owed or unread makes the kernel destroy what is not printed."""
        if self._replies.ledger.owed:
            self._channel.drain(timeout)

    def _ask_status(self, deadline: float) -> None:
        for n in range(1, 5):
            question = RealTime(n)
            self._replies.ledger.asked(question)
            self._channel.write(question.command, max(0.001, deadline - clock.monotonic()))

    def _listen(self, deadline: float, enough: Callable[[list[Event]], bool]) -> list[Event]:
        events: list[Event] = []
        while (left := deadline - clock.monotonic()) > 0 and not enough(events):
            arrived = self._replies.feed(self._channel.read(left))
            for event in arrived:
                if isinstance(event, Stray | Noise | Automatic):
                    self._keep(event.frame)
            events += arrived
        return events

    def _keep(self, data: bytes) -> None:
        self.unread += data[: _MAX_UNREAD - len(self.unread)]


def _settles(events: list[Event], question: Process) -> bool:
    return any(isinstance(e, PoweredOn) or (isinstance(e, Answered) and e.question == question) for e in events)


def pause(until: float) -> None:
    """Wait a moment before the printer is asked again."""
    time.sleep(max(0.0, min(GLANCE, until - clock.monotonic())))
