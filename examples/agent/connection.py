"""The agent's connection to the service: it comes back by itself, and no result is forgotten before it is settled."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import sys
import time
import traceback
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

import printobs
from examples import events
from examples.agent.hands import Dropped, Hand, Hands
from examples.agent.journal import Journal, Unusable, Unwritable
from examples.agent.printers import Printers
from examples.agent.settings import Settings
from examples.jobs import wire
from examples.jobs.checks import Invalid

logger = logging.getLogger("agent")

_REFUSALS: Final = (401, 403)  # of HTTP: trying again changes nothing
_LAPSED: Final = 1011  # RFC 6455, section 7.4.1: an unexpected condition prevents the request
_REPORT: Final = 1.0  # seconds between two looks at how the printers are: no question goes out for it
_ANSWER: Final = 10.0  # seconds that the service has to answer a hello


class Refused(Exception):  # noqa: N818 - reads as what happened
    """The service does not take this agent: trying again changes nothing."""


class Broken(Exception):  # noqa: N818
    """A mistake in the agent: it has lost hold of a job. One that begins anew finds it in the journal (row 8)."""


class _Backoff:
    """How long to wait before the next attempt: longer each time, at random, so that agents do not come all at once."""

    FIRST: Final = 0.25  # seconds
    LONGEST: Final = 30.0
    STEADY: Final = 5.0  # a connection that has lasted so long begins anew

    def __init__(self) -> None:
        self._next = self.FIRST

    def after(self, lasted: float) -> float:
        """Seconds to wait after a connection that ``lasted`` so long."""
        now = self.FIRST if lasted >= self.STEADY else self._next
        self._next = min(2 * now, self.LONGEST)
        return random.uniform(now / 2, now)


class Connection:
    """One agent. What it must remember is in its journal; what is here may be lost at any time."""

    def __init__(self, settings: Settings, journal: Journal) -> None:
        self._settings = settings
        self._known: dict[str, str | bool | int] = {"branch.name": settings.branch, "agent.name": settings.name}
        self._journal = journal
        self._hands = Hands(journal)
        self._printers = Printers(settings.branch, settings.printers, journal, self._hands, self._send, self._prove)
        self._printing: dict[asyncio.Task[None], Hand] = {}
        self._websocket: ClientConnection | None = None
        self._broken: Unusable | Broken | None = None

    async def run(self) -> None:
        """Serve for ever; raises `Refused`, `Unusable` or `Broken` where that makes no sense."""
        _say("ready", branch=self._settings.branch, printers=list(self._settings.printers))
        backoff = _Backoff()
        while True:
            began = time.monotonic()
            try:
                # What cannot be written must not be promised.
                await asyncio.to_thread(self._journal.probe)
                await self._connect()
            except InvalidStatus as answer:
                status = answer.response.status_code
                if status in _REFUSALS:
                    raise Refused(f"the service refused the agent: HTTP {status}") from None
                logger.warning("the service answers with HTTP %s: trying again", status)
            except Unwritable as error:
                logger.error("the journal cannot be written (%s): nothing is printed until it can", error)
            except (OSError, EOFError, WebSocketException) as error:
                logger.warning("no connection to the service (%s): trying again", error)
            if self._broken is not None:
                raise self._broken
            await asyncio.sleep(backoff.after(time.monotonic() - began))

    async def stop(self, patience: float) -> bool:
        """Let what is being printed come to its end, for ``patience`` seconds at most; whether it has."""
        await asyncio.to_thread(self._hands.stop)
        printing = {task for task, hand in self._printing.items() if hand.started}
        if printing:
            _, printing = await asyncio.wait(printing, timeout=patience)
        await self._printers.close()
        if self._websocket is not None:
            await self._websocket.close()
        return not self._printing

    # -- one session -----------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        headers = {"Authorization": f"Bearer {self._settings.token}"}
        ping = self._settings.ping
        async with connect(
            self._settings.url, additional_headers=headers, max_size=1 << 20, ping_interval=ping, ping_timeout=ping
        ) as websocket:
            try:
                await self._serve(websocket)
            except ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd is not None else 1006
                logger.warning("the connection has closed (%s): trying again", code)
            except (Invalid, TimeoutError) as error:
                logger.warning("the service breaks the protocol (%s): trying again", error)
                await websocket.close(wire.PROTOCOL_ERROR)
            finally:
                joined, self._websocket = self._websocket is not None, None
                if joined:  # at once: an agent that is stopped does not come back here
                    events.log(logger, "agent.left", self._known, "the connection to the service has ended")
                # Before anything is told in the next one: what has not begun never will.
                await asyncio.to_thread(self._hands.leave)
                if joined:
                    _say("left")

    async def _serve(self, websocket: ClientConnection) -> None:
        settings = self._settings
        printers = await self._printers.claims()
        # Only now, on a connection that stands: attempts that fail must not let a journal that was put back catch up
        # with what the service knows of it.
        await asyncio.to_thread(self._journal.touch)
        session = await asyncio.to_thread(self._hands.enter)
        sequence, known = await asyncio.to_thread(self._journal.known)
        hello = wire.Hello(settings.name, settings.branch, self._journal.identity, sequence, printers, known)
        await websocket.send(json.dumps(wire.dump(hello)))
        async with asyncio.timeout(_ANSWER):
            answer = wire.load(await websocket.recv())
        if isinstance(answer, wire.Refuse):
            raise Refused(f"the service refused the agent: {answer.why}")
        if not isinstance(answer, wire.Welcome):
            raise Invalid("type", "must be welcome or refuse")
        if self._broken is not None:
            return
        self._websocket = websocket
        for refused in answer.refused:
            logger.error("printer %s is not used: %s", refused.id, refused.why)
        events.log(logger, "agent.joined", self._known, "the service has taken this agent, with %d jobs", len(known))
        _say("joined", jobs=len(known))
        for done in await asyncio.to_thread(self._journal.unsettled):
            await self._send(done)
        await self._send_evidence()
        reporting = asyncio.create_task(self._report())
        try:
            await self._listen(websocket, session)
        finally:
            reporting.cancel()

    async def _listen(self, websocket: ClientConnection, session: int) -> None:
        async for text in websocket:
            match wire.load(text):
                case wire.Print() as message:
                    await self._take(message, session)
                case wire.Cancel(job):
                    await self._send(wire.Cancelled(job, await asyncio.to_thread(self._hands.cancel, job)))
                case wire.Settled(job):
                    await asyncio.to_thread(self._journal.settle, job)
                case other:
                    logger.warning("a message of type %s is not for agents", type(other).__name__)

    async def _take(self, message: wire.Print, session: int) -> None:
        hand = await asyncio.to_thread(self._hands.take, message, session)
        if isinstance(hand, wire.Done):  # never twice
            await self._send(hand)
        elif hand is not None:
            # A task of its own: the next message is received meanwhile, and this one's trace goes along.
            task = asyncio.create_task(self._print(hand, message))
            self._printing[task] = hand
            task.add_done_callback(self._printing.pop)

    async def _print(self, hand: Hand, message: wire.Print) -> None:
        try:
            await self._printers.run(hand, message)
        except Dropped:
            logger.info("job %s is dropped", message.id)
        except (Unwritable, Unusable) as error:
            logger.error("job %s cannot be kept: %s", message.id, error)
            # The service hears in the next hello that it was never begun.
            await self._lapse(error if isinstance(error, Unusable) else None)
        except Exception as error:
            await self._lapse(Broken(f"job {message.id} on {message.printer}: {_mistake(error)}"))

    async def _lapse(self, broken: Unusable | Broken | None) -> None:
        """End the session, and with ``broken`` the agent."""
        self._broken = self._broken or broken
        if self._websocket is not None:
            await self._websocket.close(_LAPSED)

    # -- what is told ----------------------------------------------------------------------------------------------

    async def _report(self) -> None:
        told: dict[str, wire.State] = {}
        while True:
            for state in self._printers.conditions():
                if told.get(state.printer) != state:
                    told[state.printer] = state
                    await self._send(state)
            await asyncio.sleep(_REPORT)

    async def _prove(self, job: str) -> None:
        try:
            await asyncio.to_thread(self._journal.prove, job)
        except (Unwritable, Unusable) as error:
            logger.error("the late proof of job %s cannot be kept: %s", job, error)
        else:
            await self._send_evidence()

    async def _send_evidence(self) -> None:
        for job in await asyncio.to_thread(self._journal.evidence):
            if await self._send(wire.Evidence(job)):
                await asyncio.to_thread(self._journal.told, job)

    async def _send(self, message: wire.Message) -> bool:
        if self._websocket is None:
            return False  # it is sent again after the next hello
        body = wire.dump(message)
        if isinstance(message, wire.Done | wire.Cancelled):  # the rest is no part of the job's trace
            body = dict(printobs.inject(body))
        try:
            await self._websocket.send(json.dumps(body))
        except ConnectionClosed:
            logger.info("the service is away; it is told when it is back")
            return False
        return True


def _mistake(error: Exception) -> str:
    """What nobody expected, and where; not its text, which may quote the receipt."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{type(error).__name__} at {place.filename}:{place.lineno}"
    return f"{where}, a mistake in the agent: it ends, and whoever runs it has to start it again"


def _say(event: str, **more: Any) -> None:
    out = sys.__stdout__  # the process's own, whatever `sys.stdout` is
    if out is not None:
        out.write(json.dumps({"event": event, **more}) + "\n")
        out.flush()
