"""A collector that is dead, slow, hangs or lies costs the telemetry and nothing else, of a process at work."""

import json
import os
import subprocess
import sys
import time

import pytest

from printobs.testing import OtlpSink, VirtualPrinter
from tests.assembly.bad_collectors import BAD, bad_collector

# Receipts and messages, and more spans and log records than the SDK's queues hold.
APPLICATION = """
import asyncio, json, logging, resource, sys, time
import printobs
handle = printobs.configure(service_name="till")
printobs.instrument()
from escpos.printer import Network
from opentelemetry import trace
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

port, rounds, fillers = map(int, sys.argv[1:4])
logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
logger, tracer = logging.getLogger("mine"), trace.get_tracer("mine")
logger.addHandler(logging.NullHandler())
logger.propagate = False
memory = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
outcomes, echoed, slowest = [], 0, 0.0

async def echo(connection):
    async for message in connection:
        await connection.send(message)

async def work():
    global echoed, slowest
    printer = printobs.register(Network("127.0.0.1", port), name="kitchen")
    def ticket(p):
        p.text("2 x Ramen\\n"); p.cut()
    async with serve(echo, "127.0.0.1", 0) as server:
        there = next(iter(server.sockets)).getsockname()[1]
        async with connect(f"ws://127.0.0.1:{there}/") as client:
            for round in range(rounds):
                began = time.monotonic()
                async with printobs.print_job(printer, timeout=10) as job:
                    await job.run(ticket, printer)
                outcomes.append(job.outcome)
                await client.send("hello")
                echoed += await client.recv() == "hello"
                for _ in range(fillers):
                    with tracer.start_as_current_span("filler", attributes={"text": "x" * 1000}):
                        logger.warning("table nine is ready: %s", "x" * 1000)
                slowest = max(slowest, time.monotonic() - began)
    printer.close()

asyncio.run(work())
print(json.dumps({"outcomes": outcomes, "echoed": echoed, "slowest": slowest, "memory": memory(),
                  "ended": time.time()}), flush=True)
if len(sys.argv) > 4:
    handle.shutdown(float(sys.argv[4]))
"""
ROUNDS, FILLERS = 30, 150
# Queues that a slow collector fills on the slowest machine too.
BATCH = 128
SMALL = {
    f"OTEL_{each}_{name}": number
    for each in ("BSP", "BLRP")
    for name, number in (("MAX_QUEUE_SIZE", "256"), ("MAX_EXPORT_BATCH_SIZE", str(BATCH)))
}
AT_EXIT = 10.0  # what configure() takes at the end of a process that has not called shutdown()


def run(endpoint: str, printer: VirtualPrinter, *arguments: str, **environment: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", APPLICATION, *map(str, (printer.port, ROUNDS, FILLERS)), *arguments],
        env={
            **os.environ,
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_METRIC_EXPORT_INTERVAL": "200",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    exited = time.time()
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["outcomes"] == ["written"] * ROUNDS
    assert said["echoed"] == ROUNDS
    assert "Traceback" not in done.stderr
    return {"slowest": said["slowest"], "memory": said["memory"], "ending": exited - said["ended"]}


@pytest.fixture(scope="module")
def well(request: pytest.FixtureRequest) -> dict[str, float]:
    with OtlpSink() as sink, VirtualPrinter() as printer:
        return run(sink.endpoint, printer)


@pytest.mark.parametrize("how", ["dead", *BAD])
def test_receipts_and_messages_go_on_memory_is_bounded_and_the_process_ends(
    how: str, well: dict[str, float], virtual_printer: VirtualPrinter
) -> None:
    with bad_collector(how) as endpoint:
        found = run(endpoint, virtual_printer, "1")
    assert len(virtual_printer.wait_for_receipts(ROUNDS)) == ROUNDS
    # Two queues of 2,048 records with a kilobyte of text each, and what the SDK makes of them.
    assert found["memory"] < well["memory"] + 40
    assert found["ending"] < 1 + 5
    assert found["slowest"] < 5


def test_a_process_that_does_not_shut_telemetry_down_ends_too(virtual_printer: VirtualPrinter) -> None:
    with bad_collector("hang") as endpoint:
        assert run(endpoint, virtual_printer)["ending"] < AT_EXIT + 5


def test_a_slow_collector_gets_what_the_queue_holds_and_the_rest_is_counted(
    well: dict[str, float], virtual_printer: VirtualPrinter
) -> None:
    with OtlpSink() as sink:
        sink.delay(1)
        found = run(sink.endpoint, virtual_printer, "20", **SMALL)
    assert found["slowest"] < 5
    assert found["memory"] < well["memory"] + 40
    # Of each attribute set, the newest.
    dropped = {p.name: int(p.value or 0) for p in sink.metrics if p.attributes.get("error.type") == "queue_full"}
    assert dropped["otel.sdk.processor.log.processed"] > 0
    counted = {
        "span": len(sink.spans) + dropped["otel.sdk.processor.span.processed"],
        "log": len(sink.logs) + dropped["otel.sdk.processor.log.processed"],
    }
    # What finds the SDK's queue full is counted as dropped, and kept if the exporter takes a batch just then.
    kept = {"span": len(sink.spans) // BATCH, "log": len(sink.logs) // BATCH}
    # A job has three spans; the connection has one to the printer, and one at each end.
    assert 0 <= counted["span"] - (ROUNDS * (FILLERS + 3) + 3) <= kept["span"]
    # On a busy machine printobs may have to tell that the printer's quality has changed.
    assert 0 <= counted["log"] - ROUNDS * FILLERS <= 3 + kept["log"]
