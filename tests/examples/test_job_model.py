"""The life of a print job, every interleaving with a few faults: no promise is broken, and each rule is needed."""

from collections.abc import Mapping
from typing import Any

import pytest

from examples.jobs.states import AGENT, SERVICE, advance
from tests.examples import job_model
from tests.examples.job_model import FAULTS, MUTANTS, SCENARIOS, explore

pytestmark = pytest.mark.timeout(600)  # it computes: a busy machine takes its time

used: set[tuple[Any, Any]] = set()
explored: set[str] = set()


@pytest.fixture(autouse=True)
def _recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    def recording(table: Mapping[Any, Any], state: Any, event: Any) -> Any:
        used.add((state, event))
        return advance(table, state, event)

    monkeypatch.setattr(job_model, "advance", recording)


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_promise_is_broken_and_every_job_can_end(name: str) -> None:
    result = explore(SCENARIOS[name])
    assert (result.broken, result.way) == ("", ())
    assert result.stuck == 0
    assert result.worlds > 10_000  # it has not become a model of nothing
    for fault, times in SCENARIOS[name].budget._asdict().items():
        assert any(step.startswith(FAULTS[fault]) for step in result.seen) is bool(times), fault
    explored.add(name)


def test_every_row_of_the_tables_was_taken() -> None:
    for name in SCENARIOS.keys() - explored:  # where this test is run alone
        explore(SCENARIOS[name])
    assert used >= SERVICE.keys() | AGENT.keys()


@pytest.mark.parametrize("mutant", MUTANTS)
def test_without_one_of_the_rules_a_promise_is_broken(mutant: str) -> None:
    result = explore(SCENARIOS[MUTANTS[mutant][0]], mutant)
    assert result.broken, MUTANTS[mutant][1]
