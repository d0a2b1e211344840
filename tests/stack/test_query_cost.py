"""Three days of fifty branches: panels, rules and months are answered in time, and what is recorded is why."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.rules.promtool import rules
from tests.stack.history import kept
from tests.stack.query_cost import GROUP, MONTH, PANEL, Answer, Prometheus, Question, by_counters, month, questions

GAIN: Final = 5.0  # times that counters take longer than what is recorded of them; over thirty days it is far more
# A counter of these is not there before the first of them.
FAULTS: Final = ("otelcol_exporter_send_failed_", "otelcol_exporter_enqueue_failed_", "printobs_errors_total")

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder: Path = tmp_path_factory.mktemp("query-cost")
    blocks, end = kept(3)
    shutil.copytree(blocks, folder / "data")
    with Prometheus(folder, folder / "data", end) as running:
        yield running


def over(found: Mapping[str, Sequence[Answer]]) -> dict[str, float]:
    """Panels that take longer than they may, in seconds."""
    took = {panel: sum(each.fastest for each in answers) for panel, answers in found.items()}
    return {panel: seconds for panel, seconds in took.items() if seconds >= PANEL}


def test_every_panel_is_answered_in_time(prometheus: Prometheus) -> None:
    asked = list(questions())
    found = prometheus.panels(asked)
    assert [panel for panel, answers in found.items() for each in answers if not each.series] == []
    late = over(found)
    # Others may have had the machine: one second look.
    assert over(prometheus.panels([each for each in asked if each.panel in late])) == {}


def test_a_costly_question_is_over_the_limit(prometheus: Prometheus) -> None:
    costly = Question("", "sum(increase(job_outcomes_total[1d]))", 6 * 3600, 120)
    assert over({"costly": [prometheus.ask(costly, 1)]})


def test_a_month_is_cheaper_by_what_is_recorded(prometheus: Prometheus) -> None:
    asked = list(month())
    assert len(asked) == len(MONTH)
    for question in asked:
        recorded = prometheus.ask(question)
        counted = prometheus.ask(Question(question.panel, by_counters(question.expr)), 1)
        assert math.isclose(recorded.value, counted.value, rel_tol=0.01), (question.panel, recorded, counted)
        assert counted.fastest > GAIN * recorded.fastest, (question.panel, recorded, counted)


def test_every_group_of_rules_is_evaluated_in_time(prometheus: Prometheus) -> None:
    about = {each for rule in rules() for each in prometheus.selectors(rule["expr"]) if not each.startswith(FAULTS)}
    assert len(about) > 25
    assert [each for each in about if not prometheus.ask(Question("", f"count({each})"), 1).series] == []
    took = prometheus.evaluate(2)
    assert prometheus.failing() == []
    assert {group: seconds for group, seconds in took.items() if min(seconds) >= GROUP} == {}
