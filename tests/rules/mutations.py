"""Rules with one fault each: a limit, an operator, a range, a duration or a label that is another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from collector.stack.durations import seconds
from tests.rules.promtool import Rule

_OPERATORS: Final = {">=": "<", "<=": ">", "==": "!=", "!=": "==", ">": "<", "<": ">", "unless": "and"}
_MATCHER: Final = re.compile(r'(?P<label>\w+)(?P<operator>=~|!=|=)"(?P<value>[^"]*)"')


def mutants(rule: Rule) -> Iterator[tuple[str, Rule]]:
    """Each with what is wrong with it."""
    for what, expr in _expressions(rule["expr"]):
        yield what, {**rule, "expr": expr}
    for key in ("for", "keep_firing_for"):
        if key in rule:
            for factor in (2, 0.5):
                yield f"{key} × {factor}", {**rule, key: _times(rule[key], factor)}
    labels = rule.get("labels", {})
    for key, value in labels.items():
        yield f"{key}: not {value}", {**rule, "labels": {**labels, key: f"not {value}"}}


def _expressions(expr: str) -> Iterator[tuple[str, str]]:
    # What is quoted or a range holds numbers and operators that are none.
    plain = re.sub(r'"[^"]*"|\[[^\]]*\]|offset \w+|[{}]', lambda found: "\0" * len(found[0]), expr)
    plain = re.sub(r"\w+(=~|!=|=)\0", lambda found: "\0" * len(found[0]), plain)
    for found in re.finditer(r">=|<=|==|!=|>|<|\bunless\b", plain):
        yield f"{found[0]} at {found.start()}", _put(expr, found.span(), _OPERATORS[found[0]])
    for found in re.finditer(r"(?<![\w:.])\d+(\.\d+)?(?![\w:.])", plain):
        for factor in (1.5, 0.5) if float(found[0]) else (0,):
            number = float(found[0]) * factor if factor else 1.0
            yield f"{found[0]} at {found.start()}: {number:g}", _put(expr, found.span(), f"{number:g}")
    for found in re.finditer(r"\[([^\]:]*)", expr):
        for factor in (2, 0.5):
            yield f"[{found[1]}] × {factor}", _put(expr, found.span(1), _times(found[1], factor))
    for found in _MATCHER.finditer(expr):
        if found["label"] != "__name__":
            yield f"not {found[0]}", _put(expr, found.span("value"), f"not {found['value']}")
        for each in found["value"].split("|") if found["operator"] == "=~" and "(" not in found["value"] else ():
            rest = "|".join(other for other in found["value"].split("|") if other != each)
            yield f"{found[0]} without {each}", _put(expr, found.span("value"), rest)
    for found in re.finditer(r"\bby \(([^)]*)\)", expr):
        for label in found[1].split(", "):
            rest = ", ".join(other for other in found[1].split(", ") if other != label)
            yield f"by {found[1]} without {label}", _put(expr, found.span(1), rest)


def _put(text: str, span: tuple[int, int], other: str) -> str:
    return text[: span[0]] + other + text[span[1] :]


def _times(duration: str, factor: float) -> str:
    return f"{int(seconds(duration) * factor)}s"
