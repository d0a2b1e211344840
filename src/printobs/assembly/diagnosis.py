"""What ``printobs doctor`` has found out about a printer: for people, for scripts, and as an exit status."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from printobs.core.conventions import JobError
from printobs.signals.escpos_status import PrinterState

READY: Final = 0
TROUBLED: Final = 1
UNREACHABLE: Final = 3


@dataclass(slots=True)
class Diagnosis:
    """What was found. Times in seconds; ``None``: no answer, or not asked."""

    address: str
    connected: bool = False
    error: str | None = None
    connect_time: float | None = None
    real_time_status: float | None = None  # round trip of DLE EOT
    buffered_status: float | None = None  # of GS r
    unintelligible: int = 0  # bytes that are no replies
    printed: bool = False
    ordered_status: float | None = None  # from the slip's last byte to the answer to GS r
    ordered_name: float | None = None  # to that to GS I
    process_id: float | None = None  # to that to GS ( H
    state: PrinterState = field(default_factory=PrinterState)
    saved: str | None = None  # the file that `printobs.register` will look into
    not_saved: str | None = None  # why

    @property
    def proof(self) -> str | None:
        """What to give to `printobs.register`."""
        return "process_id" if self.process_id is not None else None

    @property
    def trouble(self) -> JobError | None:
        """Why it would not print now."""
        return self.state.trouble

    @property
    def foreign(self) -> bool:
        """Whether it answers, but not in ESC/POS."""
        return self.unintelligible > 0 and self.real_time_status is None

    @property
    def conclusive(self) -> bool:
        """Whether a proof was tried, and nothing was in its way."""
        return self.printed and (self.proof is not None or (self.error is None and self.trouble is None))

    @property
    def exit_code(self) -> int:
        """0: ready (and, if it was tried, proven); 1: in trouble, or not proven; 3: cannot be reached."""
        if not self.connected:
            return UNREACHABLE
        unwell = self.trouble is not None or self.error is not None or self.foreign
        return TROUBLED if unwell or (self.printed and self.proof is None) else READY

    def as_json(self) -> dict[str, Any]:
        """Everything, for scripts."""
        return {**asdict(self), "trouble": self.trouble.value if self.trouble else None, "proof": self.proof}

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
        yield f"  state              {self.trouble.value if self.trouble else _well(state)}"
        yield from self._proof()
        if self.foreign:
            yield "  but                what it answers is no ESC/POS: a wrong baud rate, or no receipt printer?"
        if self.error:
            yield f"  but                {self.error}"
        if self.saved:
            yield f"  saved              in {self.saved}: register() looks there"
        if self.not_saved:
            yield f"  not saved          {self.not_saved}"

    def _proof(self) -> Iterator[str]:
        if not self.printed:
            yield "  proof of print     not tried: " + (
                "nothing is printed into trouble"
                if self.trouble or self.foreign or self.error
                else "doctor --print prints a slip"
            )
            return
        yield "  from the slip's last byte to"
        yield f"    GS r 1           {_milliseconds(self.ordered_status)}"
        yield f"    GS I 67          {_milliseconds(self.ordered_name)}"
        yield f"    GS ( H           {_milliseconds(self.process_id)}"
        if self.proof:
            yield "  proof of print     the process ID response: its jobs end as confirmed"
            yield '  register it with   proof="process_id"'
        elif self.conclusive:
            yield "  proof of print     none: its jobs end as written"
        else:
            yield "  proof of print     not known: something came in between"
        if not self.proof:
            yield '  look at the slip   are odd characters such as "(H" on it? Then it prints GS ( H as text'


def _well(state: PrinterState) -> str:
    if state.offline is None:
        return "does not tell"
    return "ready, paper near its end" if state.paper_near_end else "ready"


def _milliseconds(seconds: float | None) -> str:
    return "no answer" if seconds is None else f"{seconds * 1000:.1f} ms"
