"""The agents that are connected, and what is sent to whom. Everything here runs on the event loop."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from typing import Any, Final

from starlette.websockets import WebSocket, WebSocketDisconnect

import printobs
from examples import events
from examples.jobs import wire
from examples.jobs.states import State
from examples.service.database import Database
from examples.service.jobs import TooLate
from examples.service.opening import OpeningHours
from examples.service.records import Job, Order
from examples.service.registry import Joined, identity
from examples.service.traces import Traces
from examples.service.writer import Unavailable

logger = logging.getLogger("service")

SEND_TIMEOUT: Final = 5.0  # seconds: an agent that does not read is as good as gone
CANCEL_PATIENCE: Final = 5.0  # seconds that a cancellation waits for the agent's answer
_GONE: Final = (OSError, TimeoutError, RuntimeError, WebSocketDisconnect)  # what sending to a dead connection raises


class StillThere(Exception):  # noqa: N818 - reads as what is in the way
    """It is connected: it is not to be expected no more."""


class Session:
    """One connection of an agent, from its welcome on; ``expires``, a Unix time, is its token's end."""

    def __init__(self, hello: wire.Hello, websocket: WebSocket, expires: float) -> None:
        self.branch = hello.branch
        self.agent = hello.agent
        self.key = (hello.branch, hello.agent)
        self.known: dict[str, str | bool | int] = {"branch.name": hello.branch, "agent.name": hello.agent}
        self.journal = identity(hello.branch, hello.agent, hello.journal)
        self.claimed = tuple(printer.id for printer in hello.printers)
        self.printers: tuple[str, ...] = ()  # those of them that it serves
        self.done = {job.id for job in hello.jobs if job.state == "done"}
        self.number = 0
        self.websocket = websocket
        self.expires = expires
        # What is decided in the database and what is sent of it come in one order: no cancel overtakes its print.
        self.order = asyncio.Lock()
        self.cancels: dict[str, asyncio.Future[None]] = {}  # whoever waits for an answer


