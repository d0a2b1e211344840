"""Printing: one write inside a job, and a whole job from its first span to its last histogram."""

from __future__ import annotations

from collections.abc import Callable
from time import time_ns
from typing import Final
from uuid import uuid4

from escpos.escpos import Escpos
from opentelemetry.metrics import Meter, MeterProvider, NoOpMeterProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NoOpTracerProvider, SpanKind, Tracer, TracerProvider, set_span_in_context

from benchmarks.peers import LABELS_INC, labels_inc
from benchmarks.providers import Providers
from benchmarks.rows import Candidate, Gate, Rows, beside, over_bare
from printobs.assembly.printing import print_job, register
from printobs.core import telemetry

BATCH: Final = 20_000  # writes: what their one job takes is in it, and should not count
JOBS: Final = 200
WRITE: Final = b"2 x Ramen\n"
BY_HAND: Final = "hand-written OpenTelemetry"
WRITE_BUDGET: Final = "one _raw() write inside a job: 0.5 µs"
JOB_BUDGET: Final = "one print job, whole: 1.5 times hand-written OpenTelemetry of the same"

# What `print_job` records of a job that was written, each the caller's to name if it is done by hand.
SPANS: Final = ("print job", "printer write", "printer confirm")
HISTOGRAMS: Final = ("jobs", "duration", "stage")  # and the counter before them
STAGES: Final = ("write", "confirm")


class Bare(Escpos):
    """A driver whose bytes go nowhere: what is timed is what is around them."""

    def _raw(self, msg: bytes) -> None:
        pass


class Watched(Escpos):
    def _raw(self, msg: bytes) -> None:
        pass


def test_raw(rows: Rows, providers: Providers) -> None:
    bare, watched = Bare(), register(Watched(), name="kitchen")

    def writing(printer: Escpos) -> Callable[[], int]:
        def run() -> int:
            for _ in range(BATCH):
                printer._raw(WRITE)
            return BATCH

        return run

    def ours() -> int:
        with print_job(watched):
            return writing(watched)()

    rows.compare(
        "one _raw() inside a job",
        {
            "bare": Candidate(writing(bare)),
            "printobs": Candidate(ours, providers.points("printer.io"), float(len(WRITE))),
            LABELS_INC: labels_inc(BATCH),
        },
        [Gate("over bare, by labels().inc()", over_bare("printobs", "bare", LABELS_INC), 0.5, WRITE_BUDGET)],
    )


def by_hand(tracer: Tracer, meter: Meter, printer: Escpos) -> Callable[[], int]:
    """The same spans, attributes and records of a job, and nothing that `print_job` finds out."""
    jobs, *histograms = HISTOGRAMS
    counter = meter.create_counter(jobs)
    duration, stage = (meter.create_histogram(name, "s") for name in histograms)
    labels = {"printer.name": "kitchen"}

    def run() -> int:
        for _ in range(JOBS):
            correlation = uuid4().hex
            began = time_ns()
            attributes = {
                **labels,
                "printer.job.id": uuid4().hex,
                "printer.job.kind": "receipt",
                "printer.driver": "watched",
                "correlation.id": correlation,
            }
            span = tracer.start_span("job", kind=SpanKind.CLIENT, attributes=attributes, start_time=began)
            context = set_span_in_context(span)
            printer._raw(WRITE)
            ended = time_ns()
            outcome = {**labels, "printer.job.kind": "receipt", "printer.job.outcome": "written"}
            counter.add(1, outcome, context)
            duration.record((ended - began) / 1e9, outcome, context)
            for name in STAGES:
                stage.record((ended - began) / 1e9, {**labels, "printer.job.stage": name}, context)
                part = tracer.start_span(
                    name, context, attributes={**labels, "correlation.id": correlation}, start_time=began
                )
                part.end(ended)
            span.set_attributes(
                {"printer.job.outcome": "written", "printer.job.bytes": len(WRITE), "printer.job.evidence": "sent"}
            )
            span.end(ended)
        return JOBS

    return run


def test_job(rows: Rows, providers: Providers) -> None:
    unsampled, printer = Providers(ALWAYS_OFF), register(Watched(), name="kitchen")

    def ours(traces: TracerProvider, metrics: MeterProvider) -> Callable[[], int]:
        bound = telemetry.telemetry(traces, metrics)

        def run() -> int:
            telemetry.bind(bound)
            for _ in range(JOBS):
                with print_job(printer):
                    printer._raw(WRITE)
            return JOBS

        return run

    def peer(made: Providers) -> Callable[[], int]:
        return by_hand(made.traces.get_tracer("by hand"), made.metrics.get_meter("by hand"), Bare())

    def spans(run: Callable[[], int]) -> float:
        before = providers.spans()
        operations = run()
        return (providers.spans() - before) / operations

    mine, theirs = ours(providers.traces, providers.metrics), peer(providers)
    assert spans(mine) == spans(theirs) == len(SPANS)
    records = 4.0  # one counter, one duration, two stages
    our_names, their_names = ("printer.jobs", "printer.job.duration", "printer.job.stage.duration"), HISTOGRAMS
    rows.compare(
        "a print job",
        {
            "printobs, sampled": Candidate(mine, providers.points(*our_names), records),
            BY_HAND: Candidate(theirs, providers.points(*their_names), records),
            "printobs, unsampled": Candidate(
                ours(unsampled.traces, unsampled.metrics), unsampled.points(*our_names), records
            ),
            f"{BY_HAND}, unsampled": Candidate(peer(unsampled), unsampled.points(*their_names), records),
            "printobs, no SDK": Candidate(ours(NoOpTracerProvider(), NoOpMeterProvider())),
        },
        [
            Gate("sampled, by hand-written", beside("printobs, sampled", BY_HAND), 1.6, JOB_BUDGET),
            Gate("unsampled, by hand-written and sampled", beside("printobs, unsampled", BY_HAND), 1.3, JOB_BUDGET),
            Gate("without an SDK, by hand-written and sampled", beside("printobs, no SDK", BY_HAND), 0.6, JOB_BUDGET),
        ],
        settle=providers.spans,
    )
    unsampled.shutdown()
