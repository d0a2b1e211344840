"""Processes of ``python -m MODULE`` without the second that importing takes: each is forked by one that has imported.

What is forked runs the module's ``__main__`` as ``python -m`` does, and ends as a process of Python does.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from examples.demo.processes import inherited

ROOT: Final = Path(__file__).parents[1]
_PR_SET_PDEATHSIG: Final = 1  # prctl(2): no process outlives the nursery, however that ends
_MODULES: Final = (
    "examples.service.__main__",
    "examples.agent.__main__",
    # What they import once they run.
    "printobs.assembly.otlp_http",
    "printobs.assembly.process",
    "printobs.assembly.providers",
    "printobs.integrations.asgi_http",
    "printobs.signals.monitor",
    "opentelemetry.exporter.prometheus",
    "uvicorn.protocols.http.h11_impl",
)


def unmeasured() -> dict[str, str]:
    """`inherited`, without what has a process's coverage measured.

    The library's is, by its own tests: the deployment's processes would only be slower.
    """
    return {name: value for name, value in inherited().items() if not name.startswith("COVERAGE_PROCESS_")}


class Forked:
    """A process, with what `subprocess.Popen` has of these names. Any thread may use it."""

    def __init__(self, pid: int, handle: int, status: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._handle = handle  # never another process that got the same number
        self._status = status
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; ``None`` while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0.0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended; raises `subprocess.TimeoutExpired` after ``timeout`` seconds."""
        with self._lock:
            if self.returncode is None:
                told = select.poll()
                told.register(self._status, select.POLLIN)
                if not told.poll(None if timeout is None else timeout * 1000):
                    raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
                self.returncode = int(os.read(self._status, 16) or -signal.SIGKILL)
                os.close(self._status)
                os.close(self._handle)
            return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The process that has imported everything and forks."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.nursery", str(theirs.fileno())],
                cwd=ROOT,
                env=unmeasured(),
                pass_fds=[theirs.fileno()],
            )
        self._lock = threading.Lock()

    def start(
        self, module: str, environment: Mapping[str, str], out: int, errors: int
    ) -> Forked | subprocess.Popen[bytes]:
        """A new process of ``python -m module``; it has ``environment`` besides, and writes to these two files."""
        whole = {**unmeasured(), **environment}
        if any(name.startswith("PYTHON") for name in environment):
            # Read by the interpreter when it starts, and this one has.
            command = [sys.executable, "-m", module]
            return subprocess.Popen(command, cwd=ROOT, env=whole, stdin=subprocess.DEVNULL, stdout=out, stderr=errors)
        request = json.dumps({"module": module, "environment": whole}).encode()
        status, writing = os.pipe()
        try:
            with self._lock:
                socket.send_fds(self._socket, [request], [out, errors, writing])
                pid, (handle,), _, _ = socket.recv_fds(self._socket, 64, 1)
        finally:
            os.close(writing)
        return Forked(int(pid), handle, status)

    def close(self) -> None:
        """End it, and what it has forked."""
        self._socket.close()
        self._process.wait(20)


@functools.cache
def nursery() -> Nursery:
    """The one of this process, until it ends."""
    made = Nursery()
    atexit.register(made.close)
    return made


def _main(connection: socket.socket) -> str | None:
    """Fork what is asked for. In each process that is forked, the name of its module; else ``None``, in the end."""
    for module in _MODULES:
        __import__(module)
    gc.freeze()  # the end of each takes half the time where it does not look through what it has from here
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system reaps the parents
    while True:
        request, files, _, _ = socket.recv_fds(connection, 1 << 16, 3)
        if not request:
            return None  # nothing more is asked for
        if os.fork() == 0:
            return _born(connection, json.loads(request), *files)
        for each in files:
            os.close(each)


def _born(connection: socket.socket, asked: dict[str, Any], out: int, errors: int, status: int) -> str:
    # Each has a parent of its own, that waits for nothing else.
    _dies_with_its_parent()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid != 0:
        handle = os.pidfd_open(pid)
        socket.send_fds(connection, [str(pid).encode()], [handle])
        for each in (out, errors, handle, connection.fileno()):
            os.close(each)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # what Ctrl-C ends is the process itself
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.write(status, str(code).encode())
        os._exit(0)
    _dies_with_its_parent()
    connection.close()
    os.close(status)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (out, 1), (errors, 2)):
        os.dup2(source, target)
        os.close(source)
    os.environ.clear()
    os.environ.update(asked["environment"])
    return str(asked["module"])


def _dies_with_its_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    name = _main(socket.socket(fileno=int(sys.argv[1])))
    if name is not None:
        sys.argv = [name]
        del sys.modules[f"{name}.__main__"]
        runpy.run_module(f"{name}.__main__", run_name="__main__", alter_sys=True)
