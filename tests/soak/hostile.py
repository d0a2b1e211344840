"""Callers that mean no good, against the service: ``python -m tests.soak.hostile --calls 100000``.

Each call is an HTTP request or a WebSocket connection with values that nobody else has: origins, paths, methods, user
agents, correlation IDs, names of printers, close codes, garbage in headers, invalid UTF-8, control characters, a
megabyte where a word belongs. Another service is asked as often by callers that are polite. Afterwards the two have
about the same memory and few label combinations, what was answered was counted, and nobody has forged a log
line or raised an exception.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import itertools
import json
import random
import re
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from benchmarks.deployment import resident
from examples.jobs import wire
from examples.service.memory import INTERVAL
from tests.examples.processes import Service, service, token

JOBS: Final = "/api/v1/printing/jobs"
LANES: Final = 4
COMBINATIONS: Final = 1000  # of labels, in the whole service: row 16 of what it must hold
GROWTH: Final = 5.0  # MB more than where all were polite
MEGABYTE: Final = 1 << 20

_LINE: Final = re.compile(
    r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ [\w.]+ |    )[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\n"
)
_unique: Final = itertools.count()


@dataclass
class Tally:
    """What was answered: HTTP responses of the application by status, WebSockets accepted and refused, messages.

    In the end ``combinations`` of labels.
    """

    responses: Counter[int] = field(default_factory=Counter)
    accepted: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    messages: int = 0
    combinations: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Caller:
    """One connection at a time, byte for byte as told."""

    def __init__(self, till: Service, tally: Tally) -> None:
        parts = urlsplit(till.url)
        self._where = (parts.hostname or "", parts.port or 0)
        self._tally = tally
        self._socket: socket.socket | None = None
        self._unread = b""

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket, self._unread = None, b""

    def request(self, head: bytes, body: bytes = b"") -> None:
        """An HTTP request, and its response where there is one."""
        fresh = self._socket is None
        try:
            status, headers = self._exchange(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        except OSError:
            self.close()
            if not fresh:  # it was closed since
                self.request(head, body)
            return
        if b"x-correlation-id" in headers:  # else it is the server's own, for what is no HTTP
            with self._tally.lock:
                self._tally.responses[status] += 1

    def websocket(self, path: str, headers: bytes, frames: list[bytes], polite: int) -> None:
        """A WebSocket, all that is sent on it at once, and all that comes until it is closed."""
        self.close()
        key = base64.b64encode(random.randbytes(16))
        upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n"
        head = b"GET %s HTTP/1.1\r\nHost: till\r\n" % path.encode() + upgrade % key + headers + b"\r\n"
        with contextlib.suppress(OSError):
            status, _ = self._exchange(head)
            with self._tally.lock:
                if status == 101:
                    self._tally.accepted += 1
                    self._tally.messages += polite
                else:
                    self._tally.refused[status] += 1
            if status == 101:
                assert self._socket is not None
                self._socket.sendall(b"".join(frames))
                while self._socket.recv(65_536):
                    pass
        self.close()

    def _exchange(self, data: bytes) -> tuple[int, set[bytes]]:
        if self._socket is None:
            self._socket = socket.create_connection(self._where, timeout=10)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(data)
        while b"\r\n\r\n" not in self._unread:
            self._read()
        head, _, self._unread = self._unread.partition(b"\r\n\r\n")
        line, *rest = head.split(b"\r\n")
        status = int(line.split()[1])
        headers = {name.strip().lower(): value.strip() for name, _, value in (each.partition(b":") for each in rest)}
        length = int(headers.get(b"content-length", b"0"))
        while status != 101 and len(self._unread) < length and not data.startswith(b"HEAD "):
            self._read()
        if status != 101:
            self._unread = self._unread[length:]
        if headers.get(b"connection", b"").lower() == b"close":
            self.close()
        return status, set(headers)

    def _read(self) -> None:
        assert self._socket is not None
        data = self._socket.recv(65_536)
        if not data:
            raise ConnectionResetError
        self._unread += data


def frame(opcode: int, data: bytes, end: bool = True) -> bytes:
    """A client's frame, masked with zeros (RFC 6455, section 5.2)."""
    head = bytes((opcode | (0x80 if end else 0),))
    if len(data) < 126:
        head += bytes((0x80 | len(data),))
    elif len(data) < 65_536:
        head += bytes((0x80 | 126,)) + struct.pack(">H", len(data))
    else:
        head += bytes((0x80 | 127,)) + struct.pack(">Q", len(data))
    return head + bytes(4) + data


