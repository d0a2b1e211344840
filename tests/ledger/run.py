"""One seeded run: printers, an agent, some jobs, faults at chosen rows of the table; then what the paper says of it.

Row numbers are those of docs/job-states.md. What happens is drawn from the seed; when exactly, the machine decides too.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from examples.jobs.states import SERVICE, State
from printobs.testing import VirtualPrinter
from tests.ledger import paper
from tests.ledger.stage import Desktop, Lane, Ticket, Till, Trouble, printer

ROWS: Final = tuple(range(1, 16))
FINAL: Final = frozenset(state for state in State if state.final)
SETTLING: Final = 60.0  # seconds after the last fault in which every job must have its outcome
_STEPS: Final = {(before, after) for (before, _), after in SERVICE.items()}


class Violation(AssertionError):  # noqa: N818 - reads as what happened
    """A promise that was not kept."""


class Printer:
    """A printer of a run, and which agent serves it."""

    def __init__(self, name: str, paper: VirtualPrinter, proof: bool) -> None:
        self.name = name
        self.paper = paper
        self.proof = proof

    @property
    def address(self) -> str:
        """As an agent is given it."""
        return f"tcp://127.0.0.1:{self.paper.port}{'?proof' if self.proof else ''}"


class Run:
    """What happens in one run. ``strike`` is how faults come about; whatever they do is undone by `recover`."""

    def __init__(self, lane: Lane, seed: int, chance: random.Random) -> None:
        self.lane = lane
        self.seed = seed
        self.chance = chance  # what is to happen
        self.dice = random.Random(chance.random())  # how; drawn by whichever thread comes first
        self.till = Till(lane, f"till-{seed}")
        self.branch = "auto" if chance.random() < 0.15 else "mitte"
        self.tickets: list[Ticket] = []
        self.printers: list[Printer] = []
        self.desktops: list[Desktop] = []
        self.hits: list[tuple[int, str]] = []
        self.log: list[str] = []
        self._began = time.monotonic()
        self._lock = threading.RLock()
        self._undo: list[Callable[[], None]] = []
        self._threads: list[threading.Thread] = []
        self._timers: list[threading.Timer] = []
        self._closed = False
        self.errors: list[str] = []

    # -- the stage ---------------------------------------------------------------------------------------------------

    def install(self, count: int, name: str = "a", prove: bool = True) -> Desktop:
        """``count`` new printers with an agent of their own, which has joined."""
        mine = []
        for _ in range(count):
            proof = prove or self.chance.random() < 0.7
            each = Printer(f"p{self.seed}-{len(self.printers)}", printer(self.chance, proof), proof)
            mine.append(each)
            self.printers.append(each)
        desktop = self.desktop(name, {each.name: each.address for each in mine})
        desktop.wanted = True
        desktop.start()
        assert desktop.child is not None
        desktop.child.event("joined")
        return desktop

    def desktop(self, name: str, printers: dict[str, str]) -> Desktop:
        """An agent that nobody has started yet."""
        folder = self.lane.folder / str(self.seed)
        desktop = Desktop(self.lane, folder, self.branch, f"pc-{self.seed}-{name}", printers)
        self.desktops.append(desktop)
        return desktop

    def ticket(self, where: Printer, *, timeout: float = 2.0, expires_in: float = 60.0, longest: int = 12) -> Ticket:
        """A new job, not sent yet."""
        with self._lock:
            number = self.seed * 100 + len(self.tickets)
            body = paper.content(number, self.chance, longest)
            ticket = Ticket(number, where.name, body, timeout, expires_in, f"key-{number}")
            self.tickets.append(ticket)
        return ticket

    def copy(self, ticket: Ticket) -> Ticket:
        """A reprint, not asked for yet."""
        with self._lock:
            number = self.seed * 100 + len(self.tickets)
            copy = Ticket(
                ticket.number, ticket.printer, ticket.body, ticket.timeout, ticket.expires_in, f"key-{number}"
            )
            self.tickets.append(copy)
        return copy

    # -- what happens ------------------------------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """Remember for whoever has to understand this run."""
        self.log.append(f"{time.monotonic() - self._began:8.3f} {text}")

    def hit(self, row: int, fault: str) -> None:
        """A fault has struck at a row."""
        self.note(f"*** {fault} at row {row}")
        self.hits.append((row, fault))

    def spawn(self, function: Callable[..., Any], *args: Any) -> None:
        """Do something beside."""
        thread = threading.Thread(target=self._guarded, args=(function, args), daemon=True)
        self._threads.append(thread)
        thread.start()

    def later(self, seconds: float, function: Callable[..., Any], *args: Any) -> None:
        """Do something in so many seconds, unless the run is over by then."""
        timer = threading.Timer(seconds, self._guarded, (function, args))
        timer.daemon = True
        timer.start()
        self._timers.append(timer)

    def undo(self, seconds: float, function: Callable[[], None]) -> None:
        """Undo a fault in so many seconds, or when all is to be well. Undoing twice must do no harm."""
        with self._lock:
            self._undo.append(function)
        self.later(seconds, function)

    def _guarded(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            if not self._closed:
                function(*args)
        except Trouble:
            pass
        except Exception as error:
            self.errors.append(f"{getattr(function, '__name__', function)}: {type(error).__name__}: {error}")

    def recover(self) -> None:
        """Everything is well again from now on."""
        timers, self._timers = self._timers, []
        for timer in timers:
            timer.cancel()
            timer.join(20)
        for desktop in self.desktops:
            desktop.proxy.disarm()
            desktop.proxy.heal()
        with self._lock:
            undo, self._undo = self._undo, []
        for function in undo:
            function()
        for each in self.printers:
            each.paper.at_byte(1 << 40, lambda: None)  # instead of what was still to come
        self.note("recovered")

    def join(self, within: float = 45.0) -> None:
        """Wait for what is done beside."""
        deadline = time.monotonic() + within
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                self.errors.append("something beside does not end")
        self._threads.clear()

    def wait(self, done: Callable[[], bool], within: float) -> bool:
        """Wait until ``done``; whether it is, in that time."""
        deadline = time.monotonic() + within
        while not done():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def final(self, ticket: Ticket) -> bool:
        """Whether a job has its outcome, as far as the service can be asked."""
        if ticket.final is None and ticket.id:
            with contextlib.suppress(Trouble):
                self.till.look(ticket)
        return ticket.final is not None

    def state(self, ticket: Ticket) -> str:
        """The state of a job; empty where nobody answers."""
        try:
            return str(self.till.look(ticket)["state"]) if ticket.id else ""
        except Trouble:
            return ""

    # -- the truth ---------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Wait until every job has its outcome and all paper is out."""
        self.recover()
        self.join()
        self.recover()  # what was struck last
        for desktop in self.desktops:
            desktop.start()
        deadline = time.monotonic() + SETTLING
        tickets = {ticket.id: ticket for ticket in self.tickets if ticket.id}
        while True:
            asked = time.monotonic()
            jobs = self.till.listed()
            for job in jobs:
                if job["id"] in tickets:
                    self.till.heard(tickets[job["id"]], job, asked)
            late = [job["id"] for job in jobs if job["outcome"] is None]
            if not late:
                return
            if time.monotonic() > deadline:
                raise Violation(f"{', '.join(late)}: no outcome {SETTLING:.0f} s after the last fault")
            time.sleep(0.05)

    def audit(self, fault_free: bool) -> None:
        """Hold what was said against the paper; raises `Violation` with all that is wrong."""
        for each in self.printers:
            with contextlib.suppress(TimeoutError):
                each.paper.wait_idle(2)
        wrong = list(self.errors)
        asked = time.monotonic()
        jobs = {job["id"]: job for job in self.till.listed()}
        tickets = {ticket.id: ticket for ticket in self.tickets if ticket.id}
        for ticket in self.tickets:
            wrong += [f"job {ticket.number} ({ticket.id}): {each}" for each in ticket.wrong]
            if ticket.id and ticket.id not in jobs:
                wrong.append(f"job {ticket.number} ({ticket.id}) is lost")
        for job in jobs.values():
            origin = tickets.get(job["reprint_of"] or "")
            if job["id"] not in tickets:
                if origin is None or self.branch != "auto":
                    wrong.append(f"job {job['id']} was never asked for")
                    continue
                # The branch's policy has printed it again.
                ticket = Ticket(origin.number, origin.printer, origin.body, 0, 0, "", job["id"], job["reprint_of"])
                tickets[job["id"]] = ticket
                origin.reprinted = True
        for identifier, ticket in tickets.items():
            if identifier in jobs:
                self.till.heard(ticket, jobs[identifier], asked)
                wrong += ticket.wrong
        wrong += self._against_paper(list(tickets.values()), jobs, fault_free)
        wrong += self._histories(jobs)
        if wrong:
            raise Violation("\n".join(dict.fromkeys(wrong)))

    def _against_paper(self, tickets: list[Ticket], jobs: dict[str, Any], fault_free: bool) -> list[str]:
        wrong = []
        slips = [
            paper.Slip(each.number, each.reprint_of[:8], paper.whole(each.body, each.reprint_of)) for each in tickets
        ]
        position = {job: -number for number, job in enumerate(jobs)}  # they come newest first
        read = paper.Paper()
        for each in self.printers:
            here = paper.Paper()
            pieces = [*each.paper.receipts, *([current] if (current := each.paper.current) else [])]
            here.read(pieces, slips)
            for key, copies in here.found.items():
                if key in read.found:
                    wrong.append(f"job {key} came out on two printers")
                read.found[key] = copies
            order = [(t, position[t.id]) for key in here.order for t in tickets if (t.number, t.reprint_of[:8]) == key]
            for (first, earlier), (second, later) in itertools.pairwise(order):
                # Those that waited while the first was printing come in their order.
                if later < earlier and not (first.reprint_of or second.reprint_of):
                    wrong.append(f"on {each.name} job {second.number} was printed after {first.number}")
        for key in read.found.keys() - {(slip.number, slip.mark) for slip in slips}:
            wrong.append(f"a receipt {key} is on paper that nobody asked for")
        for ticket in tickets:
            job = jobs.get(ticket.id)
            if job is None:
                continue
            copies = read.of(ticket.number, ticket.reprint_of[:8])
            said = f"job {ticket.number}{' (reprint)' if ticket.reprint_of else ''} {ticket.id} is {job['outcome']}"
            said += f" ({job['error_type']}, window {job['window']}, partial {job['partial']})"
            found = f"and {copies.begun} times on paper, {copies.whole} whole"
            if copies.begun > 1:
                wrong.append(f"{said} {found}: an unmarked copy")
            match job["outcome"]:
                case "confirmed":
                    right = copies.whole == 1
                case "written":
                    right = copies.whole <= 1 and (copies.whole == 1 or not fault_free)
                case "failed":
                    right = copies.whole == 0 and (copies.begun == 0 or job["partial"])
                case "cancelled":
                    right = copies.begun == 0
                case "unknown":
                    right = copies.whole == 1 if job["evidence_at"] else True
                    held = not (ticket.released or ticket.reprinted or job["evidence_at"])
                    if job["held"] != held:
                        wrong.append(f"{said} and held is {job['held']}")
                    if not job["window"]:
                        wrong.append(f"{said} and names no window")
                case _:
                    right = False
            if not right:
                wrong.append(f"{said} {found}")
            if job["outcome"] in ("failed", "unknown") and not job["error_type"]:
                wrong.append(f"{said} and nobody says why")
            if fault_free and job["outcome"] != "confirmed":
                wrong.append(f"{said} although nothing was wrong")
        return wrong

    def _histories(self, jobs: dict[str, Any]) -> list[str]:
        """What the events say of each job: only steps of the table, and one outcome for ever."""
        wrong = []
        last: dict[str, dict[str, Any]] = {}
        number = 0
        for event in self.till.history(jobs):
            if event["type"] != "job" or event["seq"] <= number:
                wrong.append(f"an event out of order: {event['type']} {event['seq']} after {number}")
                continue
            number = event["seq"]
            before = last.get(event["id"])
            last[event["id"]] = event
            if before is None:
                if event["state"] != "queued":
                    wrong.append(f"the first event of job {event['id']} is {event['state']}")
            elif before["state"] != event["state"] and (State(before["state"]), State(event["state"])) not in _STEPS:
                wrong.append(f"job {event['id']} went from {before['state']} to {event['state']}")
            elif before["outcome"] is not None:
                for name in ("state", "outcome", "error_type", "partial", "window", "finished_at"):
                    if before[name] != event[name]:
                        wrong.append(f"{name} of job {event['id']} was {before[name]} and became {event[name]}")
        for identifier, job in jobs.items():
            if identifier not in last or last[identifier]["outcome"] != job["outcome"]:
                wrong.append(f"the last event of job {identifier} is not its outcome {job['outcome']}")
        return wrong

    # -- its end -----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Take everything away but the service."""
        self._closed = True
        for timer in self._timers:
            timer.cancel()
        for desktop in self.desktops:
            desktop.close()
        for each in self.printers:
            each.paper.close()

    def report(self) -> str:
        """All that is known of the run, for a person."""
        lines = [*self.log, ""]
        for ticket in self.tickets:
            lines.append(f"job {ticket.number} {ticket.id} on {ticket.printer}: {ticket.final}")
        for each in self.printers:
            pieces = [*each.paper.receipts, *([current] if (current := each.paper.current) else [])]
            for number, piece in enumerate(pieces):
                lines.append(f"{each.name}, piece {number}, {'cut' if piece.cut else 'torn'}:\n{piece.text}")
        for desktop in self.desktops:
            lines.append(f"--- {desktop.name}\n{desktop.log()}")
        lines.append(f"--- service\n{self.lane.log()}")
        return "\n".join(lines)
