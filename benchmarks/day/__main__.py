"""Command line of the day."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.day.run import GROWTH, JOBS, MESSAGES, run


def main() -> int:
    """Run, and print the figures; 0 where all counts are exact and memory is flat."""
    parser = argparse.ArgumentParser("python -m benchmarks.day")
    parser.add_argument("--messages", type=int, default=MESSAGES)
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--json", type=Path, help="keep the figures there")
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # a printer's state changes
    figures = run(options.messages, options.jobs, progress=True)
    if options.json is not None:
        options.json.write_text(json.dumps(asdict(figures), indent=2) + "\n")
    for name, number in sorted(figures.done.items()):
        print(f"{name:28}{number:>16,} done{figures.said.get(name, figures.exported + figures.dropped):>16,} counted")
    print(
        f"{figures.seconds:.0f} s; {figures.collections:,} collections of at last {figures.series:,} series, "
        f"median {figures.collection_ms[1]} ms; {figures.dropped:,} spans dropped"
    )
    wrong = figures.wrong()
    half = figures.resident[len(figures.resident) // 2 :]
    print(
        f"resident: {len(figures.resident)} samples, first {figures.resident[0] / 1e6:.2f} MB, second half "
        f"{min(half) / 1e6:.2f} to {max(half) / 1e6:.2f} MB, grown {figures.growth / 1e6:+.3f} MB of {GROWTH / 1e6:g}"
    )
    if figures.growth >= GROWTH:
        wrong.append(f"memory grew by {figures.growth / 1e6:.2f} MB over the second half")
    print("\n".join(f"WRONG: {each}" for each in wrong) or "all counts are exact, and memory is flat")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
