"""Service and agent speak in named events with typed attributes, in the trace and under the ID of the request."""

import runpy
import time
from collections.abc import Callable
from typing import Any

from printobs.testing import OtlpSink, VirtualPrinter
from printobs.testing.otlp_decode import LogRecord
from tests.examples.processes import agent, exporting, service
from tests.examples.scripted import Scripted
from tests.examples.test_one_trace import CALLER, TRACE
from tests.nursery import ROOT

JOBS = "/api/v1/printing/jobs"
SECRET_TEXT = "Ramen for Table Nine"
RECEIPT = {"elements": [{"type": "text", "text": SECRET_TEXT}, {"type": "cut"}]}


def listed() -> dict[str, set[str]]:
    """The events of the reference, each with its attributes."""
    page = runpy.run_path(str(ROOT / "docs" / "reference.py"))
    return {name: set(attributes) for name, attributes, _ in page["_EVENTS"]}


def told(sink: OtlpSink, enough: Callable[[list[LogRecord]], bool]) -> list[LogRecord]:
    deadline = time.monotonic() + 15
    while True:
        records = [record for record in sink.logs if record.event_name]
        if enough(records):
            return records
        assert time.monotonic() < deadline, records
        time.sleep(0.05)


def check(records: list[LogRecord]) -> None:
    """No name and no attribute is emitted that the reference does not list."""
    events = listed()
    ours = {"correlation.id"}
    for record in records:
        names = {name for name in record.attributes if not name.startswith("code.")}
        assert names - ours <= events[record.event_name], record
        assert SECRET_TEXT not in repr(record)


def test_a_receipt_is_told_from_its_acceptance_to_its_end(
    otlp_sink: OtlpSink, virtual_printers: Callable[..., VirtualPrinter]
) -> None:
    address = f"tcp://127.0.0.1:{virtual_printers().port}?proof=process_id"
    with service(**exporting(otlp_sink)) as till:
        with agent(till.url, {"kitchen": address}, **exporting(otlp_sink)):
            headers = {"traceparent": f"00-{TRACE}-{CALLER}-01", "X_Correlation_ID": "order-4711"}
            order = {"printer": "kitchen", "kind": "kitchen", "receipt": RECEIPT}
            _, job, _ = till.ask("POST", JOBS, order, **headers)
            till.ended(job["id"])
        records = told(otlp_sink, lambda records: sum(each.event_name == "agent.left" for each in records) == 2)
    check(records)

    def of(source: str) -> list[LogRecord]:
        found = [each for each in records if each.resource["service.name"] == source]
        return sorted(found, key=lambda each: each.time_ns)

    assert [each.event_name for each in of("service")] == [
        "agent.joined",
        "job.accepted",
        "job.dispatched",
        "job.done",
        "agent.left",
    ]
    agents = [each.event_name for each in of("agent")]
    assert [name for name in agents if not name.startswith("printer.")] == [
        "agent.joined",
        "job.started",
        "job.done",
        "agent.left",
    ]
    of_job = [each for each in records if each.event_name.startswith("job.")]
    assert {each.attributes["correlation.id"] for each in of_job} == {"order-4711"}
    assert {each.attributes["job.id"] for each in of_job} == {job["id"]}
    assert {each.trace_id for each in of_job} == {TRACE}
    done: dict[str, Any] = next(each.attributes for each in of("service") if each.event_name == "job.done")
    assert (done["printer.job.outcome"], done["printer.job.kind"]) == ("confirmed", "kitchen")
    assert (done["branch.name"], done["printer.name"]) == ("mitte", "kitchen")
    assert "error.type" not in done


def test_a_job_that_may_not_have_come_out_is_held_and_told(otlp_sink: OtlpSink) -> None:
    with service(**exporting(otlp_sink)) as till:
        with Scripted(till) as desktop:
            for outcome, more in (
                ("unknown", {"error_type": "timeout", "window": "printing"}),
                ("failed", {"error_type": "reset", "partial": True}),
            ):
                job = till.submit("kitchen", SECRET_TEXT)["id"]
                assert desktop.job().id == job
                desktop.finish(job, outcome, **more)
        records = told(otlp_sink, lambda records: any(each.event_name == "agent.left" for each in records))
    check(records)
    [held] = [each for each in records if each.event_name == "job.held"]
    assert (held.severity, held.attributes["printer.job.window"]) == ("WARN", "printing")
    ends = [each.attributes for each in records if each.event_name == "job.done"]
    assert [each.get("error.type") for each in ends] == ["timeout", "reset"]
    assert [each.get("printer.job.partial") for each in ends] == [None, True]
