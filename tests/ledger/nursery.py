"""Processes of ``python -m MODULE`` without the second that importing takes: each is forked by one that has imported.

What is forked runs the module's ``__main__`` as ``python -m`` does, in a process of its own that can be killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import queue
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from examples.demo.processes import inherited

ROOT: Final = Path(__file__).parents[2]
_PR_SET_PDEATHSIG: Final = 1  # prctl(2): no process outlives the nursery, however that ends
_MODULES: Final = ("examples.service", "examples.agent")


class Child:
    """A process; what it says is read line by line. Dead once it says nothing any more, however it ended."""

    def __init__(self, pid: int, out: int, errors: Path) -> None:
        self.pid = pid
        self._handle = os.pidfd_open(pid)  # never another process that got the same number
        self.errors = errors
        self._said: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self.dead = threading.Event()
        self.killed = False
        threading.Thread(target=self._read, args=(out,), daemon=True).start()

    def _read(self, out: int) -> None:
        with open(out, encoding="utf-8") as lines:
            for line in lines:
                self._said.put(json.loads(line))
        self._said.put(None)
        with self._lock:
            self.dead.set()
            os.close(self._handle)

    def event(self, name: str, within: float = 20.0) -> dict[str, Any]:
        """The next event of this name, past all others; raises TimeoutError, and EOFError once it is dead."""
        deadline = time.monotonic() + within
        while True:
            try:
                said = self._said.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise TimeoutError(f"no {name} in {within} s: {self.errors.read_text()[-2000:]}") from None
            if said is None:
                self._said.put(None)
                raise EOFError(f"ended before {name}: {self.errors.read_text()[-2000:]}")
            if said.get("event") == name:
                return said

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Kill it, and wait until it is dead, unless the signal is one that it may take its time for."""
        self.killed = self.killed or number == signal.SIGKILL
        with self._lock, contextlib.suppress(ProcessLookupError):
            if not self.dead.is_set():
                signal.pidfd_send_signal(self._handle, number)
        if number == signal.SIGKILL:
            self.dead.wait(10)

    def pause(self) -> None:
        """Stop it where it is, as a machine that hangs."""
        self.kill(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self.kill(signal.SIGCONT)


class Nursery:
    """The process that has imported everything and forks."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.ledger.nursery", str(theirs.fileno())],
                cwd=ROOT,
                env=inherited(),
                pass_fds=[theirs.fileno()],
            )
        self._lock = threading.Lock()

    def start(self, module: str, errors: Path, environment: Mapping[str, str]) -> Child:
        """A new process of ``python -m module`` whose standard error goes to the file ``errors``."""
        request = json.dumps({"module": module, "errors": str(errors), "environment": dict(environment)}).encode()
        reading, writing = os.pipe()
        try:
            with self._lock:
                socket.send_fds(self._socket, [request], [writing])
                answer = self._socket.recv(64)
        finally:
            os.close(writing)
        return Child(int(answer), reading, errors)

    def close(self) -> None:
        """End it; what it has forked is its caller's."""
        self._socket.close()
        self._process.wait(20)


def _main(connection: socket.socket) -> None:
    for module in _MODULES:
        __import__(f"{module}.__main__")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system reaps
    while True:
        request, (out,), _, _ = socket.recv_fds(connection, 1 << 16, 1)
        asked = json.loads(request)
        pid = os.fork()
        if pid == 0:
            connection.close()
            _become(asked, out)
        os.close(out)
        connection.send(str(pid).encode())


def _become(asked: dict[str, Any], out: int) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    errors = os.open(asked["errors"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (out, 1), (errors, 2)):
        os.dup2(source, target)
        os.close(source)
    os.environ.update(asked["environment"])
    sys.argv = [asked["module"]]
    del sys.modules[f"{asked['module']}.__main__"]
    code = 1
    try:
        runpy.run_module(f"{asked['module']}.__main__", run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(code)


if __name__ == "__main__":
    with contextlib.suppress(ValueError, ConnectionError):  # nothing more is asked for
        _main(socket.socket(fileno=int(sys.argv[1])))
