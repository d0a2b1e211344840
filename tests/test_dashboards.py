"""The committed dashboards: what their source writes, whole, asking for nothing that nobody emits."""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from collector.grafana.expressions import DASHBOARDS, VARIABLES, expressions, filled, panels
from collector.grafana.source.build import written
from tests.rules.promtool import rules

ROOT = Path(__file__).parents[1]
GRAFANA = ROOT / "collector" / "grafana"

Json = dict[str, Any]
Steps = list[tuple[float | None, str]]

# The platform's panels, in its order: name, type, thresholds with colours, or lines of its alerts and agreements.
PLATFORM: list[tuple[str, str, Steps]] = [
    ("WebSocket Connections (Total)", "stat", [(None, "red"), (1, "green")]),
    ("Correlation ID Success Rate", "gauge", [(None, "red"), (0.5, "yellow"), (0.8, "green")]),
    ("Print Test Success Rate", "gauge", [(None, "red"), (0.8, "yellow"), (0.95, "green")]),
    ("Desktop App Connections", "stat", [(None, "red"), (1, "green")]),
    ("Print Test Latency (p50, p95, p99)", "timeseries", [(0.5, "yellow"), (1, "red")]),
    ("Connection Quality Distribution", "piechart", []),
    ("WebSocket Connections per Branch", "timeseries", []),
    ("Error Rate (Requests/min)", "timeseries", [(0.1, "red")]),
    ("Health Monitoring Quality Score", "timeseries", [(80, "red")]),
    ("Rate Limiting Activity", "timeseries", [(10, "red")]),
    ("Security Events", "timeseries", [(50, "red")]),
    ("HTTP Request Duration (p95)", "timeseries", [(0.5, "yellow"), (1, "red")]),
    ("System Resources", "timeseries", [(2 * 1024**3, "red")]),
    ("Print Jobs (Success vs Failed)", "timeseries", []),
]
# What shows one moment must not show an older one for it.
OF_NOW = {"stat", "gauge", "bargauge", "piechart", "table"}
# Pixels that a dashboard has on a small screen, of 1280, beside Grafana's menu when that is folded.
SCREEN = 1240
WITH_LEGEND = {"timeseries", "piechart", "state-timeline"}

# PromQL that is no name of a metric.
WORDS = {"or", "and", "unless", "bool", "offset"}
NAME = re.compile(r"[a-zA-Z_:][\w:]*")
GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}")
OF_PROMETHEUS = {"job", "instance", "le", "__name__"}


def load(name: str) -> Json:
    loaded: Json = json.loads((DASHBOARDS / name).read_text())
    return loaded


@pytest.fixture(params=["printing.json", "slo.json"])
def dashboard(request: pytest.FixtureRequest) -> Json:
    return load(request.param)


def objects(value: Any) -> Iterator[Json]:
    """Every object in it, itself too."""
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(each)


def provisioned() -> set[str]:
    file = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "printobs.yaml").read_text())
    return {each["uid"] for each in file["datasources"]}


