"""Who is told what: a real Alertmanager with the configuration as it is, and receivers on loopback.

Only addresses and times are others. Which alerts there are is read from the rules.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import re
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from collector.stack import __main__ as program
from collector.stack import binaries, channels
from collector.stack.compose import Compose
from collector.stack.durations import seconds
from collector.stack.parts import parts
from collector.stack.pins import COLLECTOR
from collector.stack.ports import Ports
from collector.stack.stack import Running
from tests.rules.promtool import rules
from tests.stack.backend import get, until
from tests.stack.receivers import SECRETS, Receivers
from tests.stack.test_secure import certificate  # noqa: F401 - a fixture

ROOT = COLLECTOR.parent
FILE = COLLECTOR / "alertmanager" / "alertmanager.yml"
TEMPLATES = FILE.parent / "templates" / "*.tmpl"
RUNBOOKS = "https://github.com/printobs/printobs/blob/main/docs/runbooks"

CHANNELS = {"critical": "pagerduty", "warning": "slack", "info": "email", "none": "watchdog"}
RANK = list(CHANNELS)
# Whatever fails, the other one tells.
TOLD_TWICE = {"NotificationsFailing": "slack,pagerduty"}

# Seconds, for half a minute and for minutes; of the watchdog, each minute is one.
WAIT, INTERVAL, WATCHDOG = 1.0, 2.0, 4.0

Labels = dict[str, str]

# ---------------------------------------------------------------------------------------------------------- the rules


@functools.cache
def ruled() -> tuple[Mapping[str, str], ...]:
    """The labels that each alert of the rules has for certain: its name, its severity, its window."""
    return tuple({"alertname": rule["alert"], **rule["labels"]} for rule in rules() if "alert" in rule)


def an(alertname: str, **labels: str) -> Labels:
    """An alert of the rules with labels besides; its severity is that of the rules, unless it is told."""
    severities = {each["severity"] for each in ruled() if each["alertname"] == alertname}
    assert severities, f"no rule is called {alertname}"
    if "severity" not in labels:
        [labels["severity"]] = severities
    assert labels["severity"] in severities
    return {"alertname": alertname, **labels}


def configuration() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return found


def matches(matchers: list[str], labels: Mapping[str, str], only: tuple[str, ...] = ()) -> bool:
    """Whether a label set has what is asked for; of ``only`` these labels, if any are named."""
    for each in matchers:
        name, operator, value = re.fullmatch(r'(\w+) (=~|=) "(.*)"', each).groups()  # type: ignore[union-attr]
        pattern = value if operator == "=~" else re.escape(value)
        if (not only or name in only) and not re.fullmatch(pattern, labels.get(name, "")):
            return False
    return True


# ------------------------------------------------------------------------------------------------------- what is asked


class Alertmanager:
    """The running one, and whom it tells."""

    def __init__(self, port: int, receivers: Receivers) -> None:
        self.port = port
        self.receivers = receivers
        self.url = f"http://127.0.0.1:{port}"

    def post(self, alerts: list[Labels], over: bool = False, **annotations: str) -> None:
        now = datetime.now(UTC).isoformat()
        body = [
            {
                "labels": each,
                "annotations": {"runbook_url": f"{RUNBOOKS}/{each['alertname']}.md", **annotations},
                **({"endsAt": now} if over else {}),
            }
            for each in alerts
        ]
        request = urllib.request.Request(
            f"{self.url}/api/v2/alerts", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10):
            pass

    @contextmanager
    def firing(self, *alerts: Labels, **annotations: str) -> Iterator[None]:
        self.post(list(alerts), **annotations)
        try:
            yield
        finally:
            self.post(list(alerts), over=True, **annotations)

    def inhibited(self, alert: Labels) -> list[str]:
        """The names of the alerts that hush it."""
        known = {each["fingerprint"]: each for each in get(f"{self.url}/api/v2/alerts")}
        [found] = [each for each in known.values() if each["labels"] == alert]
        return [known[source]["labels"]["alertname"] for source in found["status"]["inhibitedBy"]]

    def failed(self) -> float:
        """The notifications that could not be delivered."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as response:
            said = response.read().decode()
        values = re.findall(r"^alertmanager_notifications_failed_total{.*} (\S+)$", said, re.MULTILINE)
        assert values
        return sum(map(float, values))

    def paged(self, branch: str) -> list[dict[str, Any]]:
        return [each for each in self.receivers.pagerduty if each["payload"].get("group", "") == branch]

    def written(self, word: str) -> list[dict[str, Any]]:
        """The attachments on Slack whose title has ``word``."""
        told = [attachment for each in self.receivers.slack for attachment in each["attachments"]]
        return [each for each in told if word in each["title"]]

    def mailed(self, word: str) -> list[str]:
        return [each["Subject"] for each in self.receivers.email if word in each["Subject"]]


def in_a_hurry(duration: str) -> str:
    """A minute is a second."""
    return f"{int(seconds(duration) * 1000) // 60}ms"


