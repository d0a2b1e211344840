"""Which pages may send requests: those of SERVICE_ORIGINS (https://fetch.spec.whatwg.org/#http-cors-protocol)."""

from __future__ import annotations

from typing import Any, Final

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

import printobs
from examples.service.problems import Problem
from examples.service.settings import Settings

_SENT: Final = (
    "Authorization",
    "Idempotency-Key",
    "X-Correlation-ID",
    "X-Request-ID",
    "traceparent",
    "tracestate",
    "baggage",
)
_READ: Final = ("Location", "Retry-After", "X-Correlation-ID")


class Cors(CORSMiddleware):
    """Counts the origins that it refuses, and says what to do."""

    def is_allowed_origin(self, origin: str) -> bool:
        """Asked once for each request that has an origin."""
        allowed = super().is_allowed_origin(origin)
        if not allowed:
            printobs.security.origin_refused(origin)
        return allowed

    def preflight_response(self, request_headers: Headers) -> Response:
        """As Starlette answers; what is refused, as a problem."""
        response = super().preflight_response(request_headers)
        if response.status_code != 400:
            return response
        why = bytes(response.body).decode()
        detail = f"{why}: an origin is added to SERVICE_ORIGINS; methods and headers are those of /openapi.json"
        return Problem(400, "origin", detail, {"Vary": response.headers["Vary"]}).response()


def middleware(settings: Settings) -> Middleware:
    """For the application's list."""
    options: dict[str, Any] = {"allow_methods": ("GET", "POST"), "allow_headers": _SENT, "expose_headers": _READ}
    return Middleware(Cors, allow_origins=settings.origins, **options)
