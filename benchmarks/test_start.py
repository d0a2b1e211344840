"""What printobs costs at the start and while nothing happens: seconds to import and set up, memory of the process."""

from __future__ import annotations

import functools
import json
import os
import random
import subprocess
import sys
from typing import Final

from benchmarks.rows import Gate, Round, Rows, beside

ROUNDS: Final = 7
PROCESS_BUDGET: Final = "memory of the whole process: 30 MB above the bare service"

# A service with its libraries, as it is without telemetry.
BARE: Final = "import starlette.applications, starlette.routing, escpos.printer, websockets.asyncio.server, uvicorn"
BY_HAND: Final = f"""{BARE}
from opentelemetry import metrics, trace, _logs
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
trace.set_tracer_provider(TracerProvider())
trace.get_tracer_provider().add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())]))
_logs.set_logger_provider(LoggerProvider())
_logs.get_logger_provider().add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
OpenTelemetryMiddleware(None)"""
OURS: Final = f"""{BARE}
import printobs
printobs.configure(service_name="benchmark")
printobs.instrument()
printobs.TelemetryMiddleware(None)"""
SCRIPTS: Final = {"bare": BARE, "printobs": OURS, "hand-written OpenTelemetry": BY_HAND}

# Ends without the exporters' last attempts: nobody listens where they would send to.
MEASURE: Final = """
import json, os, time
began = time.perf_counter()
{script}
took = time.perf_counter() - began
resident = [line for line in open("/proc/self/status") if line.startswith("VmRSS:")][0].split()[1]
print(json.dumps([took, int(resident) / 1024]), flush=True)
os._exit(0)
"""


def started(script: str) -> tuple[float, float]:
    """Milliseconds and MB of a process that has run ``script``."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE.format(script=script)],
        env={**environment, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, resident = json.loads(done.stdout.splitlines()[-1])
    return seconds * 1e3, resident


@functools.cache
def look(number: int) -> tuple[list[Round], list[Round]]:
    """The first look, or the second: milliseconds, and MB."""
    for script in SCRIPTS.values() if number == 0 else ():
        started(script)  # writes the bytecode
    taken = [
        {name: started(SCRIPTS[name]) for name in random.sample(list(SCRIPTS), len(SCRIPTS))} for _ in range(ROUNDS)
    ]
    times, memory = ([{name: each[which] for name, each in took.items()} for took in taken] for which in (0, 1))
    return times, memory


def test_start(rows: Rows) -> None:
    rows.elsewhere(
        "start: imports, configure(), instrument()",
        "ms",
        lambda number: look(number)[0],
        [Gate("by hand-written", beside("printobs", "hand-written OpenTelemetry"), 1.5)],
    )


def test_process(rows: Rows) -> None:
    rows.elsewhere(
        "memory of a process that has started",
        "MB",
        lambda number: look(number)[1],
        [Gate("over bare, by 30 MB", lambda used: (used["printobs"] - used["bare"]) / 30.0, 1.0, PROCESS_BUDGET)],
    )
