"""The HTTP interface: jobs, printers, health."""

from __future__ import annotations

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

import printobs
from examples.jobs import receipt, wire
from examples.jobs.checks import Fields, parse
from examples.service import tokens
from examples.service.gateway import Gateway
from examples.service.problems import Problem
from examples.service.queue import Full, Job
from examples.service.settings import Settings

JOBS = "/api/v1/printing/jobs"


async def submit(request: Request) -> Response:
    """``POST /api/v1/printing/jobs``: 202 and where to ask."""
    owner = _holder(request)
    fields = Fields(parse(await _body(request)))
    printer = fields.text("printer", 64, pattern=wire.NAME)
    kind = fields.text("kind", 32, "receipt", pattern=wire.KIND)
    timeout = fields.seconds("timeout", 0.1, 600, _settings(request).job_timeout)
    content = fields.take("receipt", dict)
    fields.end()
    receipt.elements(content)
    return await _accepted(request, owner, printer, kind, timeout, content)


async def test_print(request: Request) -> Response:
    """``POST /api/v1/printing/printers/{id}/test``: a short receipt."""
    owner = _holder(request)
    printer = request.path_params["id"]
    return await _accepted(
        request, owner, printer, "test", _settings(request).job_timeout, receipt.sample("Test print")
    )


async def show_job(request: Request) -> Response:
    """``GET /api/v1/printing/jobs/{id}``: how it stands; 404 for a job of somebody else too."""
    owner = _holder(request)
    gateway = _gateway(request)
    job = gateway.queue.get(request.path_params["id"])
    if job is None or job.owner != owner:
        raise Problem(404, "there is no such job, or it ended too long ago")
    return JSONResponse(gateway.describe(job))


async def show_printers(request: Request) -> Response:
    """``GET /api/v1/printing/printers``: those that agents have registered since the service started."""
    _holder(request)
    gateway = _gateway(request)
    printers = [
        {
            "id": printer.id,
            "branch": printer.branch,
            "agent": printer.agent.name if printer.agent else None,
            "online": printer.agent is not None,
            "waiting": sum(1 for _ in gateway.queue.open(printer.id)),
        }
        for printer in gateway.printers.values()
    ]
    return JSONResponse({"printers": printers})


async def health(request: Request) -> Response:
    """``GET /health``: it answers; for load balancers, so without a token."""
    online = sum(printer.agent is not None for printer in _gateway(request).printers.values())
    return JSONResponse({"status": "ok", "printers": {"online": online, "known": len(_gateway(request).printers)}})


async def _accepted(
    request: Request, owner: str, printer: str, kind: str, seconds: float, content: dict[str, Any]
) -> Response:
    gateway = _gateway(request)
    if printer not in gateway.printers:
        shown = printer if printer.isprintable() else "…"
        raise Problem(404, f"there is no printer {shown[:64]}: no agent has registered it", field="printer")
    carrier: dict[str, str] = printobs.inject({})
    job = Job(
        printer=printer,
        kind=kind,
        receipt=content,
        timeout=seconds,
        owner=owner,
        correlation_id=printobs.correlation_id() or "",
        carrier=carrier,
        expires=time.monotonic() + _settings(request).job_lifetime,
    )
    try:
        await gateway.submit(job)
    except Full:
        raise Problem(503, "too many jobs are waiting: try again later", {"Retry-After": "5"}) from None
    return JSONResponse(gateway.describe(job), 202, {"Location": f"{JOBS}/{job.id}"})


async def _body(request: Request) -> bytes:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "send application/json", field="content-type")
    limit = _settings(request).max_body
    declared = request.headers.get("content-length", "")
    body = bytearray()
    if not declared.isdigit() or int(declared) <= limit:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                break
        else:
            return bytes(body)
    raise Problem(413, f"the body has more than {limit} bytes", {"Connection": "close"}, field="body")


def _holder(request: Request) -> str:
    settings = _settings(request)
    return tokens.holder(request, settings.secret, settings.audience, "print").subject


def _settings(request: Request) -> Settings:
    return request.app.state.settings  # type: ignore[no-any-return]


def _gateway(request: Request) -> Gateway:
    return request.app.state.gateway  # type: ignore[no-any-return]
