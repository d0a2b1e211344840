"""What the dashboards ask, by the real promtool: it parses, and has a number on a quiet night as on a busy one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from collector.grafana.expressions import Asked, expressions
from tests.rules.promtool import RULES, promtool

SERVICE = {"job": "service", "instance": "till/8080"}
AGENT = {"job": "agent", "instance": "mitte/pc@mitte"}
PRINTER = {"branch_name": "mitte", "printer_name": "mitte-bar"}
STEPS = 240  # of 15 s: an hour, and all samples that an increase of 45 minutes wants
WHEN = "59m"

# Nothing was printed, and nothing asked for, in their windows: there is no such time.
QUIET = {"Print Test Latency (p50, p95, p99)", "HTTP Request Duration (p95)", "Latency p95 (500 ms)"}
# Which only an agent tells, or the answer to nothing.
AGENTS_ALONE = {"printer_job_duration_seconds_bucket", "printer_quality_score", "printer_status"}

Series = dict[str, str]


def good(*arguments: str) -> str:
    """What promtool says; fails where it does."""
    done = promtool(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def series(name: str, values: str, *labels: Mapping[str, str], **more: str) -> tuple[str, str]:
    every = {key: value for each in (*labels, more) for key, value in each.items()}
    told = ",".join(f'{key}="{value}"' for key, value in every.items())
    return f"{name}{{{told}}}", values


def counted(start: int, each: int) -> str:
    """A counter that rises by ``each`` a step."""
    return f"{start}+{each}x{STEPS}"


def still(value: int) -> str:
    return f"{value}x{STEPS}"


def quiet() -> Series:
    """A night of a service that Prometheus scrapes itself: no agent tells anything, nothing has ever gone wrong."""
    return dict(
        [
            series(
                "websocket_server_active_connections", still(1), SERVICE, branch_name="mitte", client_type="desktop"
            ),
            series("websocket_server_active_connections", still(0), SERVICE),  # none that has not said who it is
            *(
                series("websocket_server_quality_level", still(n), SERVICE, branch_name="mitte", quality_level=level)
                for level, n in {"excellent": 1, "good": 0, "fair": 0, "poor": 0, "unknown": 1}.items()
            ),
            *jobs(confirmed=still(40), written=still(0), failed=still(0), unknown=still(0), cancelled=still(1)),
            *buckets("job_duration_seconds", still(2), SERVICE, branch_name="mitte", printer_job_kind="test"),
            *requests(counted(100, 0)),
            *correlation(pending=still(40), acknowledged=still(40), hit=still(40)),
            series("process_cpu_time_seconds_total", counted(0, 1), SERVICE, type="user"),
            series("process_memory_usage_bytes", still(80_000_000), SERVICE),
            *(
                series(name, still(value), SERVICE, labels)
                for name, labels, value in (
                    ("job_held", {"branch_name": "mitte"}, 0),
                    ("job_queue_length", {"branch_name": "mitte"}, 0),
                    ("job_queue_age_seconds", {"branch_name": "mitte"}, 0),
                    ("branch_open", {"branch_name": "mitte"}, 0),
                    ("job_failures_consecutive", PRINTER, 0),
                    ("agent_connected", {"branch_name": "mitte", "agent_name": "pc"}, 1),
                    ("printer_served", PRINTER, 1),
                )
            ),
            *recorded(still(0), still(0)),
        ]
    )


def busy() -> Series:
    """An evening by the Collector: of ten jobs two fail, of ten requests one; two of ten answers nobody waits for."""
    return quiet() | dict(
        [
            *jobs(
                confirmed=counted(40, 8),
                written=still(0),
                failed=counted(0, 1),
                unknown=counted(0, 1),
                cancelled=counted(1, 3),
            ),
            *buckets("job_duration_seconds", counted(2, 1), SERVICE, branch_name="mitte", printer_job_kind="test"),
            *buckets("printer_job_duration_seconds", counted(2, 1), AGENT, PRINTER, printer_job_kind="test"),
            *requests(counted(100, 9)),
            series(
                "http_server_request_duration_seconds_count",
                counted(0, 1),
                SERVICE,
                http_response_status_code="500",
                http_route="/jobs",
            ),
            *correlation(pending=counted(40, 10), acknowledged=counted(40, 9), hit=counted(40, 8)),
            series("correlation_lookups_total", counted(0, 2), SERVICE, correlation_lookup_result="miss"),
            series(
                "security_authentication_failures_total", counted(0, 5), SERVICE, authentication_failure_reason="scope"
            ),
            series("security_origins_refused_total", counted(0, 1), SERVICE, network_protocol_name="http"),
            series("security_events_total", counted(0, 2), SERVICE, security_event_severity="medium"),
            series("security_rate_limit_triggers_total", counted(0, 1), SERVICE, rate_limit_kind="request"),
            series("security_rate_limit_clients", still(3), SERVICE),
            series("websocket_server_connection_errors_total", counted(0, 1), SERVICE, branch_name="mitte"),
            series("printer_quality_score", still(90), AGENT, PRINTER),
            series("printer_status", still(1), AGENT, PRINTER, printer_state="ready"),
            *recorded(still(10), still(2)),
        ]
    )


def jobs(**outcomes: str) -> Iterator[tuple[str, str]]:
    for kind in ("receipt", "test"):
        for outcome, values in outcomes.items():
            labels = {"printer_job_kind": kind, "printer_job_outcome": outcome}
            yield series("job_outcomes_total", values, SERVICE, PRINTER, labels)


def buckets(name: str, values: str, *labels: Mapping[str, str], **more: str) -> Iterator[tuple[str, str]]:
    """All of them came in between a quarter and half of a second."""
    for le in ("0.25", "0.5", "1.0", "+Inf"):
        fast = still(0) if le == "0.25" else values
        yield series(f"{name}_bucket", fast, *labels, more, le=le, printer_job_outcome="confirmed")


def requests(values: str) -> Iterator[tuple[str, str]]:
    name, labels = "http_server_request_duration_seconds", {"http_response_status_code": "200", "http_route": "/jobs"}
    yield series(f"{name}_count", values, SERVICE, labels)
    for le in ("0.5", "+Inf"):
        yield series(f"{name}_bucket", values, SERVICE, labels, le=le)


def correlation(pending: str, acknowledged: str, hit: str) -> Iterator[tuple[str, str]]:
    yield series("correlation_lifecycle_total", pending, SERVICE, correlation_state="pending")
    yield series("correlation_lifecycle_total", acknowledged, SERVICE, correlation_state="acknowledged")
    yield series("correlation_lookups_total", hit, SERVICE, correlation_lookup_result="hit")


def recorded(total: str, bad: str) -> Iterator[tuple[str, str]]:
    for what, level, ending in (
        ("jobs", "branch_name", "increase5m"),
        ("print_tests", "branch_name", "increase5m"),
        ("connections", "branch_name", "sum"),
        ("http_requests", "cluster", "increase5m"),
    ):
        labels = {"branch_name": "mitte"} if level == "branch_name" else {}
        yield series(f"{level}:{what}:{ending}", total, labels)
        yield series(f"{level}:{what}_bad:{ending}", bad, labels)
    yield series("cluster:http_requests_slow:increase5m", bad)
    for le in ("0.5", "+Inf"):
        yield series("le:http_requests:increase5m", total, le=le)


def holds(tmp_path: Path, given: Series, expected: Mapping[str, int]) -> None:
    """Fails where one of these has another value than expected."""
    test = {
        "interval": "15s",
        "input_series": [{"series": name, "values": values} for name, values in given.items()],
        "promql_expr_test": [
            {"expr": expr, "eval_time": WHEN, "exp_samples": [{"labels": "{}", "value": value}]}
            for expr, value in expected.items()
        ],
    }
    file = tmp_path / "tests.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES / "dashboards.yml")], "tests": [test]}))
    good("test", "rules", str(file))


def numbers(expr: str) -> str:
    """1 where it has a number, 0 where it has none."""
    return f"(count(({expr}) == ({expr})) or vector(0)) > bool 0"


def no_numbers(expr: str) -> str:
    """How many of its series are NaN."""
    return f"count(({expr}) != ({expr})) or vector(0)"


def near(expr: str, value: float) -> str:
    """1 where its only series is as good as that."""
    return f"abs(({expr}) - {value}) < bool 1e-6"


def one(panel: str, place: int = 0) -> str:
    """A panel's query."""
    return [each.expr for each in expressions() if each.panel == panel][place]


