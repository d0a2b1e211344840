"""What the tests ask the running backend."""

from __future__ import annotations

import json
import random
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from collector.stack.stack import Running, Stack
from examples.demo.client import Till
from examples.demo.receipts import logo, receipt

JOBS = "/api/v1/printing/jobs"
_PICTURE = logo()

T = TypeVar("T")


def get(url: str, **query: str) -> Any:
    """The JSON at ``url``."""
    with urllib.request.urlopen(f"{url}?{urllib.parse.urlencode(query)}" if query else url, timeout=10) as response:
        return json.load(response)


def until(found: Callable[[], T], within: float = 30.0, why: Callable[[], str] | None = None) -> T:
    """The first thing found that is true; fails with the last that was not, or with ``why()``."""
    deadline = time.monotonic() + within
    while not (last := found()):
        assert time.monotonic() < deadline, f"not within {within:.0f} s: {why() if why else repr(last)}"
        time.sleep(0.2)
    return last


def restart(part: Running) -> None:
    """With what its configuration says now."""
    part.stop()
    part.start()
    part.wait()


def selectors(node: Any) -> Iterator[str]:
    """Those of a query that Prometheus has parsed, as it writes them: ``up{job="a"}``."""
    if isinstance(node, dict):
        if node.get("type") in ("vectorSelector", "matrixSelector"):
            matchers = [each for each in node["matchers"] if not (each["name"] == "__name__" and each["type"] == "=")]
            told = ",".join(f"{each['name']}{each['type']}{json.dumps(each['value'])}" for each in matchers)
            yield f"{node['name']}{{{told}}}"
        for each in node.values():
            yield from selectors(each)
    elif isinstance(node, list):
        for each in node:
            yield from selectors(each)


class Backend:
    """What the tests ask the running backend."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.prometheus = f"http://127.0.0.1:{stack.ports.prometheus}"
        self.jaeger = f"http://127.0.0.1:{stack.ports.jaeger}"
        self.otlp = f"http://127.0.0.1:{stack.ports.otlp_http}"

    def query(self, promql: str) -> list[dict[str, Any]]:
        """The series of an instant query."""
        result: list[dict[str, Any]] = get(f"{self.prometheus}/api/v1/query", query=promql)["data"]["result"]
        return result

    def value(self, promql: str) -> float:
        """The sum over the series of a query; 0 where there is none."""
        return sum(float(each["value"][1]) for each in self.query(promql))

    def exemplars(self, promql: str) -> list[dict[str, Any]]:
        """The exemplars of the last ten minutes."""
        now = time.time()
        found = get(f"{self.prometheus}/api/v1/query_exemplars", query=promql, start=str(now - 600), end=str(now + 5))
        return [exemplar for series in found["data"] for exemplar in series["exemplars"]]

    def trace(self, trace_id: str) -> dict[str, Any] | None:
        """A trace as Jaeger's API tells it."""
        try:
            found: list[dict[str, Any]] = get(f"{self.jaeger}/api/traces/{trace_id}")["data"]
        except urllib.error.HTTPError:
            return None
        return found[0] if found else None

    def printed(self, most: int) -> set[str]:
        """The correlation IDs of the jobs that Jaeger has a span of."""
        found = get(f"{self.jaeger}/api/traces", service="agent", operation="print job", limit=str(most), lookback="1h")
        return {
            tag["value"]
            for trace in found["data"]
            for span in trace["spans"]
            if span["operationName"] == "print job"
            for tag in span["tags"]
            if tag["key"] == "correlation.id"
        }

    def logs(self) -> Iterator[dict[str, Any]]:
        """The log records in the Collector's file, with the attributes as a dictionary and the service's name."""
        for line in (self.stack.state / "logs" / "printobs.jsonl").read_text().splitlines():
            for resource in json.loads(line)["resourceLogs"]:
                service = _attributes(resource["resource"]["attributes"]).get("service.name")
                for scope in resource["scopeLogs"]:
                    for record in scope["logRecords"]:
                        yield {
                            "service": service,
                            "event": record.get("eventName"),
                            "trace": record.get("traceId"),
                            **_attributes(record.get("attributes", [])),
                        }


def _attributes(listed: list[dict[str, Any]]) -> dict[str, Any]:
    return {each["key"]: next(iter(each["value"].values()), None) for each in listed}


def submit(till: Till, printer: str = "mitte-bar", number: int = 1, **headers: str) -> dict[str, Any]:
    """A receipt for ``printer``, as the service has taken it."""
    body = {
        "printer": printer,
        "kind": printer.partition("-")[2],
        "receipt": receipt(number, _PICTURE, random.Random(number)),
    }
    job: dict[str, Any] = till.ask("POST", JOBS, body, **headers)
    return job


def telemetry(endpoint: str) -> dict[str, str]:
    """How the deployment exports in these tests: in seconds, not in half minutes."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "500",
        "OTEL_BLRP_SCHEDULE_DELAY": "500",
        "OTEL_METRIC_EXPORT_INTERVAL": "2000",
        # As the deployment has it: ten minutes of five receipts a second.
        "OTEL_BSP_MAX_QUEUE_SIZE": "30000",
        "OTEL_BLRP_MAX_QUEUE_SIZE": "30000",
    }
