"""The HTTP interface to jobs."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

import printobs
from examples.jobs import receipt, wire
from examples.jobs.checks import Fields, Invalid, parse
from examples.jobs.states import State
from examples.service.api_printers import PRINTERS
from examples.service.jobs import Full, KeyReused, TooLate, UnknownPrinter
from examples.service.problems import Problem, busy, unknown
from examples.service.records import Job, Order
from examples.service.requests import Call
from examples.service.views import Filter

JOBS: Final = "/api/v1/printing/jobs"
PAGE: Final = 200  # jobs at most in one answer


async def submit(request: Request) -> Response:
    """``POST /api/v1/printing/jobs``: 202 and where to ask."""
    call = Call(request, "print")
    body = await call.body()
    fields = Fields(parse(body))
    printer = fields.text("printer", 64, pattern=wire.NAME)
    kind = fields.text("kind", 32, "receipt", pattern=wire.KIND)
    timeout = fields.seconds("timeout", 0.1, wire.MAX_TIMEOUT, call.settings.job_timeout)
    lifetime = fields.seconds("expires_in", 1, wire.MAX_LIFETIME, call.settings.job_lifetime)
    content = _content(fields)
    fields.end()
    if "raw" in content:
        call.holder.require("raw")
    order = _order(call, printer, kind, timeout, lifetime, content, body)
    return await accepted(call, call.gateway.submit(order))


def _content(fields: Fields) -> dict[str, Any]:
    raw = fields.text("raw", wire.MAX_RAW * 4 // 3 + 4, "", pattern=wire.BASE64)
    if raw:
        if fields.take("receipt", dict, {}):
            raise Invalid("raw", "cannot come with a receipt: send one of both")
        try:
            base64.b64decode(raw, validate=True)
        except binascii.Error:
            raise Invalid("raw", "is not base64") from None
        return {"raw": raw}
    structured = fields.take("receipt", dict)
    receipt.elements(structured)
    return {"receipt": structured}


def _order(
    call: Call, printer: str, kind: str, timeout: float, lifetime: float, content: dict[str, Any], body: bytes = b""
) -> Order:
    key, digest = call.key(body)
    return Order(
        printer=printer,
        kind=kind,
        timeout=timeout,
        lifetime=lifetime,
        content=content,
        owner=call.holder.subject,
        key=key,
        request=digest,
        correlation_id=printobs.correlation_id() or "",
        carrier=printobs.inject({}),
    )


async def test_print(request: Request) -> Response:
    """``POST /api/v1/printing/printers/{id}/test``: a short receipt."""
    call = Call(request, "print", "operate")
    await call.empty()
    settings = call.settings
    content = {"receipt": receipt.sample("Test print")}
    order = _order(call, request.path_params["id"], "test", settings.job_timeout, settings.job_lifetime, content)
    try:
        return await accepted(call, call.gateway.submit(order), "id")
    except Problem as problem:
        if problem.status == 404:
            await call.database.write(call.database.jobs.missed)
        raise


async def reprint(request: Request) -> Response:
    """``POST /api/v1/printing/jobs/{id}/reprint``: a new job, marked on paper; 409 while the old one is open."""
    call = Call(request, "print", "operate")
    await call.empty()
    job = await call.job()
    order = _order(call, job.printer, job.kind, job.timeout, job.expires_at - job.created_at, {})
    return await accepted(call, call.gateway.reprint(job, order))


async def accepted(call: Call, taking: Awaitable[Job], printer: str = "printer") -> Response:
    """202 once a job is durable; ``printer`` is the field that named its printer."""
    try:
        job = await taking
    except UnknownPrinter as error:
        raise unknown(printer, error, PRINTERS) from None
    except KeyReused:
        raise Problem(
            422, "idempotency-key", "this key was sent with another request: send a new key with a new request"
        ) from None
    except Full:
        raise busy("printer", "too many jobs are waiting, in all or for this printer: try again later") from None
    except TooLate as late:
        raise _conflict(late, "it has no outcome yet: wait for it, or cancel it") from None
    return JSONResponse(call.clients.shown(job.describe()), 202, {"Location": f"{JOBS}/{job.id}"})


async def show(request: Request) -> Response:
    """``GET /api/v1/printing/jobs/{id}``: how it stands; 404 for a job of somebody else too."""
    call = Call(request, "print", "operate")
    job = await call.job()
    return JSONResponse(call.clients.shown(job.describe()))


async def listed(request: Request) -> Response:
    """``GET /api/v1/printing/jobs``: the newest first, in pages; a client's own, an operator's all."""
    call = Call(request, "print", "operate")
    query = call.query()
    printer = query.text("printer", 64, "", pattern=f"{wire.NAME}|")
    state = query.choice("state", [*State, ""], "")
    held = query.choice("held", ("true", "false", ""), "")
    limit = query.text("limit", 3, str(PAGE // 4), pattern="[0-9]+")
    before = query.text("before", 18, "", pattern="[0-9]+|")
    query.end()
    if not 1 <= int(limit) <= PAGE:
        raise Invalid("query.limit", f"must be from 1 to {PAGE}")
    wanted = Filter(
        owner=None if call.operates else call.holder.subject,
        printer=printer or None,
        state=state or None,
        held=held == "true" if held else None,
        before=int(before) if before else None,
    )
    jobs = await call.database.read(call.database.views.jobs, wanted, int(limit))
    return JSONResponse(
        {
            "jobs": [call.clients.shown(job.describe()) for job in jobs],
            "next": str(jobs[-1].position) if len(jobs) == int(limit) else None,
        }
    )


async def cancel(request: Request) -> Response:
    """``POST /api/v1/printing/jobs/{id}/cancel``: 200 when it is, 202 while its agent is asked, 409 too late."""
    call = Call(request, "print", "operate")
    await call.empty()
    job = await call.job()
    try:
        job = await call.gateway.cancel(job)
    except TooLate as late:
        raise _conflict(late, "it is too late to cancel it: it has begun, or ended") from None
    return JSONResponse(call.clients.shown(job.describe()), 200 if job.state.final else 202)


async def release(request: Request) -> Response:
    """``POST /api/v1/printing/jobs/{id}/release``: a person has seen to a held job."""
    call = Call(request, "operate")
    await call.empty()
    job = await call.job()
    try:
        job = await call.database.write(call.database.jobs.release, job)
    except TooLate as late:
        raise _conflict(late, "it is not held: nothing is to be released") from None
    return JSONResponse(call.clients.shown(job.describe()))


def _conflict(late: TooLate, why: str) -> Problem:
    return Problem(409, "id", f"the job is {late.job.state.value}, {why}")
