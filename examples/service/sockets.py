"""The WebSockets: ``/ws/agent`` for agents, ``/ws/client`` for those who want to know how their jobs end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

from starlette.websockets import WebSocket, WebSocketDisconnect

from examples.jobs import wire
from examples.jobs.checks import Invalid
from examples.service import tokens
from examples.service.gateway import Agent, Client, Gateway, send
from examples.service.problems import unauthorized
from examples.service.settings import Settings

logger = logging.getLogger("service")

HELLO_TIMEOUT = 10.0  # seconds


async def agent(websocket: WebSocket) -> None:
    """An agent: hello first, then its results, until it goes."""
    holder = await _admitted(websocket, "agent")
    if holder is None:
        return
    gateway: Gateway = websocket.app.state.gateway
    messages = _texts(websocket)
    joined: Agent | None = None
    try:
        async with asyncio.timeout(HELLO_TIMEOUT):
            hello = wire.load(await anext(messages))
        if not isinstance(hello, wire.Hello):
            raise Invalid("type", "must be hello at first")
        printers = [printer.id for printer in hello.printers]
        joined = Agent(hello.agent, hello.branch, hello.journal, websocket)
        refusal = f"the token is for branch {holder.branch}" if hello.branch != holder.branch else None
        refusal = refusal or await gateway.join(joined, printers, [job.id for job in hello.jobs])
        if refusal is not None:
            logger.warning("agent %s refused: %s", hello.agent, refusal)
            await send(websocket, wire.dump(wire.Refuse(refusal)))
            await websocket.close(wire.REFUSED)
            return
        logger.info("agent %s of %s serves %s", hello.agent, hello.branch, ", ".join(printers))
        async for text in messages:
            message = wire.load(text)
            if not isinstance(message, wire.Done):
                raise Invalid("type", "must be done")
            await gateway.done(joined, message)
    except Invalid as invalid:
        logger.warning("agent %s breaks the protocol: %s", holder.subject, invalid)
        await websocket.close(wire.PROTOCOL_ERROR, str(invalid)[:100])
    except TimeoutError:
        logger.warning("agent %s does not speak or does not read", holder.subject)
        await websocket.close(1008)
    except (StopAsyncIteration, WebSocketDisconnect, OSError):
        pass
    finally:
        if joined is not None:
            gateway.leave(joined)


async def client(websocket: WebSocket) -> None:
    """A web client: it is sent every change of its own jobs, as the API shows a job."""
    holder = await _admitted(websocket, "print")
    if holder is None:
        return
    gateway: Gateway = websocket.app.state.gateway
    with gateway.client(holder.subject) as events:
        sending = asyncio.create_task(_tell(websocket, events))
        try:
            async for _ in _texts(websocket):
                pass  # it has nothing to say
        except Invalid:
            await websocket.close(1003)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


async def _tell(websocket: WebSocket, client: Client) -> None:
    while not client.behind:
        await websocket.send_text(await client.events.get())
    await websocket.close(1013, "you do not read fast enough: ask for your jobs over HTTP")


async def _admitted(websocket: WebSocket, scope: str) -> tokens.Holder | None:
    settings: Settings = websocket.app.state.settings
    try:
        holder = tokens.holder(websocket, settings.secret, settings.audience, scope)
    except tokens.Refused as refused:
        await websocket.send_denial_response(unauthorized(refused).response())
        return None
    await websocket.accept(tokens.subprotocol(websocket))
    return holder


async def _texts(websocket: WebSocket) -> AsyncIterator[str]:
    while (event := await websocket.receive())["type"] == "websocket.receive":
        text = event.get("text")
        if text is None:
            raise Invalid("message", "must be text")
        yield text