def emitted() -> dict[str, set[str]]:
    """Every name that Prometheus has by docs/metrics.md, with its labels."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / "docs" / "metrics.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) > 6 and (name := re.fullmatch(r"`(\w+)`", cells[2])):
            labels = {each.replace(".", "_") for each in re.findall(r"`([^`]+)`", cells[5])}
            for end in ("_bucket", "_sum", "_count") if cells[3] == "histogram" else ("",):
                found[name[1] + end] = labels
    return found


def names(expr: str) -> set[str]:
    """The metrics of a query."""
    bare = GROUPING.sub(" ", re.sub(r"\{[^}]*\}|\[[^]]*\]|\boffset \w+", " ", re.sub(r'"[^"]*"', " ", expr)))
    return {
        match[0]
        for match in NAME.finditer(bare)
        if match[0] not in WORDS and not bare[match.end() :].lstrip().startswith("(")
    }


def lines(panel: Json) -> Steps:
    """The thresholds that are drawn or coloured, but for what is seen through."""
    defaults = panel["fieldConfig"]["defaults"]
    drawn = [defaults] if panel["type"] != "timeseries" or defaults["custom"].get("thresholdsStyle") else []
    for override in panel["fieldConfig"]["overrides"]:
        properties = {each["id"]: each["value"] for each in override["properties"]}
        if "custom.thresholdsStyle" in properties:
            drawn.append(properties)
    steps = [step for each in drawn for step in each.get("thresholds", {"steps": []})["steps"]]
    found = [(step["value"], step["color"]) for step in steps if step["color"] != "transparent"]
    return list(dict.fromkeys(found))


def panel_faults(panel: Json) -> Iterator[str]:
    """What a panel lacks, or has and should not."""
    kind, options, defaults = panel["type"], panel.get("options", {}), panel["fieldConfig"]["defaults"]
    if not panel.get("title"):
        yield "no title"
    if not all(word in panel.get("description", "") for word in ("**Good:** ", "**Alert:** ")):
        yield "its description does not say what is good, or which alert looks at it"
    if not defaults.get("unit"):
        yield "no unit"
    if not defaults.get("noValue"):
        yield "no word for nothing"
    if kind in WITH_LEGEND and not (options.get("legend", {}).get("showLegend") and options["legend"]["placement"]):
        yield "no legend"
    if kind == "timeseries":
        yield from graph_faults(panel)
    if kind == "table":
        arranged = organized(panel)
        columns = arranged["indexByName"].keys() - arranged["excludeByName"].keys()
        if len(columns) * defaults["custom"].get("minWidth", 150) > panel["gridPos"]["w"] / 24 * SCREEN:
            yield "more columns than it has room for"
    if not panel["targets"]:
        yield "asks nothing"
    for target in panel["targets"]:
        headless = kind == "table" and f"Value #{target['refId']}" in organized(panel)["excludeByName"]
        if not target.get("legendFormat") and not headless:
            yield f"{target['refId']} has no legend"
        if bool(target.get("instant")) is not (kind in OF_NOW):
            yield f"{target['refId']} is not of the moment, or only of it"
        if bool(target.get("exemplar")) is not ("_bucket{" in target["expr"] and kind == "timeseries"):
            yield f"{target['refId']} of a histogram has no exemplars, or what is none has"
    letters = [target["refId"] for target in panel["targets"]]
    if len(set(letters)) < len(letters):
        yield "two queries of one letter"
    for override in panel["fieldConfig"]["overrides"]:
        if override["matcher"]["id"] == "byFrameRefID" and override["matcher"]["options"] not in letters:
            yield f"overrides {override['matcher']['options']}, which it does not ask"


def graph_faults(panel: Json) -> Iterator[str]:
    """What is not seen in a graph: a line that nothing comes near, and what a legend has no room for."""
    defaults, legend = panel["fieldConfig"]["defaults"], panel["options"]["legend"]
    each_axis = [
        {"thresholds": defaults.get("thresholds"), **{f"custom.{k}": v for k, v in defaults["custom"].items()}}
    ]
    for override in panel["fieldConfig"]["overrides"]:
        each_axis.append({each["id"]: each["value"] for each in override["properties"]})
    for axis in each_axis:
        if "custom.thresholdsStyle" in axis:
            lowest = min(step["value"] for step in axis["thresholds"]["steps"] if step["value"] is not None)
            if axis.get("custom.axisSoftMax", 0) <= lowest:
                yield f"its line at {lowest} is beyond the axis"
    # Two rows fit below a graph, and eight beside it: more only with the worst first.
    any_number = any("{{" in target.get("legendFormat", "") for target in panel["targets"])
    room = 8 if legend["placement"] == "right" else 2
    if not legend.get("sortBy") and (len(panel["targets"]) > room or (any_number and len(panel["targets"]) < 2)):
        yield "a legend without room for all"


def organized(panel: Json) -> Json:
    options: Json = next(each["options"] for each in panel["transformations"] if each["id"] == "organize")
    return options


def faults(dashboard: Json) -> list[str]:
    """What is wrong with a dashboard that Grafana would show all the same, or would not load."""
    found = [f"{panel.get('title')}: {fault}" for panel in panels(dashboard) for fault in panel_faults(panel)]
    if "__inputs" in dashboard or "__requires" in dashboard:
        found.append("made for import by hand")
    if dashboard.get("id") is not None or not dashboard.get("uid"):
        found.append("not found by its uid")
    variables = {each["name"] for each in dashboard["templating"]["list"]}
    known = provisioned()
    for each in objects(dashboard):
        source = each.get("datasource")
        if source and source["uid"] not in {"${datasource}", *known}:
            found.append(f"data source {source['uid']}")
        for used in re.findall(r"\$\{?(\w+)", json.dumps(each.get("expr", each.get("query", "")))):
            if used not in variables and used not in VARIABLES:
                found.append(f"no variable {used}")
    for panel in panels(dashboard):
        if panel.get("datasource", {}).get("uid") != "${datasource}":
            found.append(f"{panel.get('title')}: not of the data source that was chosen")
    ids = [panel["id"] for panel in dashboard["panels"]]
    found += [f"two panels {number}" for number, times in Counter(ids).items() if times > 1 or number < 1]
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        width, height = (range(place[at], place[at] + place[by]) for at, by in ("xw", "yh"))
        cells = {(x, y) for x in width for y in height}
        if not cells or max(cells)[0] >= 24 or taken & cells:
            found.append(f"{panel.get('title')}: over another, or beyond the grid")
        taken |= cells
    return found


def unknown(expr: str, metrics: dict[str, set[str]], recorded: set[str]) -> list[str]:
    """Metrics and labels of a query that nobody emits or records."""
    found = [name for name in names(expr) if name not in metrics and name not in recorded]
    for name, matchers in SELECTOR.findall(expr):
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', '""', matchers)))
        found += [f"{name}{{{label}}}" for label in labels - metrics.get(name, labels) - OF_PROMETHEUS]
    by = {label.strip() for listed in GROUPING.findall(expr) for label in listed.split(",") if label.strip()}
    return found + sorted(by - OF_PROMETHEUS - set().union(*metrics.values()))


def test_what_is_committed_is_what_the_source_writes() -> None:
    committed = {path.name: path.read_text() for path in DASHBOARDS.iterdir()}
    assert committed == written(), "run python -m collector.grafana.source"


def test_nothing_is_wrong_with_a_dashboard(dashboard: Json) -> None:
    assert faults(dashboard) == []


def test_the_check_finds_what_is_wrong() -> None:
    def broken(change: Callable[[Json], object]) -> list[str]:
        changed = copy.deepcopy(load("printing.json"))
        change(changed)
        return faults(changed)

    panel = 4  # latency: a graph, with exemplars
    assert broken(lambda it: it["panels"][panel].pop("title"))
    assert broken(lambda it: it["panels"][panel].update(description="Latency."))
    assert broken(lambda it: it["panels"][panel]["fieldConfig"]["defaults"].pop("unit"))
    assert broken(lambda it: it["panels"][panel]["fieldConfig"]["defaults"].pop("noValue"))
    assert broken(lambda it: it["panels"][panel]["options"]["legend"].update(showLegend=False))
    assert broken(lambda it: it["panels"][panel]["options"]["legend"].update(placement="bottom"))
    assert broken(lambda it: it["panels"][6]["options"]["legend"].pop("sortBy"))
    assert broken(lambda it: it["panels"][panel]["fieldConfig"]["defaults"]["custom"].update(axisSoftMax=0.5))
    assert broken(lambda it: it["panels"][9]["fieldConfig"]["overrides"][0]["properties"].pop())
    assert broken(lambda it: it["panels"][panel].update(targets=[]))
    assert broken(lambda it: it["panels"][panel]["targets"][0].pop("legendFormat"))
    assert broken(lambda it: it["panels"][panel]["targets"][0].update(instant=True))
    assert broken(lambda it: it["panels"][panel]["targets"][1].pop("exemplar"))
    assert broken(lambda it: it["panels"][panel]["targets"][1].update(refId="A"))
    assert broken(lambda it: it["panels"][7]["targets"].pop())
    assert broken(lambda it: it["panels"][panel]["targets"][0]["datasource"].update(uid="P1809F7CD0C75ACF3"))
    assert broken(lambda it: it["panels"][panel]["datasource"].update(uid="printobs-jaeger"))
    assert broken(lambda it: it["panels"][panel]["targets"][0].update(expr='up{a="$shop"}'))
    assert broken(lambda it: it.update(__inputs=[]))
    assert broken(lambda it: it.update(id=7))
    assert broken(lambda it: it.pop("uid"))
    assert broken(lambda it: it["panels"][panel].update(id=1))
    assert broken(lambda it: it["panels"][panel]["gridPos"].update(w=17))
    assert broken(lambda it: it["panels"][panel]["gridPos"].update(y=1))


def test_uids_and_titles_are_one_dashboards_alone() -> None:
    all_of_them = [json.loads(path.read_text()) for path in DASHBOARDS.iterdir()]
    assert {(each["uid"], each["title"]) for each in all_of_them} == {
        ("printobs-receipts", "Receipts"),
        ("printobs-slo", "SLOs and error budgets"),
    }


def test_the_platforms_fourteen_panels_are_there() -> None:
    receipts = load("printing.json")
    assert receipts["refresh"] == "10s"
    assert [(panel["title"], panel["type"], lines(panel)) for panel in receipts["panels"]] == PLATFORM
    score = receipts["panels"][8]["fieldConfig"]["defaults"]
    assert (score["min"], score["max"]) == (0, 100)


def test_burn_rates_have_the_lines_of_their_alerts() -> None:
    found = {panel["title"]: lines(panel) for panel in panels(load("slo.json"))}
    for window, limit in {"1h": 14.4, "6h": 6, "1d": 3, "3d": 1}.items():
        for name in ("Receipts", "Availability"):
            assert [value for value, _ in found[f"{name}, {window}"]] == [limit]
    assert [value for value, _ in found["Receipts, 30m"]] == [6]
    assert found["Availability (99.9 %)"] == [(None, "red"), (0.999, "green")]
    assert found["Print test success (95 %)"] == [(None, "red"), (0.95, "green")]
    assert found["Connections good or excellent (80 %)"] == [(None, "red"), (0.8, "green")]
    assert found["Latency p95 (500 ms)"] == [(None, "green"), (0.5, "red")]


def test_an_objective_has_decimals_enough_to_see_which_side_of_it_a_number_is_on() -> None:
    found = {panel["title"]: panel["fieldConfig"]["defaults"].get("decimals") for panel in panels(load("slo.json"))}
    assert found["Availability (99.9 %)"] == 3
    assert found["Print test success (95 %)"] == found["Connections good or excellent (80 %)"] == 2
    assert found["Receipts that came out (95 %), by branch"] == 2


def test_what_cannot_be_narrowed_to_a_branch_says_so() -> None:
    for panel in load("printing.json")["panels"]:
        narrowed = all("$branch" in target["expr"] for target in panel["targets"])
        assert narrowed or "of no branch" in panel["description"].lower(), panel["title"]


def test_processes_are_those_of_the_chosen_branch() -> None:
    receipts = load("printing.json")
    [resources] = [panel for panel in receipts["panels"] if panel["title"] == "System Resources"]
    for target in resources["targets"]:
        assert 'instance=~"$branch(/.*)?"' in target["expr"]


def test_a_month_is_a_sum_of_what_is_recorded(dashboard: Json) -> None:
    for panel in panels(dashboard):
        for target in panel["targets"]:
            for asked, window in re.findall(r"(\w+)\([^()]*\[(\d+d)\]", target["expr"]):
                assert asked == "sum_over_time", f"{panel['title']}: {asked} over {window}"
            assert "avg_over_time" not in target["expr"]


def test_branch_and_printer_can_be_chosen() -> None:
    variables = {each["name"]: each for each in load("printing.json")["templating"]["list"]}
    assert list(variables) == ["datasource", "branch", "printer"]
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    assert variables["datasource"]["current"]["value"] in provisioned()
    for name in ("branch", "printer"):
        assert variables[name]["multi"]
        assert variables[name]["includeAll"]
        assert variables[name]["allValue"] == VARIABLES[name]
    assert '=~"$branch"' in variables["printer"]["query"]["query"]


def test_what_is_asked_for_is_emitted_or_recorded() -> None:
    metrics, recorded = emitted(), {rule["record"] for rule in rules() if "record" in rule}
    # The platform's own names are copies, which have no exemplars.
    ours = {name for name in recorded if ":" in name}
    found = {(each.panel, fault) for each in expressions() for fault in unknown(each.expr, metrics, ours)}
    assert sorted(found) == []


def test_what_nobody_emits_is_found() -> None:
    metrics = emitted()
    assert unknown("sum(rate(job_outcomes_total[5m]))", metrics, set()) == []
    assert unknown("sum by (branch_name) (a:b:c) or vector(0)", metrics, {"a:b:c"}) == []
    assert unknown("sum(http_requests_total)", metrics, set()) == ["http_requests_total"]
    assert unknown("a:b:c", metrics, set()) == ["a:b:c"]
    assert unknown('job_held{printer_name="bar"}', metrics, set()) == ["job_held{printer_name}"]
    assert unknown("sum by (branch) (job_held)", metrics, set()) == ["branch"]
    assert unknown("printer_job_duration_seconds", metrics, set()) == ["printer_job_duration_seconds"]


def test_the_alerts_that_are_named_exist() -> None:
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}
    for path in DASHBOARDS.iterdir():
        for panel in panels(json.loads(path.read_text())):
            told = panel["description"].partition("**Alert:** ")[2]
            named = set(re.findall(r"\b(?=\w*[a-z])[A-Z]\w*[A-Z]\w*\b", told))
            assert named - {"GiB"} <= alerts, panel["title"]
            assert named or "none of its own" in told, panel["title"]


def test_variables_are_filled_in_as_grafana_does() -> None:
    assert filled('a{b=~"$branch"}[$__rate_interval]') == 'a{b=~".*"}[1m15s]'
    assert filled("${branch:regex}", {"branch": "mitte|wedding"}) == "mitte|wedding"
    with pytest.raises(KeyError):
        filled("$nobody")
    assert not any("$" in each.expr for each in expressions())


def test_each_dashboard_is_asked_whole() -> None:
    asked = Counter((each.dashboard, each.panel) for each in expressions())
    for path in DASHBOARDS.iterdir():
        for panel in panels(json.loads(path.read_text())):
            assert asked[path.stem, panel["title"]] == len(panel["targets"])


def test_the_pages_say_how_many_panels_their_pictures_have() -> None:
    kinds = [panel["type"] for path in DASHBOARDS.iterdir() for panel in panels(json.loads(path.read_text()))]
    drawn = [kind for kind in kinds if kind not in {"gauge", "piechart", "state-timeline"}]
    assert f"for {len(drawn)} of the {len(kinds)} panels" in (ROOT / "docs" / "deployment.md").read_text()
    assert f"{len(drawn)} of {len(kinds)} panels are drawn" in (ROOT / "docs" / "pictures" / "README.md").read_text()


def test_grafana_gets_the_folder_that_it_looks_into() -> None:
    [provider] = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "printobs.yaml").read_text())["providers"]
    grafana = yaml.safe_load((ROOT / "collector" / "compose.yaml").read_text())["services"]["grafana"]
    mounted = {
        each["target"]: ROOT / "collector" / each["source"] for each in grafana["volumes"] if isinstance(each, dict)
    }
    assert mounted[provider["options"]["path"]].samefile(DASHBOARDS)
