"""A short version of ``python -m tests.soak.hostile``: callers that mean no good, and the worst of them one by one."""

import socket
import struct
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.examples.processes import Service, service, token
from tests.soak.hostile import COMBINATIONS, excepted, forged, frame, run

CALLS = 2000


@pytest.fixture
def till() -> Iterator[Service]:
    with service() as till:
        yield till
        assert till.ask("GET", "/health/live")[0] == 200
    assert excepted(till.process.errors) == forged(till.process.errors) == []


def speak(till: Service, headers: bytes = b"", *frames: bytes) -> bytes:
    """A handshake and the frames in one piece; all that is answered until the connection is closed."""
    parts = urlsplit(till.url)
    bearer = token("caller").encode()
    handshake = (
        b"GET /ws/client HTTP/1.1\r\nHost: till\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        + (headers or b"Authorization: Bearer " + bearer + b"\r\n")
        + b"\r\n"
    )
    with socket.create_connection((parts.hostname, parts.port), timeout=5) as caller:
        caller.sendall(handshake)
        answer = caller.recv(65_536)
        if frames:
            caller.sendall(b"".join(frames))
        while more := caller.recv(65_536):
            answer += more
    return answer


CLOSE = frame(8, struct.pack(">H", 1000))


def test_a_handshake_that_is_refused_is_no_error(till: Service) -> None:
    assert speak(till, b"Authorization: Bearer junk\r\n").startswith(b"HTTP/1.1 401 ")


def test_control_characters_in_a_handshake_are_answered(till: Service) -> None:
    assert speak(till, b"X-Name: a\x01b\r\n").startswith(b"HTTP/1.1 400 ")


def test_what_breaks_the_rules_and_is_gone_at_once_is_no_error(till: Service) -> None:
    for broken in (frame(2, b"\x00"), frame(1, b"\xff"), frame(1, b"", end=False) + frame(0, b"\xff")):
        assert speak(till, b"", broken, CLOSE).startswith(b"HTTP/1.1 101 ")


@pytest.mark.timeout(240)
def test_hostile_callers_leave_nothing_behind() -> None:
    wrong, grown, tally = run(CALLS)
    assert wrong == []
    assert grown < 10  # the long run has 5 MB for 100,000 calls
    # Not in vain.
    assert tally.responses.total() > CALLS / 3
    assert tally.accepted > CALLS / 20
    assert tally.messages > CALLS / 100
    assert {400, 401, 403, 404, 405} <= tally.responses.keys()
    assert {401, 403} <= tally.refused.keys()
    assert COMBINATIONS == 1000


def test_a_forged_line_is_seen() -> None:
    own = "2026-01-01 00:00:00,000 INFO service a word\n"
    assert forged([own, "    Traceback\n"]) == []
    assert len(forged(["CRITICAL root\n", own.replace("word", "\x1b[2J"), own.replace("word", "\x0bword")])) == 3


def test_an_exception_is_seen() -> None:
    quiet = ["2026-01-01 00:00:00,000 WARNING service a word\n", "    of a traceback\n"]
    assert excepted(quiet) == []
    loud = ["2026-01-01 00:00:00,000 ERROR service a word\n", "    Traceback (most recent call last):\n"]
    assert excepted([*quiet, *loud]) == loud