# -- values ----------------------------------------------------------------------------------------------------------


def _word(chance: random.Random) -> str:
    return f"x{next(_unique):x}{chance.getrandbits(32):08x}"


def _garbage(chance: random.Random) -> bytes:
    """What a header may hold, or may not; never an end of line, which would make two of it."""
    kind = chance.randrange(6)
    if kind == 0:
        return _word(chance).encode()
    if kind == 1:
        return chance.randbytes(chance.randint(1, 60)).replace(b"\r", b"?").replace(b"\n", b"?")
    if kind == 2:
        return "\N{SNOWMAN}\N{RIGHT-TO-LEFT OVERRIDE}".encode() + _word(chance).encode() + b"\xff\xfe"
    if kind == 3:
        return b"\x1b[2J\x07\x08" + _word(chance).encode()
    if kind == 4:
        return b"2026-01-01 00:00:00,000 CRITICAL root " + _word(chance).encode()
    return b"%0d%0a\\n\\r" + _word(chance).encode() * chance.randint(1, 50)


_METHODS: Final = (
    "GET",
    "GET",
    "GET",
    "POST",
    "POST",
    "POST",
    "PUT",
    "DELETE",
    "OPTIONS",
    "HEAD",
    "PATCH",
    "TRACE",
    "PROPFIND",
)
_HEADERS: Final = (
    "Origin", "User-Agent", "X-Correlation-ID", "X-Request-ID", "traceparent", "tracestate", "baggage", "Cookie",
    "X-Forwarded-For", "Accept", "Accept-Encoding", "Content-Type", "Idempotency-Key", "Referer", "Authorization",
    "X-Client-Type", "Access-Control-Request-Method",
)  # fmt: skip
_GOOD: Final = {scope: token("till", scope).encode() for scope in ("print", "print operate", "metrics")}
_CODES: Final = (1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1014, 1015)


def _request(chance: random.Random) -> tuple[bytes, bytes]:
    word = _word(chance)
    method = chance.choice(_METHODS) if chance.random() < 0.8 else word.upper()
    path = chance.choice(
        (
            f"/{word}", f"/{word}/{word}", f"{JOBS}/{word}", f"{JOBS}?printer={word}", f"{JOBS}?{word}=1", JOBS,
            f"/api/v1/printing/printers/{word}/test", f"/api/v1/printing/printers/{word}/reassign", "/health",
            f"/api/v1/metrics?{word}", f"/%ff%00%0a{word}", f"/ws/{word}", "/openapi.json", f"//{word}/../{word}",
        )
    )  # fmt: skip
    lines = [f"{method} {path} HTTP/1.1\r\nHost: ".encode() + (word.encode() if chance.random() < 0.5 else b"till")]
    if chance.random() < 0.7:
        lines.append(b"Authorization: Bearer " + _GOOD[chance.choice(tuple(_GOOD))])
    for name in chance.sample(_HEADERS, chance.randint(0, 4)):
        lines.append(name.encode() + b": " + _garbage(chance))
    if chance.random() < 0.3:
        lines.append(f"X-{word}: {word}".encode())
    body = b""
    if method in ("POST", "PUT", "PATCH"):
        lines.append(b"Content-Type: application/json")
        body = _body(chance, word)
    return b"\r\n".join(lines) + b"\r\n", body


