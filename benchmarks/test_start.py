"""What printobs costs at the start and while nothing happens: seconds to import and set up, memory of the process."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from typing import Final

import pytest

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


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_start(rows: Rows) -> None:
    times: list[Round] = []
    memory: list[Round] = []

    def play() -> None:
        figures = {name: started(SCRIPTS[name]) for name in random.sample(list(SCRIPTS), len(SCRIPTS))}
        times.append({name: each[0] for name, each in figures.items()})
        memory.append({name: each[1] for name, each in figures.items()})

    play()  # the first one writes the bytecode
    times.clear()
    memory.clear()
    rows.play(play, ROUNDS)
    rows.note(
        title="start: imports, configure(), instrument()",
        unit="ms",
        memory={name: [round(each[name], 1) for each in memory] for name in SCRIPTS},
    )
    rows.figures({name: [each[name] for each in times] for name in SCRIPTS})
    rows.ratios(
        [
            Gate("time by hand-written", beside("printobs", "hand-written OpenTelemetry"), 1.5),
        ],
        times,
    )
    rows.ratios(
        [Gate("MB above bare, by 30 MB", lambda used: (used["printobs"] - used["bare"]) / 30.0, 1.0, PROCESS_BUDGET)],
        memory,
    )
