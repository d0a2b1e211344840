"""HTTP of an ASGI application under a real server: what is recorded, what is returned, and what is left alone."""

import http.client
import logging
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import Sampler
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Host, Mount, Route, Router
from starlette.staticfiles import StaticFiles

from printobs.core import telemetry
from printobs.integrations import asgi
from printobs.integrations.asgi import TelemetryMiddleware
from printobs.signals import event_loop
from printobs.signals.correlation import correlation_id
from tests.conftest import Sdk
from tests.integrations.uvicorn_server import serve

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def job(request: Request) -> Response:
    tracer = trace.get_tracer("mine", tracer_provider=request.app.state.provider)
    with tracer.start_as_current_span("work"):
        return PlainTextResponse(f"{request.path_params.get('id')} {correlation_id()} {request.url.query}")


async def broken(request: Request) -> Response:
    raise ValueError("2 x Ramen")


def application(provider: Any = None) -> Starlette:
    inner = Starlette(routes=[Route("/j/{id}", job), Route("/broken", broken)])
    inner.state.provider = provider
    app = Starlette(
        routes=[
            Route("/jobs/{id}", job, methods=["GET"]),
            Route("/broken", broken),
            Mount("/t/{tenant}", app=inner),
            Mount("/r", routes=[Mount("/s", app=Router([Route("/{id}", job)]))]),
            Host("printers.example", app=Router([Route("/only/{id}", job)])),
            Mount("/files", app=StaticFiles(directory=Path(__file__).parent)),
            Mount("/behind", app=inner, middleware=[Middleware(GZipMiddleware)]),
            Mount("/bare", app=PlainTextResponse("bare")),
            Mount("/deep", routes=[Mount("/", app=Router([Route("/last", job)]))]),
        ]
    )
    app.state.provider = provider
    return app


@pytest.fixture
def port(sdk: Sdk) -> Iterator[int]:
    with serve(TelemetryMiddleware(application(sdk.tracer_provider))) as port:
        yield port


def ask(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, body, {name.lower(): value for name, value in response.getheaders()}


def recorded(sdk: Sdk, count: int) -> list[ReadableSpan]:
    """The server spans, once there are ``count``: they end when the client has its answer already."""
    deadline = time.monotonic() + 5
    while len(spans := [each for each in sdk.spans() if each.kind is trace.SpanKind.SERVER]) < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return spans


@pytest.mark.parametrize(
    ("path", "host", "route"),
    [
        ("/jobs/1", "x", "/jobs/{id}"),
        ("/t/mitte/j/7", "x", "/t/{tenant}/j/{id}"),
        ("/r/s/7", "x", "/r/s/{id}"),
        ("/only/7", "printers.example", "/only/{id}"),
        ("/files/test_asgi_http.py", "x", "/files"),
        ("/behind/j/7", "x", "/behind/j/{id}"),
        ("/bare/anything/at/all", "x", "/bare"),
        ("/deep/last", "x", "/deep/last"),
    ],
)
def test_a_request_is_recorded_with_its_route(sdk: Sdk, port: int, path: str, host: str, route: str) -> None:
    status, _, _ = ask(port, path + "?token=secret", Host=host)
    assert status == 200
    [span] = recorded(sdk, 1)
    assert span.name == f"GET {route}"
    assert span.attributes is not None
    assert span.attributes["http.route"] == route
    while not (points := sdk.points("http.server.request.duration")):
        time.sleep(0.005)
    [point] = points
    assert dict(point.attributes) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": route,
        "network.protocol.version": "1.1",
        "url.scheme": "http",
    }
    assert "secret" not in span.to_json()


def test_what_no_route_takes_has_no_route(sdk: Sdk, port: int) -> None:
    assert ask(port, "/nowhere/4711")[0] == 404
    assert ask(port, "/t/mitte/nowhere")[0] == 404
    assert ask(port, "/jobs/1", "DELETE")[0] == 405
    ask(port, "/jobs/1", "PROPFIND")
    names = [span.name for span in recorded(sdk, 4)]
    assert names == ["GET", "GET", "DELETE /jobs/{id}", "HTTP /jobs/{id}"]