class Gateway:
    """Who is connected, and which job goes where."""

    def __init__(self, database: Database, traces: Traces, hours: OpeningHours) -> None:
        self._database = database
        self._traces = traces
        self._sessions: dict[tuple[str, str], Session] = {}  # by branch and agent
        self._serving: dict[str, Session] = {}  # by printer
        self._joining = asyncio.Lock()
        self._inventory = printobs.Inventory(hours.open)
        self._credentials = printobs.Credentials()
        for row in database.views.agents():  # nobody else reads yet
            if row["expected"]:
                self._inventory.agent(row["branch"], row["name"], False)
        for row in database.views.printers():
            if row["expected"]:
                self._inventory.printer(row["branch"], row["id"], False)
        self._dispatches: set[asyncio.Task[None]] = set()

    def online(self, printer: str) -> bool:
        """Whether the printer's agent is connected."""
        return printer in self._serving

    def connection(self, branch: str, agent: str) -> WebSocket | None:
        """An agent's, where it is connected."""
        session = self._sessions.get((branch, agent))
        return None if session is None else session.websocket

    # -- jobs --------------------------------------------------------------------------------------------------------

    async def submit(self, order: Order) -> Job:
        """Take a job; raises `KeyReused`, `UnknownPrinter`, `Full`, `Unavailable`."""
        job = await self._database.write(self._database.jobs.submit, order)
        self._dispatch_soon(job.printer)
        return job

    async def reprint(self, job: Job, order: Order) -> Job:
        """Print ``job`` again, marked; raises `TooLate` and as `submit`."""
        copy = await self._database.write(self._database.jobs.reprint, job, order)
        self._dispatch_soon(copy.printer)
        return copy

    async def cancel(self, job: Job) -> Job:
        """Cancel a job, as far as it can be known now; raises `TooLate`, `Unavailable`."""
        session = self._serving.get(job.printer)
        if session is None:
            return await self._database.write(self._database.jobs.cancel, job)
        async with session.order:
            asked = await self._database.write(self._database.jobs.cancel, job)
            if asked.state.final or asked.journal != session.journal:
                return asked
            answer = session.cancels.setdefault(job.id, asyncio.get_running_loop().create_future())
            await self._send(session, wire.Cancel(job.id))
        try:
            async with asyncio.timeout(CANCEL_PATIENCE):
                await asyncio.shield(answer)
        except TimeoutError:
            logger.info("agent %s does not answer whether job %s is cancelled", session.agent, job.id)
        current = await self._database.read(self._database.views.job, job.id)
        if (
            current is None
            or not (current.cancel_asked or current.state is State.CANCELLED)
            or (current.state.final and current.state is not State.CANCELLED)
        ):
            raise TooLate(current or asked)
        return current

    def _dispatch_soon(self, printer: str) -> None:
        """Dispatch without keeping a client waiting for an agent."""
        task = asyncio.create_task(self._dispatch(printer))
        self._dispatches.add(task)
        task.add_done_callback(self._dispatches.discard)

    async def _dispatch(self, printer: str) -> None:
        session = self._serving.get(printer)
        if session is None:
            return
        async with session.order:
            try:
                claimed = await self._database.write(self._database.jobs.claim, printer, session.number)
            except Unavailable:
                return  # `sweep` tries again
            if claimed is None:
                return
            job, content, left = claimed
            with self._traces.continued(job, "dispatch job"):
                message = wire.Print(
                    job.id,
                    job.printer,
                    job.kind,
                    job.timeout,
                    left,
                    receipt=content.get("receipt", {}),
                    raw=content.get("raw", ""),
                    reprint_of=job.reprint_of,
                )
                await self._send(session, message)

    async def _send(self, session: Session, message: wire.Message) -> None:
        try:
            await send(session.websocket, wire.dump(message))
        except _GONE:
            logger.warning("agent %s is gone: its jobs wait for it to come back", session.agent)
            await close(session.websocket, 1011)

    async def sweep(self, grace: float) -> None:
        """Give up what has waited too long, and see that no printer waits for nothing.

        ``grace``: seconds beyond its time-out that a job's result may take.
        """
        for job in await self._database.write(self._database.jobs.overdue, grace):
            self._traces.mark(job, "expire job")
        for printer in await self._database.write(self._database.jobs.waiting):
            await self._dispatch(printer)

    # -- agents ------------------------------------------------------------------------------------------------------

    async def join(self, session: Session, hello: wire.Hello) -> None:
        """Take an agent; raises `Refused`, `Unavailable`."""
        async with self._joining:
            joined: Joined = await self._database.write(self._database.registry.join, hello)
            session.number = joined.session
            refused = {each.id for each in joined.refused}
            session.printers = tuple(printer for printer in session.claimed if printer not in refused)
            # The same agent again: its old connection is dead, whatever TCP thinks of it.
            await self._replace(self._sessions.get(session.key))
            await send(session.websocket, wire.dump(wire.Welcome(joined.refused)))
            self._sessions[session.key] = session
            self._serving.update(dict.fromkeys(session.printers, session))
            self._inventory.agent(session.branch, session.agent, True)
            self._credentials.token(session.branch, session.agent, session.expires)
            for printer in session.claimed:
                self._inventory.printer(session.branch, printer, printer in session.printers)
        serves = ", ".join(session.printers) or "no printer"
        events.log(
            logger, "agent.joined", session.known, "agent %s of %s serves %s", session.agent, session.branch, serves
        )
        for each in joined.refused:
            logger.warning("agent %s: %s", session.agent, each.why)
        for job in joined.changed:
            self._traces.mark(job, "reconcile job")
        for printer in session.printers:
            await self._dispatch(printer)

    async def leave(self, session: Session) -> None:
        """An agent is gone: its printers' clients are told that their jobs wait."""
        if not self._forget(session):
            return
        with suppress(Unavailable):  # the writer has said so
            await self._database.write(self._database.registry.seen, session.branch, session.agent)

    def _forget(self, session: Session) -> bool:
        for answer in session.cancels.values():
            _answered(answer)
        if self._sessions.get(session.key) is not session:
            return False
        del self._sessions[session.key]
        self._inventory.agent(session.branch, session.agent, False)
        for printer in session.printers:
            del self._serving[printer]
            self._inventory.printer(session.branch, printer, False)
        events.log(logger, "agent.left", session.known, "agent %s of %s is gone", session.agent, session.branch)
        return True

    async def _replace(self, old: Session | None) -> None:
        if old is not None:
            self._forget(old)
            await close(old.websocket, wire.REPLACED)

    async def reassign(self, printer: str, agent: str) -> None:
        """Let another agent claim a printer: who does now has to come again; raises `UnknownPrinter`, `Unavailable`."""
        async with self._joining:
            for job in await self._database.write(self._database.registry.reassign, printer, agent):
                self._traces.mark(job, "reconcile job")
            for claiming in [each for each in self._sessions.values() if printer in each.claimed]:
                await self._replace(claiming)

    async def retire_printer(self, printer: str) -> None:
        """Expect a printer no more; raises `StillThere`, `UnknownPrinter`, `Unavailable`."""
        async with self._joining:
            if self.online(printer):
                raise StillThere
            branch = await self._database.write(self._database.registry.retire_printer, printer)
            self._inventory.printer(branch, printer, None)

    async def retire_agent(self, branch: str, agent: str) -> None:
        """Expect an agent and its printers no more; raises `StillThere`, `UnknownAgent`, `Unavailable`."""
        async with self._joining:
            if (branch, agent) in self._sessions:
                raise StillThere
            for printer in await self._database.write(self._database.registry.retire_agent, branch, agent):
                self._inventory.printer(branch, printer, None)
            self._inventory.agent(branch, agent, None)
            self._credentials.token(branch, agent, None)

    async def hear(self, session: Session, message: wire.Message) -> bool:
        """Take what an agent says; false where it is not for the service. Raises `Unavailable`: nothing was taken."""
        if self._sessions.get(session.key) is not session:
            return True  # replaced: what it says, it says again on its new connection
        jobs = self._database.jobs
        match message:
            case wire.Done():
                fresh = message.id not in session.done
                job = await self._database.write(jobs.done, session.journal, message, since_hello=fresh)
                if job is None:
                    logger.info("the result of job %s came twice, too late, or from another agent", message.id)
                await self._send(session, wire.Settled(message.id))
                if job is not None:
                    await self._dispatch(job.printer)
            case wire.Cancelled():
                job = await self._database.write(jobs.cancelled, session.journal, message)
                _answered(session.cancels.pop(message.id, None))
                if job is not None and job.state.final:
                    await self._dispatch(job.printer)
            case wire.Evidence():
                job = await self._database.write(jobs.evidence, session.journal, message.id)
                if job is not None:
                    logger.info("job %s on %s is on paper after all", job.id, job.printer)
            case wire.State():
                await self._database.write(self._database.registry.reported, session.branch, session.agent, message)
            case _:
                return False
        return True


def _answered(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


async def send(websocket: WebSocket, message: dict[str, Any]) -> None:
    """Send a message in the current trace; raises TimeoutError where it is not read."""
    async with asyncio.timeout(SEND_TIMEOUT):
        await websocket.send_text(json.dumps(printobs.inject(message)))


async def close(websocket: WebSocket, code: int, reason: str = "", last: wire.Message | None = None) -> None:
    """Close a connection that may be gone already, after a last message."""
    try:
        if last is not None:
            await send(websocket, wire.dump(last))
        async with asyncio.timeout(SEND_TIMEOUT):
            await websocket.close(code, reason)
    except _GONE:
        logger.info("a connection to be closed with %s was gone already", code)
