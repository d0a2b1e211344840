"""Each alert: firing at its limit and after its duration, silent just below, in idle hours, and without data."""

from __future__ import annotations

from typing import Final

from tests.rules.promtool import Case

# -- hours, in promtool's notation: a sample each 15 seconds ----------------------------------------------------------

_STEP: Final = 15


def minutes(number: float) -> int:
    """Samples in so many minutes."""
    return int(number * 60 / _STEP)


def jump(by: float, at: float = 60, after: float = 120, base: float = 1000) -> str:
    """A counter that stands at ``base``, and rises once, ``at`` minutes from the beginning."""
    return f"{base:g}x{minutes(at) - 1} {base + by:g}x{minutes(after)}"


def still(value: float, long: float = 240) -> str:
    """A gauge, or a counter of an idle night."""
    return f"{value}x{minutes(long)}"


def _at(minute: float) -> str:
    return f"{round(minute * 60)}s"


def once(alert: str, series: dict[str, str], wait: float, window: float, labels: dict[str, str]) -> Case:
    """Counters that `jump`: the alert waits, and ends when the jump has left its window."""
    return Case(
        alert,
        series,
        fires=(_at(60 + wait), _at(60 + window - 0.5)),
        silent=(_at(59), _at(59.75 + wait), _at(59.75 + window)),
        labels=labels,
    )


def after(
    alert: str,
    earlier: dict[str, float],
    now: dict[str, float],
    wait: float,
    back: float,
    labels: dict[str, str] | None = None,
) -> Case:
    """Counters that jump at an hour, and had jumped ``back`` minutes before: in the window, or just out of it."""
    series = {}
    for name in {**earlier, **now}:
        then = 1000 + int(earlier.get(name, 0))
        last = then + int(now.get(name, 0))
        series[name] = f"1000x{minutes(60 - back) - 1} {then}x{minutes(back) - 1} {last}x{minutes(120)}"
    at = (_at(60 + wait),)
    return Case(alert, series, at if labels else (), () if labels else at, labels or {})


def never(alert: str, series: dict[str, str]) -> Case:
    """Silent all the time."""
    return Case(alert, series, silent=("61m", "66m", "70m", "75m", "90m", "105m", "110m"))


CRITICAL: Final = {"severity": "critical"}
WARNING: Final = {"severity": "warning"}
INFO: Final = {"severity": "info"}
MITTE: Final = {"branch_name": "mitte"}
BAR: Final = {**MITTE, "printer_name": "bar"}

_HTTP: Final = "http_server_request_duration_seconds"
_TEST: Final = 'printer_job_kind="test", printer_job_outcome="confirmed"'


def ended(kind: str, outcome: str, branch: str = "mitte") -> str:
    """The series of a branch's jobs that ended so."""
    where = f'branch_name="{branch}", printer_job_kind="{kind}"'
    return f'job_outcomes_total{{{where}, printer_job_outcome="{outcome}"}}'


def _jobs(kind: str, branch: str = "mitte", base: float = 1000, **outcomes: float) -> dict[str, str]:
    return {ended(kind, outcome, branch): jump(number, base=base) for outcome, number in outcomes.items()}


def _status(code: str) -> str:
    return f'{_HTTP}_count{{http_response_status_code="{code}"}}'


def _requests(**statuses: float) -> dict[str, str]:
    return {_status(status[1:]): jump(number) for status, number in statuses.items()}


def _histogram(name: str, counts: dict[str, float], labels: str) -> dict[str, float]:
    comma = ", " if labels else ""
    buckets = {f'{name}_bucket{{le="{bound}"{comma}{labels}}}': number for bound, number in counts.items()}
    return {**buckets, f"{name}_count{{{labels}}}": counts["+Inf"]}


def _buckets(name: str, counts: dict[str, float], labels: str = "") -> dict[str, str]:
    return {series: jump(number) for series, number in _histogram(name, counts, labels).items()}


def _slow(name: str, bounds: tuple[str, str], fast: float, slow: float, labels: str) -> dict[str, float]:
    return _histogram(name, {bounds[0]: fast, bounds[1]: fast + slow, "+Inf": fast + slow}, labels)


def _quality(branch: str, **levels: float) -> dict[str, str]:
    return {
        f'websocket_server_quality_level{{branch_name="{branch}", quality_level="{level}"}}': still(number)
        for level, number in levels.items()
    }


def _agents(**agents: float) -> dict[str, str]:
    return {
        f'agent_connected{{branch_name="{name.split("_")[0]}", agent_name="{name}"}}': still(value)
        for name, value in agents.items()
    }


def _away(long: float) -> str:
    """A gauge that is 1 for half an hour, not there for ``long`` minutes, and 1 again."""
    return f"1x{minutes(30)} stale _x{minutes(long) - 2} {still(1)}"


def _open(**branches: float) -> dict[str, str]:
    return {f'branch_open{{branch_name="{branch}", job="service"}}': still(value) for branch, value in branches.items()}


def _lookups(result: str) -> str:
    return f'correlation_lookups_total{{correlation_lookup_result="{result}"}}'


