"""The WebSockets: ``/ws/agent`` for agents, ``/ws/client`` for those who want to know how their jobs end."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Final

from starlette.websockets import WebSocket, WebSocketDisconnect

import printobs
from examples.jobs import wire
from examples.jobs.checks import Fields, Invalid
from examples.service import tokens
from examples.service.clients import Client, Clients, TooMany
from examples.service.database import Database
from examples.service.gateway import Gateway, Session, close
from examples.service.problems import Problem, unauthorized
from examples.service.registry import Refused
from examples.service.settings import Settings
from examples.service.throttle import HANDSHAKE, MESSAGE, Throttle, address
from examples.service.writer import Unavailable

logger = logging.getLogger("service")

HELLO_TIMEOUT: Final = 10.0  # seconds
TRY_AGAIN: Final = 1013  # RFC 6455 registry: try again later


async def agent(websocket: WebSocket) -> None:
    """An agent: hello first, then its results, until it goes."""
    holder = await _admitted(websocket, "agent")
    if holder is None:
        return
    gateway: Gateway = websocket.app.state.gateway
    messages = _texts(websocket, holder)
    session: Session | None = None
    try:
        async with asyncio.timeout(HELLO_TIMEOUT):
            hello = wire.load(await anext(messages))
        if not isinstance(hello, wire.Hello):
            raise Invalid("type", "must be hello at first")
        if hello.branch != holder.branch:
            raise Refused(f"the token is for branch {holder.branch}")
        session = Session(hello, websocket, holder.expires)
        await gateway.join(session, hello)
        async for text in messages:
            if not await gateway.hear(session, wire.load(text)):
                raise Invalid("type", "is not for the service")
    except Refused as refused:
        logger.warning("agent %s refused: %s", holder.subject, refused)
        printobs.security.event("agent_refused", "high")
        await close(websocket, wire.REFUSED, last=wire.Refuse(str(refused)))
    except Invalid as invalid:
        logger.warning("agent %s breaks the protocol: %s", holder.subject, invalid)
        printobs.security.event("protocol_violation", "medium")
        await close(websocket, wire.PROTOCOL_ERROR, str(invalid)[:100])
    except Problem as throttled:
        await close(websocket, TRY_AGAIN, throttled.detail)
    except Unavailable:
        # What it said was not taken: it says it again on its next connection.
        await close(websocket, TRY_AGAIN, "the service cannot store anything just now")
    except TimeoutError:
        logger.warning("agent %s does not speak or does not read", holder.subject)
        await close(websocket, 1008)
    except (StopAsyncIteration, WebSocketDisconnect, OSError):
        pass
    finally:
        if session is not None:
            await gateway.leave(session)


async def client(websocket: WebSocket) -> None:
    """A web client: it is sent every change of its own jobs, an operator's of all, as the API shows a job.

    With ``?after=SEQ`` it catches up first, or is told ``missed`` and the last number, where that is not possible.
    """
    holder = await _admitted(websocket, "print", "operate")
    if holder is None:
        return
    clients: Clients = websocket.app.state.clients
    owner = None if "operate" in holder.scopes else holder.subject
    try:
        after = _after(websocket)
        with clients.client(owner) as listening:
            sending = asyncio.create_task(_tell(websocket, listening, after))
            try:
                async for _ in _texts(websocket, holder):
                    pass  # it has nothing to say
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
    except Invalid as invalid:
        await close(websocket, 1003, str(invalid)[:100])
    except Problem as throttled:
        await close(websocket, TRY_AGAIN, throttled.detail)
    except TooMany:
        await close(websocket, TRY_AGAIN, "too many clients are connected")


def _after(websocket: WebSocket) -> int | None:
    text = Fields(dict(websocket.query_params), "query").text("after", 18, "", pattern="[0-9]*")
    return int(text) if text else None


async def _tell(websocket: WebSocket, client: Client, after: int | None) -> None:
    clients: Clients = websocket.app.state.clients
    database: Database = websocket.app.state.database
    last = 0
    if after is not None:
        # New events wait in the client meanwhile: none is missed between the two, and none sent twice.
        try:
            happenings, gap = await database.read(database.views.missed, client.owner, after)
        except Unavailable:
            await close(websocket, TRY_AGAIN, "the service cannot read anything just now")
            return
        if gap is not None:
            last = gap
            await websocket.send_text(json.dumps({"type": "missed", "seq": gap}))
        for happening in happenings:
            last = happening.seq
            await websocket.send_text(clients.text(happening))
    while not client.behind:
        happening = await client.events.get()
        if happening.seq > last:
            await websocket.send_text(clients.text(happening))
    await close(websocket, TRY_AGAIN, "you do not read fast enough: ask for your jobs over HTTP")


async def _admitted(websocket: WebSocket, *any_of: str) -> tokens.Holder | None:
    settings: Settings = websocket.app.state.settings
    throttle: Throttle = websocket.app.state.throttle
    try:
        throttle.admit(HANDSHAKE, "address", address(websocket))
        holder = tokens.holder(websocket, settings.secret, settings.audience, *any_of)
        throttle.admit(HANDSHAKE, "token", holder.subject)
    except tokens.Refused as refused:
        await websocket.send_denial_response(unauthorized(refused).response())
        return None
    except Problem as throttled:
        await websocket.send_denial_response(throttled.response())
        return None
    if "agent" in any_of:
        client = f"{holder.branch}/{holder.subject}"
        printobs.identify(websocket, client_type="desktop", branch=holder.branch, client=client)
    else:
        printobs.identify(websocket, client_type="web")
    # Browsers say where a page is from; nobody else does.
    origin = websocket.headers.get("origin")
    if origin is not None and origin not in settings.origins:
        printobs.refusal(websocket, "origin")
        printobs.security.origin_refused(origin, "websocket")
        problem = Problem(403, "origin", "pages from here may not connect: add the origin to SERVICE_ORIGINS")
        await websocket.send_denial_response(problem.response())
        return None
    await websocket.accept(tokens.subprotocol(websocket))
    return holder


async def _texts(websocket: WebSocket, holder: tokens.Holder) -> AsyncIterator[str]:
    throttle: Throttle = websocket.app.state.throttle
    client = address(websocket)
    while (event := await websocket.receive())["type"] == "websocket.receive":
        throttle.admit(MESSAGE, "address", client)
        throttle.admit(MESSAGE, "token", holder.subject)
        text = event.get("text")
        if text is None:
            raise Invalid("message", "must be text")
        yield text
