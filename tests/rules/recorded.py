"""What each recording rule makes of what is there."""

from __future__ import annotations

from typing import Final

from tests.rules.cases import ended, jump, still
from tests.rules.promtool import Recorded

_BRANCH: Final = 'branch_name="mitte"'
_WHERE: Final = f'{_BRANCH}, printer_name="bar"'
_SEED: Final = 'branch="mitte", branch_name="mitte", printer="bar", printer_name="bar"'
_SERVICE: Final = 'job="service", instance="a"'


def _test(outcome: str, labels: str = _WHERE) -> str:
    return f'{{{labels}, printer_job_kind="test", printer_job_outcome="{outcome}"}}'


PLATFORM: Final = (
    Recorded(
        "websocket_connections_total",
        {'websocket_server_active_connections{branch_name="mitte", client_type="web", http_route="/ws"}': still(5)},
        "1m",
        {
            'websocket_connections_total{branch="mitte", branch_name="mitte", type="web", client_type="web", '
            'http_route="/ws"}': 5
        },
    ),
    Recorded(  # by the inventory, where there is one: a branch that nobody is left of has no connection to count
        "desktop_app_connections_total",
        {
            f'agent_connected{{branch_name="mitte", agent_name="a", {_SERVICE}}}': still(1),
            f'agent_connected{{branch_name="mitte", agent_name="b", {_SERVICE}}}': still(1),
            f'agent_connected{{branch_name="wedding", agent_name="a", {_SERVICE}}}': still(0),
            f'websocket_server_active_connections{{branch_name="mitte", client_type="desktop", {_SERVICE}}}': still(7),
            'websocket_server_active_connections{branch_name="mitte", client_type="desktop", job="b"}': still(3),
            'websocket_server_active_connections{branch_name="mitte", client_type="desktop", job="b", x="y"}': still(1),
            'websocket_server_active_connections{branch_name="mitte", client_type="web", job="b"}': still(9),
            'websocket_server_active_connections{client_type="desktop", instance="c"}': still(2),
            'websocket_server_active_connections{client_type="desktop", instance="d"}': still(4),
        },
        "1m",
        {
            f'desktop_app_connections_total{{branch="mitte", branch_name="mitte", {_SERVICE}}}': 2,
            f'desktop_app_connections_total{{branch="wedding", branch_name="wedding", {_SERVICE}}}': 0,
            'desktop_app_connections_total{branch="mitte", branch_name="mitte", job="b"}': 4,
            'desktop_app_connections_total{instance="c"}': 2,
            'desktop_app_connections_total{instance="d"}': 4,
        },
    ),
    Recorded(
        "print_test_requests_total",
        {
            **{
                "job_outcomes_total" + _test(outcome): still(number)
                for number, outcome in enumerate(("confirmed", "written", "failed", "unknown", "cancelled"), start=1)
            },
            f'job_outcomes_total{{{_WHERE}, printer_job_kind="bar", printer_job_outcome="confirmed"}}': still(9),
        },
        "1m",
        {
            "print_test_requests_total" + _test(outcome, f'{_SEED}, status="{status}"'): number
            for number, outcome, status in (
                (1, "confirmed", "success"),
                (2, "written", "success"),
                (3, "failed", "failed"),
                (4, "unknown", "failed"),
            )
        },
    ),
    *(
        recorded
        for part, le in (("bucket", ', le="0.1"'), ("count", ""), ("sum", ""))
        for recorded in (
            Recorded(  # as the agents measure it
                f"print_test_duration_seconds_{part}",
                {
                    f"printer_job_duration_seconds_{part}" + _test("confirmed", _WHERE + le): still(45),
                    f'printer_job_duration_seconds_{part}{{printer_job_kind="bar"{le}}}': still(7),
                    f"job_duration_seconds_{part}" + _test("confirmed", _BRANCH + le): still(46),
                },
                "1m",
                {f"print_test_duration_seconds_{part}" + _test("confirmed", _SEED + le): 45},
            ),
            Recorded(  # as the service does, where no agent's metrics come here
                f"print_test_duration_seconds_{part}",
                {
                    f"job_duration_seconds_{part}" + _test("confirmed", _BRANCH + le): still(46),
                    f'printer_job_duration_seconds_{part}{{printer_job_kind="bar"{le}}}': still(7),
                    f'job_duration_seconds_{part}{{printer_job_kind="bar"{le}}}': still(7),
                },
                "1m",
                {f"print_test_duration_seconds_{part}" + _test("confirmed", f'branch="mitte", {_BRANCH}{le}'): 46},
            ),
        )
    ),
    Recorded(
        "connection_quality_distribution",
        {
            'websocket_server_quality_level{branch_name="mitte", quality_level="good"}': still(3),
            'websocket_server_quality_level{branch_name="mitte", quality_level="unknown"}': still(1),
        },
        "1m",
        {
            'connection_quality_distribution{branch="mitte", branch_name="mitte", quality="good", '
            'quality_level="good"}': 3
        },
    ),
    Recorded(
        "http_requests_total",
        {
            "http_server_request_duration_seconds_count"
            f'{{http_response_status_code="200", http_request_method="GET", http_route="/x", {_SERVICE}}}': still(8),
            'http_server_request_duration_seconds_count{http_response_status_code="503", job="b"}': still(2),
            'http_server_request_duration_seconds_count{http_response_status_code="503", instance="c"}': still(1),
        },
        "1m",
        {
            'http_requests_total{status="200", method="GET", route="/x", http_response_status_code="200", '
            f'http_request_method="GET", http_route="/x", {_SERVICE}}}': 8,
            f'http_requests_total{{status="500", {_SERVICE}}}': 0,
            'http_requests_total{status="503", http_response_status_code="503", job="b"}': 2,
            'http_requests_total{status="500", job="b"}': 0,
            'http_requests_total{status="503", http_response_status_code="503", instance="c"}': 1,
            'http_requests_total{status="500", instance="c"}': 0,
        },
    ),
    Recorded(
        "http_request_duration_seconds_bucket",
        {
            "http_server_request_duration_seconds_bucket"
            '{http_response_status_code="200", http_request_method="GET", http_route="/x", le="0.1"}': still(8)
        },
        "1m",
        {
            'http_request_duration_seconds_bucket{status="200", method="GET", route="/x", le="0.1", '
            'http_response_status_code="200", http_request_method="GET", http_route="/x"}': 8
        },
    ),
)


