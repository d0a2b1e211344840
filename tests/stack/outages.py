"""What an outage of the backend costs: receipts go on, counters are right afterwards, spans are there or counted.

``python -m tests.stack.outages`` plays each part's outage for 5 s, 60 s and 10 min, killed and terminated, then what
else may befall a machine, and prints the table of docs/reliability.md.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from collector.stack import queue
from collector.stack.ports import Ports
from collector.stack.stack import Stack
from examples.demo.stage import PRINTERS, Stage
from tests.stack.backend import JOBS, Backend, submit, telemetry, until

PAUSE: Final = 0.5  # seconds between two receipts
BEFORE: Final = 6.0  # seconds of traffic before the outage, and after it
LATE: Final = 180.0  # seconds in which a span may still arrive: gRPC tries to connect again after two minutes at most


EVERYTHING: Final = "everything"


@dataclass(frozen=True, slots=True)
class Outage:
    """A part, or `EVERYTHING`, is gone for ``seconds``: killed, or terminated and given time to end.

    ``damaged``: meanwhile the Collector is killed and its queue file destroyed.
    ``disk``: bytes that there are for the Collector's queue, or all that the machine has.
    """

    part: str
    seconds: float
    killed: bool
    damaged: bool = False
    disk: int = 0

    def __str__(self) -> str:
        how = f"{self.part} {'killed' if self.killed else 'terminated'}, gone for {self.seconds:g} s"
        how += ", the Collector killed and its queue file damaged" if self.damaged else ""
        return how + (f", the queue's disk full ({self.disk >> 10} KiB)" if self.disk else "")

    @property
    def bound(self) -> float:
        """Receipts of whose spans this may lose some, uncounted: of two a second, what was in a destroyed queue."""
        return (self.seconds + BEFORE) / PAUSE if self.damaged else 0.0

    @contextmanager
    def machine(self, state: Path) -> Iterator[None]:
        """A machine that may be short of disk; needs root then."""
        if not self.disk:
            yield
            return
        folder = state / "otelcol" / "queue"
        folder.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.disk}", "tmpfs", folder], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", folder], check=True)


# What else may befall the machine of the backend.
BEYOND: Final = (
    Outage(EVERYTHING, 10, killed=True),
    Outage("jaeger", 60, killed=True, damaged=True),
    Outage("jaeger", 60, killed=True, disk=256 << 10),
)


@dataclass(frozen=True, slots=True)
class Cost:
    """What it did. Times in seconds; ``counted`` by metric, ``spans_lost`` of the kind that each receipt has one of."""

    receipts: int
    confirmed: int
    p50_before: float
    p50_during: float
    slowest_during: float
    counted: dict[str, float]
    spans_lost: int
    spans_counted_lost: float


class Traffic:
    """Receipts to all printers in turn, each waited for in a thread of its own, until stopped."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._stop = threading.Event()
        self.jobs: list[tuple[float, str]] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while not self._stop.wait(PAUSE):
            name = list(PRINTERS)[number % len(PRINTERS)]
            number += 1
            job = submit(self._stage.till, name, number)
            self.jobs.append((time.monotonic(), job["id"]))

    def stop(self) -> list[tuple[float, dict[str, Any]]]:
        """When each receipt was sent, and how it ended."""
        self._stop.set()
        self._thread.join()

        def ended(identifier: str) -> Any:
            job = self._stage.till.ask("GET", f"{JOBS}/{identifier}")
            return job["outcome"] and job

        return [(sent, until(lambda identifier=identifier: ended(identifier))) for sent, identifier in self.jobs]