def _body(chance: random.Random, word: str) -> bytes:
    kind = chance.randrange(7)
    receipt = {"elements": [{"type": "text", "text": word}, {"type": "cut"}]}
    if kind == 0:
        return json.dumps({"printer": word, "kind": word, "receipt": receipt}).encode()
    if kind == 1:
        return json.dumps({"printer": "kitchen", "kind": word, "expires_in": 0.001, "receipt": receipt}).encode()
    if kind == 2:
        return chance.randbytes(200)
    if kind == 3:
        return b'{"printer": "kitchen\\u0000\\ud800\\n' + word.encode() + b'"}'
    if kind == 4:
        return b"[" * 5000
    if kind == 5 and chance.random() < 0.02:
        return b'{"printer": "' + b"x" * MEGABYTE + b'"}'
    return json.dumps({"agent": word, word: word}).encode()


def _websocket(chance: random.Random) -> tuple[str, bytes, list[bytes], int]:
    word = _word(chance)
    path = chance.choice(("/ws/client", "/ws/client", f"/ws/client?after={word}", "/ws/agent", f"/ws/{word}"))
    headers = b"".join(
        name.encode() + b": " + _garbage(chance) + b"\r\n"
        for name in chance.sample(_HEADERS[:10], chance.randint(0, 2))
    )
    scope, branch = ("agent", "mitte") if path == "/ws/agent" else ("print", None)
    if chance.random() < 0.8:
        headers += f"Authorization: Bearer {token('caller', scope, branch)}\r\n".encode()
    frames: list[bytes] = []
    polite = 0  # messages that are sure to be received
    hostile = path != "/ws/client"
    for _ in range(chance.randint(0, 4)):
        kind = chance.randrange(7)
        if kind < 3 or hostile:
            text = {"type": word, "traceparent": word, "baggage": f"{word}={word},,;", word: word}
            frames.append(frame(1, json.dumps(text).encode()))
            polite += not hostile
        elif kind == 3:
            hostile = True
            frames.append(frame(1, b"\xff" + word.encode()))
        elif kind == 4:
            hostile = True
            frames.append(frame(chance.choice((2, 3, 11, 0)), chance.randbytes(30)))
        elif kind == 5:
            frames.append(frame(9, word.encode()[:125]))
        elif chance.random() < 0.05:
            hostile = True
            frames.append(frame(1, b"x" * 2 * MEGABYTE))
    if path == "/ws/agent" and chance.random() < 0.3:
        printers = tuple(wire.Printer(_word(chance)) for _ in range(3))
        hello = wire.Hello(word, "mitte", "1" * 32, 1, printers)
        frames.insert(0, frame(1, json.dumps(wire.dump(hello)).encode()))
    if not hostile and chance.random() < 0.7:
        frames.append(frame(8, struct.pack(">H", chance.randrange(3000, 5000)) + word.encode()))
        return path, headers, frames, polite
    code = chance.choice(_CODES) if chance.random() < 0.5 else chance.randrange(65_536)
    frames.append(frame(8, struct.pack(">H", code) + _garbage(chance)[:100]))
    return path, headers, frames, 0  # uvicorn drops what has come together with a frame that breaks the protocol


def hostile(caller: Caller, chance: random.Random) -> None:
    """One call that nobody should make."""
    if chance.random() < 0.7:
        caller.request(*_request(chance))
    else:
        caller.websocket(*_websocket(chance))


def polite(caller: Caller, chance: random.Random) -> None:
    """One call as a till makes it, of the same kinds."""
    authorization = b"Authorization: Bearer " + _GOOD["print"] + b"\r\n"
    if chance.random() < 0.7:
        path = chance.choice((JOBS, "/health", "/openapi.json", f"{JOBS}/{'0' * 32}", "/api/v1/metrics"))
        if path.endswith("metrics"):
            authorization = b"Authorization: Bearer " + _GOOD["metrics"] + b"\r\n"
        caller.request(f"GET {path} HTTP/1.1\r\nHost: till\r\n".encode() + authorization)
    else:
        text = frame(1, b'{"type": "hello"}')
        caller.websocket("/ws/client", authorization, [text, text, frame(8, struct.pack(">H", 1000))], 2)


# -- what is left of it ----------------------------------------------------------------------------------------------


