"""The agents and the web clients that are connected, and what is sent to whom."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry import context, propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind
from starlette.websockets import WebSocket, WebSocketDisconnect

import printobs
from examples.jobs import wire
from examples.jobs.states import Event, IllegalTransition, State
from examples.service.queue import Job, Queue

logger = logging.getLogger("service")
tracer = trace.get_tracer("examples.service")

SEND_TIMEOUT: Final = 5.0  # seconds: an agent that does not read is as good as gone
ANSWER_GRACE: Final = 30.0  # seconds beyond its time-out that a job's result may take


@dataclass(slots=True, eq=False)
class Agent:
    """A connected agent."""

    name: str
    branch: str
    journal: str
    websocket: WebSocket


@dataclass(slots=True)
class Printer:
    """A printer that an agent has registered since the service started; it belongs to that branch from then on."""

    id: str
    branch: str
    agent: Agent | None = None


class Client:
    """A connected web client: its events wait here until they are sent, the oldest not for ever."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[str] = asyncio.Queue(1000)
        self.behind = False

    def tell(self, event: str) -> None:
        """Send an event soon; a client that does not read is told so once and sent away."""
        try:
            self.events.put_nowait(event)
        except asyncio.QueueFull:
            self.behind = True


class Gateway:
    """Who is connected, and which job goes where. Everything here runs on the event loop."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.printers: dict[str, Printer] = {}
        self._clients: dict[str, set[Client]] = {}
        self._joining = asyncio.Lock()

    # -- jobs --------------------------------------------------------------------------------------------------------

    async def submit(self, job: Job) -> None:
        """Take a job; raises `Full`."""
        self.queue.add(job)
        self.tell(job)
        await self._dispatch(self.printers[job.printer])

    async def _dispatch(self, printer: Printer) -> None:
        agent, job = printer.agent, self.queue.next(printer.id)
        if agent is None or job is None:
            return
        self.queue.happened(job, Event.SENT)
        job.journal = agent.journal
        with _continued(job.carrier, "dispatch job"):
            message = wire.Print(job.id, job.printer, job.kind, job.timeout, 0.0, job.receipt)
            self.tell(job)
            try:
                await send(agent.websocket, wire.dump(message))
            except (OSError, TimeoutError, RuntimeError, WebSocketDisconnect):
                logger.warning("agent %s is gone: job %s waits for it to come back", agent.name, job.id)

    async def done(self, agent: Agent, result: wire.Done) -> None:
        """Take an agent's result, once, and let it forget the job; a result nobody waits for is settled too."""
        job = self.queue.get(result.id)
        if job is None or self.printers[job.printer].agent is not agent or job.journal != agent.journal:
            logger.warning("agent %s reports job %s, which is not one of its jobs", agent.name, result.id)
        else:
            try:
                self._happened(job, Event(result.outcome), result.error_type or None, result.partial)
            except IllegalTransition:
                logger.info("the result of job %s came twice, or too late", job.id)
        await send(agent.websocket, wire.dump(wire.Settled(result.id)))
        if job is not None:
            await self._dispatch(self.printers[job.printer])

    async def expire(self) -> None:
        """Give up what has waited too long."""
        for job, event in list(self.queue.overdue(ANSWER_GRACE)):
            with _continued(job.carrier, "expire job"):
                self._happened(job, event)
            await self._dispatch(self.printers[job.printer])

    def _happened(self, job: Job, event: Event, error_type: str | None = None, partial: bool = False) -> None:
        self.queue.happened(job, event, error_type=error_type, partial=partial)
        if job.state.final:
            logger.info("job %s for %s: %s %s", job.id, job.printer, job.state.value, job.error_type or "")
        self.tell(job)

    # -- agents ------------------------------------------------------------------------------------------------------

    async def join(self, agent: Agent, printers: Sequence[str], jobs: Collection[str]) -> str | None:
        """Take an agent that has these printers and knows these jobs; why not, where it cannot be had."""
        async with self._joining:
            replaced: list[Agent] = []
            for known in filter(None, map(self.printers.get, printers)):
                if known.branch != agent.branch:
                    return f"printer {known.id} belongs to another branch"
                if known.agent is not None and known.agent.name != agent.name:
                    return f"printer {known.id} is served by another agent of its branch"
                if known.agent is not None and known.agent not in replaced:
                    replaced.append(known.agent)
            for old in replaced:  # the same agent again: its old connection is dead, whatever TCP thinks of it
                self.leave(old)
                await _close(old.websocket, wire.REPLACED)
            await send(agent.websocket, wire.dump(wire.Welcome()))
            for name in printers:
                self.printers.setdefault(name, Printer(name, agent.branch)).agent = agent
        for name in printers:
            self._reconcile(agent, name, jobs)
            await self._dispatch(self.printers[name])
        return None

    def _reconcile(self, agent: Agent, printer: str, known: Collection[str]) -> None:
        for job in self.queue.open(printer):
            if job.state is State.DISPATCHED and job.id not in known:
                with _continued(job.carrier, "reconcile job"):
                    self._happened(job, Event.ABSENT if job.journal == agent.journal else Event.JOURNAL_LOST)

    def leave(self, agent: Agent) -> None:
        """An agent is gone: its printers' clients are told that their jobs wait."""
        for printer in self.printers.values():
            if printer.agent is agent:
                printer.agent = None
                for job in self.queue.open(printer.id):
                    self.tell(job)

    # -- web clients -------------------------------------------------------------------------------------------------

    @contextmanager
    def client(self, subject: str) -> Iterator[Client]:
        """A client that is told of the jobs of ``subject`` while the block lasts."""
        client = Client()
        self._clients.setdefault(subject, set()).add(client)
        try:
            yield client
        finally:
            self._clients[subject].discard(client)
            if not self._clients[subject]:
                del self._clients[subject]

    def tell(self, job: Job) -> None:
        """Tell the job's owner how it stands, in the current trace."""
        clients = self._clients.get(job.owner)
        if clients:
            event = json.dumps(printobs.inject({"type": "job", **self.describe(job)}))
            for client in clients:
                client.tell(event)

    def describe(self, job: Job) -> dict[str, Any]:
        """The job as the API shows it."""
        waiting = not job.state.final and self.printers[job.printer].agent is None
        return {
            "id": job.id,
            "state": job.state.value,
            "outcome": job.state.value if job.state.final else None,
            "error_type": job.error_type,
            "partial": job.partial,
            "printer": job.printer,
            "kind": job.kind,
            "correlation_id": job.correlation_id,
            "waiting_for": "agent" if waiting else None,
            "created_at": job.created_at.isoformat(),
            "finished_at": job.finished_at.isoformat() if job.finished_at is not None else None,
        }


@contextmanager
def _continued(carrier: Mapping[str, str], name: str) -> Iterator[None]:
    """A span that continues the request that brought a job, whatever is being handled just now."""
    token = context.attach(propagate.extract(carrier, Context()))
    try:
        with tracer.start_as_current_span(name, kind=SpanKind.PRODUCER):
            yield
    finally:
        context.detach(token)


async def send(websocket: WebSocket, message: dict[str, Any]) -> None:
    """Send a message in the current trace; raises TimeoutError where it is not read."""
    async with asyncio.timeout(SEND_TIMEOUT):
        await websocket.send_text(json.dumps(printobs.inject(message)))


async def _close(websocket: WebSocket, code: int) -> None:
    try:
        async with asyncio.timeout(SEND_TIMEOUT):
            await websocket.close(code)
    except (OSError, TimeoutError, RuntimeError, WebSocketDisconnect):
        logger.info("an agent's old connection was gone already")
