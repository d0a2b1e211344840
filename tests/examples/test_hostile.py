"""A short version of ``python -m tests.soak.hostile``: callers that mean no good."""

from tests.soak.hostile import COMBINATIONS, excepted, forged, run

CALLS = 2000


def test_hostile_callers_leave_nothing_behind() -> None:
    wrong, grown, tally = run(CALLS)
    assert wrong == []
    assert grown < 10  # the long run has 5 MB for 100,000 calls
    # Not in vain.
    assert tally.responses.total() > CALLS / 3
    assert tally.accepted > CALLS / 20
    assert tally.messages > CALLS / 100
    assert {400, 401, 403, 404, 405} <= tally.responses.keys()
    assert {401, 403} <= tally.refused.keys()
    assert COMBINATIONS == 1000


def test_a_forged_line_is_seen() -> None:
    own = "2026-01-01 00:00:00,000 INFO service a word\n"
    assert forged([own, "    Traceback\n"]) == []
    assert len(forged(["CRITICAL root\n", own.replace("word", "\x1b[2J"), own.replace("word", "\x0bword")])) == 3


def test_an_exception_is_seen() -> None:
    quiet = ["2026-01-01 00:00:00,000 WARNING service a word\n", "    of a traceback\n"]
    assert excepted(quiet) == []
    loud = ["2026-01-01 00:00:00,000 ERROR service a word\n", "    Traceback (most recent call last):\n"]
    assert excepted([*quiet, *loud]) == loud