# What was before the window does not count, what is old and still in it does.
WINDOWS: Final = (
    *(
        case
        for good, bad, least, labels in (
            (_status("200"), _status("500"), 3, {**CRITICAL, "of": "requests"}),
            (ended("bar", "confirmed"), ended("bar", "failed"), 5, {**CRITICAL, "of": "receipts"}),
        )
        for case in (
            after("HighErrorRate", {good: 1e6}, {good: 5 * least, bad: least}, 1, 5, labels),
            after("HighErrorRate", {bad: 1e6}, {good: 50 * least, bad: least}, 1, 5),
            after("HighErrorRate", {bad: 1e6}, {bad: least - 1}, 1, 5),
            after("HighErrorRate", {good: 1e6}, {bad: 50}, 1, 3),
        )
    ),
    after("LowPrintTestSuccessRate", {ended("test", "confirmed"): 50}, {ended("test", "failed"): 5}, 5, 9),
    after("PrintTestSuccessBelowSLA", {ended("test", "confirmed"): 500}, {ended("test", "failed"): 5}, 10, 18),
    *(
        case
        for alert, wait, window, name, bounds, least, which, labels in (
            ("HighP95Latency", 5, 15, _HTTP, ("1", "2.5"), 20, "", {**WARNING, "of": "requests"}),
            (
                *("HighP95Latency", 5, 15, "job_duration_seconds", ("1", "2.5"), 5),
                *(_TEST, {**WARNING, "of": "test prints"}),
            ),
            ("P95LatencyAboveSLA", 10, 30, _HTTP, ("0.5", "0.75"), 20, "", WARNING),
        )
        for case in (
            after(alert, _slow(name, bounds, 1e6, 0, which), _slow(name, bounds, 0, 50, which), wait, window, labels),
            after(alert, _slow(name, bounds, 1e6, 0, which), _slow(name, bounds, 0, least - 1, which), wait, window),
        )
    ),
    after(
        "LowCorrelationIdCacheHitRate",
        {_lookups("hit"): 1e6},
        {_lookups("hit"): 4, _lookups("miss"): 8},
        15,
        45,
        INFO,
    ),
    after("LowCorrelationIdCacheHitRate", {_lookups("miss"): 1e6}, {_lookups("hit"): 51, _lookups("miss"): 49}, 15, 45),
    after("LowCorrelationIdCacheHitRate", {_lookups("hit"): 1e6}, {_lookups("miss"): 9}, 15, 45),
    after("LowCorrelationIdCacheHitRate", {_lookups("hit"): 20}, {_lookups("miss"): 10}, 15, 27),
)