def test_what_a_stranger_sends_is_recorded_short_and_clean_or_not_at_all(
    sdk: Sdk, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    parts = {
        b"GET": b"X" * 5000,
        b"/jobs/7": b"/jobs/%0d%0aforged%1b[31m" + b"p" * 5000 + b"?secret",
        b"User-Agent: x": b"User-Agent: \xff" + b"u" * 5000,
        b"baggage: a=1": b"baggage: secret\x1b[31m,\xff=secret,a=1," + b"secret" * 500,
        b"tracestate: a=1": b"tracestate: secret,a=1",
        b"traceparent: x": b"traceparent: " + TRACEPARENT.encode(),
        b"X-Forwarded-For: x": b"X-Forwarded-For: " + b"f" * 5000,
        b"Cookie: x": b"Cookie: secret",
        b"Accept: x": b"traceparent: \xc7\xd6\\",
    }
    with caplog.at_level(logging.DEBUG):
        for plain, hostile in parts.items():
            request = b"GET /jobs/7 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + b"\r\n".join(
                part for part in list(parts)[2:]
            )
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(request.replace(plain, hostile) + b"\r\n\r\n")
                assert client.recv(65536).startswith(b"HTTP/1.1 ")
        spans = recorded(sdk, len(parts))
    assert "secret" not in caplog.text
    for span in spans:
        assert "secret" not in span.to_json()
        for value in (span.attributes or {}).values():
            assert str(value).isprintable()
            assert len(str(value)) <= 1024
    methods = {dict(point.attributes)["http.request.method"] for point in sdk.points("http.server.request.duration")}
    assert methods == {"GET", "_OTHER"}


def test_a_trace_is_continued_and_the_id_is_on_all_its_spans(sdk: Sdk, port: int) -> None:
    _, body, headers = ask(port, "/jobs/1", X_Correlation_ID="order-1", traceparent=TRACEPARENT)
    assert body.split()[1] == "order-1"
    assert headers["x-correlation-id"] == headers["x-request-id"] == "order-1"
    [server], work = recorded(sdk, 1), sdk.span("work")
    assert f"{server.context.trace_id:032x}" in TRACEPARENT
    assert server.parent is not None
    assert f"{server.parent.span_id:016x}" in TRACEPARENT
    assert work.parent is not None
    assert work.parent.span_id == server.context.span_id
    assert server.attributes is not None
    assert server.attributes["correlation.id"] == "order-1"


def test_where_the_id_comes_from(sdk: Sdk, port: int) -> None:
    def used(**headers: str) -> str:
        _, body, answer = ask(port, "/jobs/1", **headers)
        assert answer["x-correlation-id"] == body.split()[1]
        return answer["x-correlation-id"]

    carried = "correlation.id=carried"
    assert used(X_Correlation_ID="mine", baggage=carried, X_Request_ID="r") == "mine"
    assert used(baggage=carried, X_Request_ID="r") == "carried"
    assert used(X_Request_ID="r") == "r"
    assert sdk.value("correlation.ids", correlation__source="accepted") == 3
    new = used()
    assert len(new) == 32
    assert new != used()
    assert sdk.value("correlation.ids", correlation__source="generated") == 2
    for hostile in ("a b", "x" * 129, "<script>", "ü"):
        assert len(used(X_Correlation_ID=hostile)) == 32
    assert sdk.value("correlation.ids", correlation__source="refused") == 4
    assert ask(port, "/jobs/1", X_Request_ID="r", X_Correlation_ID="mine")[2]["x-request-id"] == "r"


