"""Rules as they are in ``collector/prometheus/rules``, and what the real promtool says of them in made-up hours."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from collector.stack.binaries import command
from collector.stack.pins import COLLECTOR

RULES: Final = COLLECTOR / "prometheus" / "rules"

Rule = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """An hour of one alert: the ``series`` that there are, when it is ``fires``-ing and when it is ``silent``.

    Series are in promtool's notation, a sample each ``interval``. ``labels`` are those of the alert that fires, without
    its name. ``only``: a matcher of those that are meant, where more of this name may fire. ``evaluated``: how often,
    if not at each sample.
    """

    alert: str
    series: Mapping[str, str]
    fires: Sequence[str] = ()
    silent: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    interval: str = "15s"
    only: str = ""
    evaluated: str = ""


@dataclass(frozen=True)
class Recorded:
    """What a recording rule makes of ``series`` at some time: the labels of each of its series, and the value."""

    record: str
    series: Mapping[str, str]
    at: str
    samples: Mapping[str, float]
    interval: str = "15s"


@cache
def rules() -> list[Rule]:
    """All of them, in order."""
    return [
        rule
        for path in sorted(RULES.glob("*.yml"))
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]


def name(rule: Rule) -> str:
    """An alert's or a record's."""
    return str(rule.get("alert") or rule["record"])


_found: Final = cache(command)


def promtool(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The pinned one, run to its end, with ``environment`` besides."""
    command = [_found("promtool"), *arguments]
    env = {**os.environ, **environment}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=280, check=False)


def survivors(mutants: Sequence[Rule], cases: Sequence[Case | Recorded]) -> list[int]:
    """Which of these have nothing wrong in any of the cases, each being alone with them.

    One case after another, since most are seen in the first ones, and are in no other then.
    """
    left = list(range(len(mutants)))
    for case in cases:
        left = _survivors({number: mutants[number] for number in left}, case)
        if not left:
            break
    return left


def _survivors(left: Mapping[int, Rule], case: Case | Recorded) -> list[int]:
    """Those of one case, all in as few runs as can be.

    Where one cannot even be evaluated, promtool says no more of the case: it is left out, and the rest is asked again.
    """
    while left:
        names = {number: f"__m{number}" for number in left}
        said = failures([_called(rule, names[number]) for number, rule in left.items()], [case], list(names.values()))
        found = {int(number) for number in re.findall(r"__m(\d+)", said)}
        assert found or not said, said
        left = {number: rule for number, rule in left.items() if number not in found}
        if "err:" not in said:
            break
    return list(left)


def _called(rule: Rule, suffix: str) -> Rule:
    key = "alert" if "alert" in rule else "record"
    return {**rule, key: rule[key] + suffix}


def failures(tested: Iterable[Rule], cases: Iterable[Case | Recorded], suffixes: Sequence[str] = ("",)) -> str:
    """What promtool finds wrong with these rules in these cases; empty: nothing. ``suffixes`` of the rules' names."""
    said = ""
    with tempfile.TemporaryDirectory() as folder:
        # JSON is YAML.
        Path(folder, "rules.yml").write_text(json.dumps({"groups": [{"name": "tested", "rules": list(tested)}]}))
        by_interval = defaultdict(list)
        for case in cases:
            evaluated = case.evaluated if isinstance(case, Case) else ""
            by_interval[evaluated or case.interval].append(_test(case, suffixes))
        for interval, those in sorted(by_interval.items()):
            file = Path(folder, f"test-{interval}.yml")
            file.write_text(json.dumps({"rule_files": ["rules.yml"], "evaluation_interval": interval, "tests": those}))
            # A fifth of its time would be Go's garbage collector's, of a heap that is small.
            ran = promtool("test", "rules", file, GOGC="400")
            if ran.returncode:
                said += ran.stdout + ran.stderr
    return said


def _test(case: Case | Recorded, suffixes: Sequence[str]) -> dict[str, Any]:
    asked = [each for suffix in suffixes for each in _asked(case, suffix)]
    series = [{"series": each, "values": values} for each, values in case.series.items()]
    return {"interval": case.interval, "input_series": series, "promql_expr_test": asked}


def _asked(case: Case | Recorded, suffix: str) -> list[dict[str, Any]]:
    if isinstance(case, Recorded):
        record = case.record + suffix
        samples = [
            {"labels": labels.replace(case.record, record, 1), "value": value} for labels, value in case.samples.items()
        ]
        return [{"expr": record, "eval_time": case.at, "exp_samples": samples}]
    alert = case.alert + suffix
    expr = f'ALERTS{{alertname="{alert}", alertstate="firing", {case.only}}}'
    labels = {"alertname": alert, "alertstate": "firing", **case.labels}
    firing = "ALERTS{" + ", ".join(f'{key}="{value}"' for key, value in labels.items()) + "}"
    return [
        *({"expr": expr, "eval_time": at, "exp_samples": [{"labels": firing, "value": 1}]} for at in case.fires),
        *({"expr": expr, "eval_time": at, "exp_samples": []} for at in case.silent),
    ]
