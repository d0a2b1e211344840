"""``printobs sla-report``: what `printobs.assembly.sla` has measured, as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Final

from printobs.assembly.prometheus import SAID, Prometheus, line
from printobs.assembly.sla import LATENCY, NONE, Events, Measured, Period, rounded, spoken

LISTED: Final = timedelta(minutes=15)  # a gap that is longer is listed
_NAME: Final = 80  # characters of a label


def lines(measured: Measured, period: Period, prometheus: Prometheus) -> Iterator[str]:
    """The report."""
    yield f"# SLA report: {period}"
    yield ""
    if period.going_on:
        yield f"**The month is not over**: this is {period.start:%B %Y} until now."
        yield ""
    yield "## What was agreed"
    yield ""
    yield from _agreements(measured)
    yield ""
    yield "## Branches"
    yield ""
    yield from _branches(measured)
    yield ""
    yield "## What is not in it"
    yield ""
    yield from _missing(measured, period, prometheus)
    yield ""
    yield "## Alerts"
    yield ""
    yield from _fired(measured)
    yield ""
    yield "## How each number is defined"
    yield ""
    yield from (f"- {each}" for each in _DEFINED)
    yield f"- All of it is from Prometheus at {_text(prometheus.url)}."


_DEFINED: Final = (
    "Everything is the sum over the period of what is recorded each five minutes, bad ones by all: never a mean of "
    "ratios, in which a quiet night would weigh as much as a Saturday evening.",
    "Requests: those that were not answered with an error of the service (5xx), of all.",
    "Test prints, and receipts (all jobs, test prints too): those that came out, confirmed or written, of all that "
    "ended and were not cancelled. What failed is bad, and so is what is unknown.",
    "Connections: each that can be judged is looked at each five minutes; good or excellent ones, of all such looks.",
    "95th percentile: nineteen of twenty requests took no longer, interpolated between the histogram's limits. Bad are "
    "those that took more than 0.5 s: one in twenty may.",
    "Budget spent: the bad ones, by those that may be bad of the events of the period. Above 100 % it is overspent.",
    "No data: nothing happened, or nothing was recorded of it. It is neither kept nor broken.",
    "Alerts: a minute in which one fired counts once for its branch, whichever of its windows and printers it was for.",
)


def _agreements(measured: Measured) -> Iterator[str]:
    fast = measured.fast
    p95 = "–" if fast is None else f"{rounded(measured.p95, 3, LATENCY)} s"
    yield from _table(
        ("Agreement", "Agreed", "Measured", "Events", "Bad", "Budget spent", "Verdict"),
        "lrrrrrl",
        [
            _agreement("Requests answered (availability)", "99.9 %", measured.requests),
            _agreement("Test prints that succeeded", "95 %", measured.all_tests),
            _agreement("Connections good or excellent", "80 %", measured.all_quality),
            (
                *("95th percentile of requests", "≤ 0.5 s", p95),
                *(*measured.slow.counts, measured.slow.spent, _verdict(fast)),
            ),
        ],
    )


def _agreement(name: str, agreed: str, events: Events) -> tuple[str, ...]:
    return name, agreed, events.good, *events.counts, events.spent, _verdict(events.kept)


def _branches(measured: Measured) -> Iterator[str]:
    names = {*measured.receipts, *measured.tests, *measured.quality}
    if not names:
        yield "No branch has recorded anything."
        return

    def share(name: str) -> Decimal:
        events = measured.receipts.get(name, NONE)
        return events.bad / events.total if events.known else Decimal(-1)

    yield "Receipts that came out: 95 % are agreed, of each branch. Worst first."
    yield ""
    yield from _table(
        (
            *("Branch", "Receipts", "Bad", "Came out", "Budget spent", "Verdict"),
            *("Test prints", "Succeeded", "Connections good"),
        ),
        "lrrrrlrrr",
        [
            (
                *(_text(name), *receipts.counts, receipts.good, receipts.spent, _verdict(receipts.kept)),
                *(tests.counts[0], tests.good, measured.quality.get(name, NONE).good),
            )
            for name in sorted(names, key=lambda name: (-share(name), name))
            for receipts, tests in [(measured.receipts.get(name, NONE), measured.tests.get(name, NONE))]
        ],
    )


def _missing(measured: Measured, period: Period, prometheus: Prometheus) -> Iterator[str]:
    away = sum((end - start for start, end in measured.gaps), timedelta())
    if away:
        yield (
            f"{_hours(away)} of {_hours(period.end - period.start)} hours: nothing was recorded, since Prometheus was "
            "away, or the service told it nothing, or it does not keep that long. What happened then is in no number."
        )
    else:
        yield f"Nothing: all of the {_hours(period.end - period.start)} hours were recorded."
    listed = [(start, end) for start, end in measured.gaps if end - start > LISTED]
    if listed:
        yield ""
        rows = [(spoken(start), spoken(end), _hours(end - start)) for start, end in listed]
        yield from _table(("From (UTC)", "To (UTC)", "Hours"), "llr", rows)
    for warning in prometheus.warnings:
        yield ""
        yield f"Prometheus warns: {_text(warning, SAID)}"


def _fired(measured: Measured) -> Iterator[str]:
    if not measured.alerts:
        yield "None fired."
        return
    yield from _table(
        ("Alert", "Severity", "Branch", "Began (times)", "First began (UTC)", "Minutes"),
        "lllrlr",
        [
            (
                *(_text(alert.name), _text(alert.severity), _text(alert.branch), str(len(alert.began))),
                # What was firing all the time has begun before.
                *(spoken(alert.began[0]) if alert.began else "before", f"{alert.minutes:,.0f}"),
            )
            for alert in measured.alerts
        ],
    )


def _table(head: Sequence[str], sides: str, rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """``sides``: ``l`` or ``r`` for each column."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'|'.join('---' if side == 'l' else '--:' for side in sides)}|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _verdict(kept: bool | None) -> str:
    return {True: "kept", False: "**broken**", None: "no data"}[kept]


def _hours(time: timedelta) -> str:
    return f"{time / timedelta(hours=1):.2f}".rstrip("0").rstrip(".")


def _text(said: str, most: int = _NAME) -> str:
    """Somebody else's words, so that Markdown makes nothing of them."""
    return re.sub(r"([\\`*_\[\]<>|&~$])", r"\\\1", line(said, most)) or "–"
