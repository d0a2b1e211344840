"""``printobs doctor``: what a printer is, how it is, and what it can prove; nothing is printed unless asked."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from printobs.integrations.escpos_channels import SocketChannel
from printobs.signals.conversation import LETTERS, Channel
from printobs.signals.escpos_replies import Answered, Buffered, Identity, Process, Question, RealTime, Replies
from printobs.signals.escpos_status import PrinterState

ANSWER: Final = 1.0  # seconds for an answer
PRINTING: Final = 10.0  # seconds for the slip
PORT: Final = 9100

READY: Final = 0
TROUBLED: Final = 1
USAGE: Final = 2
UNREACHABLE: Final = 3

_SLIP: Final = b"\x1b@printobs doctor\nIf you can read this, it prints.\n\n\n\n\n\x1dV\x00"


@dataclass(slots=True)
class Findings:
    """What was found. Times in seconds; ``None``: no answer, or not asked."""

    address: str
    connected: bool = False
    error: str | None = None
    connect_time: float | None = None
    real_time_status: float | None = None  # round trip of DLE EOT
    buffered_status: float | None = None  # of GS r
    printed: bool = False
    process_id: float | None = None  # from the slip's last byte to the response
    state: PrinterState = field(default_factory=PrinterState)

    @property
    def proof(self) -> str | None:
        """What to give to `printobs.register`."""
        return "process_id" if self.process_id is not None else None

    @property
    def exit_code(self) -> int:
        """0: ready (and, if it was tried, proven); 1: in trouble, or not proven; 3: cannot be reached."""
        if not self.connected:
            return UNREACHABLE
        return TROUBLED if self.state.trouble or (self.printed and self.proof is None) else READY

    def as_json(self) -> dict[str, Any]:
        """Everything, for scripts."""
        trouble = self.state.trouble
        return {**asdict(self), "trouble": trouble.value if trouble else None, "proof": self.proof}

    def lines(self) -> Iterator[str]:
        """Everything, for people."""
        if not self.connected:
            yield f"{self.address}: cannot be reached: {self.error}"
            return
        state = self.state
        yield f"{self.address}: connected in {_milliseconds(self.connect_time)}"
        model = " ".join(name for name in (state.maker, state.model) if name)
        yield f"  printer            {model or 'does not tell'}"
        for name, value in (("firmware", state.firmware), ("serial number", state.serial)):
            if value:
                yield f"  {name:<18} {value}"
        yield f"  real-time status   {_milliseconds(self.real_time_status)}"
        yield f"  buffered status    {_milliseconds(self.buffered_status)}"
        yield f"  state              {state.trouble.value if state.trouble else _well(state)}"
        if not self.printed:
            yield "  proof of print     not tried: doctor --print prints a slip"
        elif self.proof:
            yield f"  proof of print     process ID response, {_milliseconds(self.process_id)} after the slip"
            yield '  register it with   proof="process_id"'
        else:
            yield "  proof of print     none: its jobs end as written"
        if self.error:
            yield f"  but                {self.error}"


def _well(state: PrinterState) -> str:
    if state.offline is None:
        return "does not tell"
    return "ready, paper near its end" if state.paper_near_end else "ready"


def _milliseconds(seconds: float | None) -> str:
    return "no answer" if seconds is None else f"{seconds * 1000:.1f} ms"


def examine(address: str, *, slip: bool = False) -> Findings:
    """Look at the printer at ``tcp://HOST[:PORT]``; raises ValueError for any other address.

    ``slip`` prints a test slip, and tries whether the printer proves it. It does not print into trouble.
    """
    host, port = _parsed(address)
    findings = Findings(address)
    try:
        with _connected(findings, host, port) as channel:
            _Examination(channel, findings).run(slip)
    except OSError as error:
        findings.error = error.strerror or str(error) or type(error).__name__
    return findings


def _parsed(address: str) -> tuple[str, int]:
    parts = urlsplit(address)
    port = parts.port if parts.port is not None else PORT
    if parts.scheme != "tcp" or not parts.hostname or parts.path not in ("", "/") or not port:
        raise ValueError(f"an address is as tcp://10.0.0.9:9100, not {address}")
    return parts.hostname, port


@contextmanager
def _connected(findings: Findings, host: str, port: int) -> Iterator[Channel]:
    began = time.perf_counter()
    with socket.create_connection((host, port), 5.0) as device:
        findings.connected, findings.connect_time = True, time.perf_counter() - began
        channel = SocketChannel(device)
        try:
            yield channel
        finally:
            channel.drain(ANSWER)


class _Examination:
    def __init__(self, channel: Channel, findings: Findings) -> None:
        self._channel = channel
        self._findings = findings
        self._replies = Replies()

    def run(self, slip: bool) -> None:
        findings = self._findings
        try:
            findings.real_time_status = self._ask(RealTime(1))
            if findings.real_time_status is not None:
                for n in (2, 3, 4):
                    self._ask(RealTime(n))
            if self._replies.state.trouble is None:
                findings.buffered_status = self._ask(Buffered(1))
                if findings.buffered_status is not None:
                    for n in (66, 67, 65, 68):
                        self._ask(Identity(n))
                if slip:
                    self._print()
        finally:
            findings.state = self._replies.state

    def _print(self) -> None:
        self._findings.printed = True
        self._channel.write(_SLIP, ANSWER)
        self._findings.process_id = self._ask(Process(bytes(random.choices(LETTERS, k=4))), PRINTING)

    def _ask(self, question: Question, timeout: float = ANSWER) -> float | None:
        """Seconds until the answer; ``None`` where none came."""
        began = time.perf_counter()
        self._replies.ledger.asked(question)
        self._channel.write(question.command, timeout)
        while (left := began + timeout - time.perf_counter()) > 0:
            for event in self._replies.feed(self._channel.read(left)):
                if isinstance(event, Answered) and event.question == question:
                    return time.perf_counter() - began
        return None