@pytest.fixture(scope="module")
def asked() -> list[Asked]:
    found = list(expressions())
    assert {each.dashboard for each in found} == {"printing", "slo"}
    return found


def test_every_query_is_promql(asked: list[Asked], tmp_path: Path) -> None:
    def checked(queries: list[str]) -> str:
        rules = [{"record": f"query_{number}", "expr": expr} for number, expr in enumerate(queries)]
        (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
        return good("check", "rules", str(tmp_path / "rules.yml"))

    assert f"{len(asked)} rules found" in checked([each.expr for each in asked])
    with pytest.raises(AssertionError, match="parse error"):
        checked(["sum(rate(job_held))) or"])


def test_every_query_has_a_number_on_a_busy_evening(asked: list[Asked], tmp_path: Path) -> None:
    holds(tmp_path, busy(), {numbers(each.expr): 1 for each in asked} | {no_numbers(each.expr): 0 for each in asked})


def test_every_panel_has_a_number_on_a_quiet_night_of_a_direct_scrape(asked: list[Asked], tmp_path: Path) -> None:
    expected = {no_numbers(each.expr): 0 for each in asked}
    for each in asked:
        of_agents = any(name in each.expr for name in AGENTS_ALONE)
        expected[numbers(each.expr)] = int(not of_agents and each.panel not in QUIET)
    holds(tmp_path, quiet(), expected)


def test_the_numbers_are_right(tmp_path: Path) -> None:
    right = {
        near(one("WebSocket Connections (Total)"), 1): 1,
        near(one("Correlation ID Success Rate"), 0.9): 1,
        near(one("Correlation ID Success Rate", 1), 0.8): 1,
        near(one("Print Test Success Rate"), 0.8): 1,
        near(one("Error Rate (Requests/min)", 1), 16): 1,
        near(one("Error Rate (Requests/min)", 3), 0.1): 1,
        near(one("Error Rate (Requests/min)", 4), 0.2): 1,
        near(f"sum({one('Health Monitoring Quality Score', 1)})", 100): 1,
        near(one("Security Events"), 20): 1,
        near(one("Print Jobs (Success vs Failed)"), 64): 1,
        near(one("Availability (99.9 %)"), 0.8): 1,
        near(one("Availability: budget left"), -199): 1,
        near(one("Print tests: budget left"), -3): 1,
        near(f"sum({one('Receipts, 1h')})", 4): 1,
        near(one("Availability, 3d"), 200): 1,
        near(f"sum({one('Branches', 1)})", 1): 1,
        near(f"sum({one('Branches', 2)})", 0): 1,
    }
    holds(tmp_path, busy(), right)


def test_a_quiet_night_is_a_good_one(tmp_path: Path) -> None:
    good = {
        near(one("Correlation ID Success Rate"), 1): 1,
        near(one("Print Test Success Rate"), 1): 1,
        near(f"count({one('WebSocket Connections per Branch')})", 1): 1,
        near(one("Error Rate (Requests/min)", 3), 0): 1,
        near(one("Availability (99.9 %)"), 1): 1,
        near(one("Availability: budget left"), 1): 1,
        near(f"sum({one('Receipts, 1h')})", 0): 1,
    }
    holds(tmp_path, quiet(), good)


def test_nothing_at_all_is_no_success(tmp_path: Path) -> None:
    """Where no telemetry comes, no gauge is green."""
    silent = {"Correlation ID Success Rate", "Print Test Success Rate", "Availability (99.9 %)", "Availability, 1h"}
    nothing: Any = dict([series("up", still(1), job="prometheus")])
    holds(
        tmp_path, nothing, {numbers(one(panel)): 0 for panel in silent} | {near(one("Desktop App Connections"), 0): 1}
    )