def shortened(path: Path, receivers: Receivers, authority: Path, wait: float = WAIT) -> None:
    """What differs in the tests: who listens where, and how long everything takes; ``wait`` is `group_wait`."""
    text = path.read_text()
    configured = yaml.safe_load(text)
    by_name = {each["name"]: each for each in configured["receivers"]}
    by_name["pagerduty"]["pagerduty_configs"][0]["url"] = receivers.pagerduty_url
    [mail] = by_name["email"]["email_configs"]
    mail["smarthost"] = f"127.0.0.1:{receivers.smtp_port}"
    mail["tls_config"] = {"ca_file": str(authority)}
    for route in (configured["route"], *configured["route"]["routes"]):
        if route["receiver"] == "watchdog":
            route |= {key: in_a_hurry(route[key]) for key in ("group_interval", "repeat_interval")}
        else:
            route |= {
                key: value
                for key, value in {"group_wait": f"{wait:.0f}s", "group_interval": f"{INTERVAL:.0f}s"}.items()
                if key in route
            }
    path.write_text(yaml.safe_dump(configured))


@contextmanager
def started(state: Path, ports: Ports, secrets: Path | None, change: Any = lambda _: None) -> Iterator[Running]:
    """Alertmanager alone, as `make stack` starts it."""
    [part] = [each for each in parts(ports, state, secrets=secrets) if each.name == "alertmanager"]
    change(state / "alertmanager" / "etc" / "alertmanager.yml")
    running = Running(part, binaries.command("alertmanager"), state / "alertmanager.log")
    running.start()
    try:
        running.wait()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def alertmanager(
    tmp_path_factory: pytest.TempPathFactory,
    certificate: tuple[Path, Path],  # noqa: F811
) -> Iterator[Alertmanager]:
    state = tmp_path_factory.mktemp("alertmanager")
    ports = Ports.free()
    with Receivers(certificate) as receivers:
        secrets = receivers.secrets(state / "secrets")
        with started(state, ports, secrets, lambda path: shortened(path, receivers, certificate[0])):
            found = Alertmanager(ports.alertmanager, receivers)
            yield found
            assert receivers.refused == []
            assert found.failed() == 0


