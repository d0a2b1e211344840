"""The web clients that are connected: each is told of its jobs, in order, without a gap or told that there is one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from examples.service.records import Happening

BACKLOG: Final = 1000  # events that may wait for one client to read
MAX_CLIENTS: Final = 1000


class TooMany(Exception):  # noqa: N818 - reads as what is wrong
    """As many web clients are connected as may be."""


class Client:
    """A connected web client. ``owner``: whose jobs it hears of; ``None`` for all."""

    def __init__(self, owner: str | None) -> None:
        self.owner = owner
        self.events: asyncio.Queue[Happening] = asyncio.Queue(BACKLOG)
        self.behind = False

    def tell(self, happening: Happening) -> None:
        """Send an event soon; a client that does not read is told so once and sent away."""
        try:
            self.events.put_nowait(happening)
        except asyncio.QueueFull:
            self.behind = True


class Clients:
    """All of them, on the event loop. ``online``: whether a printer's agent is connected."""

    def __init__(self, online: Callable[[str], bool]) -> None:
        self._online = online
        self._clients: dict[str | None, set[Client]] = {}
        self._number = 0

    @contextmanager
    def client(self, owner: str | None) -> Iterator[Client]:
        """A client that is told while the block lasts; raises `TooMany`."""
        if self._number >= MAX_CLIENTS:
            raise TooMany
        client = Client(owner)
        self._number += 1
        self._clients.setdefault(owner, set()).add(client)
        try:
            yield client
        finally:
            self._number -= 1
            self._clients[owner].discard(client)
            if not self._clients[owner]:
                del self._clients[owner]

    def publish(self, happenings: Iterable[Happening]) -> None:
        """Tell whoever is to hear of it."""
        for happening in happenings:
            for key in (happening.owner, None):
                for client in self._clients.get(key, ()):
                    client.tell(happening)

    def shown(self, job: dict[str, Any]) -> dict[str, Any]:
        """A job as `Job.describe` has it, with what it waits for now."""
        waits = job["outcome"] is None and not self._online(job["printer"])
        return {**job, "waiting_for": "agent" if waits else None}

    def text(self, happening: Happening) -> str:
        """An event as it is sent."""
        return json.dumps({"type": "job", "seq": happening.seq, **self.shown(happening.body)})
