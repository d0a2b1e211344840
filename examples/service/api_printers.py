"""The HTTP interface to printers and agents, and to the service's own health."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

import printobs
from examples.jobs import wire
from examples.jobs.checks import Fields, parse
from examples.service.database import Database
from examples.service.gateway import Gateway, StillThere
from examples.service.jobs import UnknownPrinter
from examples.service.problems import Problem, unknown
from examples.service.records import moment
from examples.service.registry import UnknownAgent
from examples.service.requests import Call
from examples.service.writer import Unavailable

PRINTERS: Final = "/api/v1/printing/printers"
AGENTS: Final = "/api/v1/printing/agents"
PROBE: Final = 1.0  # seconds that readiness is taken from the last look: who asks needs no token


async def printers(request: Request) -> Response:
    """``GET /api/v1/printing/printers``: those that agents have registered, and how they are."""
    call = Call(request, "print", "operate")
    rows = await call.database.read(call.database.views.printers)
    return JSONResponse(
        {
            "printers": [
                {
                    "id": row["id"],
                    "branch": row["branch"],
                    "agent": row["agent"],
                    "online": call.gateway.online(row["id"]),
                    "state": row["state"] if call.gateway.online(row["id"]) else "unknown",
                    "score": row["score"] if row["score"] >= 0 and call.gateway.online(row["id"]) else None,
                    "serial": row["serial"] or None,
                    "changed_at": moment(row["changed_at"]),
                    "waiting": row["waiting"],
                    "expected": bool(row["expected"]),
                }
                for row in rows
            ]
        }
    )


async def agents(request: Request) -> Response:
    """``GET /api/v1/printing/agents``: every agent that has been here."""
    call = Call(request, "operate")
    served: dict[tuple[str, str], list[str]] = {}
    for row in await call.database.read(call.database.views.printers):
        served.setdefault((row["branch"], row["agent"]), []).append(row["id"])
    rows = await call.database.read(call.database.views.agents)
    return JSONResponse({"agents": [_agent(row, call.gateway, served) for row in rows]})


def _agent(row: Mapping[str, Any], gateway: Gateway, served: Mapping[tuple[str, str], list[str]]) -> dict[str, object]:
    connection = gateway.connection(row["branch"], row["name"])
    quality = printobs.quality(connection)
    return {
        "name": row["name"],
        "branch": row["branch"],
        "online": connection is not None,
        "score": quality.score,
        "level": quality.level,
        "seen_at": moment(row["seen_at"]),
        "expected": bool(row["expected"]),
        "printers": served.get((row["branch"], row["name"]), []),
    }


async def reassign(request: Request) -> Response:
    """``POST /api/v1/printing/printers/{id}/reassign``: another agent may claim it, as a new device."""
    call = Call(request, "operate")
    fields = Fields(parse(await call.body()))
    agent = fields.text("agent", 64, pattern=wire.NAME)
    fields.end()
    printer = request.path_params["id"]
    try:
        await call.gateway.reassign(printer, agent)
    except UnknownPrinter as error:
        raise unknown("id", error, PRINTERS) from None
    return JSONResponse({"agent": agent})


async def retire_printer(request: Request) -> Response:
    """``POST /api/v1/printing/printers/{id}/retire``: it is gone for good, and nobody is to be told that it is away."""
    call = Call(request, "operate")
    await call.empty()
    printer = request.path_params["id"]
    try:
        await call.gateway.retire_printer(printer)
    except UnknownPrinter as error:
        raise unknown("id", error, PRINTERS) from None
    except StillThere:
        raise Problem(409, "id", f"{printer} is served: take it out of its agent's configuration first") from None
    return JSONResponse({"expected": False})


async def retire_agent(request: Request) -> Response:
    """``POST /api/v1/printing/agents/{branch}/{name}/retire``: it and its printers are gone for good."""
    call = Call(request, "operate")
    await call.empty()
    agent = request.path_params["name"]
    try:
        await call.gateway.retire_agent(request.path_params["branch"], agent)
    except UnknownAgent as error:
        raise unknown("name", error, AGENTS) from None
    except StillThere:
        raise Problem(409, "name", f"{agent} is connected: stop it first") from None
    return JSONResponse({"expected": False})


async def live(_: Request) -> Response:
    """``GET /health/live``: the process answers."""
    return JSONResponse({"status": "ok"})


async def health(request: Request) -> Response:
    """``GET /health`` and ``/health/ready``: it can keep a promise; for load balancers, so without a token."""
    state = request.app.state
    database: Database = state.database
    gateway: Gateway = state.gateway
    if time.monotonic() > state.probed_at + PROBE:
        state.probed_at = time.monotonic()
        try:
            await database.probe()
            state.ready = True
        except Unavailable:
            state.ready = False
    known = await database.read(database.views.printers) if state.ready else []
    online = sum(gateway.online(row["id"]) for row in known)
    body = {"status": "ok" if state.ready else "unavailable", "printers": {"online": online, "known": len(known)}}
    return JSONResponse(body, 200 if state.ready else 503)
