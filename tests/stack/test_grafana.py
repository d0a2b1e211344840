"""What Grafana is provisioned with: its keys, by their schema, as it is not here; its links, by the real backend."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from collector.stack.pins import COLLECTOR
from examples.demo.stage import Stage
from tests.stack.backend import Backend, get, submit, until

PROVISIONING = COLLECTOR / "grafana" / "provisioning"
DATASOURCES = PROVISIONING / "datasources" / "printobs.yaml"
DASHBOARDS = PROVISIONING / "dashboards" / "printobs.yaml"

# One of the agent, one of the service.
SPANS = ["print job", "dispatch job"]

# As Compose has them; Grafana has no default for a variable.
VARIABLES = {"PROMETHEUS_URL": "http://prometheus:9090", "JAEGER_URL": "http://jaeger:16686"}

# What Grafana takes, by its documentation ("Provision Grafana" and each data source's page) and the types behind it:
# PromOptions, TraceToMetricsOptions. A set is all values that there are; jsonData is checked by the data source's type.
JSON_DATA: Mapping[str, Any] = {
    "prometheus": {
        "httpMethod": {"POST", "GET"},
        "prometheusType": {"Prometheus", "Cortex", "Mimir", "Thanos"},
        "prometheusVersion": str,
        "timeInterval": str,
        "queryTimeout": str,
        "cacheLevel": {"Low", "Medium", "High", "None"},
        "manageAlerts": bool,
        "alertmanagerUid": str,
        "incrementalQuerying": bool,
        "exemplarTraceIdDestinations": [{"name": str, "datasourceUid": str, "url": str, "urlDisplayLabel": str}],
    },
    "jaeger": {
        "nodeGraph": {"enabled": bool},
        "spanBar": {"type": {"None", "Duration", "Tag"}, "tag": str},
        "traceIdTimeParams": {"enabled": bool},
        "tracesToMetrics": {
            "datasourceUid": str,
            "spanStartTimeShift": str,
            "spanEndTimeShift": str,
            "tags": [{"key": str, "value": str}],
            "queries": [{"name": str, "query": str}],
        },
    },
}
DATASOURCE: Mapping[str, Any] = {
    "apiVersion": int,
    "prune": bool,
    "datasources": [
        {
            "name": str,
            "uid": str,
            "type": set(JSON_DATA),
            "access": {"proxy", "direct"},
            "orgId": int,
            "url": str,
            "isDefault": bool,
            "editable": bool,
            "version": int,
            "jsonData": dict,
        }
    ],
}
PROVIDER: Mapping[str, Any] = {
    "apiVersion": int,
    "providers": [
        {
            "name": str,
            "orgId": int,
            "type": {"file"},
            "folder": str,
            "folderUid": str,
            "disableDeletion": bool,
            "allowUiUpdates": bool,
            "updateIntervalSeconds": int,
            "options": {"path": str, "foldersFromFilesStructure": bool},
        }
    ],
}


def wrong(value: Any, schema: Any, where: str = "") -> list[str]:
    """What ``value`` has that ``schema`` has not, or has otherwise."""
    if isinstance(schema, set):
        return [] if value in schema else [f"{where}: {value!r} is none of {', '.join(sorted(schema))}"]
    if isinstance(schema, list):
        if not isinstance(value, list):
            return [f"{where}: is no list"]
        return [each for i, item in enumerate(value) for each in wrong(item, schema[0], f"{where}[{i}]")]
    if isinstance(schema, Mapping):
        if not isinstance(value, dict):
            return [f"{where}: has no keys"]
        found = [f"{where}: no {key}" for key in value if key not in schema]
        return found + [
            each for key in value if key in schema for each in wrong(value[key], schema[key], f"{where}.{key}")
        ]
    # True is an int to Python.
    return [] if type(value) is schema else [f"{where}: {value!r} is no {schema.__name__}"]


def wrong_sources(file: dict[str, Any]) -> list[str]:
    return wrong(file, DATASOURCE) + [
        each
        for source in file["datasources"]
        for each in wrong(source.get("jsonData", {}), JSON_DATA.get(source["type"], {}), source["name"])
    ]


def references(value: Any) -> set[str]:
    """All that is referred to by its uid."""
    if isinstance(value, list):
        return {each for item in value for each in references(item)}
    if not isinstance(value, dict):
        return set()
    found = {value[key] for key in ("datasourceUid", "alertmanagerUid") if key in value}
    return found | {each for item in value.values() for each in references(item)}


def expanded(value: Any, variables: Mapping[str, str]) -> Any:
    """``value`` as Grafana reads it: variables filled in, empty where they are not set, and ``$$`` made ``$``."""
    if isinstance(value, dict):
        return {key: expanded(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [expanded(item, variables) for item in value]
    if not isinstance(value, str):
        return value
    fill: Callable[[re.Match[str]], str] = lambda match: variables.get(match[1] or match[2], "")  # noqa: E731
    return "$".join(re.sub(r"\$(?:\{(\w+)\}|(\w+))", fill, part) for part in value.split("$$"))


@pytest.fixture
def file() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(DATASOURCES.read_text())
    return loaded


@pytest.fixture
def sources(file: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The data sources by type, as Grafana reads them."""
    return {each["type"]: each for each in expanded(file["datasources"], VARIABLES)}


def test_each_key_is_one_that_grafana_knows(file: dict[str, Any]) -> None:
    assert wrong_sources(file) == []
    assert wrong(yaml.safe_load(DASHBOARDS.read_text()), PROVIDER) == []
    assert sorted(path.name for path in PROVISIONING.rglob("*") if path.is_file()) == ["printobs.yaml"] * 2


