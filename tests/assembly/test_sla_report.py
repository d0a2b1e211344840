"""printobs sla-report, of a Prometheus that answers by a table of ours, or badly. tests/stack has a real one."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from printobs.assembly import prometheus
from printobs.assembly.cli import main
from printobs.assembly.sla import AVAILABILITY, QUALITY, RECEIPTS, Events, Measured, Period
from tests.certificates import certificate

Capture = pytest.CaptureFixture[str]
Result = list[dict[str, Any]]
Values = dict[str, Any]

MONTH = "2025-10"
END = int(datetime(2025, 11, 1, tzinfo=UTC).timestamp())
FIVES = range(END - 31 * 86_400 + 300, END + 300, 300)

ALL, BAD, SLOW = (f"cluster:http_requests{which}:increase5m" for which in ("", "_bad", "_slow"))
JOBS, JOBS_BAD = "branch_name:jobs:increase5m", "branch_name:jobs_bad:increase5m"
PRINT_TESTS, PRINT_TESTS_BAD = "branch_name:print_tests:increase5m", "branch_name:print_tests_bad:increase5m"
LINKS, LINKS_BAD = "branch_name:connections:sum", "branch_name:connections_bad:sum"
P95, GAPS, BEGAN, MINUTES = "histogram_quantile(", "count(", "(max by", "count_over_time("

WELL: Values = {
    ALL: {"": "20000"},
    BAD: {"": "10"},
    SLOW: {"": "100"},
    P95: {"": "0.25"},
    JOBS: {"mitte": "1000", "wedding": "10"},
    JOBS_BAD: {"mitte": "20", "wedding": "0"},
    PRINT_TESTS: {"mitte": "100", "wedding": "10"},
    PRINT_TESTS_BAD: {"mitte": "1"},
    LINKS: {"mitte": "100"},
    LINKS_BAD: {"mitte": "10"},
    GAPS: [{"metric": {}, "values": [[at, "51"] for at in FIVES]}],
}


class Scripted:
    """A server that answers what is asked: ``reply`` gives status, headers and body, or sends by itself."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.values: Values = dict(WELL)
        self.warnings: list[str] = []
        self.asked: list[dict[str, str]] = []
        self.paths: set[str] = set()
        self.authorizations: set[str | None] = set()
        self.reply: Callable[[BaseHTTPRequestHandler], tuple[int, dict[str, str], bytes] | None] = self.answer
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                outer.asked.append({name: values[0] for name, values in parse_qs(url.query).items()})
                outer.paths.add(url.path)
                outer.authorizations.add(self.headers["Authorization"])
                with contextlib.suppress(OSError):
                    if (replied := outer.reply(self)) is not None:
                        self._send(*replied)

            def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        scheme = "http" if tls is None else "https"
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{scheme}://{self.host}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def answer(self, _: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        query = self.asked[-1]["query"]
        [name] = [each for each in (*SUMS, *WHOLE) if query.startswith(WHOLE.get(each, f"{SUM}{each}["))]
        found = self.values.get(name, {})
        if isinstance(found, dict):
            found = [{"metric": named(branch), "value": [END, value]} for branch, value in found.items()]
        answer = {"status": "success", "data": {"resultType": "any", "result": found}, "warnings": self.warnings}
        return 200, {}, json.dumps(answer).encode()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


SUM = "sum by (branch_name) (sum_over_time("
SUMS = (ALL, BAD, SLOW, JOBS, JOBS_BAD, PRINT_TESTS, PRINT_TESTS_BAD, LINKS, LINKS_BAD)
WHOLE = {each: each for each in (P95, GAPS, BEGAN, MINUTES)}


def named(branch: str) -> dict[str, str]:
    return {"branch_name": branch} if branch else {}