PLATFORM: Final = (
    Case(
        "AllDesktopAppsDisconnected", _agents(mitte_pc=0, wedding_pc=0), ("5m", "60m"), ("0m", "285s"), labels=CRITICAL
    ),
    Case("AllDesktopAppsDisconnected", {**_agents(mitte_pc=0, wedding_pc=1), **_open(mitte=1)}, silent=("30m",)),
    Case(
        "AllDesktopAppsDisconnected",
        {**_agents(mitte_pc=0, wedding_pc=1), **_open(mitte=1, wedding=0)},
        ("5m",),
        labels=CRITICAL,
    ),
    Case("AllDesktopAppsDisconnected", {**_agents(mitte_pc=0), **_open(mitte=0)}, silent=("30m",)),
    *(
        once("HighErrorRate", series, 1, 5, {**CRITICAL, "of": of})
        for of, series in (
            ("requests", _requests(_200=26, _500=1, _503=2)),
            ("requests", {**_requests(_200=26, _503=3), **_jobs("bar", failed=50, confirmed=5000)}),
            ("receipts", _jobs("bar", confirmed=44, failed=5)),
            ("receipts", _jobs("bar", written=44, unknown=5)),
            ("receipts", {**_jobs("bar", failed=5), **_jobs("bar", "wedding", confirmed=44)}),
        )
    ),
    never("HighErrorRate", _requests(_200=27, _500=3)),
    never("HighErrorRate", _requests(_500=2)),  # a lone request at night
    never("HighErrorRate", _requests(_200=50, _404=500, _429=500)),
    never("HighErrorRate", _jobs("bar", confirmed=45, failed=5)),
    never("HighErrorRate", _jobs("bar", written=45, unknown=5)),
    never("HighErrorRate", _jobs("bar", failed=4)),
    never("HighErrorRate", _jobs("bar", confirmed=44, cancelled=500, failed=4)),
    never("HighErrorRate", {**_requests(_200=0, _500=0), **_jobs("bar", confirmed=0, failed=0)}),
    *(
        once("LowPrintTestSuccessRate", series, 5, 15, {**CRITICAL, **MITTE})
        for series in (
            _jobs("test", base=100_000, confirmed=79, failed=21),  # after long good weeks
            _jobs("test", written=79, unknown=21),
            _jobs("test", failed=1),  # all of them: there is no success to divide
            {**_jobs("test", failed=1, confirmed=0), **_jobs("test", "wedding", confirmed=500, failed=0)},
        )
    ),
    never("LowPrintTestSuccessRate", _jobs("test", confirmed=80, failed=20)),
    never("LowPrintTestSuccessRate", _jobs("test", written=80, unknown=20)),
    never("LowPrintTestSuccessRate", _jobs("bar", failed=500)),
    never("LowPrintTestSuccessRate", _jobs("test", confirmed=3, cancelled=500)),
    never("LowPrintTestSuccessRate", _jobs("test", confirmed=0, failed=0)),
    Case(  # the walk: a printer that there is not, and so no branch
        "LowPrintTestSuccessRate",
        {'job_outcomes_total{printer_name="_OTHER", printer_job_kind="test", printer_job_outcome="failed"}': jump(1)},
        ("65m",),
        ("3885s",),
        labels=CRITICAL,
    ),
    once(
        "HighAuthenticationFailureRate",
        {
            'security_authentication_failures_total{authentication_failure_reason="expired"}': jump(100),
            'security_authentication_failures_total{authentication_failure_reason="missing"}': jump(38),
        },
        1,
        3,
        CRITICAL,
    ),
    never("HighAuthenticationFailureRate", {"security_authentication_failures_total": jump(137)}),
    Case(
        "ConnectionQualityDegraded",
        {**_quality("mitte", poor=31, excellent=69, unknown=500), **_quality("wedding", poor=0, good=900)},
        ("30m", "60m"),
        ("0m", "1785s"),
        labels={**WARNING, **MITTE},
    ),
    Case("ConnectionQualityDegraded", _quality("mitte", poor=30, excellent=70), silent=("60m",)),
    Case("ConnectionQualityDegraded", _quality("mitte", poor=0, excellent=0, fair=3), silent=("60m",)),
    Case("ConnectionQualityDegraded", _quality("mitte", poor=0, excellent=0), silent=("60m",)),
    once("HighP95Latency", _buckets(_HTTP, {"1": 94, "2.5": 100, "+Inf": 100}), 5, 15, {**WARNING, "of": "requests"}),
    once("HighP95Latency", _buckets(_HTTP, {"1": 0, "2.5": 20, "+Inf": 20}), 5, 15, {**WARNING, "of": "requests"}),
    once(
        "HighP95Latency",
        _buckets("job_duration_seconds", {"1": 94, "2.5": 100, "+Inf": 100}, _TEST),
        5,
        15,
        {**WARNING, "of": "test prints"},
    ),
    once(
        "HighP95Latency",
        _buckets("job_duration_seconds", {"1": 0, "2.5": 5, "+Inf": 5}, _TEST.replace("confirmed", "written")),
        5,
        15,
        {**WARNING, "of": "test prints"},
    ),
    once(  # receipts' own seconds are not a test's
        "HighP95Latency",
        {
            **_buckets("job_duration_seconds", {"1": 0, "2.5": 5, "+Inf": 5}, _TEST),
            **_buckets("job_duration_seconds", {"1": 900, "2.5": 900, "+Inf": 900}, _TEST.replace("test", "bar")),
        },
        5,
        15,
        {**WARNING, "of": "test prints"},
    ),
    never("HighP95Latency", _buckets(_HTTP, {"1": 95, "2.5": 100, "+Inf": 100})),
    never("HighP95Latency", _buckets(_HTTP, {"1": 0, "2.5": 19, "+Inf": 19})),
    never("HighP95Latency", _buckets("job_duration_seconds", {"1": 95, "2.5": 100, "+Inf": 100}, _TEST)),
    never("HighP95Latency", _buckets("job_duration_seconds", {"1": 0, "2.5": 4, "+Inf": 4}, _TEST)),
    never(
        "HighP95Latency", _buckets("job_duration_seconds", {"1": 0, "2.5": 50, "+Inf": 50}, 'printer_job_kind="bar"')
    ),
    never(
        "HighP95Latency",
        _buckets("job_duration_seconds", {"1": 0, "2.5": 50, "+Inf": 50}, _TEST.replace("confirmed", "failed")),
    ),
    *(
        never(
            "HighP95Latency",
            {
                **_buckets("job_duration_seconds", {"1": 0, "2.5": 4, "+Inf": 4}, _TEST),
                **_buckets("job_duration_seconds", {"1": 0, "2.5": 50, "+Inf": 50}, other),
            },
        )
        for other in (_TEST.replace("test", "bar"), _TEST.replace("confirmed", "failed"))
    ),
    Case(
        "RateLimitingActive",
        {'security_rate_limit_clients{instance="a"}': still(6), 'security_rate_limit_clients{instance="b"}': still(5)},
        ("5m", "60m"),
        ("0m", "285s"),
        labels=WARNING,
    ),
    Case("RateLimitingActive", {"security_rate_limit_clients": still(10)}, silent=("60m",)),
    once(
        "WebSocketErrorsIncreasing",
        {
            'websocket_server_connection_errors_total{http_route="/ws/agent"}': jump(900),
            'websocket_server_connection_errors_total{http_route="/ws/client"}': jump(886),
        },
        10,
        30,
        WARNING,
    ),
    never("WebSocketErrorsIncreasing", {"websocket_server_connection_errors_total": jump(1784)}),
    Case(
        "NewDesktopAppConnected",
        {
            'agent_connected{branch_name="mitte", agent_name="old"}': still(1),
            'agent_connected{branch_name="mitte", agent_name="new"}': f"_x{minutes(20)} {still(1)}",
            'agent_connected{branch_name="wedding", agent_name="old"}': still(1),
        },
        ("21m", "1485s"),
        ("5m", "1245s", "25m", "60m"),
        labels={**INFO, **MITTE, "agent_name": "new"},
    ),
    Case(  # one name may be there in two branches
        "NewDesktopAppConnected",
        {
            'agent_connected{branch_name="wedding", agent_name="pc"}': still(1),
            'agent_connected{branch_name="mitte", agent_name="pc"}': f"_x{minutes(20)} {still(1)}",
        },
        ("22m",),
        labels={**INFO, **MITTE, "agent_name": "pc"},
    ),
    Case(  # expected, and not there
        "NewDesktopAppConnected",
        {
            'agent_connected{branch_name="mitte", agent_name="old"}': still(1),
            'agent_connected{branch_name="mitte", agent_name="new"}': f"_x{minutes(20)} {still(0)}",
        },
        silent=("22m", "24m"),
    ),
    Case(  # it was away, as computers are at night
        "NewDesktopAppConnected",
        {
            'agent_connected{branch_name="mitte", agent_name="old"}': still(1, 600),
            'agent_connected{branch_name="mitte", agent_name="pc"}': _away(300),
        },
        silent=("332m", "334m"),
    ),
    Case(  # after more than six hours it is told again
        "NewDesktopAppConnected",
        {
            'agent_connected{branch_name="mitte", agent_name="old"}': still(1, 600),
            'agent_connected{branch_name="mitte", agent_name="pc"}': _away(400),
        },
        ("433m",),
        labels={**INFO, **MITTE, "agent_name": "pc"},
    ),
    *(
        Case(  # a gap in all that is known: it is not the agents that are new
            "NewDesktopAppConnected",
            {
                'agent_connected{branch_name="mitte", agent_name="old"}': _away(gap),
                'agent_connected{branch_name="mitte", agent_name="new"}': f"_x{minutes(30 + gap)} {still(1)}",
            },
            fires,
            silent,
            labels={**INFO, **MITTE, "agent_name": "new"},
        )
        for gap, fires, silent in ((12, (), ("44m", "46m")), (7, ("2310s",), ()))
    ),
    once(
        "LowCorrelationIdCacheHitRate",
        {
            'correlation_lookups_total{correlation_lookup_result="hit", instance="a"}': jump(40),
            'correlation_lookups_total{correlation_lookup_result="hit", instance="b"}': jump(9),
            'correlation_lookups_total{correlation_lookup_result="miss"}': jump(51),
        },
        15,
        45,
        INFO,
    ),
    once(
        "LowCorrelationIdCacheHitRate",
        {
            'correlation_lookups_total{correlation_lookup_result="hit"}': jump(0),
            'correlation_lookups_total{correlation_lookup_result="miss"}': jump(10),
        },
        15,
        45,
        INFO,
    ),
    never(
        "LowCorrelationIdCacheHitRate",
        {
            'correlation_lookups_total{correlation_lookup_result="hit"}': jump(51),
            'correlation_lookups_total{correlation_lookup_result="miss"}': jump(49),
        },
    ),
    never(
        "LowCorrelationIdCacheHitRate",
        {
            'correlation_lookups_total{correlation_lookup_result="hit"}': jump(0),
            'correlation_lookups_total{correlation_lookup_result="miss"}': jump(9),
        },
    ),
    Case(
        "HighMemoryUsage",
        {'process_memory_usage_bytes{job="agent", instance="a"}': still(2**31 + 1)},
        ("30m", "60m"),
        ("0m", "1785s"),
        labels={**INFO, "job": "agent", "instance": "a"},
    ),
    Case("HighMemoryUsage", {"process_memory_usage_bytes": still(2**31)}, silent=("60m",)),
)


