"""Tills and pages: clients of an ASGI application."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import printobs
from benchmarks.day.branches import BRANCHES
from benchmarks.day.ledger import Ledger
from printobs.integrations.asgi import TelemetryMiddleware

CLIENTS: Final = ("desktop", "web", "kiosk")  # the last one is counted as "other"

App = Callable[[Any, Any, Any], Any]


@dataclass(frozen=True)
class Reel:
    """Messages in an order, over and over; how large any stretch is, and how many carry a sampled context."""

    events: tuple[dict[str, Any], ...]
    sizes: tuple[int, ...]
    sampled: tuple[int, ...]

    @staticmethod
    def of(texts: Sequence[str | bytes], longest: int) -> Reel:
        turns = itertools.islice(itertools.cycle(texts), len(texts) + longest)
        events: tuple[dict[str, Any], ...] = tuple(
            {"type": "websocket.receive", "bytes" if isinstance(each, bytes) else "text": each} for each in turns
        )
        said = [event["bytes"] if "bytes" in event else event["text"].encode() for event in events]
        sizes = itertools.accumulate((len(each) for each in said), initial=0)
        sampled = itertools.accumulate((b'-01"' in each for each in said), initial=0)
        return Reel(events, tuple(sizes), tuple(sampled))


def _texts() -> list[str | bytes]:
    """A thousand messages: short and long, text and binary, six of them with a sampled context, four without."""
    said: list[str | bytes] = []
    for number in range(1_000):
        if number % 100 == 7:
            flags = "01" if number % 500 < 300 else "00"
            context = f"00-{number + 1:032x}-{number + 1:016x}-{flags}"
            said.append(json.dumps({"traceparent": context, "type": "job", "printer": "kitchen"}))
        elif number % 10 == 3:
            said.append(os.urandom(40 + number % 200))
        elif number % 50 == 11:
            said.append(json.dumps({"type": "menu", "dishes": [f"dish {each}" for each in range(120)]}))
        else:
            said.append(json.dumps({"type": "order", "table": number, "dish": "Käsespätzle × 2"}, ensure_ascii=False))
    return said


LONGEST: Final = 20_000  # messages that one connection says at once
REEL: Final = Reel.of(_texts(), LONGEST)
TURN: Final = 1_000


class Visitor:
    """A client of the ASGI application: says so many messages when it is asked to, and waits."""

    def __init__(self, app: App, name: str, branch: str, kind: str, ledger: Ledger, code: int | None) -> None:
        self._said: list[dict[str, Any]] = [{"type": "websocket.connect"}]
        self._wake: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self.quiet = self._loop.create_future()  # done once all is answered
        self._ledger = ledger
        self._code = code  # how it leaves; None: its connection breaks
        scope = {
            "type": "websocket", "path": "/ws", "headers": [], "query_string": f"{branch}&{kind}&{name}".encode(),
            "server": ("127.0.0.1", 80),
        }  # fmt: skip
        ledger.opened["server"] += 1
        ledger.spans += 1  # the handshake's
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    def say(self, start: int, messages: int) -> asyncio.Future[None]:
        """Say so many messages of the reel from ``start`` on; done when the last one is answered."""
        end = start + messages
        size = REEL.sizes[end] - REEL.sizes[start]
        for direction in ("receive", "transmit"):
            self._ledger.crossed(f"server {direction}", messages, size)
        self._ledger.spans += REEL.sampled[end] - REEL.sampled[start]
        return self._give(list(REEL.events[start:end]))

    async def leave(self) -> None:
        """Go, or break."""
        left: dict[str, Any] = {"type": "websocket.disconnect"}
        self._give([left if self._code is None else {**left, "code": self._code}])
        await self.task

    def _give(self, events: list[dict[str, Any]]) -> asyncio.Future[None]:
        events.reverse()
        self._said[:0] = events  # before it is accepted, it has not yet connected
        self.quiet = self._loop.create_future()
        if self._wake is not None:
            self._wake.set_result(None)
            self._wake = None
        return self.quiet

    async def _receive(self) -> dict[str, Any]:
        while not self._said:
            if not self.quiet.done():
                self.quiet.set_result(None)
            self._wake = self._loop.create_future()
            await self._wake
        return self._said.pop()

    async def _send(self, _: Any) -> None: ...


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """The application: it knows who comes, and sends back what it is sent."""
    await receive()
    branch, kind, name = scope["query_string"].decode().split("&")
    if name == "stranger":
        await send({"type": "websocket.close", "code": 1008})
        return
    await send({"type": "websocket.accept"})
    printobs.identify(scope, client_type=kind, branch=branch, client=name)
    while (event := await receive())["type"] == "websocket.receive":
        if "text" in event:
            await send({"type": "websocket.send", "text": event["text"]})
        else:
            await send({"type": "websocket.send", "bytes": event["bytes"]})


class Site:
    """All branches' clients: some that stay, some that come and go."""

    SHORT: Final = 4  # that come in each slice of the day
    TALKING: Final = 9  # of those that stay, in each slice

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._app = TelemetryMiddleware(echo)
        self._number = 0
        self._start = 0
        self._staying: list[Visitor] = []

    async def slice(self, number: int, exchanges: int) -> None:
        """Receive and send so many messages each."""
        if not self._staying:
            self._staying = [self._visitor() for _ in range(len(BRANCHES) * len(CLIENTS))]
        coming = [self._visitor() for _ in range(self.SHORT)]
        first = number * self.TALKING % len(self._staying)
        talking = (self._staying * 2)[first : first + self.TALKING]
        short, rest = exchanges // 40, exchanges - self.SHORT * (exchanges // 40)
        long = rest // len(talking)
        shares = [short] * len(coming) + [long] * (len(talking) - 1) + [rest - long * (len(talking) - 1)]
        await asyncio.gather(*(self._say(who, share) for who, share in zip((*coming, *talking), shares, strict=True)))
        await asyncio.gather(*(each.leave() for each in coming))
        if number % 5 == 0:  # one that stays comes anew
            which = number // 5 % len(self._staying)
            await self._staying[which].leave()
            self._staying[which] = self._visitor()
        if number % 10 == 0:
            await self._stranger()

    async def close(self) -> None:
        """Evening."""
        await asyncio.gather(*(each.leave() for each in self._staying))

    def _visitor(self) -> Visitor:
        self._number += 1
        number = self._number
        branch, kind = BRANCHES[number % len(BRANCHES)], CLIENTS[number // len(BRANCHES) % len(CLIENTS)]
        code = None if number % 20 == 0 else 1001 if number % 3 == 0 else 1000
        return Visitor(self._app, f"client-{number % 3000}", branch, kind, self.ledger, code)

    async def _say(self, who: Visitor, messages: int) -> None:
        while messages:
            share = min(messages, LONGEST)
            await who.say(self._start, share)
            self._start = (self._start + share) % TURN
            messages -= share

    async def _stranger(self) -> None:
        self.ledger.opened["server"] -= 1
        self.ledger.refused += 1
        await Visitor(self._app, "stranger", "", "", self.ledger, None).task
