"""Everything that plays: an OTLP sink, three printers, a service, two agents."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

from examples.demo.client import Till
from examples.demo.processes import Broken, Process
from examples.service import tokens
from printobs.testing import OtlpSink

PRINTERS: Final = {"mitte-kitchen": "mitte", "mitte-bar": "mitte", "wedding-kitchen": "wedding"}
SPEED: Final = 2400.0  # dots per second: 300 mm/s at 203 dpi
AUDIENCE: Final = "printobs-service"


class Stage:
    """A context manager: entered, everything is ready; left, everything has ended.

    ``telemetry``: the variables that say where it is exported to, and how; without them to ``sink``, in this process.
    """

    sink: OtlpSink

    def __init__(self, telemetry: Mapping[str, str] | None = None) -> None:
        self._stack = ExitStack()
        self._telemetry = telemetry
        self._secret = secrets.token_urlsafe(48)
        self.printers: dict[str, Process] = {}
        self.agents: dict[str, Process] = {}  # by branch
        self._agents: dict[str, Mapping[str, str]] = {}  # what each is started with

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="printobs-demo-")))
        telemetry = self._telemetry or self._to_sink()
        for name in PRINTERS:
            arguments = ("--name", name, "--speed", str(SPEED))
            self.printers[name] = self._process(name, "printobs.testing", *arguments)
        service = self._process(
            "service",
            "examples.service",
            SERVICE_PORT="0",
            SERVICE_DATABASE=str(self._folder / "service.db"),
            SERVICE_JWT_SECRET=self._secret,
            SERVICE_JWT_AUDIENCE=AUDIENCE,
            **telemetry,
        )
        ports = {name: each.line()["port"] for name, each in self.printers.items()}
        self.url = str(service.line()["url"])
        for branch in sorted(set(PRINTERS.values())):
            self._agents[branch] = {
                "AGENT_CONFIG": str(self._settings(branch, ports)),
                "AGENT_TOKEN": self.token("agent", branch),
                **telemetry,
            }
            self.start_agent(branch)
        self.till = Till(self.url, self.token("print"))

    def start_agent(self, branch: str, **environment: str) -> None:
        """Start a branch's agent, again where it has ended; returns once it has joined."""
        agent = self._process(f"agent-{branch}", "examples.agent", **self._agents[branch], **environment)
        self.agents[branch] = agent
        while agent.line()["event"] != "joined":
            pass

    def _to_sink(self) -> Mapping[str, str]:
        self.sink = self._stack.enter_context(OtlpSink())
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.sink.endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "500",
            "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        }

    def _settings(self, branch: str, ports: Mapping[str, int]) -> Path:
        """The settings of a branch's agent."""
        path = self._folder / f"agent-{branch}.toml"
        printers = "".join(
            f"""
[[printers]]
name = "{name}"
address = "tcp://127.0.0.1:{port}"
proof = "process_id"
"""
            for name, port in ports.items()
            if PRINTERS[name] == branch
        )
        path.write_text(
            f"""
[agent]
service_url = "{self.url.replace("http", "ws", 1)}/ws/agent"
branch = "{branch}"
name = "{branch}-pc"
journal = "journal-{branch}.db"
{printers}"""
        )
        return path

    def _process(self, name: str, module: str, *arguments: str, **environment: str) -> Process:
        return self._stack.enter_context(Process(name, module, *arguments, logs=self._folder, **environment))

    def token(self, scope: str, branch: str | None = None) -> str:
        """A token for twelve hours, for whoever looks around afterwards; an agent's is for a month, as agents need."""
        return tokens.issue(
            self._secret,
            audience=AUDIENCE,
            subject=f"agent-{branch}" if branch else "demo",
            scopes=scope.split(),
            lifetime=30 * 86_400 if branch else 43_200,
            branch=branch,
        )

    def settle(self, within: float) -> None:
        """Wait until no printer moves any more; raises `Broken`."""
        deadline = time.monotonic() + within
        for printer in self.printers.values():
            quiet, received = 0, -1
            while quiet < 3:
                status = printer.ask("status")
                busy = status["buffered"] or status["printing"] or status["received"] != received
                quiet, received = 0 if busy else quiet + 1, status["received"]
                if time.monotonic() > deadline:
                    raise Broken(f"{printer.name} does not come to rest: {status}")
                time.sleep(0.1)