def _increments(record: str, series: dict[str, str], labels: str, more: float) -> tuple[Recorded, ...]:
    """A jump at an hour is in the five minutes after it, and in no others."""
    return tuple(
        Recorded(record, series, at, {f"{record}{labels}": value})
        for at, value in (("60m", more), ("3885s", more), ("65m", 0), ("59m", 0))
    )


_REQUESTS: Final = "http_server_request_duration_seconds_count"
_MITTE: Final = '{branch_name="mitte"}'
_LEVELS: Final = {
    f'websocket_server_quality_level{{{_BRANCH}, quality_level="{level}"}}': still(number)
    for number, level in enumerate(("excellent", "good", "fair", "poor", "unknown"), start=1)
}

OBJECTIVES: Final = (
    *_increments(
        "branch_name:jobs:increase5m",
        {
            ended("bar", "confirmed"): jump(3),
            ended("kitchen", "confirmed"): jump(1),
            ended("bar", "written"): jump(10),
            ended("bar", "failed"): jump(100),
            ended("bar", "unknown"): jump(1000),
            ended("bar", "cancelled"): jump(5000),
        },
        _MITTE,
        1114,
    ),
    *_increments(
        "branch_name:jobs_bad:increase5m",
        {ended("bar", "confirmed"): jump(7), ended("bar", "failed"): jump(1), ended("bar", "unknown"): jump(10)},
        _MITTE,
        11,
    ),
    *_increments(
        "cluster:http_requests:increase5m",
        {
            f'{_REQUESTS}{{http_response_status_code="200"}}': jump(7),
            f'{_REQUESTS}{{http_response_status_code="500"}}': jump(10),
        },
        "",
        17,
    ),
    *_increments(
        "cluster:http_requests_bad:increase5m",
        {
            f'{_REQUESTS}{{http_response_status_code="404"}}': jump(7),
            f'{_REQUESTS}{{http_response_status_code="500"}}': jump(1),
            f'{_REQUESTS}{{http_response_status_code="503"}}': jump(2),
        },
        "",
        3,
    ),
    Recorded(  # none: zero, or there were no number for a good month
        "cluster:http_requests_bad:increase5m",
        {"cluster:http_requests:increase5m": still(7)},
        "60m",
        {"cluster:http_requests_bad:increase5m": 0},
    ),
    *_increments(
        "branch_name:print_tests:increase5m",
        {
            ended("test", "confirmed"): jump(3),
            ended("test", "written"): jump(10),
            ended("test", "failed"): jump(100),
            ended("test", "unknown"): jump(1000),
            ended("test", "cancelled"): jump(5000),
            ended("bar", "confirmed"): jump(7),
        },
        _MITTE,
        1113,
    ),
    *_increments(
        "branch_name:print_tests_bad:increase5m",
        {
            ended("test", "confirmed"): jump(7),
            ended("test", "failed"): jump(1),
            ended("test", "unknown"): jump(10),
            ended("bar", "failed"): jump(50),
        },
        _MITTE,
        11,
    ),
    *_increments(
        "le:http_requests:increase5m",
        {'http_server_request_duration_seconds_bucket{le="0.5", x="y"}': jump(7)},
        '{le="0.5"}',
        7,
    ),
    *(
        Recorded(
            "cluster:http_requests_slow:increase5m",
            {
                "cluster:http_requests:increase5m": still(9),
                'http_server_request_duration_seconds_bucket{le="0.5", http_route="/a"}': jump(fast),
                'http_server_request_duration_seconds_bucket{le="0.5", http_route="/b"}': jump(1),
                'http_server_request_duration_seconds_bucket{le="1"}': jump(9),
            },
            at,
            {"cluster:http_requests_slow:increase5m": slow},
        )
        for fast, at, slow in ((5, "60m", 3), (5, "3885s", 3), (5, "65m", 9), (9, "60m", 0))
    ),
    Recorded(
        "branch_name:agents_connected:sum",
        {
            'agent_connected{branch_name="mitte", agent_name="a"}': still(1),
            'agent_connected{branch_name="mitte", agent_name="b"}': still(1),
            'agent_connected{branch_name="wedding", agent_name="a"}': still(0),
        },
        "1m",
        {
            'branch_name:agents_connected:sum{branch_name="mitte"}': 2,
            'branch_name:agents_connected:sum{branch_name="wedding"}': 0,
        },
    ),
    Recorded(
        "branch_name:connections:sum",
        _LEVELS,
        "1m",
        {f"branch_name:connections:sum{_MITTE}": 10},
    ),
    Recorded(
        "branch_name:connections_bad:sum",
        _LEVELS,
        "1m",
        {f"branch_name:connections_bad:sum{_MITTE}": 7},
    ),
    # One receipt more in each window, from the first scrape of all on: no window loses it, none counts it twice.
    Recorded(
        "branch_name:jobs:increase5m",
        {ended("bar", "confirmed"): "0x3 1x19 2x19 3x19"},
        "5m",
        {f"branch_name:jobs:increase5m{_MITTE}": 1},
    ),
)