def amtool(*arguments: str) -> str:
    done = subprocess.run(
        [binaries.command("amtool"), *arguments], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# -------------------------------------------------------------------------------------------------------- as it is read


def test_it_is_read_as_it_is() -> None:
    assert "SUCCESS" in amtool("check-config", str(FILE))


def test_nothing_in_it_is_newer_than_it_says() -> None:
    rules = configuration()["inhibit_rules"]
    assert set().union(*rules) <= {"source_matchers", "target_matchers", "equal"}  # not `name`
    functions = set(re.findall(r"\| (\w+)", TEMPLATES.parent.joinpath("printobs.tmpl").read_text()))
    assert functions <= {"reReplaceAll", "printf", "toUpper"}


def test_secrets_are_in_files_and_nowhere_else() -> None:
    text = FILE.read_text()
    assert set(re.findall(r"_file: (\S+)", text)) == {f"secrets/{name}" for name in SECRETS}
    keys = ("routing_key", "api_url", "auth_password", "url", "service_key", "bearer_token", "password")
    assert not re.findall(rf"^\s+(?:- )?(?:{'|'.join(keys)}):", text, re.MULTILINE)
    page = (FILE.parent / "secrets" / "README.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == SECRETS.keys()
    for name in SECRETS:
        ignored = ["git", "check-ignore", "--quiet", f"collector/alertmanager/secrets/{name}"]
        assert subprocess.run(ignored, cwd=ROOT, check=False).returncode == 0, name


def test_each_alert_of_the_rules_has_its_channel() -> None:
    assert len({each["alertname"] for each in ruled()}) >= 30
    assert {each["severity"] for each in ruled()} == CHANNELS.keys()
    for each in ruled():
        receiver = TOLD_TWICE.get(each["alertname"], CHANNELS[each["severity"]])
        labels = {**each, "branch_name": "mitte", "printer_name": "mitte-bar"}
        arguments = [f"{name}={value}" for name, value in labels.items()]
        amtool("config", "routes", "test", f"--config.file={FILE}", f"--verify.receivers={receiver}", *arguments)


def test_an_alert_of_no_severity_or_an_unknown_one_is_told_too() -> None:
    for labels in ("alertname=New", "alertname=New severity=Critical", "alertname=New severity=none"):
        amtool("config", "routes", "test", f"--config.file={FILE}", "--verify.receivers=slack", *labels.split())


def test_no_rule_hushes_what_is_worse_and_none_hushes_in_a_circle() -> None:
    alerts = [dict(each) for each in ruled()]
    hushes: dict[str, set[str]] = {}
    for rule in configuration()["inhibit_rules"]:
        # What else is asked of an alert, its rule may give it.
        sources, targets = (
            [each for each in alerts if matches(rule[side], each, ("alertname", "severity"))]
            for side in ("source_matchers", "target_matchers")
        )
        for side, found in (("source_matchers", sources), ("target_matchers", targets)):
            for name in re.findall(r"\w+", rule[side][0].partition('"')[2]):
                assert name in {each["alertname"] for each in found}, f"no rule is called {name}"
        for source, target in itertools.product(sources, targets):
            assert RANK.index(source["severity"]) <= RANK.index(target["severity"]), (source, target)
            key = "{alertname} {severity}".format_map
            hushes.setdefault(key(source), set()).add(key(target))

    def reached(name: str) -> set[str]:
        seen: set[str] = set()
        waiting = [name]
        while waiting:
            for each in hushes.get(waiting.pop(), set()) - seen:
                seen.add(each)
                waiting.append(each)
        return seen

    assert hushes
    assert not [name for name in hushes if name in reached(name)]


# ------------------------------------------------------------------------------------------------------ as it is told


def test_each_severity_reaches_its_channel_once_and_is_told_to_be_over(alertmanager: Alertmanager) -> None:
    receivers = alertmanager.receivers
    page = an("PrinterFailingInARow", branch_name="nord", printer_name="nord-bar")
    message = an("ReceiptsHeld", branch_name="nord")
    mail = an("NewDesktopAppConnected", branch_name="nord", agent_name="nord-pc")
    summary = "nord: it is so 3 times"
    for _ in range(4):  # as Prometheus does, again and again
        alertmanager.post([page, message, mail], summary=summary, description="And 5 wait.")
        time.sleep(1)
    until(lambda: alertmanager.paged("nord") and alertmanager.written("ReceiptsHeld") and alertmanager.mailed("nord"))
    time.sleep(2 * INTERVAL)

    [event] = alertmanager.paged("nord")
    assert (event["event_action"], event["payload"]["severity"]) == ("trigger", "critical")
    assert (event["payload"]["class"], event["payload"]["component"]) == ("PrinterFailingInARow", "nord-bar")
    assert event["links"] == [{"href": f"{RUNBOOKS}/PrinterFailingInARow.md", "text": "Runbook"}]
    assert event["payload"]["custom_details"]["description"] == "And 5 wait."
    [attachment] = alertmanager.written("ReceiptsHeld")
    assert attachment["color"] == "warning"
    assert attachment["text"] == f"And 5 wait.\n<{RUNBOOKS}/ReceiptsHeld.md|Runbook>"
    assert alertmanager.mailed("nord") == [f"INFO {summary} [NewDesktopAppConnected]"]
    [mailed] = [each for each in receivers.email if "nord" in each["Subject"]]
    body = mailed.get_body(("plain",))
    assert body is not None
    assert body.get_content().split() == f"And 5 wait. Runbook: {RUNBOOKS}/NewDesktopAppConnected.md".split()
    assert mailed.get_body(("html",)) is None

    alertmanager.post([page, message, mail], over=True, summary=summary, description="And 5 wait.")
    until(lambda: len(alertmanager.paged("nord")) == len(alertmanager.written("ReceiptsHeld")) == 2)
    time.sleep(2 * INTERVAL)
    _, resolved = alertmanager.paged("nord")
    assert (resolved["event_action"], resolved["dedup_key"]) == ("resolve", event["dedup_key"])
    _, over = alertmanager.written("ReceiptsHeld")
    assert (over["color"], over["title"]) == ("good", f"RESOLVED {summary} [ReceiptsHeld]")
    assert len(alertmanager.mailed("nord")) == 1


def test_a_branch_s_printers_are_one_incident_and_another_branch_and_another_alert_are_others(
    alertmanager: Alertmanager,
) -> None:
    printers = [
        an("PrinterFailingInARow", branch_name=branch, printer_name=f"{branch}-{name}")
        for branch in ("west", "east")
        for name in ("bar", "kitchen")
    ]
    other = an("ReceiptWaitingTooLong", branch_name="west")
    with alertmanager.firing(*printers, other, summary="it fails"):
        until(lambda: len(alertmanager.paged("west")) == 2 and alertmanager.paged("east"))
        time.sleep(2 * INTERVAL)
        told = [*alertmanager.paged("west"), *alertmanager.paged("east")]
        assert len(told) == len({each["dedup_key"] for each in told}) == 3
        summaries = sorted(each["payload"]["summary"] for each in told)
        assert summaries == [
            "CRITICAL it fails (first of 2) [PrinterFailingInARow]",
            "CRITICAL it fails (first of 2) [PrinterFailingInARow]",
            "CRITICAL it fails [ReceiptWaitingTooLong]",
        ]


def test_what_is_for_information_is_one_mail_for_all_branches(alertmanager: Alertmanager) -> None:
    memory = [an("HighMemoryUsage", job="service", instance=f"host-{number}") for number in range(3)]
    new = [an("TelemetryErrors", branch_name=branch, job="agent") for branch in ("a", "b", "c")]
    with alertmanager.firing(*memory, *new, summary="look"):
        until(lambda: alertmanager.mailed("HighMemoryUsage") and alertmanager.mailed("TelemetryErrors"))
        time.sleep(2 * INTERVAL)
        assert alertmanager.mailed("HighMemoryUsage") == ["INFO look (first of 3) [HighMemoryUsage]"]
        assert alertmanager.mailed("TelemetryErrors") == ["INFO look (first of 3) [TelemetryErrors]"]


def test_that_a_channel_fails_is_told_by_another_too(alertmanager: Alertmanager) -> None:
    with alertmanager.firing(an("NotificationsFailing", integration="pagerduty"), summary="pagerduty fails"):
        until(lambda: alertmanager.written("NotificationsFailing"))
        until(lambda: [each for each in alertmanager.paged("") if "pagerduty fails" in each["payload"]["summary"]])
        assert alertmanager.written("NotificationsFailing")[0]["color"] == "danger"


def test_the_watchdog_is_heard_every_few_minutes_and_never_of_its_end(alertmanager: Alertmanager) -> None:
    heard = alertmanager.receivers.watchdog
    before = len(heard)
    dog = an("Watchdog")
    with alertmanager.firing(dog):
        until(lambda: len(heard) == before + 1, 3)
        began = time.monotonic()
        until(lambda: len(heard) == before + 3, 3 * WATCHDOG)
        assert 2 * WATCHDOG - 1 < time.monotonic() - began < 2 * WATCHDOG + 2
    time.sleep(WATCHDOG + 1)
    assert len(heard) == before + 3
    assert {each["status"] for each in heard} == {"firing"}
    assert {alert["labels"]["alertname"] for each in heard for alert in each["alerts"]} == {"Watchdog"}


# ------------------------------------------------------------------------------------------------- what is not told

BRANCH = {"branch_name": "mitte"}
OTHER = {"branch_name": "süd"}


def symptoms(branch: Mapping[str, str]) -> list[Labels]:
    """What follows once a branch is away."""
    return [
        an("AgentSilent", agent_name="pc", **branch),
        an("PrinterNotServed", printer_name="bar", **branch),
        an("ReceiptWaitingTooLong", **branch),
        an("PrinterFailingInARow", printer_name="bar", **branch),
        an("LowPrintTestSuccessRate", **branch),
        an("ReceiptBudgetBurn", severity="critical", window="1h", **branch),
        an("ReceiptBudgetBurn", severity="warning", window="3d", **branch),
    ]


# For each rule, in its order: sources, each by itself; what each hushes; what none of them does.
CASES: list[tuple[list[Labels], list[Labels], list[Labels]]] = [
    ([an("ServiceSilent")], [an("AllDesktopAppsDisconnected")], [an("TargetDown", job="service"), an("HighErrorRate")]),
    (
        [an("ServiceSilent"), an("AllDesktopAppsDisconnected")],
        [an("BranchSilent", **BRANCH), an("BranchSilent", **OTHER), *symptoms(BRANCH), *symptoms(OTHER)],
        [
            an("ReceiptsHeld", **BRANCH),
            an("PrinterOutOfPaper", printer_name="bar", **BRANCH),
            an("NotificationsFailing", integration="slack"),
            an("TelemetryLost", job="agent"),
        ],
    ),
    (
        [an("AllDesktopAppsDisconnected")],
        [an("HighErrorRate", of="receipts")],
        [an("HighErrorRate", of="requests"), an("HighAuthenticationFailureRate")],
    ),
    (
        [an("BranchSilent", **BRANCH)],
        symptoms(BRANCH),
        [
            an("AgentSilent", agent_name="pc", **OTHER),
            *symptoms(OTHER)[2:-1],
            an("LowPrintTestSuccessRate"),  # of printers that there are not: of no branch
            an("ReceiptsHeld", **BRANCH),
            an("PrinterOutOfPaper", printer_name="bar", **BRANCH),
            an("ConnectionQualityDegraded", **BRANCH),
            an("AvailabilityBudgetBurn", severity="critical", window="1h"),
        ],
    ),
    (
        [an("AgentSilent", agent_name="pc", **BRANCH)],
        [an("PrinterNotServed", printer_name="bar", **BRANCH)],
        [
            an("PrinterNotServed", printer_name="bar", **OTHER),
            an("PrinterFailingInARow", printer_name="bar", **BRANCH),
            an("ReceiptWaitingTooLong", **BRANCH),
            an("AgentSilent", agent_name="laptop", **BRANCH),
        ],
    ),
    (
        [an("CredentialEndsSoon", severity="critical", agent_name="pc", **BRANCH)],
        [an("CredentialEndsSoon", severity="warning", agent_name="pc", **BRANCH)],
        [
            an("CredentialEndsSoon", severity="warning", agent_name="bar-pc", **BRANCH),
            an("CredentialEndsSoon", severity="warning", server_address="till", server_port="443"),
        ],
    ),
    (
        [an("ReceiptBudgetBurn", severity="critical", window="6h", **BRANCH)],
        [an("ReceiptBudgetBurn", severity="warning", window="1d", **BRANCH)],
        [
            an("ReceiptBudgetBurn", severity="critical", window="1h", **BRANCH),
            an("ReceiptBudgetBurn", severity="warning", window="1d", **OTHER),
            an("AvailabilityBudgetBurn", severity="warning", window="1d"),
            an("PrinterFailingInARow", printer_name="bar", **BRANCH),
        ],
    ),
    (
        [an("TargetDown", job="otelcol", instance="a"), an("TargetDown", job="printobs", instance="b")],
        [
            an("ExporterStale", job="agent"),
            an("AgentSilent", agent_name="pc", **BRANCH),
            an("PrinterNotServed", printer_name="bar", **BRANCH),
        ],
        [
            an("CollectorQueueNearlyFull", exporter="otlp_grpc/jaeger"),
            an("TargetDown", job="jaeger"),
            an("TelemetryLost", job="agent"),
            an("ReceiptWaitingTooLong", **BRANCH),
        ],
    ),
]
# Sources that look alike, and hush nothing.
OF_NO_RULE = [
    (an("TargetDown", job="jaeger"), an("ExporterStale", job="agent")),
    (an("TargetDown", job="otelcol"), an("ServiceSilent")),
    (an("AllDesktopAppsDisconnected"), an("ServiceSilent")),
    (an("BranchSilent", **BRANCH), an("BranchSilent", **OTHER)),
    (
        an("AvailabilityBudgetBurn", severity="critical", window="1h"),
        an("ReceiptBudgetBurn", severity="warning", window="1d"),
    ),
    (
        an("ReceiptBudgetBurn", severity="warning", window="1d"),
        an("ReceiptBudgetBurn", severity="warning", window="3d"),
    ),
    (an("LowPrintTestSuccessRate", **BRANCH), an("PrintTestSuccessBelowSLA")),
    (an("ConnectionQualityDegraded", **BRANCH), an("ConnectionQualityBelowSLA")),
]


def test_there_is_a_case_for_each_rule_and_for_each_alert_in_it() -> None:
    rules = configuration()["inhibit_rules"]
    assert len(CASES) == len(rules)
    for rule, (sources, hushed, _) in zip(rules, CASES, strict=True):
        for side, alerts in (("source_matchers", sources), ("target_matchers", hushed)):
            assert all(matches(rule[side], each) for each in alerts)
            named = {each["alertname"] for each in ruled() if matches(rule[side], each, ("alertname", "severity"))}
            missing = named - {each["alertname"] for each in alerts}
            # The two burn rates are one case.
            assert not missing or missing == {"AvailabilityBudgetBurn"}, missing


@pytest.mark.parametrize(
    ("source", "hushed", "told"),
    [(source, hushed, told) for sources, hushed, told in CASES for source in sources],
    ids=[f"{number}-{source['alertname']}" for number, (sources, _, _) in enumerate(CASES) for source in sources],
)
def test_what_follows_from_something_that_is_told_is_hushed_and_nothing_else(
    alertmanager: Alertmanager, source: Labels, hushed: list[Labels], told: list[Labels]
) -> None:
    with alertmanager.firing(source, *told):
        for each in hushed:  # one by one: they hush each other too
            with alertmanager.firing(each):
                until(lambda each=each: alertmanager.inhibited(each) == [source["alertname"]], 5)  # type: ignore[misc]
        for each in [source, *told]:
            assert alertmanager.inhibited(each) == [], each
    for each in hushed:
        with alertmanager.firing(each):
            until(lambda each=each: alertmanager.inhibited(each) == [], 5)  # type: ignore[misc]


@pytest.mark.parametrize(("source", "target"), OF_NO_RULE, ids=[source["alertname"] for source, _ in OF_NO_RULE])
def test_what_looks_like_a_source_hushes_nothing(alertmanager: Alertmanager, source: Labels, target: Labels) -> None:
    marker = an("BranchSilent", branch_name="marker"), an("AgentSilent", branch_name="marker")
    with alertmanager.firing(source, marker[0]), alertmanager.firing(target, marker[1]):
        until(lambda: alertmanager.inhibited(marker[1]), 5)
        assert alertmanager.inhibited(target) == []


def test_a_symptom_is_told_once_its_cause_is_over_and_it_is_not(alertmanager: Alertmanager) -> None:
    cause = an("BranchSilent", branch_name="hafen")
    symptom = an("PrinterFailingInARow", branch_name="hafen", printer_name="hafen-bar")
    with alertmanager.firing(symptom):
        with alertmanager.firing(cause):
            until(lambda: alertmanager.paged("hafen"))
            time.sleep(2 * INTERVAL)
            assert [each["payload"]["class"] for each in alertmanager.paged("hafen")] == ["BranchSilent"]
        until(lambda: "PrinterFailingInARow" in [each["payload"]["class"] for each in alertmanager.paged("hafen")])


# ---------------------------------------------------------------------------------------------------- what is written


def rendered(tmp_path: Path, template: str, *alerts: tuple[str, Labels, Labels]) -> str:
    """A template as Alertmanager makes it, of alerts as status, labels and annotations."""
    listed = [
        {"status": status, "labels": labels, "annotations": annotations} for status, labels, annotations in alerts
    ]
    common = {
        kind: dict(set.intersection(*(set(each[kind].items()) for each in listed)))  # type: ignore[attr-defined]
        for kind in ("labels", "annotations")
    }
    data = {
        "status": "firing" if any(status == "firing" for status, _, _ in alerts) else "resolved",
        "alerts": listed,
        "groupLabels": {"alertname": common["labels"]["alertname"]},
        "commonLabels": common["labels"],
        "commonAnnotations": common["annotations"],
    }
    (tmp_path / "data.json").write_text(json.dumps(data))
    said = amtool(
        *("template", "render", f"--template.glob={TEMPLATES}", f"--template.data={tmp_path / 'data.json'}"),
        f"--template.text={template}",
    )
    assert "no value" not in said
    return said.removesuffix("\n")


TITLE = '{{ template "printobs.title" . }}'
TEXT = '{{ template "printobs.text" . }}'


def kitchen(number: int = 0) -> Labels:
    return an("PrinterFailingInARow", branch_name="mitte", printer_name=f"mitte-kitchen-{number}")


def test_a_title_says_how_bad_where_what_and_how_much(tmp_path: Path) -> None:
    summary = {"summary": "mitte: mitte-kitchen-0 has failed 5 times in a row"}
    one = ("firing", kitchen(), summary)
    assert rendered(tmp_path, TITLE, one) == (
        "CRITICAL mitte: mitte-kitchen-0 has failed 5 times in a row [PrinterFailingInARow]"
    )
    over = ("resolved", kitchen(1), {"summary": "another"})
    assert rendered(tmp_path, TITLE, over, one).startswith("CRITICAL mitte: mitte-kitchen-0 has")
    assert rendered(tmp_path, TITLE, over).startswith("RESOLVED another [")


def test_what_an_alert_does_not_have_leaves_no_trace(tmp_path: Path) -> None:
    assert rendered(tmp_path, TITLE, ("firing", kitchen(), {})) == (
        "CRITICAL PrinterFailingInARow, mitte, mitte-kitchen-0 [PrinterFailingInARow]"
    )
    assert rendered(tmp_path, TITLE, ("firing", {"alertname": "New"}, {})) == "ALERT New [New]"
    assert rendered(tmp_path, TEXT, ("firing", {"alertname": "New"}, {})) == ""


def test_a_text_lists_some_alerts_and_counts_the_rest(tmp_path: Path) -> None:
    alerts = [("firing", kitchen(number), {"summary": f"printer {number}"}) for number in range(12)]
    lines = rendered(tmp_path, TEXT, *alerts).splitlines()
    assert lines == [*(f"• printer {number}" for number in range(10)), "… 12 in all"]
    mixed = [alerts[0], ("resolved", kitchen(1), {"summary": "printer 1"})]
    assert rendered(tmp_path, TEXT, *mixed).splitlines() == ["• printer 0", "Over:", "• printer 1"]
    assert rendered(tmp_path, TEXT, ("resolved", kitchen(), {}), mixed[1]).splitlines()[-1] == "• printer 1"


def test_a_long_text_is_cut_and_none_is_a_command_of_slack_s(tmp_path: Path) -> None:
    long = {"summary": "<!channel> " + "ä" * 1000, "description": "<@U1> " + "ö" * 1000}
    title = rendered(tmp_path, TITLE, ("firing", kitchen(), long))
    assert title.startswith("CRITICAL ‹!channel> ää")
    assert len(title) < 200
    text = rendered(tmp_path, TEXT, ("firing", kitchen(), long))
    assert text.startswith("‹@U1> öö")
    assert len(text) == 500


def test_an_alert_without_annotations_is_told_by_every_channel(alertmanager: Alertmanager) -> None:
    names = {"critical": "Bare1", "warning": "Bare2", "info": "Bare3"}
    alerts = [{"alertname": name, "severity": severity} for severity, name in names.items()]
    with alertmanager.firing(*alerts, runbook_url=""):
        until(lambda: alertmanager.written("Bare2") and alertmanager.mailed("Bare3"))
        until(lambda: [each for each in alertmanager.paged("") if "Bare1" in each["payload"]["summary"]])
    receivers = alertmanager.receivers
    mails = [each.as_string() for each in receivers.email]
    assert "no value" not in json.dumps(receivers.pagerduty) + json.dumps(receivers.slack) + "".join(mails)


# ------------------------------------------------------------------------------------------------- without the secrets


def test_a_channel_without_its_secret_tells_nobody_and_nothing_fails(tmp_path: Path) -> None:
    names = [each["name"] for each in configuration()["receivers"]]
    assert list(channels.missing(None)) == names
    assert set(channels.missing(None).values()) == SECRETS.keys()
    ports = Ports.free()
    with started(tmp_path, ports, tmp_path / "nowhere", lambda path: quick(path)):
        made = yaml.safe_load((tmp_path / "alertmanager" / "etc" / "alertmanager.yml").read_text())
        assert made["receivers"] == [{"name": name} for name in names]
        assert made["inhibit_rules"] == configuration()["inhibit_rules"]
        alone = Alertmanager(ports.alertmanager, None)  # type: ignore[arg-type]
        alone.post([an("ServiceSilent"), an("ReceiptsHeld"), an("HighMemoryUsage"), an("Watchdog")])
        time.sleep(WAIT + INTERVAL)
        assert len(get(f"{alone.url}/api/v2/alerts")) == 4
        assert alone.failed() == 0
    assert "err=" not in (tmp_path / "alertmanager.log").read_text()


def quick(path: Path) -> None:
    path.write_text(path.read_text().replace("group_wait: 30s", "group_wait: 1s"))


def test_a_channel_with_its_secret_is_left(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "slack_url").write_text("https://hooks.slack.example/services/T/B/secret")
    made = channels.configuration(tmp_path / "etc", tmp_path / "secrets")
    amtool("check-config", str(made / "alertmanager.yml"))
    whole = {each["name"]: each for each in configuration()["receivers"]}
    whole["slack"]["slack_configs"][0]["api_url_file"] = str(tmp_path / "secrets" / "slack_url")
    for each in yaml.safe_load((made / "alertmanager.yml").read_text())["receivers"]:
        assert each == (whole[each["name"]] if each["name"] == "slack" else {"name": each["name"]})
    assert channels.missing(tmp_path / "secrets").keys() == whole.keys() - {"slack"}


def test_one_line_says_which_channels_are_not_set_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(channels, "SECRETS", tmp_path)
    (tmp_path / "slack_url").touch()
    program._say("", {}, Ports())
    [line] = [line for line in capsys.readouterr().out.splitlines() if "no alert" in line]
    assert "by pagerduty, email, watchdog:" in line
    assert "README.md" in line
    for name in SECRETS:
        (tmp_path / name).touch()
    program._say("", {}, Ports())
    assert "no alert" not in capsys.readouterr().out


def test_a_container_reads_a_copy_that_nobody_else_on_the_machine_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secrets").mkdir(0o700)
    (tmp_path / "secrets" / "slack_url").touch(0o600)
    monkeypatch.setattr(channels, "SECRETS", tmp_path / "secrets")
    monkeypatch.delenv("ALERTMANAGER_FOLDER", raising=False)
    folder = Path(Compose(Ports(), tmp_path / "state")._environment["ALERTMANAGER_FOLDER"])

    def mode(path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    assert mode(folder.parent) == 0o700
    assert {mode(path) for path in (folder, *folder.rglob("*")) if path.is_dir()} == {0o755}
    assert {mode(path) for path in folder.rglob("*") if path.is_file()} == {0o644}
    assert (folder / "secrets" / "slack_url").is_file()
    assert not (folder / "secrets").is_symlink()
    assert {each["name"] for each in yaml.safe_load((folder / "alertmanager.yml").read_text())["receivers"]} == set(
        CHANNELS.values()
    )


def test_wherever_it_is_started_it_is_where_its_secrets_are() -> None:
    service = yaml.safe_load((COLLECTOR / "compose.yaml").read_text())["services"]["alertmanager"]
    mounted = service["volumes"][0]
    assert mounted["source"] == "${ALERTMANAGER_FOLDER:-./alertmanager}"
    assert service["working_dir"] == mounted["target"]
    assert f"--config.file={mounted['target']}/alertmanager.yml" in service["command"]
    unit = (COLLECTOR / "systemd" / "printobs-alertmanager.service").read_text()
    [folder] = re.findall(r"^WorkingDirectory=(.*)$", unit, re.MULTILINE)
    assert f"--config.file={folder}/alertmanager.yml" in unit


# ------------------------------------------------------------------------------------------------------- silence

Silenced = subprocess.CompletedProcess[str]


def silence(ports: Ports, *arguments: str) -> Silenced:
    return subprocess.run(
        [sys.executable, "-m", "collector.stack.silence", *arguments],
        cwd=ROOT,
        env={**os.environ, **{f"STACK_{name.upper()}": str(port) for name, port in asdict(ports).items()}},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def refused(done: Silenced) -> str:
    assert done.returncode == 2
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    return line


@pytest.fixture(scope="module")
def ports(alertmanager: Alertmanager) -> Ports:
    """Those of a stack with this Alertmanager, and nothing else."""
    return Ports(**{**asdict(Ports.free()), "alertmanager": alertmanager.port})


def test_one_branch_is_silenced_for_a_while(alertmanager: Alertmanager, ports: Ports) -> None:
    quiet, loud = 'o\'connell "1"', "loud"
    alerts = [an("BranchSilent", branch_name=name) for name in (quiet, loud)]
    done = silence(ports, quiet, "1h30m")
    assert (done.returncode, done.stderr) == (0, "")
    first, second, third = done.stdout.splitlines()
    assert first.startswith(f"nobody is told of {quiet} until ")
    identity = second.split()[-1]
    assert third == f"  to end it before: make silence END={identity}"
    [made] = [each for each in get(f"{alertmanager.url}/api/v2/silences") if each["id"] == identity]
    length = datetime.fromisoformat(made["endsAt"]) - datetime.fromisoformat(made["startsAt"])
    assert abs(length.total_seconds() - 5400) < 5
    with alertmanager.firing(*alerts):
        until(lambda: alertmanager.paged(loud))
        time.sleep(2 * INTERVAL)
        assert alertmanager.paged(quiet) == []
        assert "alerts that it has now: 1" in silence(ports, quiet, "1h").stdout

        for each in get(f"{alertmanager.url}/api/v2/silences"):
            assert f"silence {each['id']} has ended" in silence(ports, "--end", each["id"]).stdout
        until(lambda: alertmanager.paged(quiet))


def test_make_passes_on_what_is_typed(alertmanager: Alertmanager, ports: Ports) -> None:
    variables = {f"STACK_{name.upper()}": str(port) for name, port in asdict(ports).items()}
    made = ["make", "--no-print-directory", f"VENV={sys.prefix}", f"--old-file={sys.prefix}/.run", "silence"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}

    def typed(*words: str) -> str:
        done = subprocess.run(
            [*made, *words], cwd=ROOT, env={**environment, **variables}, capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    said = typed("BRANCH=o'connell 1", "FOR=2h")
    assert "nobody is told of o'connell 1 until" in said
    end = re.search(r"END=\S+", said)
    assert end is not None
    assert "has ended" in typed(end[0])
    assert "make silence BRANCH=mitte FOR=2h" in typed()


def test_what_cannot_be_silenced_is_said_in_one_line(alertmanager: Alertmanager, ports: Ports) -> None:
    before = get(f"{alertmanager.url}/api/v2/silences")
    assert "make silence BRANCH=mitte FOR=2h" in refused(silence(ports))
    assert "make silence BRANCH=mitte FOR=2h" in refused(silence(ports, "mitte"))
    for wrong in ("2", "two hours", "2h 30m", "-2h", "0m", "90d", "2s"):
        assert f"FOR is {wrong!r}: it must be " in refused(silence(ports, "--", "mitte", wrong))
    assert "END is the ID that was printed" in refused(silence(ports, "--end", "a/b"))
    assert "END is the ID that was printed" in refused(silence(ports, "--end", "0b8e1a3c-6a53-4d0c-9d3b-1f2a3c4d5e6f"))
    nobody = Ports.free()
    assert "STACK_ALERTMANAGER" in refused(silence(nobody, "mitte", "2h"))
    assert get(f"{alertmanager.url}/api/v2/silences") == before


class Agents(BaseHTTPRequestHandler):
    """Metrics of two branches."""

    def do_GET(self) -> None:
        said = b'agent_connected{branch_name="mitte"} 1\nagent_connected{branch_name="nord"} 1\n'
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_branch_that_prometheus_has_never_heard_of_is_a_mistake(
    alertmanager: Alertmanager, ports: Ports, tmp_path: Path
) -> None:
    [part] = [each for each in parts(ports, tmp_path, "1s") if each.name == "prometheus"]
    for path in (tmp_path / "prometheus" / "etc" / "rules").iterdir():
        path.unlink()  # this Prometheus alerts of nothing
    server = ThreadingHTTPServer(("127.0.0.1", ports.collector_metrics), Agents)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    running = Running(part, binaries.command("prometheus"), tmp_path / "prometheus.log")
    running.start()
    try:
        running.wait()
        known = f"http://127.0.0.1:{ports.prometheus}/api/v1/label/branch_name/values"
        until(lambda: len(get(known)["data"]) == 2)
        before = get(f"{alertmanager.url}/api/v2/silences")
        assert "no branch 'mitt', nothing is silenced: it may be mitte, nord" in refused(silence(ports, "mitt", "2h"))
        assert get(f"{alertmanager.url}/api/v2/silences") == before
        identity = silence(ports, "mitte", "2h").stdout.rpartition("END=")[2].strip()
        assert silence(ports, "--end", identity).returncode == 0
    finally:
        running.stop()
        server.shutdown()
        server.server_close()
        thread.join()
