"""``opentelemetry-instrument python app.py``: what instrument() does, with no line of the application changed."""

import os
import subprocess
import sys
from pathlib import Path

from printobs.testing import OtlpSink, VirtualPrinter

APPLICATION = """
import asyncio, sys
from escpos.printer import Network
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

async def print_it(request):
    printer = Network("127.0.0.1", int(sys.argv[1]))
    printer.text("2 x Ramen\\n")
    printer.cut()
    printer.close()
    return PlainTextResponse("printed")

app = Starlette(routes=[Route("/print/{id}", print_it)])

async def ask():
    async def receive():
        return {"type": "http.request", "body": b""}
    async def send(message):
        if message["type"] == "http.response.body":
            print(message["body"].decode())
    headers = [(b"x-correlation-id", b"order-4711")]
    scope = {"type": "http", "http_version": "1.1", "method": "GET", "path": "/print/7", "root_path": "",
             "query_string": b"", "headers": headers, "scheme": "http", "server": ("127.0.0.1", 80), "client": None}
    await app(scope, receive, send)

asyncio.run(ask())
"""


def test_an_application_is_instrumented_without_a_line_changed(
    otlp_sink: OtlpSink, virtual_printer: VirtualPrinter, tmp_path: Path
) -> None:
    application = tmp_path / "app.py"
    application.write_text(APPLICATION)
    environment = {
        **os.environ,
        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp_sink.endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_SERVICE_NAME": "untouched",
        # The contrib instrumentation that would take the same requests.
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "asgi,starlette",
    }
    command = [str(Path(sys.executable).with_name("opentelemetry-instrument")), sys.executable, str(application)]
    done = subprocess.run(
        [*command, str(virtual_printer.port)], env=environment, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "printed\n"
    assert virtual_printer.wait_for_receipts(1)[0].lines[0] == "2 x Ramen"
    spans = {span.name: span for span in otlp_sink.spans}
    server, job = spans["GET /print/{id}"], spans["print job"]
    assert job.parent_id == server.span_id
    assert job.attributes["printer.job.outcome"] == "written"
    assert job.attributes["printer.job.passive"] is True
    assert server.attributes["correlation.id"] == job.attributes["correlation.id"] == "order-4711"
    assert {point.name for point in otlp_sink.metrics} >= {"printer.jobs", "http.server.request.duration"}
