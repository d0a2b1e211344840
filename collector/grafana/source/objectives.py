"""The dashboard "SLOs and error budgets": what was promised, how fast it is used up, and who is there.

A month is the sum of recorded increments of five minutes (``prometheus/rules/slo.yml``), bad ones by all: never a mean
of ratios, in which a quiet night would weigh as much as a Saturday evening.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard

from collector.grafana.source.frame import Row, framed
from collector.grafana.source.panels import (
    GREEN,
    GREY,
    ORANGE,
    RED,
    YELLOW,
    About,
    Column,
    Panel,
    Query,
    Steps,
    bars,
    gauge,
    graph,
    stat,
    states,
    table,
)
from collector.grafana.source.promql import BRANCH, chosen, summed

MONTH: Final = "30d"
# How many times faster than allowed, over which window, and by how many at least, calls somebody.
BURNS: Final = (
    ("1h", 14.4, "three", RED),
    ("6h", 6.0, "three", RED),
    ("1d", 3.0, "three", ORANGE),
    ("3d", 1.0, "three", ORANGE),
)
BUSY: Final = ("30m", 6.0, "five", RED)  # of receipts only

_BUDGET: Final[Steps] = [(None, RED), (0, ORANGE), (0.25, GREEN)]


@dataclass(frozen=True, slots=True)
class Objective:
    """A share of events that must be good, and the recorded series that it is made of."""

    target: float
    bad: str
    total: str
    labels: str = ""
    by: str = ""

    def failed(self, window: str) -> str:
        """The share that was not good; 0 where nothing happened."""
        bad, total = (f"{summed(self.by)}({self._over(window, name)})" for name in (self.bad, self.total))
        return f"(({bad} or 0 * {total}) / ({total} > 0) or 0 * {total})"

    def _over(self, window: str, name: str) -> str:
        if window == MONTH and self.labels:  # of fifty branches: prometheus/rules/dashboards.yml has it
            return chosen(f"{name.rpartition(':')[0]}:sum30d", self.labels)
        return f"sum_over_time({chosen(name, self.labels)}[{window}])"

    def success(self) -> str:
        """The share that was good, in a month."""
        return f"1 - {self.failed(MONTH)}"

    def left(self) -> str:
        """What is left of a month's budget: 1 is all of it, 0 none; less than 0 is a promise broken."""
        return f"1 - {self.failed(MONTH)} / {self.allowed}"

    def burn(self, window: str) -> str:
        """How many times faster than it may last it is used up."""
        return f"{self.failed(window)} / {self.allowed}"

    @property
    def allowed(self) -> str:
        """The share that may be bad."""
        return f"{1 - self.target:g}"

    @property
    def decimals(self) -> int:
        """Of a percentage, two more than the target's own: which side of it a number is on is seen."""
        own = f"{100 * self.target:g}".partition(".")[2]
        return len(own) + 2

    @property
    def steps(self) -> Steps:
        """Red below the target."""
        return [(None, RED), (self.target, GREEN)]


RECEIPTS = Objective(
    0.95, "branch_name:jobs_bad:increase5m", "branch_name:jobs:increase5m", labels=BRANCH, by="branch_name"
)
AVAILABILITY = Objective(0.999, "cluster:http_requests_bad:increase5m", "cluster:http_requests:increase5m")
TESTS = Objective(0.95, "branch_name:print_tests_bad:increase5m", "branch_name:print_tests:increase5m", labels=BRANCH)
QUALITY = Objective(0.8, "branch_name:connections_bad:sum", "branch_name:connections:sum", labels=BRANCH)
LATENCY = Objective(0.95, "cluster:http_requests_slow:increase5m", "cluster:http_requests:increase5m")
AGREEMENTS: Final = {
    "Availability": AVAILABILITY,
    "Print tests": TESTS,
    "Connection quality": QUALITY,
    "Requests within 500 ms": LATENCY,
}


def dashboard() -> Dashboard:
    """Its builder."""
    about = (
        "The agreements over 30 days, what is left of their error budgets, how fast these burn, what waits, and who "
        "is there. Months are sums of what prometheus/rules records each five minutes: a new Prometheus has none yet."
    )
    rows = [
        Row(
            [
                *(_availability(), _tests(), _quality(), _latency()),
                *(_left(name, objective) for name, objective in AGREEMENTS.items()),
                *(_receipts(), _receipts_left()),
            ],
            "Over 30 days",
        ),
        Row(
            [
                *(_burn("Receipts", RECEIPTS, *burn, width=8) for burn in (BUSY, *BURNS[:2])),
                *(_burn("Receipts", RECEIPTS, *burn, width=12) for burn in BURNS[2:]),
            ],
            "How fast the budget of receipts burns, by branch",
        ),
        Row([_burn("Availability", AVAILABILITY, *burn) for burn in BURNS], "How fast that of availability burns"),
        Row([_held(), _oldest(), _in_a_row()], "What waits"),
        Row([_agents(), _printers(), _branches(), _printers_now()], "Who is there"),
    ]
    title = "SLOs and error budgets"
    return framed("printobs-slo", title, about, rows, refresh="1m", since="now-24h", printers=False)


