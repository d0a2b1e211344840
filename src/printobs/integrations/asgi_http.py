"""HTTP requests: the contrib instrumentation's spans and metrics, by the stable semantic conventions, with the route
and the correlation ID that it lacks, and without the query strings and exception texts that it would record.

What a stranger can make as long as he likes, or write control characters into, it is given short and clean.
"""

from __future__ import annotations

import copy
import os
from typing import Final

from opentelemetry import context, trace
from opentelemetry.instrumentation import _semconv
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.trace import StatusCode
from opentelemetry.util.http import get_excluded_urls, sanitize_method
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from printobs.core.attributes import clean, error_type
from printobs.core.conventions import CORRELATION_ID, ERROR_TYPE, HTTP_ROUTE
from printobs.core.guard import Guard, swallow
from printobs.core.telemetry import Telemetry
from printobs.signals import correlation
from printobs.signals.propagation import readable

_DOING: Final = "tracing an HTTP request"
_guard: Final = Guard(_DOING)

_MAX_AGENT: Final = 256  # characters
_MAX_PATH: Final = 1024

_contrib: tuple[Telemetry, OpenTelemetryMiddleware] | None = None


async def serve(
    telemetry: Telemetry, app: ASGIApp, route: str | None, scope: Scope, receive: Receive, send: Send
) -> None:
    """Serve one request of ``app``; its exceptions pass, and none of the telemetry's does."""
    request = _Request(app, scope, receive, send)
    try:
        middleware = _middleware(telemetry)
        middleware.app = request.follow
        middleware.default_span_details = lambda _scope: _details(scope, route)
        await middleware(_fit_to_record(scope), receive, request.passed_on)
    except Exception as error:
        swallow(_DOING, error)
        if not request.begun:
            await request.run(request.passed_on)
    if request.failure is not None:
        raise request.failure


def _middleware(telemetry: Telemetry) -> OpenTelemetryMiddleware:
    global _contrib
    if _contrib is None or _contrib[0] is not telemetry:
        _contrib = telemetry, _made(telemetry)
    # It keeps the response's length on itself: shared, concurrent requests would record each other's.
    return copy.copy(_contrib[1])


def _made(telemetry: Telemetry) -> OpenTelemetryMiddleware:
    conventions = _semconv._OpenTelemetrySemanticConventionStability
    conventions._initialize()  # type: ignore[no-untyped-call]
    modes, http = conventions._OTEL_SEMCONV_STABILITY_SIGNAL_MAPPING, _semconv._OpenTelemetryStabilitySignalType.HTTP
    theirs = modes[http]
    # What the deployment says is the whole process's, and read before we come. Where it says nothing, the default is
    # the conventions of 2022, with the Host header as a label: ours are the stable ones, for this middleware alone.
    if "OTEL_SEMCONV_STABILITY_OPT_IN" not in os.environ:
        modes[http] = _semconv._StabilityMode.HTTP
    try:
        made = OpenTelemetryMiddleware(
            _nothing,
            excluded_urls=get_excluded_urls("ASGI"),
            tracer_provider=telemetry.tracer_provider,
            meter_provider=telemetry.meter_provider,
            exclude_spans=["receive", "send"],
        )
    finally:
        modes[http] = theirs
    # Not stable, and with their buckets two thirds of all that a scrape of HTTP would be.
    made.server_request_body_size_histogram = made.server_response_body_size_histogram = None
    return made


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("each request brings its own application")


def _fit_to_record(scope: Scope) -> Scope:
    headers: list[tuple[bytes, bytes]] = []
    carried: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        if name in (b"baggage", b"tracestate"):
            carried.setdefault(name.decode(), []).append(value.decode("latin-1"))
        elif name == b"user-agent":
            headers.append((name, clean(value.decode("latin-1"), _MAX_AGENT).encode()))
        else:
            # In UTF-8: of what is not, it takes a backslash for an escape, and raises where it is none.
            headers.append((name, value if value.isascii() else value.decode("latin-1").encode()))
    for field, values in carried.items():
        headers += [(field.encode(), each.encode()) for each in readable(field, values)]
    client = scope.get("client")  # a proxy's word, where the server believes it
    return {
        **scope,
        "client": client and (clean(client[0]), client[1]),
        "headers": headers,
        "method": clean(scope["method"]),
        "path": clean(scope["path"], _MAX_PATH),
        "query_string": b"",
    }


def _details(scope: Scope, route: str | None) -> tuple[str, dict[str, str]]:
    # https://opentelemetry.io/docs/specs/semconv/http/http-spans/#name: never the path, which a client can choose.
    method = sanitize_method(str(scope.get("method", "")).strip())
    name = "HTTP" if method in (None, "_OTHER") else method
    return (name, {}) if route is None else (f"{name} {route}", {HTTP_ROUTE: route})


class _Request:
    """One request on its way through the contrib middleware and back."""

    __slots__ = ("_app", "_passed", "_receive", "_scope", "_send", "_send_failure", "begun", "failure", "ids")

    def __init__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        self._app = app
        self._scope = scope
        self._receive = receive
        self._send = send
        self._passed = False
        self._send_failure: Exception | None = None
        self.begun = False
        self.failure: Exception | None = None
        self.ids: list[tuple[bytes, bytes]] = []

    async def follow(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """What the contrib middleware takes for the application; an exception is kept from it, with its text."""

        async def sending(message: Message) -> None:
            self._passed = False
            try:
                await send(message)
            except Exception as error:
                if error is self._send_failure:
                    raise
                swallow(_DOING, error)
                if not self._passed:
                    await self.passed_on(message)

        await self.run(sending)

    async def run(self, send: Send) -> None:
        """Run the application under its correlation ID; keep its exception in ``failure``."""
        self.begun = True
        before = context.get_current()
        with _guard:
            self._correlate(before)
        try:
            await self._app(self._scope, self._receive, send)
        except Exception as error:
            self.failure = error
            with _guard:
                span = trace.get_current_span()
                if span.is_recording():  # not any more where a background task raised: the response was whole
                    span.set_attribute(ERROR_TYPE, error_type(error))
                    span.set_status(StatusCode.ERROR)
        finally:
            context.attach(before)

    def _correlate(self, before: context.Context) -> None:
        headers = {name: value.decode("latin-1") for name, value in reversed(self._scope["headers"])}
        identifier = correlation.incoming(lambda name: headers.get(name.encode()), before)
        trace.get_current_span(before).set_attribute(CORRELATION_ID, identifier)
        request = headers.get(b"x-request-id")
        theirs = request if request is not None and correlation.well_formed(request) else identifier
        self.ids = [(b"x-correlation-id", identifier.encode()), (b"x-request-id", theirs.encode())]
        context.attach(correlation.with_id(identifier, before))

    async def passed_on(self, message: Message) -> None:
        """Send to the server, with the IDs in the headers of the response."""
        self._passed = True
        if message["type"] == "http.response.start" and self.ids:
            headers = list(message.get("headers", ()))
            present = {bytes(name).lower() for name, _ in headers}
            headers += [each for each in self.ids if each[0] not in present]
            message = {**message, "headers": headers}
        try:
            await self._send(message)
        except Exception as error:
            self._send_failure = error
            raise
