"""The day: everyone at once, in threads of their own, and what came of it."""

from __future__ import annotations

import asyncio
import resource
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from benchmarks.day.agents import Agents
from benchmarks.day.counted import Providers, points, said
from benchmarks.day.forward import FastForward, shares
from benchmarks.day.ledger import Ledger, together
from benchmarks.day.printers import Printers
from benchmarks.day.tills import Site
from printobs.core import telemetry
from printobs.integrations import websockets_endpoints as endpoints

MESSAGES: Final = 20_000_000
JOBS: Final = 200_000
COLLECTIONS: Final = 5_760  # a scrape every 15 s
SAMPLES: Final = 60
GROWTH: Final = 1_000_000  # bytes over the second half of the day


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
