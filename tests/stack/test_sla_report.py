"""The SLA report of a made-up month, by a real Prometheus: each of its lines is known by arithmetic."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from collector.grafana.source import objectives
from collector.grafana.source.objectives import Objective
from printobs.assembly.cli import main
from printobs.assembly.prometheus import Prometheus
from printobs.assembly.sla import Events, Period, measure
from tests.rules.past import backfill, served
from tests.test_runbooks import DOCS, commands

OPERATIONS: Final = DOCS / "operations.md"
Capture = pytest.CaptureFixture[str]

MONTH: Final = "2025-10"  # of 31 days
START: Final = int(datetime(2025, 10, 1, tzinfo=UTC).timestamp())
STEP: Final = 300
DAY: Final = 86_400
FIVES: Final = range(STEP, 31 * DAY + STEP, STEP)  # each five minutes by its end, in seconds of the month

# Nothing was recorded for four hours and a quarter on the tenth, and for ten minutes on the twentieth.
GAPS: Final = (range(9 * DAY + STEP, 9 * DAY + 52 * STEP), range(19 * DAY + STEP, 19 * DAY + 3 * STEP))
THERE: Final = [at for at in FIVES if not any(at in gap for gap in GAPS)]
ORDER: Final = {at: number for number, at in enumerate(THERE)}

Value = Callable[[int], float]


def all_the_time(each: float) -> Value:
    return lambda at: each


def first(many: int, each: float = 1) -> Value:
    """In so many of the five minutes, the first."""
    return lambda at: each if ORDER[at] < many else 0


def at_ten(each: float) -> Value:
    """Each day at ten."""
    return lambda at: each if at % DAY == 10 * 3600 else 0


def recorded() -> Iterator[tuple[str, Value]]:
    yield "cluster:http_requests:increase5m", all_the_time(10)
    yield "cluster:http_requests_bad:increase5m", first(92)
    yield "cluster:http_requests_slow:increase5m", first(887)
    yield 'le:http_requests:increase5m{le="0.25"}', all_the_time(9)
    yield 'le:http_requests:increase5m{le="0.5"}', lambda at: 10 - first(887)(at)
    yield 'le:http_requests:increase5m{le="+Inf"}', all_the_time(10)
    for branch, jobs, bad, tests, bad_tests, connections, poor in (
        ("mitte", 1, 444, 1, 3, 1, 1775),
        ("nord|see", 2, 100, 10, 0, 3, 5325),
        ("alt", 0, 0, 0, 0, 0, 0),  # closed, and idle
    ):
        here = f'{{branch_name="{branch}"}}'
        yield f"branch_name:jobs:increase5m{here}", all_the_time(jobs)
        yield f"branch_name:jobs_bad:increase5m{here}", first(bad)
        yield f"branch_name:print_tests:increase5m{here}", at_ten(tests)
        yield f"branch_name:print_tests_bad:increase5m{here}", lambda at, n=bad_tests: at_ten(1)(at) * (at < n * DAY)  # type: ignore[misc]
        yield f"branch_name:connections:sum{here}", all_the_time(connections)
        yield f"branch_name:connections_bad:sum{here}", first(poor)


def firing() -> Iterator[tuple[str, Iterable[int]]]:
    """Alerts, and the seconds of the month at which they were evaluated."""
    burns = 'ALERTS{alertname="ReceiptBudgetBurn",severity="critical",branch_name="mitte",window="%s",alertstate="%s"}'
    yield burns % ("1h", "pending"), range(0, 3600, 60)
    # Thirty minutes by one window and thirty by another, of which ten are the same; ten minutes a week later.
    yield burns % ("1h", "firing"), [*range(3600, 5400, 60), *range(7 * DAY, 7 * DAY + 600, 60)]
    yield burns % ("6h", "firing"), range(4800, 6600, 60)
    # From before the month until ten minutes into it, four times a minute.
    late = 'ALERTS{alertname="HighP95Latency",severity="warning",alertstate="firing"}'
    yield late, range(-DAY, 615, 15)
    yield 'ALERTS{alertname="Watchdog",severity="none",alertstate="firing"}', range(0, 31 * DAY, 60)


def write(file: Path) -> None:
    with file.open("w") as out:
        for name, value in recorded():
            # What another month has had a part in is in neither of these.
            out.write(f"{name} 100000 {START}\n")
            out.writelines(f"{name} {value(at)} {START + at}\n" for at in THERE)
            out.write(f"{name} 100000 {START + 31 * DAY + STEP}\n")
        for name, times in firing():
            out.writelines(f"{name} 1 {START + at}\n" for at in times)
        out.write("# EOF\n")


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("month")
    write(folder / "in.om")
    backfill(folder / "in.om", folder / "data")
    return folder / "data"


@pytest.fixture(scope="module")
def prometheus(blocks: Path) -> Iterator[str]:
    with served(blocks, prefix="/prometheus") as url:
        yield url


@pytest.fixture
def report(prometheus: str, capsys: Capture) -> list[str]:
    assert main(["sla-report", "--prometheus", prometheus, "--month", MONTH]) == 1
    told = capsys.readouterr()
    assert told.err == ""
    return told.out.splitlines()


def section(report: list[str], title: str) -> list[str]:
    begin = report.index(f"## {title}") + 1
    ends = [number for number, line in enumerate(report) if line.startswith("## ") and number > begin]
    return [line for line in report[begin : [*ends, len(report)][0]] if line]


def test_the_agreements(report: list[str]) -> None:
    assert len(THERE) == 8875  # of 8928
    assert report[0] == "# SLA report: 2025-10-01 00:00 to 2025-11-01 00:00 UTC"
    assert section(report, "What was agreed")[2:] == [
        # 92 of 88,750: 99.90 would look kept.
        "| Requests answered (availability) | 99.9 % | 99.896 % | 88,750 | 92 | 104 % | **broken** |",
        # 3 of 341; the mean of 28 of 31 and of 310 of 310 would be 95.16 %.
        "| Test prints that succeeded | 95 % | 99.12 % | 341 | 3 | 18 % | kept |",
        # Exactly.
        "| Connections good or excellent | 80 % | 80.00 % | 35,500 | 7,100 | 100 % | kept |",
        # 0.25 + 0.25 × (84,312.5 - 79,875) / (87,863 - 79,875)
        "| 95th percentile of requests | ≤ 0.5 s | 0.389 s | 88,750 | 887 | 20 % | kept |",
    ]


def test_the_branches_worst_first(report: list[str]) -> None:
    assert section(report, "Branches")[3:] == [
        "| mitte | 8,875 | 444 | 94.997 % | 100.1 % | **broken** | 31 | 90.32 % | 80.00 % |",
        r"| nord\|see | 17,750 | 100 | 99.44 % | 11 % | kept | 310 | 100.00 % | 80.00 % |",
        "| alt | – | – | – | – | no data | – | – | – |",
    ]


def test_what_is_not_in_it(report: list[str]) -> None:
    said, *table = section(report, "What is not in it")
    assert said.startswith("4.42 of 744 hours: nothing was recorded")
    assert table[2:] == ["| 2025-10-10 00:00 | 2025-10-10 04:15 | 4.25 |"]  # ten minutes are not listed


def test_the_alerts(report: list[str]) -> None:
    assert section(report, "Alerts")[2:] == [
        "| ReceiptBudgetBurn | critical | mitte | 2 | 2025-10-01 01:00 | 60 |",
        "| HighP95Latency | warning | – | 0 | before | 10 |",
    ]


def test_the_numbers_are_those_of_the_dashboard(prometheus: str) -> None:
    asked, period = Prometheus(prometheus), Period.month(MONTH)
    measured = measure(asked, period)

    def drawn(objective: Objective, branch: str = "") -> float:
        expr = objective.failed(period.window).replace("$branch", ".*")
        found = asked.ask(expr, period.end)
        [value] = [each.samples[0][1] for each in found if each.labels.get("branch_name", "") == branch]
        return float(value)

    def failed(events: Events) -> float:
        return float(events.bad / events.total)

    assert failed(measured.requests) == pytest.approx(drawn(objectives.AVAILABILITY))
    assert failed(measured.slow) == pytest.approx(drawn(objectives.LATENCY))
    assert failed(measured.all_tests) == pytest.approx(drawn(objectives.TESTS))
    assert failed(measured.all_quality) == pytest.approx(drawn(objectives.QUALITY))
    for branch in ("mitte", "nord|see"):
        assert failed(measured.receipts[branch]) == pytest.approx(drawn(objectives.RECEIPTS, branch))
    for objective, events in (
        (objectives.AVAILABILITY, measured.requests),
        (objectives.LATENCY, measured.slow),
        (objectives.TESTS, measured.all_tests),
        (objectives.QUALITY, measured.all_quality),
        (objectives.RECEIPTS, measured.receipts["mitte"]),
    ):
        assert 1 - objective.target == pytest.approx(float(events.allowed))


def test_a_month_that_nothing_is_known_of_is_no_report(prometheus: str, capsys: Capture) -> None:
    assert main(["sla-report", "--prometheus", prometheus, "--month", "2025-06"]) == 3
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(
        f"printobs: Prometheus at {prometheus} has nothing of printobs from 2025-06-01 00:00 to "
    )
    assert told.err.count("\n") == 1


def test_a_question_that_prometheus_refuses_is_told_in_its_own_words(
    blocks: Path, tmp_path: Path, capsys: Capture
) -> None:
    # The other one has these locked.
    storage = shutil.copytree(blocks, tmp_path / "data", ignore=shutil.ignore_patterns("lock", "wal", "chunks_head"))
    with served(storage, "--query.max-samples=1000", prefix="/prometheus") as url:
        assert main(["sla-report", "--prometheus", url, "--month", MONTH]) == 3
    told = capsys.readouterr()
    assert told.out == ""
    assert "422: query processing would load too many samples into memory" in told.err
    assert told.err.count("\n") == 1


@pytest.mark.parametrize("text", [each.text for each in commands([OPERATIONS]) if each.text.startswith("printobs")])
def test_what_the_page_has_typed_is_understood(prometheus: str, tmp_path: Path, text: str) -> None:
    # The made-up month is long over, so that nothing is known of the present one.
    done = subprocess.run(
        ["bash", "-c", f'printobs() {{ "{sys.executable}" -m printobs "$@"; }}; {text}'],
        cwd=tmp_path,
        env={**os.environ, "PROMETHEUS_URL": prometheus},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert "has nothing of printobs from" in done.stderr
