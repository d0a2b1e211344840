"""What went wrong with a request, as problem details (RFC 9457): the field it is about, and what to do."""

from __future__ import annotations

import http
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

import printobs
from examples.jobs.checks import Invalid
from examples.service.tokens import Refused
from examples.service.writer import Unavailable

RETRY: Final = "5"  # seconds, as Retry-After


class Problem(Exception):  # noqa: N818 - the name that RFC 9457 gives it
    """A response that says what is wrong: ``field`` names it, ``detail`` says what to do; ``headers`` go with it."""

    def __init__(self, status: int, field: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.field = field
        self.detail = detail
        self.headers = headers

    def response(self) -> Response:
        """As ``application/problem+json``."""
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": http.HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "field": self.field,
            "correlation_id": printobs.correlation_id(),
        }
        return JSONResponse(body, self.status, self.headers, "application/problem+json")


def busy(field: str, detail: str) -> Problem:
    """Nothing was promised: the same request may be sent again, later."""
    return Problem(503, field, detail, {"Retry-After": RETRY})


def unknown(field: str, error: Exception, listed: str) -> Problem:
    """There is no such thing, as ``error`` says; ``listed`` is the path that tells which there are."""
    return Problem(404, field, f"{error}: see {listed} for those there are")


def unauthorized(refused: Refused) -> Problem:
    """The answer to a request without a good token (RFC 6750), which is counted."""
    printobs.security.authentication_failed(refused.reason)
    challenge = "Bearer" + (f' error="{refused.code}"' if refused.code else "")
    if refused.status == 403:
        challenge += f', scope="{refused.scope.replace(" or ", " ")}"'
        detail = f"the token lacks the scope {refused.scope}: ask for one that has it"
    else:
        detail = "send a good token as 'Authorization: Bearer …': signed for this service, and not expired"
    return Problem(refused.status, "authorization", detail, {"WWW-Authenticate": challenge})


async def _problem(request: Request, error: Exception) -> Response:
    match error:
        case Problem():
            return error.response()
        case Invalid():
            return Problem(400, error.field, f"{error.field} {error.why}").response()
        case Refused():
            return unauthorized(error).response()
        case Unavailable():
            return busy("database", "the service cannot store anything just now: send it again later").response()
        case HTTPException(status_code=404):
            return Problem(404, "path", "there is nothing here: see /openapi.json for what there is").response()
        case HTTPException(status_code=405):
            allowed = dict(error.headers or {})
            return Problem(405, "method", f"use {allowed.get('Allow', 'another method')} here", allowed).response()
        case HTTPException():
            return Problem(error.status_code, "request", error.detail, dict(error.headers or {})).response()
    raise AssertionError(request.url.path) from error


HANDLERS: Final[dict[Any, Any]] = dict.fromkeys((Problem, Invalid, Refused, Unavailable, HTTPException), _problem)
