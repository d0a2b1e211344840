"""What a run kills, pauses and listens to."""

from __future__ import annotations

import json
import os
import queue
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.nursery import Nursery


class Child:
    """A process; what it says is read line by line. Dead once it says nothing any more, however it ended.

    Its standard error goes to the file ``errors``.
    """

    def __init__(self, nursery: Nursery, module: str, errors: Path, environment: Mapping[str, str]) -> None:
        self.errors = errors
        self.dead = threading.Event()
        self.killed = False
        self._said: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        reading, writing = os.pipe()
        log = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._process = nursery.start(module, environment, writing, log)
        finally:
            os.close(writing)
            os.close(log)
        threading.Thread(target=self._read, args=(reading,), daemon=True).start()

    def _read(self, out: int) -> None:
        with open(out, encoding="utf-8") as lines:
            for line in lines:
                self._said.put(json.loads(line))
        self._said.put(None)
        self.dead.set()
        self._process.wait()

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
        if not self.dead.is_set():
            self._process.send_signal(number)
        if number == signal.SIGKILL:
            self.dead.wait(10)

    def pause(self) -> None:
        """Stop it where it is, as a machine that hangs."""
        self.kill(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self.kill(signal.SIGCONT)
