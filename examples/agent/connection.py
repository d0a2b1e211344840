"""The agent's connection to the service: it comes back by itself, and no result is forgotten before it is settled."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import uuid

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

import printobs
from examples.agent.printers import Printers
from examples.agent.settings import Settings
from examples.jobs import wire
from examples.jobs.checks import Invalid

logger = logging.getLogger("agent")


class Refused(Exception):  # noqa: N818 - reads as what happened
    """The service does not take this agent: trying again changes nothing."""


class Connection:
    """One agent. What it remembers, it remembers as long as the process lives: that is its journal, for now."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._printers = Printers(settings.branch, settings.printers)
        self._journal = uuid.uuid4().hex
        self._jobs: dict[str, wire.Done | None] = {}  # what is not settled; None: it is being printed
        self._printing: set[asyncio.Task[None]] = set()
        self._websocket: ClientConnection | None = None
        self._stopping = False

    async def run(self) -> None:
        """Serve for ever; raises `Refused` where that makes no sense."""
        headers = {"Authorization": f"Bearer {self._settings.token}"}
        try:
            # The library tries again by itself, with exponential backoff.
            async for websocket in connect(self._settings.url, additional_headers=headers, max_size=1 << 20):
                try:
                    await self._serve(websocket)
                except ConnectionClosed as closed:
                    code = closed.rcvd.code if closed.rcvd is not None else 1006
                    logger.warning("the connection has closed (%s): trying again", code)
                except (Invalid, TimeoutError) as error:
                    logger.warning("the service breaks the protocol (%s): trying again", error)
                    await websocket.close(wire.PROTOCOL_ERROR)
                finally:
                    self._websocket = None
                await asyncio.sleep(0.2)
        except InvalidStatus as answer:
            raise Refused(f"the service refused the agent: HTTP {answer.response.status_code}") from None

    async def stop(self, patience: float) -> None:
        """Let what is being printed come to its end, for ``patience`` seconds at most."""
        self._stopping = True
        if self._printing:
            await asyncio.wait(self._printing, timeout=patience)
        if self._websocket is not None:
            await self._websocket.close()

    async def _serve(self, websocket: ClientConnection) -> None:
        settings = self._settings
        printers = tuple(map(wire.Printer, settings.printers))
        jobs = tuple(wire.Known(job, "started" if done is None else "done") for job, done in self._jobs.items())
        hello = wire.Hello(settings.name, settings.branch, self._journal, 0, printers, jobs)
        await websocket.send(json.dumps(wire.dump(hello)))
        async with asyncio.timeout(10):
            answer = wire.load(await websocket.recv())
        if isinstance(answer, wire.Refuse):
            raise Refused(f"the service refused the agent: {answer.why}")
        self._websocket = websocket
        sys.stdout.write(
            json.dumps({"event": "ready", "branch": settings.branch, "printers": list(settings.printers)}) + "\n"
        )
        sys.stdout.flush()
        for done in [done for done in self._jobs.values() if done is not None]:
            await self._send(done)
        async for text in websocket:
            match wire.load(text):
                case wire.Print() as message:
                    await self._take(message)
                case wire.Settled(identifier):
                    self._jobs.pop(identifier, None)
                case other:
                    logger.warning("a message of type %s is not for agents", type(other).__name__)

    async def _take(self, message: wire.Print) -> None:
        if message.id in self._jobs:  # never twice
            done = self._jobs[message.id]
            if done is not None:
                await self._send(done)
            return
        if self._stopping:
            return
        self._jobs[message.id] = None
        # A task of its own: the next message is received meanwhile, and this one's trace goes along.
        task = asyncio.create_task(self._print(message))
        self._printing.add(task)
        task.add_done_callback(self._printing.discard)

    async def _print(self, message: wire.Print) -> None:
        done = await self._printers.run(message)
        logger.info("job %s on %s: %s %s", done.id, message.printer, done.outcome, done.error_type)
        self._jobs[message.id] = done
        await self._send(done)

    async def _send(self, done: wire.Done) -> None:
        if self._websocket is None:
            return  # it is sent again after the next hello
        try:
            await self._websocket.send(json.dumps(printobs.inject(wire.dump(done))))
        except ConnectionClosed:
            logger.info("job %s is done; the service is told when it is back", done.id)
