"""Runbooks, operations and troubleshooting: each says what the rules say, and asks only for what there is."""

from __future__ import annotations

import functools
import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
import yaml
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from starlette.applications import Starlette
from starlette.routing import Match

from examples.service.app import build
from examples.service.database import Database
from examples.service.settings import Settings
from tests.rules.promtool import rules
from tests.test_dashboards import emitted, names

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
RUNBOOKS = DOCS / "runbooks"
PAGES = [*sorted(RUNBOOKS.glob("*.md")), DOCS / "operations.md", DOCS / "troubleshooting.md"]
ALERTMANAGER = ROOT / "collector" / "alertmanager" / "alertmanager.yml"

SECTIONS = [
    "What it means",
    "What the guest notices",
    "Three first checks",
    "Likely causes",
    "Fix",
    "When to escalate",
]
RELATIONS = ["Comes with", "Silences", "Silenced by"]
LINES = range(25, 46)

# Of the backend's own parts: what their programs emit.
FAMILIES = re.compile(r"up|ALERTS|(otelcol|prometheus|alertmanager|system|traces)_\w+")

SERVICE, PROMETHEUS, ALERTS, JAEGER, GRAFANA = (f"127.0.0.1:{port}" for port in (8080, 9090, 9093, 16686, 3000))
PATHS = {
    PROMETHEUS: {
        *(f"/api/v1/{name}" for name in ("query", "targets", "rules", "alerts", "alertmanagers", "status/tsdb")),
    },
    ALERTS: {"/-/ready", "/api/v2/alerts", "/api/v2/silences"},
    JAEGER: {"/api/services", "/api/traces"},
    GRAFANA: {"/api/health"},
}

_UNITS = {"s": "s", "m": "min", "h": "h", "d": "days"}
_DURATION = re.compile(r"(\d+)([smhd])")
_COMPARED = re.compile(r"(==|>=|<=|>|<)\s*(-?[\d.]+(?:\s*\*\s*[\d.]+)*)")


class Command(NamedTuple):
    """What a page has typed: the page, its section (empty outside of a runbook's), and the text for a shell."""

    page: Path
    section: str
    text: str


# ------------------------------------------------------------------------------------------------- what the pages say