def _rate(rise: float, window: float) -> float:
    """Of a counter that has jumped in the window: as `rate` reaches from its samples' ends to the window's."""
    sampled = window - 15
    return rise * (window / sampled / window)


def _bucket(name: str, outcome: str, kind: str = "test", **labels: str) -> str:
    told = "".join(f', {key}="{value}"' for key, value in labels.items())
    return f'{name}_bucket{{{_BRANCH}, printer_job_kind="{kind}", printer_job_outcome="{outcome}"{told}}}'


def _request(route: str, le: str, **labels: str) -> str:
    told = ", ".join(f'{key}="{value}"' for key, value in {"http_route": route, "le": le, **labels}.items())
    return f"http_server_request_duration_seconds_bucket{{{told}}}"


def _month(events: str, of: str) -> Recorded:
    """A sample each hour, of a day more than is summed."""
    return Recorded(
        f"branch_name:{events}:sum30d",
        {
            f"branch_name:{events}:{of}{{{_BRANCH}}}": "3x744",
            f'branch_name:{events}:{of}{{branch_name="wedding"}}': "1x744",
        },
        "31d",
        {
            f"branch_name:{events}:sum30d{{{_BRANCH}}}": 3 * 720,
            f'branch_name:{events}:sum30d{{branch_name="wedding"}}': 720,
        },
        interval="1h",
    )


