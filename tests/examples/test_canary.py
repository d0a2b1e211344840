"""Distinctive words go wherever a caller can put one. They come out on paper, and nowhere else."""

from __future__ import annotations

import base64
import contextlib
import http.client
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from printobs.testing import OtlpSink, VirtualPrinter
from tests.examples.processes import Service, agent, exporting, service, token

JOBS = "/api/v1/printing/jobs"

# What OpenTelemetry's conventions put on the span of a request (HTTP spans, v1.27), and nowhere else.
ON_SPANS = {"url.path", "user_agent.original", "client.address", "http.request.method_original"}


class Canaries:
    """Words, each said once, by where it was said."""

    def __init__(self) -> None:
        self.said: dict[str, str] = {}

    def __call__(self, where: str) -> str:
        word = f"qz{len(self.said):02d}{where.replace(' ', '')}xv"
        self.said[where] = word
        return word

    def found(self, texts: Iterable[str]) -> list[str]:
        """Where those were said that are in ``texts``, as they are or in base64."""
        everything = "\n".join(texts).lower()

        def told(word: str) -> bool:
            encoded = base64.b64encode(word.encode()).decode().rstrip("=").lower()
            return word in everything or encoded in everything

        return [where for where, word in self.said.items() if told(word)]


def requests(till: Service, say: Canaries) -> Iterator[tuple[str, str, bytes | None, dict[str, str]]]:
    """Method, path, body and headers of requests with a word in every place."""
    good = {"Authorization": f"Bearer {token()}", "Content-Type": "application/json"}
    yield "POST", JOBS, f'{{"printer": "kitchen", "{{}}": "{say("unknown field")}"}}'.encode(), good
    yield "POST", JOBS, f'{{"printer": "kitchen", "receipt": "{say("wrong type")}"}}'.encode(), good
    yield "POST", JOBS, f'{{"printer": "{say("printer name")}"'.encode(), good
    yield "POST", JOBS, f'"{say("body of no object")}"'.encode(), good
    yield "POST", JOBS, f"\xff{say('body of no text')}".encode("latin-1"), good
    yield "POST", JOBS, say("body of another type").encode(), {**good, "Content-Type": f"text/{say('content type')}"}
    yield "POST", JOBS, b"{}", {**good, "Idempotency-Key": say("idempotency key")}
    yield "GET", f"{JOBS}?{say('query name')}={say('query value')}", None, good
    yield "GET", f"{JOBS}?printer={say('query of a filter')}&state=%FF", None, good
    yield "GET", f"{JOBS}/{say('job id')}", None, good
    yield "GET", f"/{say('path')}/{say('deeper path')}", None, {}
    yield say("method").upper(), JOBS, None, good
    yield "GET", JOBS, None, {"Authorization": f"Bearer {say('malformed token')}"}
    yield "GET", JOBS, None, {"Authorization": f"Basic {say('password')}"}
    yield "GET", JOBS, None, {"Authorization": f"Bearer {token(say('subject of an expired token'), lifetime=-60)}"}
    yield "GET", JOBS, None, {"Authorization": f"Bearer {token('till', say('scope'))}"}
    yield "GET", "/api/v1/metrics", None, {"Authorization": f"Bearer {say('token for metrics')}"}
    yield "GET", "/health", None, {"Cookie": f"session={say('cookie')}", "Referer": f"https://{say('referer')}/"}
    yield "GET", "/health", None, {"User-Agent": say("user agent"), "X-Customer": say("header of its own")}
    yield "GET", "/health", None, {"Host": f"{say('host')}.example", "Accept": say("accept")}
    yield (
        "GET",
        "/health",
        None,
        {"X-Forwarded-For": say("forwarded for"), "Origin": f"https://{say('origin')}.example"},
    )
    yield "GET", "/health", None, {"X-Request-ID": f"{say('request id')} \x7f", "X-Correlation-ID": f"{say('id')} {{}}"}
    yield "GET", "/health", None, {"baggage": f"{say('baggage')};;=,{say('baggage member')} x=\x7f"}
    yield "GET", "/health", None, {"traceparent": say("traceparent"), "tracestate": f"{say('tracestate')};,=\x7f"}


