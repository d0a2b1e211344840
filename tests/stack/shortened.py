"""The rules in a hurry: a generated copy in which all times are divided, for a backend that scrapes each second.

Shortened are ranges, subqueries, offsets, ``for``, ``keep_firing_for``, groups' intervals, and limits of ages
(``job_queue_age_seconds > 120``), which grow by themselves. At a factor of 15 everything is as it is, a second for
each scrape; at most it may be 60, where the shortest range still holds three samples.

Not shortened, for they are no time that goes by: what is counted (``>= 20`` requests: as many have to come in a shorter
window), what is each second (50 refused tokens a minute), how long something took (a latency of 1 s), how wrong a clock
is, when a certificate ends; nor what is not in a query: Alertmanager's waiting, the two minutes for which the Collector
keeps what is dead, Prometheus's five, and the durations that annotations tell in words.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import yaml

from collector.stack.durations import seconds
from collector.stack.stack import Stack
from tests.rules.promtool import RULES
from tests.stack.backend import restart

MOST: Final = 60.0

_DURATION: Final = re.compile(r"\d+[dhms]")
_QUOTED_OR_TIME: Final = re.compile(r'"[^"]*"|\[[^\]]*\]|\boffset \w+')
_AGE: Final = re.compile(r"(_age_seconds\) > )(\d+)")
# Five minutes, and one scrape more that `* 300 / 315` takes back.
_EACH_ONCE: Final = re.compile(r"\[315s\](\)+) \* 300 / 315")


def shortened(folder: Path, factor: float, scrape: float = 1.0) -> Path:
    """The rule files in ``folder``, which is returned, with all times divided by ``factor``; ``scrape`` in seconds."""
    assert 1 <= factor * scrape <= MOST, "rates would have no samples"
    folder.mkdir(parents=True, exist_ok=True)
    for path in RULES.glob("*.yml"):
        file = yaml.safe_load(path.read_text())
        for group in file["groups"]:
            _shorten(group, "interval", factor)
            for rule in group["rules"]:
                _shorten(rule, "for", factor)
                _shorten(rule, "keep_firing_for", factor)
                rule["expr"] = expression(rule["expr"], factor, scrape)
        (folder / path.name).write_text(yaml.safe_dump(file))
    return folder


def hurry(stack: Stack, factor: float, scrape: float = 1.0) -> None:
    """Let a stack that scrapes so often go on with shortened rules: Prometheus is started again with them."""
    shortened(stack.state / "prometheus" / "etc" / "rules", factor, scrape)
    restart(stack.running["prometheus"])


def expression(expr: str, factor: float, scrape: float = 1.0) -> str:
    """A rule's query with its times divided by ``factor``."""
    assert expr.count("315") == 2 * len(_EACH_ONCE.findall(expr)), f"another arithmetic of windows: {expr}"
    five = 300 / factor
    ready = f"[{_written(five + scrape)}]"
    expr = _EACH_ONCE.sub(rf"{ready}\1 * {five:.6g} / {five + scrape:.6g}", expr)

    def divided(found: re.Match[str]) -> str:
        return found[0] if found[0][0] == '"' or found[0] == ready else _divided(found[0], factor)

    expr = _QUOTED_OR_TIME.sub(divided, expr)
    return _AGE.sub(lambda found: f"{found[1]}{float(found[2]) / factor:.6g}", expr)


def _shorten(of: dict[str, Any], key: str, factor: float) -> None:
    if key in of:
        of[key] = _divided(of[key], factor)


def _divided(text: str, factor: float) -> str:
    return _DURATION.sub(lambda found: _written(seconds(found[0]) / factor), text)


def _written(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
