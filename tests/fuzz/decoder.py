"""A coverage-guided fuzzer for the decoder of a printer's replies; `tests.fuzz.oracle` says what must hold.

Use: ``python -m tests.fuzz.decoder --seconds N [--keep]``. It begins with ``tests/fuzz/corpus``, which `make test`
replays without it; ``--keep`` adds the smallest inputs that reach new code. Exit code 1: a crash, whose input it names.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Any

CORPUS = Path(__file__).parent / "corpus"
LONGEST = 512  # bytes of an input
TIMEOUT = 20  # seconds for one input


def fuzz() -> None:
    """Run libFuzzer with this process's arguments; it ends the process."""
    import atheris

    with atheris.instrument_imports(include=["printobs.signals.escpos_replies", "printobs.signals.escpos_status"]):
        from tests.fuzz.oracle import check

    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


def run(*arguments: str) -> int:
    """Run `fuzz` in a process of its own: its exit code."""
    command = [sys.executable, "-c", "from tests.fuzz.decoder import fuzz; fuzz()"]
    options = [f"-max_len={LONGEST}", f"-timeout={TIMEOUT}", "-artifact_prefix=./"]
    return subprocess.run([*command, *options, *arguments]).returncode


def reached(data: bytes) -> set[tuple[int, int]]:
    """The steps from line to line of the decoder that an input takes."""
    from printobs.signals import escpos_replies
    from tests.fuzz import oracle

    steps: set[tuple[int, int]] = set()
    before = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal before
        if frame.f_code.co_filename != escpos_replies.__file__:
            return None
        steps.add((before, frame.f_lineno))
        before = frame.f_lineno
        return trace

    sys.settrace(trace)
    try:
        oracle.play(oracle.steps(data), 1)
    finally:
        sys.settrace(None)
    return steps


def keep(found: Path) -> int:
    """Add to the corpus what reaches more than it, smallest first; how many that was."""
    known: set[tuple[int, int]] = set()
    for path in CORPUS.iterdir():
        known |= reached(path.read_bytes())
    kept = 0
    for path in sorted(found.iterdir(), key=lambda path: (path.stat().st_size, path.name)):
        data = path.read_bytes()
        if not (new := reached(data)) <= known:
            known |= new
            kept += 1
            (CORPUS / hashlib.sha256(data).hexdigest()[:12]).write_bytes(data)
    return kept


def main(arguments: list[str]) -> int:
    """Fuzz for a while; 0 where nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.decoder", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="how long (60)")
    parser.add_argument("--keep", action="store_true", help="add what reaches new code to the corpus")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as found:
        code = run(f"-max_total_time={chosen.seconds}", "-print_final_stats=1", found, str(CORPUS))
        if chosen.keep and not code:
            print(f"{keep(Path(found))} inputs kept")
    return 1 if code else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
