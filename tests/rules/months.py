"""Months of made-up branches, and what the paging rules make of them: how often falsely, and how soon in a fault.

``python -m tests.rules.months`` prints the tables of docs/alerting.md. The receipts are made up. The expressions are
those of the rule files, asked of the real Prometheus as often as it evaluates them; how long an alert waits is counted
here.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import statistics
import sys
import tempfile
import urllib.parse
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import IO, Final, NamedTuple

import yaml

from collector.stack.durations import seconds
from tests.rules.past import backfill, served
from tests.rules.promtool import RULES

START: Final = 1_767_571_200  # a Monday at midnight; all times are seconds since then
DAY: Final = 86_400
OPENS: Final = 11 * 3600
CLOSES: Final = 23 * 3600
RATES: Final = (10, 30, 100, 300, 1000, 2000)  # receipts of a branch in a day
MONTH: Final = 30  # days
LIMIT: Final = 0.2  # false pages of a healthy branch in a month

EXPORT: Final = 30  # OTEL_METRIC_EXPORT_INTERVAL, in seconds
SCRAPE: Final = 15
RECORDED: Final = 300  # the interval of what slo.yml records
GROUP_WAIT: Final = 30  # Alertmanager's

PRINTERS: Final = ("kitchen", "bar")
TEST_AT: Final = 10.5 * 3600  # a test print a week, before it opens
REQUESTS: Final = 3  # to the service, for one receipt

# Those of severity critical that failures of a healthy branch's receipts and requests can set off; the others page for
# silence, for what waits, or for the backend's own state.
PAGING: Final = (
    "PrinterFailingInARow",
    "ReceiptBudgetBurn",
    "HighErrorRate",
    "LowPrintTestSuccessRate",
    "AvailabilityBudgetBurn",
)


# -- what happens in a branch ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Health:
    """``share`` of the receipts fail or are unknown though all is well.

    ``pairs``: the share of incidents that take the printer's next receipt, too, as a jam does. ``errors``: the share of
    the service's answers that are 5xx; half of the objective's budget.
    """

    share: float
    pairs: float = 0.0
    errors: float = 0.0005

    def __str__(self) -> str:
        return f"{self.share:.1%}, {'in clusters' if self.pairs else 'independent'}"


HEALTHY: Final = (Health(0.005), Health(0.01), Health(0.005, pairs=0.25), Health(0.01, pairs=0.25))

# Whether a printer's receipt fails: by the printer, and the how many-th of it that is since the fault began, from 0 on.
Fails = Callable[[str, int], bool]
FAULTS: Final[Mapping[str, Fails]] = {
    "total outage": lambda printer, number: True,
    "half outage": lambda printer, number: number % 2 == 0,  # a row of three is never seen
    "one dead printer of two": lambda printer, number: printer == PRINTERS[0],
}


class Ended(NamedTuple):
    """A receipt, or a test print, that has ended."""

    at: float
    printer: str
    bad: bool
    test: bool = False


def ended(
    random: Random, days: int, rate: float, health: Health, fails: Fails | None = None, since: float = 0.0
) -> Iterator[Ended]:
    """What ends in a branch with ``rate`` receipts a day, in order; ``since`` then something is wrong with it."""
    incidents = health.share / (1 + health.pairs)
    more = dict.fromkeys(PRINTERS, False)
    broken = dict.fromkeys(PRINTERS, 0)
    test_day = random.randrange(7)
    for at, test in _moments(random, days, rate, test_day):
        printer = random.choice(PRINTERS)
        bad = more[printer]
        more[printer] = False
        if not bad and random.random() < incidents:
            bad = True
            more[printer] = random.random() < health.pairs
        if fails is not None and at >= since:
            bad = fails(printer, broken[printer]) or bad
            broken[printer] += 1
        yield Ended(at, printer, bad, test)


def _moments(random: Random, days: int, rate: float, test_day: int) -> Iterator[tuple[float, bool]]:
    """With whether it is a test print."""
    for day in range(days):
        if day % 7 == test_day:
            yield day * DAY + TEST_AT, True
        for second in sorted(_second(random) for _ in range(round(rate * random.uniform(0.7, 1.3)))):
            yield day * DAY + second, False


def _second(random: Random) -> float:
    """Of a day: two fifths of the guests come for lunch, the others for dinner."""
    while True:
        hour, spread = (12.75, 0.75) if random.random() < 0.4 else (19.5, 1.25)
        second = 3600 * random.gauss(hour, spread)
        if OPENS <= second < CLOSES:
            return second


# -- what Prometheus has of it -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Group:
    """What has ended in each branch in so many days, and the share of the service's answers that are 5xx."""

    days: int
    branches: Mapping[str, Iterable[Ended]]
    errors: float


