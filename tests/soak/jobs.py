"""Seeded print jobs under random faults, against what is on paper: ``python -m tests.soak.jobs --jobs 10000``.

A round is one virtual printer and a few jobs on it, one after the other, each with a fault at a random place; between
two jobs the printer is made well again, or not. The paper is the truth: what is confirmed is on it whole, what has
failed is not, and nothing is on it twice. A round is replayed alone by its seed (``--first SEED --rounds 1``).
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import random
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from escpos.printer import Network
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from PIL import Image

from printobs.assembly.printing import print_job, register
from printobs.core import telemetry
from printobs.core.conventions import Outcome
from printobs.testing.paper import Element
from printobs.testing.virtual_printer import VirtualPrinter

JOBS: Final = 5  # a round
TIMEOUT: Final = 1.2  # seconds a job
_LOGO: Final = Image.new("1", (64, 120), 0)

Fault = Callable[[VirtualPrinter, random.Random], None]


def _later(seconds: float, call: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, call)
    timer.daemon = True
    timer.start()


FAULTS: Final[dict[str, Fault]] = {
    "none": lambda paper, chance: None,
    "paper ends": lambda paper, chance: paper.paper_out(after_dots=chance.randint(0, 400)),
    "paper ends and comes back": lambda paper, chance: (
        paper.paper_out(after_dots=chance.randint(0, 400)),
        _later(chance.uniform(0, 0.6), paper.paper_in),
    )[0],
    "power": lambda paper, chance: paper.power_off_at(chance.randint(1, 1800)),
    "power comes back": lambda paper, chance: (
        paper.power_off_at(chance.randint(1, 1800)),
        _later(chance.uniform(0.05, 0.6), paper.power_on),
    )[0],
    "reset": lambda paper, chance: paper.reset_at(chance.randint(1, 1800)),
    "cover": lambda paper, chance: _later(chance.uniform(0, 0.05), paper.cover_open),
    "offline": lambda paper, chance: _later(chance.uniform(0, 0.05), paper.offline),
    "cutter": lambda paper, chance: paper.cutter_error(at_next_cut=True),
    "mechanical": lambda paper, chance: _later(chance.uniform(0, 0.05), paper.mechanical_error),
    "unrecoverable": lambda paper, chance: _later(chance.uniform(0, 0.05), paper.unrecoverable_error),
    "near end": lambda paper, chance: paper.near_end(),
    "mute": lambda paper, chance: _later(chance.uniform(0, 0.03), paper.mute),
    "garbage": lambda paper, chance: _later(chance.uniform(0, 0.03), paper.garbage_replies),
    "slow": lambda paper, chance: paper.slow(chance.choice([300.0, 3000.0])),
}


def _heal(paper: VirtualPrinter) -> None:
    if paper.unrecoverable:
        paper.power_off()
    paper.paper_in()
    paper.near_end_cleared()
    paper.cover_close()
    paper.online()
    paper.recover()
    paper.unmute()
    paper.slow(None)
    paper.power_off_at(1 << 40)  # instead of what is still to come
    if not paper.powered:
        paper.power_on()


def _receipt(number: int, chance: random.Random) -> Callable[[Any], None]:
    lines = [f"{chance.randint(1, 9)} x dish {chance.getrandbits(24):06x}" for _ in range(chance.randint(1, 12))]
    logo, code = chance.random() < 0.4, chance.random() < 0.3

    def print_it(printer: Any) -> None:
        printer.hw("INIT")
        printer.text(f"No. {number}\n")
        if logo:
            printer.image(_LOGO)
        for line in lines:
            printer.text(f"{line}\n")
        if code:
            printer.qr(f"https://till.example/{number}", native=True)
        printer.cut()

    return print_it


def _expected(print_it: Callable[[Any], None]) -> tuple[Element, ...]:
    """The receipt's elements, printed on a printer without faults by the bare driver."""
    with VirtualPrinter() as paper:
        printer = Network("127.0.0.1", paper.port)
        print_it(printer)
        printer.close()
        return paper.wait_for_receipts(1)[0].elements