def _months(events: tuple[int, int, int]) -> str:
    """Sixty days of an hour each: so many on the 20th, the 37th and the 59th."""
    first, second, last = events
    return f"0x479 {first} 0x407 {second} 0x527 {last} 0x100"


AGREEMENTS: Final = (
    Case(
        "AvailabilityBelowSLA",
        {
            "cluster:http_requests_bad:increase5m": "0x11 11 0x100",
            "cluster:http_requests:increase5m": "0x11 10000 0x100",
        },
        ("70m",),
        ("55m", "65m"),
        WARNING,
        "5m",
    ),
    # Two months, by the hour: what was in the first does not count, what was early in the second does.
    *(
        Case(
            "AvailabilityBelowSLA",
            {
                "cluster:http_requests_bad:increase5m": _months(bad),
                "cluster:http_requests:increase5m": _months(total),
            },
            fires=("1440h",) if fires else (),
            silent=() if fires else ("1440h",),
            labels=WARNING,
            interval="1h",
        )
        for bad, total, fires in (
            ((0, 0, 20), (1_000_000, 0, 1000), True),
            ((1000, 0, 20), (0, 0, 1_000_000), False),
            ((100, 0, 9), (0, 0, 100), False),
            ((0, 20, 0), (0, 1000, 0), True),
            ((0, 0, 20), (0, 1_000_000, 100), False),
        )
    ),
    Case(
        "AvailabilityBelowSLA",
        {
            "cluster:http_requests_bad:increase5m": "0x11 10 0x100",
            "cluster:http_requests:increase5m": "0x11 1000 0x100",
        },
        ("70m",),
        labels=WARNING,
        interval="5m",
    ),
    *(
        Case(
            "AvailabilityBelowSLA",
            {
                "cluster:http_requests_bad:increase5m": f"0x11 {bad} 0x100",
                "cluster:http_requests:increase5m": f"0x11 {total} 0x100",
            },
            silent=("70m", "300m"),
            interval="5m",
        )
        for bad, total in ((10, 10_000), (9, 1000), (0, 0))
    ),
    *(
        once("PrintTestSuccessBelowSLA", series, 10, 30, WARNING)
        for series in (
            _jobs("test", confirmed=94, failed=6),
            _jobs("test", written=94, unknown=6),
            {**_jobs("test", confirmed=94), **_jobs("test", "wedding", failed=6)},
            _jobs("test", failed=1),
        )
    ),
    never("PrintTestSuccessBelowSLA", _jobs("test", confirmed=95, failed=5)),
    never("PrintTestSuccessBelowSLA", _jobs("test", written=95, unknown=5)),
    never("PrintTestSuccessBelowSLA", _jobs("bar", failed=50)),
    never("PrintTestSuccessBelowSLA", _jobs("test", confirmed=5, cancelled=50)),
    never("PrintTestSuccessBelowSLA", _jobs("test", confirmed=0, failed=0)),
    *(
        Case("ConnectionQualityBelowSLA", series, ("30m",), ("0m", "1785s"), labels=WARNING)
        for series in (
            {**_quality("mitte", excellent=40, good=0), **_quality("wedding", good=39, fair=21, unknown=500)},
            _quality("mitte", good=0, excellent=79, poor=21),
        )
    ),
    Case("ConnectionQualityBelowSLA", _quality("mitte", excellent=40, good=40, fair=20, unknown=500), silent=("60m",)),
    Case("ConnectionQualityBelowSLA", _quality("mitte", excellent=0, good=0, poor=0), silent=("60m",)),
    once("P95LatencyAboveSLA", _buckets(_HTTP, {"0.5": 94, "0.75": 100, "+Inf": 100}), 10, 30, WARNING),
    once("P95LatencyAboveSLA", _buckets(_HTTP, {"0.5": 0, "0.75": 20, "+Inf": 20}), 10, 30, WARNING),
    never("P95LatencyAboveSLA", _buckets(_HTTP, {"0.5": 95, "0.75": 100, "+Inf": 100})),
    never("P95LatencyAboveSLA", _buckets(_HTTP, {"0.5": 0, "0.75": 19, "+Inf": 19})),
)


