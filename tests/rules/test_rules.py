"""Every rule does what it says, by the real promtool; and with any one fault in it, some case of it fails."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import pytest

from tests.rules import burning, cases, recorded
from tests.rules.mutations import mutants
from tests.rules.promtool import Case, Recorded, Rule, failures, name, rules, survivors

CASES: Final[Mapping[str, list[Case | Recorded]]] = defaultdict(list)
for case in (*cases.PLATFORM, *cases.WINDOWS, *cases.AGREEMENTS, *cases.PRINTING, *cases.TELEMETRY):
    CASES[case.alert].append(case)
for objective in burning.OBJECTIVES:
    CASES[objective.alert] += objective.cases()
for record in (*recorded.PLATFORM, *recorded.OBJECTIVES, *recorded.DASHBOARDS):
    CASES[record.record].append(record)

RULES: Final[Mapping[str, list[Rule]]] = defaultdict(list)
for rule in rules():
    RULES[name(rule)].append(rule)

# Of these what is another changes nothing that could be seen; why:
EQUAL: Final[Mapping[str, Sequence[str]]] = {
    "Watchdog": ("1 at 7: 1.5", "1 at 7: 0.5"),  # it fires whatever its value is
    "AlertmanagerUnreachable": ("1 at 113: 0.5",),  # there is no half of an Alertmanager
}


@pytest.mark.parametrize("rule_name", RULES)
def test_it_does_what_it_says(rule_name: str) -> None:
    assert CASES[rule_name], "it has no case"
    assert not failures(RULES[rule_name], CASES[rule_name])


@pytest.mark.parametrize("alert", [each for each, same in RULES.items() if "alert" in same[0]])
def test_an_alert_has_its_say(alert: str) -> None:
    """It fires in some case and is silent in another; a person on a phone learns what, where, how bad and what next."""
    those = [case for case in CASES[alert] if isinstance(case, Case)]
    assert any(case.fires for case in those)
    assert alert == "Watchdog" or any(case.silent for case in those)
    for rule in RULES[alert]:
        annotations = rule["annotations"]
        assert annotations["runbook_url"].endswith(f"/docs/runbooks/{alert}.md")
        assert len(re.sub(r"{{.*?}}", "", annotations["summary"])) < 100
        assert annotations["description"]
        assert rule["labels"]["severity"] in ("critical", "warning", "info", "none")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("rule_name", RULES)
def test_no_fault_in_it_goes_unseen(rule_name: str) -> None:
    survived = [
        f"{rule.get('labels', {})}: {faults[number][0]}"
        for rule in RULES[rule_name]
        for faults in [[fault for fault in mutants(rule) if fault[0] not in EQUAL.get(rule_name, ())]]
        for number in survivors([mutant for _, mutant in faults], _of(rule))
    ]
    assert not survived, "\n".join(survived)


def _of(rule: Rule) -> list[Case | Recorded]:
    """Its cases, where several rules of one name have labels that differ."""
    return [
        case
        for case in CASES[name(rule)]
        if isinstance(case, Recorded)
        or all(case.labels.get(label, value) == value for label, value in rule["labels"].items())
    ]
