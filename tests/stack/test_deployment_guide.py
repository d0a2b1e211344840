"""docs/deployment.md, word for word: its commands are typed into a shell, on the ports that it names."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from collector.stack import binaries
from tests.nursery import ROOT

pytestmark = pytest.mark.timeout(420)


def commands(heading: str) -> list[str]:
    """The indented blocks under a heading."""
    page = (ROOT / "docs" / "deployment.md").read_text()
    [section] = re.findall(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#)", page, re.MULTILINE | re.DOTALL)
    lines = section.splitlines()
    blocks = [
        [line[4:] for line in group]
        for indented, group in itertools.groupby(lines, lambda line: line.startswith("    ") or not line.strip())
        if indented
    ]
    return [text for block in blocks if (text := "\n".join(block).strip())]


class Terminal:
    """A shell in a checkout; what it and its background jobs write is in ``output``."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.output = ""
        self._count = itertools.count()
        self.process = subprocess.Popen(
            ["bash", "--norc"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._typed: IO[str] = self.process.stdin
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self._reader.start()
        self.type("trap 'echo \"FAILED: $BASH_COMMAND\"' ERR")

    def _read(self, stdout: IO[str]) -> None:
        with stdout:
            for line in stdout:
                self.output += line

    def type(self, text: str, within: float = 60.0) -> str:
        """Type ``text`` and wait until the shell is back; what was written meanwhile. A command may not fail."""
        before, mark = len(self.output), f"done-{next(self._count)}"
        self._typed.write(f"{text}\necho {mark}\n")
        self._typed.flush()
        self.until(lambda: f"{mark}\n" in self.output[before:], within)
        said = self.output[before:]
        assert "FAILED: " not in said, said
        return said.replace(f"{mark}\n", "")

    def until(self, found: Callable[[], bool], within: float = 60.0) -> None:
        deadline = time.monotonic() + within
        while not found():
            assert time.monotonic() < deadline, self.output
            assert self.process.poll() is None, self.output
            time.sleep(0.1)

    def close(self) -> None:
        """End the shell and all that it has started."""
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        time.sleep(1)  # the service writes down what it has
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self._typed.close()
        self._reader.join(5)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """This one without what others set for the deployment; Prometheus is on PATH."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "bin").mkdir()
    (folder / "bin" / "prometheus").symlink_to(binaries.command("prometheus"))
    others = ("OTEL_", "SERVICE_", "AGENT_", "STACK_", "MAKE", "VENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return {
        **kept,
        "PATH": f"{folder / 'bin'}:{kept['PATH']}",
        "STACK_STATE": str(folder / "state"),
        "STACK_BY": "native",
        "PYTHON": sys.executable,
        "PYTHONUNBUFFERED": "1",
    }


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this one, whose .venv is the virtual environment of these tests."""
    folder = tmp_path_factory.mktemp("checkout") / "printobs"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".git", ".venv*", ".*_cache", "__pycache__", ".demo"))
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


@pytest.fixture(scope="module")
def terminals(checkout: Path, environment: dict[str, str]) -> Iterator[Callable[[], Terminal]]:
    opened: list[Terminal] = []

    def terminal() -> Terminal:
        opened.append(Terminal(checkout, environment))
        return opened[-1]

    yield terminal
    for each in reversed(opened):
        each.close()


@pytest.fixture(scope="module")
def backend(terminals: Callable[[], Terminal]) -> Terminal:
    """The terminal in which ``make stack`` runs."""
    terminal = terminals()
    terminal.type("make stack & STACK=$!")
    terminal.until(lambda: "everything is ready" in terminal.output, 90)
    return terminal


@pytest.fixture(scope="module")
def till(terminals: Callable[[], Terminal], backend: Terminal) -> Terminal:
    """The terminal in which the deployment runs, once it has printed."""
    deployment, printing, *_ = commands("From nothing to a receipt in it")
    terminal = terminals()
    terminal.type(deployment)
    terminal.until(lambda: '"event": "joined"' in terminal.output)
    said = terminal.type(printing)
    assert re.findall(r'"state": ?"(\w+)"', said) == ["queued", "queued"]
    return terminal


def test_each_command_says_that_it_is_healthy(till: Terminal) -> None:
    health = commands("From nothing to a receipt in it")[2]
    assert "http://127.0.0.1:3000/api/health" in health
    targets, *_ = health.splitlines()
    till.until(lambda: till.type(f"{targets} || :").count('"up"') == 5)  # it has just been started
    # Grafana runs under Compose alone.
    said = till.type("\n".join(line for line in health.splitlines() if "under Compose" not in line))
    assert re.findall(r'"health":"(\w+)"', said) == ["up"] * 5
    confirmed = re.findall(r'^job_outcomes_total{.*printer_job_outcome="confirmed".*} (.*)$', said, re.MULTILINE)
    assert confirmed == ["1.0", "1.0"]  # a receipt, a test print
    alerts = json.loads(said.rstrip().splitlines()[-1])
    assert {alert["labels"]["alertname"] for alert in alerts} <= {"Watchdog"}


def test_what_is_known_half_a_minute_later(till: Terminal) -> None:
    *queries, doctor = commands("From nothing to a receipt in it")[3].splitlines()
    assert (len(queries), doctor) == (3, "make doctor")
    connections, prints, traces = (answered(till, query) for query in queries)
    assert [each["value"][1] for each in connections if each["metric"].get("client_type") == "desktop"] == ["1"]
    assert sum(float(each["value"][1]) for each in prints) > 0
    assert {process["serviceName"] for each in traces for process in each["processes"].values()} == {"service", "agent"}
    till.until(lambda: "all-is-well" in till.type(f"{doctor} && echo all-is-well || :"), 60)


def answered(till: Terminal, query: str) -> list[dict[str, Any]]:
    """What a query finds, once it finds something."""
    found: list[dict[str, Any]] = []

    def asked() -> bool:
        said = till.type(query)
        # What the service logs meanwhile comes in between.
        data = json.JSONDecoder().raw_decode(said, re.search(r'{"(status|data)"', said).start())[0]["data"]  # type: ignore[union-attr]
        found[:] = data["result"] if isinstance(data, dict) else data
        return bool(found)

    till.until(asked, 120)
    return found


def test_without_a_collector_prometheus_reads_the_service_itself(till: Terminal, backend: Terminal) -> None:
    own = till.type("$TILL/metrics | grep 'job_outcomes_total{.*confirmed'")
    counted = sum(float(line.rpartition(" ")[2]) for line in own.strip().splitlines())
    assert counted == 2
    backend.type("kill $STACK; wait $STACK || :", 60)
    [block] = commands("Without a Collector")
    *preparing, prometheus = block.splitlines()
    till.type("\n".join(preparing))
    till.type(f"{prometheus} &")
    query = "curl -sG http://127.0.0.1:9090/api/v1/query --data-urlencode query='sum(job_outcomes_total)'"
    till.until(lambda: "success" in till.type(f"{query} || :"))
    assert float(answered(till, query)[0]["value"][1]) == counted