def test_the_check_finds_what_grafana_would_ignore_in_silence(file: dict[str, Any]) -> None:
    def broken(change: Callable[[dict[str, Any], dict[str, Any]], object]) -> list[str]:
        changed = copy.deepcopy(file)
        change(*changed["datasources"])
        return wrong_sources(changed)

    assert broken(lambda _, jaeger: jaeger.update(jsondata={}))
    assert broken(lambda _, jaeger: jaeger["jsonData"].update(traceToMetrics={}))
    assert broken(lambda _, jaeger: jaeger["jsonData"].update(nodeGraph={"enabled": "yes"}))
    assert broken(lambda prometheus, _: prometheus["jsonData"]["exemplarTraceIdDestinations"][0].update(uid="jaeger"))
    assert broken(lambda prometheus, _: prometheus.update(access="Server"))
    assert wrong({"apiVersion": 1, "providers": [{"options": {"paths": "/"}}]}, PROVIDER)


def test_each_is_found_by_its_uid_and_one_is_the_default(file: dict[str, Any]) -> None:
    uids = [each["uid"] for each in file["datasources"]]
    assert len(set(uids)) == len(uids)
    assert references(file) == {"printobs-prometheus", "printobs-jaeger"} <= set(uids)
    assert [each["type"] for each in file["datasources"] if each.get("isDefault")] == ["prometheus"]


def test_an_exemplar_leads_to_jaeger_and_a_span_to_prometheus(sources: dict[str, dict[str, Any]]) -> None:
    [destination] = sources["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert destination["name"] == "trace_id"
    assert destination["datasourceUid"] == sources["jaeger"]["uid"]
    assert sources["jaeger"]["jsonData"]["tracesToMetrics"]["datasourceUid"] == sources["prometheus"]["uid"]


def test_where_they_are_comes_from_the_environment_and_nothing_else_does(
    file: dict[str, Any], sources: dict[str, dict[str, Any]]
) -> None:
    assert sources["prometheus"]["url"] == VARIABLES["PROMETHEUS_URL"]
    assert sources["jaeger"]["url"] == VARIABLES["JAEGER_URL"]
    asked: set[str] = set()

    class Asked(dict[str, str]):
        def get(self, name: str, default: Any = None) -> Any:
            asked.add(name)
            return default

    expanded([file, yaml.safe_load(DASHBOARDS.read_text())], Asked())
    assert asked == set(VARIABLES)


def test_compose_tells_grafana_where_they_are() -> None:
    grafana = yaml.safe_load((COLLECTOR / "compose.yaml").read_text())["services"]["grafana"]
    assert {name: grafana["environment"][name] for name in VARIABLES} == VARIABLES
    assert any(
        (COLLECTOR / each["source"]).samefile(PROVISIONING) and each["target"] == "/etc/grafana/provisioning"
        for each in grafana["volumes"]
        if isinstance(each, dict)
    )


def test_what_is_left_of_a_dollar_is_what_grafana_fills_in_itself(sources: dict[str, dict[str, Any]]) -> None:
    for each in sources["jaeger"]["jsonData"]["tracesToMetrics"]["queries"]:
        assert each["query"].count("{$__tags}") == 1, each


def test_panels_ask_no_finer_than_prometheus_scrapes(sources: dict[str, dict[str, Any]]) -> None:
    scraped = yaml.safe_load((COLLECTOR / "prometheus" / "prometheus.yml").read_text())["global"]["scrape_interval"]
    assert sources["prometheus"]["jsonData"]["timeInterval"] == scraped


def test_dashboards_are_looked_for_in_a_folder_of_their_own() -> None:
    [provider] = yaml.safe_load(DASHBOARDS.read_text())["providers"]
    path = Path(provider["options"]["path"])
    assert path.is_absolute()
    # Grafana reads all of its provisioning folder as such.
    assert not path.is_relative_to("/etc/grafana/provisioning")


@pytest.fixture(scope="module")
def trace(backend: Backend, stage: Stage) -> dict[str, Any]:
    """A receipt's, when all that is asked for has come."""

    def found() -> dict[str, Any] | None:
        # More than one: a rate needs two samples that differ.
        submit(stage.till)
        traces = get(f"{backend.jaeger}/api/traces", service="agent", operation="print job", limit="50", lookback="1h")
        whole = [each for each in traces["data"] if set(SPANS) <= {span["operationName"] for span in each["spans"]}]
        return whole[0] if whole else None

    return until(found)


@pytest.mark.parametrize("name", SPANS)
def test_a_span_leads_to_the_metrics_of_its_kind(
    backend: Backend, stage: Stage, trace: dict[str, Any], sources: dict[str, dict[str, Any]], name: str
) -> None:
    links = sources["jaeger"]["jsonData"]["tracesToMetrics"]
    span = next(each for each in trace["spans"] if each["operationName"] == name)
    # As Grafana does: the process's tags, the span's, and its name.
    tags = [*trace["processes"][span["processID"]]["tags"], *span["tags"], {"key": "name", "value": name}]
    labels = {each["key"]: each["value"] for each in links["tags"]}
    told = ", ".join(f'{labels[tag["key"]]}="{tag["value"]}"' for tag in tags if tag["key"] in labels)
    assert told.count("=") == len(labels)
    for link in links["queries"]:
        query = link["query"].replace("$__tags", told)
        until(lambda query=query: backend.value(query) > 0, why=lambda query=query: query)


def test_an_exemplar_has_the_label_that_leads_to_its_trace(
    backend: Backend, trace: dict[str, Any], sources: dict[str, dict[str, Any]]
) -> None:
    [destination] = sources["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    exemplars = until(lambda: backend.exemplars("printer_job_duration_seconds_bucket"))
    assert until(lambda: backend.trace(exemplars[0]["labels"][destination["name"]]))
