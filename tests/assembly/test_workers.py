"""Several workers of one application: each counts what it did, once, under a name of its own, and all of them end."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from printobs.testing import OtlpSink

APPLICATION = """
import os
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

async def work(request):
    return PlainTextResponse(str(os.getpid()))

app = Starlette(routes=[Route("/work/{id}", work)])
"""
CONFIGURED = f"""
import printobs
printobs.configure(service_name="workers")
printobs.instrument()
{APPLICATION}
"""
UVICORN = ("uvicorn", "--workers", "2", "--log-level", "warning", "--port")
GUNICORN = ("gunicorn", "--workers", "2", "--worker-class", "uvicorn.workers.UvicornWorker", "--bind")
REQUESTS = 40


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def at_exit_of_contrib(errors: str, zero_code: bool) -> bool:
    """Python 3.12.1 starts no thread at exit, where the handler of opentelemetry-instrumentation-logging wants one."""
    return zero_code and errors.count("Traceback") == errors.count("thread at interpreter shutdown")


def ask(port: int) -> str | None:
    # gunicorn listens before its workers are there: whoever left would be served, and counted, all the same.
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/work/7")
        return connection.getresponse().read().decode()
    except OSError:
        return None
    finally:
        connection.close()


@pytest.mark.skipif(sys.platform == "win32", reason="gunicorn forks")
@pytest.mark.parametrize("zero_code", [False, True], ids=["configured", "zero code"])
@pytest.mark.parametrize(
    "server", [UVICORN, GUNICORN, (*GUNICORN[:-1], "--preload", "--bind")], ids=lambda each: each[0]
)
def test_each_worker_counts_its_own_and_nothing_is_counted_twice(
    server: tuple[str, ...], zero_code: bool, otlp_sink: OtlpSink, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(APPLICATION if zero_code else CONFIGURED)
    port = free_port()
    binaries = Path(sys.executable).parent
    command = [
        str(binaries / server[0]),
        *server[1:],
        str(port) if server is UVICORN else f"127.0.0.1:{port}",
        "app:app",
    ]
    if zero_code:
        command = [str(binaries / "opentelemetry-instrument"), *command]
    environment = {
        **os.environ,
        "OTEL_METRIC_EXPORT_INTERVAL": "60000",  # what is counted comes with the end, or not at all
        "PYTHONPATH": os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH")))),
        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp_sink.endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "system_metrics",
    }
    process = subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        answered: Counter[str] = Counter()
        deadline = time.monotonic() + 30
        while answered.total() < REQUESTS or len(answered) < 2:
            assert time.monotonic() < deadline, f"{answered} {process.poll()}"
            if (worker := ask(port)) is None:
                time.sleep(0.1)
            else:
                answered[worker] += 1
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert "Traceback" not in errors or at_exit_of_contrib(errors, zero_code), errors
    counted = {
        str(point.resource["service.instance.id"]): point.count
        for point in otlp_sink.metrics
        if point.name == "http.server.request.duration"
    }
    assert sorted(counted.values()) == sorted(answered.values())
    spans = [span for span in otlp_sink.spans if span.name == "GET /work/{id}"]
    assert len(spans) == len({span.span_id for span in spans}) == answered.total()
    assert {span.resource["service.instance.id"] for span in spans} == set(counted)
