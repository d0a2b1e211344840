"""The processes of a run: a service that outlives it, its agents, its printers, and the till that sends the jobs."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from websockets.sync.client import connect

from examples.service import tokens
from printobs.testing import VirtualPrinter
from tests.ledger.children import Child
from tests.ledger.proxy import Proxy
from tests.nursery import Nursery

SECRET: Final = "not a secret, but long enough for HS256"
JOBS: Final = "/api/v1/printing/jobs"
GRACE: Final = 1  # seconds beyond its time-out that the service waits for a job's result
PING: Final = 2  # seconds after which a dead connection is asked whether it is alive, and again until it is given up
_DAY: Final = 86_400

Hook = Callable[[], None]


def _token(subject: str, scopes: Sequence[str], branch: str | None = None) -> str:
    return tokens.issue(
        SECRET, audience="printobs-service", subject=subject, scopes=scopes, lifetime=_DAY, branch=branch
    )


class Lane:
    """A service, and what it takes to run one run after another on it."""

    def __init__(self, nursery: Nursery, name: str) -> None:
        self.nursery = nursery
        self.folder = Path(tempfile.mkdtemp(prefix=f"printobs-ledger-{name}-"))
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._wanted = False
        self.url = ""
        self.start_service()

    def start_service(self) -> None:
        """Start the service where it is not running, and wait until it serves."""
        with self._lock:
            self._wanted = True
            while self._child is None or self._child.dead.is_set():
                child = Child(
                    self.nursery,
                    "examples.service",
                    self.folder / "service.log",
                    {
                        "SERVICE_PORT": "0",
                        "SERVICE_DATABASE": str(self.folder / "service.db"),
                        "SERVICE_JWT_SECRET": SECRET,
                        "SERVICE_REPRINT_BRANCHES": "auto",
                        "SERVICE_ANSWER_GRACE": str(GRACE),
                        "SERVICE_PING": str(PING),
                    },
                )
                self._child = child  # it can be killed from now on, before it serves too
                try:
                    self.url = child.event("ready")["url"]
                except EOFError:
                    if self._wanted and not child.killed:
                        raise

    def kill_service(self) -> None:
        """Kill it, if it runs."""
        child = self._child
        if child is not None:
            child.kill()

    def address(self) -> tuple[str, int]:
        """Where the service listens, or did."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 0

    def log(self) -> str:
        """The end of what the service has logged."""
        return (self.folder / "service.log").read_text()[-6000:]

    def close(self) -> None:
        """Kill it, and remove its database."""
        self._wanted = False
        self.kill_service()
        shutil.rmtree(self.folder, ignore_errors=True)


class Desktop:
    """An agent, its journal and its way to the service.

    ``printers``: name to address, with ``?proof`` where it can prove.
    """

    def __init__(self, lane: Lane, folder: Path, branch: str, name: str, printers: dict[str, str]) -> None:
        self.name = name
        self.proxy = Proxy(lane.address, name)
        self.printers = frozenset(printers)
        self._lane = lane
        self._home = folder / name
        self._home.mkdir(parents=True)
        self._lock = threading.Lock()
        self.child: Child | None = None
        self.wanted = False  # a person wants it to run
        self.lost = False  # its journal is to be lost before it starts again
        (self._home / "agent.token").write_text(_token(f"agent-{name}", ["agent"], branch))
        self._configure(branch, printers)

    def _configure(self, branch: str, printers: dict[str, str]) -> None:
        lines = [
            "[agent]",
            f'service_url = "ws://127.0.0.1:{self.proxy.port}/ws/agent"',
            'token_file = "agent.token"',
            f'branch = "{branch}"',
            f'name = "{self.name}"',
            f"ping_seconds = {PING}",
        ]
        for name, address in printers.items():
            where, _, proof = address.partition("?")
            lines += ["[[printers]]", f'name = "{name}"', f'address = "{where}"']
            lines += ['proof = "process_id"'] if proof else []
        (self._home / "agent.toml").write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        """Start it where it is wanted and not running; it may take its time to join."""
        with self._lock:
            if not self.wanted or (self.child is not None and not self.child.dead.is_set()):
                return
            if self.lost:
                self.lost = False
                for file in self._home.glob("journal.db*"):
                    file.unlink()
                for file in self._home.glob("backup.*"):  # an older one, put back
                    file.rename(file.with_name(file.name.replace("backup.", "journal.db")))
            settings = {"AGENT_CONFIG": str(self._home / "agent.toml")}
            self.child = Child(self._lane.nursery, "examples.agent", self._home / "agent.log", settings)

    def kill(self) -> None:
        """Kill it, if it runs."""
        child = self.child
        if child is not None:
            child.kill()

    def back_up(self) -> None:
        """Keep a copy of the journal as it is, to be put back when it is lost; only while it does not run."""
        for file in self._home.glob("journal.db*"):
            shutil.copy(file, file.with_name(file.name.replace("journal.db", "backup.")))

    def dismiss(self) -> None:
        """Nobody wants it any more."""
        self.wanted = False
        self.kill()

    def log(self) -> str:
        """The end of what it has logged."""
        path = self._home / "agent.log"
        return path.read_text()[-6000:] if path.exists() else ""

    def close(self) -> None:
        """Take it away."""
        self.dismiss()
        self.proxy.close()