# -- a month -------------------------------------------------------------------------------------------------------


def _availability() -> Panel:
    about = About(
        shows="Requests of 30 days that were not answered with a 5xx, of all. The group's: a branch has too few.",
        good="99.9 % or more.",
        alert="AvailabilityBelowSLA: less, by ten requests at least, for 10 minutes.",
    )
    return _month("Availability (99.9 %)", about, AVAILABILITY)


def _tests() -> Panel:
    about = About(
        shows="Test prints of 30 days that came out, of all that ended and were not cancelled.",
        good="95 % or more.",
        alert="PrintTestSuccessBelowSLA: less in half an hour, for 10 minutes.",
    )
    return _month("Print test success (95 %)", about, TESTS)


def _quality() -> Panel:
    about = About(
        shows="Connections that were good or excellent, of all that could be judged, each five minutes of 30 days.",
        good="80 % or more.",
        alert="ConnectionQualityBelowSLA: less for 30 minutes.",
    )
    return _month("Connections good or excellent (80 %)", about, QUALITY)


def _latency() -> Panel:
    about = About(
        shows="The 95th percentile of all requests of 30 days.",
        good="500 ms or less.",
        alert="P95LatencyAboveSLA: more in half an hour, for 10 minutes.",
    )
    p95 = f"histogram_quantile(0.95, sum by (le) (sum_over_time(le:http_requests:increase5m[{MONTH}]))) >= 0"
    steps = [(None, GREEN), (0.5, RED)]
    return stat("Latency p95 (500 ms)", about, Query(p95, "p95"), "s", steps, none="nothing asked yet")


def _month(title: str, about: About, objective: Objective) -> Panel:
    query = Query(objective.success(), "good")
    steps, decimals = objective.steps, objective.decimals
    return stat(title, about, query, "percentunit", steps, none="not recorded yet", decimals=decimals)


def _left(name: str, objective: Objective) -> Panel:
    about = About(
        shows=f"What is left of the bad ones that 30 days may have, {objective.allowed} of all. Below 0 is too late.",
        good="more than 25 %.",
        alert="none of its own: burn rates tell long before it is gone.",
    )
    query = Query(objective.left(), "left")
    return gauge(f"{name}: budget left", about, [query], _BUDGET, least=-1, none="not recorded yet")


def _receipts() -> Panel:
    about = About(
        shows="Jobs of 30 days that came out (confirmed or written), of all that ended and were not cancelled.",
        good="95 % or more.",
        alert="ReceiptBudgetBurn, long before a month is lost.",
    )
    query = Query(RECEIPTS.success(), "{{branch_name}}")
    steps, decimals = RECEIPTS.steps, RECEIPTS.decimals
    return bars("Receipts that came out (95 %), by branch", about, query, steps, 12, decimals=decimals)


def _receipts_left() -> Panel:
    about = About(
        shows="What is left of the one in twenty that may fail in 30 days, by branch. Below 0 is too late.",
        good="more than 25 %.",
        alert="ReceiptBudgetBurn, long before it is gone.",
    )
    query = Query(RECEIPTS.left(), "{{branch_name}}")
    return bars("Receipts: budget left, by branch", about, query, _BUDGET, 12, least=-1)


# -- burn rates ----------------------------------------------------------------------------------------------------


def _burn(name: str, objective: Objective, window: str, limit: float, least: str, colour: str, width: int = 6) -> Panel:
    alert = "ReceiptBudgetBurn" if objective.by else "AvailabilityBudgetBurn"
    about = About(
        shows=f"How many times faster than allowed they fail, over {window}. At 1 the budget lasts 30 days.",
        good="below 1.",
        alert=f"{alert} ({window}): above the line, {limit:g}, here and in a shorter window, and by {least} at least.",
    )
    query = Query(objective.burn(window), "{{branch_name}}" if objective.by else "requests")
    # A sum of days moves slowly, and is taken anew at each step.
    step = "15m" if window.endswith("d") else "5m"
    lines = [(limit, colour)]
    return graph(f"{name}, {window}", about, [query], "none", lines=lines, width=width, step=step, worst="highest")


# -- now -----------------------------------------------------------------------------------------------------------


def _held() -> Panel:
    about = About(
        shows="Jobs that may not have come out, and that a person has to look at, by branch.",
        good="0.",
        alert="ReceiptsHeld: one, the line, for 10 minutes.",
    )
    query = Query(f"max by (branch_name) (job_held{{{BRANCH}}})", "{{branch_name}}")
    return graph("Receipts held", about, [query], "short", lines=[(1, ORANGE)], width=8, worst="highest")