def round_of(seed: int, proof: str | None = "process_id") -> list[tuple[str, Outcome]]:
    """One printer's jobs: each one's fault and outcome; raises AssertionError where the paper says otherwise."""
    chance = random.Random(seed)
    said: list[tuple[str, Outcome]] = []
    wanted: list[tuple[tuple[Element, ...], Outcome]] = []
    with VirtualPrinter(
        speed=chance.choice([None, None, 20000.0]),
        receive_buffer=chance.choice([256, 4096]),
        realtime_in_data=chance.random() < 0.3,
        power_on_notice=chance.random() < 0.5,
    ) as paper:

        def copies(elements: tuple[Element, ...]) -> int:
            # What was torn off before it may stand above it on the same piece of paper.
            return sum(each.cut and each.elements[-len(elements) :] == elements for each in paper.receipts)

        printer = register(Network("127.0.0.1", paper.port, timeout=5), name=f"printer-{seed % 50}", proof=proof)
        for number in range(JOBS):
            print_it = _receipt(seed * JOBS + number, chance)
            elements = _expected(print_it)
            fault = chance.choice(list(FAULTS))
            FAULTS[fault](paper, chance)
            job = print_job(printer, timeout=TIMEOUT)
            with contextlib.suppress(Exception), job:
                print_it(printer)
            confirmed = job.outcome is Outcome.CONFIRMED
            assert not confirmed or copies(elements) == 1, (seed, number, fault, "is confirmed and not on paper")
            said.append((fault, job.outcome))
            wanted.append((elements, job.outcome))
            if chance.random() < 0.8:
                _heal(paper)
            if chance.random() < 0.5:
                with contextlib.suppress(Exception):
                    printer.close()
        with contextlib.suppress(Exception):
            printer.close()
        # What has failed never comes out, not even when the printer is well again.
        _heal(paper)
        with contextlib.suppress(TimeoutError):
            paper.wait_idle(2)
        for number, (elements, outcome) in enumerate(wanted):
            found = copies(elements)
            assert found <= (0 if outcome is Outcome.FAILED else 1), (seed, number, said[number], found)
            assert found == 1 or outcome is not Outcome.CONFIRMED, (seed, number, said[number], found)
    return said


def healthy_round(seed: int) -> list[tuple[str, Outcome]]:
    """A printer without faults: all is confirmed."""
    chance = random.Random(seed)
    with VirtualPrinter(speed=20000.0) as paper:
        printer = register(Network("127.0.0.1", paper.port, timeout=5), name="healthy", proof="process_id")
        said = []
        for number in range(JOBS):
            with print_job(printer, timeout=10) as job:
                _receipt(number, chance)(printer)
            said.append(("healthy", job.outcome))
            if chance.random() < 0.5:
                printer.close()
        printer.close()
    assert {outcome for _, outcome in said} == {Outcome.CONFIRMED}, (seed, said)
    return said


def run(first: int, rounds: int, workers: int) -> Counter[tuple[str, str]]:
    """Rounds by seed, and for each five one without faults; how often each fault ended how."""
    said: Counter[tuple[str, str]] = Counter()
    with ThreadPoolExecutor(workers) as pool:
        healthy = pool.map(healthy_round, range(first, first + max(1, rounds // 5)))
        for results in (*pool.map(round_of, range(first, first + rounds)), *healthy):
            said.update((fault, outcome.value) for fault, outcome in results)
    return said


def main() -> int:
    """Run, and print the table; 0 where nothing false was said."""
    parser = argparse.ArgumentParser("python -m tests.soak.jobs")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, help="instead of --jobs")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--workers", type=int, default=24)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore", ResourceWarning)  # python-escpos leaves the socket of a failed attempt
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    telemetry.bind(telemetry.telemetry(provider, MeterProvider()))
    began = time.monotonic()
    said = run(options.first, options.rounds or -(-options.jobs // JOBS), options.workers)
    for span in exporter.get_finished_spans():
        attributes = span.attributes or {}
        if span.name == "print job":
            assert ("printer.job.window" in attributes) == (attributes["printer.job.outcome"] == "unknown")
    outcomes = sorted({outcome for _, outcome in said})
    sys.stdout.write(f"{'fault':28}" + "".join(f"{outcome:>11}" for outcome in outcomes) + "\n")
    for fault in sorted({fault for fault, _ in said}):
        sys.stdout.write(f"{fault:28}" + "".join(f"{said[fault, outcome]:>11}" for outcome in outcomes) + "\n")
    sys.stdout.write(f"{said.total()} jobs in {time.monotonic() - began:.0f} s: nothing false was said\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
