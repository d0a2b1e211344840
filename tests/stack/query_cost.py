"""What Prometheus takes to answer: panels, rules, and a month by what is recorded of it.

``python -m tests.stack.query_cost`` prints the tables of docs/capacity.md, over the days of `tests.stack.history`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import psutil
import requests
import yaml

from collector.grafana.expressions import DASHBOARDS, VARIABLES, filled, panels
from collector.stack.binaries import command
from collector.stack.durations import seconds
from collector.stack.parts import RETENTION, Part
from collector.stack.ports import Ports
from collector.stack.stack import Running
from tests.rules.promtool import RULES, name, rules
from tests.stack.backend import selectors, until
from tests.stack.history import FIVE_MINUTES, SCRAPE, Group, backfill

PANEL: Final = 0.1  # seconds that all questions of a panel may take
GROUP: Final = 1.0  # seconds that an evaluation of a group of rules may take
TIMES: Final = 5  # that each question is asked, after once that does not count
HASTE: Final = 2  # seconds between two evaluations of the rules
POINTS: Final = 1000  # of a graph that is as wide as most screens
STEPS: Final = (SCRAPE, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)  # seconds: Grafana takes the nearest

# What is asked over a month, once each: budgets are the same sums again.
MONTH: Final = (
    "Availability (99.9 %)",
    "Print test success (95 %)",
    "Latency p95 (500 ms)",
    "Receipts that came out (95 %), by branch",
)


@dataclass(frozen=True, slots=True)
class Question:
    """What Grafana asks for a panel; ``step`` in seconds over so many ``seconds``, or 0 for the present only."""

    panel: str
    expr: str
    seconds: int = 0
    step: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """How many seconds it took each time, how many series it has, and the last value of the first."""

    took: Sequence[float]
    series: int
    value: float

    @property
    def fastest(self) -> float:
        """As far as others on the machine let it."""
        return min(self.took)

    @property
    def median(self) -> float:
        """As it mostly was."""
        return statistics.median(self.took)


def questions(longest: int = sys.maxsize) -> Iterator[Question]:
    """All that the dashboards ask when they are opened, of all branches; over so many seconds at most."""
    for path in sorted(DASHBOARDS.glob("*.json")):
        dashboard = json.loads(path.read_text())
        for panel in panels(dashboard):
            own = panel.get("timeFrom") or dashboard["time"]["from"].removeprefix("now-")
            over = min(int(seconds(own)), longest)
            nearest = min(STEPS, key=lambda each: abs(each - over / POINTS))
            step = max(nearest, int(seconds(panel.get("interval") or "0m")))
            variables = {**VARIABLES, "__rate_interval": f"{max(step + SCRAPE, 4 * SCRAPE)}s"}
            for target in panel["targets"]:
                expr = filled(target["expr"], variables)
                title = f"{path.stem}: {panel['title']}"
                yield Question(title, expr) if target["instant"] else Question(title, expr, over, step)


def month() -> Iterator[Question]:
    """What is asked over a month."""
    yield from (each for each in questions() if each.panel.partition(": ")[2] in MONTH)


def by_counters(expr: str) -> str:
    """The same question without what is recorded: each sum of recorded events as the increase that its rule takes."""
    every = {name(each): str(each["expr"]) for each in rules()}
    expr = re.sub(r"(\w+:\w+:sum30d)(?:{[^}]*})?", lambda found: every[found[1]], expr)
    recorded = {known: rule for known, rule in every.items() if known.endswith(":increase5m")}
    names = "|".join(sorted(recorded, key=len, reverse=True))

    def counted(record: str, window: str) -> str:
        increase = recorded[record].replace("[315s]", f"[{window}]").replace(" * 300 / 315", "")
        return "(" + re.sub(names, lambda found: counted(found[0], window), increase) + ")"

    return re.sub(
        rf"sum_over_time\(({names})(?:{{[^}}]*}})?\[(\w+)\]\)", lambda found: counted(found[1], found[2]), expr
    )


def asked(session: requests.Session, url: str, question: Question, end: int) -> requests.Response:
    """What a Prometheus answers as of ``end`` (Unix seconds)."""
    query: dict[str, str | int] = {"query": question.expr, "time": end}
    if question.step:
        start = (end - question.seconds) // question.step * question.step
        query = {"query": question.expr, "start": start, "end": end, "step": question.step}
    return session.get(f"{url}/api/v1/query{'_range' if question.step else ''}", params=query, timeout=180)


def result(answer: requests.Response) -> list[dict[str, Any]]:
    """Its series; raises `requests.HTTPError`."""
    answer.raise_for_status()
    series: list[dict[str, Any]] = answer.json()["data"]["result"]
    return series


class Prometheus:
    """A context manager: the real one over a folder with blocks, asked as of ``end`` (Unix seconds), when they end."""

    def __init__(self, folder: Path, storage: Path, end: int) -> None:
        port = Ports.free().prometheus
        self._etc = folder / "etc"
        self._end = end
        self._url = f"http://127.0.0.1:{port}"
        part = Part(
            "prometheus",
            "prometheus",
            (
                f"--config.file={self._etc / 'prometheus.yml'}",
                f"--storage.tsdb.path={storage}",
                f"--storage.tsdb.retention.time={RETENTION}",
                f"--web.listen-address=127.0.0.1:{port}",
            ),
            f"{self._url}/-/ready",
        )
        self._running = Running(part, command("prometheus"), folder / "prometheus.log")
        self._session = requests.Session()
        self._session.trust_env = False

    def __enter__(self) -> Self:
        (self._etc / "rules").mkdir(parents=True)
        (self._etc / "prometheus.yml").write_text(json.dumps({"rule_files": ["rules/*.yml"]}))
        self._running.start()
        try:
            self._running.wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._running.stop()
        self._session.close()

    @property
    def memory(self) -> int:
        """Bytes that are resident, without the blocks' pages: those the machine may take back."""
        told = psutil.Process(self._running.pid).memory_info()
        return int(told.rss - told.shared)

    def ask(self, question: Question, times: int = TIMES) -> Answer:
        """Ask it so often, after once that does not count; raises `requests.HTTPError`."""
        took = []
        for _ in range(1 + times):
            began = time.perf_counter()
            answer = self._asked(question)
            took.append(time.perf_counter() - began)
            series = result(answer)
        value = float((series[0].get("value") or series[0]["values"][-1])[1]) if series else float("nan")
        return Answer(took[1:], len(series), value)

    def result(self, question: Question) -> list[dict[str, Any]]:
        """Its series, as Prometheus gives them; raises `requests.HTTPError`."""
        return result(self._asked(question))

    def _asked(self, question: Question) -> requests.Response:
        return asked(self._session, self._url, question, self._end)

    def panels(self, asked: Sequence[Question]) -> dict[str, list[Answer]]:
        """The answers, by panel."""
        found: dict[str, list[Answer]] = {}
        for question in asked:
            found.setdefault(question.panel, []).append(self.ask(question))
        return found

    def selectors(self, expr: str) -> set[str]:
        """The metrics that an expression is about, by Prometheus's own parser."""
        answer = self._session.get(f"{self._url}/api/v1/parse_query", params={"query": expr}, timeout=30)
        return {each.partition("{")[0] for each in selectors(answer.json()["data"])} - {""}

    def evaluate(self, times: int = TIMES) -> dict[str, list[float]]:
        """Let the rules be evaluated, each group so often after once that does not count: seconds, by group.

        They look as far back as the blocks end, and are due every few seconds: nobody waits for five minutes.
        """
        back = int(time.time()) - self._end
        for path in RULES.glob("*.yml"):
            groups = yaml.safe_load(path.read_text())["groups"]
            hastened = [{**group, "interval": f"{HASTE}s", "query_offset": f"{back}s"} for group in groups]
            # JSON is YAML.
            (self._etc / "rules" / path.name).write_text(json.dumps({"groups": hastened}))
        os.kill(self._running.pid, signal.SIGHUP)
        seen: dict[str, dict[str, float]] = {}

        def enough() -> bool:
            for group in self._rules():
                if not group["lastEvaluation"].startswith("0001"):
                    seen.setdefault(group["name"], {})[group["lastEvaluation"]] = group["evaluationTime"]
            return len(seen) == len(self._rules()) > 0 and all(len(each) > times for each in seen.values())

        until(enough, 60 + 2 * HASTE * times)
        return {group: list(each.values())[1:] for group, each in seen.items()}

    def failing(self) -> list[str]:
        """Rules whose evaluation does not end well, and why."""
        return [
            f"{rule['name']}: {rule['lastError']}"
            for group in self._rules()
            for rule in group["rules"]
            if rule["health"] != "ok"
        ]

    def _rules(self) -> list[dict[str, Any]]:
        answer = self._session.get(f"{self._url}/api/v1/rules", timeout=30)
        groups: list[dict[str, Any]] = answer.json()["data"]["groups"]
        return groups


