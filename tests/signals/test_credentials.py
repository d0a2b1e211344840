"""When each token and certificate ends is shown, bounded, for as long as it matters."""

import gc

import pytest

from printobs.signals import credentials
from printobs.signals.credentials import Credentials
from tests.conftest import Sdk

METRIC = "security.credential.expiration"


def shown(sdk: Sdk) -> dict[tuple[str, ...], float]:
    return {tuple(str(value) for value in point.attributes.values()): point.value for point in sdk.points(METRIC)}


@pytest.fixture
def held(sdk: Sdk) -> Credentials:
    return Credentials()


def test_each_is_shown_with_the_last_end_that_was_told(sdk: Sdk, held: Credentials) -> None:
    held.token("mitte", "pc", 1_700_000_000)
    held.token("wedding", "pc", 1_800_000_000)
    held.certificate("till.example", 443, 1_750_000_000.5)
    held.certificate("till.example", 4318, 1_760_000_000)
    held.token("mitte", "pc", 1_900_000_000)
    assert shown(sdk) == {
        ("token", "mitte", "pc"): 1_900_000_000,
        ("token", "wedding", "pc"): 1_800_000_000,
        ("certificate", "till.example", "443"): 1_750_000_000.5,
        ("certificate", "till.example", "4318"): 1_760_000_000,
    }
    assert dict(sdk.points(METRIC)[0].attributes) == {
        "security.credential.type": "token",
        "branch.name": "mitte",
        "agent.name": "pc",
    }


def test_one_that_matters_no_more_has_no_series(sdk: Sdk, held: Credentials) -> None:
    held.token("mitte", "pc", 1)
    held.certificate("till.example", 443, 2)
    held.token("mitte", "pc", None)
    held.token("nobody", "never", None)
    assert shown(sdk) == {("certificate", "till.example", "443"): 2}
    held.certificate("till.example", 443, None)
    assert shown(sdk) == {}


def test_it_is_bounded_and_those_that_are_shown_go_on(sdk: Sdk, held: Credentials) -> None:
    for number in range(credentials.CAP + 5):
        held.token("mitte", f"pc-{number}", number)
    held.token("mitte", "pc-0", 4711)
    assert shown(sdk)["token", "mitte", "pc-0"] == 4711
    assert len(shown(sdk)) == credentials.CAP
    assert sdk.value("printobs.overflows", printobs__bounded=METRIC) == 5


def test_nothing_is_raised_and_names_cannot_break_a_line(sdk: Sdk, held: Credentials) -> None:
    held.token("mit\nte", "p" * 500, 5)
    held.token("mitte", "pc", "soon")  # type: ignore[arg-type]
    held.token("mitte", "pc", 10**400)
    [(_, branch, agent)] = shown(sdk)
    assert (branch, len(agent)) == ("mit?te", 64)


def test_its_series_end_with_it(sdk: Sdk) -> None:
    held = Credentials()
    held.token("mitte", "pc", 5)
    assert len(shown(sdk)) == 1
    del held
    gc.collect()
    assert shown(sdk) == {}
