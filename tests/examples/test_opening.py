"""A branch is open by its own clock: past midnight, over summer time, and always where nobody has said when."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from examples.service.opening import OpeningHours, Unreadable

HOURS = """
[mitte]
zone = "Europe/Berlin"
tuesday = ["11:30-15:00", "17:30-01:00"]
sunday = ["22:00-02:00"]

[night]
zone = "Asia/Tokyo"
monday = ["00:00-24:00"]
"""


@pytest.fixture
def hours(tmp_path: Path) -> OpeningHours:
    path = tmp_path / "hours.toml"
    path.write_text(HOURS)
    return OpeningHours.load(str(path))


@pytest.mark.parametrize(
    ("branch", "at", "opened"),
    [
        # 2026-11-24 is a Tuesday; Berlin is an hour ahead of UTC in winter.
        ("mitte", "2026-11-24T10:29:59", False),
        ("mitte", "2026-11-24T10:30:00", True),
        ("mitte", "2026-11-24T13:59:59", True),
        ("mitte", "2026-11-24T14:00:00", False),
        ("mitte", "2026-11-24T16:30:00", True),
        ("mitte", "2026-11-24T23:59:59", True),  # 00:59 of Wednesday there
        ("mitte", "2026-11-25T00:00:00", False),
        ("mitte", "2026-11-25T12:00:00", False),  # Wednesday: not named
        ("mitte", "2026-11-23T00:30:00", True),  # 01:30 of Monday: Sunday's night
        ("mitte", "2026-11-23T01:00:00", False),
        ("mitte", "2026-06-23T09:30:00", True),  # in summer two hours ahead
        ("mitte", "2026-06-23T13:30:00", False),
        ("night", "2026-11-22T15:00:00", True),  # Monday 00:00 in Tokyo
        ("night", "2026-11-23T14:59:59", True),
        ("night", "2026-11-23T15:00:00", False),
        ("elsewhere", "2026-11-25T12:00:00", True),
    ],
)
def test_open_by_its_own_clock(hours: OpeningHours, branch: str, at: str, opened: bool) -> None:
    assert hours.open(branch, datetime.fromisoformat(at).replace(tzinfo=UTC)) is opened


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[mitte", "hours.toml"),
        ("mitte = 3", "[mitte] must be a table"),
        ("[mitte]\nmonday = []", '[mitte] needs a zone, as zone = "Europe/Berlin"'),
        ('[mitte]\nzone = "Mitte"', '[mitte] needs a zone, as zone = "Europe/Berlin"'),
        ('[mitte]\nzone = "Europe/Berlin"\nmontag = []', "[mitte] has no montag: there are zone, monday"),
        ('[mitte]\nzone = "Europe/Berlin"\nmonday = "11-15"', "[mitte] monday must be a list"),
        ('[mitte]\nzone = "Europe/Berlin"\nmonday = ["11-15"]', "[mitte] monday: '11-15' must be as \"17:30-01:00\""),
        ('[mitte]\nzone = "Europe/Berlin"\nmonday = ["25:00-26:00"]', "'25:00-26:00' must be as"),
    ],
)
def test_what_is_wrong_is_said_with_its_branch(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "hours.toml"
    path.write_text(text)
    with pytest.raises(Unreadable) as error:
        OpeningHours.load(str(path))
    assert said in str(error.value)