@pytest.mark.timeout(120)
def test_what_is_said_to_the_service_is_said_to_nobody_else(
    otlp_sink: OtlpSink, virtual_printers: Callable[..., VirtualPrinter]
) -> None:
    paper, say = virtual_printers(), Canaries()
    answers: list[str] = []
    address = f"tcp://127.0.0.1:{paper.port}?proof=process_id"
    with service(**exporting(otlp_sink)) as till, agent(till.url, {"kitchen": address}, **exporting(otlp_sink)) as pc:
        elements: list[dict[str, Any]] = [
            {"type": "text", "text": f"{say('guest')} {say('dish')}\n"},
            {"type": "qr", "data": f"https://till.example/{say('code')}"},
            {"type": "barcode", "kind": "CODE39", "data": say("barcode").upper()},
            {"type": "cut"},
        ]
        for more in ({"receipt": {"elements": elements}}, {"raw": base64.b64encode(f"{say('raw')}\n\x1dV\0".encode())}):
            body = {name: value.decode() if isinstance(value, bytes) else value for name, value in more.items()}
            bearer = token(say(f"subject {len(body)}"), "print raw")
            _, job, _ = till.ask("POST", JOBS, {"printer": "kitchen", **body}, bearer=bearer)
            status, _, _ = till.ask("GET", f"{JOBS}/{job['id']}", bearer=bearer)
            assert status == 200
        paper.wait_for_receipts(2, 30.0)
        # Too late for its receipt: what goes wrong while it is rendered says nothing either.
        broken = {"elements": [{"type": "barcode", "kind": "EAN13", "data": say("barcode that is none")}]}
        answers.append(repr(till.ask("POST", JOBS, {"printer": "kitchen", "receipt": broken})))
        for method, path, body, headers in requests(till, say):
            connection = http.client.HTTPConnection(till.url.removeprefix("http://"), timeout=10)
            connection.putrequest(method, path, skip_host="Host" in headers)
            for name, value in headers.items():
                connection.putheader(name, value.encode("latin-1"))
            connection.putheader("Content-Length", str(len(body or b"")))
            connection.endheaders(body)
            response = connection.getresponse()
            content = response.read().decode("latin-1")
            if response.status >= 400:
                answers.append(content)
            assert response.status < 500, (method, path)
            connection.close()
        for path, headers in (
            (f"/ws/client?token={say('token in a URL')}", {"Authorization": f"Bearer {say('token of a WebSocket')}"}),
            (f"/ws/client?after={say('number')}", {"Authorization": f"Bearer {token()}"}),
            ("/ws/client", {"Authorization": f"Bearer {token()}", "Origin": f"https://{say('foreign page')}.example"}),
            (f"/ws/{say('no WebSocket')}", {"Cookie": say("cookie of a WebSocket")}),
        ):
            with (
                contextlib.suppress(InvalidStatus, ConnectionClosed),
                connect(till.websocket + path, additional_headers=headers, proxy=None) as websocket,
            ):
                websocket.send(say(f"message to {path[:10]}"))
                websocket.close(4000, say(f"reason to {path[:10]}"))
        with connect(
            till.websocket + "/ws/agent",
            additional_headers={"Authorization": f"Bearer {token('agent-mitte', 'agent', 'mitte')}"},
            proxy=None,
        ) as rogue:
            rogue.send(f'{{"type": "{say("type of a message")}", "agent": "{say("field of a message")}"}}')
        _, metrics, _ = till.ask("GET", "/api/v1/metrics", bearer=token("prometheus", "metrics"))
        otlp_sink.wait_for(lambda sink: any(point.name == "printer.jobs" for point in sink.metrics), 15.0)
    whole = "".join(receipt.text for receipt in paper.receipts)
    assert say.said["dish"] in whole
    assert say.said["raw"] in whole
    for span in otlp_sink.spans:
        for name in ON_SPANS:
            span.attributes.pop(name, None)
    exported = (repr(each) for signal in (otlp_sink.spans, otlp_sink.metrics, otlp_sink.logs) for each in signal)
    # Origins that are refused are counted by name, the first twenty of them: an operator has to find the page.
    origins = ["origin", "foreign page"]
    assert say.found([*exported, *till.process.errors, *pc.errors]) == origins
    assert say.found([metrics["text"]]) == origins
    # The field that is wrong is named to whoever has sent it.
    assert say.found(answers) == ["query name"]
