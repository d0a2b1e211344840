"""Prometheus's HTTP API, asked: what it says, or one line of why it says nothing, in bounded time and memory."""

from __future__ import annotations

import json
import math
import os
import re
import threading
from base64 import b64encode
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from http.client import HTTPException
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlencode, urlsplit
from urllib.request import Request, urlopen

VARIABLE: Final = "PROMETHEUS_URL"
DEFAULT: Final = "http://127.0.0.1:9090"
ANSWER: Final = 30.0  # seconds for an answer
MAX_ANSWER: Final = 32 << 20  # bytes; a year of five minutes has three million
NO_NUMBER: Final = Decimal("NaN")
SAID: Final = 200  # characters of what somebody else has said

_ADDRESS: Final = (
    "Prometheus's address is as http://127.0.0.1:9090 or https://USER:PASSWORD@example.com/prometheus; "
    "what is odd in a password is written as %40"
)


class Unanswered(Exception):  # noqa: N818 - reads as what it is
    """Prometheus cannot be asked, or has nothing to say; says why and what to do, in a line."""


@dataclass(frozen=True, slots=True)
class Series:
    """Its labels, and what it was when."""

    labels: Mapping[str, str]
    samples: Sequence[tuple[datetime, Decimal]]


class Prometheus:
    """One's HTTP API at ``url``, which may have a path, and the name and password of a user: no other is told of them.

    Raises ValueError for what is no such address. ``warnings``: what it has said of its own answers.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            user, password, port = parts.username, parts.password, parts.port
        except ValueError:  # its text may have the password
            raise ValueError(_ADDRESS) from None
        odd = re.search(r"[^!-~]", url) or parts.query or parts.fragment or "@" in parts.path
        if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or odd:
            raise ValueError(_ADDRESS)
        self.url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
        self.warnings: list[str] = []
        self._authorization = ""
        if user is not None:
            secret = f"{unquote(user)}:{unquote(password or '')}"
            self._authorization = f"Basic {b64encode(secret.encode()).decode()}"

    @classmethod
    def named(cls, url: str | None) -> Prometheus:
        """The one at ``url``, else at `VARIABLE`, else at `DEFAULT`."""
        return cls(url or os.environ.get(VARIABLE) or DEFAULT)

    def ask(self, query: str, at: datetime) -> list[Series]:
        """What ``query`` has for an answer as of ``at``; raises `Unanswered`, after `ANSWER` seconds at most."""
        # A little less than what is waited for, so that it says itself that it takes too long.
        asked = {"query": query, "time": f"{at.timestamp():.0f}", "timeout": f"{0.9 * ANSWER:g}s"}
        request = Request(f"{self.url}/api/v1/query?{urlencode(asked)}")
        if self._authorization:
            request.add_unredirected_header("Authorization", self._authorization)
        status, body = self._fetched(request)
        if len(body) > MAX_ANSWER:
            raise self._unanswered(f"it answers with more than {MAX_ANSWER >> 20} MiB", "ask for fewer days")
        try:
            answer = json.loads(body)
            if answer["status"] != "success":
                raise self._unanswered(f"{status}: {answer['error']}", "see its log, or ask for fewer days")
            self.warnings += [line(each) for each in answer.get("warnings", []) if line(each) not in self.warnings]
            return [_series(each) for each in answer["data"]["result"]]
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, RecursionError):
            raise self._nonsense(status, body) from None

    def _fetched(self, request: Request) -> tuple[int, bytes]:
        try:
            return _within_its_time(request)
        except TimeoutError:
            raise self._unanswered(f"no answer within {ANSWER:g} s", "try again, or ask for fewer days") from None
        except (OSError, HTTPException, ValueError) as error:
            reason = error.reason if isinstance(error, URLError) else error
            why = (isinstance(reason, OSError) and reason.strerror) or str(reason) or type(reason).__name__
            raise self._unanswered(why, f"is it running? --prometheus or {VARIABLE} names another address") from None

    def _nonsense(self, status: int, body: bytes) -> Unanswered:
        text = body.decode(errors="replace").strip()
        what = "a web page" if text.startswith("<") else line(text) or "nothing"
        if status == 503:
            return self._unanswered(f"503: {what}", "it is starting or overloaded; try again in a minute")
        if status in (401, 403):
            return self._unanswered(f"{status}: {what}", "name and password belong before its host, with an @ behind")
        return self._unanswered(f"{status}, and no whole answer of Prometheus: {what}", "is it that which is there?")

    def _unanswered(self, why: str, advice: str) -> Unanswered:
        return Unanswered(f"Prometheus at {self.url} cannot be asked: {line(why)}: {advice}")


def _within_its_time(request: Request) -> tuple[int, bytes]:
    """Its status and body: in `ANSWER` seconds, however slowly they come."""
    future: Future[tuple[int, bytes]] = Future()

    def work() -> None:
        try:
            future.set_result(_fetch(request))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, name="asking Prometheus", daemon=True).start()
    return future.result(ANSWER)


def _fetch(request: Request) -> tuple[int, bytes]:
    try:
        answer = urlopen(request, timeout=ANSWER)
    except HTTPError as error:
        answer = error  # Prometheus says why in it
    with answer:
        return answer.status, answer.read(MAX_ANSWER + 1)


def _series(result: Mapping[str, object]) -> Series:
    labels, samples = result["metric"], result["values"] if "values" in result else [result["value"]]
    if not isinstance(labels, dict) or not isinstance(samples, list) or not samples:
        raise TypeError
    return Series(
        {str(name): str(value) for name, value in labels.items()},
        [(datetime.fromtimestamp(at, UTC), _number(value)) for at, value in samples],
    )


def _number(text: str) -> Decimal:
    value = float(text)
    return Decimal(value) if math.isfinite(value) else NO_NUMBER


def line(said: object, most: int = SAID) -> str:
    """Somebody else's words: in a line, and not too many."""
    text = " ".join("".join(each if each.isprintable() else " " for each in str(said)).split())
    return text if len(text) <= most else f"{text[: most - 1]}…"
