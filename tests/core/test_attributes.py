"""Values that a client can choose are bounded in number, length and alphabet."""

import threading

from printobs.core.attributes import Bounded, clean, error_type
from tests.conftest import Sdk


def test_the_first_values_pass_and_the_rest_become_other() -> None:
    bounded = Bounded("test.attribute", 2)
    assert [bounded(value) for value in ("a", "b", "c", "a", "d")] == ["a", "b", "_OTHER", "a", "_OTHER"]


def test_each_value_over_the_bound_is_counted(sdk: Sdk) -> None:
    bounded = Bounded("counted.attribute", 1)
    for value in "abcab":
        bounded(value)
    assert sdk.value("printobs.overflows", printobs__bounded="counted.attribute") == 3


def test_the_limit_holds_under_threads() -> None:
    bounded = Bounded("other.attribute", 10)
    results: set[str] = set()

    def ask(start: int) -> None:
        for number in range(start, start + 500):
            results.add(bounded(f"v{number}"))

    threads = [threading.Thread(target=ask, args=(n * 500,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results - {"_OTHER"}) == 10


def test_a_value_is_one_short_printable_line() -> None:
    assert clean("a\r\nINFO forged\x1b[31m\x00") == "a??INFO forged?[31m?"
    assert clean("x" * 1_000_000) == "x" * 64
    assert clean("é日") == "é日"
    assert clean("\ud800") == "?"
    assert clean(7) == "7"


def test_error_type_is_the_qualified_class_name() -> None:
    class LateError(OSError):
        pass

    assert error_type(TimeoutError()) == "TimeoutError"
    assert error_type(LateError()).endswith("LateError")
    assert "test_attributes" in error_type(LateError())
