"""An agent that does as a test says, over a real WebSocket."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Self

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from examples.jobs import wire
from tests.examples.processes import Service, token

JOURNAL = "1" * 32


class Scripted:
    """One connection of an agent. ``sequence`` is that of its journal, which `rejoin` lets grow as it should."""

    def __init__(
        self,
        till: Service,
        printers: Iterable[str] | Mapping[str, str] = ("kitchen",),
        *,
        name: str = "pc",
        branch: str = "mitte",
        journal: str = JOURNAL,
        sequence: int = 10,
        jobs: Mapping[str, str] | None = None,
        welcome: bool = True,
    ) -> None:
        serials = dict(printers) if isinstance(printers, Mapping) else dict.fromkeys(printers, "")
        self._till = till
        self._known = (name, branch, journal, sequence, serials)
        headers = {"Authorization": f"Bearer {token(f'agent-{branch}', 'agent', branch)}"}
        self._websocket = connect(till.websocket + "/ws/agent", additional_headers=headers).__enter__()
        claimed = tuple(wire.Printer(printer, serial) for printer, serial in serials.items())
        known = tuple(wire.Known(job, state) for job, state in (jobs or {}).items())
        self.last: dict[str, Any] = {}
        self.send(wire.Hello(name, branch, journal, sequence, claimed, known))
        self.refused: dict[str, str] = {}
        if welcome:
            answer = self.hear()
            assert isinstance(answer, wire.Welcome)
            self.refused = {each.id: each.why for each in answer.refused}

    def rejoin(self, jobs: Mapping[str, str] | None = None, *, journal: str = "", grown: int = 1) -> Scripted:
        """The same agent on a new connection, which knows ``jobs``; this one is cut if it is not."""
        self.close()
        name, branch, before, sequence, serials = self._known
        return Scripted(
            self._till,
            serials,
            name=name,
            branch=branch,
            journal=journal or before,
            sequence=sequence + grown,
            jobs=jobs,
        )

    def send(self, message: wire.Message) -> None:
        """Say something."""
        self._websocket.send(json.dumps(wire.dump(message)))

    def hear(self, within: float = 10.0) -> wire.Message:
        """What the service says next; as JSON in ``last``."""
        text = self._websocket.recv(timeout=within)
        self.last = json.loads(text)
        return wire.load(text)

    def job(self) -> wire.Print:
        """The job that the service sends next."""
        message = self.hear()
        assert isinstance(message, wire.Print), message
        return message

    def silent(self, seconds: float = 0.7) -> bool:
        """Whether the service says nothing for so long: longer than it takes to look for waiting jobs."""
        try:
            self.hear(seconds)
        except TimeoutError:
            return True
        return False

    def finish(self, job: str, outcome: str = "confirmed", **details: Any) -> None:
        """Say how a job ended, and hear that it is settled."""
        self.send(wire.Done(job, outcome, **details))
        assert self.hear() == wire.Settled(job)

    def closed(self) -> int:
        """The code that the service closes with."""
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                self.hear()
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code

    def close(self) -> None:
        """Go."""
        self._websocket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
