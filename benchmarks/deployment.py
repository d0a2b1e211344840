"""The whole way of a receipt, service to agent to paper and back: ``python -m benchmarks.deployment``.

Service and agent are the processes that an operator runs, the printers virtual ones whose printing takes no time, in a
process of their own; all on this machine. Latency is from the request to the final event at a web client, one job
at a time; throughput with two jobs waiting for each printer. What durability costs is a peer whose SQLite syncs
nothing, in rounds that alternate. Nothing gates: the machine's disk, and what else it does, decide.

``--memory 50000`` prints that many jobs instead, and watches the memory of service and agent. ``--telemetry`` compares
instead what it does with telemetry, exported over OTLP to a receiver of its own, and with ``OTEL_SDK_DISABLED``.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import http.client
import http.server
import json
import os
import platform
import queue
import runpy
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from websockets.sync.client import connect

from examples.demo.processes import inherited
from examples.service import tokens
from printobs.testing import VirtualPrinter

SECRET = "not a secret, but long enough for HS256"
JOBS = "/api/v1/printing/jobs"
RECEIPT = {
    "elements": [
        {"type": "text", "text": "Table 7\n", "bold": True, "width": 2, "height": 2},
        *({"type": "text", "text": f"{number} x dish\n"} for number in range(1, 13)),
        {"type": "text", "text": "Total 42.00\n", "align": "right"},
        {"type": "cut"},
    ]
}
WAITING = 2  # jobs for each printer, so that it never waits for the next


# -- processes -------------------------------------------------------------------------------------------------------


def _printers(count: int) -> None:
    """The process of the printers: their ports as one line, until its input ends."""
    with ExitStack() as stack:
        printers = [stack.enter_context(VirtualPrinter(name=f"p{number}")) for number in range(count)]
        print(json.dumps([printer.port for printer in printers]), flush=True)
        sys.stdin.read()


class _Unsafe(sqlite3.Connection):
    """What a power cut would ruin: for comparison only."""

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        return super().execute(sql.replace("synchronous = FULL", "synchronous = OFF"), *parameters)


def _run_unsafely(module: str) -> None:
    """``python -m module`` without any sync of its database."""
    sqlite3.connect = functools.partial(sqlite3.connect, factory=_Unsafe)  # type: ignore[assignment]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


@contextmanager
def _process(arguments: list[str], **environment: str) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    """A process, and the first line that it says, as JSON."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        env={**inherited(), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process, json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.communicate(timeout=30)


