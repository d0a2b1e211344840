"""The service and the agents as real processes."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from examples.service import tokens
from printobs.testing import OtlpSink
from tests.nursery import ROOT, nursery

SECRET = "not a secret, but long enough for HS256"
AUDIENCE = "printobs-service"


def token(subject: str = "till", scope: str = "print", branch: str | None = None, **changes: Any) -> str:
    """A token as the service takes it."""
    settings = {"secret": SECRET, "audience": AUDIENCE, "lifetime": 600, **changes}
    return tokens.issue(subject=subject, scopes=scope.split(), branch=branch, **settings)


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def exporting(sink: OtlpSink) -> dict[str, str]:
    """Variables of a process that exports to ``sink``, often."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": sink.endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_BLRP_SCHEDULE_DELAY": "100",
        "OTEL_METRIC_EXPORT_INTERVAL": "500",
    }


def running_first(folder: Path) -> dict[str, str]:
    """Variables of a process that runs ``sitecustomize.py`` of this folder before all else."""
    path = [str(folder), str(ROOT), os.environ.get("PYTHONPATH")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, path))}


class Process:
    """A process that says on standard output when it is ready."""

    def __init__(self, module: str, environment: Mapping[str, str]) -> None:
        (out, says), (errors, complains) = os.pipe(), os.pipe()
        self._out, self._err = os.fdopen(out, encoding="utf-8"), os.fdopen(errors, encoding="utf-8")
        try:
            self.process = nursery().start(module, environment, says, complains)
        finally:
            os.close(says)
            os.close(complains)
        self.errors: list[str] = []
        self._left: list[Path] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        self.errors.extend(self._err)

    def ready(self) -> dict[str, Any]:
        """The next line that it says."""
        line = self._out.readline()
        if not line:
            self.process.wait(10)
            self._reader.join(5)
            raise AssertionError("".join(self.errors))
        answer: dict[str, Any] = json.loads(line)
        return answer

    def event(self, name: str) -> dict[str, Any]:
        """The next event of this name, past all others."""
        while (said := self.ready()).get("event") != name:
            pass
        return said

    def leave_behind(self, folder: Path) -> None:
        """Remove a folder once it has been stopped."""
        self._left.append(folder)

    def stop(self) -> int:
        """End it with SIGTERM; its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        code = self.process.wait(15)
        self._reader.join(5)
        self._out.close()
        self._err.close()
        for folder in self._left:
            shutil.rmtree(folder)
        return code


@contextmanager
def service(**environment: str) -> Iterator[Service]:
    """A service on a free port, with a database of its own unless it is given one."""
    with tempfile.TemporaryDirectory() as folder:
        defaults = {
            "SERVICE_PORT": "0",
            "SERVICE_JWT_SECRET": SECRET,
            "SERVICE_DATABASE": str(Path(folder, "service.db")),
        }
        process = Process("examples.service", {**defaults, **environment})
        try:
            yield Service(process, process.ready()["url"])
        finally:
            process.stop()


@contextmanager
def agent(
    url: str, printers: Mapping[str, str], branch: str = "mitte", home: Path | None = None, **environment: str
) -> Iterator[Process]:
    """An agent that has joined with ``printers``; its journal is in ``home``, or else a new one."""
    process = start_agent(url, printers, branch, home, **environment)
    try:
        process.event("joined")
        yield process
    finally:
        process.stop()


def start_agent(
    url: str, printers: Mapping[str, str], branch: str = "mitte", home: Path | None = None, **environment: str
) -> Process:
    """An agent that may be refused. ``printers``: name to address, with ``?proof=process_id`` where it can prove."""
    folder = home or Path(tempfile.mkdtemp(prefix="printobs-agent-"))
    process = Process("examples.agent", {"AGENT_CONFIG": str(configure(folder, url, printers, branch)), **environment})
    if home is None:
        process.leave_behind(folder)
    return process


def configure(folder: Path, url: str, printers: Mapping[str, str], branch: str = "mitte") -> Path:
    """The settings of an agent, with its token beside them."""
    (folder / "agent.token").write_text(token(f"agent-{branch}", "agent", branch) + "\n")
    lines = [
        "[agent]",
        f'service_url = "{url.replace("http", "ws", 1)}/ws/agent"',
        'token_file = "agent.token"',
        f'branch = "{branch}"',
        f'name = "{branch}-pc"',
    ]
    for name, address in printers.items():
        where, proof = address.removesuffix("?proof=process_id"), address.endswith("?proof=process_id")
        lines += ["[[printers]]", f'name = "{name}"', f'address = "{where}"']
        lines += ['proof = "process_id"'] if proof else []
    path = folder / "agent.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


class Service:
    """A client of a service."""

    def __init__(self, process: Process, url: str) -> None:
        self.process = process
        self.url = url
        self.websocket = url.replace("http", "ws", 1)
        self.token = token()

    def ask(
        self, method: str, path: str, body: Any = None, *, bearer: str | None = "", **headers: str
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Status, JSON and headers of an answer; ``body`` as JSON, or as it is where it is bytes."""
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=10)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if bearer is not None:
            sent["Authorization"] = f"Bearer {bearer or self.token}"
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        if content is not None:
            sent.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, content, sent)
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        answer = json.loads(text) if "json" in response.getheader("Content-Type", "") else {"text": text.decode()}
        return response.status, answer, {name.lower(): value for name, value in response.getheaders()}

    def submit(self, printer: str, text: str = "2 x Ramen\n", **more: Any) -> dict[str, Any]:
        """An accepted job."""
        receipt = {"elements": [{"type": "text", "text": text}, {"type": "cut"}]}
        status, job, _ = self.ask("POST", "/api/v1/printing/jobs", {"printer": printer, "receipt": receipt, **more})
        assert status == 202, job
        return job

    def metric(self, name: str, **labels: str) -> float:
        """The sum over the series of ``name`` that have these labels, as Prometheus would see them."""
        answer = self.ask("GET", "/api/v1/metrics", bearer=token("prometheus", "metrics"))[1]
        total = 0.0
        for line in answer["text"].splitlines():
            found = re.fullmatch(rf"{name}(?:\{{(.*)\}})? (\S+)", line)
            if found and all(f'{label}="{value}"' in (found[1] or "") for label, value in labels.items()):
                total += float(found[2])
        return total

    def until_metric(self, name: str, value: float, within: float = 5.0, **labels: str) -> None:
        """Wait until `metric` is that."""
        deadline = time.monotonic() + within
        while (last := self.metric(name, **labels)) != value:
            assert time.monotonic() < deadline, f"{name} is {last}"
            time.sleep(0.05)

    def ended(self, identifier: str, within: float = 15.0) -> dict[str, Any]:
        """The job, once it has an outcome."""
        return self.until(identifier, lambda job: job["outcome"] is not None, within)

    def until(self, identifier: str, done: Callable[[dict[str, Any]], bool], within: float = 15.0) -> dict[str, Any]:
        """The job, once ``done`` says so."""
        deadline = time.monotonic() + within
        while True:
            _, job, _ = self.ask("GET", f"/api/v1/printing/jobs/{identifier}")
            if done(job):
                return job
            assert time.monotonic() < deadline, job
            time.sleep(0.02)
