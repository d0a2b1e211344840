"""A failing test print, followed by the command through the live backend to PagerDuty, and back; rules in a hurry."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from collector.stack import walk
from collector.stack.channels import configuration
from collector.stack.ports import Ports
from collector.stack.stack import Stack
from examples.demo.stage import Stage
from tests.certificates import certificate
from tests.stack.backend import Backend, restart, telemetry, until
from tests.stack.receivers import Receivers
from tests.stack.shortened import hurry
from tests.stack.test_alertmanager import shortened

ROOT = Path(__file__).parents[2]
FACTOR = 60
STEPS = ["before", "test print", "pending", "firing", "Alertmanager", "told", "over", "resolved", "told"]

CRITICAL = 'ALERTS{severity="critical"}'


@pytest.fixture(scope="module")
def receivers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receivers]:
    with Receivers(certificate(tmp_path_factory.mktemp("certificate"))) as listening:
        yield listening
    assert listening.refused == []


@pytest.fixture(scope="module")
def backend(receivers: Receivers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """One that tells the receivers, and takes a second for each minute."""
    state = tmp_path_factory.mktemp("stack")
    with Stack(Ports.free(), state, "1s", secrets=receivers.secrets(state / "secrets")) as stack:
        hurry(stack, FACTOR)
        shortened(state / "alertmanager" / "etc" / "alertmanager.yml", receivers, state / "no authority")
        restart(stack.running["alertmanager"])
        yield Backend(stack)


@pytest.fixture(scope="module")
def stage(backend: Backend, receivers: Receivers) -> Iterator[Stage]:
    def quiet() -> bool:
        told = [each["event_action"] for each in receivers.pagerduty]
        known = backend.query('printobs_clock_seconds{job="service"}')
        return bool(known) and not backend.query(CRITICAL) and told.count("trigger") == told.count("resolve")

    with Stage(telemetry(backend.otlp)) as running:
        # That there was no service pages too, and would be taken for the walk's.
        until(quiet, 60)
        yield running


@pytest.fixture
def environment(backend: Backend, stage: Stage) -> dict[str, str]:
    """As somebody has it who is on call."""
    ports = {f"STACK_{name.upper()}": str(port) for name, port in asdict(backend.stack.ports).items()}
    return {**ports, "SERVICE": stage.url, "TOKEN": stage.token("operate print metrics")}


def walked(environment: dict[str, str], *arguments: str) -> tuple[int, list[str], str]:
    """The exit status of the command, its lines, and what it says where it refuses."""
    done = subprocess.run(
        [sys.executable, "-m", "collector.stack.walk", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout.splitlines(), done.stderr


def paged(receivers: Receivers) -> list[dict[str, Any]]:
    return [each for each in receivers.pagerduty if each["payload"]["class"] == "LowPrintTestSuccessRate"]


@contextmanager
def silenced(backend: Backend, alert: str) -> Iterator[None]:
    now = datetime.now(UTC)
    silence = {
        "matchers": [{"name": "alertname", "value": alert, "isRegex": False, "isEqual": True}],
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(minutes=5)).isoformat(),
        "createdBy": "a test",
        "comment": "a test",
    }
    url = f"http://127.0.0.1:{backend.stack.ports.alertmanager}/api/v2/silence"
    request = urllib.request.Request(f"{url}s", json.dumps(silence).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        made = json.load(response)["silenceID"]
    yield
    with urllib.request.urlopen(urllib.request.Request(f"{url}/{made}", method="DELETE"), timeout=10):
        pass


def test_nobody_is_woken_unasked(backend: Backend, environment: dict[str, str]) -> None:
    status, lines, said = walked(environment)
    assert (status, lines) == (2, [])
    assert said.startswith("LowPrintTestSuccessRate is critical, pagerduty wakes somebody")
    assert said.endswith("make walk ARGS=--page\n")
    assert backend.value('job_outcomes_total{error_type="not_found"}') == 0


def test_what_is_wrong_is_one_line_that_says_what_to_do(environment: dict[str, str]) -> None:
    nowhere = f"http://127.0.0.1:{Ports.free().jaeger}"
    wrong = [
        ({"TOKEN": ""}, "the service answers 401: TOKEN is empty, docs/runbooks/README.md"),
        ({"TOKEN": "not.a.token"}, "the service answers 401: TOKEN is not good for it, docs/runbooks/README.md"),
        ({"SERVICE": nowhere}, f"nothing answers at {nowhere}"),
        ({"SERVICE": "till"}, "nothing answers at till (unknown url type"),
        (
            {"SERVICE": f"http://127.0.0.1:{environment['STACK_JAEGER']}"},
            f"http://127.0.0.1:{environment['STACK_JAEGER']}",
        ),
        ({"STACK_ALERTMANAGER": nowhere.rpartition(":")[2]}, f"{nowhere} does not answer"),
        ({"STACK_PROMETHEUS": environment["STACK_JAEGER"]}, "http://127.0.0.1:"),
        ({"STACK_PROMETHEUS": "none"}, "STACK_PROMETHEUS is 'none'"),
    ]
    for variables, message in wrong:
        status, lines, said = walked({**environment, **variables}, "--page")
        assert status == 2, variables
        assert said.startswith(message), said
        assert said.count("\n") == 1, said
        assert len(lines) <= 1  # how long it would have taken


def test_it_is_followed_to_whoever_is_woken_and_back(
    backend: Backend, receivers: Receivers, environment: dict[str, str]
) -> None:
    tests = 'job_outcomes_total{error_type="not_found",printer_job_kind="test"}'
    before, told = backend.value(tests), len(paged(receivers))
    status, lines, said = walked(environment, "--page")
    assert (status, said) == (0, ""), (lines, said)
    assert [re.fullmatch(r"\d\d:\d\d:\d\d  (.{14})(\S.*)", line)[1].strip() for line in lines] == STEPS  # type: ignore[index]
    assert "pagerduty will be told" in lines[0]
    assert lines[1].endswith("for no-such-printer, which is not there: a test that has failed; pending within 2 min")
    assert lines[2].endswith(": once it has lasted 5 s it fires, within 66 s")
    assert lines[4].endswith(": it is for pagerduty, and told within 61 s")
    assert lines[6].endswith(": the test print is older than 15 s")
    assert backend.value(tests) == before + 1

    trigger, resolve = paged(receivers)[told:]
    assert (trigger["event_action"], resolve["event_action"]) == ("trigger", "resolve")
    assert trigger["dedup_key"] == resolve["dedup_key"]
    assert trigger["payload"]["summary"] == "CRITICAL 100% of test prints fail [LowPrintTestSuccessRate]"


def test_a_silence_ends_it_and_another_walk_waits_for_its_end(
    backend: Backend, receivers: Receivers, environment: dict[str, str]
) -> None:
    before = len(paged(receivers))
    with silenced(backend, "LowPrintTestSuccessRate"):
        status, lines, said = walked(environment, "--page")
        assert status == 1
        assert re.fullmatch("Alertmanager tells nobody, since it is silenced: make silence END=[0-9a-f-]{36}\n", said)
        assert [line[10:24].strip() for line in lines] == STEPS[:4]
        status, lines, said = walked(environment, "--page")
        assert (status, lines) == (2, [])
        assert said.startswith("LowPrintTestSuccessRate is there already")
        until(lambda: not backend.query('ALERTS{alertname="LowPrintTestSuccessRate"}'))
    assert len(paged(receivers)) == before


def test_a_channel_that_takes_nothing_is_named(
    backend: Backend, receivers: Receivers, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = backend.stack.state / "alertmanager" / "etc" / "alertmanager.yml"
    path.write_text(path.read_text().replace(receivers.pagerduty_url, f"http://127.0.0.1:{Ports.free().jaeger}"))
    restart(backend.stack.running["alertmanager"])
    monkeypatch.setattr(walk, "PATIENCE", 3.0)
    steps = []
    with pytest.raises(walk.Lost, match=r"^told: not within 4 s: pagerduty does not take it"):
        for step, _ in walk.walk(backend.stack.ports, stage.url, stage.token("print"), page=True):
            steps.append(step)
    assert steps == STEPS[:5]
    until(lambda: not backend.query('ALERTS{alertname="LowPrintTestSuccessRate"}'))


def test_where_nobody_can_be_told_it_goes_on_and_says_so(backend: Backend, environment: dict[str, str]) -> None:
    configuration(backend.stack.state / "alertmanager" / "etc", None)
    restart(backend.stack.running["alertmanager"])
    status, lines, said = walked(environment)
    assert (status, said) == (0, ""), (lines, said)
    assert [line[10:24].strip() for line in lines] == STEPS[:-1]
    assert "nobody will be told" in lines[0]
    assert "nobody, for Alertmanager has no secret of pagerduty" in lines[5]