def _write(file: IO[str], group: Group) -> None:
    """All series that `PAGING` reads, as OpenMetrics.

    The group's own counters are summed over its branches already: `increase` is linear. A gauge is written when it
    changes.
    """
    receipts: Counter[int] = Counter()  # by the second in which they are exported
    receipts_bad: Counter[int] = Counter()
    for name, all_ended in group.branches.items():
        total: Counter[int] = Counter()
        bad: Counter[int] = Counter()
        rows = {printer: {0: 0} for printer in PRINTERS}
        in_a_row = dict.fromkeys(PRINTERS, 0)
        branch = f'branch_name="{name}"'
        for each in all_ended:
            exported = _after(each.at, EXPORT)
            in_a_row[each.printer] = in_a_row[each.printer] + 1 if each.bad else 0
            rows[each.printer][exported] = in_a_row[each.printer]
            total[_after(exported, RECORDED)] += 1
            bad[_after(exported, RECORDED)] += each.bad
            if each.test:
                _test_print(file, branch, exported, each.bad)
            else:
                receipts[exported] += 1
                receipts_bad[exported] += each.bad
        recorded = range(0, group.days * DAY, RECORDED)
        _series(file, f"branch_name:jobs:increase5m{{{branch}}}", ((at, total[at]) for at in recorded))
        _series(file, f"branch_name:jobs_bad:increase5m{{{branch}}}", ((at, bad[at]) for at in recorded))
        _series(file, f"branch_name:agents_connected:sum{{{branch}}}", ((at, 1) for at in recorded))
        for printer, row in rows.items():
            where = f'{{{branch},printer_name="{printer}"}}'
            _series(file, f"job_failures_consecutive{where}", row.items())
            _series(file, f"printer_served{where}", [(0, 1)])
    _write_group(file, group, receipts, receipts_bad)
    file.write("# EOF\n")


def _write_group(file: IO[str], group: Group, receipts: Counter[int], receipts_bad: Counter[int]) -> None:
    random = Random(group.errors)
    requests = Counter({at: REQUESTS * number for at, number in receipts.items()})
    errors = Counter({at: sum(random.random() < group.errors for _ in range(n)) for at, n in requests.items()})
    outcome = "job_outcomes_total{printer_job_outcome"
    status = "http_server_request_duration_seconds_count{http_response_status_code"
    for series, counted in (
        (f'{outcome}="confirmed"}}', receipts - receipts_bad),
        (f'{outcome}="failed"}}', receipts_bad),
        (f'{status}="200"}}', requests - errors),
        (f'{status}="500"}}', errors),
    ):
        _series(file, series, _counter(counted, range(0, group.days * DAY, SCRAPE)))
    for record, counted in (("cluster:http_requests", requests), ("cluster:http_requests_bad", errors)):
        five: Counter[int] = Counter()
        for at, number in counted.items():
            five[_after(at, RECORDED)] += number
        _series(file, f"{record}:increase5m", ((at, five[at]) for at in range(0, group.days * DAY, RECORDED)))


def _test_print(file: IO[str], branch: str, exported: int, bad: bool) -> None:
    """Half an hour around it: without news, nothing increases."""
    there = range(exported - 900, exported + 1800, SCRAPE)
    for outcome, counts in (("confirmed", not bad), ("failed", bad)):
        labels = f'{branch},printer_job_kind="test",printer_job_outcome="{outcome}"'
        _series(file, f"job_outcomes_total{{{labels}}}", _counter(Counter({exported: int(counts)}), there))