def _gauge(
    alert: str,
    firing: dict[str, str],
    silent: dict[str, str],
    wait: float,
    labels: dict[str, str],
) -> tuple[Case, Case]:
    before = (_at(wait - 0.25),) if wait else ()
    return (
        Case(alert, firing, (_at(wait), "60m"), before, labels=labels),
        Case(alert, silent, silent=("0m", "60m")),
    )


_BAR: Final = 'branch_name="mitte", printer_name="bar"'
_PC: Final = 'branch_name="mitte", agent_name="pc"'
_ALONE: Final = {f"agent_connected{{{_PC}}}": still(0)}
_NO_PAPER: Final = {f'printer_status{{{_BAR}, printer_state="paper_end"}}': still(1)}
_WAITING: Final = 'job_queue_length{branch_name="mitte"}'
_HELD: Final = 'job_held{branch_name="mitte"}'

PRINTING: Final = (
    *(
        Case(
            "PrinterFailingInARow",
            {
                f'job_failures_consecutive{{{_BAR}, instance="a"}}': f"0x{minutes(20) - 1} {still(row)}",
                f"job_failures_consecutive{{{_BAR}}}": still(0),
                f"printer_served{{{_BAR}}}": still(1),
                'printer_served{branch_name="mitte", printer_name="kitchen"}': still(1),
                'printer_served{branch_name="wedding", printer_name="bar"}': still(1),
            },
            fires,
            silent,
            labels={**CRITICAL, **BAR},
        )
        for row, fires, silent in (
            (5, ("20m", "60m"), ("1185s",)),
            (4, ("1485s", "60m"), ("1470s",)),
            (3, ("1485s", "60m"), ("1470s",)),
        )
    ),
    Case(  # a busy printer ends it itself
        "PrinterFailingInARow",
        {
            f"job_failures_consecutive{{{_BAR}}}": f"0x{minutes(20) - 1} 4x{minutes(4)} 0x0 3x{minutes(4)} 0x100",
            f"printer_served{{{_BAR}}}": still(1),
        },
        silent=("22m", "1440s", "25m", "28m", "30m"),
    ),
    *(
        Case(
            "PrinterFailingInARow",
            {
                f"job_failures_consecutive{{{_BAR}}}": still(2),
                f"printer_served{{{_BAR}}}": still(1),
                'job_failures_consecutive{printer_name="_OTHER"}': still(row),
                # Nobody serves them: one of the same name elsewhere does, and another of the branch.
                'job_failures_consecutive{branch_name="wedding", printer_name="bar"}': still(row),
                'printer_served{branch_name="wedding", printer_name="bar"}': still(0),
                'job_failures_consecutive{branch_name="mitte", printer_name="retired"}': still(row),
            },
            silent=("0m", "60m"),
        )
        for row in (3, 9)
    ),
    *_gauge(
        "PrinterOutOfPaper",
        {**_NO_PAPER, _WAITING: still(1), _HELD: still(0)},
        {**_NO_PAPER, _WAITING: still(0), _HELD: still(0), 'job_held{branch_name="wedding"}': still(9)},
        2,
        {**WARNING, **BAR},
    ),
    *_gauge(
        "PrinterOutOfPaper",
        {**_NO_PAPER, _WAITING: still(0), _HELD: still(1)},
        {
            f'printer_status{{{_BAR}, printer_state="paper_near_end"}}': still(1),
            f'printer_status{{{_BAR}, printer_state="paper_end"}}': still(0),
            _WAITING: still(5),
            _HELD: still(5),
        },
        2,
        {**WARNING, **BAR},
    ),
    *_gauge("ReceiptsHeld", {_HELD: still(1)}, {_HELD: still(0)}, 10, {**WARNING, **MITTE}),
    *_gauge(
        "ReceiptWaitingTooLong",
        {'job_queue_age_seconds{branch_name="mitte"}': still(121)},
        {'job_queue_age_seconds{branch_name="mitte"}': still(120)},
        1,
        {**CRITICAL, **MITTE},
    ),
    Case(
        "ReceiptWaitingTooLong",
        {'job_queue_age_seconds{branch_name="mitte"}': still(500), **_agents(mitte_pc=0, mitte_bar=1)},
        ("1m",),
        labels={**CRITICAL, **MITTE},
    ),
    Case(  # nobody is there to print them: BranchSilent tells
        "ReceiptWaitingTooLong",
        {'job_queue_age_seconds{branch_name="mitte"}': still(500), **_agents(mitte_pc=0, wedding_pc=1)},
        silent=("60m",),
    ),
    *_gauge(
        "BranchSilent",
        {**_agents(mitte_pc=0, mitte_bar=0, wedding_pc=1), **_open(mitte=1, wedding=1)},
        _agents(mitte_pc=0, mitte_bar=1, wedding_pc=1),
        5,
        {**CRITICAL, **MITTE},
    ),
    Case("BranchSilent", _ALONE, ("5m",), labels={**CRITICAL, **MITTE}),
    Case("BranchSilent", {**_ALONE, **_open(mitte=0, wedding=1)}, silent=("60m",)),
    Case(  # it is missed from the opening on
        "BranchSilent",
        {**_ALONE, 'branch_open{branch_name="mitte"}': f"0x{minutes(60) - 1} {still(1)}"},
        ("65m",),
        ("3885s",),
        labels={**CRITICAL, **MITTE},
    ),
    *_gauge(
        "AgentSilent",
        {**_ALONE, **_agents(mitte_other=1), **_open(mitte=1)},
        {f"agent_connected{{{_PC}}}": still(1), **_agents(wedding_pc=1)},
        10,
        {**WARNING, **MITTE, "agent_name": "pc"},
    ),
    Case("AgentSilent", {**_ALONE, **_open(mitte=0)}, silent=("60m",)),
    *_gauge(
        "PrinterNotServed",
        {
            f"printer_served{{{_BAR}}}": still(0),
            'printer_served{branch_name="mitte", printer_name="kitchen"}': still(1),
        },
        {f"printer_served{{{_BAR}}}": still(0), **_open(mitte=0)},
        10,
        {**WARNING, **BAR},
    ),
    Case(
        "PrinterNotServed",
        {f"printer_served{{{_BAR}}}": still(0), **_open(mitte=1)},
        ("10m",),
        labels={**WARNING, **BAR},
    ),
    Case("PrinterNotServed", {f"printer_served{{{_BAR}}}": still(1)}, silent=("60m",)),
    Case(
        "ServiceSilent",
        {
            'printobs_clock_seconds{job="service", instance="a"}': f"1x{minutes(30)} stale",
            'printobs_clock_seconds{job="agent", instance="b"}': still(1),
        },
        ("1950s", "60m"),
        ("20m", "1920s"),
        labels={**CRITICAL, "job": "service"},
    ),
)


