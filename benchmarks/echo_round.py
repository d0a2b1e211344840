"""One round of the WebSocket echo: a fresh server, a client in another process, and what both say."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from examples.demo.processes import inherited

ROOT: Final = Path(__file__).parents[1]
IN_FLIGHT: Final = 16
WARM_UP: Final = 200


@dataclass(frozen=True, slots=True)
class Setup:
    """How many connections, how many messages over them, in how many rounds, and what the server runs on."""

    connections: int
    echoes: int
    rounds: int
    loop: str = "asyncio"
    http: str = "h11"

    @property
    def in_flight(self) -> int:
        return min(self.connections, IN_FLIGHT)

    def __str__(self) -> str:
        return f"{self.connections:,} connections, {self.in_flight} in flight, {self.loop} and {self.http}"


@dataclass(frozen=True, slots=True)
class Played:
    """What one kind did: microseconds of an echo, and of CPU for each of its two messages; the server's bytes."""

    p50: float
    p99: float
    cpu: float
    before: float
    idle: float
    after: float
    messages: float  # that were counted for an echo; and the spans that ended for one
    spans: float
    handshakes: float  # spans that had ended when all connections were open


class _Process:
    """A module that answers each line with one of JSON."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def line(self) -> dict[str, Any]:
        """The next thing it says."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"ended with {self._process.wait(10)}, as its standard error says: {self._process.args!r}"
        return json.loads(line)  # type: ignore[no-any-return]

    def ask(self, what: object = "") -> dict[str, Any]:
        """What it says to ``what``."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        return self.line()

    def finish(self) -> dict[str, Any]:
        """What it says to the end of its input."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self.line()


@contextmanager
def _process(module: str, packages: Mapping[str, str], **options: object) -> Iterator[_Process]:
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**inherited(), **packages},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield _Process(process)
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def play(kind: str, setup: Setup) -> Played:
    """One kind of server, from its start to its end; AssertionError where it does not emit what it should."""
    served = {"as": kind, "loop": setup.loop, "http": setup.http, "connections": setup.connections}
    with _process("benchmarks.echo_server", packages_for(setup.loop), **served) as server:
        port = server.line()["port"]
        before = server.ask()
        asked = {"port": port, "connections": setup.connections, "in_flight": setup.in_flight}
        with _process("benchmarks.echo_client", {}, **asked) as client:
            assert client.line() == {"opened": setup.connections}
            idle = server.ask()
            client.ask(WARM_UP)
            warm = server.ask()
            took = client.ask(setup.echoes)
            done = server.ask()
            assert client.finish() == {"closed": setup.connections}
        after = server.ask()
    assert took["echoes"] == setup.echoes
    played = Played(
        p50=took["p50"],
        p99=took["p99"],
        cpu=(done["cpu_until"] - warm["cpu_from"]) / setup.echoes * 1e6 / 2,
        before=before["resident"],
        idle=idle["resident"],
        after=after["resident"],
        messages=(done["messages"] - warm["messages"]) / setup.echoes,
        spans=(done["spans"] - warm["spans"]) / setup.echoes,
        handshakes=idle["spans"],
    )
    _check(kind, setup, played)
    return played


def _check(kind: str, setup: Setup, played: Played) -> None:
    """A kind that emits something else is not what is measured."""
    if kind == "printobs":  # a span for each handshake, and none for a message that carries no context
        assert (played.messages, played.spans, played.handshakes) == (2, 0, setup.connections), played
    elif kind == "contrib":
        assert played.spans >= 2, played
    else:
        assert (played.messages, played.spans, played.handshakes) == (0, 0, 0), played


@functools.cache
def packages_for(loop: str) -> dict[str, str]:
    """Where the server finds uvloop and httptools: in the folder ``UVLOOP_PATH``, which `make bench` fills.

    Not in the virtual environment: uvicorn would take them for whatever else is run there.
    """
    if loop != "uvloop":
        return {}
    folder = os.environ.get("UVLOOP_PATH", "")
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH"))))}
    found = subprocess.run(
        [sys.executable, "-c", "import uvloop, httptools"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, (
        "uvloop and httptools are not there: pip install --target FOLDER --requirement benchmarks/requirements.txt, "
        f"and name the folder as UVLOOP_PATH.\n{found.stderr}"
    )
    return environment