def play(till: Service, call: Callable[[Caller, random.Random], None], calls: int, seed: int, tally: Tally) -> None:
    """Make so many calls, some at a time."""
    shares = [calls // LANES + (lane < calls % LANES) for lane in range(LANES)]

    def lane(number: int) -> None:
        caller, chance = Caller(till, tally), random.Random(seed * LANES + number)
        for _ in range(shares[number]):
            call(caller, chance)
        caller.close()

    with ThreadPoolExecutor(LANES, "caller") as pool:
        list(pool.map(lane, range(LANES)))


def quiet(till: Service) -> None:
    """Wait until no connection is open any more."""
    until = time.monotonic() + 30
    while till.metric("websocket_server_active_connections") != 0:
        assert time.monotonic() < until, "connections are left open"
        time.sleep(0.2)


def combinations(till: Service) -> int:
    """How many combinations of labels there are, the buckets of a histogram not counted."""
    _, answer, _ = till.ask("GET", "/api/v1/metrics", bearer=token("prometheus", "metrics"))
    names = [re.split("[{ ]", line, maxsplit=1)[0] for line in answer["text"].splitlines() if line[:1] != "#"]
    return sum(not name.endswith(("_bucket", "_sum", "_created")) for name in names)


def judge(till: Service, tally: Tally) -> Iterator[str]:
    """What is wrong with what the service has counted."""
    quiet(till)
    tally.combinations = combinations(till)
    if tally.combinations >= COMBINATIONS:
        yield f"{tally.combinations} label combinations"
    # The questions for the metrics themselves are counted too, but for the one that tells.
    for status, number in tally.responses.items():
        counted = till.metric("http_server_request_duration_seconds_count", http_response_status_code=str(status))
        if not number <= counted <= number + (status == 200) * 200:
            yield f"{number} answers {status}, {counted:.0f} counted"
    if (ended := till.metric("websocket_server_disconnections_total")) != tally.accepted:
        yield f"{tally.accepted} WebSockets accepted, {ended:.0f} ended"
    received = till.metric("websocket_server_messages_total", network_io_direction="receive")
    if received < tally.messages:
        yield f"{tally.messages} messages sent, {received:.0f} counted"
    if tally.responses.keys() & set(range(500, 600)) - {503}:
        yield f"5xx: {dict(tally.responses)}"


def forged(lines: list[str]) -> list[str]:
    """Log lines that are neither the first of a record nor indented."""
    return [line for line in lines if not _LINE.fullmatch(line)]


def excepted(lines: list[str]) -> list[str]:
    """Log lines of what went wrong in the service itself: errors, and the beginnings of tracebacks."""
    return [line for line in lines if re.search(r"^\S+ \S+ (ERROR|CRITICAL) |^\s*Traceback ", line)]


def run(calls: int, seed: int = 0) -> tuple[list[str], float, Tally]:
    """What is wrong after so many calls; how many MB the hostile ones have left behind; what was answered."""
    left = {}
    for call in (polite, hostile):
        tally = Tally()
        # Without limits: what is refused at once reaches nothing.
        with service(SERVICE_RATE_REQUESTS="0", SERVICE_RATE_HANDSHAKES="0", SERVICE_RATE_MESSAGES="0") as till:
            play(till, call, calls, seed, tally)
            wrong = list(judge(till, tally))
            time.sleep(1.5 * INTERVAL)
            left[call] = resident(till.process.process)
        wrong += [f"forged: {line!r}" for line in forged(till.process.errors)[:5]]
        wrong += [f"an exception: {line!r}" for line in excepted(till.process.errors)[:5]]
        if wrong:
            break
    return wrong, left.get(hostile, 0.0) - left[polite], tally


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.soak.hostile")
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.monotonic()
    wrong, grown, tally = run(options.calls, options.seed)
    sys.stdout.write(
        f"{options.calls} calls in {time.monotonic() - began:.0f} s: HTTP {dict(sorted(tally.responses.items()))}, "
        f"{tally.accepted} WebSockets, {dict(tally.refused)} refused; {grown:+.1f} MB, "
        f"{tally.combinations} label combinations\n"
    )
    if grown > GROWTH:
        wrong.append(f"{grown:.1f} MB are left behind")
    sys.stdout.writelines(f"{each}\n" for each in wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