@pytest.fixture
def servers() -> Iterator[Callable[..., Scripted]]:
    made: list[Scripted] = []

    def make(*arguments: Any) -> Scripted:
        made.append(Scripted(*arguments))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def server(servers: Callable[..., Scripted]) -> Scripted:
    return servers()


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (prometheus.VARIABLE, "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def reported(server: Scripted, capsys: Capture, *arguments: str) -> tuple[int, str]:
    """The exit status, and the report."""
    code = main(["sla-report", "--prometheus", server.url, *(arguments or ("--month", MONTH))])
    told = capsys.readouterr()
    assert told.err == ""
    return code, told.out


def refused(url: str, capsys: Capture) -> str:
    """The line that says why there is no report."""
    assert main(["sla-report", "--prometheus", url, "--month", MONTH]) == 3
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("printobs: Prometheus at ")
    assert told.err.count("\n") == 1
    assert len(told.err) < 500
    return told.err


def row(report: str, name: str) -> list[str]:
    """The cells of the line that begins with ``name``."""
    [cells] = [found for line in report.splitlines() if (found := cells_of(line))[:1] == [name]]
    return cells


def cells_of(line: str) -> list[str]:
    return [each.strip() for each in re.split(r"(?<!\\)\|", line)[1:-1]]


# --------------------------------------------------------------------------------------------------------- the verdicts


def test_all_that_is_kept_ends_with_0(server: Scripted, capsys: Capture) -> None:
    code, report = reported(server, capsys)
    assert code == 0
    assert "broken**" not in report
    agreements = [row(report, name) for name in AGREEMENTS]
    assert agreements == [
        [AGREEMENTS[0], "99.9 %", "99.95 %", "20,000", "10", "50 %", "kept"],
        [AGREEMENTS[1], "95 %", "99.09 %", "110", "1", "18 %", "kept"],
        [AGREEMENTS[2], "80 %", "90.00 %", "100", "10", "50 %", "kept"],
        [AGREEMENTS[3], "≤ 0.5 s", "0.250 s", "20,000", "100", "10 %", "kept"],
    ]
    assert row(report, "mitte") == ["mitte", "1,000", "20", "98.00 %", "40 %", "kept", "100", "99.00 %", "90.00 %"]
    assert row(report, "wedding") == ["wedding", "10", "0", "100.00 %", "0 %", "kept", "10", "100.00 %", "–"]
    assert "Nothing: all of the 744 hours were recorded." in report
    assert "None fired." in report


AGREEMENTS = [
    "Requests answered (availability)",
    "Test prints that succeeded",
    "Connections good or excellent",
    "95th percentile of requests",
]


@pytest.mark.parametrize(
    ("name", "broken", "values"),
    [
        (AGREEMENTS[0], "99.895 %", {BAD: {"": "21"}}),
        (AGREEMENTS[1], "94.55 %", {PRINT_TESTS_BAD: {"mitte": "6"}}),
        (AGREEMENTS[2], "79.00 %", {LINKS_BAD: {"mitte": "21"}}),
        (AGREEMENTS[3], "0.50000001 s", {P95: {"": "0.50000001"}}),
        ("wedding", "90.00 %", {JOBS_BAD: {"wedding": "1"}}),
    ],
)
def test_one_that_is_broken_ends_with_1(
    server: Scripted, capsys: Capture, name: str, broken: str, values: Values
) -> None:
    server.values |= values
    code, report = reported(server, capsys)
    assert code == 1
    assert report.count("**broken**") == 1
    assert {broken, "**broken**"} <= set(row(report, name))


@pytest.mark.parametrize(
    ("values", "spent"),
    [({BAD: {"": "20"}}, "100 %"), ({PRINT_TESTS: {"a": "60"}, PRINT_TESTS_BAD: {"a": "3"}}, "100 %")],
)
def test_what_is_just_kept_is_kept(server: Scripted, capsys: Capture, values: Values, spent: str) -> None:
    server.values |= values
    code, report = reported(server, capsys)
    assert code == 0
    assert spent in report


@pytest.mark.parametrize(
    ("total", "bad", "allowed", "good", "spent"),
    [
        (1000, 1, AVAILABILITY, "99.90", "100"),
        (100_000, 104, AVAILABILITY, "99.896", "104"),
        (1_000_000, 1001, AVAILABILITY, "99.8999", "100.1"),
        (1_000_000, 999, AVAILABILITY, "99.9001", "99.9"),
        (10_000_000, 1, AVAILABILITY, "99.99999", "0.01"),  # neither all, nor nothing
        (20_000, 1001, RECEIPTS, "94.995", "100.1"),
        (3, 1, RECEIPTS, "66.67", "667"),
        (7, 0, QUALITY, "100.00", "0"),
        (7, 7, QUALITY, "0.00", "500"),
    ],
)
def test_a_number_is_not_rounded_across_its_limit(
    total: int, bad: int, allowed: Decimal, good: str, spent: str
) -> None:
    events = Events(Decimal(total), Decimal(bad), allowed)
    assert (events.good, events.spent) == (f"{good} %", f"{spent} %")
    assert events.kept is (bad * 1000 <= total * int(allowed * 1000))


def test_the_group_is_the_sum_of_the_bad_by_that_of_all(server: Scripted, capsys: Capture) -> None:
    # The mean of 6 % and 0 % would be 3 %, and kept.
    server.values |= {PRINT_TESTS: {"mitte": "1000", "wedding": "10"}, PRINT_TESTS_BAD: {"mitte": "60"}}
    code, report = reported(server, capsys)
    assert code == 1
    assert row(report, AGREEMENTS[1])[2:] == ["94.06 %", "1,010", "60", "119 %", "**broken**"]


def test_the_worst_branch_is_the_first(server: Scripted, capsys: Capture) -> None:
    server.values |= {
        JOBS: {"a": "0", "b": "100", "c": "1000", "d": "10"},
        JOBS_BAD: {"b": "1", "c": "30", "d": "5"},
        PRINT_TESTS: {"e": "1"},
        LINKS: {},
    }
    _, report = reported(server, capsys)
    branches = [cells_of(line)[0] for line in report.splitlines() if re.match(r"\| [a-e] ", line)]
    assert branches == ["d", "c", "b", "a", "e"]


# ----------------------------------------------------------------------------------------------------------- no data


@pytest.mark.parametrize("number", ["NaN", "+Inf", "-Inf"])
@pytest.mark.parametrize(
    ("name", "values"),
    [
        (AGREEMENTS[0], lambda n: {BAD: {"": n}}),
        (AGREEMENTS[0], lambda n: {ALL: {"": n}}),
        (AGREEMENTS[1], lambda n: {PRINT_TESTS_BAD: {"mitte": n}}),  # of one branch, and so of the group
        (AGREEMENTS[2], lambda n: {LINKS: {"mitte": n}}),
        (AGREEMENTS[3], lambda n: {P95: {"": n}}),
        ("mitte", lambda n: {JOBS_BAD: {"mitte": n}}),
        ("mitte", lambda n: {JOBS: {"mitte": n}}),
    ],
)
def test_what_is_no_number_is_no_data(
    server: Scripted, capsys: Capture, number: str, name: str, values: Callable[[str], Values]
) -> None:
    server.values |= values(number)
    code, report = reported(server, capsys)
    assert code == 0
    assert {"no data", "–"} <= set(row(report, name))
    assert not re.search(r"nan|inf\b", report, re.IGNORECASE)


def test_nothing_that_happened_is_no_data(server: Scripted, capsys: Capture) -> None:
    server.values = {ALL: {"": "0"}, BAD: {"": "0"}, JOBS: {"alt": "0"}, GAPS: WELL[GAPS]}
    code, report = reported(server, capsys)
    assert code == 0
    assert [row(report, name)[-1] for name in AGREEMENTS] == ["no data"] * 4
    assert row(report, "alt") == ["alt", "–", "–", "–", "–", "no data", "–", "–", "–"]
    assert "100.00 %" not in report


def test_without_any_series_there_is_no_report(server: Scripted, capsys: Capture) -> None:
    server.values = {}
    assert "has nothing of printobs from 2025-10-01 00:00 to 2025-11-01 00:00 UTC" in refused(server.url, capsys)


def test_of_a_service_alone_there_are_no_branches(server: Scripted, capsys: Capture) -> None:
    server.values = {name: WELL[name] for name in (ALL, BAD, SLOW, P95, GAPS)}
    code, report = reported(server, capsys)
    assert code == 0
    assert "No branch has recorded anything." in report


# -------------------------------------------------------------------------------------------------- gaps and alerts


def test_gaps_at_both_ends_and_between_are_told(server: Scripted, capsys: Capture) -> None:
    away = {*FIVES[:12], *FIVES[100:103], *FIVES[200:204], *FIVES[300:301], *FIVES[-24:]}
    server.values[GAPS] = [{"metric": {}, "values": [[at, "1"] for at in FIVES if at not in away]}]
    _, report = reported(server, capsys)
    assert "3.67 of 744 hours: nothing was recorded" in report  # 44 times five minutes
    assert [cells_of(line) for line in report.splitlines() if re.match(r"\| 20", line)] == [
        ["2025-10-01 00:00", "2025-10-01 01:00", "1"],
        ["2025-10-01 16:40", "2025-10-01 17:00", "0.33"],  # a quarter of an hour is not listed
        ["2025-10-31 22:00", "2025-11-01 00:00", "2"],
    ]


def test_without_one_recorded_five_minutes_all_of_it_is_a_gap(server: Scripted, capsys: Capture) -> None:
    server.values[GAPS] = []
    _, report = reported(server, capsys)
    assert "744 of 744 hours: nothing was recorded" in report


def test_the_five_minutes_that_are_not_over_are_no_gap(server: Scripted, capsys: Capture) -> None:
    until = int(time.time()) // 60 * 60
    server.values[GAPS] = [
        {"metric": {}, "values": [[at, "1"] for at in range((until - 86_400) // 300 * 300 + 300, until + 1, 300)]}
    ]
    _, report = reported(server, capsys, "--days", "1")
    assert "Nothing: all of the 24 hours were recorded." in report


def fired(name: str, severity: str, branch: str, minutes: int, *began: int) -> tuple[Result, Result]:
    labels = {"alertname": name, "severity": severity, **named(branch)}
    beginnings = [{"metric": labels, "values": [[at, "1"] for at in began]}] if began else []
    return [{"metric": labels, "value": [END, str(minutes)]}], beginnings


def test_alerts_are_told_critical_ones_first(server: Scripted, capsys: Capture) -> None:
    alerts = [
        fired("HighP95Latency", "warning", "", 2000, END - 7200, END - 3600),
        fired("BranchSilent", "critical", "mitte", 5, END - 86_400),
        fired("ReceiptBudgetBurn", "critical", "mitte", 40),
    ]
    server.values[MINUTES] = [each for minutes, _ in alerts for each in minutes]
    server.values[BEGAN] = [each for _, began in alerts for each in began]
    code, report = reported(server, capsys)
    assert code == 0  # an alert is no broken agreement
    table = report[report.index("## Alerts") : report.index("## How")].splitlines()[4:-1]
    assert [cells_of(line) for line in table] == [
        ["ReceiptBudgetBurn", "critical", "mitte", "0", "before", "40"],
        ["BranchSilent", "critical", "mitte", "1", "2025-10-31 00:00", "5"],
        ["HighP95Latency", "warning", "–", "2", "2025-10-31 22:00", "2,000"],
    ]


# -------------------------------------------------------------------------------------------------- hostile words


@pytest.mark.parametrize(
    ("branch", "shown"),
    [
        ("nord|see", r"nord\|see"),
        ("a\nb\r\n\tc", "a b c"),
        ("a | kept |\n| b", r"a \| kept \| \| b"),
        ("\\|", r"\\\|"),
        ("<script>x</script>", r"\<script\>x\</script\>"),
        ("[x](http://y) `z` *w* _v_", r"\[x\](http://y) \`z\` \*w\* \_v\_"),
        ("\x1b[2J\u202egnp\u2028\x00", r"\[2J gnp"),
        ("k\N{LATIN SMALL LETTER U WITH DIAERESIS}che", "k\N{LATIN SMALL LETTER U WITH DIAERESIS}che"),
        ("x" * 1000, "x" * 79 + "…"),
        (" ", "–"),
    ],
)
def test_a_branchs_name_breaks_no_table(server: Scripted, capsys: Capture, branch: str, shown: str) -> None:
    server.values |= {JOBS: {branch: "10"}, JOBS_BAD: {}, PRINT_TESTS: {}, PRINT_TESTS_BAD: {}, LINKS: {}}
    server.values[MINUTES], server.values[BEGAN] = fired("BranchSilent", "critical", branch, 1, END - 60)
    code, report = reported(server, capsys)
    assert code == 0
    assert row(report, shown) == [shown, "10", "0", "100.00 %", "0 %", "kept", "–", "–", "–"]
    assert row(report, "BranchSilent")[2] == shown
    assert all(each.isprintable() for each in report.replace("\n", ""))


def test_a_console_that_cannot_show_it_does_not_break_it(server: Scripted) -> None:
    done = started(server, PYTHONIOENCODING="ascii", PYTHONUTF8="0").communicate(timeout=30)
    assert "\\u2264 0.5 s" in done[0]
    assert done[1] == ""


def test_what_prometheus_says_of_its_own_answer_is_in_it_once(server: Scripted, capsys: Capture) -> None:
    server.warnings = ["one store of two\ndid not answer"]
    _, report = reported(server, capsys)
    assert report.count("Prometheus warns: one store of two did not answer\n") == 1


# ---------------------------------------------------------------------------------------------------------- the time


def test_a_month_is_that_of_the_calendar_in_utc(server: Scripted, capsys: Capture) -> None:
    _, report = reported(server, capsys, "--month", "2024-02")
    assert report.startswith("# SLA report: 2024-02-01 00:00 to 2024-03-01 00:00 UTC\n")
    assert {asked["time"] for asked in server.asked} == {str(int(datetime(2024, 3, 1, tzinfo=UTC).timestamp()))}
    windows = {found for asked in server.asked for found in re.findall(r"\[(\d+s)", asked["query"])}
    assert windows == {f"{29 * 86_400}s"}
    assert "not over" not in report


def test_a_month_that_is_not_over_is_said_to_be_and_ends_now(server: Scripted, capsys: Capture) -> None:
    now = datetime.now(UTC)
    _, report = reported(server, capsys, "--month", f"{now:%Y-%m}")
    assert f"**The month is not over**: this is {now:%B %Y} until now." in report
    assert report.startswith(f"# SLA report: {now:%Y-%m}-01 00:00 to ")
    assert time.time() - 120 < float(server.asked[0]["time"]) <= time.time()


@pytest.mark.parametrize(("arguments", "days"), [((), 30), (("--days", "7"), 7)])
def test_without_a_month_it_is_the_days_that_end_now(
    server: Scripted, capsys: Capture, arguments: tuple[str, ...], days: int
) -> None:
    assert main(["sla-report", "--prometheus", server.url, *arguments]) == 0
    assert "not over" not in capsys.readouterr().out
    assert time.time() - 120 < float(server.asked[0]["time"]) <= time.time()
    assert f"[{days * 86_400}s]" in server.asked[0]["query"]


def test_the_end_of_a_year_is_an_end_of_a_month() -> None:
    period = Period.month("2024-12")
    assert period.end - period.start == timedelta(days=31)
    assert str(period) == "2024-12-01 00:00 to 2025-01-01 00:00 UTC"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--month", "October"), "--month is as 2026-10"),
        (("--month", "2025-13"), "--month is as 2026-10"),
        (("--month", ""), "--month is as 2026-10"),
        (("--month", "9999-12"), "9999-12 has not begun"),
        (("--days", "0"), "--days is from 1 to 366"),
        (("--days", "367"), "--days is from 1 to 366"),
        (("--days", "many"), "invalid int value"),
        (("--days", "7", "--month", MONTH), "not allowed with"),
        *(
            (("--prometheus", url), "Prometheus's address is as http://127.0.0.1:9090")
            for url in (
                *("127.0.0.1:9090", "ftp://x", "file:///etc/passwd", "http://", "http://x:y", "http://x:0"),
                *("http://x:65536", "http://x?query=up", "http://x#y", "http://[::1", "http://a b", "http://x/@y"),
            )
        ),
    ],
)
def test_what_cannot_be_meant_is_usage(capsys: Capture, arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["sla-report", *arguments])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_help_documents_the_exit_status_and_the_time(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["sla-report", "--help"])
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "0 nothing is broken (what has no data is said), 1 something is, 2 usage, 3 Prometheus cannot be" in text
    assert "130 interrupted" in text
    assert "Each of its fourteen questions has 30 s at most" in text
    assert "PROMETHEUS_URL" in text


def test_it_asks_as_many_questions_as_it_says(server: Scripted, capsys: Capture) -> None:
    reported(server, capsys)
    assert len(server.asked) == 14


# ----------------------------------------------------------------------------------------------------- where it is


def test_its_address_may_have_a_path_and_may_be_in_the_environment(
    server: Scripted, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_URL", f"{server.url}/prometheus/")
    assert main(["sla-report"]) == 0
    assert f"from Prometheus at {server.url}/prometheus." in capsys.readouterr().out
    assert server.paths == {"/prometheus/api/v1/query"}


def test_name_and_password_are_sent_and_never_told(server: Scripted, capsys: Capture) -> None:
    url = f"http://an%40a:s3cr%2Ft@{server.host}"
    assert main(["sla-report", "--prometheus", url]) == 0
    assert server.authorizations == {f"Basic {base64.b64encode(b'an@a:s3cr/t').decode()}"}
    told = capsys.readouterr()
    assert f"from Prometheus at {server.url}." in told.out
    server.reply = lambda _: (401, {}, b"Unauthorized")
    error = refused(url, capsys)
    assert f"{server.url} cannot be asked: 401: Unauthorized" in error
    assert "s3cr" not in told.out + told.err + error


@pytest.mark.parametrize(
    "arguments",
    [
        ("--prometheus", "http://ana:s3cret@"),
        ("--prometheus", "http://ana:s3cret@x:port"),
        ("--prometheus", "http://ana:s3cret@x?y"),
        ("--prometheus", "http://ana:s3cret#1@x"),
        ("--prometheus", "http://ana:9/s3cret@x"),
        ("--prometheus", "http://ana:s3cret@x\N{ACCOUNT OF}"),
        ("http://ana:s3cret@x",),
        ("--days", "http://ana:s3cret@x"),
    ],
)
def test_a_password_is_not_repeated_to_who_mistypes(capsys: Capture, arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["sla-report", *arguments])
    assert ended.value.code == 2
    assert "s3cret" not in capsys.readouterr().err


def test_a_password_does_not_follow_a_redirection(servers: Callable[..., Scripted], capsys: Capture) -> None:
    server, elsewhere = servers(), servers()
    elsewhere.reply = lambda _: (200, {}, b"<html>log in</html>")
    server.reply = lambda handler: (302, {"Location": f"{elsewhere.url}/login"}, b"")
    assert "a web page" in refused(f"http://ana:s3cret@{server.host}", capsys)
    assert elsewhere.authorizations == {None}


def test_it_is_asked_over_tls(servers: Callable[..., Scripted], capsys: Capture, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    server = servers(tls)
    assert "CERTIFICATE_VERIFY_FAILED" in refused(server.url, capsys)
    out, err = started(server, SSL_CERT_FILE=str(cert)).communicate(timeout=30)
    assert err == ""
    assert row(out, AGREEMENTS[0])[-1] == "kept"


# --------------------------------------------------------------------------------------------------- what goes wrong


def test_nobody_there(capsys: Capture) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        error = refused(f"http://127.0.0.1:{closed.getsockname()[1]}", capsys)
    assert "cannot be asked: Connection refused: is it running? --prometheus or PROMETHEUS_URL names" in error
    assert "cannot be asked" in refused("http://prometheus.invalid", capsys)


def with_body(body: bytes, status: int = 200) -> Callable[[BaseHTTPRequestHandler], tuple[int, dict[str, str], bytes]]:
    return lambda _: (status, {}, body)


def refusing(error: str) -> bytes:
    return json.dumps({"status": "error", "errorType": "execution", "error": error}).encode()


SAMPLES: list[Any] = [
    *([], [1], [1, "many"], [1, None], [1, []]),
    *(["now", "1"], [None, "1"], [1e300, "1"], [float("nan"), "1"]),
]
RESULTS: list[Any] = [
    *(None, 7, [7], [[1, "2"]], [{}], [{"metric": {}}], [{"metric": [], "value": [1, "1"]}]),
    [{"metric": {}, "values": []}],
    *([{"metric": {}, "value": sample}] for sample in SAMPLES),
]
ODD: list[Any] = [
    *([], None, 7, {}, {"status": "success"}, {"status": "error"}, {"status": "success", "data": []}),
    *({"status": "success", "data": {"result": result}} for result in RESULTS),
]


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (503, b"Service Unavailable", "503: Service Unavailable: it is starting or overloaded; try again in a minute"),
        (503, b"<html>down</html>", "503: a web page: it is starting"),
        (503, refusing("query timed out"), "503: query timed out: see its log, or ask for fewer days"),
        (422, refusing("too\nmany\tsamples " + "x" * 1000), "422: too many samples xxx"),
        (403, b"no", "403: no: name and password belong before its host"),
        (404, b"", "404, and no whole answer of Prometheus: nothing"),
        (200, b"<!DOCTYPE html>", "200, and no whole answer of Prometheus: a web page"),
        (200, b"\xff\xfe\x1b[2J", "200, and no whole answer"),
        (200, b"[" * 100_000, "200, and no whole answer"),
        (200, b'{"status":"success","data":{"result":[', "200, and no whole answer"),
        *((200, json.dumps(answer).encode(), "200, and no whole answer") for answer in ODD),
    ],
)
def test_an_answer_that_is_none_is_said_in_a_line(
    server: Scripted, capsys: Capture, status: int, body: bytes, said: str
) -> None:
    server.reply = with_body(body, status)
    assert said in refused(server.url, capsys)
    assert len(server.asked) == 1


def test_a_later_question_may_fail_as_the_first(server: Scripted, capsys: Capture) -> None:
    server.reply = lambda handler: with_body(b"")(handler) if len(server.asked) == 14 else server.answer(handler)
    assert "no whole answer" in refused(server.url, capsys)


@pytest.mark.parametrize("chunked", [False, True])
def test_an_answer_that_ends_in_the_middle(server: Scripted, capsys: Capture, chunked: bool) -> None:
    whole = json.dumps({"status": "success", "data": {"result": []}}).encode()

    def break_off(handler: BaseHTTPRequestHandler) -> None:
        handler.protocol_version = "HTTP/1.1"
        handler.send_response(200)
        if chunked:
            handler.send_header("Transfer-Encoding", "chunked")
        else:
            handler.send_header("Content-Length", str(len(whole)))
        handler.end_headers()
        handler.wfile.write((b"%x\r\n" % len(whole) if chunked else b"") + whole[:-5])
        handler.close_connection = True

    server.reply = break_off
    assert "cannot be asked" in refused(server.url, capsys)


def test_what_is_no_http_at_all(capsys: Capture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"220 mail.example ESMTP\r\n")

        thread = threading.Thread(target=talk, daemon=True)
        thread.start()
        assert "220 mail.example" in refused(f"http://127.0.0.1:{listener.getsockname()[1]}", capsys)
        thread.join(5)


@pytest.mark.parametrize("piece", [b"", b"x"])
def test_one_that_is_silent_or_never_comes_to_an_end_is_given_up(
    server: Scripted, capsys: Capture, monkeypatch: pytest.MonkeyPatch, piece: bytes
) -> None:
    monkeypatch.setattr(prometheus, "ANSWER", 0.5)
    over = threading.Event()

    def go_on(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not over.wait(0.05):
            handler.wfile.write(piece)

    server.reply = go_on
    began = time.monotonic()
    assert "no answer within 0.5 s: try again, or ask for fewer days" in refused(server.url, capsys)
    assert time.monotonic() - began < 5
    over.set()


def test_an_answer_without_measure_is_not_kept(
    server: Scripted, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus, "MAX_ANSWER", 1 << 20)
    server.reply = with_body(b" " * (3 << 20))
    assert "it answers with more than 1 MiB: ask for fewer days" in refused(server.url, capsys)


def started(server: Scripted, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "printobs", "sla-report", "--prometheus", server.url, "--month", MONTH],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_an_interrupted_run_ends_quietly(server: Scripted) -> None:
    asked, over = threading.Event(), threading.Event()

    def be_silent(_: BaseHTTPRequestHandler) -> None:
        asked.set()
        over.wait(30)

    server.reply = be_silent
    run = started(server)
    assert asked.wait(20)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=20)
    over.set()
    assert (run.returncode, out, err) == (130, "", "")


def test_a_report_of_nothing_but_no_data_is_kept() -> None:
    none = Events(Decimal(0), Decimal(0), AVAILABILITY)
    measured = Measured(none, none, Decimal("NaN"), {}, {}, {}, [], [])
    assert (measured.fast, measured.exit_code) == (None, 0)
