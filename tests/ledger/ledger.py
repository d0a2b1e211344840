"""Many runs, some at a time, and what they have shown."""

from __future__ import annotations

import random
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Final

from tests.ledger.acts import Act
from tests.ledger.faults import FAULTS
from tests.ledger.run import ROWS, Run, Violation
from tests.ledger.stage import Lane
from tests.nursery import Nursery

ACTS: Final = 3  # a run
_CELLS: Final = [(row, fault) for fault in FAULTS for row in ROWS]
_HEALTHY: Final = 10  # of so many runs one is without faults


def cells(seed: int) -> list[tuple[int, str]]:
    """Where a run strikes, and with what: seeds in a row go through all of them."""
    if seed % _HEALTHY == _HEALTHY - 1:
        return []
    first = (seed - seed // _HEALTHY) * ACTS
    order = list(_CELLS)
    random.Random(first // len(_CELLS)).shuffle(order)
    return [order[(first + number) % len(_CELLS)] for number in range(ACTS)]


class Ledger:
    """What was struck where, how the jobs have ended, and which promises were broken."""

    def __init__(self) -> None:
        self.hits: Counter[tuple[int, str]] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.failures: list[str] = []
        self.runs = 0
        self.healthy = 0
        self._lock = threading.Lock()

    def play(self, seeds: Iterable[int], lanes: int, until: float | None = None, keep_going: bool = False) -> None:
        """Play runs, ``lanes`` at a time; none begins after ``until``, on the monotonic clock."""
        left: Iterator[int] = iter(seeds)

        def next_seed() -> int | None:
            with self._lock:
                if (self.failures and not keep_going) or (until is not None and time.monotonic() > until):
                    return None
                return next(left, None)

        def work(number: int) -> None:
            with ExitStack() as stack:
                lane: Lane | None = None
                while (seed := next_seed()) is not None:
                    if lane is None:
                        lane = Lane(nursery, str(number))
                        stack.callback(lane.close)
                    self._play(lane, seed)

        nursery = Nursery()
        try:
            with ThreadPoolExecutor(lanes, "lane") as pool:
                list(pool.map(work, range(lanes)))
        finally:
            nursery.close()

    def _play(self, lane: Lane, seed: int) -> None:
        run = Run(lane, seed, random.Random(seed))
        try:
            lane.start_service()
            planned = cells(seed)
            (_faults if planned else _healthy)(run, planned)
        except Exception as error:
            what = str(error) if isinstance(error, Violation) else traceback.format_exc()
            report = run.report()
            with self._lock:
                self.failures.append(f"===== run {seed}\n{what}\n{report}\n")
            sys.stdout.write(f"run {seed} FAILED: {what.splitlines()[-1]}\n")
            sys.stdout.flush()
        finally:
            run.close()
        with self._lock:
            self.runs += 1
            self.healthy += not cells(seed)
            self.hits.update(run.hits)
            self.outcomes.update(str(ticket.final and ticket.final["outcome"]) for ticket in run.tickets if ticket.id)
            if self.runs % 100 == 0:
                sys.stdout.write(
                    f"{self.runs} runs, {self.outcomes.total()} jobs, {len(self.failures)} broken promises\n"
                )
                sys.stdout.flush()

    def missing(self, least: int) -> list[str]:
        """Where less than ``least`` strikes were counted."""
        few = [cell for cell in _CELLS if self.hits[cell] < least]
        return [f"{fault} at row {row}: {self.hits[row, fault]}" for row, fault in few]

    def table(self) -> str:
        """How often each fault has struck at each row, and the outcomes."""
        lines = [f"{'fault, row':16}" + "".join(f"{row:>5}" for row in ROWS)]
        lines += [f"{fault:16}" + "".join(f"{self.hits[row, fault]:>5}" for row in ROWS) for fault in FAULTS]
        ended = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.outcomes.items()))
        lines.append(
            f"{self.runs} runs, {self.healthy} of them without faults; {self.outcomes.total()} jobs: {ended}; "
            f"{len(self.failures)} runs with a broken promise"
        )
        return "\n".join(lines) + "\n"


def _healthy(run: Run, _: list[tuple[int, str]]) -> None:
    """Nothing goes wrong: every job is confirmed."""
    run.install(run.chance.randint(1, 2))
    for _ in range(6):
        ticket = run.ticket(run.chance.choice(run.printers), timeout=30.0)
        run.spawn(run.till.submit, ticket, None, run.chance.random() < 0.2)
    run.settle()
    run.audit(fault_free=True)


def _faults(run: Run, planned: list[tuple[int, str]]) -> None:
    capable = any(row == 14 for row, _ in planned) or run.chance.random() < 0.8
    desktop = run.install(run.chance.randint(1, 2), prove=capable)
    for row, fault in planned:
        act = Act(run, desktop, row, fault)
        act.companions()
        act.play()
        act.companions()
        if run.chance.random() < 0.7:
            run.wait(lambda act=act: act.ticket is not None and run.final(act.ticket), 3)
            run.recover()
    run.settle()
    _see_to_what_is_held(run)
    run.settle()
    run.audit(fault_free=False)


def _see_to_what_is_held(run: Run) -> None:
    """An operator prints again what is held, or lets it be."""
    for ticket in list(run.tickets):
        if ticket.final is None or not ticket.final["held"] or ticket.reprinted:
            continue
        choice = run.chance.random()
        if choice < 0.4:
            run.till.reprint(ticket, run.copy(ticket))
        elif choice < 0.6:
            status, answer = run.till.ask("POST", f"/api/v1/printing/jobs/{ticket.id}/release", operator=True)
            # Late proof may have closed the hold by itself.
            ticket.released = status == 200
            assert status in (200, 409), answer