def resident(process: subprocess.Popen[str]) -> float:
    """MB that a process has in memory."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024


class Deployment:
    """A service, an agent and its printers, and a client of them."""

    def __init__(self, printers: int, durable: bool, stack: ExitStack, **environment: str) -> None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="printobs-benchmark-")))

        def module(name: str) -> list[str]:
            return ["-m", name] if durable else ["-m", "benchmarks.deployment", "--unsafely", name]

        _, ports = stack.enter_context(_process(["-m", "benchmarks.deployment", "--printers-process", str(printers)]))
        self.service, ready = stack.enter_context(
            _process(
                module("examples.service"),
                SERVICE_PORT="0",
                SERVICE_DATABASE=str(folder / "service.db"),
                SERVICE_JWT_SECRET=SECRET,
                SERVICE_RATE_REQUESTS="0",
                SERVICE_RATE_MESSAGES="0",
                **environment,
            )
        )
        self.printers = [f"p{number}" for number in range(printers)]
        lines = [f'[agent]\nservice_url = "{ready["url"].replace("http", "ws", 1)}/ws/agent"\nbranch = "mitte"']
        for name, port in zip(self.printers, ports, strict=True):
            lines.append(f'[[printers]]\nname = "{name}"\naddress = "tcp://127.0.0.1:{port}"\nproof = "process_id"')
        (folder / "agent.toml").write_text("\n".join(lines))
        self.agent, _ = stack.enter_context(
            _process(
                module("examples.agent"),
                AGENT_CONFIG=str(folder / "agent.toml"),
                AGENT_TOKEN=self._token("agent", "agent", branch="mitte"),
                **environment,
            )
        )
        assert self.agent.stdout is not None
        while json.loads(self.agent.stdout.readline())["event"] != "joined":
            pass
        parts = urlsplit(ready["url"])
        self._host, self._port = parts.hostname or "", parts.port or 0
        token = self._token("till", "print")
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._local = threading.local()
        self._lock = threading.Lock()
        self._waiters: dict[str, queue.SimpleQueue[str]] = {}
        self._early: dict[str, str] = {}
        websocket = stack.enter_context(
            connect(f"ws://{self._host}:{self._port}/ws/client", additional_headers=self._headers, proxy=None)
        )
        self._hearing = threading.Thread(target=self._hear, args=(websocket,), daemon=True)
        self._hearing.start()
        stack.callback(self.hang_up)

    @staticmethod
    def _token(subject: str, scope: str, branch: str | None = None) -> str:
        return tokens.issue(
            SECRET, audience="printobs-service", subject=subject, scopes=[scope], lifetime=86_400, branch=branch
        )

    def _hear(self, websocket: Any) -> None:
        for text in websocket:
            event = json.loads(text)
            if not event.get("outcome"):
                continue
            with self._lock:
                waiter = self._waiters.pop(event["id"], None)
                if waiter is None:
                    self._early[event["id"]] = event["outcome"]
            if waiter is not None:
                waiter.put(event["outcome"])

    def print(self, printer: str) -> str:
        """One job from its request to its outcome."""
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = http.client.HTTPConnection(self._host, self._port, timeout=60)
        body = json.dumps({"printer": printer, "receipt": RECEIPT, "timeout": 60})
        connection.request("POST", JOBS, body, self._headers)
        response = connection.getresponse()
        job = json.loads(response.read())
        assert response.status == 202, job
        waiter: queue.SimpleQueue[str] = queue.SimpleQueue()
        with self._lock:
            outcome = self._early.pop(job["id"], None)
            if outcome is None:
                self._waiters[job["id"]] = waiter
        return outcome or waiter.get(timeout=120)

    def hang_up(self) -> None:
        """Close this thread's connection."""
        connection = self._local.__dict__.pop("connection", None)
        if connection is not None:
            connection.close()

    def latencies(self, jobs: int) -> list[float]:
        """Seconds of each of ``jobs``, one at a time, on one printer after the other."""
        took = []
        for number in range(jobs):
            began = time.perf_counter()
            outcome = self.print(self.printers[number % len(self.printers)])
            took.append(time.perf_counter() - began)
            assert outcome == "confirmed", outcome
        return took

    def throughput(self, jobs: int) -> float:
        """Jobs a second, with `WAITING` of them for each printer all the time."""
        left = iter(range(jobs))
        outcomes: Counter[str] = Counter()

        def keep_busy(printer: str) -> None:
            while True:
                with self._lock:
                    if next(left, None) is None:
                        break
                outcome = self.print(printer)
                with self._lock:
                    outcomes[outcome] += 1
            self.hang_up()

        threads = [threading.Thread(target=keep_busy, args=(each,)) for each in self.printers for _ in range(WAITING)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.perf_counter() - began
        assert outcomes == {"confirmed": jobs}, outcomes
        return jobs / took


# -- what is measured ------------------------------------------------------------------------------------------------


@contextmanager
def deployment(printers: int, durable: bool = True, **environment: str) -> Iterator[Deployment]:
    """A deployment, warm; ``environment`` is that of service and agent."""
    with ExitStack() as stack:
        found = Deployment(printers, durable, stack, **environment)
        found.latencies(max(10, printers))
        yield found


def measure(counts: list[int], rounds: int, jobs: int) -> None:
    """The table of latency and throughput, durable and not, in rounds that alternate."""
    print(f"{'printers':>8} {'SQLite':>8} {'p50 ms':>14} {'p99 ms':>14} {'jobs/s':>18}")
    for count in counts:
        figures: dict[bool, list[tuple[float, float, float]]] = {True: [], False: []}
        for number in range(rounds):
            for durable in (True, False) if number % 2 else (False, True):
                with deployment(count, durable) as found:
                    took = sorted(found.latencies(jobs // 4))
                    rate = found.throughput(jobs)
                p99 = took[min(len(took) - 1, len(took) * 99 // 100)]
                figures[durable].append((statistics.median(took) * 1e3, p99 * 1e3, rate))
        for durable, name in ((True, "FULL"), (False, "OFF")):
            shown = [_spread([each[column] for each in figures[durable]]) for column in range(3)]
            print(f"{count:>8} {name:>8} {shown[0]:>14} {shown[1]:>14} {shown[2]:>18}")
        safe, unsafe = (statistics.median(each[0] for each in figures[durable]) for durable in (True, False))
        print(f"{'':>8} durability costs {safe - unsafe:+.1f} ms of a job's {safe:.1f} ms")


def receipts(printers: int, rounds: int, jobs: int) -> dict[str, list[float]]:
    """Receipts a second with telemetry and without, in rounds that alternate."""
    rates: dict[str, list[float]] = {"telemetry off": [], "telemetry on": []}
    for number in range(rounds):
        for what in reversed(rates) if number % 2 else rates:
            with ExitStack() as stack:
                if what == "telemetry off":
                    environment = {"OTEL_SDK_DISABLED": "true"}
                else:
                    _, port = stack.enter_context(_process(["-m", "benchmarks.deployment", "--receiver-process"]))
                    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
                found = stack.enter_context(deployment(printers, **environment))
                rates[what].append(found.throughput(jobs))
    return rates


def _receiver() -> None:
    """The process that takes OTLP and keeps nothing of it: its port as one line, until its input ends."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(json.dumps(server.server_address[1]), flush=True)
        sys.stdin.read()


def _spread(values: list[float]) -> str:
    """Median, and between what the rounds were."""
    return f"{statistics.median(values):.1f} ({min(values):.0f}-{max(values):.0f})"


def watch_memory(jobs: int, printers: int) -> None:
    """Memory of service and agent over ``jobs``."""
    with deployment(printers) as found:
        print(f"{'jobs':>8} {'service MB':>11} {'agent MB':>11} {'jobs/s':>8}")
        step = max(1, jobs // 20)
        points = []
        for done in range(step, jobs + 1, step):
            rate = found.throughput(step)
            points.append((done, resident(found.service), resident(found.agent)))
            print(f"{done:>8} {points[-1][1]:>11.1f} {points[-1][2]:>11.1f} {rate:>8.0f}", flush=True)
        late = points[len(points) // 2 :]
        for column, name in ((1, "service"), (2, "agent")):
            slope = statistics.linear_regression([p[0] for p in late], [p[column] for p in late]).slope
            print(f"{name}: {slope * 1000:+.3f} MB for each 1,000 jobs in the second half")


def main() -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.deployment")
    parser.add_argument("--printers", type=int, nargs="+", default=[1, 10, 50])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--jobs", type=int, default=400, help="of each round's throughput; a quarter of them for latency"
    )
    parser.add_argument("--memory", type=int, metavar="JOBS", help="watch the memory over so many jobs instead")
    parser.add_argument("--telemetry", action="store_true", help="compare telemetry on and off instead")
    parser.add_argument("--receiver-process", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--printers-process", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--unsafely", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.printers_process:
        with contextlib.suppress(KeyboardInterrupt):
            _printers(options.printers_process)
        return 0
    if options.receiver_process:
        with contextlib.suppress(KeyboardInterrupt):
            _receiver()
        return 0
    if options.unsafely:
        _run_unsafely(options.unsafely)
        return 0
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {os.cpu_count()} CPUs,", end=" ")
    print(f"load {os.getloadavg()[0]:.1f} at the start: median (least-most) of the rounds")
    if options.memory:
        watch_memory(options.memory, 10)
    elif options.telemetry:
        for what, rates in receipts(10, options.rounds, options.jobs).items():
            print(f"{what:>14} {_spread(rates):>18} receipts/s")
    else:
        measure(options.printers, options.rounds, options.jobs)
    print(f"load {os.getloadavg()[0]:.1f} at the end")
    return 0


if __name__ == "__main__":
    sys.exit(main())
