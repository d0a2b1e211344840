"""What fails inside telemetry never reaches the application; what is the application's passes."""

import asyncio
import logging

import pytest

from printobs.core import guard
from printobs.core.guard import Guard
from tests.conftest import Sdk


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_seen", set())


def fail(text: str = "2 x Ramen, table 4") -> None:
    raise ValueError(text)


def test_an_exception_is_swallowed_and_logged_once_per_cause(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(5):
        with Guard("counting"):
            fail()
    with Guard("counting"):
        raise KeyError("another line is another cause")
    with Guard("drawing"):
        fail()
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3
    assert "counting" in caplog.text
    assert "ValueError" in caplog.text
    assert "test_guard.py" in caplog.text


def test_each_one_is_counted_by_what_was_being_done(sdk: Sdk) -> None:
    before = sdk.value("printobs.errors", printobs__doing="counting", error__type="ValueError")
    for _ in range(5):
        with Guard("counting"):
            fail()
    assert sdk.value("printobs.errors", printobs__doing="counting", error__type="ValueError") == before + 5


def test_the_text_of_the_exception_is_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    with Guard("counting"):
        fail()
    assert "Ramen" not in caplog.text
    assert all(record.exc_info is None for record in caplog.records)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError])
def test_what_is_not_an_exception_passes(error: type[BaseException]) -> None:
    with pytest.raises(error), Guard("counting"):
        raise error


def test_a_broken_log_handler_does_not_reach_the_application() -> None:
    class Broken(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            raise RuntimeError("a filter that fails")

    broken = Broken()
    guard.logger.addFilter(broken)
    try:
        with Guard("counting"):
            fail()
    finally:
        guard.logger.removeFilter(broken)


def test_the_memory_of_causes_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    for number in range(1000):
        guard.swallow(f"doing {number}", ValueError())
    assert len(guard._seen) == guard._MAX_CAUSES
    assert len(caplog.records) == guard._MAX_CAUSES


def test_it_can_be_nested_and_used_again() -> None:
    one = Guard("counting")
    with one:
        with one:
            fail()
        reached = True
    assert reached
