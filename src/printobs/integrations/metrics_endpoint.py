"""The process's metrics for Prometheus: an ASGI application, or a Starlette route, behind a JSON Web Token."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.types import Options
from opentelemetry import context, metrics, trace
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import choose_encoder

from printobs.core.conventions import AuthenticationFailure
from printobs.signals.security import security

if TYPE_CHECKING:
    from starlette.routing import Route

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]

_MIN_SECRET: Final = 32  # bytes: RFC 7518, section 3.2


# Not iat: it says how old a token is (RFC 7519, 4.1.6), and is in the future once this machine's clock is set back.
_CHECKED: Final[Options] = {"require": ["exp", "aud"], "verify_iat": False}


class _Refused(Exception):  # noqa: N818 - reads as what happened
    """A request without a token that is good for this; ``code`` as in RFC 6750, section 3.1."""

    def __init__(self, status: int, code: str | None, reason: AuthenticationFailure) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.reason = reason


# A class after those that it is a base of.
_REASONS: Final = (
    (jwt.ExpiredSignatureError, AuthenticationFailure.EXPIRED),
    (jwt.InvalidAudienceError, AuthenticationFailure.AUDIENCE),
    (jwt.InvalidSignatureError, AuthenticationFailure.SIGNATURE),
    (jwt.InvalidAlgorithmError, AuthenticationFailure.SIGNATURE),
    (jwt.DecodeError, AuthenticationFailure.MALFORMED),
    (jwt.MissingRequiredClaimError, AuthenticationFailure.MALFORMED),
)


def _reason(error: jwt.PyJWTError) -> AuthenticationFailure:
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), AuthenticationFailure.OTHER)


class _Family:
    """A registry of one family, as an encoder takes it."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterator[Metric]:
        yield self._family


class _Metrics:
    """One reader with a registry of its own, so that nothing else of the process is exposed."""

    def __init__(self, provider: MeterProvider) -> None:
        self._registry = CollectorRegistry()
        self._make_thread()
        provider.add_metric_reader(PrometheusMetricReader(registry=self._registry))

    async def rendered(self, accept: str) -> tuple[list[bytes], str]:
        """The metrics as ``accept`` asks for them, and their content type."""
        if self._process != os.getpid():  # forked: the thread is the parent's
            self._make_thread()
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._render, accept)

    def _make_thread(self) -> None:
        # Collecting takes milliseconds: not on the event loop. One at a time, and always in the same thread: what it
        # takes for a moment, megabytes where there are many series, stays in its thread's part of the heap.
        self._process = os.getpid()
        self._thread = ThreadPoolExecutor(1, "printobs-metrics")

    def _render(self, accept: str) -> tuple[list[bytes], str]:
        try:
            encode, content_type = choose_encoder(accept)
        except Exception:  # it takes the header's parameters for numbers
            encode, content_type = choose_encoder("")
        # A span that is current would become the exemplar of every observed point.
        token = context.attach(trace.set_span_in_context(trace.INVALID_SPAN))
        try:
            # One family after the other: the text of all is as large as all their samples are.
            parts = [encode(_Family(each)).removesuffix(b"# EOF\n") for each in self._registry.collect()]
            return [*parts, *([b"# EOF\n"] if "openmetrics" in content_type else [])], content_type
        finally:
            context.detach(token)