def main() -> int:
    """Print the tables; 1 where a panel or a group of rules is over its limit."""
    parser = argparse.ArgumentParser("python -m tests.stack.query_cost")
    parser.add_argument("--days", type=int, default=30, help="of history")
    options = parser.parse_args()
    end = int(time.time()) // FIVE_MINUTES * FIVE_MINUTES
    with tempfile.TemporaryDirectory() as folder:
        storage = Path(folder, "data")
        took = backfill(Group(options.days, end), storage)
        print(
            f"{options.days} days: {took.series} series, {took.samples / 1e6:.1f} million samples, backfilled in"
            f" {took.seconds:.0f} s with {took.memory / 1e6:.0f} MB; {took.stored / 1e6:.1f} MB on disk\n"
        )
        with Prometheus(Path(folder), storage, end) as prometheus:
            costs = _panels(prometheus)
            _month(prometheus)
            groups = _groups(prometheus)
            print(f"\nPrometheus: {prometheus.memory / 1e6:.0f} MB")
    return int(max(costs) >= PANEL or max(groups) >= GROUP)


def _panels(prometheus: Prometheus) -> list[float]:
    print("| Panel | Questions | Fastest of five | Median |")
    print("|---|---|---|---|")
    found = prometheus.panels(list(questions()))
    for panel, answers in sorted(found.items(), key=lambda each: -sum(answer.fastest for answer in each[1])):
        fastest, median = (sum(getattr(each, name) for each in answers) for name in ("fastest", "median"))
        print(f"| {panel} | {len(answers)} | {fastest * 1e3:.0f} ms | {median * 1e3:.0f} ms |", flush=True)
    return [sum(each.fastest for each in answers) for answers in found.values()]


def _month(prometheus: Prometheus) -> None:
    print("\n| Over a month | As it is asked | By counters | Ratio |")
    print("|---|---|---|---|")
    for question in month():
        recorded = prometheus.ask(question).fastest
        counted = prometheus.ask(Question(question.panel, by_counters(question.expr)), 2).fastest
        print(
            f"| {question.panel} | {recorded * 1e3:.0f} ms | {counted * 1e3:.0f} ms | {counted / recorded:.0f} |",
            flush=True,
        )


def _groups(prometheus: Prometheus) -> list[float]:
    print("\n| Group of rules | Fastest of five | Median |")
    print("|---|---|---|")
    found = prometheus.evaluate()
    for group, took in sorted(found.items(), key=lambda each: -min(each[1])):
        print(f"| {group} | {min(took) * 1e3:.0f} ms | {statistics.median(took) * 1e3:.0f} ms |", flush=True)
    return [min(took) for took in found.values()]


if __name__ == "__main__":
    sys.exit(main())
