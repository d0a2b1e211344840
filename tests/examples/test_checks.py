"""JSON that somebody else wrote."""

import json
from typing import Any

import pytest

from examples.jobs.checks import DEEPEST, Invalid, parse


def nested(depth: int, text: str = "x") -> Any:
    return [nested(depth - 1, text)] if depth else text


@pytest.mark.parametrize("encode", [str.encode, str], ids=["bytes", "text"])
def test_what_is_nested_too_deep_is_refused_before_it_is_parsed(encode: Any) -> None:
    assert parse(encode(json.dumps(nested(DEEPEST)))) == nested(DEEPEST)
    for text in (
        json.dumps(nested(DEEPEST + 1)),
        "[" * 100_000,
        '{"a":' * 100_000,
        json.dumps(nested(DEEPEST + 1, '"]')),
    ):
        with pytest.raises(Invalid, match="nested too deep"):
            parse(encode(text))


def test_brackets_that_are_said_nest_nothing() -> None:
    said = {"text": '["{' * 100 + '\\"[' * 100, "elements": [{"n": number} for number in range(100)]}
    assert parse(json.dumps(said)) == said
