"""What a caller did wrong, as problem details (RFC 9457)."""

from __future__ import annotations

import http
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

import printobs
from examples.jobs.checks import Invalid
from examples.service.tokens import Refused


class Problem(Exception):  # noqa: N818 - the name that RFC 9457 gives it
    """A response that says what is wrong; ``headers`` go with it."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None, **members: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers
        self.members = members

    def response(self) -> Response:
        """As ``application/problem+json``."""
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": http.HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "correlation_id": printobs.correlation_id(),
            **self.members,
        }
        return JSONResponse(body, self.status, self.headers, "application/problem+json")


def unauthorized(refused: Refused) -> Problem:
    """The answer to a request without a good token (RFC 6750)."""
    challenge = "Bearer" + (f' error="{refused.code}"' if refused.code else "")
    detail = "the token lacks the scope for this" if refused.status == 403 else "a good bearer token is needed"
    return Problem(refused.status, detail, {"WWW-Authenticate": challenge})


async def _problem(_: Request, error: Exception) -> Response:
    if isinstance(error, Invalid):
        error = Problem(400, f"{error.field} {error.why}", field=error.field)
    elif isinstance(error, Refused):
        error = unauthorized(error)
    elif isinstance(error, HTTPException):
        error = Problem(error.status_code, error.detail, dict(error.headers or {}))
    assert isinstance(error, Problem)
    return error.response()


HANDLERS: dict[Any, Any] = {Problem: _problem, Invalid: _problem, Refused: _problem, HTTPException: _problem}
