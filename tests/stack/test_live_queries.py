"""Every query of a panel and of a rule, asked of the live backend under traffic: no error, no warning, no empty answer.

What is asked for must be there, too: each selector finds a series, or a query that ends in ``or vector(0)`` would hide
that it does not. The rules that record are in a hurry, or five minutes would go by.
"""

from __future__ import annotations

import json
import math
import re
import socket
import struct
import threading
import urllib.error
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from collector.grafana.expressions import VARIABLES, Asked, expressions
from collector.stack.stack import Stack
from examples.demo.client import Till
from examples.demo.stage import Stage
from examples.service.api_printers import PRINTERS
from tests.rules.promtool import Rule, name, rules
from tests.stack.backend import JOBS, Backend, get, selectors, submit, telemetry, until
from tests.stack.shortened import expression, hurry
from tests.test_dashboards import emitted

FACTOR = 30  # what is recorded each five minutes is recorded each ten seconds
GOOD, GONE, EMPTY = "mitte-bar", "wedding-kitchen", "mitte-kitchen"
HANDSHAKES = 20  # a minute, of one address
SETTINGS = {
    "SERVICE_PING": "1",
    "SERVICE_RATE_HANDSHAKES": str(HANDSHAKES),
    "SERVICE_PRINTER_QUEUE_LIMIT": "2",
    "SERVICE_JOB_TIMEOUT": "3",
}

PANELS = list(expressions({**VARIABLES, "__rate_interval": "30s"}))
RULES = rules()
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
OTHERS = re.compile(r"(otelcol|prometheus|alertmanager|system)_\w+|up")  # of other programs

# What is not there before something fails, and what is, and shows that it would be found.
BORN_LATER = {
    # The Collector makes each at its first failure, with the ending that it gives to all of its counters.
    r'otelcol_exporter_(?:send|enqueue)_failed_(\w+)_total\{job="otelcol"\}': (
        r'otelcol_exporter_sent_\1_total{job="otelcol"}'
    ),
    # An exception inside printobs is a bug: no traffic brings one. docs/metrics.md has the name, as all of ours.
    r"printobs_errors_total\{\}": "printobs_clock_seconds",
    # What is lost has an error; the counters, all five, are there without.
    r'\{__name__=~"(otel_sdk_[^"]+)",error_type!=""\}': r'count(count by (__name__) ({__name__=~"\1"})) == 5',
    # A connection as bad as that wants a client that is slow, too.
    r'(websocket_server_quality_level)\{quality_level="poor"\}': r'\1{quality_level="fair"}',
}

Json = dict[str, Any]


# ---------------------------------------------------------------------------------------------------------- the traffic


@pytest.fixture(scope="module")
def stage(stack: Stack, backend: Backend) -> Iterator[Stage]:
    hurry(stack, FACTOR)
    with Stage({**telemetry(backend.otlp), **SETTINGS}) as running:
        yield running


@pytest.fixture(scope="module")
def live(backend: Backend, stage: Stage) -> Iterator[Backend]:
    """The backend, while receipts and all kinds of trouble go on."""
    stage.printers[GONE].ask("power_off")
    stage.printers[EMPTY].ask("paper_out")
    too_often(stage)
    lose_connections(stage)
    over = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        traffic = pool.submit(again_and_again, stage, over)
        try:
            until(lambda: traffic.done() or backend.query("branch_name:print_tests_bad:increase5m > 0"), 60)
            yield backend
        finally:
            over.set()
        traffic.result()


def too_often(stage: Stage) -> None:
    """A client at another address is limited for a minute."""
    url = f"{stage.url.replace('http', 'ws', 1)}/ws/client"
    for status in (*[401] * HANDSHAKES, 429):
        with pytest.raises(InvalidStatus) as refusal:
            connect(url, source_address=("127.0.0.2", 0))
        assert refusal.value.response.status_code == status


def lose_connections(stage: Stage) -> None:
    """Connections of the agent of `GOOD` break, so that what remains to it is fair at best."""
    headers = {"Authorization": f"Bearer {stage.token('agent', 'mitte')}"}
    for _ in range(5):
        connection = connect(f"{stage.url.replace('http', 'ws', 1)}/ws/agent", additional_headers=headers)
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.socket.close()


def again_and_again(stage: Stage, over: threading.Event) -> None:
    """Each second one of everything: receipts, test prints that come out and that do not, refusals, cancellations."""
    till, anybody = stage.till, Till(stage.url, "not.a.token")
    stop = till.listen(lambda _: None)
    while not over.wait(1):
        submit(till, GOOD)
        for printer in (GOOD, GONE):
            till.ask("POST", f"{PRINTERS}/{printer}/test")
        refused(404, till, "POST", f"{PRINTERS}/nobody/test")
        refused(404, till, "GET", "/nowhere")
        refused(401, anybody, "GET", PRINTERS)
        till.ask("GET", PRINTERS, Origin="https://elsewhere.example")
        waiting = [submit(till, EMPTY) for _ in range(2)]
        refused(503, till, "POST", f"{PRINTERS}/{EMPTY}/test")
        for job in reversed(waiting):
            till.ask("POST", f"{JOBS}/{job['id']}/cancel")
    stop()


