"""What was agreed and what came of it, over a month: from what ``collector/prometheus/rules/slo.yml`` records.

The numbers are those of the dashboard "SLOs and error budgets": sums of what is recorded each five minutes, bad ones
by all; never a mean of ratios, in which a quiet night would weigh as much as a Saturday evening.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Final

from printobs.assembly.prometheus import NO_NUMBER, Prometheus, Series, Unanswered

KEPT: Final = 0
BROKEN: Final = 1

DAYS: Final = 30
MAX_DAYS: Final = 366

RECORDED: Final = timedelta(minutes=5)  # the interval of what slo.yml records
AVAILABILITY: Final = Decimal("0.001")  # what may be bad of all requests
TESTS: Final = Decimal("0.05")
QUALITY: Final = Decimal("0.2")
SLOW: Final = Decimal("0.05")  # what may take longer than
LATENCY: Final = Decimal("0.5")  # seconds
RECEIPTS: Final = Decimal("0.05")


@dataclass(frozen=True, slots=True)
class Period:
    """What is after ``start``, up to ``end``; both in UTC. ``going_on``: it is a month that is not over, until now."""

    start: datetime
    end: datetime
    going_on: bool = False

    @classmethod
    def last(cls, days: int) -> Period:
        """The days that end now; raises ValueError for none, or more than `MAX_DAYS`."""
        if not 1 <= days <= MAX_DAYS:
            raise ValueError(f"--days is from 1 to {MAX_DAYS}")
        now = _now()
        return cls(now - timedelta(days=days), now)

    @classmethod
    def month(cls, text: str) -> Period:
        """One as ``2026-10``; raises ValueError for what is none, or has not begun."""
        try:
            start = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
        except ValueError:
            raise ValueError("--month is as 2026-10") from None
        now = _now()
        if start >= now:
            raise ValueError(f"{text} has not begun")
        end = (start + timedelta(days=31)).replace(day=1)
        return cls(start, min(end, now), end > now)

    @property
    def window(self) -> str:
        """Its length, as PromQL has it."""
        return f"{(self.end - self.start) // timedelta(seconds=1)}s"

    def __str__(self) -> str:
        return f"{spoken(self.start)} to {spoken(self.end)} UTC"


def _now() -> datetime:
    return datetime.now(UTC).replace(second=0, microsecond=0)


def spoken(moment: datetime) -> str:
    """As ``2026-10-01 00:00``."""
    return f"{moment:%Y-%m-%d %H:%M}"


@dataclass(frozen=True, slots=True)
class Events:
    """How many there were, how many were bad, and the share that may be. What cannot be told is no number."""

    total: Decimal
    bad: Decimal
    allowed: Decimal

    @property
    def known(self) -> bool:
        """Whether there is something to judge."""
        return self.total.is_finite() and self.bad.is_finite() and self.total > 0

    @property
    def kept(self) -> bool | None:
        """Whether no more were bad than may be; ``None``: no data."""
        return self.bad <= self.allowed * self.total if self.known else None

    @property
    def good(self) -> str:
        """Those that were good, in per cent."""
        if not self.known:
            return "–"
        hundred = Decimal(100)
        return f"{rounded(hundred * (1 - self.bad / self.total), 2, hundred * (1 - self.allowed), hundred)} %"

    @property
    def spent(self) -> str:
        """How much of what may be bad was, in per cent."""
        if not self.known:
            return "–"
        return f"{rounded(100 * self.bad / (self.allowed * self.total), 0, Decimal(0), Decimal(100))} %"

    @property
    def counts(self) -> tuple[str, str]:
        """All and bad ones."""
        return (f"{self.total:,.0f}", f"{self.bad:,.0f}") if self.known else ("–", "–")


NONE: Final = Events(Decimal(0), Decimal(0), Decimal(0))


def rounded(value: Decimal, places: int, *limits: Decimal) -> str:
    """With so many ``places``, or as many more as it needs to be on its own side of the limits."""
    for more in range(20):
        text = f"{value:.{places + more}f}"
        if all(value.compare(limit) == Decimal(text).compare(limit) for limit in limits):
            break
    return text


def _whole(branches: Iterable[Events], allowed: Decimal) -> Events:
    """All branches' together: the sum of the bad ones by that of all."""
    every = list(branches)
    total = sum((each.total for each in every), Decimal(0))
    bad = sum((each.bad for each in every), Decimal(0))
    return Events(total, bad, allowed)


@dataclass(frozen=True, slots=True)
class Alert:
    """One of a branch (or of the group) that fired: how often it began, since when, and for how many minutes."""

    name: str
    severity: str
    branch: str
    minutes: Decimal
    began: Sequence[datetime]


