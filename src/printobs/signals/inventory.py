"""The agents and printers that should be there, and whether they are: who is silent reports nothing himself.

When a branch is closed, nobody needs to be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from opentelemetry.metrics import Observation

from printobs.core import conventions, telemetry
from printobs.core.attributes import clean
from printobs.core.cells import overflowed
from printobs.core.conventions import AGENT, BRANCH, PRINTER, Instrument
from printobs.core.guard import Guard

# Of one branch: who may register agents for it may not fill the others' room.
AGENTS: Final = 32
PRINTERS: Final = 64

_guard: Final = Guard("counting agents and printers")


class Inventory:
    """Tell it who should be there, and who is; collections read it.

    ``opening`` says of a branch whether it is open now, in a collection's thread; without it all are, always. Beyond 32
    agents and 64 printers of a branch the later ones are not shown, which is counted as an overflow, and beyond 2,000
    of an instrument the rest are one series. All series end with the object. One thread at a time may call it; nothing
    here raises.
    """

    def __init__(self, opening: Callable[[str], bool] | None = None) -> None:
        self._agents: dict[str, dict[str, bool]] = {}  # by branch
        self._printers: dict[str, dict[str, bool]] = {}
        self._open: Callable[[str], bool] = opening or (lambda _: True)
        with _guard:
            instruments = telemetry.current().instruments
            instruments.readings(conventions.AGENT_CONNECTED).add(self, Inventory._read_agents)
            instruments.readings(conventions.PRINTER_SERVED).add(self, Inventory._read_printers)
            instruments.readings(conventions.BRANCH_OPEN).add(self, Inventory._read_open)

    def agent(self, branch: str, agent: str, connected: bool | None) -> None:
        """Whether an agent is connected; ``None``: it should not be there any more."""
        with _guard:
            _put(self._agents, branch, agent, connected, AGENTS, conventions.AGENT_CONNECTED)

    def printer(self, branch: str, printer: str, served: bool | None) -> None:
        """Whether a connected agent serves a printer; ``None``: it should not be there any more."""
        with _guard:
            _put(self._printers, branch, printer, served, PRINTERS, conventions.PRINTER_SERVED)

    # -- what collections read: copies made in one step, so that nobody waits for a lock -------------------------------

    def _read_agents(self) -> Iterable[Observation]:
        return _read(self._agents, AGENT)

    def _read_printers(self) -> Iterable[Observation]:
        return _read(self._printers, PRINTER)

    def _read_open(self) -> Iterable[Observation]:
        branches = dict.fromkeys([*self._agents, *self._printers])
        return [Observation(int(self._open(branch)), {BRANCH: branch}) for branch in branches]


def _put(
    there: dict[str, dict[str, bool]], branch: str, name: str, present: bool | None, most: int, instrument: Instrument
) -> None:
    branch, name = clean(branch), clean(name)
    names = there.setdefault(branch, {})
    if present is None:
        names.pop(name, None)
    elif name in names or len(names) < most:
        names[name] = present
    else:
        overflowed(instrument.name)
    if not names:
        del there[branch]


def _read(there: Mapping[str, Mapping[str, bool]], attribute: str) -> Iterable[Observation]:
    return [
        Observation(int(present), {BRANCH: branch, attribute: name})
        for branch, names in list(there.items())
        for name, present in list(names.items())
    ]
