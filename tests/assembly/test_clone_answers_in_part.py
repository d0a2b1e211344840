"""A clone that answers some of DLE EOT 1 to 4 and drops the rest: nothing false is read into what it says."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from escpos.printer import Network

from printobs.assembly.printing import print_job, register
from printobs.core.conventions import Outcome
from printobs.integrations import escpos
from tests.conftest import Sdk

# By n: the answer of a printer whose paper is near its end and whose drawer is open.
ANSWERS = {1: b"\x16", 2: b"\x12", 3: b"\x12", 4: b"\x1e"}


@contextlib.contextmanager
def clone(answered: set[int]) -> Iterator[tuple[int, bytearray]]:
    """A printer that answers only these n, and no other command; its port, and what it has received."""
    received = bytearray()

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(4096):
                received.extend(data)
                parts = data.split(b"\x10\x04")[1:]
                connection.sendall(b"".join(ANSWERS[part[0]] for part in parts if part[0] in answered))

    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1], received
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("answered", [{1, 4}, {1}, {4}, {2, 3, 4}], ids=str)
def test_its_receipts_are_printed_and_no_trouble_is_invented(sdk: Sdk, answered: set[int]) -> None:
    with clone(answered) as (port, received):
        kitchen: Any = register(Network("127.0.0.1", port, timeout=5), name="kitchen")
        for number in range(3):
            began = time.monotonic()
            with print_job(kitchen, timeout=10) as job:
                kitchen.text(f"No. {number}\n")
                kitchen.cut()
            assert (job.outcome, job.error_type) == (Outcome.WRITTEN, None)
            assert time.monotonic() - began < 8
        kitchen.close()
        until = time.monotonic() + 3
        while received.count(b"No. ") < 3 and time.monotonic() < until:
            time.sleep(0.01)
        assert [number for number in range(3) if f"No. {number}".encode() in received] == [0, 1, 2]
    escpos.uninstrument()
