"""The processes of the demonstration: started, spoken to, and always stopped."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final, Self

START: Final = 30.0  # seconds that a process may take until it is ready
STOP: Final = 8.0  # seconds that it may take to end
ROOT: Final = Path(__file__).parents[2]


class Broken(Exception):  # noqa: N818 - reads as what happened
    """A process that does not do what it should; its log says why."""


class Process:
    """A Python module that says on standard output, one JSON object a line, that it is ready."""

    def __init__(self, name: str, module: str, *arguments: str, logs: Path, **environment: str) -> None:
        self.name = name
        self._log = logs / f"{name}.log"
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=ROOT,
                env={**inherited(), **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # Ctrl-C is for the demonstration, which stops them in order
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input: IO[str] = self._process.stdin
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _read(self, output: IO[str]) -> None:
        with output:
            for line in output:
                self._lines.put(line)
        self._lines.put("")

    def line(self) -> dict[str, Any]:
        """The next thing it says; raises `Broken`."""
        try:
            line = self._lines.get(timeout=START)
        except queue.Empty:
            line = ""
        if not line:
            raise Broken(f"{self.name} does not answer:\n{self._log.read_text()[-2000:]}")
        said: dict[str, Any] = json.loads(line)
        return said

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Give a virtual printer a command; its answer."""
        try:
            self._input.write(json.dumps({"command": command, **arguments}) + "\n")
            self._input.flush()
        except OSError as error:
            raise Broken(f"{self.name} is gone:\n{self._log.read_text()[-2000:]}") from error
        answer = self.line()
        if not answer["ok"]:
            raise Broken(f"{self.name}: {answer['error']}")
        return answer

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it: politely, then not."""
        if self._process.poll() is None:
            self._process.terminate()
        with contextlib.suppress(OSError):
            self._input.close()
        try:
            self._process.wait(STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(STOP)


def inherited() -> Mapping[str, str]:
    """This process's environment, but what the shell has set for the telemetry of other programs."""
    return {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
