"""What the reference deployment emits is what docs/metrics.md lists: nothing else, and all of it."""

from __future__ import annotations

import re
import runpy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from examples.jobs import wire
from printobs.core import conventions
from printobs.testing import OtlpSink, VirtualPrinter
from tests.examples.processes import Process, Service, configure, exporting, free_port, service, token
from tests.examples.scripted import Scripted
from tests.examples.scripted_service import ScriptedService
from tests.nursery import ROOT

REFERENCE = runpy.run_path(str(ROOT / "docs" / "reference.py"))
LISTED = {instrument.name: instrument for instrument in (*conventions.INSTRUMENTS, *REFERENCE["OTHERS"])}

# Only a fault in our own code, or a flood of values, has them.
NOT_HERE = {"printobs.errors", "printobs.overflows"}


@contextmanager
def _agent(home: Path, url: str, printers: dict[str, VirtualPrinter], sink: OtlpSink) -> Iterator[Process]:
    addresses = {name: f"tcp://127.0.0.1:{paper.port}?proof=process_id" for name, paper in printers.items()}
    settings = configure(home, url, addresses)
    text = settings.read_text().replace("[agent]\n", "[agent]\nping_seconds = 1\n")
    settings.write_text(text.replace('proof = "process_id"', 'proof = "process_id"\nmonitor = 1'))
    process = Process("examples.agent", {"AGENT_CONFIG": str(settings), **exporting(sink)})
    try:
        yield process
    finally:
        process.stop()


def _refuse_some(till: Service) -> None:
    """Bad tokens, a foreign page, too many handshakes."""
    assert till.ask("GET", "/api/v1/printing/jobs", bearer="junk")[0] == 401
    page = {"Authorization": f"Bearer {token()}", "Origin": "https://elsewhere.example"}
    for _ in range(60):
        try:
            connect(till.websocket + "/ws/client", additional_headers=page, proxy=None)
        except InvalidStatus as refused:
            if refused.response.status_code == 429:
                return
    raise AssertionError("nobody is limited")


def _work(till: Service, bar: VirtualPrinter) -> None:
    """Jobs that end in each way, one of them held and printed again."""
    headers = {"Authorization": f"Bearer {token()}"}
    with connect(till.websocket + "/ws/client", additional_headers=headers, proxy=None) as client:
        assert till.ended(till.submit("kitchen")["id"])["outcome"] == "confirmed"
        client.send("a word")
        client.recv(timeout=5)
    bar.paper_out(after_dots=10)
    held = till.ended(till.submit("bar", timeout=1)["id"], 20.0)
    assert (held["outcome"], held["held"]) == ("unknown", True)
    bar.paper_in()
    path = f"/api/v1/printing/jobs/{held['id']}/reprint"
    assert till.ask("POST", path, bearer=token("boss", "print operate"))[0] == 202
    bar.power_off()
    failed = till.submit("bar", timeout=1, expires_in=1)
    assert till.ended(failed["id"], 20.0)["outcome"] == "failed"


@pytest.mark.timeout(180)
def test_what_is_emitted_is_what_is_listed(
    otlp_sink: OtlpSink, virtual_printers: Callable[..., VirtualPrinter], tmp_path: Path
) -> None:
    papers = {"kitchen": virtual_printers(), "bar": virtual_printers()}
    port = free_port()
    with _agent(tmp_path, f"http://127.0.0.1:{port}", papers, otlp_sink) as pc:
        pc.event("ready")
        time.sleep(1)  # nobody is there yet
        with ScriptedService(port, refuse=HTTPStatus.SERVICE_UNAVAILABLE):
            time.sleep(2)
        environment = {"SERVICE_PORT": str(port), "SERVICE_PING": "1", "SERVICE_RATE_HANDSHAKES": "40"}
        with service(**environment, **exporting(otlp_sink)) as till:
            pc.event("joined")
            _work(till, papers["bar"])
            with Scripted(till, ["terrace"], name="other") as other:
                other.send(wire.Done("0" * 32, "confirmed"))  # whose ID nobody waits for
                other.hear()
            time.sleep(2)  # pings, a look at the loop
            _, answer, _ = till.ask("GET", "/api/v1/metrics", bearer=token("prometheus", "metrics"))
            _refuse_some(till)
            otlp_sink.wait_for(lambda sink: any(p.name == "security.rate_limit.triggers" for p in sink.metrics), 15.0)
    emitted: dict[str, set[str]] = {}
    for point in otlp_sink.metrics:
        emitted.setdefault(point.name, set()).update(point.attributes)
    assert emitted.keys() - LISTED.keys() == set()
    assert LISTED.keys() - NOT_HERE - emitted.keys() == set()
    unlisted = {name: attributes - set(LISTED[name].attributes) for name, attributes in emitted.items()}
    assert [name for name, more in unlisted.items() if more] == []
    in_prometheus = {REFERENCE["prometheus"](instrument) for instrument in LISTED.values()}
    found = set(re.findall(r"^# TYPE (\S+)", answer["text"], re.MULTILINE))
    assert found - in_prometheus == {"target_info"}
    assert len(found) > 30
