"""One receipt, the whole way, over real wires and in real processes: one trace, one correlation ID, one outcome."""

import base64
import io
import json
import time
from collections.abc import Callable

from PIL import Image
from websockets.sync.client import connect

from printobs.testing import OtlpSink, VirtualPrinter
from printobs.testing.otlp_decode import Span
from tests.examples.processes import agent, exporting, service, token
from tests.examples.scripted import Scripted

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"


def test_a_receipt_is_one_trace_under_one_correlation_id(
    otlp_sink: OtlpSink, virtual_printers: Callable[..., VirtualPrinter]
) -> None:
    printer = virtual_printers()
    picture = io.BytesIO()
    Image.new("1", (64, 16)).save(picture, "PNG")
    secret = "Ramen for Table Nine"
    receipt = {
        "elements": [
            {"type": "image", "png": base64.b64encode(picture.getvalue()).decode(), "align": "center"},
            {"type": "text", "text": f"{secret}\n", "bold": True},
            {"type": "qr", "data": "https://till.example/4711"},
            {"type": "barcode", "kind": "EAN13", "data": "4006381333931"},
            {"type": "feed", "lines": 2},
            {"type": "cut"},
        ]
    }
    with service(**exporting(otlp_sink)) as till:
        address = f"tcp://127.0.0.1:{printer.port}?proof=process_id"
        with agent(till.url, {"mitte-kitchen": address}, **exporting(otlp_sink)) as desktop:
            headers = {"Authorization": f"Bearer {token()}"}
            with connect(till.websocket + "/ws/client", additional_headers=headers) as client:
                status, job, answer = till.ask(
                    "POST",
                    "/api/v1/printing/jobs",
                    {"printer": "mitte-kitchen", "kind": "kitchen", "receipt": receipt},
                    traceparent=f"00-{TRACE}-{CALLER}-01",
                    X_Correlation_ID="order-4711",
                )
                assert status == 202
                assert answer["x-correlation-id"] == job["correlation_id"] == "order-4711"
                assert answer["location"].endswith(job["id"])
                events = []
                while not events or events[-1]["outcome"] is None:
                    events.append(json.loads(client.recv(timeout=10)))
            ended = till.ended(job["id"])
            assert (ended["outcome"], ended["error_type"], ended["partial"]) == ("confirmed", None, False)
            assert [event["state"] for event in events] == ["queued", "dispatched", "confirmed"]
            for event in events:
                assert TRACE in event["traceparent"]
                assert "order-4711" in event["baggage"]
        assert desktop.process.returncode == 0
    assert till.process.process.returncode == 0

    [paper] = printer.receipts
    assert secret in paper.text
    assert paper.cut
    assert (len(paper.images), len(paper.symbols), len(paper.barcodes)) == (1, 1, 1)

    spans = [span for span in otlp_sink.spans if span.trace_id == TRACE]
    by_id = {span.span_id: span for span in spans}
    for span in spans:
        assert span.attributes.get("correlation.id") == "order-4711", span.name

    def way(span: Span) -> list[str]:
        names = []
        while True:
            names.append(f"{span.resource['service.name']}: {span.name}")
            if span.parent_id == CALLER:
                return names[::-1]
            span = by_id[span.parent_id]

    [write] = [span for span in spans if span.name == "printer write"]
    printing = [
        "service: POST /api/v1/printing/jobs",
        "service: dispatch job",
        "agent: websocket message",
        "agent: print job",
    ]
    assert way(write) == [*printing, "agent: printer write"]
    assert {way(span)[-1] for span in spans if way(span)[:-1] == printing} == {
        "agent: printer connect",
        "agent: printer write",
        "agent: printer confirm",
    }
    [back] = [span for span in spans if way(span) == [*printing[:3], "service: websocket message"]]
    assert back.links  # to the handshake of the agent's connection

    exported = repr([otlp_sink.spans, otlp_sink.metrics, otlp_sink.logs]) + "".join(
        till.process.errors + desktop.errors
    )
    assert secret not in exported
    assert "Ramen" not in exported
    records = [record for record in otlp_sink.logs if record.trace_id == TRACE]
    assert {record.resource["service.name"] for record in records} == {"service", "agent"}
    assert all(record.attributes.get("correlation.id") == "order-4711" for record in records)
    [count] = [
        point
        for point in otlp_sink.metrics
        if point.name == "printer.jobs" and point.attributes["printer.job.outcome"] == "confirmed"
    ][-1:]
    assert count.value == 1
    assert count.attributes["printer.job.kind"] == "kitchen"
    durations = [point for point in otlp_sink.metrics if point.name == "printer.job.duration"]
    assert TRACE in {exemplar.trace_id for point in durations for exemplar in point.exemplars}
    names = {point.name for point in otlp_sink.metrics}
    assert {"http.server.request.duration", "websocket.server.messages", "websocket.client.messages"} <= names


def test_a_job_that_goes_on_late_has_a_trace_of_its_own_that_is_linked_to_the_first(otlp_sink: OtlpSink) -> None:
    order = {"printer": "kitchen", "receipt": {"elements": [{"type": "text", "text": "x"}]}}
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-01", "X_Correlation_ID": "order-4711"}
    with service(SERVICE_TRACE_SECONDS="1", **exporting(otlp_sink)) as till:
        with Scripted(till):
            pass
        late = till.ask("POST", "/api/v1/printing/jobs", order, **headers)[1]["id"]
        time.sleep(1.1)
        with Scripted(till, sequence=11) as desktop:
            assert desktop.job().id == late
            assert TRACE not in desktop.last["traceparent"]
            assert "order-4711" in desktop.last["baggage"]
            own = desktop.last["traceparent"].split("-")[1]
            desktop.finish(late)
            soon = till.ask("POST", "/api/v1/printing/jobs", order, **headers)[1]["id"]
            assert desktop.job().id == soon
            assert TRACE in desktop.last["traceparent"]
            desktop.finish(soon)
    dispatched = {span.trace_id: span for span in otlp_sink.spans if span.name == "dispatch job"}
    assert dispatched.keys() == {TRACE, own}
    assert [link.trace_id for link in dispatched[own].links] == [TRACE]
    assert (dispatched[own].parent_id, dispatched[own].attributes["correlation.id"]) == ("", "order-4711")
    assert dispatched[TRACE].links == ()
