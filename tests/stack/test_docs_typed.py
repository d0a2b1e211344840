"""What runbooks, operations and troubleshooting have typed, typed: all that ask or change something, on a live backend.

Word for word but for the ports, which are free ones here.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from collector.stack.stack import Stack
from examples.demo.client import Till
from examples.demo.stage import Stage
from examples.service.api_printers import AGENTS
from tests.stack.backend import JOBS, Backend, submit, until
from tests.test_runbooks import Command, commands, urls

ROOT = Path(__file__).parents[2]
CURL = [each for each in commands() if each.text.startswith("curl") and ":3000" not in each.text]
ASKED = [each for each in CURL if all(method == "GET" for method, _, _ in urls(each))]
CHANGING = {each.text for each in CURL} - {each.text for each in ASKED}
KNOWN = {"TOKEN", "MONTH", "PRINTER", "BRANCH", "AGENT", "JOB"}


@pytest.fixture(scope="module")
def typed(stack: Stack, stage: Stage, backend: Backend) -> Mapping[str, str]:
    """The variables that whoever types has; a receipt is printed."""
    job = submit(stage.till)["id"]
    until(lambda: stage.till.ask("GET", f"{JOBS}/{job}")["outcome"])
    until(lambda: backend.query("job_outcomes_total > 0"))
    return {
        "TOKEN": stage.token("operate print metrics"),
        "MONTH": str(int(time.time())),
        "PRINTER": "mitte-bar",
        "BRANCH": "mitte",
        "AGENT": "mitte-pc",
        "JOB": job,
    }


def typing(text: str, stack: Stack, stage: Stage, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    ports = {
        "9090": stack.ports.prometheus,
        "9093": stack.ports.alertmanager,
        "16686": stack.ports.jaeger,
        "8080": stage.url.rpartition(":")[2],
    }
    text = re.sub(r"127\.0\.0\.1:(\d+)", lambda found: f"127.0.0.1:{ports[found[1]]}", text)
    return subprocess.run(
        ["bash", "-c", text],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("command", ASKED, ids=lambda each: f"{each.page.stem}-{ASKED.index(each)}")
def test_it_is_answered(command: Command, stack: Stack, stage: Stage, typed: Mapping[str, str]) -> None:
    assert set(re.findall(r"\$(\w+)", command.text)) <= KNOWN, command.text
    done = typing(command.text, stack, stage, typed)
    assert done.returncode == 0, (command.text, done.stderr, done.stdout)
    assert done.stdout, command.text
    if "/api/v1/query" in command.text:
        answer = json.loads(done.stdout)
        assert answer["status"] == "success"
        assert "warnings" not in answer, answer["warnings"]


def test_what_changes_something_is_taken(stack: Stack, stage: Stage, typed: Mapping[str, str]) -> None:
    """Each with what it is for: one that waits is cancelled, one that is held released, who is away retired."""
    boss = Till(stage.url, typed["TOKEN"])
    left = set(CHANGING)

    def type_those(of: str, **named: str) -> None:
        those = {text for text in left if of in text}
        assert those, f"no page has {of} typed"
        for text in those:
            done = typing(text, stack, stage, {**typed, **named})
            assert done.returncode == 0, (text, done.stdout, done.stderr)
        left.difference_update(those)

    type_those("/api/v2/alerts")
    type_those("/test", PRINTER="mitte-bar")
    type_those("/reprint")

    stage.printers["mitte-kitchen"].ask("slow", speed=20)
    job = submit(stage.till, "mitte-kitchen")["id"]
    until(lambda: stage.printers["mitte-kitchen"].ask("status")["printing"])
    stage.agents["mitte"].kill()
    stage.start_agent("mitte")
    until(lambda: boss.ask("GET", f"{JOBS}?held=true")["jobs"])
    type_those("/release", JOB=job)

    stage.agents["wedding"].kill()
    until(lambda: not all(each["online"] for each in boss.ask("GET", AGENTS)["agents"]))
    type_those("/cancel", JOB=submit(stage.till, "wedding-kitchen")["id"])
    type_those("/reassign", PRINTER="wedding-kitchen", AGENT="other", NEW="other")
    type_those("/printers/$PRINTER/retire", PRINTER="wedding-kitchen")
    type_those("/agents/$BRANCH/$AGENT/retire", BRANCH="wedding", AGENT="wedding-pc")
    assert left == set()
