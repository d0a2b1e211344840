"""What breaks is told once, by the right channel, and is told to be over; what follows from it is not told."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from tests.stack.game_day import FAULTS, Fault, Field, played
from tests.test_runbooks import RUNBOOKS, related


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    with played(tmp_path_factory.mktemp("day")) as field:
        yield field


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_what_comes_with_it_is_in_its_runbook(fault: Fault) -> None:
    lines = related(RUNBOOKS / f"{fault.tells.alert}.md")
    assert set(fault.companions) <= set(re.findall(r"\w+", lines["Comes with"]))
    assert set(fault.hushed) <= set(re.findall(r"\w+", lines["Silences"]))


def test_while_all_is_well_nobody_is_told_of_anything(day: Field) -> None:
    day.quiet()
    before = day.count()
    time.sleep(15)
    assert day.told(since=before) == []
    assert not day.firing()


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_the_right_one_is_told_and_nothing_else(day: Field, fault: Fault) -> None:
    outcome = day.play(fault)
    assert outcome.told.count(fault.tells) == 1
    assert outcome.told.count(fault.tells._replace(over=True)) == 1
    told = {each.alert for each in outcome.told}
    assert told - {fault.tells.alert} <= set(fault.companions)
    assert set(fault.hushed) <= outcome.fired - told