def _clock(off: float) -> dict[str, str]:
    # promtool's time begins at 0.
    return {'printobs_clock_seconds{job="agent", instance="a"}': f"{off:g}+15x{minutes(120)}"}


_A: Final = {"job": "agent", "instance": "a"}
_ENDS: Final = "security_credential_expiration_seconds"
_SEEN: Final = {"security_credential_type": "certificate", "server_address": "till", "server_port": "443"}
_HELD_BY: Final = {"security_credential_type": "token", **MITTE, "agent_name": "pc"}
_LOST: Final = 'error_type="timeout", job="agent", instance="a"'
_SIGNALS: Final = ("spans", "metric_points", "log_records")


def _born(alert: str, name: str, labels: dict[str, str]) -> tuple[Case, Case, Case]:
    """A counter that jumps, one that is born with the first failure, and one that stands still or is another's."""
    mine, others = f'{name}{{job="otelcol", exporter="jaeger"}}', f'{name}{{job="jaeger", exporter="jaeger"}}'
    return (
        once(alert, {mine: jump(1, base=0)}, 0, 15, labels),
        Case(
            alert,
            {mine: f"_x{minutes(60)} {still(1)}"},
            ("3615s", "4485s"),
            ("3585s", "76m"),
            labels,
        ),
        never(
            alert,
            {mine: still(7), others: jump(9), f'{name}{{job="jaeger", exporter="other"}}': f"_x{minutes(60)} 9x400"},
        ),
    )


