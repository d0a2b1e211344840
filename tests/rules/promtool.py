"""Rules as they are in ``collector/prometheus/rules``, and what the real promtool says of them in made-up hours."""

from __future__ import annotations

import json
import subprocess
import tempfile
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
    its name. ``only``: a matcher of those that are meant, where more of this name may fire.
    """

    alert: str
    series: Mapping[str, str]
    fires: Sequence[str] = ()
    silent: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    interval: str = "15s"
    only: str = ""


@dataclass(frozen=True)
class Recorded:
    """What a recording rule makes of ``series`` at some time: the labels of each of its series, and the value."""

    record: str
    series: Mapping[str, str]
    at: str
    samples: Mapping[str, float]
    interval: str = "15s"


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


@cache
def program() -> Path:
    """The pinned promtool."""
    return command("promtool")


def failures(tested: Iterable[Rule], cases: Iterable[Case | Recorded]) -> str:
    """What promtool finds wrong with these rules in these cases; empty: nothing."""
    with tempfile.TemporaryDirectory() as folder:
        # JSON is YAML.
        Path(folder, "rules.yml").write_text(json.dumps({"groups": [{"name": "tested", "rules": list(tested)}]}))
        tests = [_test(case) for case in cases]
        intervals = {test["interval"] for test in tests}
        for interval in sorted(intervals):
            file = Path(folder, f"test-{interval}.yml")
            those = [test for test in tests if test["interval"] == interval]
            file.write_text(json.dumps({"rule_files": ["rules.yml"], "evaluation_interval": interval, "tests": those}))
            ran = subprocess.run(
                [program(), "test", "rules", file], capture_output=True, text=True, timeout=120, check=False
            )
            if ran.returncode:
                return ran.stdout + ran.stderr
    return ""


def _test(case: Case | Recorded) -> dict[str, Any]:
    asked: list[dict[str, Any]] = []
    if isinstance(case, Recorded):
        samples = [{"labels": labels, "value": value} for labels, value in case.samples.items()]
        asked.append({"expr": case.record, "eval_time": case.at, "exp_samples": samples})
    else:
        expr = f'ALERTS{{alertname="{case.alert}", alertstate="firing", {case.only}}}'
        labels = {"alertname": case.alert, "alertstate": "firing", **case.labels}
        firing = "ALERTS{" + ", ".join(f'{key}="{value}"' for key, value in labels.items()) + "}"
        asked += [{"expr": expr, "eval_time": at, "exp_samples": [{"labels": firing, "value": 1}]} for at in case.fires]
        asked += [{"expr": expr, "eval_time": at, "exp_samples": []} for at in case.silent]
    series = [{"series": each, "values": values} for each, values in case.series.items()]
    return {"interval": case.interval, "input_series": series, "promql_expr_test": asked}
