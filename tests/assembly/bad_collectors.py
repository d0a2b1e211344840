"""OTLP endpoints that are slow, hang, lie or flood, on plain sockets."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

Behaviour = Callable[[socket.socket, threading.Event], None]


def _hang(peer: socket.socket, stop: threading.Event) -> None:
    stop.wait()


def _close(peer: socket.socket, stop: threading.Event) -> None:
    return


def _garbage(peer: socket.socket, stop: threading.Event) -> None:
    peer.recv(65536)
    peer.sendall(b"\x00\xff" * 4096)


def _flood(peer: socket.socket, stop: threading.Event) -> None:
    """A success whose body never ends."""
    peer.recv(65536)
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\n\r\n")
    while not stop.is_set():
        peer.sendall(bytes(1 << 20))


def _flood_elsewhere(peer: socket.socket, stop: threading.Event) -> None:
    """The same behind a redirection, whose body is read too."""
    peer.recv(65536)
    peer.sendall(b"HTTP/1.1 302 Found\r\nLocation: /v1/traces\r\n\r\n")
    while not stop.is_set():
        peer.sendall(bytes(1 << 20))


def _drip(peer: socket.socket, stop: threading.Event) -> None:
    """A byte now and then, so that no read ever times out."""
    peer.recv(65536)
    peer.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while not stop.wait(0.3):
        peer.sendall(b".")


def _wait_long(peer: socket.socket, stop: threading.Event) -> None:
    peer.recv(65536)
    peer.sendall(b"HTTP/1.1 503 Later\r\nRetry-After: 86400\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    time.sleep(0.05)  # what is left to read would reset the answer


def _answer(kind: str, body: bytes, missing: int = 0) -> Behaviour:
    """A success at once, whose body is of this type; so many bytes of it are promised and never sent."""

    def answer(peer: socket.socket, stop: threading.Event) -> None:
        with peer.makefile("rb") as request:  # to its end: what is left to read would reset the answer
            length = 0
            while line := request.readline().strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            request.read(length)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body) + missing}\r\n"
        peer.sendall(f"{head}Connection: close\r\n\r\n".encode() + body)

    return answer


def _rejecting(records: int) -> Behaviour:
    partial = ExportTracePartialSuccess(rejected_spans=records)
    return _answer("application/x-protobuf", ExportTraceServiceResponse(partial_success=partial).SerializeToString())


BAD: Final[dict[str, Behaviour]] = {
    "hang": _hang,
    "close": _close,
    "garbage": _garbage,
    "flood": _flood,
    "flood elsewhere": _flood_elsewhere,
    "drip": _drip,
    "wait long": _wait_long,
}

# They cost nothing and are read at once: what they say is what matters.
ANSWERS: Final[dict[str, Behaviour]] = {
    "portal": _answer("text/html; charset=utf-8", b"<h1>Welcome to our Wi-Fi</h1>"),
    "other type": _answer("application/json", b"{}"),
    "cut before its body": _answer("application/x-protobuf", b"", missing=4),
    "cut in its body": _answer("application/x-protobuf", b"\x0a\x02", missing=2),
    "rejects more than there was": _rejecting(99),
    "rejects less than nothing": _rejecting(-3),
}


@contextmanager
def bad_collector(how: str) -> Iterator[str]:
    """The endpoint of a collector that is bad in this way; "dead": nobody listens there."""
    listener = socket.create_server(("127.0.0.1", 0))
    endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
    if how == "dead":
        listener.close()
        yield endpoint
        return
    stop, threads = threading.Event(), []

    def serve(peer: socket.socket) -> None:
        with suppress(OSError), peer:
            peer.settimeout(5)
            {**BAD, **ANSWERS}[how](peer, stop)

    def accept() -> None:
        with suppress(OSError):
            while True:
                peer, _ = listener.accept()
                threads.append(threading.Thread(target=serve, args=(peer,), daemon=True))
                threads[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield endpoint
    finally:
        stop.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()
        for thread in threads:
            thread.join()