def _counter(increments: Counter[int], there: range) -> Iterator[tuple[int, int]]:
    value = 1000
    for at in there:
        value += increments[at]
        yield at, value


def _series(file: IO[str], name: str, samples: Iterable[tuple[int, int]]) -> None:
    file.writelines(f"{name} {value} {START + at}\n" for at, value in samples)


def _after(at: float, each: int) -> int:
    """The next tick."""
    return -int(-at // each) * each


@contextmanager
def prometheus(group: Group) -> Iterator[str]:
    """A real one that has these days behind it; its URL."""
    with tempfile.TemporaryDirectory() as name:
        samples, storage = Path(name, "samples"), Path(name, "data")
        with samples.open("w") as file:
            _write(file, group)
        backfill(samples, storage)
        samples.unlink()
        # A gauge holds until it changes.
        options = (f"--query.lookback-delta={group.days + 1}d", "--query.max-samples=200000000")
        with served(storage, *options) as url:
            yield url


# -- what the rules make of it -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule of severity critical; ``interval``, ``wait`` (its `for`) and ``keep`` (`keep_firing_for`) in seconds."""

    name: str
    expr: str
    interval: int
    wait: int = 0
    keep: int = 0


def paging(*names: str) -> list[Alert]:
    """Of these names, as they are in the rule files."""
    return [
        Alert(
            rule["alert"],
            rule["expr"],
            int(seconds(group.get("interval", f"{SCRAPE}s"))),
            int(seconds(rule.get("for", "0s"))),
            int(seconds(rule.get("keep_firing_for", "0s"))),
        )
        for path in sorted(RULES.glob("*.yml"))
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if rule.get("alert") in names and rule["labels"]["severity"] == "critical"
    ]


Span = tuple[int, int]  # the first and the last evaluation at which it fires


def firing(alert: Alert, held: Sequence[int]) -> list[Span]:
    """When an alert fires whose expression held at these evaluations, in order."""
    spans: list[Span] = []
    began = -1
    for before, at in itertools.pairwise((-alert.interval - 1, *held)):
        going_on = bool(spans) and at <= spans[-1][1] + alert.interval
        if at > before + alert.interval:
            began = at
        if going_on:
            spans[-1] = (spans[-1][0], at + alert.keep)  # kept from the first evaluation on that finds nothing
        elif at - began >= alert.wait:
            spans.append((at, at + alert.keep))
    return spans


class Page(NamedTuple):
    """Somebody is woken: by an alert, for a branch or (empty) for the group. Spans that touch are one page."""

    alert: str
    branch: str
    begun: int


def pages(url: str, alerts: Iterable[Alert], days: int) -> list[Page]:
    """Of so many days, in order; an alert's windows and printers of one branch together, as Alertmanager has them."""
    spans: defaultdict[tuple[str, str], list[Span]] = defaultdict(list)
    for alert in alerts:
        for branch, held in _held(url, alert, days):
            spans[alert.name, branch] += firing(alert, held)
    found = []
    for (name, branch), those in spans.items():
        end = -1
        for begun, last in sorted(those):
            if begun > end:
                found.append(Page(name, branch, begun))
            end = max(end, last)
    return sorted(found, key=lambda page: page.begun)


def _held(url: str, alert: Alert, days: int) -> Iterator[tuple[str, list[int]]]:
    """The evaluations at which each series of its expression was there, by the branch."""
    held: defaultdict[tuple[tuple[str, str], ...], list[int]] = defaultdict(list)
    step = 10_000 * alert.interval  # Prometheus gives no more than 11,000 points a series
    for first in range(0, days * DAY, step):
        last = min(first + step, days * DAY) - alert.interval
        asked = {"query": alert.expr, "start": START + first, "end": START + last, "step": alert.interval}
        body = urllib.parse.urlencode(asked).encode()
        with urllib.request.urlopen(f"{url}/api/v1/query_range", body, timeout=300) as response:
            for series in json.load(response)["data"]["result"]:
                held[tuple(sorted(series["metric"].items()))] += [int(at) - START for at, _ in series["values"]]
    for labels, times in held.items():
        yield dict(labels).get("branch_name", ""), times


# -- the tables --------------------------------------------------------------------------------------------------------


def healthy(rate: float, health: Health, branches: int, days: int) -> Group:
    """A group in which all is well."""
    random = Random(f"{rate} {health}")
    made = {f"b{number:02}": ended(random, days, rate, health) for number in range(branches)}
    return Group(days, made, health.errors)


@dataclass(frozen=True, slots=True)
class Noticed:
    """What became of a fault in a branch.

    ``minutes`` until each alert paged, those that did within two days; minutes until it ``closed``; receipts that had
    ``failed`` when the first alert paged.
    """

    minutes: Mapping[str, float]
    closed: float
    failed: int

    @property
    def first(self) -> float:
        """Minutes until somebody is woken; infinite where nobody is."""
        return min(self.minutes.values(), default=math.inf)


def noticed(rate: float, fails: Fails, branches: int) -> list[Noticed]:
    """Each has it from some minute of its second day's opening hours on, and nobody mends it."""
    days = 4
    random = Random(f"{rate} broken")
    since = {f"b{number:02}": DAY + 60 * random.randrange(OPENS // 60, CLOSES // 60) for number in range(branches)}
    made = {name: list(ended(random, days, rate, HEALTHY[0], fails, at)) for name, at in since.items()}
    with prometheus(Group(days, made, HEALTHY[0].errors)) as url:
        woken = pages(url, paging("PrinterFailingInARow", "ReceiptBudgetBurn"), days)
    found = []
    for name, at in since.items():
        minutes: dict[str, float] = {}
        for page in woken:
            if page.branch == name and at <= page.begun < at + 2 * DAY:
                minutes.setdefault(page.alert, (page.begun + GROUP_WAIT - at) / 60)
        until = at + 60 * min(minutes.values(), default=math.inf)
        failed = sum(each.bad and at <= each.at <= until for each in made[name])
        found.append(Noticed(minutes, (DAY + CLOSES - at) / 60, failed))
    return found


def main() -> int:
    """Print the tables; 1 where healthy branches page more often than `LIMIT`."""
    parser = argparse.ArgumentParser("python -m tests.rules.months")
    parser.add_argument("--rates", type=int, nargs="+", default=RATES, help="receipts of a branch in a day")
    parser.add_argument("--months", type=int, default=2, help="of twenty branches, for each row")
    options = parser.parse_args()
    branches, days = 20, options.months * MONTH
    worst = 0.0
    _row("Fail though all is well", "Receipts a day", "False pages", *PAGING)
    _row(*["---"] * (3 + len(PAGING)))
    for health in HEALTHY:
        for rate in options.rates:
            with prometheus(healthy(rate, health, branches, days)) as url:
                found = Counter(page.alert for page in pages(url, paging(*PAGING), days))
            each = [number / branches / options.months for number in (found.total(), *(found[name] for name in PAGING))]
            worst = max(worst, each[0])
            _row(str(health), f"{rate:,}", *(f"{number:.2f}" if number else "0" for number in each))
    sys.stdout.write("\n")
    _row("Fault", "Receipts a day", "First page", "Failed until then", "Before it closed", *PAGING[:2])
    _row(*["---"] * 7)
    for fault, fails in FAULTS.items():
        for rate in options.rates:
            those = noticed(rate, fails, branches)
            _row(
                fault,
                f"{rate:,}",
                _times([each.first for each in those]),
                f"{statistics.median(each.failed for each in those):.0f}",
                f"{sum(each.first <= each.closed for each in those)} of {branches}",
                *(_times([each.minutes.get(name, math.inf) for each in those]) for name in PAGING[:2]),
            )
    return int(worst > LIMIT)


def _row(*cells: str) -> None:
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


def _times(minutes: Sequence[float]) -> str:
    """The median and the worst of those that came, and how many did not."""
    came = [each for each in minutes if each < math.inf]
    if not came:
        return "never"
    never = f"; {len(minutes) - len(came)} of {len(minutes)} never" if len(came) < len(minutes) else ""
    return f"{statistics.median(came):,.0f}, {max(came):,.0f}{never}"


if __name__ == "__main__":
    sys.exit(main())
