"""The same backend by Compose, where a container engine answers: the same files, and Grafana."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from collector.stack import channels
from collector.stack.pins import COLLECTOR
from collector.stack.ports import Ports
from collector.stack.stack import Broken

FILE: Final = COLLECTOR / "compose.yaml"
PARTS: Final = ("jaeger", "alertmanager", "prometheus", "otelcol")
PATIENCE: Final = 180  # seconds until all of them must be ready


def answers() -> bool:
    """Whether there is an engine, and Compose."""
    if shutil.which("docker") is None:
        return False
    return all(
        subprocess.run(["docker", *command], stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0
        for command in (("version",), ("compose", "version"))
    )


class Compose:
    """A context manager: entered, the containers of the backend are ready; left, they are stopped, and keep their data.

    Its secrets are made once and kept in ``state``, unless ``SERVICE_ENV`` and ``GRAFANA_ENV`` name files with them;
    Alertmanager's configuration is a copy there, unless ``ALERTMANAGER_FOLDER`` names another.
    Raises `collector.stack.stack.Broken`.
    """

    def __init__(self, ports: Ports, state: Path) -> None:
        self._environment = {
            **os.environ,
            "OTLP_GRPC_PORT": str(ports.otlp_grpc),
            "OTLP_HTTP_PORT": str(ports.otlp_http),
            "COLLECTOR_HEALTH_PORT": str(ports.collector_health),
            "JAEGER_PORT": str(ports.jaeger),
            "PROMETHEUS_PORT": str(ports.prometheus),
            "ALERTMANAGER_PORT": str(ports.alertmanager),
        }
        folder = state.resolve() / "compose"  # Compose would look for a relative one beside its own file
        for name, variable in (("service", "SERVICE_JWT_SECRET"), ("grafana", "GF_SECURITY_ADMIN_PASSWORD")):
            if f"{name.upper()}_ENV" not in os.environ:
                self._environment[f"{name.upper()}_ENV"] = str(_secret(folder / f"{name}.env", variable))
        if "ALERTMANAGER_FOLDER" not in os.environ:
            self._environment["ALERTMANAGER_FOLDER"] = str(_alertmanager(folder))
        self.pages = {
            "jaeger": f"http://127.0.0.1:{ports.jaeger}",
            "alertmanager": f"http://127.0.0.1:{ports.alertmanager}",
            "prometheus": f"http://127.0.0.1:{ports.prometheus}",
        }

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:  # Ctrl-C too: it may take minutes
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        if not self._up(*PARTS):
            raise Broken("Compose cannot start it, for the reason above; STACK_BY=native runs it without containers")
        if self._up("grafana"):
            password = self._environment["GRAFANA_ENV"]
            self.pages["grafana"] = f"http://127.0.0.1:{self._environment.get('GRAFANA_PORT', '3000')} ({password})"
        else:
            sys.stderr.write("Grafana cannot be started, for the reason above; the rest does without it\n")

    def __exit__(self, *_: object) -> None:
        self._compose("stop", *PARTS, "grafana")

    def _up(self, *names: str) -> bool:
        return self._compose("up", "--detach", "--wait", "--wait-timeout", str(PATIENCE), *names) == 0

    def _compose(self, *arguments: str) -> int:
        command = ["docker", "compose", "--file", str(FILE), *arguments]
        # Ctrl-C is for this process, which stops them.
        return subprocess.run(
            command, env=self._environment, stdin=subprocess.DEVNULL, check=False, start_new_session=True
        ).returncode


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Broken(f"cannot write {path}: {error.strerror}; name another folder in STACK_STATE") from None


def _secret(path: Path, variable: str) -> Path:
    if not path.exists():
        with _writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(0o600)
            path.write_text(f"{variable}={secrets.token_urlsafe(48)}\n")
    return path


def _alertmanager(folder: Path) -> Path:
    """Its own user reads it in the container; on this machine nobody else gets to it."""
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        made = channels.configuration(folder / "alertmanager", channels.SECRETS, copied=True)
        for path in (made, *made.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
    return made