def refused(status: int, till: Till, method: str, path: str) -> None:
    with pytest.raises(RuntimeError, match=f"^{method} {path}: {status} "):
        till.ask(method, path)


# -------------------------------------------------------------------------------------------------------- what is wrong


def faults(backend: Backend, expr: str, some: bool = True) -> list[str]:
    """What is wrong with a query; ``some``: where it has no answer, too."""
    found = []
    try:
        answer = get(f"{backend.prometheus}/api/v1/query", query=expr)
    except urllib.error.HTTPError as error:
        with error:
            return [json.load(error)["error"]]
    found += answer.get("warnings", []) + answer.get("infos", [])
    values = [each["value"][1] for each in answer["data"]["result"]]
    if some and not values:
        found.append("no answer")
    if any(math.isnan(float(value)) for value in values):
        found.append(f"no number: {values}")
    for selector in selectors(get(f"{backend.prometheus}/api/v1/parse_query", query=expr)["data"]):
        if not backend.query(known(selector)):
            found.append(f"there is no {selector}")
        found += [f"docs/metrics.md has no {each}" for each in undocumented(selector)]
    return found


def known(selector: str) -> str:
    """The query that has an answer where a selector is right."""
    for pattern, instead in BORN_LATER.items():
        if found := re.fullmatch(pattern, selector):
            return found.expand(instead)
    return selector


def undocumented(selector: str) -> list[str]:
    """The names of ours in it that docs/metrics.md does not have."""
    asked = selector.partition("{")[0]
    pattern = re.compile(asked or json.loads(re.search(r'__name__=~("[^"]+")', selector)[1]))  # type: ignore[index]
    if OTHERS.fullmatch(asked) or asked in RECORDED or any(pattern.fullmatch(each) for each in emitted()):
        return []
    return [asked or pattern.pattern]


# ------------------------------------------------------------------------------------------------------------ the tests


def told(backend: Backend, expr: str, some: bool = True) -> None:
    """Fails where something is wrong with a query still after some samples more."""
    last: list[str] = []

    def right() -> bool:
        last[:] = faults(backend, expr, some)
        return not last

    until(right, 10, lambda: f"{last} in {expr}")


@pytest.mark.parametrize("asked", PANELS, ids=lambda each: f"{each.dashboard}: {each.panel}")
def test_a_panel_has_a_number(live: Backend, asked: Asked) -> None:
    told(live, asked.expr)


@pytest.mark.parametrize("rule", RULES, ids=name)
def test_a_rule_asks_for_what_is_there(live: Backend, rule: Rule) -> None:
    # Rightly an alert has no answer where all is well: that what it asks for is there must do.
    told(live, rule["expr"], some="record" in rule)


@pytest.mark.parametrize("record", sorted(RECORDED))
def test_a_recorded_series_is_there(live: Backend, record: str) -> None:
    told(live, record)


def test_no_rule_fails(live: Backend) -> None:
    groups = get(f"{live.prometheus}/api/v1/rules")["data"]["groups"]
    judged = [rule for group in groups for rule in group["rules"]]
    assert len(judged) == len(RULES)
    assert [rule for rule in judged if rule["health"] != "ok" or rule.get("lastError")] == []


@pytest.mark.parametrize("rule", RULES, ids=name)
def test_a_rule_in_a_hurry_is_another_in_its_times_alone(live: Backend, rule: Rule) -> None:
    def written(expr: str) -> str:
        # Where lines are broken depends on how long they are.
        return "".join(get(f"{live.prometheus}/api/v1/format_query", query=expr)["data"].split())

    whole = written(rule["expr"])
    assert written(expression(rule["expr"], 1, 15)) == whole
    hurried = written(expression(rule["expr"], FACTOR))
    times = re.compile(r"\[[^]]+\]|offset\d+\w|300/315|10/11|>120|>4(?!\d)")
    assert times.sub("", hurried) == times.sub("", whole)
    assert (hurried == whole) is (times.search(whole) is None)


def test_what_is_wrong_is_found(live: Backend) -> None:
    assert faults(live, "sum(rate(job_outcomes_total[30s])) >= 0") == []
    assert "parse error" in faults(live, "sum(rate(job_outcomes_total")[0]
    assert faults(live, "job_outcome_total or vector(0)") == [
        "there is no job_outcome_total{}",
        "docs/metrics.md has no job_outcome_total",
    ]
    assert faults(live, 'job_outcomes_total{shop="mitte"} or vector(0)') == [
        'there is no job_outcomes_total{shop="mitte"}'
    ]
    assert faults(live, "traces_span_metrics_calls_total > 0") == [
        "docs/metrics.md has no traces_span_metrics_calls_total"
    ]
    assert faults(live, "up < 0") == ["no answer"]
    assert faults(live, "up < 0", some=False) == []
    assert faults(live, "0 * sum(up) / 0") == ["no number: ['NaN']"]
    assert "metric might not be a counter" in faults(live, "rate(process_memory_usage_bytes[30s])")[0]