def sections(page: Path) -> dict[str, str]:
    """The parts of a runbook, by the bold words that they begin with; the line of severity is ``""``."""
    parts = re.split(r"^\*\*([A-Z][\w ]+)\.\*\*", page.read_text(), flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def related(page: Path) -> dict[str, str]:
    """The lines at a runbook's end: what comes with it, and what silences what."""
    found = re.findall(r"^- \*\*([\w ]+)\*\*(.*(?:\n  .*)*)", page.read_text(), re.MULTILINE)
    return dict(found)


def blocks(text: str) -> Iterator[str]:
    """Indented blocks, in lists too: after an empty line, by four spaces or more."""
    for found in re.finditer(r"\n[ ]*\n((?:[ ]{4,}\S.*(?:\n|\Z))+)", text):
        lines = found[1].splitlines()
        indent = len(lines[0]) - len(lines[0].lstrip())
        yield "\n".join(line[indent:] for line in lines)


def typed(block: str) -> Iterator[str]:
    """The commands of a block: a line each, but for what is continued or quoted over several."""
    text = ""
    for line in block.splitlines():
        text = f"{text}\n{line}" if text else line
        try:
            shlex.split(text, comments=True)
        except ValueError:  # a quotation is open
            continue
        if not text.endswith("\\"):
            yield text
            text = ""
    assert not text, f"this has no end: {text}"


def commands(pages: list[Path] | None = None) -> Iterator[Command]:
    """Every command of the pages, in their order. ``$TOKEN``, ``$JOB`` and the like are for whoever types them."""
    for page in PAGES if pages is None else pages:
        runbook = page.parent == RUNBOOKS and page.stem != "README"
        for section, text in (sections(page) if runbook else {"": page.read_text()}).items():
            for block in blocks(text):
                for command in typed(block):
                    yield Command(page, section, command)


def checks() -> Iterator[Command]:
    """The first checks of all runbooks: they change nothing, so that they can be typed anywhere."""
    for command in commands(sorted(RUNBOOKS.glob("*.md"))):
        if command.section == "Three first checks":
            yield command


def arguments(command: Command) -> list[str]:
    return shlex.split(command.text.replace("\\\n", " "), comments=True)


def urls(command: Command) -> Iterator[tuple[str, str, str]]:
    """Method, host and path of what a ``curl`` asks."""
    words = arguments(command)
    if "curl" not in words:
        return
    posts = any(word in ("-X", "-d", "--data") for word in words)
    for word in words:
        if word.startswith("http://"):
            url = urlsplit(word)
            yield "POST" if posts else "GET", url.netloc, url.path


def queries(command: Command) -> Iterator[str]:
    words = arguments(command)
    for option, value in itertools.pairwise(words):
        if option == "--data-urlencode" and value.startswith("query="):
            yield value.removeprefix("query=")


# ------------------------------------------------------------------------------------------------- what the rules say


@functools.cache
def alerts() -> dict[str, list[dict[str, Any]]]:
    """The rules of each alert, by its name."""
    found: dict[str, list[dict[str, Any]]] = {}
    for rule in rules():
        if "alert" in rule:
            found.setdefault(rule["alert"], []).append(rule)
    return found


def said(duration: str) -> str:
    """A duration of Prometheus as the pages write it."""
    match = _DURATION.fullmatch(duration)
    assert match, duration
    unit = _UNITS[match[2]]
    return f"{match[1]} {'day' if unit == 'days' and match[1] == '1' else unit}"


def numbers(rule: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """What a page has to say of a rule's condition: for each number the ways in which it may be written."""
    expr = re.sub(r"\{[^}]*\}", "", re.sub(r'"[^"]*"', "", rule["expr"]))
    for operator, value in _COMPARED.findall(expr):
        factors = [abs(float(each)) for each in value.split("*")]
        product = functools.reduce(lambda a, b: a * b, factors)
        if product > 1 or (product == 1 and operator == ">") or 0 < product < 1:
            shares = (f"{100 * product:.4g} %",) if product < 1 else ()
            # Of 2 * 1024 * 1024 * 1024 it is 2 that is said, of seconds the number alone.
            yield (*shares, f"{product:g}", *(f"{factors[0]:g}" for _ in factors[1:] if product >= 1024))
    ranges = re.findall(r"\[(\w+)(?::\w+)?\]", expr) + re.findall(r"offset (\w+)", expr)
    for duration in [*ranges, *(rule[key] for key in ("for", "keep_firing_for") if key in rule)]:
        yield (said(duration),)


def has(text: str, ways: tuple[str, ...]) -> bool:
    return any(re.search(rf"(?<![\w.,]){re.escape(way)}(?![\w%]|[.,]\d)", text) for way in ways)


def told(name: str) -> tuple[str, str]:
    """Severities and duration of an alert as the pages write them."""
    severities = " or ".join(dict.fromkeys(rule["labels"]["severity"] for rule in alerts()[name]))
    [wait] = {rule.get("for", "") for rule in alerts()[name]}
    return severities, said(wait) if wait else "at once"


@functools.cache
def silenced() -> set[tuple[str, str]]:
    """Which alert silences which, by the inhibit rules."""
    found = set()
    for rule in yaml.safe_load(ALERTMANAGER.read_text())["inhibit_rules"]:
        sources, targets = (_named(rule[side]) for side in ("source_matchers", "target_matchers"))
        same = "alertname" in rule.get("equal", ())
        found |= {(one, other) for one in sources for other in targets if not same or one == other}
    return found


def _named(matchers: list[str]) -> set[str]:
    [pattern] = [found[1] for each in matchers if (found := re.fullmatch(r'alertname =~? "(.*)"', each))]
    return {name for name in alerts() if re.fullmatch(pattern, name)}


# ---------------------------------------------------------------------------------------------------------- the tests


def test_every_alert_has_its_runbook_and_every_runbook_its_alert() -> None:
    assert {page.stem for page in RUNBOOKS.glob("*.md")} == {*alerts(), "README"}


@pytest.fixture(params=sorted(alerts()))
def runbook(request: pytest.FixtureRequest) -> Path:
    page: Path = RUNBOOKS / f"{request.param}.md"
    return page


def test_a_runbook_has_its_sections_in_order_and_is_short(runbook: Path) -> None:
    text = runbook.read_text()
    assert text.startswith(f"# {runbook.stem}\n\n**")
    assert list(sections(runbook)) == ["", *SECTIONS]
    assert all(part.strip() for part in sections(runbook).values())
    assert list(related(runbook)) == RELATIONS
    assert text.count("\n") in LINES


def test_its_severity_and_its_duration_are_those_of_the_rule(runbook: Path) -> None:
    line = sections(runbook)[""].splitlines()[2]
    severity, wait = told(runbook.stem)
    assert " or ".join(re.findall(r"\*\*(\w+)\*\*", line)) == severity
    assert re.findall(r"\bat once\b|\bafter (\d+ \w+)", line) == ["" if wait == "at once" else wait]
    assert re.search(r"\b[Aa]ct within \d+ (minutes|hours?)|Nothing has to be done", line), "how soon?"


def test_its_numbers_are_those_of_the_rule(runbook: Path) -> None:
    means = sections(runbook)["What it means"]
    rows = [line for line in means.splitlines() if line.startswith("|")]
    for rule in alerts()[runbook.stem]:
        # Where there is a table, a rule is a row of it.
        if not rows:
            missing = [ways for ways in numbers(rule) if not has(means, ways)]
            assert not missing, rule["expr"]
            continue
        wanted = [(rule["labels"]["severity"],), *numbers(rule)]
        kept = (said(rule["keep_firing_for"]),)
        assert has(means, kept)
        found = [row for row in rows if all(has(row, ways) for ways in wanted if ways != kept)]
        assert len(found) == 1, wanted


def test_it_has_three_first_checks_that_change_nothing(runbook: Path) -> None:
    text = sections(runbook)["Three first checks"]
    assert len(list(blocks(text))) == 3
    for command in commands([runbook]):
        if command.section == "Three first checks":
            words = arguments(command)
            assert words[0] in ("curl", "make", "du"), command
            assert words[0] != "make" or words == ["make", "doctor"]
            assert all(method == "GET" for method, _, _ in urls(command)), command


def test_what_it_silences_is_what_alertmanager_silences(runbook: Path) -> None:
    name, lines = runbook.stem, related(runbook)
    words = {side: set(re.findall(r"\w+", lines[side])) & alerts().keys() for side in lines}
    assert words["Silences"] == {other for one, other in silenced() if one == name}
    assert words["Silenced by"] == {one for one, other in silenced() if other == name}


def test_the_table_of_all_is_that_of_the_pages() -> None:
    rows = re.findall(
        r"^\| \[(\w+)\]\(\1\.md\) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|", (RUNBOOKS / "README.md").read_text(), re.M
    )
    assert sorted(row[0] for row in rows) == sorted(alerts())
    for name, severity, wait, soon in rows:
        line = sections(RUNBOOKS / f"{name}.md")[""]
        assert (severity, wait) == told(name), name
        assert re.findall(r"[Aa]ct within (\d+ \w+)", line)[:1] == ([] if soon == "–" else [soon]), name


@pytest.fixture(params=PAGES, ids=lambda page: page.stem)
def page(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def test_a_query_asks_only_for_what_there_is(page: Path) -> None:
    known = {*emitted(), *(rule["record"] for rule in rules() if "record" in rule)}
    for command in commands([page]):
        for query in queries(command):
            asked = names(query)
            unknown = {name for name in asked if name not in known and not FAMILIES.fullmatch(name)}
            assert not unknown, (query, unknown)


def test_prometheus_is_asked_something(page: Path) -> None:
    for command in commands([page]):
        asked = [path for _, host, path in urls(command) if host == PROMETHEUS and path == "/api/v1/query"]
        assert len(asked) == len(list(queries(command))), command


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starlette]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVICE_JWT_SECRET", "x" * 32)
        patch.setenv("SERVICE_DATABASE", str(tmp_path_factory.mktemp("service") / "service.db"))
        provider = MeterProvider()
        patch.setattr(metrics, "get_meter_provider", lambda: provider)  # its metrics endpoint asks for one
        settings = Settings.from_environment()
        database = Database(settings)
        try:
            yield build(settings, database)
        finally:
            database.close()
            provider.shutdown()


def test_every_path_that_is_asked_is_there(page: Path, service: Starlette) -> None:
    for command in commands([page]):
        for method, host, path in urls(command):
            if host == SERVICE:
                scope = {"type": "http", "method": method, "path": path, "headers": []}
                assert any(route.matches(scope)[0] is Match.FULL for route in service.routes), (method, path)
            else:
                assert path in PATHS[host], (host, path)


def test_every_command_is_one_that_can_be_typed(page: Path) -> None:
    """Commands are in blocks, complete, without a word in angle brackets; make's targets and Python's modules exist."""
    text = page.read_text()
    assert not re.search(r"`curl [^`]*(127\.0\.0\.1:(?!3000)|--oauth2)", text), "in a block it is tried"
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets
    for command in commands([page]):
        words = arguments(command)
        assert not re.search(r"<[a-z]+>", command.text), command
        if "make" in words:
            [target] = [word for word in words[words.index("make") + 1 :] if "=" not in word]
            assert target in targets, command
        for module in re.findall(r"-m ((?:examples|collector)[\w.]*)", command.text):
            path = ROOT.joinpath(*module.split("."))
            assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), command


def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in link:
            continue
        file, _, fragment = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.is_file(), link
        if fragment:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert fragment in {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}, link