def metrics_app(
    *,
    audience: str,
    secret: str | None = None,
    public_key: str | None = None,
    scope: str = "metrics",
    meter_provider: MeterProvider | None = None,
) -> App:
    """An ASGI application that answers GET with the metrics, as Prometheus text or OpenMetrics as ``Accept`` asks.

    A request needs ``Authorization: Bearer TOKEN``: a JWT signed with HS256 by ``secret`` (32 bytes at least) or with
    RS256 by the key to ``public_key`` (PEM), with ``exp``, this ``aud``, and ``scope`` among its space-separated
    ``scope``. The algorithm follows from the key that is given here, never from the token. Without a good token: 401
    (403 where only the scope is missing) with ``WWW-Authenticate`` as RFC 6750 has it, and problem details (RFC 9457);
    counted by its reason.

    Make it once, after `configure`: a provider that is not the SDK's raises RuntimeError, bad arguments ValueError.
    """
    if not audience or not scope:
        raise ValueError("audience and scope must not be empty: without them tokens for other services would do")
    if (secret is None) == (public_key is None):
        raise ValueError("give either secret (HS256) or public_key (RS256): the endpoint is never open")
    if secret is not None and len(secret.encode()) < _MIN_SECRET:
        raise ValueError(f"the secret needs {_MIN_SECRET} bytes at least: a shorter one can be guessed from a token")
    provider = metrics.get_meter_provider() if meter_provider is None else meter_provider
    if not isinstance(provider, MeterProvider):
        raise RuntimeError("no metrics are kept yet: call printobs.configure() first, or pass the SDK's meter_provider")
    algorithm = "HS256" if public_key is None else "RS256"
    key = _key(algorithm, secret or public_key or "")
    kept = _Metrics(provider)

    def authorize(headers: dict[bytes, bytes]) -> None:
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer" or not token:
            raise _Refused(401, None, AuthenticationFailure.MISSING)
        try:
            claims = jwt.decode(token.strip(), key, [algorithm], audience=audience, options=_CHECKED)
        except jwt.PyJWTError as error:
            raise _Refused(401, "invalid_token", _reason(error)) from None
        scopes = claims.get("scope")
        if not isinstance(scopes, str) or scope not in scopes.split():
            raise _Refused(403, "insufficient_scope", AuthenticationFailure.SCOPE)

    async def app(request: Message, receive: Receive, send: Send) -> None:
        if request["type"] != "http":
            raise RuntimeError(f"metrics are served over HTTP, not {request['type']}")
        if request["method"] not in ("GET", "HEAD"):
            await _refuse(request, send, 405, "method", "use GET", (b"allow", b"GET, HEAD"))
            return
        headers = dict(request["headers"])
        try:
            authorize(headers)
        except _Refused as refused:
            security.authentication_failed(refused.reason)
            challenge = b"Bearer" + (f' error="{refused.code}"'.encode() if refused.code else b"")
            fix = f"with the scope {scope}" if refused.status == 403 else "signed for this service, and not expired"
            detail = f"send a token as 'Authorization: Bearer …': {fix}"
            await _refuse(request, send, refused.status, "authorization", detail, (b"www-authenticate", challenge))
            return
        body, content_type = await kept.rendered(headers.get(b"accept", b"").decode("latin-1"))
        await _respond(request, send, 200, body, [(b"content-type", content_type.encode())])

    return app


def _key(algorithm: str, given: str) -> Any:
    try:
        key = jwt.get_algorithm_by_name(algorithm).prepare_key(given)
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise ValueError(f"this is no key for {algorithm}: {error}") from None
    if algorithm == "RS256" and not isinstance(key, RSAPublicKey):
        raise ValueError("public_key is the public half of an RSA key, in PEM: this is the private one")
    return key


def metrics_route(path: str = "/api/v1/metrics", **arguments: Any) -> Route:
    """`metrics_app` as a Starlette route; ``arguments`` are the same."""
    from starlette.routing import Route

    class Endpoint:
        """A class, since Starlette would call a function with a request."""

        def __init__(self, app: App) -> None:
            self._app = app

        async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
            await self._app(scope, receive, send)

    return Route(path, Endpoint(metrics_app(**arguments)), methods=["GET"], name="metrics")


async def _refuse(request: Message, send: Send, status: int, field: str, detail: str, header: Header) -> None:
    """Problem details (RFC 9457): ``field`` names what of the request is wrong, ``detail`` says what to do."""
    title = HTTPStatus(status).phrase
    problem = {"type": "about:blank", "title": title, "status": status, "detail": detail, "field": field}
    content_type = (b"content-type", b"application/problem+json")
    await _respond(request, send, status, [json.dumps(problem).encode()], [header, content_type])


async def _respond(request: Message, send: Send, status: int, parts: list[bytes], headers: list[Header]) -> None:
    length = (b"content-length", str(sum(map(len, parts))).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    for part in parts if request["method"] != "HEAD" else ():
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
