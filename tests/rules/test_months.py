"""A healthy branch wakes nobody, a broken one does soon: by the real rules, in months of made-up receipts."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from random import Random

import pytest

from tests.rules import months
from tests.rules.cases import CRITICAL
from tests.rules.months import FAULTS, HEALTHY, LIMIT, MONTH, PAGING, RATES, Alert, Health
from tests.rules.promtool import Case, failures

BRANCHES = 10
INDEPENDENT, CLUSTERED = HEALTHY[1], HEALTHY[3]


def most(mean: float) -> int:
    """So many events at most, in 99 of 100 cases, where ``mean`` are expected."""
    number, chance = 0, math.exp(-mean)
    total = chance
    while total < 0.99:
        number += 1
        chance *= mean / number
        total += chance
    return number


@pytest.mark.parametrize(("wait", "keep"), [(0, 0), (2, 0), (0, 3), (2, 3)])
def test_an_alert_fires_when_promtool_says_so(wait: int, keep: int) -> None:
    random = Random(0)
    values = [int(random.random() < 0.6) for _ in range(120)]
    held = [60 * minute for minute, value in enumerate(values) if value]
    rule = {
        "alert": "A",
        "expr": "a > 0",
        "for": f"{wait}m",
        "keep_firing_for": f"{keep}m",
        "labels": CRITICAL,
    }

    def promtool_differs(alert: Alert) -> bool:
        fires = {
            minute
            for first, last in months.firing(alert, held)
            for minute in range(first // 60, last // 60 + 1)
            if minute < len(values)
        }
        case = Case(
            "A",
            {"a": " ".join(map(str, values))},
            fires=[f"{minute}m" for minute in sorted(fires)],
            silent=[f"{minute}m" for minute in range(len(values)) if minute not in fires],
            labels=CRITICAL,
            interval="1m",
        )
        return bool(failures([rule], [case]))

    alert = Alert("A", "a > 0", 60, 60 * wait, 60 * keep)
    assert not promtool_differs(alert)
    assert promtool_differs(replace(alert, wait=alert.wait + 60))
    assert promtool_differs(replace(alert, keep=alert.keep + 60))


@pytest.mark.parametrize(
    ("rate", "health"),
    [(rate, health) for health in (INDEPENDENT, CLUSTERED) for rate in RATES],
    ids=str,
)
def test_a_healthy_branch_wakes_nobody(rate: int, health: Health) -> None:
    with months.prometheus(months.healthy(rate, health, BRANCHES, MONTH)) as url:
        woken = months.pages(url, months.paging(*PAGING), MONTH)
    assert len(woken) <= most(LIMIT * BRANCHES), woken


def test_a_row_of_three_at_once_would() -> None:
    [rule] = months.paging("PrinterFailingInARow")
    at_once = replace(rule, expr=rule.expr.replace(">= 5", ">= 3"))
    with months.prometheus(months.healthy(1000, CLUSTERED, BRANCHES, MONTH)) as url:
        assert len(months.pages(url, [at_once], MONTH)) > most(LIMIT * BRANCHES)


@pytest.mark.parametrize("rate", [10, 100])
def test_a_ratio_of_few_receipts_would(rate: int) -> None:
    """The limit can be broken: by the same rules without the number of receipts that they ask for at least."""
    rules = months.paging("ReceiptBudgetBurn")
    ungated = [replace(rule, expr=re.sub(r"and \S+ >= \d+ ", "", rule.expr)) for rule in rules]
    assert all(rule.expr != other.expr for rule, other in zip(rules, ungated, strict=True))
    with months.prometheus(months.healthy(rate, INDEPENDENT, BRANCHES, MONTH)) as url:
        assert len(months.pages(url, rules, MONTH)) <= most(LIMIT * BRANCHES)
        assert len(months.pages(url, ungated, MONTH)) > most(LIMIT * BRANCHES)


def test_every_paging_alert_has_what_it_reads() -> None:
    with months.prometheus(months.healthy(300, Health(0.8, errors=0.2), BRANCHES, 7)) as url:
        woken = months.pages(url, months.paging(*PAGING), 7)
    assert {page.alert for page in woken} == set(PAGING)
    assert len({page.branch for page in woken}) == 1 + BRANCHES


def test_a_dead_printer_pages_with_its_fifth_receipt() -> None:
    for fault in ("total outage", "one dead printer of two"):
        for each in months.noticed(1000, FAULTS[fault], BRANCHES):
            assert each.minutes["PrinterFailingInARow"] == each.first
            # More until half a minute is over, and Alertmanager's: two printers, four receipts a minute at dinner.
            assert 3 <= each.failed < 25


def test_a_half_outage_is_a_matter_of_the_budget() -> None:
    for each in months.noticed(100, FAULTS["half outage"], BRANCHES):
        assert each.minutes["ReceiptBudgetBurn"] < math.inf