DASHBOARDS: Final = (
    *(_month(events, "increase5m") for events in ("jobs", "jobs_bad", "print_tests", "print_tests_bad")),
    *(_month(events, "sum") for events in ("connections", "connections_bad")),
    Recorded(
        "printer_name:jobs:rate5m",
        {
            f'job_outcomes_total{{{_WHERE}, printer_job_kind="bar", printer_job_outcome="failed"}}': jump(300),
            f'job_outcomes_total{{{_WHERE}, printer_job_kind="test", printer_job_outcome="failed"}}': jump(300),
            f'job_outcomes_total{{{_WHERE}, printer_job_outcome="cancelled"}}': jump(30),
            f'job_outcomes_total{{{_BRANCH}, printer_name="kitchen", printer_job_outcome="failed"}}': jump(3),
            'job_outcomes_total{branch_name="wedding", printer_name="bar", printer_job_outcome="failed"}': jump(0),
        },
        "64m",
        {
            f'printer_name:jobs:rate5m{{{_WHERE}, printer_job_outcome="failed"}}': 2 * _rate(300, 300),
            f'printer_name:jobs:rate5m{{{_WHERE}, printer_job_outcome="cancelled"}}': _rate(30, 300),
            f'printer_name:jobs:rate5m{{{_BRANCH}, printer_name="kitchen", printer_job_outcome="failed"}}': _rate(
                3, 300
            ),
            'printer_name:jobs:rate5m{branch_name="wedding", printer_name="bar", printer_job_outcome="failed"}': 0,
        },
    ),
    Recorded(
        "http_route_le:http_requests:rate5m",
        {
            _request("/jobs", "0.5", http_request_method="POST"): jump(300),
            _request("/jobs", "0.5", http_request_method="GET"): jump(300),
            _request("/jobs", "+Inf", http_request_method="GET"): jump(3000),
            _request("/printers", "0.5"): jump(30),
            _request("", "0.5"): jump(7),
        },
        "64m",
        {
            'http_route_le:http_requests:rate5m{http_route="/jobs", le="0.5"}': 2 * _rate(300, 300),
            'http_route_le:http_requests:rate5m{http_route="/jobs", le="+Inf"}': _rate(3000, 300),
            'http_route_le:http_requests:rate5m{http_route="/printers", le="0.5"}': _rate(30, 300),
        },
    ),
    Recorded(
        "branch_name_le:print_tests:rate15m",
        {
            _bucket("job_duration_seconds", "confirmed", le="1"): jump(100),
            _bucket("job_duration_seconds", "written", le="1"): jump(100),
            _bucket("job_duration_seconds", "confirmed", le="+Inf"): jump(1000),
            _bucket("job_duration_seconds", "failed", le="1"): jump(7),
            _bucket("job_duration_seconds", "confirmed", "bar", le="1"): jump(7),
            'job_duration_seconds_bucket{branch_name="wedding", printer_job_kind="test", '
            'printer_job_outcome="written", le="1"}': jump(3),
        },
        "74m",
        {
            f'branch_name_le:print_tests:rate15m{{{_BRANCH}, le="1"}}': 2 * _rate(100, 900),
            f'branch_name_le:print_tests:rate15m{{{_BRANCH}, le="+Inf"}}': _rate(1000, 900),
            'branch_name_le:print_tests:rate15m{branch_name="wedding", le="1"}': _rate(3, 900),
        },
    ),
    Recorded(
        "printer_name_le:print_tests:rate15m",
        {
            _bucket("printer_job_duration_seconds", "confirmed", le="1", printer_name="bar"): jump(100),
            _bucket("printer_job_duration_seconds", "written", le="1", printer_name="bar"): jump(100),
            _bucket("printer_job_duration_seconds", "confirmed", le="+Inf", printer_name="bar"): jump(1000),
            _bucket("printer_job_duration_seconds", "confirmed", le="1", printer_name="kitchen"): jump(10),
            _bucket("printer_job_duration_seconds", "unknown", le="1", printer_name="bar"): jump(7),
            _bucket("printer_job_duration_seconds", "written", "bar", le="1", printer_name="bar"): jump(7),
            'printer_job_duration_seconds_bucket{branch_name="wedding", printer_name="bar", printer_job_kind="test", '
            'printer_job_outcome="written", le="1"}': jump(3),
        },
        "74m",
        {
            f'printer_name_le:print_tests:rate15m{{{_WHERE}, le="1"}}': 2 * _rate(100, 900),
            f'printer_name_le:print_tests:rate15m{{{_WHERE}, le="+Inf"}}': _rate(1000, 900),
            f'printer_name_le:print_tests:rate15m{{{_BRANCH}, printer_name="kitchen", le="1"}}': _rate(10, 900),
            'printer_name_le:print_tests:rate15m{branch_name="wedding", printer_name="bar", le="1"}': _rate(3, 900),
        },
    ),
)