def play(stack: Stack, stage: Stage, outage: Outage) -> Cost:
    """Print receipts before, in and after the outage, and settle the accounts; the stack stays usable."""
    backend = Backend(stack)
    already = _counted(backend)
    traffic = Traffic(stage)
    time.sleep(BEFORE)
    parts = [each for name, each in stack.running.items() if outage.part in (name, EVERYTHING)]
    gone = time.monotonic()
    for part in parts:
        if outage.killed:
            part.kill()
        else:
            part.stop()
    time.sleep(max(0.0, outage.seconds - (time.monotonic() - gone)))
    if outage.damaged:
        _destroy_queue(stack)
    for part in parts:
        part.start()
        part.wait()
    back = time.monotonic()
    time.sleep(BEFORE)
    ended = traffic.stop()

    confirmed = sum(job["outcome"] == "confirmed" for _, job in ended)
    expected = {name: already[name] + len(ended) for name in already}
    until(lambda: _counted(backend) == expected, 60, lambda: f"{_counted(backend)} for {expected}")
    ids = {job["correlation_id"] for _, job in ended}
    lost = until_settled(lambda: len(ids - backend.printed(len(ids) * 4)), 60.0 if outage.damaged else LATE)
    took = [(sent, _seconds(job)) for sent, job in ended]
    before = [seconds for sent, seconds in took if sent < gone]
    during = [seconds for sent, seconds in took if gone <= sent <= back]
    return Cost(
        receipts=len(ended),
        confirmed=confirmed,
        p50_before=statistics.median(before),
        p50_during=statistics.median(during),
        slowest_during=max(during),
        counted={name: value - already[name] for name, value in _counted(backend).items()},
        spans_lost=lost,
        spans_counted_lost=backend.value('otel_sdk_exporter_span_exported_total{error_type!=""}'),
    )


def _destroy_queue(stack: Stack) -> None:
    """As a bad disk would; what the units and the stack do before each start puts it aside."""
    collector, folder = stack.running["otelcol"], stack.state / "otelcol" / "queue"
    collector.kill()
    [file] = (each for each in folder.iterdir() if each.is_file())
    with file.open("r+b") as damaged:
        damaged.write(b"\xff" * 8192)
    assert queue.aside(folder)
    collector.start()
    collector.wait()


def until_settled(count: Any, within: float) -> int:
    """The least that ``count()`` comes to: what is late may still arrive."""
    deadline = time.monotonic() + within
    while (last := int(count())) and time.monotonic() < deadline:
        time.sleep(0.5)
    return last


def _counted(backend: Backend) -> dict[str, float]:
    """Receipts by the service's durable count and by the agents' own, as Prometheus has them."""
    return {name: backend.value(name) for name in ("job_outcomes_total", "printer_jobs_total")}


def _seconds(job: dict[str, Any]) -> float:
    return (datetime.fromisoformat(job["finished_at"]) - datetime.fromisoformat(job["created_at"])).total_seconds()


def main() -> int:
    """Play them all; 1 where a receipt was not confirmed or a count is wrong."""
    parser = argparse.ArgumentParser("python -m tests.stack.outages")
    parser.add_argument("--seconds", type=float, nargs="+", default=[5.0, 60.0, 600.0])
    parser.add_argument("--part", nargs="*", default=["otelcol", "jaeger", "prometheus"])
    parser.add_argument("--beyond", action="store_true", help="what else may befall a machine; as root")
    options = parser.parse_args()
    wrong = 0
    outages = [
        Outage(part, seconds, killed)
        for part in options.part
        for seconds in options.seconds
        for killed in (True, False)
    ]
    print(
        "| Outage | Receipts, confirmed | p50 before, during | Slowest during | Counted | Spans lost, counted as lost |"
    )
    print("|---|---|---|---|---|---|")
    for outage in (*outages, *(BEYOND if options.beyond else ())):
        with (
            tempfile.TemporaryDirectory() as folder,
            outage.machine(Path(folder)),
            Stack(Ports.free(), Path(folder), "1s") as stack,
            Stage(telemetry(Backend(stack).otlp)) as stage,
        ):
            cost = play(stack, stage, outage)
        wrong += cost.confirmed != cost.receipts or set(cost.counted.values()) != {cost.receipts}
        print(
            f"| {outage} | {cost.receipts}, {cost.confirmed} | {cost.p50_before:.2f} s, {cost.p50_during:.2f} s"
            f" | {cost.slowest_during:.2f} s | {sorted(cost.counted.values())}"
            f" | {cost.spans_lost}, {cost.spans_counted_lost:g} |",
            flush=True,
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
