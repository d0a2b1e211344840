"""How a fault is made to strike at a row of the table: a job is brought there, and a trap is laid where it passes.

A strike is counted where what was waited for did happen: the message passed, the byte came, the job was in that state.
What no test from outside can choose is the moment between a durable write and the next step inside one process: there a
kill strikes by chance only, and `tests.examples.job_model` explores it. A printer is killed by switching its power off:
to the agent it is the same, and the paper, which is the truth, stays.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from tests.ledger import paper
from tests.ledger.faults import EXPIRY, FAULTS, Scene
from tests.ledger.proxy import Direction, Moment, Trap
from tests.ledger.run import Printer, Run
from tests.ledger.stage import GRACE, JOBS, Desktop, Ticket, Trouble

_QUESTIONS: Final = 12  # bytes: DLE EOT 1 to 4
_MOMENTS: Final[tuple[Moment, ...]] = ("before", "inside", "after")


class Act:
    """One fault at one row, with the jobs that it takes."""

    def __init__(self, run: Run, desktop: Desktop, row: int, fault: str) -> None:
        self.run = run
        self.desktop = desktop
        self.row = row
        self.fault = fault
        self.printer: Printer = run.chance.choice([each for each in run.printers if each.name in desktop.printers])
        self.struck = threading.Event()
        self.ticket: Ticket | None = None

    # -- parts -------------------------------------------------------------------------------------------------------

    def subject(self, *, timeout: float = 2.0, longest: int = 12) -> Ticket:
        """The job that the fault is for."""
        expires_in = EXPIRY if self.fault == "expired" else 60.0
        self.ticket = self.run.ticket(self.printer, timeout=timeout, expires_in=expires_in, longest=longest)
        return self.ticket

    def strike(self, *, unless: Callable[[], bool] = lambda: False) -> None:
        """The fault, once; not counted where it comes too late."""
        if self.struck.is_set() or self.ticket is None:
            return
        self.struck.set()
        if unless():
            self.run.note(f"{self.fault} misses row {self.row}")
        else:
            self.run.hit(self.row, self.fault)
        FAULTS[self.fault](Scene(self.run, self.printer, self.desktop, self.ticket))

    def submit(self, ticket: Ticket) -> None:
        """Send a job; sometimes its answer is not waited for, and it is sent again."""
        self.run.note(f"submit {ticket.number} for {ticket.printer}, {ticket.timeout} s, expires {ticket.expires_in} s")
        self.run.spawn(self.run.till.submit, ticket, None, self.run.chance.random() < 0.2)

    def submitted(self, ticket: Ticket) -> None:
        """Send a job, and have it accepted."""
        self.submit(ticket)
        self.run.wait(lambda: bool(ticket.id), 10)

    def companions(self, most: int = 1) -> None:
        """Other jobs, before or behind."""
        for _ in range(self.run.chance.randint(0, most)):
            self.submit(self.run.ticket(self.run.chance.choice(self.run.printers), timeout=2.0))

    def size(self, ticket: Ticket) -> int:
        """How many bytes a job has, about."""
        return len(paper.printed(ticket.body, ticket.reprint_of))

    def on_print(self, moment: Moment, then: Callable[[], None]) -> None:
        """Do something when the next job is sent to the agent."""
        self.desktop.proxy.lay(Trap("to_agent", "print", moment, then, self.printer.name))

    def idle(self) -> None:
        """Wait a little until the printer's jobs have their outcomes: then the next one is the subject."""
        mine = [each for each in self.run.tickets if each.printer == self.printer.name]
        self.run.wait(lambda: all(map(self.run.final, mine)), 6)

    # -- one for each row --------------------------------------------------------------------------------------------

    def play(self) -> None:
        """Bring the subject to its row, have it struck there, and wait until that is done or was in vain."""
        self.run.note(f"act: {self.fault} at row {self.row}, on {self.printer.name} by {self.desktop.name}")
        getattr(self, f"_row_{self.row}")()
        self.run.wait(self.struck.is_set, 4)
        if not self.struck.is_set():
            self.run.note("nothing was struck")

    def _row_1(self) -> None:
        """While a POST is not answered."""
        self.companions()
        ticket, wait = self.subject(), self.run.chance.choice([0.0, self.run.chance.uniform(0, 0.006)])

        def between() -> None:
            time.sleep(wait)
            self.strike()

        self.run.note(f"submit {ticket.number} for {ticket.printer}")
        self.run.spawn(self.run.till.submit, ticket, between, self.run.chance.random() < 0.3)

    def _row_2(self) -> None:
        """While a job that waits behind another is cancelled, or its time runs out."""
        chance = self.run.chance
        first = self.run.ticket(self.printer, timeout=2.0)
        # It stands still in the middle of the first.
        out = self.printer.paper.paper_out
        count = _QUESTIONS + chance.randint(12, 40)
        self.on_print("after", lambda: self.printer.paper.at_byte(count, out))
        self.run.undo(2.2, self.printer.paper.paper_in)
        self.submitted(first)
        ticket = self.subject()
        if by_time := (self.fault == "expired" or (self.fault != "cancelled" and chance.random() < 0.5)):
            ticket.expires_in = EXPIRY
        self.submitted(ticket)
        if by_time:
            time.sleep(EXPIRY + chance.uniform(-0.2, 0.5))
            state = self.run.state(ticket)
            self.strike(unless=lambda: state not in ("queued", "failed"))
        else:
            state = self.run.state(ticket)
            self.run.spawn(lambda: self.run.till.cancel(ticket, lambda: self.strike(unless=lambda: state != "queued")))

    def _row_3(self) -> None:
        """When it is dispatched, and not heard of it yet."""
        self.idle()
        self.on_print(self.run.chance.choice(("before", "inside")), self.strike)
        self.submitted(self.subject())

    def _row_4(self) -> None:
        """When the agent has it, and before the first byte: the printer is being asked."""
        self.idle()
        count = self.run.chance.choice([0, self.run.chance.randint(1, _QUESTIONS)])

        def then() -> None:
            if count:
                self.printer.paper.at_byte(count, self.strike)
            else:
                self.strike()

        self.on_print("after", then)
        self.submitted(self.subject())

    def _row_5(self) -> None:
        """At a random byte."""
        self.idle()
        ticket = self.subject()
        count = _QUESTIONS + self.run.chance.randint(1, self.size(ticket))
        self.on_print("after", lambda: self.printer.paper.at_byte(count, self.strike))
        self.submitted(ticket)

    def _row_6(self) -> None:
        """When all bytes have arrived, and the printer has not said yet that it has printed them."""
        self.idle()
        ticket, printer = self.subject(), self.printer.paper
        if self.run.chance.random() < 0.7:
            printer.slow(self.run.chance.choice([1000.0, 2000.0]))
            self.run.undo(3.0, lambda: printer.slow(None))
        done = self.desktop.proxy.passed.get("done", 0)
        before, enough = printer.received_count, _QUESTIONS + self.size(ticket)

        def watch() -> None:
            if self.run.wait(lambda: printer.received_count - before >= enough, 4):
                self.strike(unless=lambda: self.desktop.proxy.passed.get("done", 0) > done)

        self.on_print("before", lambda: self.run.spawn(watch))
        self.submitted(ticket)

    def _row_7(self) -> None:
        """When the outcome is told, or its receipt acknowledged."""
        self.idle()
        ticket, moment = self.subject(), self.run.chance.choice(_MOMENTS)
        if self.run.chance.random() < 0.6:
            self.desktop.proxy.lay(Trap("to_service", "done", moment, self.strike))
        else:
            self.desktop.proxy.lay(Trap("to_agent", "settled", moment, self.strike))
        self.submitted(ticket)

    def _row_8(self) -> None:
        """When the agent starts up, and finds that it was printing."""
        self.idle()
        ticket, chance = self.subject(), self.run.chance
        count = _QUESTIONS + chance.randint(20, self.size(ticket))
        moment = chance.choice(["soon", *_MOMENTS])
        wait = chance.uniform(0.0, 0.25)
        killed = threading.Event()

        def kill() -> None:
            self.desktop.kill()
            self.run.note("the agent is killed while it prints")
            killed.set()

        self.on_print("after", lambda: self.printer.paper.at_byte(count, kill))
        self.submitted(ticket)
        if not self.run.wait(killed.is_set, 4):
            return
        hellos = self.desktop.proxy.passed.get("hello", 0)
        if moment != "soon":
            self.desktop.proxy.lay(Trap("to_service", "hello", moment, self.strike))
        self.desktop.start()
        if moment == "soon":
            time.sleep(wait)
            self.strike(unless=lambda: self.desktop.proxy.passed.get("hello", 0) > hellos)

    def _row_9(self) -> None:
        """When the agent comes back with the journal that the job was sent to."""
        self._comes_back(lost=False)

    def _row_10(self) -> None:
        """When an agent comes back with another journal, or an older one."""
        if self.run.chance.random() < 0.3:
            self.desktop.kill()
            self.desktop.back_up()
            self.desktop.start()
            self.run.note("the journal is backed up")
        self._comes_back(lost=True)

    def _comes_back(self, lost: bool) -> None:
        self.idle()
        ticket, chance = self.subject(), self.run.chance
        count = chance.choice([0, chance.randint(1, _QUESTIONS + self.size(ticket))])
        killed = lost or chance.random() < 0.5
        message, moment = chance.choice(("hello", "welcome")), chance.choice(_MOMENTS)
        gone = threading.Event()

        def go() -> None:
            if killed:
                self.desktop.kill()
            if lost:
                self.desktop.lost = True
            self.desktop.proxy.cut()
            self.run.note(f"the agent goes{', killed' * killed}{', its journal lost' * lost}")
            gone.set()

        def then() -> None:
            if count:
                self.printer.paper.at_byte(count, go)
            else:
                go()

        self.on_print(chance.choice(("before", "after")), then)
        self.submitted(ticket)
        if not self.run.wait(gone.is_set, 4):
            return
        settled = self.run.state(ticket)
        direction: Direction = "to_service" if message == "hello" else "to_agent"
        at = Trap(direction, message, moment, lambda: self.strike(unless=lambda: settled != "dispatched"))
        self.desktop.proxy.lay(at)
        self.desktop.start()

    def _row_11(self) -> None:
        """When the agent has been silent for too long."""
        self.idle()
        chance = self.run.chance
        ticket = self.subject(timeout=1.0)
        ticket.expires_in = EXPIRY
        count = chance.choice([0, chance.randint(1, _QUESTIONS + self.size(ticket))])
        killed = self.fault not in ("agent killed", "agent hangs", "journal lost") and chance.random() < 0.5
        gone = threading.Event()

        def go() -> None:
            if killed:
                self.desktop.kill()
            self.desktop.proxy.refusing = True
            self.desktop.proxy.half_open()
            self.run.note(f"the agent is out of reach{', killed' * killed}")
            gone.set()

        def then() -> None:
            if count:
                self.printer.paper.at_byte(count, go)
            else:
                go()

        self.on_print("before", then)
        self.submitted(ticket)
        if not self.run.wait(gone.is_set, 4):
            return
        at = ticket.accepted_at + EXPIRY + ticket.timeout + GRACE + chance.uniform(-0.3, 0.8)
        time.sleep(max(0.0, at - time.monotonic()))
        state = self.run.state(ticket)
        self.strike(unless=lambda: state not in ("dispatched", "unknown"))
        if chance.random() < 0.7:
            # So late that it is given up.
            self.run.wait(lambda: self.run.final(ticket), 3)
        self.desktop.proxy.refusing = False
        self.desktop.start()

    def _row_12(self) -> None:
        """When its agent is asked to cancel it."""
        self.idle()
        ticket, chance, printer = self.subject(), self.run.chance, self.printer.paper
        if chance.random() < 0.6:
            # It is asked how it is for a second.
            printer.mute()
            self.run.undo(chance.uniform(0.3, 2.0), printer.unmute)
        wait = chance.choice([0.0, chance.uniform(0.0, 0.3)])
        message, moment = chance.choice(("cancel", "cancelled")), chance.choice(_MOMENTS)
        self.desktop.proxy.lay(Trap("to_agent" if message == "cancel" else "to_service", message, moment, self.strike))

        def cancel() -> None:
            time.sleep(wait)
            self.run.wait(lambda: bool(ticket.id), 2)
            self.run.note(f"cancel of {ticket.number}: {self.run.till.cancel(ticket)}")

        self.on_print(chance.choice(("before", "after")), lambda: self.run.spawn(cancel))
        self.submitted(ticket)

    def _row_13(self) -> None:
        """When a second agent claims the printer, and when it is given to it."""
        chance = self.run.chance
        first = self.run.install(1, name=f"first-{self.row}-{len(self.run.desktops)}")
        self.printer = self.run.printers[-1]
        printers = {self.printer.name: self.printer.address}
        second = self.run.desktop(f"second-{len(self.run.desktops)}", printers)
        ticket = self.subject()
        where = chance.choice(["hello", "refuse", "reassign", "welcome"])
        self.desktop = chance.choice([first, second])
        if where in ("hello", "refuse"):
            direction: Direction = "to_service" if where == "hello" else "to_agent"
            second.proxy.lay(Trap(direction, where, chance.choice(_MOMENTS), self.strike))
        self.submit(ticket)
        second.wanted = True
        second.start()
        # Refused, it ends; a fault may have ended it before.
        self.run.wait(lambda: second.child is not None and second.child.dead.is_set(), 6)
        if second.proxy.passed.get("welcome"):
            raise AssertionError("a second agent was welcomed for a printer that another one serves")
        hook = self.strike if where == "reassign" else None
        body = b'{"agent": "%s"}' % second.name.encode()
        path = f"{JOBS.removesuffix('jobs')}printers/{self.printer.name}/reassign"
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                status, _ = self.run.till.ask("POST", path, body, operator=True, hook=hook)
            except Trouble:
                status = 0
            hook = None
            if status == 200:
                break
            time.sleep(0.05)
        self.run.note(f"{self.printer.name} is given to {second.name}")
        if where == "welcome":
            second.proxy.lay(Trap("to_agent", "welcome", chance.choice(_MOMENTS), self.strike))
        if chance.random() < 0.5:
            first.dismiss()
        first.wanted = False  # it is refused when it comes back, and ends
        second.start()
        self.submit(self.run.ticket(self.printer))

    def _row_14(self) -> None:
        """When proof comes late."""
        self.idle()
        chance, printer = self.run.chance, self.printer.paper
        ticket = self.subject(timeout=1.2, longest=4)
        dots = chance.randint(0, 60)
        self.on_print("before", lambda: printer.paper_out(after_dots=dots))
        self.desktop.proxy.lay(Trap("to_service", "evidence", chance.choice(_MOMENTS), self.strike))
        self.submitted(ticket)
        self.run.wait(lambda: self.run.final(ticket), 4)
        self.run.undo(0.0, printer.paper_in)

    def _row_15(self) -> None:
        """When a job that is unknown is printed again."""
        self.idle()
        chance, run = self.run.chance, self.run
        ticket = self.subject()
        count = _QUESTIONS + chance.randint(20, self.size(ticket))
        # Killed in the middle, the agent does not know; without power, the printer may have printed all of it.
        fault = self.desktop.kill
        if run.branch != "auto" and chance.random() < 0.5:
            fault = self.printer.paper.power_off
        self.on_print("after", lambda: self.printer.paper.at_byte(count, fault))
        if run.branch == "auto":
            self.desktop.proxy.lay(Trap("to_agent", "print", "after", lambda: self.on_print("before", self.strike)))
        self.submitted(ticket)
        run.wait(lambda: run.state(ticket) != "queued", 2)
        time.sleep(0.1)
        self.printer.paper.power_on()
        self.desktop.start()
        run.wait(lambda: run.final(ticket), 8)
        if ticket.final is None or run.branch == "auto":
            return
        copy = run.copy(ticket)
        hook = None
        if chance.random() < 0.4:
            hook = self.strike
        else:
            self.on_print(chance.choice(_MOMENTS), self.strike)
        if self.fault in ("cancelled", "retried"):
            self.ticket = copy
        run.note(f"reprint of {ticket.number}")
        run.spawn(lambda: run.till.reprint(ticket, copy, hook, operator=False))
