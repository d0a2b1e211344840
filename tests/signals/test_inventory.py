"""Who should be there is shown, whether he is or not; bounded by branch."""

import gc

import pytest

from printobs.signals import inventory
from printobs.signals.inventory import Inventory
from tests.conftest import Sdk


@pytest.fixture
def there(sdk: Sdk) -> Inventory:
    return Inventory()


def shown(sdk: Sdk, metric: str, attribute: str) -> dict[tuple[str, str], float]:
    return {
        (point.attributes.get("branch.name"), point.attributes.get(attribute)): point.value
        for point in sdk.points(metric)
    }


def test_who_is_away_is_shown_as_away(sdk: Sdk, there: Inventory) -> None:
    there.agent("mitte", "mitte-pc", True)
    there.agent("wedding", "wedding-pc", False)
    there.printer("mitte", "mitte-bar", True)
    there.printer("mitte", "mitte-kitchen", True)
    there.printer("mitte", "mitte-bar", False)
    assert shown(sdk, "agent.connected", "agent.name") == {("mitte", "mitte-pc"): 1, ("wedding", "wedding-pc"): 0}
    assert shown(sdk, "printer.served", "printer.name") == {("mitte", "mitte-bar"): 0, ("mitte", "mitte-kitchen"): 1}


def test_who_is_not_expected_any_more_has_no_series(sdk: Sdk, there: Inventory) -> None:
    there.agent("mitte", "old", False)
    there.printer("mitte", "bar", False)
    there.agent("mitte", "old", None)
    there.printer("mitte", "bar", None)
    there.printer("nowhere", "never", None)
    there.agent("mitte", "new", True)
    assert shown(sdk, "agent.connected", "agent.name") == {("mitte", "new"): 1}
    assert shown(sdk, "printer.served", "printer.name") == {}


def test_a_branch_cannot_fill_the_room_of_the_others(sdk: Sdk, there: Inventory) -> None:
    for number in range(1000):
        there.agent("mitte", f"agent-{number}", True)
        there.printer("mitte", f"printer-{number}", True)
    there.agent("wedding", "wedding-pc", True)
    there.agent("mitte", "agent-0", False)  # those that are shown go on
    agents = shown(sdk, "agent.connected", "agent.name")
    assert len(agents) == inventory.AGENTS + 1
    assert (agents["wedding", "wedding-pc"], agents["mitte", "agent-0"]) == (1, 0)
    assert len(shown(sdk, "printer.served", "printer.name")) == inventory.PRINTERS
    assert sdk.value("printobs.overflows", printobs__bounded="agent.connected") == 1000 - inventory.AGENTS


def test_names_cannot_break_a_line_and_nothing_is_raised(sdk: Sdk, there: Inventory) -> None:
    there.agent("mit\nte", "p" * 500, True)
    there.printer(4711, None, True)  # type: ignore[arg-type]
    [(branch, agent)] = shown(sdk, "agent.connected", "agent.name")
    assert (branch, len(agent)) == ("mit?te", 64)
    assert len(shown(sdk, "printer.served", "printer.name")) == 1


def test_its_series_end_with_it(sdk: Sdk, there: Inventory) -> None:
    other = Inventory()
    other.agent("mitte", "pc", True)
    assert sdk.points("agent.connected")
    del other
    gc.collect()
    assert sdk.points("agent.connected") == []


def test_a_branch_is_open_or_closed_as_the_application_says(sdk: Sdk) -> None:
    closed: set[str] = set()
    there = Inventory(lambda branch: branch not in closed)
    there.agent("mitte", "mitte-pc", False)
    there.printer("wedding", "bar", True)

    def opened() -> dict[str, float]:
        return {point.attributes["branch.name"]: point.value for point in sdk.points("branch.open")}

    assert opened() == {"mitte": 1, "wedding": 1}
    closed.add("mitte")
    assert opened() == {"mitte": 0, "wedding": 1}
    there.agent("mitte", "mitte-pc", None)
    assert opened() == {"wedding": 1}


def test_without_hours_a_branch_is_always_open(sdk: Sdk, there: Inventory) -> None:
    there.agent("mitte", "mitte-pc", False)
    assert sdk.value("branch.open", branch__name="mitte") == 1
