"""Seeded runs of the reference deployment under faults, held against the paper: ``python -m tests.ledger --runs 1000``.

A run that fails is played alone by its seed: ``python -m tests.ledger --first SEED --runs 1``.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.ledger.ledger import Ledger


def main() -> int:
    """Play, and print what was struck where; 0 where no promise was broken."""
    parser = argparse.ArgumentParser("python -m tests.ledger")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--lanes", type=int, default=6, help="how many at a time, each on a service of its own")
    parser.add_argument("--minutes", type=float, help="begin no run after so many")
    parser.add_argument("--least", type=int, default=0, help="how often each fault must have struck at each row")
    parser.add_argument("--keep-going", action="store_true", help="after a broken promise too")
    options = parser.parse_args()
    began = time.monotonic()
    ledger = Ledger()
    until = began + 60 * options.minutes if options.minutes else None
    ledger.play(range(options.first, options.first + options.runs), options.lanes, until, options.keep_going)
    sys.stdout.write(ledger.table())
    sys.stdout.write(f"{time.monotonic() - began:.0f} s\n")
    for failure in ledger.failures:
        sys.stdout.write(failure)
    missing = ledger.missing(options.least)
    if missing:
        sys.stdout.write(f"struck less than {options.least} times: {', '.join(missing)}\n")
    return 1 if ledger.failures or missing else 0


if __name__ == "__main__":
    sys.exit(main())
