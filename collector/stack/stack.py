"""The whole backend as processes of this one: started in order, each once the ones before it are ready, and stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from collector.stack import binaries, queue
from collector.stack.parts import Part, parts
from collector.stack.ports import Ports

START: Final = 60.0  # seconds until a part must be ready: Prometheus may have a log to replay
STOP: Final = 20.0  # seconds until it is killed

_TELLING: Final = ("error", "err=", "cannot", "invalid", "fatal", "panic")


class Broken(Exception):  # noqa: N818 - reads as what happened
    """A part that does not start, or has ended; says why, from its log."""


class Running:
    """One part as a process; `start` and `stop` may alternate."""

    def __init__(self, part: Part, program: Path, log: Path) -> None:
        self.part = part
        self.log = log
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; returns at once."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._program), *self.part.arguments],
                env={**_inherited(), **self.part.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the stack, which stops them in order
            )

    def wait(self, within: float = START) -> None:
        """Until it is ready; raises `Broken`."""
        deadline = time.monotonic() + within
        while not answers(self.part.ready):
            if self.ended():
                raise Broken(f"{self.part.name} has ended: {self.why()} (all of it: {self.log})")
            if time.monotonic() > deadline:
                raise Broken(
                    f"{self.part.name} is not ready after {within:.0f} s: {self.why()} (all of it: {self.log})"
                )
            time.sleep(0.1)

    @property
    def pid(self) -> int:
        """That of its process, which has been started."""
        assert self._process is not None
        return self._process.pid

    def ended(self) -> bool:
        """Whether it is no more."""
        return self._process is None or self._process.poll() is not None

    def stop(self, within: float = STOP) -> None:
        """End it: politely, then not."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def why(self) -> str:
        """What its log says last that sounds like a reason, and what follows it."""
        try:
            lines = [line for line in self.log.read_text(errors="replace").splitlines()[-40:] if line.strip()]
        except OSError:
            return "it has no log"
        telling = [number for number, line in enumerate(lines) if any(word in line.lower() for word in _TELLING)]
        return " ".join(lines[telling[-1] if telling else -1 :][:4])[:400] or "its log is empty"


class Stack:
    """A context manager: entered, every part is ready; left, every part has ended. What they keep is in ``state``.

    Alertmanager tells nobody but by those of its channels whose secrets are in ``secrets``.
    Raises `Broken`, and what `collector.stack.ports`, `collector.stack.binaries` and `collector.stack.queue` raise.
    """

    def __init__(
        self,
        ports: Ports,
        state: Path,
        scrape: str = "15s",
        profiles: Sequence[str] = (),
        secrets: Path | None = None,
    ) -> None:
        self.ports = ports
        self.state = state
        self._scrape = scrape
        self._profiles = profiles
        self._secrets = secrets
        self.running: dict[str, Running] = {}

    def __enter__(self) -> Self:
        self.ports.check()
        try:
            self.state.mkdir(parents=True, exist_ok=True)
            found = parts(self.ports, self.state, self._scrape, self._profiles, self._secrets)
        except OSError as error:
            raise Broken(
                f"cannot write to {self.state}: {error.strerror}; name another folder in STACK_STATE"
            ) from None
        for part in found:
            program = binaries.command(part.command)
            self.running[part.name] = Running(part, program, self.state / "logs" / f"{part.name}.log")
        # A queue file that a power cut has damaged keeps the Collector from starting.
        for line in queue.aside(self.state / "otelcol" / "queue"):
            sys.stderr.write(f"{line}\n")
        try:
            for each in self.running.values():
                each.start()
                each.wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for each in reversed(self.running.values()):
            each.stop()

    def ended(self) -> Running | None:
        """One that has ended by itself."""
        return next((each for each in self.running.values() if each.ended()), None)


def answers(url: str) -> bool:
    """Whether ``url`` answers 200 within two seconds."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _inherited() -> dict[str, str]:
    """This process's environment, but what the shell has set for the telemetry of other programs."""
    return {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
