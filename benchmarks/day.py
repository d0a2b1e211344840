"""A restaurant group's day in fast-forward, in one process: ``python -m benchmarks.day``.

Tills and pages talk to an ASGI application, agents over the ``websockets`` protocols, and printers print, each in a
thread of their own, while the metrics are collected as often as a scrape every 15 seconds does it. What is counted at
the end must be exactly what was done, and once it is warm the process may not grow.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import logging
import math
import os
import resource
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

from escpos.escpos import Escpos
from opentelemetry.sdk.environment_variables import OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    HistogramDataPoint,
    InMemoryMetricReader,
    MetricsData,
    NumberDataPoint,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from websockets.protocol import Protocol, State
from websockets.uri import parse_uri

import printobs
from printobs.assembly.printing import print_job, register
from printobs.core import clock, telemetry
from printobs.integrations import websockets_endpoints as endpoints
from printobs.integrations.asgi import TelemetryMiddleware
from printobs.integrations.websockets_protocols import CountedClient, CountedServer

MESSAGES: Final = 20_000_000
JOBS: Final = 200_000
COLLECTIONS: Final = 5_760  # a scrape every 15 s
BRANCHES: Final = tuple(f"branch-{number}" for number in range(12))
CLIENTS: Final = ("desktop", "web", "kiosk")  # the last one is counted as "other"
SAMPLES: Final = 60
GROWTH: Final = 1_000_000  # bytes over the second half of the day
RUSH: Final = ((12.5, 1.2), (19.5, 1.8))  # hours after midnight: lunch, and the longer dinner

App = Callable[[Any, Any, Any], Any]


# -- what is done, as whoever does it knows it ---------------------------------------------------------------------


@dataclass
class Ledger:
    """What one thread has done; only it writes here."""

    messages: Counter[str] = field(default_factory=Counter)  # by side and direction
    payload: Counter[str] = field(default_factory=Counter)  # bytes, by the same
    opened: Counter[str] = field(default_factory=Counter)  # connections, by side
    refused: int = 0
    jobs: Counter[str] = field(default_factory=Counter)  # by outcome
    printed: int = 0  # bytes
    spans: int = 0

    def crossed(self, where: str, messages: int, payload: int) -> None:
        self.messages[where] += messages
        self.payload[where] += payload


def together(ledgers: Sequence[Ledger]) -> dict[str, int]:
    """Everything that must be in the metrics, under names of its own."""
    found: Counter[str] = Counter()
    for each in ledgers:
        for name in ("messages", "payload", "opened", "jobs"):
            found.update({f"{name}, {key}": number for key, number in getattr(each, name).items()})
        found.update({"refused": each.refused, "printed": each.printed, "spans": each.spans})
    return dict(found)


# -- tills and pages ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reel:
    """Messages in an order, over and over; how large any stretch is, and how many carry a sampled context."""

    events: tuple[dict[str, Any], ...]
    sizes: tuple[int, ...]
    sampled: tuple[int, ...]

    @staticmethod
    def of(texts: Sequence[str | bytes], longest: int) -> Reel:
        turns = itertools.islice(itertools.cycle(texts), len(texts) + longest)
        events: tuple[dict[str, Any], ...] = tuple(
            {"type": "websocket.receive", "bytes" if isinstance(each, bytes) else "text": each} for each in turns
        )
        said = [event["bytes"] if "bytes" in event else event["text"].encode() for event in events]
        sizes = itertools.accumulate((len(each) for each in said), initial=0)
        sampled = itertools.accumulate((b'-01"' in each for each in said), initial=0)
        return Reel(events, tuple(sizes), tuple(sampled))


def _texts() -> list[str | bytes]:
    """A thousand messages: short and long, text and binary, six of them with a sampled context, four without."""
    said: list[str | bytes] = []
    for number in range(1_000):
        if number % 100 == 7:
            flags = "01" if number % 500 < 300 else "00"
            context = f"00-{number + 1:032x}-{number + 1:016x}-{flags}"
            said.append(json.dumps({"traceparent": context, "type": "job", "printer": "kitchen"}))
        elif number % 10 == 3:
            said.append(os.urandom(40 + number % 200))
        elif number % 50 == 11:
            said.append(json.dumps({"type": "menu", "dishes": [f"dish {each}" for each in range(120)]}))
        else:
            said.append(json.dumps({"type": "order", "table": number, "dish": "Käsespätzle × 2"}, ensure_ascii=False))
    return said


LONGEST: Final = 20_000  # messages that one connection says at once
REEL: Final = Reel.of(_texts(), LONGEST)
TURN: Final = 1_000


class Visitor:
    """A client of the ASGI application: says so many messages when it is asked to, and waits."""

    def __init__(self, app: App, name: str, branch: str, kind: str, ledger: Ledger, code: int | None) -> None:
        self._said: list[dict[str, Any]] = [{"type": "websocket.connect"}]
        self._wake: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self.quiet = self._loop.create_future()  # done once all is answered
        self._ledger = ledger
        self._code = code  # how it leaves; None: its connection breaks
        scope = {
            "type": "websocket", "path": "/ws", "headers": [], "query_string": f"{branch}&{kind}&{name}".encode(),
            "server": ("127.0.0.1", 80),
        }  # fmt: skip
        ledger.opened["server"] += 1
        ledger.spans += 1  # the handshake's
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    def say(self, start: int, messages: int) -> asyncio.Future[None]:
        """Say so many messages of the reel from ``start`` on; done when the last one is answered."""
        end = start + messages
        size = REEL.sizes[end] - REEL.sizes[start]
        for direction in ("receive", "transmit"):
            self._ledger.crossed(f"server {direction}", messages, size)
        self._ledger.spans += REEL.sampled[end] - REEL.sampled[start]
        return self._give(list(REEL.events[start:end]))

    async def leave(self) -> None:
        """Go, or break."""
        left: dict[str, Any] = {"type": "websocket.disconnect"}
        self._give([left if self._code is None else {**left, "code": self._code}])
        await self.task

    def _give(self, events: list[dict[str, Any]]) -> asyncio.Future[None]:
        events.reverse()
        self._said[:0] = events  # before it is accepted, it has not yet connected
        self.quiet = self._loop.create_future()
        if self._wake is not None:
            self._wake.set_result(None)
            self._wake = None
        return self.quiet

    async def _receive(self) -> dict[str, Any]:
        while not self._said:
            if not self.quiet.done():
                self.quiet.set_result(None)
            self._wake = self._loop.create_future()
            await self._wake
        return self._said.pop()

    async def _send(self, _: Any) -> None: ...


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """The application: it knows who comes, and sends back what it is sent."""
    await receive()
    branch, kind, name = scope["query_string"].decode().split("&")
    if name == "stranger":
        await send({"type": "websocket.close", "code": 1008})
        return
    await send({"type": "websocket.accept"})
    printobs.identify(scope, client_type=kind, branch=branch, client=name)
    while (event := await receive())["type"] == "websocket.receive":
        if "text" in event:
            await send({"type": "websocket.send", "text": event["text"]})
        else:
            await send({"type": "websocket.send", "bytes": event["bytes"]})


class Site:
    """All branches' clients: some that stay, some that come and go."""

    SHORT: Final = 4  # that come in each slice of the day
    TALKING: Final = 9  # of those that stay, in each slice

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._app = TelemetryMiddleware(echo)
        self._number = 0
        self._start = 0
        self._staying: list[Visitor] = []

    async def slice(self, number: int, exchanges: int) -> None:
        """Receive and send so many messages each."""
        if not self._staying:
            self._staying = [self._visitor() for _ in range(len(BRANCHES) * len(CLIENTS))]
        coming = [self._visitor() for _ in range(self.SHORT)]
        first = number * self.TALKING % len(self._staying)
        talking = (self._staying * 2)[first : first + self.TALKING]
        short, rest = exchanges // 40, exchanges - self.SHORT * (exchanges // 40)
        long = rest // len(talking)
        shares = [short] * len(coming) + [long] * (len(talking) - 1) + [rest - long * (len(talking) - 1)]
        await asyncio.gather(*(self._say(who, share) for who, share in zip((*coming, *talking), shares, strict=True)))
        await asyncio.gather(*(each.leave() for each in coming))
        if number % 5 == 0:  # one that stays comes anew
            which = number // 5 % len(self._staying)
            await self._staying[which].leave()
            self._staying[which] = self._visitor()
        if number % 10 == 0:
            await self._stranger()

    async def close(self) -> None:
        """Evening."""
        await asyncio.gather(*(each.leave() for each in self._staying))

    def _visitor(self) -> Visitor:
        self._number += 1
        number = self._number
        branch, kind = BRANCHES[number % len(BRANCHES)], CLIENTS[number // len(BRANCHES) % len(CLIENTS)]
        code = None if number % 20 == 0 else 1001 if number % 3 == 0 else 1000
        return Visitor(self._app, f"client-{number % 3000}", branch, kind, self.ledger, code)

    async def _say(self, who: Visitor, messages: int) -> None:
        while messages:
            share = min(messages, LONGEST)
            await who.say(self._start, share)
            self._start = (self._start + share) % TURN
            messages -= share

    async def _stranger(self) -> None:
        self.ledger.opened["server"] -= 1
        self.ledger.refused += 1
        await Visitor(self._app, "stranger", "", "", self.ledger, None).task


# -- agents ---------------------------------------------------------------------------------------------------------


def carry(source: Protocol, target: Protocol) -> None:
    """Bring what one side has written to the other."""
    for data in source.data_to_send():
        if data:
            target.receive_data(data)
        else:
            target.receive_eof()
    target.events_received()


class Agents:
    """Clients and servers by the ``websockets`` library's protocols, with the network left out."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._pairs: list[tuple[CountedClient, CountedServer]] = []
        self._number = 0

    def slice(self, number: int, exchanges: int) -> None:
        """Send and receive so many messages."""
        if not self._pairs:
            self._pairs = [self._connected() for _ in BRANCHES]
        client, server = self._pairs[number % len(self._pairs)]
        text = json.dumps({"type": "status", "printer": "kitchen", "number": number}).encode()
        for each in range(exchanges):
            source, target = (server, client) if each % 4 == 0 else (client, server)
            if each % 50 == 0:
                source.send_text(text[:10], fin=False)
                source.send_continuation(text[10:], fin=True)
            elif each % 7 == 0:
                source.send_binary(text)
            else:
                source.send_text(text)
            carry(source, target)
        down = -(-exchanges // 4)  # from server to client
        for where, messages in {
            "server transmit": down, "client receive": down,
            "client transmit": exchanges - down, "server receive": exchanges - down,
        }.items():  # fmt: skip
            self.ledger.crossed(where, messages, messages * len(text))
        if number % 5 == 0:
            which = number // 5 % len(self._pairs)
            self._disconnect(*self._pairs[which])
            self._pairs[which] = self._connected()

    def close(self) -> None:
        """Evening."""
        for pair in self._pairs:
            self._disconnect(*pair)

    def _connected(self) -> tuple[CountedClient, CountedServer]:
        client, server = CountedClient(parse_uri("ws://till.example/ws")), CountedServer()
        client.send_request(client.connect())
        for data in client.data_to_send():
            server.receive_data(data)
        (request,) = server.events_received()
        server.send_response(server.accept(request))  # type: ignore[arg-type]
        carry(server, client)
        assert client.state is server.state is State.OPEN
        self.ledger.opened.update(("client", "server"))
        return client, server

    def _disconnect(self, client: CountedClient, server: CountedServer) -> None:
        self._number += 1
        if self._number % 5:
            client.send_close(1000)
            carry(client, server)
            carry(server, client)
            carry(client, server)
        else:  # the connection breaks
            client.receive_eof()
            server.receive_eof()
        assert client.state is server.state is State.CLOSED


# -- printers -------------------------------------------------------------------------------------------------------


class Paperless(Escpos):
    """A driver whose bytes go nowhere, unless it is broken."""

    broken = False

    def _raw(self, msg: bytes) -> None:
        if self.broken:
            raise ConnectionResetError("the printer has gone")


LINE: Final = b"2 x Ramen\n"
CUT: Final = b"\x1dVA\x03"
KINDS: Final = ("receipt", "kitchen", "report")


class Printers:
    """Two printers a branch. Of a hundred jobs one loses its connection; in one the application fails, before or after
    the cut."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._number = 0
        self._printers = [
            register(Paperless(), name=f"{where}-{branch}", branch=branch)
            for branch in BRANCHES
            for where in ("kitchen", "counter")
        ]

    def slice(self, _: int, jobs: int) -> None:
        """Print so many."""
        for _ in range(jobs):
            self._job()

    def _job(self) -> None:
        self._number += 1
        number = self._number
        printer = self._printers[number % len(self._printers)]
        lines = 1 + number % 4
        fate = {13: "reset", 57: "before", 157: "after"}.get(number % 200 if number % 100 != 13 else 13, "")
        with contextlib.suppress(ConnectionResetError, ZeroDivisionError):
            try:
                with print_job(printer, kind=KINDS[number // len(self._printers) % len(KINDS)]):
                    for _ in range(lines):
                        printer._raw(LINE)
                    if fate == "before":
                        raise ZeroDivisionError
                    printer.broken = fate == "reset"
                    printer._raw(CUT)
                    if fate == "after":
                        raise ZeroDivisionError
            finally:
                printer.broken = False
        # Its own span, that of what was written, and that of waiting for the last byte where all went well.
        self.ledger.spans += 2 if fate else 3
        self.ledger.jobs[{"": "written", "after": "unknown"}.get(fate, "failed")] += 1
        self.ledger.printed += lines * len(LINE) + (len(CUT) if fate in ("", "after") else 0)


# -- the telemetry, and what it says --------------------------------------------------------------------------------


class _Counting(SpanExporter):
    def __init__(self) -> None:
        self.exported = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.exported += len(spans)
        return SpanExportResult.SUCCESS


class Providers:
    """The SDK as an application sets it up: a queue of the usual length, which may overflow, and says so."""

    def __init__(self) -> None:
        self._exporter = _Counting()
        self._own = InMemoryMetricReader()  # of the SDK's own metrics
        self._own_provider = MeterProvider([self._own])
        self.reader = InMemoryMetricReader()
        self.metrics = MeterProvider([self.reader])
        self.traces = TracerProvider()
        with patch.dict(os.environ, {OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED: "true"}):
            self.traces.add_span_processor(BatchSpanProcessor(self._exporter, meter_provider=self._own_provider))

    def spans(self) -> tuple[int, int]:
        """How many were exported, and how many the full queue has dropped."""
        self.traces.force_flush()
        processed = points(self._own.get_metrics_data(), "otel.sdk.processor.span.processed")
        return self._exporter.exported, sum(value for attributes, value in processed if "error.type" in attributes)

    def shutdown(self) -> None:
        """End their threads."""
        for each in (self.traces, self.metrics, self._own_provider):
            each.shutdown()


def points(data: MetricsData | None, *names: str) -> list[tuple[Mapping[str, Any], int]]:
    """Of each series its attributes and its value: of a histogram, how much it has recorded. All without a name."""
    found: list[tuple[Mapping[str, Any], int]] = []
    for resource_metrics in data.resource_metrics if data else ():
        for scope in resource_metrics.scope_metrics:
            for metric in scope.metrics:
                if names and metric.name not in names:
                    continue
                for point in metric.data.data_points:
                    assert isinstance(point, HistogramDataPoint | NumberDataPoint)
                    value = point.count if isinstance(point, HistogramDataPoint) else point.value
                    found.append((point.attributes or {}, value))  # type: ignore[arg-type]
    return found


def said(data: MetricsData | None) -> dict[str, int]:
    """What the metrics say, under the names of `together`."""
    found: Counter[str] = Counter()
    for side in ("server", "client"):
        for name, metric in (("messages", "messages"), ("payload", "io")):
            for attributes, value in points(data, f"websocket.{side}.{metric}"):
                found[f"{name}, {side} {attributes['network.io.direction']}"] += value
        found[f"opened, {side}"] += sum(v for _, v in points(data, f"websocket.{side}.disconnections"))
    for attributes, value in points(data, "printer.jobs"):
        found[f"jobs, {attributes['printer.job.outcome']}"] += value
    found["refused"] = sum(v for _, v in points(data, "websocket.server.handshake.refusals"))
    found["printed"] = sum(v for _, v in points(data, "printer.io"))
    return dict(found)


# -- the day --------------------------------------------------------------------------------------------------------


class FastForward:
    """The library's clock, which `skip` puts forward."""

    def __init__(self) -> None:
        self._skipped = 0.0

    def skip(self, seconds: float) -> None:
        """So much of the day goes by at once."""
        self._skipped += seconds

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """While this is the clock."""
        ours = SimpleNamespace(perf_counter=lambda: time.perf_counter() + self._skipped, time_ns=time.time_ns)
        with patch.object(clock, "time", ours):
            yield


def shares(total: int, slices: int) -> list[int]:
    """``total`` over the slices of a day: little in the night, most at lunch and dinner."""
    hours = [24 * each / slices for each in range(slices)]
    weights = [0.3 + sum(math.exp(-(((hour - at) / width) ** 2)) * 2 for at, width in RUSH) for hour in hours]
    whole = sum(weights)
    ends = [round(total * each / whole) for each in itertools.accumulate(weights)]
    return [end - before for before, end in itertools.pairwise([0, *ends])]


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def growth(samples: Sequence[int]) -> float:
    """Bytes that the second half of the samples has grown by, from first to last on the regression line."""
    half = samples[len(samples) // 2 :]
    if len(half) < 2:
        return 0.0
    return statistics.linear_regression(range(len(half)), half).slope * (len(half) - 1)


@dataclass
class Figures:
    """What a day was."""

    seconds: float
    done: dict[str, int]
    said: dict[str, int]
    exported: int
    dropped: int
    open_connections: int
    overflows: int
    errors: int
    series: int
    collections: int
    collection_ms: list[float]  # lower quartile, median, upper quartile
    resident: list[int]
    growth: float

    def wrong(self) -> list[str]:
        """Where what is said is not what was done."""
        done = {name: number for name, number in self.done.items() if name != "spans"}
        found = [
            f"{name}: {self.said.get(name, 0):,} said, {done.get(name, 0):,} done"
            for name in sorted({*done, *self.said})
            if self.said.get(name, 0) != done.get(name, 0)
        ]
        if self.done["spans"] != self.exported + self.dropped:
            found.append(f"spans: {self.done['spans']:,} made, {self.exported:,} exported, {self.dropped:,} dropped")
        for name, number in (
            ("connections still open", self.open_connections), ("overflows", self.overflows), ("errors", self.errors),
        ):  # fmt: skip
            if number:
                found.append(f"{name}: {number:,}")
        return found


async def _day(
    forward: FastForward, reader: InMemoryMetricReader, messages: int, jobs: int, collections: int, progress: bool
) -> tuple[list[Ledger], list[float], list[int]]:
    loop, site, agents, printers = asyncio.get_running_loop(), Site(), Agents(), Printers()
    took: list[float] = []
    samples: list[int] = []
    exchanges = -(-messages // 2)
    fifth = exchanges // 5

    def collect() -> None:
        began = time.perf_counter()
        reader.get_metrics_data()
        took.append(time.perf_counter() - began)

    began = time.monotonic()
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as two, ThreadPoolExecutor(1) as three:
        plan = zip(*(shares(each, collections) for each in (exchanges - fifth, fifth, jobs)), strict=True)
        for number, (asgi, protocols, prints) in enumerate(plan):
            others = (
                loop.run_in_executor(one, agents.slice, number, protocols),
                loop.run_in_executor(two, printers.slice, number, prints),
                loop.run_in_executor(three, collect),
            )
            await site.slice(number, asgi)
            await asyncio.gather(*others)
            forward.skip(86_400 / collections)
            if (number + 1) * SAMPLES // collections > number * SAMPLES // collections:
                samples.append(resident())
                if progress:
                    line = f"{100 * (number + 1) // collections:3} %, {time.monotonic() - began:4.0f} s"
                    print(f"{line}, {samples[-1] / 1e6:.1f} MB resident", flush=True)
        await site.close()
        await loop.run_in_executor(one, agents.close)
    return [site.ledger, agents.ledger, printers.ledger], took, samples


def run(
    messages: int = MESSAGES, jobs: int = JOBS, collections: int = COLLECTIONS, *, progress: bool = False
) -> Figures:
    """Let a day go by."""
    providers, forward = Providers(), FastForward()
    bound = telemetry.telemetry(providers.traces, providers.metrics)
    telemetry.bind(bound)
    endpoints.bind(bound)
    began = time.monotonic()
    try:
        before = providers.reader.get_metrics_data()  # some counters are the process's, and have counted before
        with forward.running():
            ledgers, took, samples = asyncio.run(_day(forward, providers.reader, messages, jobs, collections, progress))
        seconds = time.monotonic() - began
        data = providers.reader.get_metrics_data()
        exported, dropped = providers.spans()

        def total(*names: str) -> int:
            return sum(value for _, value in points(data, *names)) - sum(value for _, value in points(before, *names))

        return Figures(
            seconds=round(seconds, 1),
            done=together(ledgers),
            said=said(data),
            exported=exported,
            dropped=dropped,
            open_connections=sum(
                abs(value)
                for _, value in points(
                    data, "websocket.server.active_connections", "websocket.client.active_connections"
                )
            ),
            overflows=total("printobs.overflows"),
            errors=total("printobs.errors"),
            series=len(points(data)),
            collections=len(took),
            collection_ms=[round(each * 1e3, 2) for each in statistics.quantiles(took, n=4, method="inclusive")],
            resident=samples,
            growth=round(growth(samples)),
        )
    finally:
        telemetry.bind(None)
        endpoints.bind(None)
        providers.shutdown()


def main() -> int:
    """Run, and print the figures; 0 where all counts are exact and memory is flat."""
    parser = argparse.ArgumentParser("python -m benchmarks.day")
    parser.add_argument("--messages", type=int, default=MESSAGES)
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--json", type=Path, help="keep the figures there")
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # a printer's state changes
    figures = run(options.messages, options.jobs, progress=True)
    if options.json is not None:
        options.json.write_text(json.dumps(asdict(figures), indent=2) + "\n")
    for name, number in sorted(figures.done.items()):
        print(f"{name:28}{number:>16,} done{figures.said.get(name, figures.exported + figures.dropped):>16,} counted")
    print(
        f"{figures.seconds:.0f} s; {figures.collections:,} collections of at last {figures.series:,} series, "
        f"median {figures.collection_ms[1]} ms; {figures.dropped:,} spans dropped"
    )
    wrong = figures.wrong()
    half = figures.resident[len(figures.resident) // 2 :]
    print(
        f"resident: {len(figures.resident)} samples, first {figures.resident[0] / 1e6:.2f} MB, second half "
        f"{min(half) / 1e6:.2f} to {max(half) / 1e6:.2f} MB, grown {figures.growth / 1e6:+.3f} MB of {GROWTH / 1e6:g}"
    )
    if figures.growth >= GROWTH:
        wrong.append(f"memory grew by {figures.growth / 1e6:.2f} MB over the second half")
    print("\n".join(f"WRONG: {each}" for each in wrong) or "all counts are exact, and memory is flat")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
