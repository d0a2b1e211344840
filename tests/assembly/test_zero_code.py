"""``opentelemetry-instrument python app.py``: what instrument() does, with no line of the application changed."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from printobs.signals.event_loop import INTERVAL
from printobs.testing import OtlpSink, VirtualPrinter
from printobs.testing.otlp_decode import Span

PRINTING = """
import sys
from escpos.printer import Network
printer = Network("127.0.0.1", int(sys.argv[1]))
printer.text("2 x Ramen\\n")
printer.cut()
printer.close()
print("printed")
"""

WEB = """
import logging, sys
import uvicorn
from escpos.printer import Network
from opentelemetry import trace
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute

def print_it(request):
    with trace.get_tracer("mine").start_as_current_span("work"):
        logging.getLogger("mine").warning("table nine is ready")
        printer = Network("127.0.0.1", int(sys.argv[2]))
        printer.text("2 x Ramen\\n")
        printer.cut()
        printer.close()
        return PlainTextResponse("printed")

async def echo(websocket):
    await websocket.accept()
    while (message := await websocket.receive())["type"] == "websocket.receive":
        await websocket.send({**message, "type": "websocket.send"})

app = Starlette(routes=[
    Mount("/shop/{shop}", routes=[Route("/print/{id}", print_it)]), WebSocketRoute("/echo/{id}", echo),
])
uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
"""

SERVER = """
import sys
from websockets.{kind}.server import serve
{body}
"""
ASYNC_SERVER = """
import asyncio
async def echo(connection):
    async for message in connection:
        await connection.send(message)
async def main():
    async with serve(echo, "127.0.0.1", int(sys.argv[1])) as server:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(__import__("signal").SIGTERM, server.close)
        await server.wait_closed()
asyncio.run(main())
"""
SYNC_SERVER = """
import signal
def echo(connection):
    for message in connection:
        connection.send(message)
server = serve(echo, "127.0.0.1", int(sys.argv[1]))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server.serve_forever()
"""
ASYNC_CLIENT = """
import asyncio, sys
from websockets.asyncio.client import connect
async def main():
    async with connect(f"ws://127.0.0.1:{sys.argv[1]}/echo/7") as client:
        for text in ("2 x Ramen", b"12"):
            await client.send(text)
            assert await client.recv() == text
asyncio.run(main())
print("echoed")
"""
SYNC_CLIENT = """
import sys
from websockets.sync.client import connect
with connect(f"ws://127.0.0.1:{sys.argv[1]}/echo/7") as client:
    for text in ("2 x Ramen", b"12"):
        client.send(text)
        assert client.recv() == text
print("echoed")
"""


class Scripts:
    """Unmodified scripts, run as a user would run them with the distribution's own command."""

    def __init__(self, sink: OtlpSink, folder: Path) -> None:
        self._folder = folder
        self._environment = {
            **os.environ,
            "OTEL_EXPORTER_OTLP_ENDPOINT": sink.endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "system_metrics",
        }

    def start(self, code: str, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        script = self._folder / f"script{len(list(self._folder.iterdir()))}.py"
        script.write_text(code)
        command = [str(Path(sys.executable).with_name("opentelemetry-instrument")), sys.executable, str(script)]
        return subprocess.Popen(
            [*command, *map(str, arguments)],
            env=self._environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, code: str, *arguments: object, **environment: str) -> str:
        process = self.start(code, *arguments, **environment)
        out, errors = process.communicate(timeout=30)
        assert process.returncode == 0, errors
        return out

    @contextlib.contextmanager
    def serving(self, code: str, *arguments: object, **environment: str) -> Iterator[int]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port: int = listener.getsockname()[1]
        process = self.start(code, port, *arguments, **environment)
        try:
            deadline = time.monotonic() + 20
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                assert process.poll() is None, process.communicate()[1]
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield port
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=20)
            # Python 3.12.1 starts no thread at exit, where opentelemetry-instrumentation-logging wants one.
            assert errors.count("Traceback") == errors.count("thread at interpreter shutdown"), errors
        finally:
            process.kill()
            process.communicate()


@pytest.fixture
def scripts(otlp_sink: OtlpSink, tmp_path: Path) -> Scripts:
    return Scripts(otlp_sink, tmp_path)


def only(sink: OtlpSink, name: str, kind: str = "") -> Span:
    [span] = [span for span in sink.spans if span.name == name and kind in ("", span.kind)]
    return span


def names(sink: OtlpSink) -> set[str]:
    return {point.name for point in sink.metrics}


def test_a_script_that_prints(scripts: Scripts, otlp_sink: OtlpSink, virtual_printer: VirtualPrinter) -> None:
    assert scripts.run(PRINTING, virtual_printer.port) == "printed\n"
    assert virtual_printer.wait_for_receipts(1)[0].lines[0] == "2 x Ramen"
    job, write = only(otlp_sink, "print job"), only(otlp_sink, "printer write")
    assert (job.attributes["printer.job.outcome"], job.attributes["printer.job.passive"]) == ("written", True)
    assert write.parent_id == job.span_id
    assert job.attributes["correlation.id"] == write.attributes["correlation.id"]
    assert names(otlp_sink) >= {
        "printer.jobs",
        "printer.job.duration",
        "printer.job.stage.duration",
        "printer.io",
        "printer.connection.attempts",
    }