class Trouble(Exception):  # noqa: N818 - reads as what happened
    """No answer, or none that could be read."""


@dataclass(slots=True, eq=False)
class Ticket:
    """A job of a run: what was asked for, and what has been heard of it."""

    number: int
    printer: str
    body: dict[str, Any]
    timeout: float
    expires_in: float
    key: str
    id: str = ""
    reprint_of: str = ""
    accepted_at: float = 0.0
    final: dict[str, Any] | None = None
    final_at: float = 0.0  # when that was heard
    reprinted: bool = False
    released: bool = False
    wrong: list[str] = field(default_factory=list)

    @property
    def request(self) -> bytes:
        """The body of its POST, always the same bytes."""
        body = {"printer": self.printer, "timeout": self.timeout, "expires_in": self.expires_in, **self.body}
        return json.dumps(body).encode()


class Till:
    """A client of the service: it asks again until it is answered, with the same Idempotency-Key."""

    def __init__(self, lane: Lane, subject: str) -> None:
        self._lane = lane
        self.token = _token(subject, ["print", "raw"])
        self.operator = _token("operator", ["print", "operate"])

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        key: str = "",
        operator: bool = False,
        hook: Hook | None = None,
        drop: bool = False,
        timeout: float = 8.0,
    ) -> tuple[int, dict[str, Any]]:
        """Status and JSON; ``hook`` is called between request and answer, ``drop`` then goes away. Raises `Trouble`."""
        host, port = self._lane.address()
        connection = http.client.HTTPConnection(host, port, timeout=timeout)
        headers = {"Authorization": f"Bearer {self.operator if operator else self.token}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if key:
            headers["Idempotency-Key"] = key
        try:
            connection.request(method, path, body, headers)
            if hook is not None:
                hook()
            if drop:
                raise Trouble
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Trouble from error
        finally:
            connection.close()

    def submit(self, ticket: Ticket, hook: Hook | None = None, drop: bool = False, patience: float = 40.0) -> None:
        """Have a job accepted; asks until it is."""
        deadline = time.monotonic() + patience
        while True:
            asked = time.monotonic()
            with contextlib.suppress(Trouble):
                status, answer = self.ask("POST", JOBS, ticket.request, key=ticket.key, hook=hook, drop=drop)
                if status == 202:
                    self._accepted(ticket, answer, asked)
                    return
                if status != 503:
                    ticket.wrong.append(f"POST was answered with {status}: {answer}")
                    return
            hook, drop = None, False
            if time.monotonic() > deadline:
                raise TimeoutError(f"job {ticket.number} is not accepted in {patience} s")
            time.sleep(0.05)

    def reprint(self, ticket: Ticket, copy: Ticket, hook: Hook | None = None, operator: bool = False) -> None:
        """Have ``ticket`` printed again as ``copy``."""
        deadline = time.monotonic() + 40
        while True:
            asked = time.monotonic()
            with contextlib.suppress(Trouble):
                path = f"{JOBS}/{ticket.id}/reprint"
                status, answer = self.ask("POST", path, key=copy.key, hook=hook, operator=operator)
                if status == 202:
                    copy.reprint_of = ticket.id
                    ticket.reprinted = True
                    self._accepted(copy, answer, asked)
                    return
                if status != 503:
                    copy.wrong.append(f"reprint was answered with {status}: {answer}")
                    return
            hook = None
            if time.monotonic() > deadline:
                raise TimeoutError(f"the reprint of job {ticket.number} is not accepted")
            time.sleep(0.05)

    def _accepted(self, ticket: Ticket, answer: dict[str, Any], asked: float) -> None:
        if ticket.id and ticket.id != answer["id"]:
            ticket.wrong.append(f"the same key gave two jobs: {ticket.id} and {answer['id']}")
        if not ticket.id:
            ticket.accepted_at = time.monotonic()
        ticket.id = answer["id"]
        self.heard(ticket, answer, asked)

    def look(self, ticket: Ticket) -> dict[str, Any]:
        """How a job stands; raises `Trouble`."""
        asked = time.monotonic()
        status, answer = self.ask("GET", f"{JOBS}/{ticket.id}")
        if status == 503:
            raise Trouble
        if status != 200:
            ticket.wrong.append(f"an accepted job is not found: {status} {answer}")
            raise Trouble
        self.heard(ticket, answer, asked)
        return answer

    def heard(self, ticket: Ticket, job: dict[str, Any], asked: float) -> None:
        """Take what was said of a job, which was asked then: an outcome that it once had, it has for ever."""
        if job["outcome"] is None:
            if ticket.final is not None and asked > ticket.final_at:
                ticket.wrong.append(f"had the outcome {ticket.final['outcome']}, and has none any more")
            return
        if ticket.final is None:
            ticket.final, ticket.final_at = job, time.monotonic()
        for name in ("outcome", "error_type", "partial", "window", "finished_at"):
            if ticket.final[name] != job[name]:
                ticket.wrong.append(f"{name} was {ticket.final[name]} and is {job[name]}")
        ticket.final = job

    def cancel(self, ticket: Ticket, hook: Hook | None = None) -> int:
        """Ask for a job's cancellation once; the status, 0 where there was no answer."""
        asked = time.monotonic()
        try:
            status, answer = self.ask("POST", f"{JOBS}/{ticket.id}/cancel", hook=hook)
        except Trouble:
            return 0
        if status not in (200, 202, 409, 503):
            ticket.wrong.append(f"cancel was answered with {status}: {answer}")
        if status == 200:
            self.heard(ticket, answer, asked)
            if answer["outcome"] != "cancelled":
                ticket.wrong.append(f"cancel was answered with 200 and outcome {answer['outcome']}")
        return status

    def listed(self) -> list[dict[str, Any]]:
        """All jobs of this till, the newest first; asks until it is answered."""
        jobs: list[dict[str, Any]] = []
        before = ""
        while True:
            try:
                status, answer = self.ask("GET", f"{JOBS}?limit=200{before}")
            except Trouble:
                status = 503
            if status == 503:
                time.sleep(0.05)
                continue
            assert status == 200, answer
            jobs += answer["jobs"]
            if answer["next"] is None:
                return jobs
            before = f"&before={answer['next']}"

    def history(self, jobs: Collection[str]) -> list[dict[str, Any]]:
        """Every event of this till's jobs, in order, as a web client catches up, until all of ``jobs`` have ended."""
        host, port = self._lane.address()
        headers = {"Authorization": f"Bearer {self.token}"}
        events: list[dict[str, Any]] = []
        open_jobs = set(jobs)
        with (
            connect(f"ws://{host}:{port}/ws/client?after=0", additional_headers=headers, proxy=None) as websocket,
            contextlib.suppress(TimeoutError),
        ):
            while True:  # what has happened comes at once, one after the other
                events.append(json.loads(websocket.recv(timeout=10.0 if open_jobs else 0.3)))
                if events[-1].get("outcome"):
                    open_jobs.discard(events[-1]["id"])
        return events


def printer(chance: random.Random, proof: bool) -> VirtualPrinter:
    """A virtual printer of some kind."""
    return VirtualPrinter(
        speed=chance.choice([None, None, 20000.0]),
        receive_buffer=chance.choice([512, 4096]),
        realtime_in_data=chance.random() < 0.3,
        power_on_notice=chance.random() < 0.5,
        process_id=proof,
    )