@dataclass(frozen=True, slots=True)
class Measured:
    """All that a report says; ``receipts``, ``tests`` and ``quality`` by branch. ``p95`` in seconds."""

    requests: Events
    slow: Events
    p95: Decimal
    receipts: Mapping[str, Events]
    tests: Mapping[str, Events]
    quality: Mapping[str, Events]
    gaps: Sequence[tuple[datetime, datetime]]
    alerts: Sequence[Alert]

    @property
    def fast(self) -> bool | None:
        """Whether nineteen of twenty requests were fast enough; ``None``: no data."""
        return self.p95 <= LATENCY if self.p95.is_finite() else None

    @property
    def all_tests(self) -> Events:
        """The group's."""
        return _whole(self.tests.values(), TESTS)

    @property
    def all_quality(self) -> Events:
        """The group's."""
        return _whole(self.quality.values(), QUALITY)

    @property
    def exit_code(self) -> int:
        """0: nothing is broken; 1: something is."""
        judged = (self.requests, self.all_tests, self.all_quality, *self.receipts.values())
        return BROKEN if False in (self.fast, *(each.kept for each in judged)) else KEPT


def measure(prometheus: Prometheus, period: Period) -> Measured:
    """Ask for all of it; raises `Unanswered`, also where nothing is recorded."""
    return _Asking(prometheus, period).measured()


class _Asking:
    # A minute counts in which it was firing: alerts are evaluated each minute, or more often.
    _ALERTS = 'ALERTS{alertstate="firing",alertname!="Watchdog"}[1m]'
    _FIRING = f"max by (alertname, severity, branch_name) (max_over_time({_ALERTS}))"
    _BEFORE = f"max by (alertname, severity, branch_name) (max_over_time({_ALERTS} offset 1m))"
    _RECORDED = '{__name__=~"cluster:http_requests:increase5m|branch_name:jobs:increase5m"}'

    def __init__(self, prometheus: Prometheus, period: Period) -> None:
        self._prometheus = prometheus
        self._period = period
        self._window = period.window

    def measured(self) -> Measured:
        requests = self._events("cluster:http_requests{}:increase5m", "_bad", AVAILABILITY)
        slow = self._events("cluster:http_requests{}:increase5m", "_slow", SLOW)
        receipts = self._events("branch_name:jobs{}:increase5m", "_bad", RECEIPTS)
        tests = self._events("branch_name:print_tests{}:increase5m", "_bad", TESTS)
        quality = self._events("branch_name:connections{}:sum", "_bad", QUALITY)
        if not any((requests, receipts, tests, quality)):
            raise Unanswered(
                f"Prometheus at {self._prometheus.url} has nothing of printobs from {self._period}: does it have the "
                "rules in collector/prometheus/rules, and does it keep that long?"
            )
        buckets = f"sum by (le) (sum_over_time(le:http_requests:increase5m[{self._window}]))"
        p95 = self._ask(f"histogram_quantile(0.95, {buckets})")
        return Measured(
            requests.get("", NONE),
            slow.get("", NONE),
            p95[0].samples[0][1] if p95 else NO_NUMBER,
            receipts,
            tests,
            quality,
            list(self._gaps()),
            self._alerts(),
        )

    def _events(self, name: str, bad: str, allowed: Decimal) -> dict[str, Events]:
        """By branch; without one where it is the whole group's."""
        total, those = self._sums(name.format("")), self._sums(name.format(bad))
        # Without one bad one ever, there need not be a series of them.
        return {branch: Events(count, those.get(branch, Decimal(0)), allowed) for branch, count in total.items()}

    def _sums(self, name: str) -> dict[str, Decimal]:
        found = self._ask(f"sum by (branch_name) (sum_over_time({name}[{self._window}]))")
        return {each.labels.get("branch_name", ""): each.samples[0][1] for each in found}

    def _gaps(self) -> Iterator[tuple[datetime, datetime]]:
        """What is in no five minutes that were recorded."""
        found = self._ask(f"count(last_over_time({self._RECORDED}[5m]))[{self._window}:5m]")
        recorded = [at for each in found for at, _ in each.samples]
        # The last five minutes may not be over.
        for before, after in pairwise([self._period.start, *recorded, self._period.end + RECORDED]):
            start, end = before, after - RECORDED
            if end - start >= RECORDED:
                yield start, end

    def _alerts(self) -> list[Alert]:
        began = self._ask(f"({self._FIRING} unless {self._BEFORE})[{self._window}:1m]")
        times = {_identity(each): [at for at, _ in each.samples] for each in began}
        minutes = self._ask(f"count_over_time({self._FIRING}[{self._window}:1m])")
        alerts = [Alert(*_identity(each), each.samples[0][1], times.get(_identity(each), [])) for each in minutes]
        return sorted(
            alerts, key=lambda each: (each.severity != "critical", -float(each.minutes), each.name, each.branch)
        )

    def _ask(self, query: str) -> list[Series]:
        return self._prometheus.ask(query, self._period.end)


def _identity(series: Series) -> tuple[str, str, str]:
    name, severity, branch = (series.labels.get(each, "") for each in ("alertname", "severity", "branch_name"))
    return name, severity, branch