def _oldest() -> Panel:
    about = About(
        shows="How long the oldest job that has not ended has waited, by branch; 0 without any.",
        good="seconds.",
        alert="ReceiptWaitingTooLong: above the line, 2 minutes, for a minute.",
    )
    query = Query(f"max by (branch_name) (job_queue_age_seconds{{{BRANCH}}})", "{{branch_name}}")
    return graph("Oldest receipt that waits", about, [query], "s", lines=[(120, RED)], width=8, worst="highest")


def _in_a_row() -> Panel:
    about = About(
        shows="Jobs in a row that failed or are unknown, by printer; 0 after one that came out.",
        good="0.",
        alert="PrinterFailingInARow: three, the line, for 5 minutes; or five.",
    )
    expr = f"max by (branch_name, printer_name) (job_failures_consecutive{{{BRANCH}}})"
    query = Query(expr, "{{branch_name}} {{printer_name}}")
    return graph("Failures in a row", about, [query], "short", lines=[(3, RED)], width=8, worst="highest")


_AWAY_OR_CONNECTED: Final = {0: ("away", RED), 1: ("connected", GREEN)}
_NOT_OR_SERVED: Final = {0: ("not served", RED), 1: ("served", GREEN)}
_EACH_AGENT: Final = f"max by (branch_name, agent_name) (agent_connected{{{BRANCH}}})"
_EACH_PRINTER: Final = f"max by (branch_name, printer_name) (printer_served{{{BRANCH}}})"


def _agents() -> Panel:
    about = About(
        shows="Whether each agent that should be there is connected.",
        good="green.",
        alert="AgentSilent: one away for 10 minutes. BranchSilent: all of a branch for 5. Both while it is open.",
    )
    return states("Agents", about, Query(_EACH_AGENT, "{{branch_name}} {{agent_name}}"), _AWAY_OR_CONNECTED)


def _printers() -> Panel:
    about = About(
        shows="Whether each printer that should be served has a connected agent that does.",
        good="green.",
        alert="PrinterNotServed: one without for 10 minutes, while its branch is open.",
    )
    return states("Printers", about, Query(_EACH_PRINTER, "{{branch_name}} {{printer_name}}"), _NOT_OR_SERVED)


def _branches() -> Panel:
    about = About(
        shows="Each branch, now: whether it is open, who is there and who is not, what waits.",
        good="nothing red.",
        alert="BranchSilent, AgentSilent, PrinterNotServed, ReceiptsHeld, ReceiptWaitingTooLong, as above.",
    )
    there: Steps = [(None, RED), (1, GREEN)]
    missing: Steps = [(None, GREEN), (1, RED)]
    waiting, oldest, held, is_open = (
        f"max by (branch_name) ({name}{{{BRANCH}}})"
        for name in ("job_queue_length", "job_queue_age_seconds", "job_held", "branch_open")
    )
    columns = [
        Column(is_open, "Open", words={0: ("closed", GREY), 1: ("open", GREEN)}),
        Column(f"sum by (branch_name) ({_EACH_AGENT})", "Agents", steps=there),
        Column(f"sum by (branch_name) (1 - {_EACH_AGENT})", "Agents away", steps=missing),
        Column(f"sum by (branch_name) ({_EACH_PRINTER})", "Printers", steps=there),
        Column(f"sum by (branch_name) (1 - {_EACH_PRINTER})", "Printers not served", steps=missing),
        Column(waiting, "Waiting"),
        Column(oldest, "Oldest", unit="s", steps=[(None, GREEN), (120, RED)]),
        Column(held, "Held", steps=[(None, GREEN), (1, ORANGE)]),
    ]
    return table("Branches", about, columns, {"branch_name": "Branch"})


def _printers_now() -> Panel:
    about = About(
        shows="Each printer, now: whether it is served; and, which only its agent tells, its state, and how well it "
        "works, from 0 to 100.",
        good="ready, and 75 or more.",
        alert="PrinterOutOfPaper: no paper for 2 minutes while receipts wait. PrinterNotServed, as above.",
    )
    state = f"max by (branch_name, printer_name, printer_state) (printer_status{{{BRANCH}}} == 1)"
    score = f"max by (branch_name, printer_name) (printer_quality_score{{{BRANCH}}})"
    columns = [
        Column(_EACH_PRINTER, "Served", words=_NOT_OR_SERVED),
        Column(state),
        Column(score, "Score", steps=[(None, RED), (50, ORANGE), (75, YELLOW), (90, GREEN)]),
    ]
    keys = {"branch_name": "Branch", "printer_name": "Printer", "printer_state": "State"}
    return table("Printers, now", about, columns, keys)
