"""Every rule does what it says, by the real promtool; and with any one fault in it, some case of it fails."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import pytest

from tests.rules import burning, cases, recorded
from tests.rules.mutations import mutants
from tests.rules.promtool import Case, Recorded, Rule, failures, name, rules

CASES: Final[Mapping[str, list[Case | Recorded]]] = defaultdict(list)
for case in (*cases.PLATFORM, *cases.AGREEMENTS, *cases.PRINTING, *cases.TELEMETRY):
    CASES[case.alert].append(case)
for objective in burning.OBJECTIVES:
    CASES[objective.alert] += objective.cases()
for record in (*recorded.PLATFORM, *recorded.OBJECTIVES):
    CASES[record.record].append(record)

RULES: Final[Mapping[str, list[Rule]]] = defaultdict(list)
for rule in rules():
    RULES[name(rule)].append(rule)

# Of these what is another changes nothing that could be seen; why:
EQUAL: Final[Mapping[str, Sequence[str]]] = {}


@pytest.mark.parametrize("rule_name", RULES)
def test_it_does_what_it_says(rule_name: str) -> None:
    assert CASES[rule_name], "it has no case"
    assert not failures(RULES[rule_name], CASES[rule_name])


@pytest.mark.parametrize("alert", [each for each, same in RULES.items() if "alert" in same[0]])
def test_an_alert_has_its_say(alert: str) -> None:
    """It fires in some case and is silent in another; a person on a phone learns what, where, how bad and what next."""
    those = [case for case in CASES[alert] if isinstance(case, Case)]
    assert any(case.fires for case in those)
    assert (
        alert == "Watchdog"
        or any(case.silent and not case.fires for case in those)
        or any(case.silent and case.fires for case in those)
    )
    for rule in RULES[alert]:
        annotations = rule["annotations"]
        assert annotations["runbook_url"].endswith(f"/docs/runbooks/{alert}.md")
        assert len(re.sub(r"{{.*?}}", "", annotations["summary"])) < 100
        assert annotations["description"]
        assert rule["labels"]["severity"] in ("critical", "warning", "info", "none")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("rule_name", RULES)
def test_no_fault_in_it_goes_unseen(rule_name: str) -> None:
    same = RULES[rule_name]
    survived = [
        f"{rule.get('labels', {})}: {what}"
        for number, rule in enumerate(same)
        for what, mutant in mutants(rule)
        if what not in EQUAL.get(rule_name, ())
        and not failures([*same[:number], mutant, *same[number + 1 :]], CASES[rule_name])
    ]
    assert not survived, "\n".join(survived)