def test_a_web_application(
    scripts: Scripts, otlp_sink: OtlpSink, virtual_printer: VirtualPrinter, tmp_path: Path
) -> None:
    ask = (
        "import sys, urllib.request as r\n"
        "print(r.urlopen(r.Request(f'http://127.0.0.1:{sys.argv[1]}/shop/mitte/print/7?token=secret', "
        "headers={'X-Correlation-ID': 'order-4711'})).read().decode())"
    )
    with scripts.serving(WEB, virtual_printer.port) as port:
        # A plain client; then one that is instrumented itself, so that both ends of the WebSocket have a trace.
        done = subprocess.run([sys.executable, "-c", ask, str(port)], capture_output=True, text=True, check=True)
        assert done.stdout == "printed\n"
        assert scripts.run(ASYNC_CLIENT, port) == "echoed\n"
        time.sleep(1.5 * INTERVAL)  # All of the above can be over before the event loop's lag was taken once.
    server, work = only(otlp_sink, "GET /shop/{shop}/print/{id}"), only(otlp_sink, "work")
    job = only(otlp_sink, "print job")
    assert (work.parent_id, job.parent_id) == (server.span_id, work.span_id)
    assert {span.attributes["correlation.id"] for span in (server, work, job)} == {"order-4711"}
    [record] = [record for record in otlp_sink.logs if record.body == "table nine is ready"]
    assert (record.span_id, record.attributes["correlation.id"]) == (work.span_id, "order-4711")
    assert not {name for name in record.attributes if name.startswith("otel")}
    ours, theirs = (only(otlp_sink, "websocket handshake", kind) for kind in ("server", "client"))
    assert (ours.trace_id, ours.parent_id) == (theirs.trace_id, theirs.span_id)
    assert ours.attributes["http.route"] == "/echo/{id}"
    counted = {
        (point.name, point.attributes["network.io.direction"], point.attributes["websocket.message.type"]): point.value
        for point in otlp_sink.metrics
        if point.name in ("websocket.server.messages", "websocket.client.messages")
    }
    assert counted["websocket.server.messages", "receive", "text"] == 1
    assert counted["websocket.client.messages", "transmit", "binary"] == 1
    assert names(otlp_sink) >= {
        "http.server.request.duration",
        "http.server.active_requests",
        "asyncio.event_loop.lag",
        "websocket.server.active_connections",
        "websocket.server.connection.duration",
        "websocket.server.disconnections",
        "correlation.ids",
    }
    assert "secret" not in str([otlp_sink.spans, otlp_sink.logs])


@pytest.mark.parametrize("client", [ASYNC_CLIENT, SYNC_CLIENT], ids=["asyncio client", "sync client"])
@pytest.mark.parametrize(("kind", "body"), [("asyncio", ASYNC_SERVER), ("sync", SYNC_SERVER)])
def test_scripts_that_use_websockets(scripts: Scripts, otlp_sink: OtlpSink, kind: str, body: str, client: str) -> None:
    with scripts.serving(SERVER.format(kind=kind, body=body)) as port:
        assert scripts.run(client, port) == "echoed\n"
    ours, theirs = (
        [span for span in otlp_sink.spans if (span.name, span.kind) == ("websocket handshake", each)]
        for each in ("server", "client")
    )
    [client_span] = theirs
    [server_span] = [span for span in ours if span.trace_id == client_span.trace_id]
    assert server_span.parent_id == client_span.span_id
    assert server_span.attributes["correlation.id"] == client_span.attributes["correlation.id"]
    for side in ("server", "client"):
        assert names(otlp_sink) >= {
            f"websocket.{side}.{each}"
            for each in ("active_connections", "messages", "io", "connection.duration", "disconnections")
        }
        sent = {
            (point.attributes["websocket.message.type"], point.value)
            for point in otlp_sink.metrics
            if point.name == f"websocket.{side}.messages" and point.attributes["network.io.direction"] == "transmit"
        }
        assert sent >= {("text", 1), ("binary", 1)}


def test_what_is_disabled_is_left_alone(scripts: Scripts, otlp_sink: OtlpSink, virtual_printer: VirtualPrinter) -> None:
    off = "printobs_escpos, system_metrics"
    assert scripts.run(PRINTING, virtual_printer.port, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=off) == "printed\n"
    assert virtual_printer.wait_for_receipts(1)[0].lines[0] == "2 x Ramen"
    assert otlp_sink.spans == []
    assert not {name for name in names(otlp_sink) if name.startswith("printer.")}


@pytest.mark.parametrize(
    ("chosen", "old", "new"),
    [("", False, True), ("http", False, True), ("http/dup", True, True), ("database", True, False)],
)
def test_the_deployments_semantic_conventions(
    scripts: Scripts, otlp_sink: OtlpSink, virtual_printer: VirtualPrinter, chosen: str, old: bool, new: bool
) -> None:
    environment = {"OTEL_SEMCONV_STABILITY_OPT_IN": chosen} if chosen else {}
    ask = "import sys, urllib.request as r; r.urlopen(f'http://127.0.0.1:{sys.argv[1]}/shop/mitte/print/7').read()"
    with scripts.serving(WEB, virtual_printer.port, **environment) as port:
        subprocess.run([sys.executable, "-c", ask, str(port)], check=True)
    assert ("http.server.duration" in names(otlp_sink), "http.server.request.duration" in names(otlp_sink)) == (
        old,
        new,
    )