def test_headers_that_the_application_sets_stay(sdk: Sdk) -> None:
    async def own(_: Request) -> Response:
        return Response(headers={"X-Correlation-ID": "theirs"})

    with serve(TelemetryMiddleware(Starlette(routes=[Route("/", own)]))) as port:
        assert ask(port, "/")[2]["x-correlation-id"] == "theirs"


def test_an_exception_passes_and_its_text_is_not_recorded(sdk: Sdk) -> None:
    async def plain(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("2 x Ramen")

    with serve(TelemetryMiddleware(application(sdk.tracer_provider))) as port:
        assert ask(port, "/broken")[0] == 500
    with serve(TelemetryMiddleware(plain)) as port:
        assert ask(port, "/broken")[0] == 500
    assert len(sdk.spans()) == 2
    for span in sdk.spans():
        assert "Ramen" not in span.to_json()
        assert span.status.status_code is trace.StatusCode.ERROR
        assert span.attributes is not None
        assert span.attributes["error.type"] in ("ValueError", "500")
    assert sdk.value("http.server.request.duration") == 2


def test_a_background_task_that_raises_is_not_the_responses_error(sdk: Sdk, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ValueError

    async def fine(_: Request) -> Response:
        return Response(background=BackgroundTask(fail))

    with serve(TelemetryMiddleware(Starlette(routes=[Route("/", fine)]))) as port:
        assert ask(port, "/")[0] == 200
    [span] = sdk.spans()
    assert span.status.status_code is trace.StatusCode.UNSET
    assert "ended span" not in caplog.text


def test_concurrent_responses_have_their_own_sizes(monkeypatch: pytest.MonkeyPatch, sdk: Sdk) -> None:
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "database")  # sizes are the old conventions' alone
    both = threading.Barrier(2)

    async def sized(request: Request) -> Response:
        def meet() -> None:
            both.wait(5)

        return PlainTextResponse("x" * int(request.path_params["n"]), background=BackgroundTask(meet))

    with serve(TelemetryMiddleware(Starlette(routes=[Route("/{n}", sized)]))) as port:
        threads = [threading.Thread(target=ask, args=(port, f"/{n}")) for n in (10, 2000)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    [point] = sdk.points("http.server.response.size")
    assert (point.count, point.sum) == (2, 2010)


class BrokenSampler(Sampler):
    def should_sample(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("sampler")

    def get_description(self) -> str:
        return "broken"


class BrokenStart(SpanProcessor):
    def on_start(self, *_: Any, **__: Any) -> None:
        raise RuntimeError("start")


class BrokenEnd(SpanProcessor):
    def on_end(self, *_: Any, **__: Any) -> None:
        raise RuntimeError("end")


@pytest.mark.parametrize("how", ["sampler", "start", "end", "propagator"])
def test_telemetry_that_fails_changes_no_answer(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = TracerProvider(sampler=BrokenSampler()) if how == "sampler" else TracerProvider()
    if how in ("start", "end"):
        provider.add_span_processor(BrokenStart() if how == "start" else BrokenEnd())
    if how == "propagator":
        from opentelemetry import propagate

        class Broken:
            def extract(self, *_: Any, **__: Any) -> Any:
                raise RuntimeError("propagator")

        monkeypatch.setattr(propagate, "propagator", Broken())
    telemetry.bind(telemetry.telemetry(provider, MeterProvider()))
    try:
        with serve(TelemetryMiddleware(application(trace.NoOpTracerProvider()))) as port:
            for _ in range(2):
                status, body, headers = ask(port, "/jobs/7", X_Correlation_ID="order-1")
                assert (status, body.split()[0], headers["x-correlation-id"]) == (200, "7", "order-1")
                assert ask(port, "/broken")[0] == 500
    finally:
        telemetry.bind(None)


def test_starlette_is_followed_once_before_and_after_and_undone(sdk: Sdk) -> None:
    class Fast(Starlette):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await super().__call__(scope, receive, send)

    before = vars(Starlette)["__call__"]
    early = application(sdk.tracer_provider)
    asgi.instrument(sdk.telemetry)
    asgi.instrument(sdk.telemetry)
    try:
        late = Fast(routes=early.routes)
        late.state.provider = sdk.tracer_provider
        for app in (early, late, TelemetryMiddleware(late)):
            sdk.exporter.clear()
            with serve(app) as port:
                assert ask(port, "/t/mitte/j/7")[0] == 200
            assert sorted(span.name for span in sdk.spans()) == ["GET /t/{tenant}/j/{id}", "work"]
    finally:
        asgi.uninstrument()
    asgi.uninstrument()
    assert vars(Starlette)["__call__"] is before
    sdk.exporter.clear()
    with serve(early) as port:
        assert ask(port, "/jobs/1")[0] == 200
    assert [span.name for span in sdk.spans()] == ["work"]


def test_what_another_tool_has_laid_over_ours_stays_and_nothing_more_is_recorded(sdk: Sdk) -> None:
    before = vars(Starlette)["__call__"]
    asgi.instrument(sdk.telemetry)
    ours, called = vars(Starlette)["__call__"], []

    async def theirs(self: Starlette, scope: Any, receive: Any, send: Any) -> None:
        called.append(scope["type"])
        await ours(self, scope, receive, send)

    Starlette.__call__ = theirs  # type: ignore[method-assign]
    try:
        asgi.uninstrument()
        assert vars(Starlette)["__call__"] is theirs
        with serve(application(sdk.tracer_provider)) as port:
            assert ask(port, "/jobs/1")[0] == 200
    finally:
        Starlette.__call__ = before  # type: ignore[method-assign]
    assert "http" in called
    assert [span.name for span in sdk.spans()] == ["work"]


def test_what_is_not_stable_yet_is_not_recorded(sdk: Sdk) -> None:
    with serve(TelemetryMiddleware(application(sdk.tracer_provider))) as port:
        assert ask(port, "/jobs/1")[0] == 200
    assert len(sdk.points("http.server.request.duration")) == 1
    assert sdk.points("http.server.response.body.size") == sdk.points("http.server.request.body.size") == []


def test_the_deployments_choice_of_conventions_is_respected(monkeypatch: pytest.MonkeyPatch, sdk: Sdk) -> None:
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "database")  # and so, for HTTP, the old ones
    with serve(TelemetryMiddleware(application(sdk.tracer_provider))) as port:
        assert ask(port, "/jobs/1")[0] == 200
    assert sdk.points("http.server.request.duration") == []
    assert len(sdk.points("http.server.duration")) == 1


def test_a_wrong_setting_is_named() -> None:
    with pytest.raises(ValueError, match="sampled"):
        TelemetryMiddleware(application(), messages="some")  # type: ignore[arg-type]


def test_the_event_loop_is_watched_from_the_applications_start(sdk: Sdk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_loop, "INTERVAL", 0.02)
    app = application(sdk.tracer_provider)
    asgi.instrument(sdk.telemetry)
    try:
        for served in (app, TelemetryMiddleware(app)):
            before = sdk.value("asyncio.event_loop.lag")
            with serve(served, lifespan="on"):
                deadline = time.monotonic() + 5
                while sdk.value("asyncio.event_loop.lag") == before:
                    assert time.monotonic() < deadline
                    time.sleep(0.01)
    finally:
        asgi.uninstrument()


def test_an_application_that_ends_waits_for_its_telemetry_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    called = threading.Event()

    class Hanging(TracerProvider):
        def force_flush(self, timeout_millis: int = 30000) -> bool:
            called.set()
            return threading.Event().wait(60)

    hanging = Hanging()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: hanging)
    monkeypatch.setattr(asgi, "_FLUSH", 0.2)
    began = time.monotonic()
    with serve(TelemetryMiddleware(application()), lifespan="on"):
        pass
    assert called.is_set()
    assert time.monotonic() - began < 10
