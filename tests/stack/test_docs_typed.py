"""What runbooks, operations and troubleshooting have typed, typed: all that only asks, of a live backend.

Word for word but for the ports, which are free ones here. What changes something is tried where it is tested.
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
from examples.demo.stage import Stage
from tests.stack.backend import JOBS, Backend, submit, until
from tests.test_runbooks import Command, commands, urls

ROOT = Path(__file__).parents[2]
ASKED = [
    each
    for each in commands()
    if each.text.startswith("curl") and all(method == "GET" for method, _, _ in urls(each)) and ":3000" not in each.text
]
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
