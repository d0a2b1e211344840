"""Printers, and the jobs that they print or fail."""

from __future__ import annotations

import contextlib
from typing import Final

from escpos.escpos import Escpos

from benchmarks.day.branches import BRANCHES
from benchmarks.day.ledger import Ledger
from printobs.assembly.printing import print_job, register


class Paperless(Escpos):
    """A driver whose bytes go nowhere, unless it is broken."""

    broken = False

    def _raw(self, msg: bytes) -> None:
        if self.broken:
            raise ConnectionResetError("the printer has gone")


LINE: Final = b"2 x Ramen\n"
CUT: Final = b"\x1dVA\x03"
KINDS: Final = ("receipt", "kitchen", "report")


class Printers:
    """Two printers a branch. Of a hundred jobs one loses its connection; in one the application fails, before or after
    the cut."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._number = 0
        self._printers = [
            register(Paperless(), name=f"{where}-{branch}", branch=branch)
            for branch in BRANCHES
            for where in ("kitchen", "counter")
        ]

    def slice(self, _: int, jobs: int) -> None:
        """Print so many."""
        for _ in range(jobs):
            self._job()

    def _job(self) -> None:
        self._number += 1
        number = self._number
        printer = self._printers[number % len(self._printers)]
        lines = 1 + number % 4
        fate = {13: "reset", 57: "before", 157: "after"}.get(number % 200 if number % 100 != 13 else 13, "")
        with contextlib.suppress(ConnectionResetError, ZeroDivisionError):
            try:
                with print_job(printer, kind=KINDS[number // len(self._printers) % len(KINDS)]):
                    for _ in range(lines):
                        printer._raw(LINE)
                    if fate == "before":
                        raise ZeroDivisionError
                    printer.broken = fate == "reset"
                    printer._raw(CUT)
                    if fate == "after":
                        raise ZeroDivisionError
            finally:
                printer.broken = False
        # Its own span, that of what was written, and that of waiting for the last byte where all went well.
        self.ledger.spans += 2 if fate else 3
        self.ledger.jobs[{"": "written", "after": "unknown"}.get(fate, "failed")] += 1
        self.ledger.printed += lines * len(LINE) + (len(CUT) if fate in ("", "after") else 0)