def _told(labels: dict[str, str]) -> str:
    return ", ".join(f'{key}="{value}"' for key, value in labels.items())


def _only(severity: dict[str, str]) -> str:
    """Of that severity: the other one may fire too."""
    return f'severity="{severity["severity"]}"'


TELEMETRY: Final = (
    Case("Watchdog", {}, ("0m", "60m"), labels={"severity": "none"}),
    *_gauge(
        "TargetDown",
        {'up{job="otelcol", instance="a"}': still(0)},
        {'up{job="otelcol", instance="a"}': still(1)},
        3,
        {**WARNING, "job": "otelcol", "instance": "a"},
    ),
    *_gauge(
        "ExporterStale",
        {
            f'printer_served{{{_BAR}, instance="service"}}': still(1),
            'printer_served{branch_name="wedding", printer_name="bar"}': still(1),
            'printer_served{branch_name="mitte", printer_name="away"}': still(0),
            'printer_status{branch_name="wedding", printer_name="bar", printer_state="ready"}': still(1),
            'printer_status{branch_name="mitte", printer_name="away", printer_state="ready"}': still(1),
        },
        {f"printer_served{{{_BAR}}}": still(1)},  # without a Collector no agent's metrics come
        5,
        {**WARNING, **MITTE},
    ),
    Case(
        "ExporterStale",
        {
            f"printer_served{{{_BAR}}}": still(1),
            f'printer_status{{{_BAR}, printer_state="ready"}}': still(1),
            'printer_served{branch_name="mitte", printer_name="away"}': still(0),
        },
        silent=("60m",),
    ),
    *(
        case
        for wrong in (-91, 6)
        for case in (
            Case("ClockSkewed", _clock(wrong), ("5m", "10m"), ("285s",), labels={**WARNING, **_A}),
            Case(  # right for 20 minutes: all of five have to be wrong, and then for five more
                "ClockSkewed",
                {'printobs_clock_seconds{job="agent", instance="a"}': f"0+15x79 {1200 + wrong}+15x100"},
                ("1785s",),
                ("1770s",),
                labels={**WARNING, **_A},
            ),
        )
    ),
    Case("ClockSkewed", _clock(-90), silent=("5m", "60m")),
    Case("ClockSkewed", _clock(5), silent=("5m", "60m")),
    Case(  # an exporter that is late once has no wrong clock
        "ClockSkewed",
        {'printobs_clock_seconds{job="agent", instance="a"}': "0+15x100 1500x8 1635+15x200"},
        silent=("25m", "27m", "30m", "35m"),
    ),
    *(
        case
        for severity, left in ((WARNING, 14 * 86_400), (CRITICAL, 86_400))
        for case in (
            Case(  # by one who sees it twice, and by one who sees it still as it was
                "CredentialEndsSoon",
                {
                    f'{_ENDS}{{{_told(_SEEN)}, job="agent", instance="a"}}': still(3600 + left - 15),
                    f'{_ENDS}{{{_told(_SEEN)}, job="service", instance="b"}}': still(3600 + left + 9e6),
                    f'{_ENDS}{{{_told(_HELD_BY)}, job="service", instance="b"}}': still(3600 + left + 9e6),
                },
                ("60m", "90m"),
                ("3585s",),
                labels={**severity, **_SEEN},
                only=_only(severity),
            ),
            Case(
                "CredentialEndsSoon",
                {f'{_ENDS}{{{_told(_HELD_BY)}, job="service", instance="b"}}': still(0)},
                ("60m",),
                labels={**severity, **_HELD_BY},
                only=_only(severity),
            ),
            Case(
                "CredentialEndsSoon",
                {f"{_ENDS}{{{_told(_HELD_BY)}}}": still(3600 + left)},
                silent=("60m",),
                only=_only(severity),
            ),
        )
    ),
    *(
        case
        for signal in _SIGNALS
        for case in (
            once(
                "CollectorRefusing",
                {
                    f'otelcol_receiver_refused_{signal}_total{{job="otelcol", instance="a", receiver="otlp"}}': jump(
                        1, base=0
                    ),
                    f'otelcol_receiver_refused_{signal}_total{{job="jaeger", instance="b"}}': jump(1, base=0),
                },
                5,
                15,
                {**WARNING, "instance": "a", "signal": signal},
            ),
            never("CollectorRefusing", {f'otelcol_receiver_refused_{signal}_total{{job="otelcol"}}': still(5)}),
        )
    ),
    *(
        case
        for where in ("send", "enqueue")
        for signal in _SIGNALS
        for case in _born(
            "CollectorLosing",
            f"otelcol_exporter_{where}_failed_{signal}_total",
            {**WARNING, "exporter": "jaeger", "signal": signal, "where": where},
        )
    ),
    *_gauge(
        "CollectorQueueNearlyFull",
        {
            'otelcol_exporter_queue_size{job="otelcol", exporter="jaeger"}': still(81),
            'otelcol_exporter_queue_capacity{job="otelcol", exporter="jaeger"}': still(100),
            'otelcol_exporter_queue_size{job="otelcol", exporter="prometheus"}': still(0),
            'otelcol_exporter_queue_capacity{job="otelcol", exporter="prometheus"}': still(100),
        },
        {
            'otelcol_exporter_queue_size{job="otelcol", exporter="jaeger"}': still(80),
            'otelcol_exporter_queue_capacity{job="otelcol", exporter="jaeger"}': still(100),
            'otelcol_exporter_queue_size{job="jaeger", exporter="x"}': still(100),
            'otelcol_exporter_queue_capacity{job="jaeger", exporter="x"}': still(100),
        },
        2,
        {**WARNING, "exporter": "jaeger"},
    ),
    *(
        once("TelemetryLost", {f"{name}_total{{{_LOST}}}": jump(1, base=0)}, 0, 15, {**WARNING, **_A})
        for name in (
            "otel_sdk_exporter_span_exported",
            "otel_sdk_exporter_log_exported",
            "otel_sdk_exporter_metric_data_point_exported",
            "otel_sdk_processor_span_processed",
            "otel_sdk_processor_log_processed",
        )
    ),
    never(
        "TelemetryLost",
        {
            'otel_sdk_exporter_span_exported_total{job="agent"}': jump(9),
            f"otel_sdk_exporter_log_exported_total{{{_LOST}}}": still(3),
        },
    ),
    once(
        "NotificationsFailing",
        {'alertmanager_notifications_failed_total{integration="slack", reason="other"}': jump(1, base=0)},
        5,
        15,
        {**CRITICAL, "integration": "slack"},
    ),
    never("NotificationsFailing", {'alertmanager_notifications_failed_total{integration="slack"}': still(3)}),
    once(
        "AlertmanagerUnreachable",
        {
            'prometheus_notifications_dropped_total{instance="a"}': jump(1, base=0),
            'prometheus_notifications_alertmanagers_discovered{instance="a"}': still(1),
        },
        5,
        15,
        {**CRITICAL, "instance": "a"},
    ),
    *_gauge(
        "AlertmanagerUnreachable",
        {'prometheus_notifications_alertmanagers_discovered{instance="a"}': still(0)},
        {
            'prometheus_notifications_alertmanagers_discovered{instance="a"}': still(1),
            "prometheus_notifications_dropped_total": still(3),
        },
        5,
        {**CRITICAL, "instance": "a"},
    ),
    once(
        "RulesFailing",
        {'prometheus_rule_evaluation_failures_total{rule_group="printing"}': jump(1, base=0)},
        0,
        15,
        {**CRITICAL, "rule_group": "printing"},
    ),
    never("RulesFailing", {'prometheus_rule_evaluation_failures_total{rule_group="printing"}': still(3)}),
    *_gauge(
        "DiskNearlyFull",
        {
            'system_filesystem_usage_bytes{instance="a", mountpoint="/", state="free"}': still(99),
            'system_filesystem_usage_bytes{instance="a", mountpoint="/", state="used"}': still(901),
            'system_filesystem_usage_bytes{instance="a", mountpoint="/big", state="free"}': still(9000),
            'system_filesystem_usage_bytes{instance="b", mountpoint="/", state="free"}': still(9000),
        },
        {
            'system_filesystem_usage_bytes{mountpoint="/", state="free"}': still(100),
            'system_filesystem_usage_bytes{mountpoint="/", state="used"}': still(900),
        },
        15,
        {**WARNING, "instance": "a", "mountpoint": "/"},
    ),
    once(
        "TelemetryErrors",
        {
            'printobs_errors_total{job="agent", instance="a", printobs_doing="counting", error_type="KeyError"}': jump(
                1, base=0
            )
        },
        0,
        15,
        {**INFO, **_A, "printobs_doing": "counting"},
    ),
    never("TelemetryErrors", {"printobs_errors_total": still(3)}),
)
