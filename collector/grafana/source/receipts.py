"""The dashboard "Receipts": the platform's fourteen panels, in its order, with its names and thresholds."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from collector.grafana.source.frame import Row, framed
from collector.grafana.source.panels import (
    BLUE,
    GREEN,
    ORANGE,
    RED,
    YELLOW,
    About,
    Panel,
    Query,
    gauge,
    graph,
    pie,
    stat,
)
from collector.grafana.source.promql import (
    BAD,
    BRANCH,
    ENDED,
    ERROR,
    GOOD,
    JUDGED,
    PRINTER,
    RECORDED_JOBS,
    WELL,
    a_minute,
    bad_share,
    good_share,
    hungriest,
    increase,
    or_zero,
    or_zeros,
    quantile,
    recorded_a_minute,
    with_exemplars,
)

_CONNECTIONS = "websocket_server_active_connections"
_LEVELS = "websocket_server_quality_level"
_JOBS = "job_outcomes_total"
_REQUESTS = "http_server_request_duration_seconds"
_TEST = 'printer_job_kind="test"'


def dashboard() -> Dashboard:
    """Its builder."""
    about = (
        "What happens now: connections, print tests, receipts, errors. Every panel works by the Collector, and by a "
        "direct scrape of the service; where only agents know something, its description says so."
    )
    rows = [
        Row([_connected(), _correlation(), _tests(), _desktop()]),
        Row([_test_latency(), _quality()]),
        Row([_by_branch(), _errors()]),
        Row([_scores(), _limits()]),
        Row([_security(), _requests()]),
        Row([_resources(), _jobs()]),
    ]
    return framed("printobs-receipts", "Receipts", about, rows, refresh="10s", since="now-6h", printers=True)


def _connected() -> Panel:
    about = About(
        shows="Open WebSocket connections to the service, now: agents beside printers, pages in browsers.",
        good="all that should be there.",
        alert="none of its own; AllDesktopAppsDisconnected and BranchSilent tell of agents.",
    )
    query = Query(or_zero(f"sum({_CONNECTIONS}{{{BRANCH}}})"), "connections")
    return stat("WebSocket Connections (Total)", about, query, "short", [(None, RED), (1, GREEN)])


def _correlation() -> Panel:
    about = About(
        shows="Of 45 minutes. Answered: correlation IDs whose answer came, of those that began to wait. Cache hits: "
        "answers that somebody waited for, of all answers. Without any, 100 %. Of no branch: an ID has none.",
        good="both near 100 %.",
        alert="LowCorrelationIdCacheHitRate: cache hits below 50 % for 15 minutes.",
    )
    answered = good_share(
        increase("correlation_lifecycle_total", 'correlation_state="acknowledged"', "45m"),
        increase("correlation_lifecycle_total", 'correlation_state="pending"', "45m"),
    )
    hits = good_share(
        increase("correlation_lookups_total", 'correlation_lookup_result="hit"', "45m"),
        increase("correlation_lookups_total", "", "45m"),
    )
    queries = [Query(answered, "answered"), Query(hits, "cache hits")]
    steps = [(None, RED), (0.5, YELLOW), (0.8, GREEN)]
    return gauge("Correlation ID Success Rate", about, queries, steps, none="nothing waits")


def _tests() -> Panel:
    about = About(
        shows="Test prints of 15 minutes that came out (confirmed or written), of all that ended and were not "
        "cancelled. Without any, 100 %: nothing has failed.",
        good="95 % or more.",
        alert="LowPrintTestSuccessRate: a branch below 80 % for 5 minutes.",
    )
    success = good_share(
        increase(_JOBS, f"{PRINTER},{_TEST},{GOOD}", "15m"), increase(_JOBS, f"{PRINTER},{_TEST},{ENDED}", "15m")
    )
    steps = [(None, RED), (0.8, YELLOW), (0.95, GREEN)]
    return gauge("Print Test Success Rate", about, [Query(success, "success")], steps, none="no test print yet")


def _desktop() -> Panel:
    about = About(
        shows="Connected agents, the desktop apps beside the printers, now.",
        good="one or more for each branch.",
        alert="AllDesktopAppsDisconnected: none for 5 minutes.",
    )
    query = Query(or_zero(f'sum({_CONNECTIONS}{{client_type="desktop",{BRANCH}}})'), "agents")
    return stat("Desktop App Connections", about, query, "short", [(None, RED), (1, GREEN)])


def _test_latency() -> Panel:
    about = About(
        shows="How long a test print takes from the service's acceptance to paper, of 15 minutes, by no printer; and "
        "at the printer alone, which only agents tell. A dot is an exemplar, and leads to its trace. Where nothing "
        "was printed, nothing is drawn.",
        good="p95 below the yellow line, the agreed 500 ms.",
        alert="HighP95Latency: p95 above the red line, 1 s, for 5 minutes.",
    )
    p50, p95, p99 = (quantile(q, f"branch_name_le:print_tests:rate15m{{{BRANCH}}}") for q in (0.5, 0.95, 0.99))
    at_printer = quantile(0.95, f"printer_name_le:print_tests:rate15m{{{PRINTER}}}")
    queries = [
        Query(p50, "p50"),
        Query(with_exemplars(p95, "job_duration_seconds", f"{BRANCH},{_TEST},{GOOD}"), "p95", exemplar=True),
        Query(p99, "p99"),
        Query(
            with_exemplars(at_printer, "printer_job_duration_seconds", f"{PRINTER},{_TEST},{GOOD}"),
            "p95 at the printer",
            exemplar=True,
        ),
    ]
    lines = [(0.5, YELLOW), (1, RED)]
    return graph("Print Test Latency (p50, p95, p99)", about, queries, "s", lines=lines, width=16, step="5m")


def _quality() -> Panel:
    about = About(
        shows="Open connections by the level that their quality is in, now; one that is too young to be judged is in "
        "none.",
        good="nearly all good or excellent.",
        alert="ConnectionQualityDegraded: more than 30 % of a branch's are poor for 30 minutes. "
        "ConnectionQualityBelowSLA: less than 80 % of all are good or excellent.",
    )
    query = Query(f"sum by (quality_level) ({_LEVELS}{{{JUDGED},{BRANCH}}})", "{{quality_level}}")
    colours = {"excellent": GREEN, "good": BLUE, "fair": YELLOW, "poor": RED}
    return pie("Connection Quality Distribution", about, query, colours, width=8)


def _by_branch() -> Panel:
    about = About(
        shows="Open connections of each branch, by what is at the other end; pages in browsers belong to none.",
        good="each branch has its agents, steadily.",
        alert="BranchSilent, which no line can show: none of a branch's agents for 5 minutes, while it is open.",
    )
    known = f'{_CONNECTIONS}{{client_type!="",{BRANCH}}}'  # who has not said yet is of no branch, and has no name here
    query = Query(f"sum by (branch_name, client_type) ({known})", "{{branch_name}} {{client_type}}")
    return graph("WebSocket Connections per Branch", about, [query], "short", worst="lowest")


def _errors() -> Panel:
    about = About(
        shows="Left, a minute: requests answered with 5xx, jobs that failed or are unknown (of five), WebSocket "
        "errors. Right, of five minutes: their shares of all requests, and of all jobs. Requests are of no branch.",
        good="nothing.",
        alert="HighErrorRate: a share above the red line, 10 %, for a minute. WebSocketErrorsIncreasing: 60 a minute, "
        "of half an hour, for 10 minutes.",
    )
    count = f"{_REQUESTS}_count"
    requests = bad_share(increase(count, ERROR, "5m"), increase(count, "", "5m"))
    jobs = bad_share(f"sum({RECORDED_JOBS}{{{PRINTER},{BAD}}})", f"sum({RECORDED_JOBS}{{{PRINTER},{ENDED}}})")
    broken = a_minute("websocket_server_connection_errors_total", BRANCH)
    limit = [(0.1, RED)]
    queries = [
        Query(or_zero(a_minute(count, ERROR)), "HTTP 5xx a minute"),
        Query(or_zero(recorded_a_minute(f"{PRINTER},{BAD}")), "print failures a minute"),
        Query(or_zero(broken), "WebSocket errors a minute"),
        Query(requests, "share of requests", right="percentunit", lines=limit),
        Query(jobs, "share of print jobs", right="percentunit", lines=limit),
    ]
    colours = {"share of requests": ORANGE, "share of print jobs": RED}
    return graph("Error Rate (Requests/min)", about, queries, "short", colours=colours, step="1m")


def _scores() -> Panel:
    about = About(
        shows="From 0 to 100. Printers: the mean score of a branch's, which only agents tell. Connections: how many of "
        "100 are good or excellent, which the service tells.",
        good="90 or more.",
        alert="ConnectionQualityBelowSLA: connections of the group below the red line, 80, for 30 minutes.",
    )
    well, judged = (f"sum by (branch_name) ({_LEVELS}{{{labels},{BRANCH}}})" for labels in (WELL, JUDGED))
    queries = [
        Query(f"avg by (branch_name) (printer_quality_score{{{PRINTER}}})", "{{branch_name}} printers"),
        Query(f"100 * {well} / ({judged} > 0)", "{{branch_name}} connections"),
    ]
    return graph(
        "Health Monitoring Quality Score", about, queries, "short", lines=[(80, RED)], most=100, worst="lowest"
    )


def _limits() -> Panel:
    about = About(
        shows="Left: requests, handshakes and messages that a rate limit refused, a minute. Right: clients that are "
        "refused just now. Of no branch.",
        good="nothing, or one client that has gone wild.",
        alert="RateLimitingActive: more clients than the red line, 10, for 5 minutes.",
    )
    kinds = a_minute("security_rate_limit_triggers_total", "", by="rate_limit_kind")
    clients = or_zero("sum(security_rate_limit_clients)")
    queries = [
        Query(or_zeros(kinds, "rate_limit_kind", "request", "handshake", "message"), "{{rate_limit_kind}}s a minute"),
        Query(clients, "clients limited", right="short", lines=[(10, RED)]),
    ]
    return graph("Rate Limiting Activity", about, queries, "short", colours={"clients limited": RED})


def _security() -> Panel:
    about = About(
        shows="A minute, of three: requests and handshakes without a good token; those from pages of a foreign origin "
        "(CORS); all security events by severity. Of no branch.",
        good="a few typing errors.",
        alert="HighAuthenticationFailureRate: authentication failures above the red line, 50, for a minute.",
    )
    events = a_minute("security_events_total", "", "3m", by="security_event_severity")
    severities = ("low", "medium", "high", "critical")
    queries = [
        Query(or_zero(a_minute("security_authentication_failures_total", "", "3m")), "authentication failures"),
        Query(or_zero(a_minute("security_origins_refused_total", "", "3m")), "CORS violations"),
        Query(or_zeros(events, "security_event_severity", *severities), "{{security_event_severity}} events"),
    ]
    return graph("Security Events", about, queries, "short", lines=[(50, RED)])


def _requests() -> Panel:
    about = About(
        shows="The 95th percentile of five minutes, by route. A dot is an exemplar, and leads to its trace. Where "
        "nothing was asked, nothing is drawn. Of no branch.",
        good="below the yellow line, the agreed 500 ms.",
        alert="P95LatencyAboveSLA: all routes together above the yellow line for 10 minutes. HighP95Latency: above the "
        "red one, 1 s, for 5.",
    )
    p95 = quantile(0.95, "http_route_le:http_requests:rate5m", by="http_route")
    query = Query(with_exemplars(p95, _REQUESTS, 'http_route!=""'), "{{http_route}}", exemplar=True)
    lines = [(0.5, YELLOW), (1, RED)]
    return graph("HTTP Request Duration (p95)", about, [query], "s", lines=lines, worst="highest", step="1m")


def _resources() -> Panel:
    about = About(
        shows="Processor time, where 100 % is one core; on the right, memory. Of the service, which is of no branch, "
        "and of the three agents that have most of it now: an agent's instance begins with its branch. Needs "
        "printobs[process] there.",
        good="both flat.",
        alert="HighMemoryUsage: memory above the red line, 2 GiB, for 30 minutes.",
    )

    def cpu(labels: str, at: str) -> str:
        return f"sum by (job, instance) (rate(process_cpu_time_seconds_total{{{labels}}}[$__rate_interval]{at}))"

    def memory(labels: str, at: str) -> str:
        return f"sum by (job, instance) (process_memory_usage_bytes{{{labels}}}{at})"

    queries = [
        Query(hungriest(cpu), "CPU {{instance}}"),
        Query(hungriest(memory), "memory {{instance}}", right="bytes", lines=[(2 * 1024**3, RED)]),
    ]
    return graph("System Resources", about, queries, "percentunit", width=14)


def _jobs() -> Panel:
    about = About(
        shows="Print jobs a minute, of the last five, by how they ended; success is confirmed or written.",
        good="success alone.",
        alert="ReceiptBudgetBurn, which no line can show: how much may fail is a matter of days (see the dashboard of "
        "error budgets).",
    )
    queries = [
        Query(or_zero(recorded_a_minute(f"{PRINTER},{labels}")), name)
        for labels, name in (
            (GOOD, "success"),
            ('printer_job_outcome="failed"', "failed"),
            ('printer_job_outcome="unknown"', "unknown"),
            ('printer_job_outcome="cancelled"', "cancelled"),
        )
    ]
    colours = {"success": GREEN, "failed": RED, "unknown": ORANGE, "cancelled": BLUE}
    return graph("Print Jobs (Success vs Failed)", about, queries, "short", colours=colours, width=10, step="1m")
